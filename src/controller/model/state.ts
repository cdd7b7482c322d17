import { KIND_NAMES, KINDS, type KindName, type Stored } from '../../api-schema/kinds.ts';
import type { ObjectChange } from '../network/change.ts';
import { uniqueKeys } from './keys.ts';
import { OrderedIds } from './ordered-ids.ts';
import { weightOf } from './weight.ts';

const NONE: ReadonlySet<string> = new Set();
const NO_IDS: readonly string[] = [];

/** The ids of the objects that an object refers to, by member. */
export function references(object: Pick<Stored, 'kind' | 'spec'>): [member: string, id: string][] {
  const members = object.spec as Readonly<Record<string, unknown>>;
  const found: [string, string][] = [];
  for (const member of Object.keys(KINDS[object.kind].references)) {
    const id = members[member];
    if (typeof id === 'string') found.push([member, id]);
  }
  return found;
}

/** The value of a key, made if it is not there. */
function obtain<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** All objects, with what finds them: by id, kind, tenant, by what they refer to and by what must be unique. */
export class State {
  readonly #objects = new Map<string, Stored>();
  readonly #byKind = new Map<KindName, OrderedIds>(KIND_NAMES.map((kind) => [kind, new OrderedIds()]));
  /** Of each tenant, by kind. */
  readonly #byTenant = new Map<string, Map<KindName, OrderedIds>>();
  /** Of each tenant. */
  readonly #weights = new Map<string, number>();
  readonly #referrers = new Map<string, Set<string>>();
  /** One id, or several while a transaction is under way. */
  readonly #holders = new Map<string, string | readonly string[]>();

  get(id: string): Stored | undefined {
    return this.#objects.get(id);
  }

  get size(): number {
    return this.#objects.size;
  }

  all(): IterableIterator<Stored> {
    return this.#objects.values();
  }

  /** Ids in order, of all tenants or of one. */
  ids(kind: KindName, tenant?: string): readonly string[] {
    const ids = tenant === undefined ? this.#byKind.get(kind) : this.#byTenant.get(tenant)?.get(kind);
    return ids?.sorted() ?? NO_IDS;
  }

  /** How many objects a tenant has. */
  count(tenant: string): number {
    let n = 0;
    for (const ids of this.#byTenant.get(tenant)?.values() ?? []) n += ids.size;
    return n;
  }

  /** What the objects of a tenant weigh: see `weightOf`. */
  weight(tenant: string): number {
    return this.#weights.get(tenant) ?? 0;
  }

  countOf(kind: KindName): number {
    return this.#byKind.get(kind)!.size;
  }

  /** Ids of the objects that refer to `id`. */
  referrers(id: string): ReadonlySet<string> {
    return this.#referrers.get(id) ?? NONE;
  }

  /** Ids of the objects that have a unique key. */
  holders(key: string): readonly string[] {
    const held = this.#holders.get(key);
    return held === undefined ? NO_IDS : typeof held === 'string' ? [held] : held;
  }

  apply({ before, after }: ObjectChange): void {
    if (before !== undefined) this.#remove(before);
    if (after !== undefined) this.#insert(after);
  }

  undo({ before, after }: ObjectChange): void {
    this.apply({ before: after, after: before });
  }

  #insert(object: Stored): void {
    const { id, kind, tenant } = object;
    this.#objects.set(id, object);
    this.#byKind.get(kind)!.add(id);
    if (tenant !== undefined) {
      const kinds = obtain(this.#byTenant, tenant, () => new Map<KindName, OrderedIds>());
      obtain(kinds, kind, () => new OrderedIds()).add(id);
      this.#weigh(tenant, weightOf(object));
    }
    for (const [, target] of references(object)) obtain(this.#referrers, target, () => new Set()).add(id);
    for (const { key } of uniqueKeys(object)) {
      const held = this.holders(key);
      if (held.length === 0) this.#holders.set(key, id);
      // An object may hold a key twice; it shows, and so is refused.
      else this.#holders.set(key, [...held, id]);
    }
  }

  #remove(object: Stored): void {
    const { id, kind, tenant } = object;
    this.#objects.delete(id);
    this.#byKind.get(kind)!.delete(id);
    if (tenant !== undefined) {
      const kinds = this.#byTenant.get(tenant);
      const ids = kinds?.get(kind);
      ids?.delete(id);
      if (ids?.size === 0) kinds?.delete(kind);
      if (kinds?.size === 0) this.#byTenant.delete(tenant);
      this.#weigh(tenant, -weightOf(object));
    }
    for (const [, target] of references(object)) {
      const known = this.#referrers.get(target);
      known?.delete(id);
      if (known?.size === 0) this.#referrers.delete(target);
    }
    for (const { key } of uniqueKeys(object)) {
      const left = this.holders(key).filter((holder) => holder !== id);
      if (left.length === 0) this.#holders.delete(key);
      else this.#holders.set(key, left.length === 1 ? left[0] : left);
    }
  }

  #weigh(tenant: string, more: number): void {
    const weight = this.weight(tenant) + more;
    if (weight === 0) this.#weights.delete(tenant);
    else this.#weights.set(tenant, weight);
  }
}
