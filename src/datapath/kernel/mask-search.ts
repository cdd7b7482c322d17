/**
 * Tuple space search: the code that looks a parsed packet up, in one mask's table after the other. Megaflows are disjoint,
 * so the first entry found is the only one.
 *
 * Where there are many masks, one byte of a cache says which table a packet like this was found in last; that one is tried
 * first. Nothing depends on what the cache says: a wrong or outdated byte costs one lookup more. The hash takes the bits
 * that any mask asks for, so that packets of one connection share a byte, and those of one megaflow mostly do.
 */
import {
  add,
  add32,
  and,
  and32,
  B,
  block,
  call,
  DW,
  ja,
  jeq,
  jge,
  jlt,
  label,
  ldImm64,
  ldMap,
  ldx,
  mov,
  mov32,
  mul32,
  note,
  R0,
  R1,
  R2,
  R7,
  R8,
  R9,
  rsh32,
  st,
  stx,
  sub,
  W,
} from '../../ebpf/asm.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import {
  W_ETH,
  W_IN_PORT,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_RECIRC_ID,
  W_TP,
  W_TUN_DST,
  W_TUN_ID,
  W_TUN_SRC,
  W_VLAN,
} from '../../flow/layout.ts';
import { F_MASK_CACHE, F_SCRATCH, frameWord, MASK_CACHE_SLOTS } from './layout.ts';
import { keySize, type MaskTable, type MaskWord } from './mask-key.ts';

const ALL = 0xffffffff;

/** With fewer tables than this the cache costs more than it saves. */
const CACHED_FROM = 3;

/** Words that tell connections apart, those that do it best first; the hash takes the first few that masks ask for. */
const TELLING = [
  W_NW_SRC,
  W_NW_DST,
  W_TP,
  W_IPV6_SRC + 3,
  W_IPV6_DST + 3,
  W_ETH + 1,
  W_ETH + 2,
  W_IN_PORT,
  W_RECIRC_ID,
  W_ETH,
  W_VLAN,
  W_NW,
  W_TUN_ID + 1,
  W_TUN_SRC,
  W_TUN_DST,
  W_IPV6_SRC + 1,
  W_IPV6_DST + 1,
];
const MOST_TELLING = 9;

/**
 * Writes the key that `packKey` makes to the frame's scratch memory. Words that are neighbours in the frame are so in the
 * key, and go two at a time. Destroys R1 and R2.
 */
export function loadKey(words: readonly MaskWord[]): Code {
  const code: Code[] = [];
  let at = F_SCRATCH;
  for (let i = 0; i < words.length; i++, at += 4) {
    const { word, mask } = words[i]!;
    const next = words[i + 1];
    if (next?.word === word + 1) {
      const full = mask === ALL && next.mask === ALL;
      const both = (BigInt(next.mask) << 32n) | BigInt(mask);
      code.push(
        ldx(DW, R1, R9, frameWord(word)),
        full ? [] : [ldImm64(R2, both), and(R1, R2)],
        stx(DW, R9, at, R1),
      );
      i++;
      at += 4;
    } else {
      code.push(ldx(W, R1, R9, frameWord(word)), mask === ALL ? [] : and32(R1, mask), stx(W, R9, at, R1));
    }
  }
  const end = F_SCRATCH + keySize(words);
  for (; at < end; at += 4) code.push(st(W, R9, at, 0));
  return code;
}

/** R0 = the table's entry; goes to `otherwise` if it has none. Destroys R1 to R5. */
const tryTable = ({ map, words }: MaskTable, otherwise: string): Code => [
  loadKey(words),
  ldMap(R1, map),
  mov(R2, R9),
  add(R2, F_SCRATCH),
  call(helper.mapLookup),
  jeq(R0, 0, otherwise),
];

/** Whether `search` uses the cache, for so many tables. */
export const isCached = (tables: number): boolean => tables >= CACHED_FROM;

/**
 * Goes to `hit` with R0 = the entry, or to `miss`. R8 = how many tables were searched; R7 = 1 if the cache knew, else 0.
 * Destroys R1 to R5.
 *
 * @param seed what the hash is made from, so that nobody outside knows which packets share a byte
 */
export const search = (tables: readonly MaskTable[], seed: number): Code =>
  isCached(tables.length) ? cachedSearch(tables, seed) : plainSearch(tables);

const plainSearch = (tables: readonly MaskTable[]): Code =>
  block(
    'search',
    mov(R7, 0),
    tables.map((table, i) =>
      block(`mask ${i}`, tryTable(table, 'next'), mov(R8, i + 1), ja('hit'), label('next')),
    ),
    mov(R8, tables.length),
    ja('miss'),
  );

/** R8 while the tables are searched in order: this, and 1 more if the cache was wrong. Below: the cache's table is tried. */
const IN_ORDER = 256;

const cachedSearch = (tables: readonly MaskTable[], seed: number): Code =>
  block(
    'cached search',
    note('hash', hash(tables, seed)),
    // R7 = the cache's byte.
    mov(R7, R9),
    add(R7, R1),
    ldx(B, R8, R7, F_MASK_CACHE),
    jlt(R8, tables.length, 'try'),
    mov(R8, IN_ORDER),
    ja('table 0'),
    label('try'),
    dispatch(0, tables.length),
    label('wrong'),
    mov(R8, IN_ORDER + 1),
    tables.map((table, i) => [
      label(`table ${i}`),
      block(
        `mask ${i}`,
        tryTable(table, 'absent'),
        jlt(R8, IN_ORDER, 'known'),
        st(B, R7, F_MASK_CACHE, i),
        add(R8, i + 1),
        ja('found'),
        label('absent'),
        jlt(R8, IN_ORDER, 'wrong'),
      ),
    ]),
    mov(R7, 0),
    sub(R8, IN_ORDER - tables.length),
    ja('miss'),
    label('found'),
    mov(R7, 0),
    sub(R8, IN_ORDER),
    ja('hit'),
    label('known'),
    mov(R7, 1),
    mov(R8, 1),
    ja('hit'),
  );

/** Goes to the table R8, which is `from` to `end` - 1. */
function dispatch(from: number, end: number): Code {
  if (end - from === 1) return ja(`table ${from}`);
  const middle = (from + end) >>> 1;
  const name = `from ${middle}`;
  return [jge(R8, middle, name), dispatch(from, middle), label(name), dispatch(middle, end)];
}

/** R1 = the byte's index. Destroys R2. Sums products, which need not wait for each other. */
function hash(tables: readonly MaskTable[], seed: number): Code {
  const masks = new Map<number, number>();
  for (const { words } of tables)
    for (const { word, mask } of words) masks.set(word, (masks.get(word) ?? 0) | mask);
  const words = TELLING.filter((w) => masks.has(w)).slice(0, MOST_TELLING);
  const bits = Math.log2(MASK_CACHE_SLOTS);
  return [
    mov32(R1, multiplier(seed, 0)),
    words.map((word, i) => [
      ldx(W, R2, R9, frameWord(word)),
      and32(R2, masks.get(word)! >>> 0),
      mul32(R2, multiplier(seed, i + 1)),
      add32(R1, R2),
    ]),
    rsh32(R1, 32 - bits),
  ];
}

/** An odd number of 32 bits. */
function multiplier(seed: number, index: number): number {
  let x = Math.imul(seed ^ Math.imul(index + 1, 0x9e3779b1), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) | 1) >>> 0;
}
