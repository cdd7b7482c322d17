/**
 * `npm run bench -- lookup [--json]`: what a packet costs in the kernel datapath's entry and lookup programs by
 * test-run, without a device: a 64-byte TCP packet whose megaflow says drop, with 1 to 48 masks of which the last one has it,
 * and one that no mask has (no room left for its upcall). `ours` is the hit by 48 masks, `theirs` that by one. Needs root.
 */
import { parseArgs } from 'node:util';
import { entryProgram } from '../src/datapath/kernel/entry-program.ts';
import * as L from '../src/datapath/kernel/layout.ts';
import {
  keySize,
  lookupProgram,
  MAX_TABLES,
  maskWords,
  packKey,
} from '../src/datapath/kernel/lookup-program.ts';
import { closeMaps, createMaps } from '../src/datapath/kernel/maps.ts';
import { upcallFunction } from '../src/datapath/kernel/upcall.ts';
import { extractFlow } from '../src/datapath/packet/extract.ts';
import { Packet } from '../src/datapath/packet/packet.ts';
import { returning } from '../src/ebpf/build.ts';
import { bytes } from '../src/ebpf/codec.ts';
import { TC_ACT } from '../src/ebpf/context.ts';
import { BpfMap } from '../src/ebpf/map.ts';
import { Program } from '../src/ebpf/program.ts';
import * as F from '../src/flow/layout.ts';

const REPEAT = 10_000;
const ROUNDS = 200;
const ENTRIES = 500;
const PORT = 1;
const WORDS = [
  F.W_IN_PORT,
  F.W_RECIRC_ID,
  F.W_PACKET_TYPE,
  F.W_ETH_TYPE,
  F.W_NW_SRC,
  F.W_NW_DST,
  F.W_NW,
  F.W_TP,
];

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: { json: { type: 'boolean' } },
});

/** 64 bytes: Ethernet, IPv4, TCP with SYN, 10 bytes. */
const packet = Uint8Array.from(
  Buffer.from(
    `02000000000202000000000108004500003200010000400600000a0000010a00000203e807d0000000010000000050021000000000${'00'.repeat(11)}`,
    'hex',
  ),
);

/** The fastest of many short rounds, in nanoseconds a packet: others use the machine too. */
function time(program: Program): number {
  const rounds = Array.from({ length: ROUNDS }, () => program.run({ packet, repeat: REPEAT }).nanoseconds);
  return Math.min(...rounds);
}

interface Row {
  readonly masks: number;
  readonly hit: number;
  readonly miss: number;
  readonly slots: number;
  readonly loadMs: number;
}

function measure(masks: number): Row {
  const maps = createMaps({ maxFlows: 4096, rings: 1, ringBytes: 4096 });
  const code = entryProgram({ maps, port: PORT, portStats: 0, ring: 0 });
  using entry = Program.load({ kind: 'classifier', name: 'weft_entry', code });
  const flow = F.newFlow();
  flow[F.W_IN_PORT] = PORT;
  extractFlow(new Packet(packet), flow);
  const tables = Array.from({ length: masks }, (_, i) => {
    const mask = F.newFlow();
    for (const word of WORDS) mask[word] = 0xffffffff;
    mask[F.W_NW_DST] = i + 1;
    const words = maskWords(mask);
    const map = BpfMap.create({
      kind: 'hash',
      name: 'weft_mask',
      key: bytes(keySize(words)),
      value: bytes(L.ENTRY_SIZE),
      maxEntries: 2 * ENTRIES,
    });
    return { words, map };
  });
  const put = (table: number, key: F.Flow): void => {
    const { words, map } = tables[table]!;
    const packed = new Uint8Array(keySize(words));
    packKey(words, key, packed);
    const entry = new Uint8Array(L.ENTRY_SIZE);
    new Uint32Array(entry.buffer).set([1, L.ENTRY_DROP]);
    map.set(packed, entry);
  };
  // Others, so that a bucket has something in it.
  for (let table = 0; table < masks; table++) {
    for (let i = 0; i < ENTRIES; i++) {
      const other = flow.slice();
      other[F.W_TP] = i;
      put(table, other);
    }
  }
  const started = performance.now();
  using lookup = Program.load({
    kind: 'classifier',
    name: 'weft_lookup',
    code: lookupProgram({
      maps,
      tables,
      upcall: upcallFunction(maps),
      hot: { slots: maps.hot, epoch: maps.epoch, program: 1 },
    }),
  });
  const loadMs = performance.now() - started;
  maps.programs.set(L.PROGRAM_LOOKUP, lookup.fd);
  const miss = time(entry);
  put(masks - 1, flow);
  const hit = time(entry);
  for (const { map } of tables) map.close();
  closeMaps(maps);
  return { masks, hit, miss, slots: lookup.assembly!.slots, loadMs };
}

using empty = Program.load({ kind: 'classifier', name: 'weft_empty', code: returning(TC_ACT.shot) });
console.log(`${packet.length} bytes; an empty program: ${time(empty)} ns`);
console.log('masks   hit ns   miss ns   instructions   load ms');
const rows = [1, 2, 4, 8, 16, 32, MAX_TABLES].map((masks) => {
  const row = measure(masks);
  const columns = [
    [row.masks, 5],
    [row.hit, 9],
    [row.miss, 10],
    [row.slots, 15],
    [row.loadMs.toFixed(1), 10],
  ] as const;
  console.log(columns.map(([value, width]) => String(value).padStart(width)).join(''));
  return row;
});
if (options.json === true) {
  const ours = rows.at(-1)!.hit;
  const theirs = rows[0]!.hit;
  console.log(JSON.stringify({ bench: 'lookup', ours, theirs, ratio: theirs / ours, rows }));
}
