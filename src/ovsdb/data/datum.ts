import { OvsdbError, syntaxError } from '../error.ts';
import { isJsonArray, type Json } from '../json.ts';
import {
  type Atom,
  atomFromJson,
  atomToJson,
  atomToText,
  checkAtom,
  compareAtoms,
  defaultAtom,
  type SymbolTable,
} from './atom.ts';
import { type ColumnType, UNLIMITED } from './type.ts';

/**
 * The value of one column of one row: its atoms, or the keys of its map, in ascending order without
 * duplicates, and for a map the values beside them. A datum never changes, so rows, transactions,
 * monitors and history share it freely.
 */
export class Datum {
  readonly keys: readonly Atom[];
  /** Same length as `keys` for a map; null otherwise. */
  readonly values: readonly Atom[] | null;

  constructor(keys: readonly Atom[], values: readonly Atom[] | null) {
    this.keys = keys;
    this.values = values;
  }

  get n(): number {
    return this.keys.length;
  }

  /** The position of `key`, or the complement (`~`) of the position where it would stand. */
  find(key: Atom): number {
    const { keys } = this;
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = keys[middle];
      if (at === key) return middle;
      if (at < key) low = middle + 1;
      else high = middle;
    }
    return ~low;
  }
}

export const EMPTY = new Datum([], null);
const EMPTY_MAP = new Datum([], []);

export function emptyDatum(type: ColumnType): Datum {
  return type.value === null ? EMPTY : EMPTY_MAP;
}

/** The value of a column that an insert leaves out: as few default atoms as the type allows. */
export function defaultDatum(type: ColumnType): Datum {
  if (type.min === 0) return emptyDatum(type);
  return new Datum([defaultAtom(type.key)], type.value === null ? null : [defaultAtom(type.value)]);
}

export function isDefaultDatum(datum: Datum, type: ColumnType): boolean {
  if (datum.n !== type.min) return false;
  if (datum.n === 0) return true;
  return (
    datum.keys[0] === defaultAtom(type.key) &&
    (type.value === null || datum.values![0] === defaultAtom(type.value))
  );
}

/** A one-atom datum. */
export function scalar(atom: Atom): Datum {
  return new Datum([atom], null);
}

/**
 * Brings atoms into order. Throws `ovsdb error` "set contains duplicate" or "map contains duplicate
 * key" where a key stands twice.
 */
export function sortedDatum(keys: Atom[], values: Atom[] | null): Datum {
  let ordered = true;
  for (let i = 1; i < keys.length && ordered; i++) ordered = keys[i - 1] < keys[i];
  if (ordered) return new Datum(keys, values);
  if (values === null) {
    keys.sort(compareAtoms);
  } else {
    const order = keys.map((_, i) => i).sort((a, b) => compareAtoms(keys[a], keys[b]));
    const oldKeys = keys.slice();
    const oldValues = values.slice();
    order.forEach((from, to) => {
      keys[to] = oldKeys[from];
      values[to] = oldValues[from];
    });
  }
  for (let i = 1; i < keys.length; i++) {
    if (keys[i] === keys[i - 1]) {
      throw new OvsdbError(
        'ovsdb error',
        values === null ? 'set contains duplicate' : 'map contains duplicate key',
      );
    }
  }
  return new Datum(keys, values);
}

/** Parses RFC 7047 `<value>` as a datum of `type`, holding it against all constraints of the type. */
export function datumFromJson(type: ColumnType, json: Json, symbols?: SymbolTable): Datum {
  if (type.value === null && !(isJsonArray(json) && json[0] === 'set')) {
    return new Datum([atomFromJson(type.key, json, symbols)], null);
  }
  const kind = type.value === null ? 'set' : 'map';
  if (!isJsonArray(json) || json.length !== 2 || json[0] !== kind || !isJsonArray(json[1])) {
    throw syntaxError(json, `expected ["${kind}", <array>]`);
  }
  const members = json[1];
  const n = members.length;
  if (n < type.min || n > type.max) {
    throw syntaxError(
      json,
      type.min === 1 && type.max === 1
        ? `${kind} must have exactly one member but ${n} are present`
        : `${kind} must have ${type.min} to ${type.max} members but ${n} are present`,
    );
  }
  if (n === 0) return emptyDatum(type);
  const keys: Atom[] = new Array(n);
  if (type.value === null) {
    for (let i = 0; i < n; i++) keys[i] = atomFromJson(type.key, members[i], symbols);
    return sortedDatum(keys, null);
  }
  const values: Atom[] = new Array(n);
  for (let i = 0; i < n; i++) {
    const pair = members[i];
    if (!isJsonArray(pair) || pair.length !== 2) throw syntaxError(pair, 'expected 2-element array');
    keys[i] = atomFromJson(type.key, pair[0], symbols);
    values[i] = atomFromJson(type.value, pair[1], symbols);
  }
  return sortedDatum(keys, values);
}

/** `type` without bounds on the number of elements, for differences. */
export function relaxedCount(type: ColumnType): ColumnType {
  return { key: type.key, value: type.value, min: 0, max: UNLIMITED };
}

export function datumToJson(datum: Datum, type: ColumnType): Json {
  const { keys, values } = datum;
  const { key, value } = type;
  if (value !== null && values !== null) {
    return ['map', keys.map((k, i) => [atomToJson(key, k), atomToJson(value, values[i])])];
  }
  if (keys.length === 1) return atomToJson(key, keys[0]);
  return ['set', key.type === 'uuid' ? keys.map((k) => ['uuid', k as string]) : keys];
}

/** The form that stock error messages and logs use: `[1, 2]`, `{a=b}`, `x`. */
export function datumToText(datum: Datum, type: ColumnType): string {
  const brackets = type.max > 1 || datum.n === 0;
  const parts = datum.keys.map((k, i) =>
    type.value === null
      ? atomToText(type.key, k)
      : `${atomToText(type.key, k)}=${atomToText(type.value, datum.values![i])}`,
  );
  const inner = parts.join(', ');
  if (!brackets) return inner;
  return type.value === null ? `[${inner}]` : `{${inner}}`;
}

/** A string that two datums of one type share exactly if they are equal. */
export function datumKey(datum: Datum): string {
  const { keys, values } = datum;
  if (values === null && keys.length === 1) {
    const k = keys[0];
    return typeof k === 'string' ? `1:${k.length}:${k}` : `1:${String(k)}`;
  }
  let out = `${keys.length}`;
  for (let i = 0; i < keys.length; i++) {
    const k = String(keys[i]);
    out += `:${k.length}:${k}`;
    if (values !== null) {
      const v = String(values[i]);
      out += `:${v.length}:${v}`;
    }
  }
  return out;
}

function sameAtoms(a: readonly Atom[], b: readonly Atom[]): boolean {
  if (a === b) return true;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function datumEquals(a: Datum, b: Datum): boolean {
  if (a === b) return true;
  if (a.keys.length !== b.keys.length) return false;
  return (
    sameAtoms(a.keys, b.keys) && (a.values === null || b.values === null || sameAtoms(a.values, b.values))
  );
}

/** Fewer elements first, then by keys, then by values. */
export function compareDatums(a: Datum, b: Datum): number {
  if (a.n !== b.n) return a.n < b.n ? -1 : 1;
  for (let i = 0; i < a.n; i++) {
    const c = compareAtoms(a.keys[i], b.keys[i]);
    if (c !== 0) return c;
  }
  for (let i = 0; a.values !== null && b.values !== null && i < a.n; i++) {
    const c = compareAtoms(a.values[i], b.values[i]);
    if (c !== 0) return c;
  }
  return 0;
}

export function checkDatum(datum: Datum, type: ColumnType): void {
  for (const key of datum.keys) checkAtom(type.key, key);
  if (type.value !== null) for (const value of datum.values!) checkAtom(type.value, value);
}

/** Whether every element of `part` is in `whole`. */
export function includesAll(part: Datum, whole: Datum): boolean {
  if (part.n > whole.n) return false;
  for (let i = 0; i < part.n; i++) {
    const j = whole.find(part.keys[i]);
    if (j < 0 || (part.values !== null && part.values[i] !== whole.values![j])) return false;
  }
  return true;
}

/** Whether no element of `part` is in `whole`. */
export function excludesAll(part: Datum, whole: Datum): boolean {
  for (let i = 0; i < part.n; i++) {
    const j = whole.find(part.keys[i]);
    if (j >= 0 && (part.values === null || part.values[i] === whole.values![j])) return false;
  }
  return true;
}
