/**
 * From a file of objects to a transaction: each object is found among those that there are, by its name within its
 * parent (where a kind has no names, by what makes it unique), or is new.
 */
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { ApiClient, Json } from './client.ts';
import { type Directory, parentOf, UUID } from './directory.ts';
import type { Entry, Manifest } from './manifest.ts';

export interface Target {
  readonly kind: KindName;
  readonly id: string;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly existing: Json | undefined;
  readonly where: string;
  /** UUID of the tenant it belongs to; undefined for the operator's. */
  readonly tenant: string | undefined;
}

export type PlanOperation = Readonly<Record<string, unknown>>;

export interface PlannerOptions {
  readonly client: ApiClient;
  readonly directory: Directory;
  readonly newId: () => string;
  /** Of `--tenant`. */
  readonly tenant: string | undefined;
}

/** Of kinds without names, what tells one from another within its parent. */
const IDENTITY: Partial<Record<KindName, readonly string[]>> = {
  'static-route': ['router', 'prefix'],
  'address-binding': ['switch', 'mac'],
};

export class Planner {
  readonly #options: PlannerOptions;
  readonly targets: Target[] = [];
  readonly #byId = new Map<string, Target>();
  readonly #byName = new Map<string, Target[]>();
  readonly #existing = new Map<KindName, readonly Json[]>();
  /** By what identifies them. */
  readonly #known = new Map<string, Json>();
  readonly #claimed = new Set<string>();

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** Finds every object of the file. Throws `bad-file`, `no-such-object`, `ambiguous-name`. */
  async read(manifest: Manifest): Promise<void> {
    // References lead to kinds that come earlier in this order.
    for (const kind of KIND_NAMES) {
      if (!manifest.kinds.has(kind)) continue;
      this.#existing.set(kind, await this.#list(kind, {}));
      for (const entry of manifest.entries) if (entry.kind === kind) this.#add(await this.#target(entry));
    }
  }

  #add(target: Target): void {
    this.targets.push(target);
    this.#byId.set(target.id, target);
    const key = `${target.kind} ${target.spec.name}`;
    const named = this.#byName.get(key);
    if (named === undefined) this.#byName.set(key, [target]);
    else named.push(target);
  }

  /** What brings about the file, and with `prune` nothing but the file, of the kinds that it speaks of. */
  async operations(kinds: ReadonlySet<KindName>, prune: boolean): Promise<PlanOperation[]> {
    const operations: PlanOperation[] = this.targets.map(({ kind, id, spec, existing }) => ({
      op: 'replace',
      kind,
      id,
      spec,
      // Nobody may have changed it since it was looked at: what was shown is what is done.
      ifRevision: existing?.revision ?? 0,
    }));
    if (!prune) return operations;
    const tenants = new Set(this.targets.map((target) => target.tenant));
    tenants.add(this.#options.tenant);
    for (const kind of [...KIND_NAMES].reverse()) {
      const { by } = KINDS[kind].owner;
      if (!kinds.has(kind) || by === 'self' || by === 'operator') continue;
      for (const object of this.#existing.get(kind)!) {
        if (this.#claimed.has(object.id as string) || !tenants.has(object.tenant as string)) continue;
        operations.push({ op: 'delete', kind, id: object.id, ifRevision: object.revision });
      }
    }
    return operations;
  }

  /**
   * Unnamed ACLs that would be made although there are equal ones: only the server knows what is equal, so it is asked
   * what it would make of them. `changes`: its answer to a check. True if anything was found.
   */
  claimEqual(changes: readonly Json[]): boolean {
    let found = false;
    for (const [i, target] of this.targets.entries()) {
      if (target.kind !== 'acl' || target.existing !== undefined) continue;
      const made = changes.find((change) => change.id === target.id)?.after as Json | undefined;
      if (made === undefined || made.name !== undefined) continue;
      const equal = this.#existing
        .get('acl')!
        .find(
          (acl) =>
            !this.#claimed.has(acl.id as string) &&
            Object.entries(made).every(([name, value]) => same(acl[name], value)) &&
            acl.name === undefined,
        );
      if (equal === undefined) continue;
      this.#claimed.add(equal.id as string);
      const known = { ...target, id: equal.id as string, existing: equal };
      this.targets[i] = known;
      this.#byId.set(known.id, known);
      found = true;
    }
    return found;
  }

  /** "red/web/vm1", of an object of the file or of one there is. */
  async pathOf(kind: KindName, id: string, spec: Json): Promise<string> {
    const own =
      typeof spec.name === 'string'
        ? spec.name
        : (IDENTITY[kind]?.map((member) => spec[member]).at(-1) ?? id);
    const parent = parentOf(kind, spec);
    return parent === undefined ? String(own) : `${await this.pathOfId(parent.kind, parent.id)}/${own}`;
  }

  async pathOfId(kind: KindName, id: string): Promise<string> {
    const spec = this.#byId.get(id)?.spec ?? (await this.#options.directory.get(kind, id));
    return spec === undefined ? id : this.pathOf(kind, id, spec);
  }

  async #list(kind: KindName, query: Readonly<Record<string, string>>): Promise<readonly Json[]> {
    const { client, directory, tenant } = this.#options;
    const { by } = KINDS[kind].owner;
    const scope = by === 'self' || by === 'operator' ? undefined : tenant;
    const items: Json[] = [];
    for await (const item of client.list(`/v1/${KINDS[kind].path}`, { ...query, tenant: scope })) {
      directory.remember(item);
      items.push(item);
      this.#known.set(`${kind} id ${item.id}`, item);
      const identity = identityOf(kind, item);
      if (identity !== undefined) this.#known.set(identity, item);
    }
    return items;
  }

  async #target({ kind, members, where }: Entry): Promise<Target> {
    const { owner } = KINDS[kind];
    const spec: Record<string, unknown> = { ...members };
    const { id: chosen } = spec;
    delete spec.id;
    const scope = await this.#scope(kind, spec.tenant, where);
    // Where an object finds its tenant through others, a tenant in the file says where to look for those.
    if (owner.by === 'reference') delete spec.tenant;
    else if (owner.by === 'member' && scope !== undefined) spec.tenant = scope;
    const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
    for (const [member, target] of Object.entries(references)) {
      const text = spec[member];
      if (typeof text === 'string' && member !== 'tenant')
        spec[member] = await this.#resolve(target, text, scope, where);
    }
    const existing = this.#find(kind, spec, typeof chosen === 'string' ? chosen.toLowerCase() : undefined);
    const id = existing?.id ?? chosen ?? this.#options.newId();
    if (this.#claimed.has(String(id)))
      throw new WeftError('bad-file', `${where}: the same object stands in the file twice`, {
        remedy: 'name it once',
      });
    this.#claimed.add(String(id));
    const tenant =
      owner.by === 'self'
        ? String(id)
        : owner.by === 'operator'
          ? undefined
          : ((spec.tenant as string | undefined) ?? (await this.#tenantOf(kind, spec)));
    return { kind, id: String(id), spec, existing, where, tenant };
  }

  async #scope(kind: KindName, name: unknown, where: string): Promise<string | undefined> {
    const { by } = KINDS[kind].owner;
    if (by === 'self' || by === 'operator') return undefined;
    return typeof name === 'string' ? this.#resolve('tenant', name, undefined, where) : this.#options.tenant;
  }

  async #tenantOf(kind: KindName, spec: Json): Promise<string | undefined> {
    const { owner } = KINDS[kind];
    if (owner.by !== 'reference') return undefined;
    const member = owner.members.find((name) => typeof spec[name] === 'string');
    if (member === undefined) return undefined;
    const known = this.#byId.get(spec[member] as string);
    if (known !== undefined) return known.tenant;
    const target = (KINDS[kind].references as Readonly<Record<string, KindName>>)[member];
    return (await this.#options.directory.get(target, spec[member] as string))?.tenant as string | undefined;
  }

  /** A name of the file comes before one of the server. */
  async #resolve(kind: KindName, text: string, tenant: string | undefined, where: string): Promise<string> {
    if (UUID.test(text)) return text.toLowerCase();
    const names = text.split('/');
    const fits = async (target: Target): Promise<boolean> => {
      if (
        tenant !== undefined &&
        target.tenant !== undefined &&
        target.tenant !== tenant &&
        kind !== 'tenant'
      )
        return false;
      const path = (await this.pathOf(kind, target.id, target.spec)).split('/');
      return (
        names.length <= path.length && names.every((name, i) => name === path[path.length - names.length + i])
      );
    };
    const found: Target[] = [];
    for (const target of this.#byName.get(`${kind} ${names.at(-1)}`) ?? [])
      if (await fits(target)) found.push(target);
    if (found.length === 1) return found[0].id;
    if (found.length > 1)
      throw new WeftError(
        'ambiguous-name',
        `${where}: "${text}" is the name of ${found.length} ${KINDS[kind].plural} of the file`,
        {
          remedy: 'write its path, such as red/web/vm1, or say which "tenant" is meant',
        },
      );
    try {
      return await this.#options.directory.find(kind, text, tenant);
    } catch (error) {
      if (!(error instanceof WeftError) || error.code !== 'no-such-object') throw error;
      throw new WeftError(error.code, `${where}: ${error.message}, in the file or on the server`, {
        remedy: error.remedy,
      });
    }
  }

  #find(kind: KindName, spec: Json, id: string | undefined): Json | undefined {
    const key = id === undefined ? identityOf(kind, spec) : `${kind} id ${id}`;
    return key === undefined ? undefined : this.#known.get(key);
  }
}

/** What an object is found by; undefined if by nothing. */
function identityOf(kind: KindName, spec: Json): string | undefined {
  const members = IDENTITY[kind];
  if (members !== undefined)
    return `${kind} ${members.map((member) => String(spec[member]).toLowerCase()).join(' ')}`;
  return typeof spec.name === 'string' ? `${kind} ${parentOf(kind, spec)?.id} ${spec.name}` : undefined;
}

/** Whether two values of JSON are the same. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return (
    Array.isArray(a) === Array.isArray(b) &&
    left.length === right.length &&
    left.every(([name, value]) => Object.hasOwn(b, name) && same(value, (b as Record<string, unknown>)[name]))
  );
}
