import assert from 'node:assert/strict';
import { W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import type { MeterConfig } from '../types.ts';
import { frame, keyOf, masked, maskOf } from './frames.ts';
import type { Harness } from './harness.ts';

/**
 * Two long frames pass, and the next only when the bucket has had 12 seconds: however slow a machine is, what is
 * looked at here happens in one of them.
 */
const SLOW: MeterConfig = { unit: 'kilobits', bands: [{ rate: 1, burst: 24 }] };
const LONG = frame({ payload: 1500 - 42 });
const SHORT = frame({ payload: 100 });

/** Two ports, and what comes in on the first leaves by the second unless the meter drops it. */
function metered(h: Harness, meter: number): [p1: number, p2: number] {
  const [p1, p2] = [h.addPort(), h.addPort()];
  const mask = maskOf(W_IN_PORT, W_RECIRC_ID);
  const actions = [{ type: 'meter', meter } as const, { type: 'output', port: p2 } as const];
  h.datapath.flowPut({ key: masked(keyOf(p1, frame()), mask), mask, actions });
  return [p1, p2];
}

/** Sends frames and says how many came out. */
async function passed(
  h: Harness,
  [from, to]: [number, number],
  frames: readonly Uint8Array[],
): Promise<number> {
  for (const bytes of frames) h.send(from, bytes);
  await h.settle();
  return h.take(to).length;
}

/** What every datapath must do with meters. */
export function meterSuite(check: (title: string, run: (h: Harness) => Promise<void>) => void): void {
  check('a meter drops what exceeds it, and counts', async (h) => {
    h.datapath.meterSet(5, SLOW);
    const way = metered(h, 5);
    assert.equal(await passed(h, way, [LONG, LONG, LONG, LONG, LONG]), 2);
    assert.deepEqual(h.datapath.meterCounts(5), {
      packets: 5,
      bytes: 5 * LONG.length,
      bands: [{ packets: 3, bytes: 3 * LONG.length }],
    });
    assert.equal(h.datapath.drops().meter, 3);
  });

  check('of several bands that of the highest rate that is exceeded counts a packet', async (h) => {
    const [slow] = SLOW.bands;
    h.datapath.meterSet(0, {
      unit: 'kilobits',
      bands: [{ rate: 1, burst: 1 }, slow, { rate: 2, burst: 36 }],
    });
    const way = metered(h, 0);
    assert.equal(await passed(h, way, [LONG, LONG, LONG, LONG]), 0);
    const { bands } = h.datapath.meterCounts(0);
    assert.deepEqual(
      bands.map(({ packets }) => packets),
      [3, 0, 1],
    );
  });

  check('a meter that is set again starts anew, and one that is gone passes all', async (h) => {
    h.datapath.meterSet(7, SLOW);
    const way = metered(h, 7);
    assert.equal(await passed(h, way, [LONG, LONG, LONG]), 2);
    h.datapath.meterSet(7, { unit: 'packets', bands: [] });
    assert.equal(h.datapath.meterCounts(7).packets, 0);
    assert.equal(await passed(h, way, [LONG, LONG, LONG, LONG]), 4);
    assert.deepEqual(h.datapath.meterCounts(7), { packets: 4, bytes: 4 * LONG.length, bands: [] });
    h.datapath.meterSet(7, SLOW);
    assert.equal(await passed(h, way, [LONG, LONG, LONG]), 2);
    h.datapath.meterDelete(7);
    assert.equal(await passed(h, way, [LONG, LONG, LONG]), 3);
    assert.deepEqual(h.datapath.meterCounts(7), { packets: 0, bytes: 0, bands: [] });
  });

  check('a packet that a meter drops within a clone goes on behind it', async (h) => {
    h.datapath.meterSet(1, { unit: 'kilobits', bands: [{ rate: 1, burst: 1 }] });
    const [p1, p2, p3] = [h.addPort(), h.addPort(), h.addPort()];
    const mask = maskOf(W_IN_PORT, W_RECIRC_ID);
    const inner = [{ type: 'meter', meter: 1 } as const, { type: 'output', port: p2 } as const];
    h.datapath.flowPut({
      key: masked(keyOf(p1, frame()), mask),
      mask,
      actions: [
        { type: 'sample', probability: 0xffffffff, actions: inner },
        { type: 'output', port: p3 },
      ],
    });
    assert.equal(await passed(h, [p1, p3], [LONG, SHORT]), 2);
    assert.equal(h.take(p2).length, 0);
  });

  check('meters that cannot be are refused', async (h) => {
    const bands = [{ rate: 1, burst: 1 }];
    assert.throws(() => h.datapath.meterSet(1 << 18, { unit: 'packets', bands }), { code: 'bad-meter' });
    assert.throws(() => h.datapath.meterSet(0, { unit: 'packets', bands: [{ rate: 0, burst: 1 }] }), {
      code: 'bad-meter',
    });
    assert.throws(() => h.datapath.meterSet(0, { unit: 'packets', bands: new Array(9).fill(bands[0]) }), {
      code: 'bad-meter',
    });
  });
}
