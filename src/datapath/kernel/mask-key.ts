/**
 * Keys of the masks' tables. A table's key has the words that its mask asks for, in ascending order, each ANDed with its
 * mask and in the machine's own order; zeros fill it up to a multiple of 8 bytes. `packKey` makes such a key here,
 * `loadKey` (mask-search.ts) writes the code that makes it in the kernel.
 */
import { WeftError } from '../../base/errors.ts';
import type { MapReference } from '../../ebpf/instruction.ts';
import {
  FLOW_WORDS,
  type Flow,
  W_ACTSET_OUTPUT,
  W_CONJ_ID,
  W_METADATA,
  W_NSH,
  W_NSH_CONTEXT,
  W_SKB_PRIORITY,
} from '../../flow/layout.ts';

/** A word of the flow key (flow/layout.ts), and the bits of it that matter: not 0. */
export interface MaskWord {
  readonly word: number;
  readonly mask: number;
}

/** The table of the megaflows that have one mask: a hash map with keys of `keySize(words)` bytes. */
export interface MaskTable {
  readonly map: MapReference;
  /** Ascending. */
  readonly words: readonly MaskWord[];
}

/** The kernel's bound for keys of hash maps, in bytes; the frame's scratch memory has as many. */
const MAX_KEY_SIZE = 512;

/** Words that programs do not fill: OpenFlow's own, which no datapath sees, and NSH. */
const isFilled = (word: number): boolean =>
  !(
    (word >= W_METADATA && word < W_SKB_PRIORITY) ||
    word === W_CONJ_ID ||
    word === W_ACTSET_OUTPUT ||
    (word >= W_NSH && word < W_NSH_CONTEXT + 4)
  );

/** What a mask asks for. */
export function maskWords(mask: Flow): MaskWord[] {
  const words: MaskWord[] = [];
  for (let word = 0; word < FLOW_WORDS; word++) {
    if (mask[word] !== 0) words.push({ word, mask: mask[word]! });
  }
  return words;
}

/** Whether programs can look packets up by a mask. Megaflows with others stay in JavaScript. */
export function isSupportedMask(mask: Flow): boolean {
  const words = maskWords(mask);
  return keySize(words) <= MAX_KEY_SIZE && words.every(({ word }) => isFilled(word));
}

/** Bytes of a key. A mask of nothing has keys of 8 bytes, all 0. */
export function keySize(words: readonly MaskWord[]): number {
  return Math.max(8, (4 * words.length + 7) & ~7);
}

/** Writes the table key of a flow key into `into`, which has `keySize(words)` bytes. */
export function packKey(words: readonly MaskWord[], key: Flow, into: Uint8Array): void {
  if (into.length !== keySize(words))
    throw new WeftError('bad-map-value', `${into.length} bytes for a key of ${keySize(words)}`);
  let at = 0;
  for (const { word, mask } of words) {
    const value = key[word]! & mask;
    into[at] = value;
    into[at + 1] = value >>> 8;
    into[at + 2] = value >>> 16;
    into[at + 3] = value >>> 24;
    at += 4;
  }
  into.fill(0, at);
}
