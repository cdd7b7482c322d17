import type { AtomicType, BaseSpec, ColumnSpec, SchemaSpec, TypeSpec } from './spec.ts';

/**
 * The TypeScript type of a column's value:
 *
 * | column                         | type                                        |
 * |--------------------------------|---------------------------------------------|
 * | exactly one `integer`, `real`  | `number` (integers past 2^53 lose low bits) |
 * | exactly one `boolean`/`string` | `boolean` / `string` (or the enum's union)  |
 * | exactly one `uuid`             | `string`, 36 lower-case characters          |
 * | one or none (`max` 1)          | the above, or `null`                        |
 * | a set                          | `readonly` array, sorted, distinct          |
 * | a map                          | `ReadonlyMap`                               |
 */
export type ValueOf<C extends ColumnSpec> = C['type'] extends AtomicType
  ? AtomOf<C['type']>
  : C['type'] extends TypeSpec
    ? TypeValue<C['type']>
    : never;

type TypeValue<T extends TypeSpec> = T extends { readonly value: infer V extends AtomicType | BaseSpec }
  ? ReadonlyMap<AtomOf<T['key']>, AtomOf<V>>
  : T extends { readonly max: 'unlimited' | number }
    ? readonly AtomOf<T['key']>[]
    : T extends { readonly min: 0 }
      ? AtomOf<T['key']> | null
      : AtomOf<T['key']>;

type AtomOf<B extends AtomicType | BaseSpec> = B extends { readonly enum: readonly ['set', infer V] }
  ? V extends readonly (infer E)[]
    ? E
    : never
  : PlainAtom<B extends BaseSpec ? B['type'] : B>;

type PlainAtom<A> = A extends 'integer' | 'real'
  ? number
  : A extends 'boolean'
    ? boolean
    : A extends 'string' | 'uuid'
      ? string
      : never;

export type TableName<S extends SchemaSpec> = keyof S['tables'] & string;
export type ColumnName<S extends SchemaSpec, T extends TableName<S>> = keyof S['tables'][T]['columns'] &
  string;

/** A row of table `T` as clients see it. Frozen: a changed row is a new object. */
export type RowOf<S extends SchemaSpec, T extends TableName<S>> = {
  readonly _uuid: string;
} & {
  readonly [C in ColumnName<S, T>]: ValueOf<S['tables'][T]['columns'][C]>;
};

/**
 * Column values for an insert or update. What is left out keeps its value (or gets the default of
 * RFC 7047). Wherever a uuid stands, a `RowRef` of a row inserted by the same transaction may stand.
 */
export type ValuesOf<S extends SchemaSpec, T extends TableName<S>> = {
  readonly [C in ColumnName<S, T>]?: ValueOf<S['tables'][T]['columns'][C]>;
};
