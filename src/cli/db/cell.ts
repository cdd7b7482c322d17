/** One value, for people and for programs. */
import { type Atom, formatReal } from '../../ovsdb/data/atom.ts';
import type { Datum } from '../../ovsdb/data/datum.ts';
import type { BaseType, ColumnType } from '../../ovsdb/data/type.ts';
import type { Json } from '../../ovsdb/json.ts';
import type { Labels } from './labels.ts';

/** Values come from strangers: what a terminal would obey, or would break a line, is written as an escaped. */
const isPlain = (text: string): boolean => !/\p{Cc}/u.test(text);

export const printable = (text: string): string =>
  isPlain(text) ? text : JSON.stringify(text).replace(/\p{Cc}/gu, escaped);

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

function atomText(base: BaseType, atom: Atom, labels: Labels): string {
  if (base.type === 'uuid') {
    return base.refTable === null ? String(atom) : printable(labels.of(base.refTable, String(atom)));
  }
  return base.type === 'real' ? formatReal(Number(atom)) : printable(String(atom));
}

/** The elements of a value, references by name. */
export function elementTexts({ keys, values }: Datum, type: ColumnType, labels: Labels): string[] {
  const { key, value } = type;
  const elements = keys.map((k, i) =>
    value === null || values === null
      ? atomText(key, k, labels)
      : `${atomText(key, k, labels)}=${atomText(value, values[i], labels)}`,
  );
  // What refers to rows was ordered by their uuids, which says nothing.
  return key.type === 'uuid' ? elements.sort() : elements;
}

/** A value as people read it: references by name, elements by commas, nothing as a dash. */
export function cellText(datum: Datum, type: ColumnType, labels: Labels): string {
  if (datum.n === 0) return '-';
  if (type.max === 1 && datum.keys[0] === '') return '""';
  return elementTexts(datum, type, labels).join(', ');
}

function atomJson(base: BaseType, atom: Atom, labels: Labels): Json {
  if (base.type !== 'uuid' || base.refTable === null) return atom;
  return { _uuid: String(atom), name: labels.of(base.refTable, String(atom)) };
}

/** A value as plain JSON: a map as an object, a set as an array, an empty option as null, a reference as uuid and name. */
export function cellJson({ keys, values }: Datum, type: ColumnType, labels: Labels): Json {
  const { key, value } = type;
  if (value !== null && values !== null) {
    return Object.fromEntries(keys.map((k, i) => [String(k), atomJson(value, values[i], labels)]));
  }
  if (type.max > 1) return keys.map((k) => atomJson(key, k, labels));
  return keys.length === 0 ? null : atomJson(key, keys[0], labels);
}
