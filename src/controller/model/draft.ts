/**
 * A transaction on its way: reads its operations one after the other over the objects there are, later ones seeing
 * what earlier ones did, and gives the changes that they come to. Changes nothing itself.
 */
import { isDeepStrictEqual } from 'node:util';
import { KINDS, type KindName, type SpecOf, type Stored } from '../../api-schema/kinds.ts';
import type { ObjectChange } from '../network/change.ts';
import { canonical } from './canonical.ts';
import { targetTitle } from './consistency.ts';
import { parentOf, title } from './keys.ts';
import { isObject, mergePatch } from './merge-patch.ts';
import type { ModelOperation } from './operation.ts';
import { type Principal, sees } from './principal.ts';
import { ModelError, type ModelErrorCode, type Problem, show } from './problem.ts';
import type { SchemaChecker } from './schema-check.ts';
import { references, type State } from './state.ts';
import { weightOf } from './weight.ts';

/** An object as a transaction would have it; `tenant` is known when all operations are read. */
interface Pending {
  readonly kind: KindName;
  readonly id: string;
  readonly spec: SpecOf<KindName>;
  /** The operation that made it so. */
  readonly operation: number;
}

export interface DraftOptions {
  readonly state: State;
  readonly schemas: SchemaChecker;
  readonly newId: () => string;
  /** What is wrong with a spec beyond its schema and its own members: see ModelOptions. */
  readonly refuse: (kind: KindName, spec: SpecOf<KindName>) => readonly Problem[];
  /** What all that is written may weigh: see `weightOf`. */
  readonly maxWeight: number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function problem(
  code: ModelErrorCode,
  member: string,
  value: unknown,
  message: string,
  remedy: string,
): ModelError {
  return new ModelError(code, [{ member, value, message, remedy }]);
}

export class Draft {
  readonly #options: DraftOptions;
  readonly #principal: Principal;
  /** By id; null: deleted. */
  readonly #pending = new Map<string, Pending | null>();
  readonly #cascades: string[] = [];
  #weight = 0;
  /** The ids that the operations were about, in their order. */
  readonly targets: string[] = [];

  constructor(options: DraftOptions, principal: Principal) {
    this.#options = options;
    this.#principal = principal;
  }

  /** Takes the next operation. Throws `ModelError`, with its number. */
  add(operation: ModelOperation, index: number): void {
    try {
      this.targets.push(this.#add(operation, index));
    } catch (error) {
      throw error instanceof ModelError ? new ModelError(error.code, error.problems, index) : error;
    }
  }

  #add(operation: ModelOperation, index: number): string {
    const { kind } = operation;
    this.#authorize(kind);
    const id = (operation.id ?? this.#options.newId()).toLowerCase();
    if (!UUID.test(id)) {
      throw problem(
        'bad-object',
        '/id',
        operation.id,
        `${show(operation.id)} is no UUID`,
        'give one, or none',
      );
    }
    const current = this.#current(id);
    // An id of somebody else's object is as good as none.
    if (!this.#sees(id)) throw notFound(kind, id);
    const holder = current ?? this.#options.state.get(id);
    if (holder !== undefined && holder.kind !== kind) {
      if (operation.op === 'patch' || operation.op === 'delete') throw notFound(kind, id);
      throw problem(
        'object-exists',
        '/id',
        id,
        `${show(id)} is the id of ${title(holder)}`,
        'choose another id',
      );
    }
    if (operation.op === 'create') {
      if (current !== undefined) {
        throw problem(
          'object-exists',
          '/id',
          id,
          `${title(current)} has the id ${id} already`,
          'replace or patch it, or choose another id',
        );
      }
      this.#put(kind, id, operation.spec, index);
      return id;
    }
    this.#checkRevision(operation, id, current);
    if (operation.op === 'replace') this.#put(kind, id, operation.spec, index);
    else if (current === undefined) throw notFound(kind, id);
    else if (operation.op === 'patch') this.#patch(current, operation.patch, index);
    else {
      this.#pending.set(id, null);
      if (operation.cascade === true) this.#cascades.push(id);
    }
    return id;
  }

  #authorize(kind: KindName): void {
    const { role } = this.#principal;
    const { by } = KINDS[kind].owner;
    if (role === 'operator' || (role === 'tenant' && by !== 'operator' && by !== 'self')) return;
    throw problem(
      'not-allowed',
      '',
      kind,
      `a ${role} token may not change ${KINDS[kind].plural}`,
      'ask the operator',
    );
  }

  #checkRevision(
    operation: ModelOperation & { ifRevision?: number },
    id: string,
    current: Pending | Stored | undefined,
  ): void {
    const { ifRevision } = operation;
    if (ifRevision === undefined) return;
    const at = current === undefined ? 0 : this.#options.state.get(id)?.revision;
    if (at === ifRevision) return;
    const message =
      current === undefined
        ? `there is no ${KINDS[operation.kind].title} ${show(id)} any more`
        : `${title({ ...current, id })} was last changed in revision ${at}, not ${ifRevision}`;
    throw problem('object-changed', '', ifRevision, message, 'read it again, and change what it is now');
  }

  #patch(current: Pending | Stored, patch: unknown, index: number): void {
    if (!isObject(patch)) {
      throw problem(
        'bad-object',
        '',
        patch,
        `a patch is an object, not ${show(patch)}`,
        'send the members to be changed; null removes one',
      );
    }
    this.#put(current.kind, current.id, mergePatch(current.spec, patch), index);
  }

  #put(kind: KindName, id: string, sent: unknown, operation: number): void {
    const { schemas, refuse, maxWeight } = this.#options;
    const { schema, owner } = KINDS[kind];
    let spec = sent;
    if (
      owner.by === 'member' &&
      this.#principal.role === 'tenant' &&
      isObject(spec) &&
      spec.tenant === undefined
    ) {
      spec = { ...spec, tenant: this.#principal.tenant };
    }
    const misfits = schemas.problems(kind, spec);
    if (misfits.length > 0) throw new ModelError('bad-object', misfits);
    const read = canonical(kind, schemas.withDefaults(schema, spec) as SpecOf<KindName>);
    if (read.problems.length > 0) throw new ModelError('bad-object', read.problems);
    // Before anybody works out what it comes to.
    this.#weight += weightOf({ kind, spec: read.spec });
    if (this.#weight > maxWeight) {
      const message = `the ACLs of a transaction come to at most ${maxWeight} matches, and these to more`;
      throw problem('too-many-operations', '', undefined, message, 'send several transactions');
    }
    const refused = refuse(kind, read.spec);
    if (refused.length > 0) throw new ModelError('bad-object', refused);
    this.#pending.set(id, { kind, id, spec: read.spec, operation });
  }

  #current(id: string): Pending | Stored | undefined {
    const pending = this.#pending.get(id);
    return pending === undefined ? this.#options.state.get(id) : (pending ?? undefined);
  }

  #sees(id: string): boolean {
    const stored = this.#options.state.get(id);
    // What is only pending is this principal's own, or will be refused.
    return stored === undefined || sees(this.#principal, stored.tenant);
  }

  /** The changes that all operations come to, without those that change nothing. Throws `ModelError`. */
  changes(): ObjectChange[] {
    const changes: ObjectChange[] = [];
    for (const [id, pending] of this.#pending) {
      const before = this.#options.state.get(id);
      if (pending === null) {
        if (before !== undefined) changes.push({ before });
        continue;
      }
      const after = this.#finish(pending, before);
      if (before === undefined) changes.push({ after });
      else if (!isDeepStrictEqual(before.spec, after.spec)) changes.push({ before, after });
    }
    return changes;
  }

  /** What goes because what it lives in goes. To be asked when `changes` are applied to the state. */
  *cascaded(): Iterable<ObjectChange> {
    const { state } = this.#options;
    const queue = [...this.#cascades];
    for (let parent = queue.pop(); parent !== undefined; parent = queue.pop()) {
      for (const id of [...state.referrers(parent)]) {
        const before = state.get(id)!;
        if (parentOf(before) !== parent) continue;
        queue.push(id);
        yield { before };
      }
    }
  }

  #finish(pending: Pending, before: Stored | undefined): Stored {
    const { kind, id, spec, operation } = pending;
    try {
      const tenant = this.#tenantOf(pending);
      this.#checkReferences(pending, tenant);
      if (before !== undefined && before.tenant !== tenant) {
        const { owner } = KINDS[kind];
        const member = owner.by === 'reference' ? owner.members[0] : 'tenant';
        throw problem(
          'object-immutable',
          `/${member}`,
          tenant,
          `${title(before)} cannot go to another tenant`,
          'delete it, and make one there',
        );
      }
      // The revision is given when it is written.
      return { kind, id, spec, tenant, created: before?.created ?? 0, revision: 0 };
    } catch (error) {
      throw error instanceof ModelError ? new ModelError(error.code, error.problems, operation) : error;
    }
  }

  /** The tenant of an object, through what it refers to. Throws where that is not there. */
  #tenantOf({ kind, id, spec }: Pick<Pending, 'kind' | 'id' | 'spec'>): string | undefined {
    const { owner } = KINDS[kind];
    if (owner.by === 'operator') return undefined;
    if (owner.by === 'self') return id;
    const members = spec as Readonly<Record<string, unknown>>;
    if (owner.by === 'member') return members.tenant as string;
    const member = owner.members.find((name) => members[name] !== undefined)!;
    const target = this.#target(kind, member, members[member] as string);
    return 'tenant' in target ? target.tenant : this.#tenantOf(target);
  }

  #checkReferences(pending: Pending, tenant: string | undefined): void {
    for (const [member, id] of references(pending)) {
      const target = this.#target(pending.kind, member, id);
      const owner = 'tenant' in target ? target.tenant : this.#tenantOf(target);
      if (!sees(this.#principal, owner)) throw badReference(pending.kind, member, id);
      if (owner !== tenant) {
        throw problem(
          'bad-reference',
          `/${member}`,
          id,
          `${title(target)} belongs to another tenant than the rest of this`,
          'refer to objects of one tenant',
        );
      }
    }
  }

  #target(kind: KindName, member: string, id: string): Pending | Stored {
    const target = this.#current(id);
    const wanted = (KINDS[kind].references as Readonly<Record<string, KindName>>)[member];
    if (target === undefined || target.kind !== wanted) throw badReference(kind, member, id);
    return target;
  }
}

export function notFound(kind: KindName, id: string): ModelError {
  return problem(
    'object-not-found',
    '',
    id,
    `there is no ${KINDS[kind].title} ${show(id)}`,
    `list the ${KINDS[kind].plural} to see their ids`,
  );
}

function badReference(kind: KindName, member: string, id: string): ModelError {
  const what = targetTitle(kind, member);
  return problem(
    'bad-reference',
    `/${member}`,
    id,
    `there is no ${what} ${show(id)}`,
    `give the id of a ${what}`,
  );
}
