import { WeftError } from '../base/errors.ts';
import { entryOf } from './maps.ts';
import { elementType, type OpaqueType, type TypeName, UUID, type Value } from './types.ts';

/*
 * Interning. Every value in a table is one 32-bit code, and two codes of one type are equal exactly
 * if the values are: identity is decided by comparing whole values here, once, and never by a hash.
 *
 * - bool: 0 and 1.
 * - int: itself from -2^30 to 2^30 - 1; beyond that a number of a pool, plus 2^30. So small ints cost
 *   nothing and compare without a look-up.
 * - bigint, string, uuid, types of the host, lists, sets: a number of a pool.
 *
 * Codes depend on the order in which values came, so nothing that leaves the engine may be ordered
 * by code: `compare` orders by value.
 *
 * Values that no row holds any more are swept: the engine marks what its tables hold, and the rest of
 * the numbers are free again. `values` arrays are replaced then, not changed, so that whoever kept
 * the array of before still decodes with it.
 */

export const INT_INLINE = 0x40000000;
/** As many entries as one Map can hold. */
const MAX_POOL = 2 ** 24 - 1;
/** What `find` gives for a value that no row can hold. */
export const NO_CODE = -0x80000000;

interface PoolEntryKey {
  readonly key: string | number | bigint;
}

/** One kind of values that live outside their code. */
class Pool<T> {
  ids = new Map<PoolEntryKey['key'], number>();
  values: (T | undefined)[] = [];
  #keys: (PoolEntryKey['key'] | undefined)[] = [];
  #free: number[] = [];
  bytes = 0;

  intern(key: PoolEntryKey['key'], value: T): number {
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    const id = this.#free.pop() ?? this.values.length;
    if (this.ids.size >= MAX_POOL)
      throw new WeftError('nlog-size-limit', `more than ${MAX_POOL} distinct values of one type`, {
        remedy: 'let rows share values, or name things by int',
      });
    this.ids.set(key, id);
    this.values[id] = value;
    this.#keys[id] = key;
    this.bytes += sizeOf(key);
    return id;
  }

  /** Frees every id that `keep` does not mark. Returns how many. */
  sweep(keep: Uint8Array): number {
    let freed = 0;
    const values = this.values.slice();
    const keys = this.#keys;
    for (let id = 0; id < values.length; id++) {
      const key = keys[id];
      if (key === undefined || keep[id] === 1) continue;
      this.ids.delete(key);
      this.bytes -= sizeOf(key);
      values[id] = undefined;
      keys[id] = undefined;
      freed++;
    }
    while (values.length > 0 && keys[values.length - 1] === undefined) {
      values.pop();
      keys.pop();
    }
    this.#free = [];
    for (let id = values.length - 1; id >= 0; id--) if (keys[id] === undefined) this.#free.push(id);
    this.values = values;
    return freed;
  }
}

/** About what one pooled value costs, map entry and both arrays included. */
function sizeOf(key: PoolEntryKey['key']): number {
  return 80 + (typeof key === 'string' ? 2 * key.length : 16);
}

/** Encodes and decodes the values of one type. */
export interface Codec {
  readonly type: TypeName;
  /** The code of a value, interning it if it is new. Throws `nlog-value` if it is not of the type. */
  encode(value: Value): number;
  /** The code of a value if it has one, else NO_CODE. Throws `nlog-value` likewise. */
  find(value: Value): number;
  decode(code: number): Value;
  /** Orders by value. */
  compare(a: number, b: number): number;
  /** As programs and the command line write it. */
  format(code: number): string;
  /** A decoder that goes on working after values were swept. */
  frozen(): Pick<Codec, 'decode' | 'compare'>;
}

export function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}

function wrongValue(type: TypeName, value: unknown, remedy: string): WeftError {
  let shown: string;
  try {
    shown = typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value));
  } catch {
    shown = typeName(value);
  }
  return new WeftError(
    'nlog-value',
    `${shown.length > 80 ? `${shown.slice(0, 77)}...` : shown} is no ${type}`,
    { remedy },
  );
}

/** All values of one engine. */
export class Values {
  readonly #opaque = new Map<string, OpaqueType>();
  readonly #codecs = new Map<TypeName, Codec>();
  readonly #pools = new Map<TypeName, Pool<Value>>();
  readonly #listPools = new Map<TypeName, Pool<Int32Array>>();
  readonly #ints = new Pool<number>();
  /** Codes that programs name: never swept. */
  readonly #pinned: [TypeName, number][] = [];

  constructor(opaque: Iterable<OpaqueType> = []) {
    for (const type of opaque) this.#opaque.set(type.name, type);
  }

  codec(type: TypeName): Codec {
    let codec = this.#codecs.get(type);
    if (codec === undefined) {
      codec = this.#make(type);
      this.#codecs.set(type, codec);
    }
    return codec;
  }

  /** Encodes a constant of the program. */
  constant(type: TypeName, value: Value): number {
    const code = this.codec(type).encode(value);
    this.#pinned.push([type, code]);
    return code;
  }

  /** Code to int: what compiled rules compute with. */
  readonly int = (code: number): number => (code < INT_INLINE ? code : this.#ints.values[code - INT_INLINE]!);

  /** Int to code; the caller has made sure that it is a safe integer. */
  readonly codeOfInt = (n: number): number => {
    if (n >= -INT_INLINE && n < INT_INLINE) return n | 0;
    return INT_INLINE + this.#ints.intern(n, n);
  };

  get bytes(): number {
    let sum = this.#ints.bytes;
    for (const pool of this.#pools.values()) sum += pool.bytes;
    for (const pool of this.#listPools.values()) sum += pool.bytes;
    return sum;
  }

  /** Numbers in use in all pools together. */
  get pooled(): number {
    let sum = this.#ints.ids.size;
    for (const pool of this.#pools.values()) sum += pool.ids.size;
    for (const pool of this.#listPools.values()) sum += pool.ids.size;
    return sum;
  }

  /** Whether values of the type live in a pool at all, so that a sweep must look at their columns. */
  isPooled(type: TypeName): boolean {
    return type !== 'bool';
  }

  /**
   * Frees every value that `mark` does not name. `mark` calls its argument with every type and code
   * in use.
   */
  sweep(mark: (use: (type: TypeName, code: number) => void) => void): number {
    const marks = new Map<Pool<unknown>, Uint8Array>();
    const marksOf = (pool: Pool<unknown>): Uint8Array => {
      return entryOf(marks, pool, () => new Uint8Array(pool.values.length));
    };
    const intMarks = marksOf(this.#ints);
    const markers = new Map<TypeName, (code: number) => void>();
    const markerOf = (type: TypeName): ((code: number) => void) => {
      let marker = markers.get(type);
      if (marker !== undefined) return marker;
      const element = elementType(type);
      if (type === 'bool') marker = () => {};
      else if (type === 'int')
        marker = (code) => {
          if (code >= INT_INLINE) intMarks[code - INT_INLINE] = 1;
        };
      else if (element !== undefined) {
        const pool = this.#listPool(type);
        const own = marksOf(pool);
        const inner = markerOf(element);
        marker = (code) => {
          if (own[code] === 1) return;
          own[code] = 1;
          for (const c of pool.values[code]!) inner(c);
        };
      } else {
        const own = marksOf(this.#pool(type));
        marker = (code) => {
          own[code] = 1;
        };
      }
      markers.set(type, marker);
      return marker;
    };
    for (const [type, code] of this.#pinned) markerOf(type)(code);
    mark((type, code) => markerOf(type)(code));
    let freed = this.#ints.sweep(intMarks);
    for (const pool of this.#pools.values()) freed += pool.sweep(marksOf(pool));
    for (const pool of this.#listPools.values()) freed += pool.sweep(marksOf(pool));
    return freed;
  }

  #pool(type: TypeName): Pool<Value> {
    return entryOf(this.#pools, type, () => new Pool<Value>());
  }

  #listPool(type: TypeName): Pool<Int32Array> {
    return entryOf(this.#listPools, type, () => new Pool<Int32Array>());
  }

  #make(type: TypeName): Codec {
    const element = elementType(type);
    if (element !== undefined) return this.#list(type, element);
    switch (type) {
      case 'bool':
        return this.#bool();
      case 'int':
        return this.#int();
      case 'bigint':
        return this.#pooled(type, (v) => {
          if (typeof v !== 'bigint') throw wrongValue(type, v, 'give a bigint');
          return v;
        });
      case 'string':
        return this.#pooled(type, (v) => {
          if (typeof v !== 'string') throw wrongValue(type, v, 'give a string');
          return v;
        });
      case 'uuid':
        return this.#pooled(type, (v) => {
          const lower = typeof v === 'string' ? v.toLowerCase() : '';
          if (!UUID.test(lower))
            throw wrongValue(type, v, 'give a string such as "550e8400-e29b-41d4-a716-446655440000"');
          return lower;
        });
      default:
        return this.#hostType(type);
    }
  }

  #bool(): Codec {
    const check = (v: Value): number => {
      if (typeof v !== 'boolean') throw wrongValue('bool', v, 'give true or false');
      return v ? 1 : 0;
    };
    const codec: Codec = {
      type: 'bool',
      encode: check,
      find: check,
      decode: (c) => c === 1,
      compare: (a, b) => a - b,
      format: (c) => (c === 1 ? 'true' : 'false'),
      frozen: () => codec,
    };
    return codec;
  }

  #int(): Codec {
    const pool = this.#ints;
    const check = (v: Value): number => {
      if (typeof v !== 'number' || !Number.isSafeInteger(v))
        throw wrongValue('int', v, 'give an integer between -(2^53-1) and 2^53-1');
      return v === 0 ? 0 : v;
    };
    const over = (values: readonly (number | undefined)[]): Pick<Codec, 'decode' | 'compare'> => {
      const decode = (c: number): number => (c < INT_INLINE ? c : values[c - INT_INLINE]!);
      return { decode, compare: (a, b) => decode(a) - decode(b) };
    };
    return {
      type: 'int',
      encode: (v) => this.codeOfInt(check(v)),
      find: (v) => {
        const n = check(v);
        if (n >= -INT_INLINE && n < INT_INLINE) return n;
        const id = pool.ids.get(n);
        return id === undefined ? NO_CODE : INT_INLINE + id;
      },
      decode: this.int,
      compare: (a, b) => this.int(a) - this.int(b),
      format: (c) => String(this.int(c)),
      frozen: () => over(pool.values),
    };
  }

  #pooled(type: TypeName, check: (v: Value) => string | bigint): Codec {
    const pool = this.#pool(type);
    const order = (x: Value, y: Value): number => (x < y ? -1 : x > y ? 1 : 0);
    return {
      type,
      encode: (v) => {
        const key = check(v);
        return pool.intern(key, key);
      },
      find: (v) => pool.ids.get(check(v)) ?? NO_CODE,
      decode: (c) => pool.values[c]!,
      compare: (a, b) => (a === b ? 0 : order(pool.values[a]!, pool.values[b]!)),
      format: (c) => (type === 'bigint' ? `${pool.values[c]}n` : JSON.stringify(pool.values[c])),
      frozen: () => {
        const { values } = pool;
        return {
          decode: (c) => values[c]!,
          compare: (a, b) => (a === b ? 0 : order(values[a]!, values[b]!)),
        };
      },
    };
  }

  #hostType(type: TypeName): Codec {
    const host = this.#opaque.get(type);
    if (host === undefined)
      throw new WeftError('nlog-unknown-type', `the host has registered no type "${type}"`, {
        remedy: 'give it to the engine in `types`',
      });
    const pool = this.#pool(type);
    const keyOf = (v: Value): string => {
      if (typeof v !== 'object' || v === null)
        throw wrongValue(type, v, `give an object of the type ${type}`);
      return host.key(v);
    };
    const order = (x: Value, y: Value): number => {
      const [a, b] = [host.key(x as object), host.key(y as object)];
      return a < b ? -1 : a > b ? 1 : 0;
    };
    return {
      type,
      encode: (v) => {
        const key = keyOf(v);
        return pool.intern(key, v);
      },
      find: (v) => pool.ids.get(keyOf(v)) ?? NO_CODE,
      decode: (c) => pool.values[c]!,
      compare: (a, b) => (a === b ? 0 : order(pool.values[a]!, pool.values[b]!)),
      format: (c) => (host.format ?? host.key)(pool.values[c] as object),
      frozen: () => {
        const { values } = pool;
        return {
          decode: (c) => values[c]!,
          compare: (a, b) => (a === b ? 0 : order(values[a]!, values[b]!)),
        };
      },
    };
  }

  #list(type: TypeName, element: TypeName): Codec {
    const pool = this.#listPool(type);
    const inner = this.codec(element);
    const isSet = type.startsWith('set<');
    const codesOf = (v: Value, code: (v: Value) => number): Int32Array => {
      if (!Array.isArray(v)) throw wrongValue(type, v, `give an array of ${element}`);
      const codes = Int32Array.from(v as Value[], code);
      if (!isSet || codes.includes(NO_CODE)) return codes;
      return Int32Array.from(new Set([...codes].sort(inner.compare)));
    };
    // Equal lists have equal lists of codes, and different ones different: the text of the codes is exact.
    const intern = (codes: Int32Array): number => pool.intern(codes.join(), codes);
    const over = (
      values: readonly (Int32Array | undefined)[],
      of: Pick<Codec, 'decode' | 'compare'>,
    ): Pick<Codec, 'decode' | 'compare'> => ({
      decode: (c) => Object.freeze(Array.from(values[c]!, of.decode)),
      compare: (a, b) => {
        if (a === b) return 0;
        const [x, y] = [values[a]!, values[b]!];
        for (let i = 0; i < x.length && i < y.length; i++) {
          const d = of.compare(x[i], y[i]);
          if (d !== 0) return d;
        }
        return x.length - y.length;
      },
    });
    return {
      type,
      encode: (v) => intern(codesOf(v, inner.encode)),
      find: (v) => {
        const codes = codesOf(v, inner.find);
        return codes.includes(NO_CODE) ? NO_CODE : (pool.ids.get(codes.join()) ?? NO_CODE);
      },
      decode: (c) => over(pool.values, inner).decode(c),
      compare: (a, b) => over(pool.values, inner).compare(a, b),
      format: (c) =>
        `${isSet ? '{' : '['}${Array.from(pool.values[c]!, inner.format).join(', ')}${isSet ? '}' : ']'}`,
      frozen: () => over(pool.values, inner.frozen()),
    };
  }

  /** The code of a list or set whose elements are codes already, in order. */
  codeOfList(type: TypeName, codes: Int32Array): number {
    return this.#listPool(type).intern(codes.join(), codes);
  }
}
