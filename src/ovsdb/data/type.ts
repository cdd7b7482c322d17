import { syntaxError } from '../error.ts';
import { asInteger, isJsonArray, isJsonObject, type Json, type JsonObject } from '../json.ts';
import type { AtomicType } from '../schema/spec.ts';
import { type Atom, atomFromJson, compareAtoms } from './atom.ts';
import { ObjectParser } from './parser.ts';

/** "unlimited", as the number that stock prints for it. */
export const UNLIMITED = 0xffffffff;

/** RFC 7047 `<base-type>`: the type of one atom and its constraints. */
export interface BaseType {
  readonly type: AtomicType;
  /** Allowed values in order, or null. */
  readonly enum: readonly Atom[] | null;
  /** Bounds of an integer or real, or null for none. */
  readonly min: number | bigint | null;
  readonly max: number | bigint | null;
  /** Bounds of a string's length in characters. */
  readonly minLength: number;
  readonly maxLength: number | null;
  /** For a uuid: the table that it refers to. */
  readonly refTable: string | null;
  readonly refWeak: boolean;
}

/** RFC 7047 `<type>`: a scalar, optional scalar, set or map. */
export interface ColumnType {
  readonly key: BaseType;
  /** The type of a map's values; null if this is not a map. */
  readonly value: BaseType | null;
  /** 0 or 1. */
  readonly min: number;
  /** At least 1; `UNLIMITED` for no limit. */
  readonly max: number;
}

const ATOMIC = new Set<string>(['integer', 'real', 'boolean', 'string', 'uuid']);

export function plainBase(type: AtomicType): BaseType {
  return {
    type,
    enum: null,
    min: null,
    max: null,
    minLength: 0,
    maxLength: null,
    refTable: null,
    refWeak: false,
  };
}

export const UUID_TYPE: ColumnType = { key: plainBase('uuid'), value: null, min: 1, max: 1 };

export function isScalar(type: ColumnType): boolean {
  return type.value === null && type.min === 1 && type.max === 1;
}

export function isOptionalScalar(type: ColumnType): boolean {
  return type.value === null && type.min === 0 && type.max === 1;
}

/** More than one element is possible, so that differences are sent element by element. */
export function isComposite(type: ColumnType): boolean {
  return type.max > 1;
}

export function isMap(type: ColumnType): boolean {
  return type.value !== null;
}

/** Not a map, and not exactly one value. */
export function isSet(type: ColumnType): boolean {
  return type.value === null && (type.min !== 1 || type.max !== 1);
}

function atomicType(json: Json): AtomicType {
  if (typeof json !== 'string') throw syntaxError(json, 'atomic-type expected');
  if (!ATOMIC.has(json)) throw syntaxError(json, `"${json}" is not an atomic-type`);
  return json as AtomicType;
}

export function parseBaseType(json: Json): BaseType {
  if (typeof json === 'string') return plainBase(atomicType(json));
  const parser = new ObjectParser(json, 'ovsdb type');
  const typeName = parser.needString('type');
  parser.check();
  const base: { -readonly [K in keyof BaseType]: BaseType[K] } = plainBase(atomicType(typeName as string));
  const enumJson = parser.maybe('enum', 'any');
  if (enumJson !== undefined) {
    base.enum = parseEnum(plainBase(base.type), enumJson);
  } else if (base.type === 'integer') {
    base.min = parser.maybeInteger('minInteger') ?? null;
    base.max = parser.maybeInteger('maxInteger') ?? null;
    if (base.min !== null && base.max !== null && base.min > base.max) {
      throw syntaxError(json, 'minInteger exceeds maxInteger');
    }
  } else if (base.type === 'real') {
    base.min = toNumber(parser.maybe('minReal', 'number'));
    base.max = toNumber(parser.maybe('maxReal', 'number'));
    if (base.min !== null && base.max !== null && base.min > base.max) {
      throw syntaxError(json, 'minReal exceeds maxReal');
    }
  } else if (base.type === 'string') {
    base.minLength = length(parser.maybeInteger('minLength'), 'minLength') ?? 0;
    base.maxLength = length(parser.maybeInteger('maxLength'), 'maxLength') ?? null;
    if (base.maxLength !== null && base.minLength > base.maxLength) {
      throw syntaxError(json, 'minLength exceeds maxLength');
    }
  } else if (base.type === 'uuid') {
    base.refTable = parser.maybeString('refTable', 'id') ?? null;
    if (base.refTable !== null) {
      const refType = parser.maybeString('refType', 'id') ?? 'strong';
      if (refType !== 'strong' && refType !== 'weak') {
        throw syntaxError(json, `refType must be "strong" or "weak" (not "${refType}")`);
      }
      base.refWeak = refType === 'weak';
    }
  }
  parser.finish();
  return base;
}

function toNumber(json: Json | undefined): number | null {
  return json === undefined ? null : Number(json);
}

function length(value: number | bigint | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (value < 0 || value > UNLIMITED) {
    throw syntaxError(asInteger(value), `${name} out of valid range 0 to ${UNLIMITED}`);
  }
  return Number(value);
}

function parseEnum(base: BaseType, json: Json): readonly Atom[] {
  const members = isJsonArray(json) && json[0] === 'set' ? setMembers(json) : [json];
  if (members.length < 1) {
    throw syntaxError(json, `set must have 1 to ${UNLIMITED} members but 0 are present`);
  }
  const atoms = members.map((m) => atomFromJson(base, m, undefined)).sort(compareAtoms);
  for (let i = 1; i < atoms.length; i++) {
    if (atoms[i] === atoms[i - 1]) throw syntaxError(undefined, 'set contains duplicate', 'ovsdb error');
  }
  return atoms;
}

function setMembers(json: readonly Json[]): readonly Json[] {
  if (json.length !== 2 || !isJsonArray(json[1])) throw syntaxError(json, 'expected ["set", <array>]');
  return json[1];
}

export function parseColumnType(json: Json): ColumnType {
  if (typeof json === 'string') return { key: parseBaseType(json), value: null, min: 1, max: 1 };
  if (!isJsonObject(json)) throw syntaxError(json, 'ovsdb type expected');
  const parser = new ObjectParser(json, 'ovsdb type');
  const key = parser.need('key', 'string', 'object');
  const value = parser.maybe('value', 'string', 'object');
  const min = parser.maybe('min', 'integer');
  const max = parser.maybe('max', 'integer', 'string');
  parser.finish();
  const type: ColumnType = {
    key: parseBaseType(key as Json),
    value: value === undefined ? null : parseBaseType(value),
    min: count(min),
    max: max === 'unlimited' ? UNLIMITED : count(max),
  };
  if (type.min > 1 || type.max < 1) throw syntaxError(json, 'ovsdb type fails constraint checks');
  return type;
}

function count(json: Json | undefined): number {
  if (json === undefined) return 1;
  const n = asInteger(json);
  if (n === undefined || n < 0 || n >= UNLIMITED) throw syntaxError(json, 'bad min or max value');
  return Number(n);
}

function isConstrained(base: BaseType): boolean {
  return (
    base.enum !== null ||
    base.min !== null ||
    base.max !== null ||
    base.minLength !== 0 ||
    base.maxLength !== null ||
    base.refTable !== null
  );
}

export function baseTypeToJson(base: BaseType): Json {
  if (!isConstrained(base)) return base.type;
  const json: { [name: string]: Json } = { type: base.type };
  if (base.enum !== null) {
    const atoms = base.type === 'uuid' ? base.enum.map((a) => ['uuid', a]) : base.enum;
    json.enum = atoms.length === 1 ? atoms[0] : ['set', atoms];
  }
  const suffix = base.type === 'integer' ? 'Integer' : 'Real';
  if (base.min !== null) json[`min${suffix}`] = base.min;
  if (base.max !== null) json[`max${suffix}`] = base.max;
  if (base.minLength !== 0) json.minLength = base.minLength;
  if (base.maxLength !== null) json.maxLength = base.maxLength;
  if (base.refTable !== null) json.refTable = base.refTable;
  if (base.refWeak) json.refType = 'weak';
  return json;
}

export function columnTypeToJson(type: ColumnType): Json {
  if (isScalar(type) && !isConstrained(type.key)) return baseTypeToJson(type.key);
  const json: { [name: string]: Json } = { key: baseTypeToJson(type.key) };
  if (type.value !== null) json.value = baseTypeToJson(type.value);
  if (type.min !== 1) json.min = type.min;
  if (type.max === UNLIMITED) json.max = 'unlimited';
  else if (type.max !== 1) json.max = type.max;
  return json satisfies JsonObject;
}

/** For error messages: "set of up to 2 integers". */
export function describeType(type: ColumnType): string {
  if (isScalar(type)) return type.key.type;
  const bounds =
    type.max === UNLIMITED
      ? type.min > 0
        ? ` of ${type.min} or more`
        : ' of'
      : type.min > 0
        ? ` of ${type.min} to ${type.max}`
        : ` of up to ${type.max}`;
  return type.value === null
    ? `set${bounds} ${type.key.type}s`
    : `map${bounds} (${type.key.type}, ${type.value.type}) pairs`;
}
