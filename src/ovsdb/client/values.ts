/** Column values between their wire form, `Datum`, and what the typed rows hold. */

import { WeftError } from '../../base/errors.ts';
import type { Atom } from '../data/atom.ts';
import type { Datum } from '../data/datum.ts';
import type { BaseType, ColumnType } from '../data/type.ts';
import type { Json } from '../json.ts';

/** A reference to a row that the same transaction inserts begins with this; no uuid does. */
export const REF_PREFIX = '@';

export type RowValue = unknown;

function atomValue(base: BaseType, atom: Atom): Atom {
  // Integers past 2^53 lose their low bits here: the typed rows have plain numbers.
  return base.type === 'integer' && typeof atom === 'bigint' ? Number(atom) : atom;
}

/** The value as the typed rows have it (see `ValueOf`). */
export function typedValue(type: ColumnType, datum: Datum): RowValue {
  const { key, value } = type;
  if (value !== null) {
    return new Map(datum.keys.map((k, i) => [atomValue(key, k), atomValue(value, datum.values![i])]));
  }
  if (type.max > 1) return Object.freeze(datum.keys.map((k) => atomValue(key, k)));
  return datum.n === 0 ? null : atomValue(key, datum.keys[0]);
}

function atomJson(base: BaseType, atom: Atom): Json {
  if (base.type !== 'uuid') return atom;
  const text = String(atom);
  return text.startsWith(REF_PREFIX) ? ['named-uuid', text.slice(REF_PREFIX.length)] : ['uuid', text];
}

/** The wire form of a uuid or of a reference to a row being inserted. */
export function uuidJson(uuid: string): Json {
  return uuid.startsWith(REF_PREFIX) ? ['named-uuid', uuid.slice(REF_PREFIX.length)] : ['uuid', uuid];
}

function isAtom(value: unknown): value is Atom {
  return ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
}

/** The wire form of a value given for a column, or for a mutation of it. Throws if it cannot be one. */
export function valueJson(type: ColumnType, value: unknown, where: string): Json {
  const atom = (base: BaseType, a: unknown): Json => {
    if (!isAtom(a)) {
      throw new WeftError('bad-column-value', `${where}: ${String(a)} is not of type ${base.type}`);
    }
    return atomJson(base, a);
  };
  if (value instanceof Map) {
    if (type.value === null)
      throw new WeftError('bad-column-value', `${where}: a map was given, but the column is none`);
    const base = type.value;
    return ['map', [...value].map(([k, v]) => [atom(type.key, k), atom(base, v)])];
  }
  if (value === null) return ['set', []];
  if (Array.isArray(value)) return ['set', value.map((v) => atom(type.key, v))];
  return atom(type.key, value);
}
