import type { HashFields } from './types.ts';

/** What multipath and bundle hash, by number. */
export const HASH_FIELDS: readonly HashFields[] = [
  ...(['eth_src', 'symmetric_l4', 'symmetric_l3l4', 'symmetric_l3l4+udp'] as const),
  ...(['nw_src', 'nw_dst', 'symmetric_l3'] as const),
];

/** One of `names`, in any case. */
export function nameIn<T extends string>(names: readonly T[], text: string): T | undefined {
  const lower = text.toLowerCase();
  return names.find((name) => name === lower);
}
