import assert from 'node:assert/strict';
import test from 'node:test';
import type { Flow } from '../../flow/layout.ts';
import type { MegaflowId } from '../types.ts';
import { hex, masked } from './frames.ts';
import { collectUpcalls, type Harness, type HarnessFactory } from './harness.ts';
import { Model } from './model.ts';
import { Random } from './random.ts';
import { disjointMask, randomActions, randomFrame } from './random-traffic.ts';

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
        const mask = disjointMask(random, flow, model.flows.values());
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
