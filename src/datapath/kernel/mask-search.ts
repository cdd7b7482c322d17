/**
 * Tuple space search: the code that looks a parsed packet up, in one mask's table after the other. Megaflows are disjoint,
 * so the first entry found is the only one.
 */
import {
  add,
  and,
  and32,
  block,
  call,
  DW,
  ja,
  jeq,
  label,
  ldImm64,
  ldMap,
  ldx,
  mov,
  R0,
  R1,
  R2,
  R8,
  R9,
  st,
  stx,
  W,
} from '../../ebpf/asm.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { F_SCRATCH, frameWord } from './layout.ts';
import { keySize, type MaskTable, type MaskWord } from './mask-key.ts';

const ALL = 0xffffffff;

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

/**
 * Goes to `hit` with R0 = the entry, or to `miss`; R8 = how many tables were searched. Destroys R0 to R5.
 */
export const search = (tables: readonly MaskTable[]): Code =>
  block(
    'search',
    tables.map(({ map, words }, i) =>
      block(
        `mask ${i}`,
        loadKey(words),
        ldMap(R1, map),
        mov(R2, R9),
        add(R2, F_SCRATCH),
        call(helper.mapLookup),
        jeq(R0, 0, 'next'),
        mov(R8, i + 1),
        ja('hit'),
        label('next'),
      ),
    ),
    mov(R8, tables.length),
    ja('miss'),
  );
