import assert from 'node:assert/strict';
import test from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { nullLogger } from '../../base/log.ts';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import type { MegaflowId, MegaflowSpec } from '../types.ts';
import { createInProcessDatapath, type InProcessDatapath } from '../userspace/in-process.ts';
import { hex, keyOf, masked } from './frames.ts';
import { collectUpcalls, type Harness, type SeenUpcall } from './harness.ts';
import { kernelHarness, kernelMissing } from './kernel-harness.ts';
import { Random } from './random.ts';
import { disjointMask, randomActions, randomFrame } from './random-traffic.ts';

/*
 * The kernel's datapath and the userspace one, side by side: the same megaflows, the same frames; what goes out, what
 * comes up and what is counted must be equal. WEFT_TWINS=N sends N times 2,000 frames, WEFT_TWINS_SEED=N others.
 */
const ROUNDS = Number(process.env.WEFT_TWINS ?? 10);
const SEED = Number(process.env.WEFT_TWINS_SEED ?? 7);
const FRAMES = 2000;
const CHUNK = 50;
const FLOWS = 60;

const stopped: Clock = { now: () => 1000, wall: () => 0, after: () => ({ cancel: () => {} }) };

/** The userspace datapath with what it sent since. */
class Reference {
  readonly datapath: InProcessDatapath = createInProcessDatapath({
    clock: stopped,
    random: () => 0.5,
    log: nullLogger,
  });
  readonly seen = collectUpcalls(this.datapath);
  readonly #out = new Map<number, string[]>();

  addPort(number: number): void {
    const name = `w${number}`;
    assert.equal(this.datapath.portAdd({ name, type: 'dummy' }, number), number);
    const out: string[] = [];
    this.#out.set(number, out);
    this.datapath.dummyPort(name).onTransmit((packet) => out.push(hex(packet)));
  }
  send(port: number, frame: Uint8Array): void {
    this.datapath.dummyPort(`w${port}`).receive(frame);
  }
  take(port: number): string[] {
    return this.#out.get(port)?.splice(0) ?? [];
  }
}

const shown = (upcalls: SeenUpcall[]): string[] =>
  upcalls
    .splice(0)
    .map(({ packet, flow, userdata }) => `${hex(packet)} ${wordsOf(flow)} ${JSON.stringify(userdata)}`)
    .sort();
const wordsOf = (flow: Flow): string =>
  [...flow].flatMap((v, w) => (v === 0 ? [] : [`${w}=${v.toString(16)}`])).join(',');

/** Disjoint megaflows for frames that come. */
function randomFlows(random: Random, ports: readonly number[]): MegaflowSpec[] {
  const flows: MegaflowSpec[] = [];
  for (let i = 0; i < FLOWS; i++) {
    const port = random.pick(ports);
    const recircId = random.chance(20) ? 1 + random.below(2) : 0;
    const key = keyOf(port, randomFrame(random), recircId);
    key[W_IN_PORT] = port;
    const covered = flows.some((f) => f.mask.every((m, w) => ((f.key[w] ^ key[w]) & m) === 0));
    if (covered) continue;
    const mask = disjointMask(random, key, flows);
    // Copies stand 4 deep in each other in the kernel, more in user space.
    const actions = randomActions(random, ports, recircId === 0 ? 3 : 0);
    flows.push({ key: masked(key, mask), mask, actions });
  }
  return flows;
}

async function compareChunk(kernel: Harness, reference: Reference, ports: readonly number[]): Promise<void> {
  await kernel.settle();
  // Frames that the process sends may come after those of the kernel.
  for (const port of ports)
    assert.deepEqual(kernel.take(port).map(hex).sort(), reference.take(port).sort(), `frames out of ${port}`);
}

test('the kernel does what user space does, frame by frame', { skip: kernelMissing }, async (t) => {
  const kernel = await kernelHarness();
  const reference = new Reference();
  const kernelSeen = collectUpcalls(kernel.datapath);
  try {
    const ports = [1, 2, 3, 4].map((n) => kernel.addPort(n));
    for (const port of ports) reference.addPort(port);
    for (let round = 0; round < ROUNDS; round++) {
      const seed = SEED + round;
      const random = new Random(seed);
      try {
        const flows = randomFlows(random, ports);
        const ids = [kernel.datapath, reference.datapath].map((dp) => flows.map((flow) => dp.flowPut(flow)));
        await kernel.datapath.flush();
        for (let sent = 0; sent < FRAMES; sent += CHUNK) {
          for (let n = 0; n < CHUNK; n++) {
            const port = random.pick(ports);
            const bytes = randomFrame(random);
            kernel.send(port, bytes);
            reference.send(port, bytes);
          }
          await compareChunk(kernel, reference, ports);
          assert.deepEqual(shown(kernelSeen), shown(reference.seen), 'upcalls');
        }
        const counted = (dp: Harness['datapath'], list: readonly MegaflowId[]) =>
          dp.flowDeleteAll(list).map(({ packets, bytes, tcpFlags }) => ({ packets, bytes, tcpFlags }));
        assert.deepEqual(counted(kernel.datapath, ids[0]), counted(reference.datapath, ids[1]), 'counters');
        assert.deepEqual(kernel.datapath.drops(), reference.datapath.drops(), 'drops');
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    const { hits, missed, lost } = kernel.datapath.stats();
    const there = reference.datapath.stats();
    assert.deepEqual({ hits, missed, lost }, { hits: there.hits, missed: there.missed, lost: there.lost });
    t.diagnostic(`${ROUNDS * FRAMES} frames, ${hits} hits, ${missed} misses`);
    assert.ok(hits > missed / 4, `only ${hits} hits of ${missed} misses`);
  } finally {
    await kernel.close();
  }
});
