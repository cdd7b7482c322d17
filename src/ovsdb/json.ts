/**
 * JSON values as OVSDB uses them. OVSDB integers are 64 bits wide, so an integer that a JavaScript
 * number cannot hold exactly is a `bigint`; every other number is a `number`.
 */
export type Json = null | boolean | number | bigint | string | JsonArray | JsonObject;
export type JsonArray = readonly Json[];
export interface JsonObject {
  readonly [member: string]: Json;
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isJsonArray(value: Json | undefined): value is JsonArray {
  return Array.isArray(value);
}

/** The member `name` of `object`, or undefined; never something inherited from a prototype. */
export function member(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/**
 * The value as a 64-bit integer in canonical form (a `number` where that is exact, otherwise a
 * `bigint`), or undefined if it is not an integer in that range. As in RFC 7159, `1.0` and `1` are the
 * same number.
 */
export function asInteger(value: Json | undefined): number | bigint | undefined {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return value === 0 ? 0 : value;
    if (!Number.isInteger(value)) return undefined;
    return canonicalInteger(BigInt(value));
  }
  return typeof value === 'bigint' ? canonicalInteger(value) : undefined;
}

/** `value` as a number if that is exact, otherwise unchanged; undefined outside 64 bits. */
export function canonicalInteger(value: bigint): number | bigint | undefined {
  if (value < INT64_MIN || value > INT64_MAX) return undefined;
  const n = Number(value);
  return Number.isSafeInteger(n) ? n : value;
}

/** Compact JSON text. Members keep their order. */
export function stringify(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch {
    return write(value, false); // a bigint inside, which JSON.stringify refuses
  }
}

/** Compact JSON text with the members of every object sorted by name: one text for one value. */
export function stringifySorted(value: Json): string {
  return write(value, true);
}

function write(value: Json, sorted: boolean): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isJsonArray(value)) {
    let out = '[';
    for (let i = 0; i < value.length; i++) out += (i ? ',' : '') + write(value[i], sorted);
    return `${out}]`;
  }
  const names = Object.keys(value);
  if (sorted) names.sort(byCodePoint);
  let out = '{';
  for (let i = 0; i < names.length; i++) {
    out += `${i ? ',' : ''}${JSON.stringify(names[i])}:${write(value[names[i]], sorted)}`;
  }
  return `${out}}`;
}

/** Orders strings as their UTF-8 encodings order, which is what stock's `strcmp` does. */
export function byCodePoint(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** True if both values are the same JSON value (members in any order). */
export function jsonEquals(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  return stringifySorted(a) === stringifySorted(b);
}
