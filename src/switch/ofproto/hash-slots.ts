/** Slots at the least, so that buckets which go leave theirs to several others. */
const FEWEST = 16;
/** Slots at the most: as many megaflows may come of one group. */
const MOST = 256;

/**
 * Shares hash values out among buckets by their weights: slot n of the answer, which has a power of two of them, holds the
 * index of a bucket. By the method of Webster and Sainte-Laguë, which spreads the slots of each bucket over all, so that a
 * search from a dead bucket's slot onwards finds the others by their weights too. Null where no bucket has a weight, or
 * where the lightest would need more slots than there may be.
 */
export function hashSlots(weights: readonly number[]): Uint16Array | null {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return null;
  const size = slotsFor(weights, total);
  if (size > MOST) return null;
  const slots = new Uint16Array(size);
  const quotients = [...weights];
  const divisors = weights.map(() => 1);
  for (let n = 0; n < size; n++) {
    let winner = 0;
    for (let i = 1; i < quotients.length; i++) if (quotients[i] > quotients[winner]) winner = i;
    slots[n] = winner;
    divisors[winner] += 2;
    quotients[winner] = weights[winner] / divisors[winner];
  }
  return slots;
}

/** Slots for the lightest bucket to have one, a power of two. */
function slotsFor(weights: readonly number[], total: number): number {
  const least = Math.min(...weights.filter((weight) => weight > 0));
  let size = FEWEST;
  while (size < Math.ceil(total / least)) size *= 2;
  return size;
}

/** How a select group's buckets are chosen, as the debug log tells it. */
export function describeSlots(
  buckets: readonly { readonly id: number; readonly weight: number }[],
  slots: Uint16Array | null,
): string[] {
  if (buckets.length === 0) return ["  Don't apply dp_hash method without buckets."];
  const weights = buckets.map(({ weight }) => weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return ['  Total weight is zero. No active buckets.'];
  const least = Math.min(...weights.filter((weight) => weight > 0));
  const lines = [`  Minimum weight: ${least}, total weight: ${total}`];
  if (slots === null) return [...lines, `  Too many hash values required: ${slotsFor(weights, total)}`];
  lines.push(`  Using ${slots.length} hash values:`);
  for (const [i, { id, weight }] of buckets.entries()) {
    const target = ((slots.length * weight) / total).toFixed(2);
    const hits = slots.filter((slot) => slot === i).length;
    lines.push(`  Bucket ${id}: weight=${weight}, target=${target} hits=${hits}`);
  }
  return lines;
}
