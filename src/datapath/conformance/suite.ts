import assert from 'node:assert/strict';
import test from 'node:test';
import { WeftError } from '../../base/errors.ts';
import {
  W_DP_HASH,
  W_ETH,
  W_IN_PORT,
  W_NW,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { checksum } from '../../wire/checksum.ts';
import { newFlowStatsRows, putFlows, readFlowStats } from '../batch.ts';
import { formatKey, parseActions } from '../text/index.ts';
import type { DpAction, MegaflowId } from '../types.ts';
import { frame, hex, keyOf, masked, maskOf } from './frames.ts';
import { collectUpcalls, type Harness, type HarnessFactory, type HarnessOptions } from './harness.ts';
import { meterSuite } from './meters.ts';

const output = (port: number): DpAction => ({ type: 'output', port });
const COOKIE = { type: 'slow_path', reason: 'lacp' } as const;

/** Two ports, and all that comes in on the first handled by `actions`. */
async function withFlow(
  harness: Harness,
  actions: (p2: number, p3: number) => readonly DpAction[],
): Promise<{ p1: number; p2: number; p3: number; id: MegaflowId }> {
  const [p1, p2, p3] = [harness.addPort(), harness.addPort(), harness.addPort()];
  const id = allFrom(harness, p1, actions(p2, p3));
  return { p1, p2, p3, id };
}

function allFrom(harness: Harness, port: number, actions: readonly DpAction[], recircId = 0): MegaflowId {
  const mask = maskOf(W_IN_PORT, W_RECIRC_ID);
  return harness.datapath.flowPut({ key: masked(keyOf(port, frame(), recircId), mask), mask, actions });
}

/**
 * What every datapath must do. Registers one test a behaviour.
 *
 * @param name of the datapath
 * @param factory builds a fresh one, with nothing in it
 * @param skip why not to run at all
 */
export function conformanceSuite(name: string, factory: HarnessFactory, skip: string | false = false): void {
  const check = (title: string, run: (h: Harness) => Promise<void>, options?: HarnessOptions): void => {
    test(`${name}: ${title}`, { skip }, async () => {
      const harness = await factory(options);
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });
  };
  const taken = (h: Harness, port: number): string[] => h.take(port).map(hex);

  check('ports get the number wanted if it is free, and keep their place in the list', async (h) => {
    const a = h.addPort(7);
    assert.equal(a, 7);
    const b = h.addPort(7);
    assert.notEqual(b, 7);
    const numbers = h.datapath.ports().map((p) => p.port);
    assert.ok(numbers.includes(0), 'the local port is listed');
    assert.ok(numbers.includes(a) && numbers.includes(b));
    h.deletePort(a);
    assert.ok(!h.datapath.ports().some((p) => p.port === a));
    assert.throws(() => h.datapath.portStats(a), { code: 'no-such-port' });
    assert.throws(() => h.datapath.portDelete(a), { code: 'no-such-port' });
    assert.equal(h.addPort(7), 7);
  });

  check('a frame without a megaflow goes up, with its key', async (h) => {
    const p1 = h.addPort();
    const seen = collectUpcalls(h.datapath);
    const f = frame({ tags: [[0x8100, 0x6005]] });
    h.send(p1, f);
    await h.settle();
    assert.equal(seen.length, 1);
    assert.equal(seen[0].kind, 'miss');
    assert.equal(hex(seen[0].packet), hex(f));
    assert.deepEqual(seen[0].flow, keyOf(p1, f));
    assert.equal(seen[0].userdata, null);
    assert.deepEqual(
      { ...h.datapath.stats(), masksSearched: 0 },
      { hits: 0, missed: 1, lost: 0, microflowHits: 0, masksSearched: 0 },
    );
  });

  check('without a handler a miss is lost, and counted', async (h) => {
    const p1 = h.addPort();
    h.send(p1, frame());
    await h.settle();
    const { missed, lost } = h.datapath.stats();
    assert.deepEqual({ missed, lost }, { missed: 1, lost: 1 });
  });

  check('a megaflow forwards what it covers, and counts', async (h) => {
    const { p1, p2, id } = await withFlow(h, (p2) => [output(p2)]);
    const seen = collectUpcalls(h.datapath);
    const frames = [
      frame(),
      frame({ tpDst: 9, tcpFlags: 0x02 }),
      frame({ tpDst: 9, tcpFlags: 0x10 }),
      frame(),
    ];
    for (const f of frames) h.send(p1, f);
    await h.settle();
    assert.deepEqual(taken(h, p2), frames.map(hex));
    assert.equal(seen.length, 0);
    const stats = h.datapath.flowStats(id);
    const bytes = frames.reduce((n, f) => n + f.length, 0);
    assert.equal(stats.packets, 4);
    assert.equal(stats.bytes, bytes);
    assert.equal(stats.tcpFlags, 0x12);
    assert.ok(stats.used > 0);
    assert.deepEqual(h.datapath.portStats(p1), {
      rxPackets: 4,
      rxBytes: bytes,
      rxErrors: 0,
      rxDropped: 0,
      txPackets: 0,
      txBytes: 0,
      txErrors: 0,
      txDropped: 0,
    });
    assert.equal(h.datapath.portStats(p2).txPackets, 4);
    assert.equal(h.datapath.portStats(p2).txBytes, bytes);
    const { hits, missed, lost } = h.datapath.stats();
    assert.deepEqual({ hits, missed, lost }, { hits: 4, missed: 0, lost: 0 });
  });

  check('a megaflow covers nothing but what its mask says', async (h) => {
    const [p1, p2, p3] = [h.addPort(), h.addPort(), h.addPort()];
    const seen = collectUpcalls(h.datapath);
    const mask = maskOf(W_IN_PORT);
    mask[W_TP] = 0x0000ff00;
    const key = masked(keyOf(p1, frame({ tpDst: 0x1200 })), mask);
    h.datapath.flowPut({ key, mask, actions: [output(p2)] });
    h.send(p1, frame({ tpDst: 0x12ff, tpSrc: 77 }));
    h.send(p1, frame({ tpDst: 0x1300 }));
    h.send(p3, frame({ tpDst: 0x1200 }));
    await h.settle();
    assert.equal(taken(h, p2).length, 1);
    assert.deepEqual(seen.map((u) => u.flow[W_TP] & 0xffff).sort(), [0x1200, 0x1300]);
  });

  check('putting a megaflow again replaces its actions and keeps its counters', async (h) => {
    const { p1, p2, p3, id } = await withFlow(h, (p2) => [output(p2)]);
    h.send(p1, frame());
    await h.settle();
    assert.equal(allFrom(h, p1, [output(p3)]), id);
    assert.equal(h.datapath.flowCount, 1);
    h.send(p1, frame());
    await h.settle();
    assert.equal(taken(h, p2).length, 1);
    assert.equal(taken(h, p3).length, 1);
    assert.equal(h.datapath.flowStats(id).packets, 2);
  });

  check('a removed megaflow hands its counters over and covers nothing more', async (h) => {
    const { p1, p2, id } = await withFlow(h, (p2) => [output(p2)]);
    const seen = collectUpcalls(h.datapath);
    h.send(p1, frame());
    h.send(p1, frame());
    await h.settle();
    const stats = h.datapath.flowDelete(id);
    assert.equal(stats.packets, 2);
    h.send(p1, frame());
    await h.settle();
    assert.equal(taken(h, p2).length, 2);
    assert.equal(seen.length, 1);
    assert.throws(() => h.datapath.flowStats(id), { code: 'no-such-flow' });
    assert.throws(() => h.datapath.flowDelete(id), { code: 'no-such-flow' });
    assert.equal(h.datapath.flowCount, 0);
    assert.equal(h.datapath.maskCount, 0);
    const again = allFrom(h, p1, [output(p2)]);
    assert.equal(h.datapath.flowStats(again).packets, 0);
  });

  check('many megaflows are removed at once, each with its own counters', async (h) => {
    const { datapath } = h;
    const [p1, p2] = [h.addPort(), h.addPort()];
    const mask = maskOf(W_IN_PORT, W_TP);
    const ids: MegaflowId[] = [];
    for (let i = 0; i < 50; i++) {
      ids.push(
        datapath.flowPut({ key: masked(keyOf(p1, frame({ tpSrc: i })), mask), mask, actions: [output(p2)] }),
      );
    }
    assert.equal(datapath.flowCount, 50);
    assert.equal(datapath.maskCount, 1);
    for (let i = 0; i < 50; i++) for (let n = 0; n <= i % 3; n++) h.send(p1, frame({ tpSrc: i }));
    await h.settle();
    const rows = newFlowStatsRows(64);
    readFlowStats(datapath, Int32Array.from(ids), rows);
    ids.forEach((id, i) => {
      const { packets, bytes, used, tcpFlags } = datapath.flowStats(id);
      assert.deepEqual(
        [rows.packets[i], rows.bytes[i], rows.used[i], rows.tcpFlags[i]],
        [packets, bytes, used, tcpFlags],
      );
    });
    const stats = datapath.flowDeleteAll(ids);
    assert.throws(() => readFlowStats(datapath, Int32Array.from(ids), rows), { code: 'no-such-flow' });
    assert.deepEqual(
      stats.map((s) => s.packets),
      ids.map((_, i) => (i % 3) + 1),
    );
    assert.equal(datapath.flowCount, 0);
  });

  check(
    'many megaflows are installed or changed at once, those that do not fit named',
    async (h) => {
      const { datapath } = h;
      const [p1, p2] = [h.addPort(), h.addPort()];
      const mask = maskOf(W_IN_PORT, W_TP);
      const spec = (tpSrc: number, actions: readonly DpAction[]) => ({
        key: masked(keyOf(p1, frame({ tpSrc })), mask),
        mask,
        actions,
      });
      const [first] = putFlows(datapath, [spec(1, [])]);
      const results = putFlows(datapath, [spec(1, [output(p2)]), spec(2, [output(p2)]), spec(3, [])]);
      assert.equal(results[0], first);
      assert.equal(typeof results[1], 'number');
      assert.ok(results[2] instanceof WeftError && results[2].code === 'flow-table-full');
      assert.equal(datapath.flowCount, 2);
      h.send(p1, frame({ tpSrc: 1 }));
      h.send(p1, frame({ tpSrc: 2 }));
      await h.settle();
      assert.equal(taken(h, p2).length, 2);
    },
    { maxFlows: 2 },
  );

  check(
    'flows and masks beyond the limit are refused, the others stay',
    async (h) => {
      const { datapath } = h;
      const put = (mask: ReturnType<typeof maskOf>, tpSrc: number): MegaflowId =>
        datapath.flowPut({ key: masked(keyOf(1, frame({ tpSrc })), mask), mask, actions: [] });
      const masks = [maskOf(W_TP), maskOf(W_TP, W_IN_PORT), maskOf(W_TP, W_NW)];
      put(masks[0], 1);
      put(masks[1], 2);
      assert.throws(() => put(masks[2], 3), { code: 'too-many-masks' });
      put(masks[0], 3);
      assert.throws(() => put(masks[0], 4), { code: 'flow-table-full' });
      put(masks[0], 3);
      assert.equal(datapath.flowCount, 3);
    },
    { maxFlows: 3, maxMasks: 2 },
  );

  check('outputs before an edit are not changed by it', async (h) => {
    const tag: DpAction = { type: 'push_vlan', tpid: 0x8100, tci: 0x1005 };
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [
      output(p2),
      tag,
      output(p3),
      { type: 'pop_vlan' },
      output(p2),
    ]);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame()), hex(frame())]);
    assert.deepEqual(taken(h, p3), [hex(frame({ tags: [[0x8100, 5]] }))]);
  });

  check('tagged frames pass as they came, and tags come off', async (h) => {
    const tags = [
      [0x88a8, 0x2064],
      [0x8100, 0x6005],
    ] as const;
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [output(p2), { type: 'pop_vlan' }, output(p3)]);
    h.send(p1, frame({ tags }));
    h.send(p1, frame({ tags: [[0x8100, 7]] }));
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame({ tags })), hex(frame({ tags: [[0x8100, 7]] }))]);
    assert.deepEqual(taken(h, p3), [hex(frame({ tags: [tags[1]] })), hex(frame())]);
  });

  check('more tags than there is headroom for', async (h) => {
    const tag: DpAction = { type: 'push_vlan', tpid: 0x8100, tci: 0x1001 };
    const count = 60;
    const { p1, p2 } = await withFlow(h, (p2) => [...Array.from({ length: count }, () => tag), output(p2)]);
    const expected = hex(frame({ tags: Array.from({ length: count }, () => [0x8100, 1] as const) }));
    for (let i = 0; i < 3; i++) h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [expected, expected, expected]);
  });

  check('set writes header fields and keeps checksums right', async (h) => {
    const { p1, p2 } = await withFlow(h, (p2) => [
      { type: 'set', group: 'eth', words: [{ word: W_ETH, value: 0x0a0b0c0d, mask: 0xffffffff }] },
      { type: 'set', group: 'ipv4', words: [{ word: W_NW, value: 0x00000900, mask: 0x0000ff00 }] },
      output(p2),
    ]);
    h.send(p1, frame());
    await h.settle();
    const [out] = h.take(p2);
    assert.equal(hex(out.subarray(0, 4)), '0a0b0c0d');
    assert.equal(out[22], 9);
    assert.equal(checksum(out, 14, 34), 0);
  });

  check('a clone works on its own copy', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [
      { type: 'clone', actions: [{ type: 'push_vlan', tpid: 0x8100, tci: 0x1009 }, output(p3)] },
      output(p2),
    ]);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.deepEqual(taken(h, p3), [hex(frame({ tags: [[0x8100, 9]] }))]);
  });

  check('sample runs always or never at the ends of its range, on its own copy', async (h) => {
    const actions: DpAction[] = [{ type: 'push_vlan', tpid: 0x8100, tci: 0x1009 }];
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [
      { type: 'sample', probability: 0xffffffff, actions: [...actions, output(p3)] },
      { type: 'sample', probability: 0, actions: [output(p3)] },
      output(p2),
    ]);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.deepEqual(taken(h, p3), [hex(frame({ tags: [[0x8100, 9]] }))]);
  });

  check('trunc shortens the next output alone', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [
      { type: 'trunc', maxLen: 20 },
      output(p3),
      output(p2),
    ]);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p3), [hex(frame().subarray(0, 20))]);
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.equal(h.datapath.portStats(p3).txBytes, 20);
  });

  check('check_pkt_len chooses by length', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [
      { type: 'check_pkt_len', length: 100, greater: [output(p3)], lessEqual: [output(p2)] },
    ]);
    h.send(p1, frame({ payload: 100 - 42 }));
    h.send(p1, frame({ payload: 101 - 42 }));
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame({ payload: 58 }))]);
    assert.deepEqual(taken(h, p3), [hex(frame({ payload: 59 }))]);
  });

  check('recirculation looks the changed packet up again', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, () => [
      { type: 'push_vlan', tpid: 0x8100, tci: 0x1005 },
      { type: 'recirc', id: 33 },
    ]);
    const seen = collectUpcalls(h.datapath);
    const mask = maskOf(W_RECIRC_ID, W_VLAN);
    const key = masked(keyOf(p1, frame({ tags: [[0x8100, 5]] }), 33), mask);
    const id = h.datapath.flowPut({ key, mask, actions: [{ type: 'pop_vlan' }, output(p2)] });
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.equal(h.datapath.flowStats(id).packets, 1);
    h.datapath.flowDelete(id);
    h.send(p1, frame());
    await h.settle();
    assert.equal(seen.length, 1);
    assert.deepEqual(seen[0].flow, keyOf(p1, frame({ tags: [[0x8100, 5]] }), 33));
    assert.deepEqual(taken(h, p3), []);
  });

  check('recirculation that is not the last action leaves the rest its packet', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2) => [{ type: 'recirc', id: 5 }, output(p2)]);
    allFrom(h, p1, [{ type: 'push_vlan', tpid: 0x8100, tci: 0x1003 }, output(p3)], 5);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.deepEqual(taken(h, p3), [hex(frame({ tags: [[0x8100, 3]] }))]);
  });

  check('recirculation for ever ends, and is counted', async (h) => {
    const { p1, p2 } = await withFlow(h, () => [{ type: 'recirc', id: 5 }]);
    allFrom(h, p1, [{ type: 'recirc', id: 5 }], 5);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p2), []);
    assert.equal(h.datapath.drops()['recirculation-depth'], 1);
  });

  check(
    'hash gives packets of a connection one number, and metadata live through recirculation',
    async (h) => {
      const { p1 } = await withFlow(h, () => [
        { type: 'hash', algorithm: 0, basis: 0 },
        { type: 'set', group: 'skb_mark', words: [{ word: W_PKT_MARK, value: 0x55, mask: 0xff }] },
        { type: 'recirc', id: 8 },
      ]);
      const seen = collectUpcalls(h.datapath);
      for (const tpSrc of [1, 2, 1]) h.send(p1, frame({ tpSrc }));
      await h.settle();
      const hashes = seen.map((u) => u.flow[W_DP_HASH]);
      assert.equal(hashes[0], hashes[2]);
      assert.notEqual(hashes[0], hashes[1]);
      assert.ok(seen.every((u) => u.flow[W_PKT_MARK] === 0x55 && u.flow[W_RECIRC_ID] === 8));
      // Nothing of it sticks to the next packet.
      h.send(h.addPort(), frame());
      await h.settle();
      assert.equal(seen[3].flow[W_PKT_MARK], 0);
      assert.equal(seen[3].flow[W_DP_HASH], 0);
    },
  );

  check('a userspace action sends the packet up as it is then, with what it carries', async (h) => {
    const { p1, p2 } = await withFlow(h, (p2) => [
      { type: 'push_vlan', tpid: 0x8100, tci: 0x1005 },
      { type: 'userspace', pid: 0, cookie: COOKIE },
      { type: 'pop_vlan' },
      output(p2),
    ]);
    const seen = collectUpcalls(h.datapath);
    h.send(p1, frame());
    await h.settle();
    assert.equal(seen.length, 1);
    assert.equal(seen[0].kind, 'action');
    assert.deepEqual(seen[0].userdata, COOKIE);
    assert.equal(hex(seen[0].packet), hex(frame({ tags: [[0x8100, 5]] })));
    assert.deepEqual(seen[0].flow, keyOf(p1, frame({ tags: [[0x8100, 5]] })));
    assert.deepEqual(taken(h, p2), [hex(frame())]);
  });

  check('a set of a tunnel replaces the tunnel as a whole', async (h) => {
    const first = 'set(tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,tos=0x4,ttl=64,tp_dst=4789,flags(df|key)))';
    const second = 'set(tunnel(ipv6_dst=fd00::1,ttl=9,flags(csum)))';
    await withFlow(h, () => [
      ...parseActions(first),
      ...parseActions(second),
      { type: 'userspace', pid: 0, cookie: COOKIE },
    ]);
    const seen = collectUpcalls(h.datapath);
    h.send(1, frame());
    await h.settle();
    assert.equal(seen.length, 1);
    assert.match(formatKey(seen[0].flow, null), /,tunnel\(ipv6_dst=fd00::1,ttl=9,flags\(csum\)\),/);
  });

  check('what the datapath drops itself is counted by reason', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2) => [output(4000), output(p2)]);
    allFrom(h, p2, [{ type: 'drop', reason: 'acl' }, output(p3)]);
    h.send(p1, frame());
    h.send(p2, frame());
    await h.settle();
    assert.equal(taken(h, p2).length, 1);
    assert.equal(taken(h, p3).length, 0);
    const drops = h.datapath.drops();
    assert.equal(drops['no-such-port'], 1);
    assert.equal(drops.explicit, 1);
  });

  check('execute runs actions with the metadata given', async (h) => {
    const [p1, p2] = [h.addPort(), h.addPort()];
    const seen = collectUpcalls(h.datapath);
    const flow = keyOf(p1, frame());
    flow[W_PKT_MARK] = 9;
    h.datapath.execute({ packet: frame(), flow, actions: [output(p2), { type: 'recirc', id: 3 }] });
    await h.settle();
    assert.deepEqual(taken(h, p2), [hex(frame())]);
    assert.equal(seen.length, 1);
    assert.equal(seen[0].flow[W_PKT_MARK], 9);
    assert.equal(seen[0].flow[W_IN_PORT], p1);
    assert.equal(seen[0].flow[W_RECIRC_ID], 3);
    assert.equal(h.datapath.portStats(p1).rxPackets, 0);
  });

  check('a handler that installs and executes sees each flow once', async (h) => {
    const [p1, p2] = [h.addPort(), h.addPort()];
    const mask = maskOf(W_IN_PORT, W_TP);
    let upcalls = 0;
    h.datapath.setUpcallHandler(({ packet, flow, offload }) => {
      upcalls++;
      h.datapath.flowPut({ key: masked(flow, mask), mask, actions: [output(p2)] });
      h.datapath.execute({ packet, flow, offload, actions: [output(p2)] });
    });
    for (let i = 0; i < 30; i++) {
      h.send(p1, frame({ tpSrc: i % 5 }));
      await h.settle();
    }
    assert.equal(upcalls, 5);
    assert.equal(taken(h, p2).length, 30);
    const { hits, missed } = h.datapath.stats();
    assert.deepEqual({ hits, missed }, { hits: 25, missed: 5 });
  });

  check('a removed port gets nothing more', async (h) => {
    const { p1, p2, p3 } = await withFlow(h, (p2, p3) => [output(p2), output(p3)]);
    h.deletePort(p2);
    h.send(p1, frame());
    await h.settle();
    assert.deepEqual(taken(h, p3), [hex(frame())]);
    assert.equal(h.datapath.drops()['no-such-port'], 1);
  });

  check('large and small frames pass in order', async (h) => {
    const { p1, p2 } = await withFlow(h, (p2) => [output(p2)]);
    const frames = [1472, 0, 700, 1472, 18, 1].map((payload) => frame({ payload }));
    for (const f of frames) h.send(p1, f);
    await h.settle();
    assert.deepEqual(taken(h, p2), frames.map(hex));
  });

  meterSuite(check);
}
