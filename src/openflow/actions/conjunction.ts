import { type ActionCodec, nxForm } from './codec.ts';
import { looseDecimal, syntaxError, wholeInteger } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

const NXAST_CONJUNCTION = 34;
const MIN_CLAUSES = 2;
const MAX_CLAUSES = 64;
/** `I/N`, within 8 bits each. */
const CLAUSE = /^[ \t]*(\d{1,20})[ \t]*\/[ \t]*(\d{1,20})$/;

/** `ID,I/N`; null if it is no such text. */
function split(arg: string): { id: bigint; clause: number; nClauses: number } | null {
  const comma = arg.indexOf(',');
  const id = wholeInteger(arg.slice(0, Math.max(comma, 0)).trimEnd());
  const m = CLAUSE.exec(arg.slice(comma + 1).trimEnd());
  if (id === null || m === null) return null;
  const [clause, nClauses] = [m[1], m[2]].map((text) => looseDecimal(text, 8));
  return { id, clause, nClauses };
}

/** `conjunction(ID,K/N)`; K counts from 1 in texts, from 0 in `clause`. */
export const conjunction: ActionCodec<ActionOf<'conjunction'>> = {
  type: 'conjunction',
  name: 'conjunction',
  words: {
    conjunction(arg) {
      const parsed = split(arg);
      if (parsed === null) syntaxError('"conjunction" syntax is "conjunction(id,i/n)"');
      const { id, clause, nClauses } = parsed;
      if (nClauses < MIN_CLAUSES) syntaxError(`conjunction must have at least ${MIN_CLAUSES} clauses`);
      if (nClauses > MAX_CLAUSES) syntaxError(`conjunction must have at most ${MAX_CLAUSES} clauses`);
      if (clause < 1) syntaxError('clause index must be positive');
      if (clause > nClauses) syntaxError('clause index must be less than or equal to number of clauses');
      return { type: 'conjunction', id: Number(BigInt.asUintN(32, id)), clause: clause - 1, nClauses };
    },
  },
  format: ({ id, clause, nClauses }) => `conjunction(${id},${clause + 1}/${nClauses})`,
  encode({ id, clause, nClauses }, out) {
    const start = out.nx(NXAST_CONJUNCTION);
    out.u8(clause);
    out.u8(nClauses);
    out.u32(id);
    out.end(start);
  },
  wire: [
    nxForm(NXAST_CONJUNCTION, 16, (b) => {
      const clause = b.u8(10);
      const nClauses = b.u8(11);
      if (nClauses < MIN_CLAUSES || nClauses > MAX_CLAUSES || clause >= nClauses) {
        refuse('NXBAC_BAD_CONJUNCTION', `there is no clause ${clause} of ${nClauses}`);
      }
      return { type: 'conjunction', id: b.u32(12), clause, nClauses };
    }),
  ],
};
