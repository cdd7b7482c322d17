import { constraintViolation, syntaxError } from '../error.ts';
import { asInteger, isJsonArray, type Json } from '../json.ts';
import { isId } from './parser.ts';
import type { BaseType } from './type.ts';

/**
 * One value: an integer (a `bigint` only where a `number` would not be exact), a real, a boolean, a
 * string, or a uuid (36 lower-case characters). Atoms of one type compare with `<` and `===`.
 */
export type Atom = number | bigint | boolean | string;

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

export const ZERO_UUID = '00000000-0000-0000-0000-000000000000';

/** The canonical form of a uuid, or undefined if `text` is none. */
export function parseUuid(text: string): string | undefined {
  return UUID.test(text) ? text.toLowerCase() : undefined;
}

/** Names that a transaction gave to rows ("uuid-name"), and the uuids that they stand for. */
export class SymbolTable {
  readonly #symbols = new Map<string, { uuid: string; created: boolean }>();
  readonly #newUuid: () => string;

  constructor(newUuid: () => string) {
    this.#newUuid = newUuid;
  }

  /** The symbol `name`; made, with a fresh uuid, if it is used before its insert. */
  get(name: string): { uuid: string; created: boolean } {
    let symbol = this.#symbols.get(name);
    if (symbol === undefined) {
      symbol = { uuid: this.#newUuid(), created: false };
      this.#symbols.set(name, symbol);
    }
    return symbol;
  }
}

export function compareAtoms(a: Atom, b: Atom): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function defaultAtom(type: BaseType): Atom {
  switch (type.type) {
    case 'integer':
    case 'real':
      return 0;
    case 'boolean':
      return false;
    case 'string':
      return '';
    case 'uuid':
      return ZERO_UUID;
  }
}

/**
 * Parses `json` as an atom of type `base` and holds it against the constraints of the type. Named
 * uuids are understood if there is a symbol table.
 */
export function atomFromJson(base: BaseType, json: Json, symbols: SymbolTable | undefined): Atom {
  const atom = rawAtomFromJson(base, json, symbols);
  checkAtom(base, atom);
  return atom;
}

function rawAtomFromJson(base: BaseType, json: Json, symbols: SymbolTable | undefined): Atom {
  switch (base.type) {
    case 'integer': {
      const value = asInteger(json);
      if (value !== undefined) return value;
      break;
    }
    case 'real':
      if (typeof json === 'number' && Number.isFinite(json)) return json === 0 ? 0 : json;
      if (typeof json === 'bigint') return Number(json);
      break;
    case 'boolean':
      if (typeof json === 'boolean') return json;
      break;
    case 'string':
      if (typeof json === 'string') return json;
      break;
    case 'uuid':
      return uuidFromJson(json, symbols);
  }
  throw syntaxError(json, `expected ${base.type}`);
}

function pair(json: Json, name: string): string | undefined {
  return isJsonArray(json) && json.length === 2 && json[0] === name && typeof json[1] === 'string'
    ? json[1]
    : undefined;
}

function uuidFromJson(json: Json, symbols: SymbolTable | undefined): string {
  const text = pair(json, 'uuid');
  if (text !== undefined) {
    const uuid = parseUuid(text);
    if (uuid === undefined) throw syntaxError(json, `"${text}" is not a valid UUID`);
    return uuid;
  }
  const name = symbols === undefined ? undefined : pair(json, 'named-uuid');
  if (name !== undefined) {
    if (!isId(name)) throw syntaxError(json, 'named-uuid string is not a valid <id>');
    return symbols!.get(name).uuid;
  }
  throw syntaxError(json, 'expected ["uuid", <string>]');
}

export function atomToJson(base: BaseType, atom: Atom): Json {
  return base.type === 'uuid' ? ['uuid', atom as string] : atom;
}

/** Throws a constraint violation if `atom` is not among the values that `base` allows. */
export function checkAtom(base: BaseType, atom: Atom): void {
  if (base.enum !== null && !base.enum.includes(atom)) {
    const valid = base.enum.map((a) => atomToText(base, a)).join(', ');
    const list = base.enum.length === 1 ? valid : `[${valid}]`;
    throw constraintViolation(`${atomToText(base, atom)} is not one of the allowed values (${list})`);
  }
  switch (base.type) {
    case 'integer':
    case 'real':
      if (base.min !== null || base.max !== null) checkRange(base, atom as number);
      return;
    case 'string':
      checkString(base, atom as string);
      return;
  }
}

function checkRange(base: BaseType, atom: number): void {
  const { min, max } = base;
  if ((min === null || atom >= min) && (max === null || atom <= max)) return;
  const text = (a: Atom): string => atomToText(base, a);
  throw constraintViolation(
    min === null
      ? `${text(atom)} is greater than maximum allowed value ${text(max as Atom)}`
      : max === null
        ? `${text(atom)} is less than minimum allowed value ${text(min)}`
        : `${text(atom)} is not in the valid range ${text(min)} to ${text(max)} (inclusive)`,
  );
}

function checkString(base: BaseType, text: string): void {
  if (!text.isWellFormed() || text.includes('\0')) {
    throw constraintViolation('not a valid UTF-8 string: it holds a null character or half a surrogate pair');
  }
  if (base.minLength === 0 && base.maxLength === null) return;
  let n = 0;
  for (const _ of text) n++;
  if (n < base.minLength) {
    throw constraintViolation(`"${text}" length ${n} is less than minimum allowed length ${base.minLength}`);
  }
  if (base.maxLength !== null && n > base.maxLength) {
    throw constraintViolation(
      `"${text}" length ${n} is greater than maximum allowed length ${base.maxLength}`,
    );
  }
}

/** The form that the stock tools print: strings in quotes only where they could be mistaken. */
export function atomToText(base: BaseType, atom: Atom): string {
  if (base.type === 'real') return formatReal(atom as number);
  if (base.type === 'string' && needsQuotes(atom as string)) return JSON.stringify(atom);
  return String(atom);
}

function needsQuotes(text: string): boolean {
  return !/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text) || text === 'true' || text === 'false' || UUID.test(text);
}

/** Fifteen significant digits, as C's `%.15g` prints them. */
export function formatReal(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const [mantissa, exponentText] = value.toExponential(14).split('e');
  const exponent = Number(exponentText);
  const trim = (digits: string): string => digits.replace(/\.?0+$/, '');
  if (exponent < -4 || exponent >= 15) {
    const sign = exponent < 0 ? '-' : '+';
    return `${trim(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const fixed = value.toFixed(14 - exponent);
  return fixed.includes('.') ? trim(fixed) : fixed;
}
