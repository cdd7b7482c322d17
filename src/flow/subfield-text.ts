/** Text form of subfields: `NXM_NX_REG0[0..15]`, `reg0[3]`, `eth_src[]`, `eth_src`. */
import { WeftError } from '../base/errors.ts';
import type { Subfield } from './field.ts';
import { fieldByName, fieldByOxmName, fieldTextName } from './fields.ts';

function bad(message: string): WeftError {
  return new WeftError('subfield-syntax', message, {
    remedy: 'write FIELD, FIELD[], FIELD[bit] or FIELD[first..last], with bit 0 the least significant',
  });
}

/**
 * Reads a subfield from the start of `text`; `rest` is what follows it. Field names are OXM and NXM
 * names (with or without `_W`) or the catalogue's own.
 * @throws WeftError `subfield-syntax`, in the words of ovs-ofctl.
 */
export function parseSubfieldPrefix(text: string): { subfield: Subfield; rest: string } {
  const name = /^[^[-]*/.exec(text)![0];
  const field = fieldByOxmName(name.replace(/(?<=..)_W$/, '')) ?? fieldByName(name);
  if (field === null) throw bad(`${text}: unknown field \`${name}'`);
  let rest = text.slice(name.length);
  let start = 0;
  let end = field.bits - 1;
  if (rest.startsWith('[')) {
    const m = /^\[(?:(\d+)(?:\.\.(\d+))?)?\]/.exec(rest);
    if (m === null) throw bad(`${text}: syntax error expecting [] or [<bit>] or [<start>..<end>]`);
    if (m[1] !== undefined) {
      start = Number(m[1]);
      end = m[2] === undefined ? start : Number(m[2]);
    }
    rest = rest.slice(m[0].length);
  }
  if (start > end) throw bad(`${text}: starting bit ${start} is after ending bit ${end}`);
  for (const [what, bit] of [['starting', start] as const, ['ending', end] as const]) {
    if (bit >= field.bits) {
      throw bad(`${text}: ${what} bit ${bit} is not valid because field is only ${field.bits} bits wide`);
    }
  }
  return { subfield: { field, ofs: start, bits: end - start + 1 }, rest };
}

/**
 * Reads a subfield that is all of `text`.
 * @throws WeftError `subfield-syntax`
 */
export function parseSubfield(text: string): Subfield {
  const { subfield, rest } = parseSubfieldPrefix(text);
  if (rest !== '') throw bad('unexpected input following field syntax');
  return subfield;
}

export function formatSubfield(sf: Subfield): string {
  const name = fieldTextName(sf.field);
  if (sf.ofs === 0 && sf.bits === sf.field.bits) return `${name}[]`;
  if (sf.bits === 1) return `${name}[${sf.ofs}]`;
  return `${name}[${sf.ofs}..${sf.ofs + sf.bits - 1}]`;
}
