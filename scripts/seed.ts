/**
 * Loaded before every test file by `scripts/test.ts`: the seed of all random inputs. A fixed one, so that a failure is
 * the change's and not of luck; WEFT_SEED=NUMBER draws others, WEFT_SEED=random others each time (a failure prints
 * its seed).
 */
import fc from 'fast-check';

const FIXED = 20090802;
const wanted = process.env.WEFT_SEED;
if (wanted !== 'random') {
  const seed = wanted === undefined ? FIXED : Number(wanted);
  if (!Number.isInteger(seed)) throw new Error(`WEFT_SEED=${wanted} is neither a whole number nor "random"`);
  fc.configureGlobal({ seed });
}
