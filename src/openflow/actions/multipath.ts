import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { checkTarget } from './check-field.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { HASH_FIELDS, nameIn } from './hash-fields.ts';
import {
  checkedTarget,
  fieldOfShortHeader,
  hasShortHeader,
  packOfsBits,
  shortHeader,
  unpackBits,
  unpackOfs,
} from './oxm.ts';
import { looseDecimal, syntaxError, Tokens } from './text.ts';
import type { MultipathAction } from './types.ts';
import { refuse } from './wire.ts';

const NXAST_MULTIPATH = 10;
/** By number. */
const ALGORITHMS: readonly MultipathAction['algorithm'][] = [
  'modulo_n',
  'hash_threshold',
  'hrw',
  'iter_hash',
];

/** `FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST` */
function parse(arg: string): MultipathAction {
  const tokens = new Tokens(arg);
  const [fieldsText, basis, algorithmText, linksText, argument, dstText] = Array.from({ length: 6 }, () =>
    tokens.next(', '),
  );
  if (dstText === null) syntaxError(`${arg}: not enough arguments to multipath action`);
  const fields =
    nameIn(HASH_FIELDS, fieldsText ?? '') ?? syntaxError(`${arg}: unknown fields \`${fieldsText}'`);
  const algorithm =
    nameIn(ALGORITHMS, algorithmText ?? '') ?? syntaxError(`${arg}: unknown algorithm \`${algorithmText}'`);
  const links = looseDecimal(linksText ?? '', 32) | 0;
  if (links < 1 || links > 65536) syntaxError(`${arg}: n_links ${links} is not in valid range 1 to 65536`);
  const dst = parseSubfield(dstText);
  if (!hasShortHeader(dst.field)) syntaxError(`${arg}: experimenter OXM field '${dstText}' not supported`);
  if (dst.bits < 16 && links > 1 << dst.bits) {
    syntaxError(
      `${arg}: ${dst.bits}-bit destination field has ${1 << dst.bits} possible values, ` +
        `less than specified n_links ${links}`,
    );
  }
  return {
    type: 'multipath',
    fields,
    basis: looseDecimal(basis ?? '', 16),
    algorithm,
    maxLink: links - 1,
    arg: looseDecimal(argument ?? '', 32),
    dst,
  };
}

/** `multipath(...)`: the number of one of several links, chosen by a hash, into a field. */
export const multipath: ActionCodec<MultipathAction> = {
  type: 'multipath',
  name: 'multipath',
  words: { multipath: parse },
  format: (a) =>
    `multipath(${a.fields},${a.basis},${a.algorithm},${a.maxLink + 1},${a.arg},${formatSubfield(a.dst)})`,
  encode(a, out) {
    const start = out.nx(NXAST_MULTIPATH);
    out.u16(HASH_FIELDS.indexOf(a.fields));
    out.u16(a.basis);
    out.zeros(2);
    out.u16(ALGORITHMS.indexOf(a.algorithm));
    out.u16(a.maxLink);
    out.u32(a.arg);
    out.zeros(2);
    out.u16(packOfsBits(a.dst));
    out.u32(shortHeader(a.dst.field));
    out.end(start);
  },
  wire: [
    nxForm(NXAST_MULTIPATH, 32, (b, context) => {
      const field = fieldOfShortHeader(b.u32(28), context);
      const fields = HASH_FIELDS[b.u16(10)];
      const algorithm = ALGORITHMS[b.u16(16)];
      const maxLink = b.u16(18);
      const bits = unpackBits(b.u16(26));
      if (fields === undefined || algorithm === undefined) {
        refuse('OFPBAC_BAD_ARGUMENT', 'unknown fields or algorithm of multipath');
      }
      if (bits < 17 && maxLink >= 2 ** bits) {
        refuse('OFPBAC_BAD_ARGUMENT', `${maxLink + 1} links cannot be told apart in ${bits} bits`);
      }
      const dst = checkedTarget(field, unpackOfs(b.u16(26)), bits);
      return { type: 'multipath', fields, basis: b.u16(12), algorithm, maxLink, arg: b.u32(20), dst };
    }),
  ],
  check(action, state) {
    checkTarget(action.dst, state);
    return action;
  },
};
