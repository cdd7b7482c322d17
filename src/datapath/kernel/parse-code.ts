/**
 * What the parts of the parser share. Registers: R6 the context, R9 the frame, R7 the header at hand, R8 the end of what
 * can be read; R4 how many bytes there are from R7 on. The others are free, and keep their values, as parsing calls
 * no helper. Labels of the whole: `done`, `pull` (bytes are not where they can be read) and `unparsed`.
 */
import { add, jgt, ldx, mov, R1, R7, R8, R9, st, stx, toBe, W } from '../../ebpf/asm.ts';
import type { Code, Register } from '../../ebpf/instruction.ts';
import { F_SCRATCH, frameWord } from './layout.ts';

/** The key words that somebody wants. */
export type WantedWords = ReadonlySet<number>;

/** How often a header may repeat that can stand in a packet any number of times: MPLS, IPv6 extensions, ND options. */
export const MAX_REPEATED = 8;

/** Goes to `pull` unless `length` bytes can be read at R7. Destroys R1. */
export const readable = (length: number): Code => [mov(R1, R7), add(R1, length), jgt(R1, R8, 'pull')];

/** The key's word = `value`, a register. */
export const setWord = (wanted: WantedWords, word: number, value: Register): Code =>
  wanted.has(word) ? stx(W, R9, frameWord(word), value) : [];

/** The key's word = 0. */
export const zeroWord = (wanted: WantedWords, word: number): Code =>
  wanted.has(word) ? st(W, R9, frameWord(word), 0) : [];

/** The key's word = the four bytes at R7 + `offset`. Destroys R1. */
export const copyWord = (wanted: WantedWords, word: number, offset: number): Code =>
  wanted.has(word) ? [ldx(W, R1, R7, offset), toBe(32, R1), stx(W, R9, frameWord(word), R1)] : [];

/** The same for `count` words in a row. */
export const copyWords = (wanted: WantedWords, word: number, offset: number, count: number): Code =>
  Array.from({ length: count }, (_, i) => copyWord(wanted, word + i, offset + 4 * i));

/**
 * Makes the verifier forget what it knows of a register but that it is at most `most`, so that it follows one path from
 * here on and not one for each way that led here. Goes to `unparsed` if it is more, which it never is.
 */
export const forget = (value: Register, most: number): Code => [
  stx(W, R9, F_SCRATCH, value),
  ldx(W, value, R9, F_SCRATCH),
  jgt(value, most, 'unparsed'),
];
