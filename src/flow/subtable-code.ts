/**
 * The hash of classifier keys, and code generated for a mask: the same loop as the general one with
 * the mask's words and bits as constants. A subtable that is looked up often gets such code;
 * classifier.test.ts holds both against each other, docs/flow.md has what it brings.
 */
import { FLOW_WORDS } from './layout.ts';
import type { MiniMask } from './minimatch.ts';

/** The row that a packet falls in, or -1. */
export type Finder = (
  flow: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
  hashes: Uint32Array,
) => number;

/** {@link Finder} for a packet whose hash is known. */
export type HashedFinder = (
  flow: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
  hashes: Uint32Array,
  hash: number,
) => number;

const MULTIPLIERS = new Int32Array(FLOW_WORDS);
{
  // Odd numbers from a fixed xorshift; what matters is that no two are alike.
  let x = 0x2545f491;
  for (let i = 0; i < FLOW_WORDS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    MULTIPLIERS[i] = x | 1;
  }
}

/** What the i-th word of a mask is multiplied with. */
export function hashMultiplier(i: number): number {
  return MULTIPLIERS[i];
}

/** Makes a sum of products into a hash whose low bits are good. */
export function finishHash(sum: number): number {
  const h = Math.imul(sum ^ (sum >>> 15), 0x85ebca77);
  return h ^ (h >>> 13);
}

/** Adds a stage's words to the sum of the stages before it. */
export type StageHasher = (flow: Uint32Array, sum: number) => number;

/** ORs a mask's bits into a full one. */
export type Recorder = (wc: Uint32Array) => void;

/** The load of a mask's i-th word from `f`, masked. */
function load(mask: MiniMask, i: number): string {
  const word = `f[${mask.words[i]}]`;
  return mask.masks[i] === 0xffffffff ? word : `${word}&${mask.masks[i] | 0}`;
}

function sumWord(mask: MiniMask, i: number): string {
  return `w=${load(mask, i)};s=s+Math.imul(w^(w>>>16),${MULTIPLIERS[i]})|0;`;
}

/** Generates the hash of a mask's words from `start` to `end`. */
export function compileStage(mask: MiniMask, start: number, end: number): StageHasher {
  const lines = ['let w=0;'];
  for (let i = start; i < end; i++) lines.push(sumWord(mask, i));
  lines.push('return s;');
  return new Function('f', 's', lines.join('\n')) as StageHasher;
}

/** Generates the recording of a mask's words up to `end`. */
export function compileRecorder(mask: MiniMask, end: number): Recorder {
  const lines: string[] = [];
  for (let i = 0; i < end; i++) lines.push(`wc[${mask.words[i]}]|=${mask.masks[i] | 0};`);
  return new Function('wc', lines.join('\n')) as Recorder;
}

/** The search of the slots for the hash `h`, whose rows are compared with `f`. */
function searchSlots(mask: MiniMask): string {
  const compare: string[] = [];
  for (let i = 0; i < mask.length; i++) {
    const diff = `(f[${mask.words[i]}]^v[b+${i}])`;
    compare.push(mask.masks[i] === 0xffffffff ? diff : `(${diff}&${mask.masks[i] | 0})`);
  }
  return [
    'const m=slots.length-1;',
    'for(let i=h&m;slots[i]!==0;i=(i+1)&m){const r=slots[i]-1;if((hashes[r]^h)!==0)continue;',
    `const b=r*${mask.length};if((${compare.join('|') || '0'})===0)return r;}`,
    'return -1;',
  ].join('\n');
}

/** Generates the lookup of a mask. Its text holds numbers from the mask alone. */
export function compileFinder(mask: MiniMask): Finder {
  const lines: string[] = ['let s=0,w=0;'];
  for (let i = 0; i < mask.length; i++) lines.push(sumWord(mask, i));
  lines.push('let h=Math.imul(s^(s>>>15),0x85ebca77);h=h^(h>>>13);', searchSlots(mask));
  return new Function('f', 'v', 'slots', 'hashes', lines.join('\n')) as Finder;
}

/** Generates the end of a mask's lookup: the hash is known. */
export function compileHashedFinder(mask: MiniMask): HashedFinder {
  return new Function('f', 'v', 'slots', 'hashes', 'h', searchSlots(mask)) as HashedFinder;
}
