/**
 * Database schemas as constants: the JSON of RFC 7047 section 3.2 with its literal types kept, so that
 * the type of every row follows from the schema (see `RowOf`). The short functions below write that
 * JSON for you:
 *
 *     const Port = table({ name: fixed('string'), tag: column(optional(integer(0, 4095))) }, { indexes: [['name']] });
 */
export type AtomicType = 'integer' | 'real' | 'boolean' | 'string' | 'uuid';

/** RFC 7047 `<base-type>` in its object form. */
export interface BaseSpec {
  readonly type: AtomicType;
  readonly enum?: readonly ['set', readonly (string | number | boolean)[]];
  readonly minInteger?: number;
  readonly maxInteger?: number;
  readonly minReal?: number;
  readonly maxReal?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly refTable?: string;
  readonly refType?: 'strong' | 'weak';
}

/** RFC 7047 `<type>` in its object form; `min` and `max` are 1 where they are absent. */
export interface TypeSpec {
  readonly key: AtomicType | BaseSpec;
  readonly value?: AtomicType | BaseSpec;
  readonly min?: 0 | 1;
  readonly max?: number | 'unlimited';
}

export interface ColumnSpec {
  readonly type: AtomicType | TypeSpec;
  readonly mutable?: boolean;
  readonly ephemeral?: boolean;
}

export interface TableSpec {
  readonly columns: { readonly [column: string]: ColumnSpec };
  readonly isRoot?: boolean;
  readonly maxRows?: number;
  readonly indexes?: readonly (readonly string[])[];
}

export interface SchemaSpec {
  readonly name: string;
  readonly version?: string;
  readonly cksum?: string;
  readonly tables: { readonly [table: string]: TableSpec };
}

/** An integer in the closed range `minInteger` to `maxInteger`. */
export function integer<const L extends number, const H extends number>(minInteger: L, maxInteger: H) {
  return { type: 'integer', minInteger, maxInteger } as const;
}

/** An integer not less than `minInteger`. */
export function atLeast<const L extends number>(minInteger: L) {
  return { type: 'integer', minInteger } as const;
}

/** One of the strings given. */
export function oneOf<const V extends readonly string[]>(...values: V) {
  return { type: 'string', enum: ['set', values] } as const;
}

/** A reference that keeps its target alive and must not dangle. */
export function ref<const T extends string>(refTable: T) {
  return { type: 'uuid', refTable } as const;
}

/** A reference that disappears when its target does. */
export function weakRef<const T extends string>(refTable: T) {
  return { type: 'uuid', refTable, refType: 'weak' } as const;
}

type Base = AtomicType | BaseSpec;

/** Exactly one value that has constraints. */
export function one<const K extends Base>(key: K) {
  return { key } as const;
}

/** One value or none. */
export function optional<const K extends Base>(key: K) {
  return { key, min: 0 } as const;
}

/** Any number of distinct values, up to `max`. */
export function set<const K extends Base, const M extends number | 'unlimited' = 'unlimited'>(
  key: K,
  max?: M,
) {
  return { key, min: 0, max: (max ?? 'unlimited') as M } as const;
}

/** One or more distinct values. */
export function some<const K extends Base>(key: K) {
  return { key, max: 'unlimited' } as const;
}

/** Any number of pairs with distinct keys. */
export function map<const K extends Base, const V extends Base>(key: K, value: V) {
  return { key, value, min: 0, max: 'unlimited' } as const;
}

export function column<const T extends AtomicType | TypeSpec>(type: T) {
  return { type } as const;
}

/** A column whose value is not written to disk. */
export function ephemeral<const T extends AtomicType | TypeSpec>(type: T) {
  return { type, ephemeral: true } as const;
}

/** A column whose value is given when the row is inserted and never changes. */
export function fixed<const T extends AtomicType | TypeSpec>(type: T) {
  return { type, mutable: false } as const;
}

export function table<const C extends TableSpec['columns'], const O extends Omit<TableSpec, 'columns'>>(
  columns: C,
  options: O,
) {
  return { columns, ...options } as const;
}
