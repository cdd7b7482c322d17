import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stockMissing } from './daemons.ts';
import { Duel, describe } from './duel.ts';
import { Random } from './random.ts';
import { SETUPS } from './setups.ts';

/*
 * Our switch against a stock Open vSwitch 3.1: the same ports, random tables and packets; what both say and
 * do must be the same, but for what accepted.ts lists. WEFT_CONFORMANCE_ROUNDS makes it longer,
 * WEFT_CONFORMANCE_SEED other.
 */
const seed = Number(process.env.WEFT_CONFORMANCE_SEED ?? 20230216);
const rounds = Number(process.env.WEFT_CONFORMANCE_ROUNDS ?? 2);

for (let setup = 0; setup < SETUPS; setup++) {
  test(`ports set up as in row ${setup}: random tables treat random packets as stock does`, {
    skip: stockMissing(),
  }, async (t) => {
    const duel = new Duel();
    try {
      await duel.start(setup);
      const random = new Random(seed + setup);
      for (let i = 0; i < rounds; i++)
        await duel.round(random, { traces: 60, packets: 20, megaflows: false });
    } finally {
      duel.stop();
    }
    t.diagnostic(`seed ${seed + setup}: ${JSON.stringify(duel.counts)}`);
    assert.ok(duel.counts.traces > 0 && duel.counts.packets > 0, 'nothing was compared');
    assert.equal(
      duel.differences.map(describe).join('\n\n'),
      '',
      `seed ${seed + setup}, ${rounds} rounds: WEFT_CONFORMANCE_SEED repeats this`,
    );
  });
}
