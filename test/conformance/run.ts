import { Duel, describe, save } from './duel.ts';
import { Random } from './random.ts';
import { SETUPS } from './setups.ts';

/*
 * By hand: `node test/conformance/run.ts [SEED [ROUNDS [DIRECTORY]]]`. Prints differences, and keeps them in
 * full in the directory, if one is given.
 */
const seed = Number(process.argv[2] ?? Date.now() % 1_000_000);
const rounds = Number(process.argv[3] ?? 10);
const keep = process.argv[4];
const r = new Random(seed);
let total = 0;
for (let number = 0; number < SETUPS; number++) {
  const duel = new Duel();
  try {
    await duel.start(number);
    for (let i = 0; i < rounds; i++) await duel.round(r, { traces: 100, packets: 20, megaflows: true });
  } finally {
    duel.stop();
    console.log(
      `seed ${seed}, setup ${number}:`,
      JSON.stringify(duel.counts),
      `${duel.differences.length} differences`,
    );
    for (const difference of duel.differences) {
      console.log(describe(difference));
      if (keep !== undefined) save(difference, keep, `${total}.json`);
      total++;
    }
  }
}
