import assert from 'node:assert/strict';
import { test } from 'node:test';
import { returning } from '../../ebpf/build.ts';
import { TC_ACT } from '../../ebpf/context.ts';
import { possibleCpus } from '../../ebpf/map.ts';
import { Program } from '../../ebpf/program.ts';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import * as F from '../../flow/layout.ts';
import { frame, masked, maskOf } from '../conformance/frames.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import { dropTotal } from './code.ts';
import * as L from './layout.ts';
import { isSupportedMask, keySize, lookupProgram, MAX_TABLES, maskWords, packKey } from './lookup-program.ts';
import { LAB_PORT, LAB_PORT_STATS, LookupLab, type OffloadedTag } from './testing/lookup-lab.ts';

const skip = needsRoot;
const SHOT = TC_ACT.shot;

/** The key of a packet as it enters the lab's port. */
function keyOf(bytes: Uint8Array): F.Flow {
  const flow = F.newFlow();
  flow[F.W_IN_PORT] = LAB_PORT;
  extractFlow(new Packet(bytes), flow);
  return flow;
}

const DESTINATION = maskWords(maskOf(F.W_IN_PORT, F.W_RECIRC_ID, F.W_ETH, F.W_ETH_TYPE, F.W_NW_DST));
const PORTS = maskWords(maskOf(F.W_IN_PORT, F.W_ETH_TYPE, F.W_NW, F.W_TP));

/** Words that are 0 in UDP over IPv4. */
const OTHERS = [
  ...Array.from({ length: 17 }, (_, i) => i),
  ...Array.from({ length: 26 }, (_, i) => F.W_IPV6_SRC + i),
].filter((w) => w !== F.W_NW);

test('a key has the words of the mask, in order, filled up with zeros', () => {
  const mask = F.newFlow();
  mask[F.W_ETH_TYPE] = 0xffff0000;
  mask[F.W_TP] = 0xffff;
  mask[F.W_IN_PORT] = 0xffffffff;
  const words = maskWords(mask);
  assert.deepEqual(words, [
    { word: F.W_IN_PORT, mask: 0xffffffff },
    { word: F.W_ETH_TYPE, mask: 0xffff0000 },
    { word: F.W_TP, mask: 0xffff },
  ]);
  const key = new Uint8Array(keySize(words)).fill(0xee);
  const flow = F.newFlow().fill(0x89abcdef);
  packKey(words, flow, key);
  assert.equal(Buffer.from(key).toString('hex'), 'efcdab89' + '0000ab89' + 'efcd0000' + '00000000');
  assert.throws(() => packKey(words, flow, new Uint8Array(12)), { code: 'bad-map-value' });
  assert.equal(keySize([]), 8);
});

test('masks of words that programs do not fill, or too many, are not supported', () => {
  assert.equal(isSupportedMask(maskOf(F.W_IN_PORT, F.W_ETH_TYPE, F.W_CT_STATE, F.W_TUN_METADATA)), true);
  assert.equal(isSupportedMask(F.newFlow()), true);
  for (const word of [
    F.W_METADATA,
    F.W_REG,
    F.W_REG + 15,
    F.W_CONJ_ID,
    F.W_ACTSET_OUTPUT,
    F.W_NSH,
    F.W_NSH_CONTEXT + 3,
  ])
    assert.equal(isSupportedMask(maskOf(F.W_IN_PORT, word)), false, `word ${word}`);
  const tunnel = Array.from({ length: 66 }, (_, i) => F.W_TUN_METADATA_PRESENT + i);
  const packet = Array.from(
    { length: 62 },
    (_, i) => [...Array(17).keys(), ...Array.from({ length: 45 }, (_, j) => 43 + j)][i]!,
  );
  const fits = packet.filter((w) => w !== F.W_CONJ_ID && w !== F.W_ACTSET_OUTPUT);
  assert.equal(isSupportedMask(maskOf(...tunnel, ...fits)), true);
  assert.equal(isSupportedMask(maskOf(...tunnel, ...fits, F.W_TP, F.W_IGMP_GROUP, F.W_ND_OPTIONS)), false);
});

test('no more masks than the bound go into one program', () => {
  const table = { map: 'mask', words: PORTS };
  const maps = {
    frame: 'f',
    totals: 't',
    programs: 'p',
    ports: 'o',
    actions: 'a',
    flowStats: 's',
    portStats: 'q',
    ringTable: 'r',
    queues: 'u',
    ringBytes: 4096,
    shards: 2,
    exclusive: true,
  };
  const tables = Array.from({ length: MAX_TABLES + 1 }, () => table);
  assert.throws(() => lookupProgram({ maps, tables, upcall: [] }), {
    code: 'bad-program',
    message: /49 masks/,
  });
});

test('the kernel takes the bound, each mask with all words of a packet', { skip }, () => {
  using lab = new LookupLab();
  const words = Array.from({ length: F.W_NSH - F.W_ETH }, (_, i) => F.W_ETH + i);
  const masks = Array.from({ length: MAX_TABLES }, () => maskWords(maskOf(F.W_IN_PORT, ...words, F.W_TP)));
  lab.setMasks(masks, 16);
  const packet = frame();
  assert.equal(lab.send(packet), SHOT);
  // The cache, empty, says the first.
  assert.equal(lab.total(L.T_MASKS_SEARCHED), MAX_TABLES + 1);
  lab.putPort(3, 1, 1);
  lab.put(MAX_TABLES - 1, keyOf(packet), 0, L.ENTRY_OUTPUT, 3);
  assert.equal(lab.send(packet), TC_ACT.redirect);
});

for (const masks of [1, 5]) {
  test(`hot entries of ${masks} masks are good for their packets, program and epoch only`, { skip }, () => {
    using lab = new LookupLab();
    const all = Array.from({ length: masks - 1 }, (_, i) =>
      maskWords(maskOf(F.W_IN_PORT, F.W_NW, F.W_ETH + i)),
    );
    const last = masks - 1;
    lab.setMasks([...all, PORTS], 16, 1);
    lab.putPort(3, 1, 1);
    const packet = frame({ tpDst: 80 });
    /** Whether the packet meets an entry that was deleted between: a copy, unless another CPU runs this one. */
    const meets = (later: Uint8Array, between: () => void): boolean => {
      lab.put(last, keyOf(packet), 7, L.ENTRY_OUTPUT, 3);
      assert.equal(lab.send(packet), TC_ACT.redirect);
      lab.tables[last]!.map.delete(lab.key(last, keyOf(packet)));
      between();
      return lab.send(later) === TC_ACT.redirect;
    };
    const tries = (later: Uint8Array, between: () => void = () => undefined): boolean =>
      Array.from({ length: 100 }, () => meets(later, between)).some((met) => met);
    const epoch = new Uint8Array(L.EPOCH_SIZE);
    const nextEpoch = (): void => {
      epoch[0]!++;
      lab.maps.epoch.set(0, epoch);
    };
    assert.ok(tries(packet));
    assert.ok(!tries(frame({ tpDst: 81 })));
    assert.ok(!tries(packet, nextEpoch));
    assert.ok(tries(packet));
    lab.setMasks([...all, PORTS], 16, 2);
    assert.equal(lab.send(packet), SHOT);
  });
}

for (const shards of [1, undefined]) {
  test(`hits are counted, with ${shards ?? 'as many'} shards`, { skip }, () => {
    using lab = new LookupLab(shards === undefined ? {} : { shards });
    lab.setMasks([DESTINATION, PORTS]);
    lab.putPort(3, 1, 9);
    const syn = frame({ tcpFlags: 2, tpDst: 80 });
    const tag: OffloadedTag = { tpid: 0x8100, tci: 5 };
    const ack = frame({ tcpFlags: 0x10, tpDst: 80 });
    lab.put(1, keyOf(syn), 42, L.ENTRY_OUTPUT, 3);
    assert.equal(lab.send(syn), TC_ACT.redirect);
    assert.equal(lab.send(ack), TC_ACT.redirect);
    assert.equal(lab.send(ack, tag), TC_ACT.redirect);
    assert.equal(lab.send(frame()), SHOT);

    const flow = (offset: number): bigint => lab.counter(lab.maps.flowStats, 42, offset);
    const length = BigInt(syn.length);
    assert.equal(flow(L.FS_PACKETS), 3n);
    assert.equal(flow(L.FS_BYTES), 3n * length + 4n);
    assert.equal(flow(L.FS_TCP_FLAGS), 0x12n);
    assert.ok(flow(L.FS_USED) > 0n);
    const received = (offset: number): bigint => lab.counter(lab.maps.portStats, LAB_PORT_STATS, offset);
    assert.equal(received(L.PS_RX_PACKETS), 4n);
    assert.equal(received(L.PS_RX_BYTES), 3n * length + 4n + BigInt(frame().length));
    const sent = (offset: number): bigint => lab.counter(lab.maps.portStats, 9, offset);
    assert.equal(sent(L.PS_TX_PACKETS), 3n);
    assert.equal(sent(L.PS_TX_BYTES), 3n * length + 4n);
    const { T_HITS, T_MISSED, T_UP, T_MASKS_SEARCHED, T_LOST } = L;
    assert.deepEqual(
      [T_HITS, T_MISSED, T_UP, T_MASKS_SEARCHED, T_LOST].map((t) => lab.total(t)),
      [3, 1, 0, 8, 0],
    );
  });
}

test('the time of a megaflow is that of its last packet, on the monotonic clock', { skip }, () => {
  using lab = new LookupLab();
  lab.setMasks([PORTS]);
  lab.put(0, keyOf(frame()), 42, L.ENTRY_DROP);
  let last = 0;
  for (let i = 0; i < 3; i++) {
    const before = Number(process.hrtime.bigint());
    lab.send(frame());
    const used = Math.max(
      ...Array.from({ length: lab.maps.shards }, (_, shard) => {
        const value = lab.maps.flowStats.get(42 * lab.maps.shards + shard)!;
        return Number(new DataView(value.buffer).getBigUint64(L.FS_USED, true));
      }),
    );
    // The clock is as coarse as the kernel's ticks, of 10 ms at most.
    assert.ok(used <= Number(process.hrtime.bigint()) && used > before - 100_000_000 && used > last);
    last = used;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
  }
});

test('an entry says what becomes of the packet', { skip }, () => {
  using lab = new LookupLab();
  lab.setMasks([DESTINATION, PORTS]);
  const packet = frame();
  const put = (kind: number, argument = 0): void => lab.put(0, keyOf(packet), 11, kind, argument);

  put(L.ENTRY_DROP);
  assert.equal(lab.send(packet), SHOT);
  assert.equal(lab.total(dropTotal('explicit')), 0);
  put(L.ENTRY_DROP, 1);
  assert.equal(lab.send(packet), SHOT);
  assert.equal(lab.total(dropTotal('explicit')), 1);
  put(L.ENTRY_OUTPUT, 100);
  assert.equal(lab.send(packet), SHOT);
  assert.equal(lab.total(dropTotal('no-such-port')), 1);
  assert.equal(lab.counter(lab.maps.flowStats, 11, L.FS_PACKETS), 3n);

  put(L.ENTRY_UP);
  assert.equal(lab.send(packet), SHOT);
  assert.equal(lab.counter(lab.maps.flowStats, 11, L.FS_PACKETS), 3n);
  assert.deepEqual([lab.total(L.T_HITS), lab.total(L.T_UP)], [3, 1]);

  // Programs: none yet, then one.
  put(L.ENTRY_PROGRAM, 77);
  assert.equal(lab.send(packet), SHOT);
  assert.equal(lab.total(L.T_NO_PROGRAM), 1);
  using act = Program.load({ kind: 'classifier', name: 'weft_act', code: returning(3) });
  lab.maps.programs.set(L.PROGRAM_ACT, act.fd);
  assert.equal(lab.send(packet), 3);
  const words = lab.frame();
  assert.deepEqual([words[L.F_FLOW / 4], words[L.F_PROGRAM / 4], words[L.F_PC / 4]], [11, 77, 0]);
  assert.equal(lab.counter(lab.maps.flowStats, 11, L.FS_PACKETS), 5n);
});

test('packets that nobody can look up are dropped and counted', { skip }, () => {
  using lab = new LookupLab();
  assert.equal(lab.send(frame()), SHOT);
  assert.deepEqual([lab.total(L.T_NO_PROGRAM), lab.total(L.T_MISSED)], [1, 0]);
});

test('with no masks every packet is missed', { skip }, () => {
  using lab = new LookupLab();
  lab.setMasks([]);
  assert.equal(lab.send(frame()), SHOT);
  assert.deepEqual([lab.total(L.T_MISSED), lab.total(L.T_MASKS_SEARCHED)], [1, 0]);
});

test('the table that a packet was found in is tried first for the next one', { skip }, () => {
  using lab = new LookupLab();
  lab.putPort(3, 1, 1);
  const packets = Array.from({ length: 40 }, (_, i) => frame({ tpDst: i }));
  const masks = packets.map((_, i) => maskWords(maskOf(F.W_TP, OTHERS[i]!)));
  lab.setMasks(masks);
  packets.forEach((packet, i) => {
    lab.put(i, keyOf(packet), i, L.ENTRY_OUTPUT, 3);
  });
  const searched = (packet: Uint8Array): number => {
    const before = lab.total(L.T_MASKS_SEARCHED);
    assert.equal(lab.send(packet), TC_ACT.redirect);
    return lab.total(L.T_MASKS_SEARCHED) - before;
  };
  // Each CPU remembers by itself, and the runs may change from one to the other.
  const searchedAgain = (packet: Uint8Array): number =>
    Math.min(...Array.from({ length: possibleCpus() + 1 }, () => searched(packet)));
  packets.forEach((packet, i) => {
    const first = searched(packet);
    assert.ok(first === 1 || first >= i + 1, `${first} of ${i + 1}`);
    assert.equal(searchedAgain(packet), 1);
  });
  assert.ok(lab.total(L.T_CACHE_HITS) >= packets.length);
  // Bytes of tables that are no more.
  lab.setMasks(masks.slice(0, 5));
  lab.put(2, keyOf(packets[39]!), 1, L.ENTRY_OUTPUT, 3);
  assert.equal(searched(packets[39]!), 3);
  assert.equal(searchedAgain(packets[39]!), 1);
});

test('what one packet had the next does not have', { skip }, () => {
  using lab = new LookupLab();
  const words = [F.W_IN_PORT, F.W_VLAN, F.W_VLAN + 1, F.W_NW_SRC, F.W_NW, F.W_TP, F.W_TCP_FLAGS];
  lab.setMasks([maskWords(maskOf(...words))]);
  lab.putPort(3, 1, 1);
  const rich = frame({
    tcpFlags: 2,
    tags: [
      [0x88a8, 5],
      [0x8100, 6],
    ],
  });
  const poor = Uint8Array.from([...rich.subarray(0, 12), 0x12, 0x34, ...rich.subarray(22)]);
  for (const packet of [rich, poor])
    lab.put(0, masked(keyOf(packet), maskOf(...words)), 1, L.ENTRY_OUTPUT, 3);
  for (const packet of [rich, poor, rich, poor]) assert.equal(lab.send(packet), TC_ACT.redirect);
});

test('tunnel words of the packet before are cleared', { skip }, () => {
  using lab = new LookupLab();
  const tunnel = [...Array(17).keys(), F.W_TUN_METADATA_PRESENT, F.W_TUN_METADATA, F.FLOW_WORDS - 1];
  lab.setMasks([maskWords(maskOf(F.W_ETH, ...tunnel))]);
  const dirty = lab.maps.frame.get(0)!.map((bytes) => {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (const word of tunnel) words[word] = 0xeeee;
    words[L.F_TUNNEL / 4] = 1;
    return bytes;
  });
  lab.maps.frame.set(0, dirty);
  lab.putPort(3, 1, 1);
  lab.put(0, keyOf(frame()), 1, L.ENTRY_OUTPUT, 3);
  assert.equal(lab.send(frame()), TC_ACT.redirect);
});
