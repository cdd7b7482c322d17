import { WeftError } from '../base/errors.ts';
import type { Changes } from './changes.ts';
import { sortedOffsets } from './changes.ts';
import type { Engine } from './engine.ts';
import type { Relation } from './relation.ts';
import { elementType, type TypeName, type Value } from './types.ts';
import type { Codec } from './values.ts';

/*
 * A snapshot holds the rows of the input tables: everything else follows from them. Its bytes depend on
 * the rows alone, not on how they came.
 *
 *     "nlog snapshot 1\n"
 *     u32 checksum of what follows (FNV-1a)
 *     u32 length, JSON header: tables (name, column types, rows), dictionaries (type, values in order)
 *     for each table: its rows, ordered by value, one i32 a column, little endian
 *
 * Ints of 31 bits and bools stand for themselves; of every other type the number is a place in the type's
 * dictionary, whose values are in order.
 */

const MAGIC = new TextEncoder().encode('nlog snapshot 1\n');

interface Header {
  readonly tables: readonly {
    readonly name: string;
    readonly types: readonly TypeName[];
    readonly rows: number;
  }[];
  readonly dictionaries: readonly { readonly type: TypeName; readonly values: readonly unknown[] }[];
}

/** How values of the host's types are written into a snapshot, as JSON. */
export interface OpaqueJson {
  readonly type: string;
  toJson(value: object): unknown;
  fromJson(json: unknown): object;
}

const inline = (type: TypeName, code: number): boolean =>
  type === 'bool' || (type === 'int' && code < 0x40000000);

/** Saves the input tables. `opaque`: for each of the host's types that an input table has. */
export function saveSnapshot(engine: Engine, opaque: Iterable<OpaqueJson> = []): Uint8Array {
  const json = new Map([...opaque].map((o) => [o.type, o]));
  const { schedule, values } = engine.parts;
  const inputs = [...schedule.relations.values()].filter((r) => r.table.kind === 'input');
  const gathered = inputs.map(gather);
  const codesOf = new Map<TypeName, Set<number>>();
  inputs.forEach((r, t) => {
    r.table.columns.forEach((c, i) => {
      let set = codesOf.get(c.type);
      if (set === undefined) {
        set = new Set();
        codesOf.set(c.type, set);
      }
      for (let at = i; at < gathered[t].length; at += r.layout.arity)
        if (!inline(c.type, gathered[t][at])) set.add(gathered[t][at]);
    });
  });
  const places = new Map<TypeName, Map<number, number>>();
  const dictionaries = [...codesOf]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, set]) => {
      const codec = values.codec(type);
      const order = [...set].sort(codec.compare);
      places.set(type, new Map(order.map((code, i) => [code, i])));
      return { type, values: order.map((code) => toJson(type, codec.decode(code), json)) };
    });
  const tables = inputs.map((r, t) => ({
    name: r.table.name,
    types: r.table.columns.map((c) => c.type),
    rows: r.layout.arity === 0 ? r.visible : gathered[t].length / r.layout.arity,
  }));
  const header = new TextEncoder().encode(JSON.stringify({ tables, dictionaries } satisfies Header));
  const words = gathered.reduce((sum, g) => sum + g.length, 0);
  const start = MAGIC.length + 8;
  const out = new Uint8Array(start + header.length + words * 4);
  out.set(MAGIC);
  const view = new DataView(out.buffer);
  view.setUint32(MAGIC.length + 4, header.length, true);
  out.set(header, start);
  let at = start + header.length;
  inputs.forEach((r, t) => {
    const { arity } = r.layout;
    if (arity === 0) return;
    const types = r.table.columns.map((c) => c.type);
    for (const row of sortedOffsets(gathered[t], arity, r.codecs))
      for (let i = 0; i < arity; i++) {
        const code = gathered[t][row + i];
        // Places of large ints begin where the small ones end.
        view.setInt32(
          at,
          inline(types[i], code)
            ? code
            : places.get(types[i])!.get(code)! + (types[i] === 'int' ? 0x40000000 : 0),
          true,
        );
        at += 4;
      }
  });
  view.setUint32(MAGIC.length, checksum(out.subarray(MAGIC.length + 4)), true);
  return out;
}

function checksum(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  return h >>> 0;
}

function gather(relation: Relation): Int32Array {
  const { arity } = relation.layout;
  const codes = new Int32Array(relation.visible * arity);
  let n = 0;
  relation.forEach((ref) => {
    for (let i = 0; i < arity; i++) codes[n++] = relation.word(ref, i);
  });
  return codes;
}

function toJson(type: TypeName, value: Value, opaque: ReadonlyMap<string, OpaqueJson>): unknown {
  const element = elementType(type);
  if (element !== undefined) return (value as readonly Value[]).map((v) => toJson(element, v, opaque));
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object') return value;
  const own = opaque.get(type);
  if (own === undefined)
    throw new WeftError('nlog-snapshot', `no way is given to write values of the type "${type}"`, {
      remedy: 'give it in `opaque`',
    });
  return own.toJson(value);
}

function fromJson(type: TypeName, json: unknown, opaque: ReadonlyMap<string, OpaqueJson>): Value {
  const element = elementType(type);
  if (element !== undefined) return (json as unknown[]).map((v) => fromJson(element, v, opaque));
  if (type === 'bigint') return BigInt(json as string);
  const own = opaque.get(type);
  return own === undefined ? (json as Value) : own.fromJson(json);
}

const broken = (what: string): WeftError =>
  new WeftError('nlog-snapshot', `the snapshot is broken: ${what}`, {
    remedy: 'load another, or fill the inputs anew',
  });

/**
 * Makes the input tables hold exactly the rows of a snapshot, in one transaction.
 *
 * @throws WeftError `nlog-snapshot` if it is broken or its tables are not the program's
 */
export function loadSnapshot(engine: Engine, bytes: Uint8Array, opaque: Iterable<OpaqueJson> = []): Changes {
  const json = new Map([...opaque].map((o) => [o.type, o]));
  const { header, body } = parse(bytes);
  const { parts } = engine;
  const decoded = new Map(
    header.dictionaries.map((d) => [d.type, codesOf(parts.values.codec(d.type), d.values, d.type, json)]),
  );
  const relations = header.tables.map((t) => {
    const relation = [...parts.schedule.relations.values()].find(
      (r) => r.table.kind === 'input' && r.table.name === t.name,
    );
    if (relation === undefined || relation.table.columns.map((c) => c.type).join() !== t.types.join())
      throw new WeftError(
        'nlog-snapshot',
        `the program has no input table ${t.name}(${t.types.join(', ')})`,
        { remedy: 'load the snapshot with the program that saved it' },
      );
    return relation;
  });
  return engine.transactionByCode((set) => {
    for (const relation of parts.schedule.relations.values())
      if (relation.table.kind === 'input')
        relation.forEach((ref) => {
          set(relation, [...relation.codesOf(ref)], false);
        });
    let at = 0;
    header.tables.forEach((t, k) => {
      for (let n = 0; n < t.rows; n++) {
        const codes = t.types.map((type) => {
          const word = body.getInt32(at, true);
          at += 4;
          if (type === 'bool' || (type === 'int' && word < 0x40000000)) return word;
          const code = decoded.get(type)?.[type === 'int' ? word - 0x40000000 : word];
          if (code === undefined) throw broken(`no value ${word} of the type ${type}`);
          return code;
        });
        set(relations[k], codes, true);
      }
    });
  });
}

function codesOf(
  codec: Codec,
  values: readonly unknown[],
  type: TypeName,
  opaque: ReadonlyMap<string, OpaqueJson>,
): number[] {
  return values.map((v) => {
    try {
      return codec.encode(fromJson(type, v, opaque));
    } catch (cause) {
      throw broken(
        `a value of its dictionary is no ${type} (${cause instanceof Error ? cause.message : String(cause)})`,
      );
    }
  });
}

function parse(bytes: Uint8Array): { header: Header; body: DataView } {
  const start = MAGIC.length + 8;
  if (bytes.length < start || !MAGIC.every((b, i) => bytes[i] === b))
    throw broken('it does not begin as a snapshot');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(MAGIC.length, true) !== checksum(bytes.subarray(MAGIC.length + 4)))
    throw broken('its checksum is wrong');
  const length = view.getUint32(MAGIC.length + 4, true);
  if (start + length > bytes.length) throw broken('it ends within its header');
  const header = parseHeader(bytes.subarray(start, start + length));
  const words = header.tables.reduce((sum, t) => sum + t.rows * t.types.length, 0);
  if (start + length + words * 4 !== bytes.length)
    throw broken(`it has ${bytes.length} bytes, not ${start + length + words * 4}`);
  return { header, body: new DataView(bytes.buffer, bytes.byteOffset + start + length) };
}

function parseHeader(bytes: Uint8Array): Header {
  let header: Partial<Header> | null;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Header> | null;
  } catch {
    throw broken('its header is no JSON');
  }
  const { tables, dictionaries } = header ?? {};
  const table = (t: Partial<Header['tables'][number]> | null): boolean =>
    typeof t?.name === 'string' &&
    Array.isArray(t.types) &&
    t.types.every((x) => typeof x === 'string') &&
    Number.isSafeInteger(t.rows) &&
    t.rows! >= 0;
  const dictionary = (d: Partial<Header['dictionaries'][number]> | null): boolean =>
    typeof d?.type === 'string' && Array.isArray(d.values);
  if (
    !Array.isArray(tables) ||
    !Array.isArray(dictionaries) ||
    !tables.every(table) ||
    !dictionaries.every(dictionary)
  )
    throw broken('its header is not that of a snapshot');
  // Tables without columns take no bytes: their only row is there or not.
  if (tables.some((t) => t.types.length === 0 && t.rows > 1))
    throw broken('a table without columns has several rows');
  return { tables, dictionaries };
}
