/**
 * Tuple space search: the code that looks a parsed packet up, in one mask's table after the other. Megaflows are disjoint,
 * so the first entry found is the only one.
 *
 * Where there are many masks, one byte of a cache says which table a packet like this was found in last; that one is tried
 * first. Nothing depends on what the cache says: a wrong or outdated byte costs one lookup more. The hash takes the bits
 * that any mask asks for, so that packets of one connection share a byte, and those of one megaflow mostly do.
 *
 * In front of all that may stand hot entries: copies of entries with their keys, in an array of each CPU. To compare a key
 * takes a third of what the kernel's hashes take to find it. JavaScript moves an epoch on whenever an entry
 * changes or goes, which voids all copies at once.
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
  exit,
  ja,
  jeq,
  jge,
  jlt,
  jne,
  label,
  ldImm64,
  ldMap,
  ldMapValue,
  ldx,
  mov,
  mov32,
  mul32,
  note,
  or,
  R0,
  R1,
  R2,
  R7,
  R8,
  R9,
  R10,
  rsh32,
  st,
  stx,
  sub,
  W,
} from '../../ebpf/asm.ts';
import { TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, MapReference, Register } from '../../ebpf/instruction.ts';
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
import { arrayEntry } from './code.ts';
import {
  F_MASK_CACHE,
  F_SCRATCH,
  frameWord,
  HOT_ENTRY,
  HOT_KEY,
  HOT_KEY_SIZE,
  HOT_SLOTS,
  HOT_TABLE,
  HOT_TAG,
  MASK_CACHE_SLOTS,
} from './layout.ts';
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

/** Where hot entries are; none where all must be looked up. */
export interface Hot {
  readonly slots: MapReference;
  readonly epoch: MapReference;
  /** Tells this program from others; not 0. */
  readonly program: number;
}

/**
 * Goes to `hit` with R0 = the entry, or to `miss`. R8 = how many tables were searched; R7 = 1 if the cache knew, else 0.
 * Destroys R1 to R5.
 *
 * @param seed what the hash is made from, so that nobody outside knows which packets share a byte
 */
export const search = (tables: readonly MaskTable[], seed: number, hot: Hot | null): Code => [
  hot === null || tables.length === 0 ? [] : note('hot', hotSearch(tables, seed, hot)),
  isCached(tables.length) ? cachedSearch(tables, seed, hot) : plainSearch(tables, hot),
];

const plainSearch = (tables: readonly MaskTable[], hot: Hot | null): Code =>
  block(
    'search',
    mov(R7, 0),
    tables.map((table, i) =>
      block(
        `mask ${i}`,
        tryTable(table, 'next'),
        keepHot(table, i, hot),
        mov(R8, i + 1),
        ja('hit'),
        label('next'),
      ),
    ),
    mov(R8, tables.length),
    ja('miss'),
  );

/** R8 while the tables are searched in order: this, and 1 more if the cache was wrong. Below: the cache's table is tried. */
const IN_ORDER = 256;

const cachedSearch = (tables: readonly MaskTable[], seed: number, hot: Hot | null): Code =>
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
    dispatch(R8, 'table', 0, tables.length),
    label('wrong'),
    mov(R8, IN_ORDER + 1),
    tables.map((table, i) => [
      label(`table ${i}`),
      block(
        `mask ${i}`,
        tryTable(table, 'absent'),
        keepHot(table, i, hot),
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

/** Goes to `what` number `index`, which is `from` to `end` - 1. */
function dispatch(index: Register, what: string, from: number, end: number): Code {
  if (end - from === 1) return ja(`${what} ${from}`);
  const middle = (from + end) >>> 1;
  const name = `${what}s from ${middle}`;
  return [
    jge(index, middle, name),
    dispatch(index, what, from, middle),
    label(name),
    dispatch(index, what, middle, end),
  ];
}

/** Places on the stack, as this program has them: a tag to keep entries under, and the slot to keep one in. */
const TAG_AT = -24;
const SLOT_AT = -32;

const canBeHot = ({ words }: MaskTable): boolean => keySize(words) <= HOT_KEY_SIZE;

/** Offsets of a key's pieces of 8 bytes, and the last of 4. */
function pieces(size: number): { readonly at: number; readonly size: typeof DW | typeof W }[] {
  return Array.from({ length: Math.ceil(size / 8) }, (_, i) => ({
    at: 8 * i,
    size: size - 8 * i >= 8 ? DW : W,
  }));
}

/** Goes to `hit` with the entry that a packet like this one met last, if it is this one's too, and still good. */
const hotSearch = (tables: readonly MaskTable[], seed: number, hot: Hot): Code =>
  block(
    'hot entries',
    hash(tables, seed),
    and(R1, HOT_SLOTS - 1),
    arrayEntry(hot.slots, R1, 'never'),
    mov(R8, R0),
    stx(DW, R10, SLOT_AT, R8),
    // The epoch first, and whatever is kept under it later.
    ldMapValue(R1, hot.epoch),
    ldx(W, R1, R1, 0),
    ldImm64(R2, BigInt(hot.program) << 32n),
    or(R1, R2),
    stx(DW, R10, TAG_AT, R1),
    ldx(DW, R2, R8, HOT_TAG),
    jne(R1, R2, 'cold'),
    tables.length === 1 ? [] : [ldx(W, R1, R8, HOT_TABLE), dispatch(R1, 'hot', 0, tables.length)],
    tables.map((table, i) => [
      label(`hot ${i}`),
      canBeHot(table)
        ? [
            loadKey(table.words),
            pieces(keySize(table.words)).map(({ at, size }) => [
              ldx(size, R1, R9, F_SCRATCH + at),
              ldx(size, R2, R8, HOT_KEY + at),
              jne(R1, R2, 'cold'),
            ]),
            ja('warm'),
          ]
        : ja('cold'),
    ]),
    label('warm'),
    mov(R0, R8),
    add(R0, HOT_ENTRY),
    mov(R7, 1),
    mov(R8, 1),
    ja('hit'),
    label('never'),
    mov32(R0, TC_ACT.shot),
    exit(),
    label('cold'),
  );

/** Keeps the entry R0 of a table, whose key stands in the scratch memory. Destroys R1 and R2. */
function keepHot(table: MaskTable, index: number, hot: Hot | null): Code {
  if (hot === null || !canBeHot(table)) return [];
  return note('keep', [
    ldx(DW, R1, R10, SLOT_AT),
    pieces(keySize(table.words)).map(({ at, size }) => [
      ldx(size, R2, R9, F_SCRATCH + at),
      stx(size, R1, HOT_KEY + at, R2),
    ]),
    [0, 8].map((at) => [ldx(DW, R2, R0, at), stx(DW, R1, HOT_ENTRY + at, R2)]),
    st(W, R1, HOT_TABLE, index),
    ldx(DW, R2, R10, TAG_AT),
    stx(DW, R1, HOT_TAG, R2),
  ]);
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
