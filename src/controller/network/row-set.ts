/** Rows that come and go, gathered by what they belong to; and what several changes make together. */
export interface RowChange<T> {
  readonly inserted: readonly T[];
  readonly deleted: readonly T[];
}

export const NO_CHANGE: RowChange<never> = { inserted: [], deleted: [] };

/**
 * How rows are told apart. `bucket` is a cheap part of the whole `key`: rows that are the same agree in it, and
 * few others do.
 */
export interface RowIdentity<T> {
  bucket(row: T): string | number;
  key(row: T): string;
}

/** `rows` without those of `gone`. Each of `gone` is in `rows` once. Takes one pass over `rows`. */
export function without<T>(rows: readonly T[], gone: readonly T[], identity: RowIdentity<T>): T[] {
  if (gone.length === 0) return [...rows];
  const buckets = new Map<string | number, Set<string>>();
  for (const row of gone) {
    const bucket = identity.bucket(row);
    const keys = buckets.get(bucket);
    if (keys === undefined) buckets.set(bucket, new Set([identity.key(row)]));
    else keys.add(identity.key(row));
  }
  return rows.filter((row) => buckets.get(identity.bucket(row))?.has(identity.key(row)) !== true);
}

/** What changes make together, in their order: a row that came and went is in neither list. */
export function net<T>(changes: readonly RowChange<T>[], identity: RowIdentity<T>): RowChange<T> {
  if (changes.length === 0) return NO_CHANGE;
  if (changes.length === 1) return changes[0];
  const inserted = new Map<string, T>();
  const deleted = new Map<string, T>();
  for (const change of changes) {
    for (const row of change.deleted) {
      const key = identity.key(row);
      if (!inserted.delete(key)) deleted.set(key, row);
    }
    for (const row of change.inserted) {
      const key = identity.key(row);
      if (!deleted.delete(key)) inserted.set(key, row);
    }
  }
  return { inserted: [...inserted.values()], deleted: [...deleted.values()] };
}

/** Rows by the datapath or node that they belong to. */
export class GroupedRows<K, T> {
  readonly #rows = new Map<K, T[]>();
  readonly #identity: RowIdentity<T>;

  constructor(identity: RowIdentity<T>) {
    this.#identity = identity;
  }

  /** To be read at once: it changes with the next `apply`. */
  of(group: K): readonly T[] {
    return this.#rows.get(group) ?? [];
  }

  keys(): Iterable<K> {
    return this.#rows.keys();
  }

  apply(changes: ReadonlyMap<K, RowChange<T>>): void {
    for (const [group, { inserted, deleted }] of changes) {
      const old = this.#rows.get(group) ?? [];
      const rows = deleted.length === 0 ? old : without(old, deleted, this.#identity);
      for (const row of inserted) rows.push(row);
      if (rows.length === 0) this.#rows.delete(group);
      else this.#rows.set(group, rows);
    }
  }
}

/** Rows of a change by group. */
export function grouped<K, T>(
  inserted: readonly T[],
  deleted: readonly T[],
  group: (row: T) => K,
): Map<K, RowChange<T>> {
  const result = new Map<K, { inserted: T[]; deleted: T[] }>();
  const entry = (key: K): { inserted: T[]; deleted: T[] } => {
    let e = result.get(key);
    if (e === undefined) {
      e = { inserted: [], deleted: [] };
      result.set(key, e);
    }
    return e;
  };
  for (const row of inserted) entry(group(row)).inserted.push(row);
  for (const row of deleted) entry(group(row)).deleted.push(row);
  return result;
}
