import type { Subfield } from '../../flow/field.ts';
import { formatSubfield, parseSubfieldPrefix } from '../../flow/subfield-text.ts';
import { checkSubfield, checkTarget } from './check-field.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { checkedSource, checkedTarget, pullHeader, putHeader } from './oxm.ts';
import { syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';

type StackType = 'stack_push' | 'stack_pop';

function parseArgument(arg: string): Subfield {
  const { subfield, rest } = parseSubfieldPrefix(arg);
  return rest === '' ? subfield : syntaxError(`${rest}: trailing garbage following push or pop`);
}

function codec(type: StackType, word: string, subtype: number): ActionCodec<ActionOf<StackType>> {
  const checked = type === 'stack_push' ? checkedSource : checkedTarget;
  return {
    type,
    name: word,
    words: { [word]: (arg) => ({ type, subfield: parseArgument(arg) }) },
    format: ({ subfield }) => `${word}:${formatSubfield(subfield)}`,
    encode({ subfield }, out) {
      const start = out.nx(subtype);
      out.u16(subfield.ofs);
      putHeader(out, subfield.field, 0);
      out.u16(subfield.bits);
      out.end(start, 24);
    },
    wire: [
      nxForm(subtype, 24, (b, context) => {
        const { field, next } = pullHeader(b, 12, context);
        b.expectZero(next + 2, 24, 'NXBRC_MUST_BE_ZERO');
        return { type, subfield: checked(field, b.u16(10), b.u16(next)) };
      }),
    ],
    check(action, state) {
      if (type === 'stack_push') checkSubfield(action.subfield, state);
      else checkTarget(action.subfield, state);
      return action;
    },
  };
}

/** `push:FIELD[..]`. */
export const stackPush = codec('stack_push', 'push', 27);
/** `pop:FIELD[..]`. */
export const stackPop = codec('stack_pop', 'pop', 28);
