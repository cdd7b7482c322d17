import assert from 'node:assert/strict';
import test from 'node:test';
import {
  FLOW_WORDS,
  type Flow,
  W_ARP_HA,
  W_DP_HASH,
  W_ETH,
  W_ETH_TYPE,
  W_IN_PORT,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import type { DpAction, MegaflowId } from '../types.ts';
import { exactMask, frame, hex, masked } from './frames.ts';
import { collectUpcalls, type Harness, type HarnessFactory } from './harness.ts';
import { Model } from './model.ts';
import { Random } from './random.ts';

export interface DifferentialOptions {
  /** Random scenarios, each on a fresh datapath. */
  readonly scenarios: number;
  /** Events in each. */
  readonly steps: number;
  /** First seed; a failure names the seed that showed it. */
  readonly seed?: number;
}

/**
 * Random frames through a datapath and through the {@link Model}: every frame out, every upcall and
 * every counter must agree. The test plays the slow path: it answers each miss with a random megaflow
 * that overlaps none of those installed, and now and then removes one or changes its actions.
 */
export function differentialSuite(
  name: string,
  factory: HarnessFactory,
  options: DifferentialOptions,
  skip: string | false = false,
): void {
  test(`${name}: agrees with the naive model on random traffic`, { skip }, async () => {
    const first = options.seed ?? 1;
    for (let seed = first; seed < first + options.scenarios; seed++) {
      const harness = await factory();
      try {
        await scenario(harness, seed, options.steps);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      } finally {
        await harness.close();
      }
    }
  });
}

async function scenario(harness: Harness, seed: number, steps: number): Promise<void> {
  const random = new Random(seed);
  const { datapath } = harness;
  const model = new Model();
  const seen = collectUpcalls(datapath);
  const ports = [harness.addPort(), harness.addPort(), harness.addPort()];
  for (const port of ports) model.out.set(port, []);

  const compare = async (): Promise<void> => {
    await harness.settle();
    for (const port of ports) {
      // Frames from different ports may overtake each other.
      assert.deepEqual(
        harness.take(port).map(hex).sort(),
        (model.out.get(port) ?? []).map(hex).sort(),
        `frames out of port ${port}`,
      );
      model.out.set(port, []);
    }
    const show = (u: { packet: Uint8Array; flow: Flow; userdata: unknown }): unknown => ({
      packet: hex(u.packet),
      flow: Array.from(u.flow)
        .map((v, w) => (v === 0 ? '' : `${w}=${v.toString(16)}`))
        .filter((t) => t !== ''),
      userdata: u.userdata,
    });
    // Queues are fair between ports, so the order between them is not fixed.
    const sorted = (list: readonly { packet: Uint8Array; flow: Flow; userdata: unknown }[]): unknown[] =>
      list.map(show).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    assert.deepEqual(sorted(seen), sorted(model.upcalls), 'upcalls');
  };

  for (let step = 0; step < steps; step++) {
    const kind = random.below(100);
    if (kind < 70) {
      for (let n = random.below(4); n >= 0; n--) {
        const port = random.pick(ports);
        const bytes = randomFrame(random);
        harness.send(port, bytes);
        model.receive(port, bytes);
      }
    } else if (kind < 80 && model.flows.size > 0) {
      const ids = [...model.flows.keys()].filter(() => random.chance(40));
      checkStats(datapath.flowDeleteAll(ids), ids, model);
      for (const id of ids) model.flows.delete(id);
    } else if (model.flows.size > 0) {
      const flow = model.flows.get(random.pick([...model.flows.keys()]));
      if (flow === undefined) continue;
      flow.actions = randomActions(random, ports, 3);
      datapath.flowPut(flow);
    }
    await compare();
    // Answer the misses. Executing the answer may recirculate and miss again: those wait for their turn.
    const misses = model.upcalls.filter((u) => u.userdata === null);
    model.upcalls = [];
    seen.length = 0;
    for (const { packet, flow } of misses) {
      const actions = randomActions(random, ports, 3);
      if (model.covering(flow).length === 0 && random.chance(90)) {
        const mask = disjointMask(random, flow, model);
        const spec = { key: masked(flow, mask), mask, actions };
        const id = datapath.flowPut(spec);
        assert.equal(model.flows.has(id), false, 'an id in use was given again');
        model.flows.set(id, { ...spec, packets: 0, bytes: 0, tcpFlags: 0 });
      }
      datapath.execute({ packet, flow, actions });
      model.execute(packet, flow, actions);
    }
    if (misses.length > 0) await compare();
    model.upcalls = [];
    seen.length = 0;
    const { hits, missed, lost } = datapath.stats();
    assert.deepEqual({ hits, missed, lost }, { hits: model.hits, missed: model.missed, lost: 0 });
  }
  const ids = [...model.flows.keys()];
  checkStats(
    ids.map((id) => datapath.flowStats(id)),
    ids,
    model,
  );
  assert.equal(datapath.flowCount, ids.length);
  for (const [reason, count] of Object.entries(model.drops))
    assert.equal(datapath.drops()[reason], count, reason);
}

function checkStats(
  stats: readonly { packets: number; bytes: number; tcpFlags: number }[],
  ids: readonly MegaflowId[],
  model: Model,
): void {
  assert.deepEqual(
    stats.map(({ packets, bytes, tcpFlags }) => ({ packets, bytes, tcpFlags })),
    ids.map((id) => {
      const { packets, bytes, tcpFlags } = model.flows.get(id) as {
        packets: number;
        bytes: number;
        tcpFlags: number;
      };
      return { packets, bytes, tcpFlags };
    }),
  );
}

/** Few values for each field, so that frames share megaflows and differ in what masks leave out. */
function randomFrame(random: Random): Uint8Array {
  const kind = random.below(10);
  const tags = random.pick([
    [],
    [],
    [],
    [[0x8100, 5]],
    [[0x8100, 0x6006]],
    [
      [0x88a8, 5],
      [0x8100, 7],
    ],
  ] as const);
  const bytes = frame({
    src: 1 + random.below(2),
    dst: 1 + random.below(3),
    tags,
    nwSrc: 0x0a000001 + random.below(2),
    nwDst: random.pick([0x0a000002, 0x0a000102]),
    tpSrc: 1000 + random.below(2),
    tpDst: random.pick([80, 443]),
    ttl: random.pick([64, 63]),
    payload: random.pick([18, 18, 100]),
    tcpFlags: random.chance(40) ? random.pick([0x02, 0x10, 0x18]) : undefined,
  });
  const type = 12 + tags.length * 4;
  if (kind === 0) bytes.set([0x08, 0x06], type);
  if (kind === 1) bytes.set([0x86, 0xdd], type);
  if (kind === 2) bytes.set([0x88, 0x47], type);
  if (kind === 3) bytes[random.below(bytes.length - 14) + 14] ^= 1 << random.below(8);
  // What looks like an unfinished packet must not stop anything. (A frame that ends within its outer tag
  // is one that Linux drops before anybody sees it.)
  const least = tags.length === 0 ? 14 : 20;
  return kind === 4 ? bytes.subarray(0, least + random.below(bytes.length - least)) : bytes;
}

const MASKABLE = [
  W_ETH,
  W_ETH + 1,
  W_ETH + 2,
  W_ETH_TYPE,
  W_VLAN,
  W_NW_SRC,
  W_NW_DST,
  W_NW,
  W_TP,
  W_DP_HASH,
  W_PKT_MARK,
  W_TCP_FLAGS,
  W_VLAN + 1,
  W_IPV6_SRC,
  W_ARP_HA,
];

/** A random mask under which `key` overlaps none of the model's megaflows; in the end every bit. */
function disjointMask(random: Random, key: Flow, model: Model): Flow {
  for (let attempt = 0; attempt < 4; attempt++) {
    const mask = new Uint32Array(FLOW_WORDS);
    mask[W_IN_PORT] = 0xffffffff;
    mask[W_RECIRC_ID] = 0xffffffff;
    for (const w of MASKABLE) {
      if (random.chance(35))
        mask[w] = random.chance(60) ? 0xffffffff : (0xffffffff << random.below(32)) >>> 0;
    }
    const overlaps = [...model.flows.values()].some((f) =>
      f.mask.every((m, w) => ((f.key[w] ^ key[w]) & m & mask[w]) === 0),
    );
    if (!overlaps) return mask;
  }
  return exactMask();
}

function randomActions(random: Random, ports: readonly number[], depth: number): DpAction[] {
  return Array.from({ length: random.below(4) }, () => randomAction(random, ports, depth));
}

function randomAction(random: Random, ports: readonly number[], depth: number): DpAction {
  const nested = (): DpAction[] => (depth > 0 ? randomActions(random, ports, depth - 1) : []);
  switch (random.below(17)) {
    case 0:
      return { type: 'push_vlan', tpid: random.pick([0x8100, 0x88a8]), tci: 0x1000 | random.pick([5, 6]) };
    case 1:
      return { type: 'pop_vlan' };
    case 2:
      // Lists that recirculate several times over would multiply without end.
      return depth === 3 && random.chance(60)
        ? { type: 'recirc', id: 1 + random.below(2) }
        : { type: 'pop_vlan' };
    case 3:
      return { type: 'clone', actions: nested() };
    case 4:
      return { type: 'sample', probability: random.pick([0, 0xffffffff]), actions: nested() };
    case 5:
      return { type: 'check_pkt_len', length: 64, greater: nested(), lessEqual: nested() };
    case 6:
      return { type: 'trunc', maxLen: 14 + random.below(40) };
    case 7:
      return { type: 'hash', algorithm: random.below(2), basis: 0 };
    case 8:
      return {
        type: 'set',
        group: 'skb_mark',
        words: [{ word: W_PKT_MARK, value: random.below(4), mask: 3 }],
      };
    case 9:
      return { type: 'set', group: 'eth', words: [{ word: W_ETH, value: random.below(4), mask: 0xff }] };
    case 10:
      return { type: 'set', group: 'ipv4', words: [{ word: W_NW_DST, value: 0x0a000102, mask: 0xffffffff }] };
    case 11:
      return {
        type: 'userspace',
        pid: 0,
        cookie: { type: 'slow_path', reason: random.pick(['lacp', 'stp']) },
      };
    case 12:
      return random.chance(20) ? { type: 'drop', reason: 'test' } : { type: 'output', port: 3999 };
    default:
      return { type: 'output', port: random.pick(ports) };
  }
}
