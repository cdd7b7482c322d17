/**
 * # The model
 *
 * All objects of all tenants, as they are stored. A write is any number of operations: either all of them are valid
 * together and are on disk when the write resolves, or nothing has happened. Writes are taken one at a time, in
 * the order they came in; reads see what is on disk, never a write on its way.
 *
 * Each object is one record of the store, `object/KIND/UUID`, so that another store can be read without this code.
 */
import type { TSchema } from 'typebox';
import { KINDS, type KindName, type SpecOf, type Stored } from '../../api-schema/kinds.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { ChangeEvent, Companion, ObjectChange, ObjectSource } from '../network/change.ts';
import { commitLatest } from '../store/latest.ts';
import type { ConfigStore, StoreOperation, StoreRecord } from '../store/store.ts';
import { checkConsistency } from './consistency.ts';
import { Draft, notFound } from './draft.ts';
import type { ModelOperation } from './operation.ts';
import { type Principal, sees } from './principal.ts';
import { ModelError, type Problem } from './problem.ts';
import { isKind, SchemaChecker } from './schema-check.ts';
import { references, State } from './state.ts';
import { weightOf } from './weight.ts';

export interface ModelLimits {
  /** Objects of one tenant. */
  readonly objects: number;
  /** Operations in one transaction. */
  readonly operations: number;
}

/** Matches of ACLs for each object that a tenant may have, and for each operation of a transaction. */
const MATCHES_EACH = 4;

export const DEFAULT_LIMITS: ModelLimits = { objects: 100_000, operations: 20_000 };

export interface ModelOptions {
  readonly store: ConfigStore;
  /** Makes the ids (UUIDs) of objects that come without. */
  readonly newId: () => string;
  readonly log: ModuleLog;
  readonly limits?: Partial<ModelLimits>;
  /** Keeps records beside the objects, in the same commits. */
  readonly companion?: Companion;
  /** What makes a spec impossible to realize, beyond what the model itself knows: an ACL that does not compile. */
  readonly refuse?: (kind: KindName, spec: SpecOf<KindName>) => readonly Problem[];
}

export interface WriteResult {
  /** The revision in which the changes are; the last one there was if there was nothing to change. */
  readonly revision: number;
  /** Of each operation, the id of its object. */
  readonly ids: readonly string[];
  /** Of each operation, its object as it is now; undefined if it is gone. */
  readonly objects: readonly (Stored | undefined)[];
  readonly changes: readonly ObjectChange[];
}

const PREFIX = 'object/';

export class Model implements ObjectSource {
  readonly #options: ModelOptions;
  readonly #limits: ModelLimits;
  readonly #schemas = new SchemaChecker();
  readonly #state = new State();
  readonly #listeners = new Set<(change: ChangeEvent) => void>();
  #revision = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: ModelOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  /** Reads what the store has. Records that make no sense are logged and left alone. */
  static async load(options: ModelOptions): Promise<Model> {
    const model = new Model(options);
    const found: Pick<Stored, 'kind' | 'id' | 'spec' | 'created' | 'revision'>[] = [];
    const others: StoreRecord[] = [];
    for (const stored of await options.store.load()) {
      const { key, value, revision } = stored;
      if (!key.startsWith(PREFIX)) {
        others.push(stored);
        continue;
      }
      const [kind, id] = key.slice(PREFIX.length).split('/');
      const record = readRecord(value);
      if (record === undefined || !isKind(kind) || model.#schemas.problems(kind, record.spec).length > 0) {
        options.log.err(`the store's record ${key} is no object of this version, and is left out`);
        continue;
      }
      found.push({
        kind,
        id,
        spec: record.spec as Stored['spec'],
        created: record.created ?? revision,
        revision,
      });
    }
    options.companion?.load(others);
    const byId = new Map(found.map((object) => [object.id, object]));
    for (const object of found) model.#state.apply({ after: { ...object, tenant: ownerOf(object, byId) } });
    model.#revision = options.store.revision;
    return model;
  }

  /** The last revision in which objects changed; every listener knows it. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#state.size;
  }

  get limits(): ModelLimits {
    return this.#limits;
  }

  countOf(kind: KindName): number {
    return this.#state.countOf(kind);
  }

  objects(): Iterable<Stored> {
    return this.#state.all();
  }

  /** Undefined where there is none, and where the principal may not know of it. */
  find(id: string, principal: Principal): Stored | undefined {
    const object = this.#state.get(id.toLowerCase());
    return object !== undefined && sees(principal, object.tenant) ? object : undefined;
  }

  /** Throws `object-not-found`. */
  get<K extends KindName>(kind: K, id: string, principal: Principal): Stored<K> {
    const object = this.find(id, principal);
    if (object?.kind !== kind) throw notFound(kind, id);
    return object as Stored<K>;
  }

  /** Ids of a kind, in order, as far as the principal sees them. */
  ids(kind: KindName, principal: Principal): readonly string[] {
    if (principal.role === 'operator') return this.#state.ids(kind);
    return principal.role === 'tenant' ? this.#state.ids(kind, principal.tenant) : [];
  }

  /** Ids of the objects that refer to `id`, as far as the principal sees them; in no order. */
  referrers(id: string, principal: Principal): readonly string[] {
    return [...this.#state.referrers(id)].filter((referrer) => this.find(referrer, principal) !== undefined);
  }

  /** Throws `too-many-operations`. */
  checkSize(operations: number): void {
    if (operations <= this.#limits.operations) return;
    throw refusal(
      'too-many-operations',
      `a transaction has at most ${this.#limits.operations} operations, not ${operations}`,
      'send several transactions',
    );
  }

  /** What is wrong with a value by a schema. */
  problemsOf(schema: TSchema, value: unknown): readonly Problem[] {
    return this.#schemas.problemsOf(schema, value);
  }

  /** Called after every write, when it is on disk, in the order of revisions. Gives back what ends it. */
  subscribe(listener: (event: ChangeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Does all operations, or none. Rejects with `ModelError`, which says what is wrong with which member of which
   * operation, and with `store-full` or `store-failed`. `check`: says whether it would be done, and does nothing.
   */
  write(
    operations: readonly ModelOperation[],
    principal: Principal,
    options: { readonly check?: boolean } = {},
  ): Promise<WriteResult> {
    const turn = this.#last.then(() => this.#write(operations, principal, options.check ?? false));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #write(
    operations: readonly ModelOperation[],
    principal: Principal,
    check: boolean,
  ): Promise<WriteResult> {
    const { draft, changes } = this.#plan(operations, principal);
    const finish = (revision: number): ObjectChange[] =>
      changes.map(({ before, after }) =>
        after === undefined
          ? { before }
          : { before, after: { ...after, created: before?.created ?? revision, revision } },
      );
    if (changes.length === 0 || check) {
      const planned = new Map(changes.map((change) => [idOf(change), change.after]));
      const objects = draft.targets.map((id) => (planned.has(id) ? planned.get(id) : this.#state.get(id)));
      return { revision: this.revision, ids: draft.targets, objects, changes: check ? changes : [] };
    }
    const revision = await this.#commit(changes, finish);
    const done = finish(revision);
    for (const change of done) this.#state.apply(change);
    this.#revision = revision;
    this.#tell({ revision, changes: done });
    const objects = draft.targets.map((id) => this.#state.get(id));
    return { revision, ids: draft.targets, objects, changes: done };
  }

  async #commit(
    changes: readonly ObjectChange[],
    finish: (revision: number) => readonly ObjectChange[],
  ): Promise<number> {
    const prepared = this.#options.companion?.prepare(changes);
    let written = false;
    try {
      const more = prepared?.operations ?? [];
      const revision = await commitLatest(this.#options.store, (next) => [
        ...finish(next).map(record),
        ...more,
      ]);
      written = true;
      return revision;
    } finally {
      prepared?.settle(written);
    }
  }

  /** What the operations come to, if they are valid together. The state is as before when this returns or throws. */
  #plan(
    operations: readonly ModelOperation[],
    principal: Principal,
  ): { draft: Draft; changes: ObjectChange[] } {
    this.checkSize(operations.length);
    const { newId, refuse = () => [] } = this.#options;
    const maxWeight = this.#limits.operations * MATCHES_EACH;
    const draft = new Draft(
      { state: this.#state, schemas: this.#schemas, newId, refuse, maxWeight },
      principal,
    );
    operations.forEach((operation, i) => {
      draft.add(operation, i);
    });
    const changes = draft.changes();
    const applied: ObjectChange[] = [];
    const apply = (change: ObjectChange): void => {
      this.#state.apply(change);
      applied.push(change);
    };
    try {
      changes.forEach(apply);
      for (const change of draft.cascaded()) apply(change);
      const net = netOf(applied);
      checkConsistency(this.#state, net);
      this.#checkLimits(net);
      return { draft, changes: net };
    } finally {
      for (const change of applied.reverse()) this.#state.undo(change);
    }
  }

  #checkLimits(changes: readonly ObjectChange[]): void {
    const grown = new Map<string, { objects: number; weight: number }>();
    for (const { before, after } of changes) {
      const tenant = (after ?? before)?.tenant;
      if (tenant === undefined) continue;
      const more = grown.get(tenant) ?? { objects: 0, weight: 0 };
      if (before === undefined) more.objects++;
      else more.weight -= weightOf(before);
      if (after === undefined) more.objects--;
      else more.weight += weightOf(after);
      grown.set(tenant, more);
    }
    const most = this.#limits.objects;
    for (const [tenant, more] of grown) {
      const count = this.#state.count(tenant);
      if (more.objects > 0 && count > most)
        throw refusal(
          'too-many-objects',
          `a tenant has at most ${most} objects, and this would make it ${count}`,
          'delete what is not needed, or ask the operator for a higher limit',
        );
      const weight = this.#state.weight(tenant);
      if (more.weight > 0 && weight > most * MATCHES_EACH)
        throw refusal(
          'too-many-objects',
          `the ACLs of a tenant come to at most ${most * MATCHES_EACH} matches, and this would make it ${weight}`,
          'name wider networks and ranges, delete what is not needed, or ask the operator for a higher limit',
        );
    }
  }

  #tell(event: ChangeEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.err(
          `a listener failed at revision ${event.revision}: ${error instanceof Error ? error.stack : String(error)}`,
        );
      }
    }
  }
}

function refusal(
  code: 'too-many-objects' | 'too-many-operations',
  message: string,
  remedy: string,
): ModelError {
  return new ModelError(code, [{ member: '', value: undefined, message, remedy }]);
}

function idOf({ before, after }: ObjectChange): string {
  return (after ?? before!).id;
}

/** One change for each object, of the several that a transaction may have made to it. */
function netOf(applied: readonly ObjectChange[]): ObjectChange[] {
  const net = new Map<string, ObjectChange>();
  for (const change of applied) {
    const id = idOf(change);
    const earlier = net.get(id);
    const { before } = earlier ?? change;
    if (before === undefined && change.after === undefined) net.delete(id);
    else net.set(id, { before, after: change.after });
  }
  return [...net.values()];
}

function record(change: ObjectChange): StoreOperation {
  const { kind, id } = change.after ?? change.before!;
  const key = `${PREFIX}${kind}/${id}`;
  if (change.after === undefined) return { op: 'delete', key };
  const { spec, created } = change.after;
  return { op: 'put', key, value: JSON.stringify({ spec, created }) };
}

function readRecord(text: string): { spec: unknown; created?: number } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('spec' in value)) return undefined;
    const created = 'created' in value && typeof value.created === 'number' ? value.created : undefined;
    return { spec: value.spec, created };
  } catch {
    return undefined;
  }
}

type Found = Pick<Stored, 'kind' | 'id' | 'spec'>;

/** The tenant of an object that was stored, hence is consistent. */
function ownerOf(object: Found, byId: ReadonlyMap<string, Found>): string | undefined {
  const { owner } = KINDS[object.kind];
  if (owner.by === 'operator') return undefined;
  if (owner.by === 'self') return object.id;
  const members = new Map(references(object));
  if (owner.by === 'member') return members.get('tenant');
  const member = owner.members.find((name) => members.has(name));
  const target = member === undefined ? undefined : byId.get(members.get(member)!);
  return target === undefined ? undefined : ownerOf(target, byId);
}
