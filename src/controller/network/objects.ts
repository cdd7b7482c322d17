/** The objects that are there, and which others change their meaning with one. */
import { KINDS, type KindName, type KindRow, type Stored } from '../../api-schema/kinds.ts';
import type { ObjectChange } from './change.ts';

/** The ids that an object refers to, by any member. */
function references(object: Stored): string[] {
  const row: KindRow = KINDS[object.kind];
  const spec = object.spec as Readonly<Record<string, unknown>>;
  return Object.keys(row.references).flatMap((member) => {
    const id = spec[member];
    return typeof id === 'string' ? [id] : [];
  });
}

const NONE: ReadonlySet<string> = new Set();

export class Objects {
  readonly #objects = new Map<string, Stored>();
  /** Who refers to an object. */
  readonly #referrers = new Map<string, Set<string>>();

  get size(): number {
    return this.#objects.size;
  }

  get(id: string): Stored | undefined {
    return this.#objects.get(id);
  }

  values(): Iterable<Stored> {
    return this.#objects.values();
  }

  referrers(id: string): ReadonlySet<string> {
    return this.#referrers.get(id) ?? NONE;
  }

  *ofKind<K extends KindName>(kind: K): Iterable<Stored<K>> {
    for (const object of this.#objects.values()) if (object.kind === kind) yield object as Stored<K>;
  }

  /** Whether the object is there and enabled, and everything that it refers to. */
  enabled(id: string): boolean {
    const object = this.#objects.get(id);
    if (object === undefined) return false;
    if ((object.spec as { readonly enabled?: boolean }).enabled === false) return false;
    return references(object).every((r) => this.enabled(r));
  }

  /** Ids of what a change may give other rows: the objects themselves, and where one is switched on or off, all that lives in it. */
  affected(changes: readonly ObjectChange[]): Set<string> {
    const ids = new Set<string>();
    const add = (id: string): void => {
      if (ids.has(id)) return;
      ids.add(id);
      for (const referrer of this.referrers(id)) add(referrer);
    };
    for (const { before, after } of changes) {
      const on = (object: Stored | undefined): boolean =>
        object !== undefined && (object.spec as { readonly enabled?: boolean }).enabled !== false;
      const { id } = (after ?? before)!;
      if (on(before) === on(after)) ids.add(id);
      else add(id);
    }
    return ids;
  }

  apply(changes: readonly ObjectChange[]): void {
    for (const { before, after } of changes) {
      if (before !== undefined) this.#remove(before.id);
      if (after !== undefined) this.#put(after);
    }
  }

  #put(object: Stored): void {
    this.#remove(object.id);
    this.#objects.set(object.id, object);
    for (const to of references(object)) {
      const set = this.#referrers.get(to);
      if (set === undefined) this.#referrers.set(to, new Set([object.id]));
      else set.add(object.id);
    }
  }

  #remove(id: string): void {
    const old = this.#objects.get(id);
    if (old === undefined) return;
    this.#objects.delete(id);
    for (const to of references(old)) {
      const set = this.#referrers.get(to);
      set?.delete(id);
      if (set?.size === 0) this.#referrers.delete(to);
    }
  }
}
