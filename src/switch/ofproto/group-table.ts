import {
  OFPG_ALL,
  OFPG_BUCKET_ALL,
  OFPG_BUCKET_FIRST,
  OFPG_BUCKET_LAST,
  OFPG_BUCKET_MAX,
  OFPG_MAX,
} from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { Bucket, GroupMod } from '../../openflow/messages/group.ts';
import { Group } from './group.ts';

/** What of a group mod changes groups. */
export type GroupModFields = Pick<
  GroupMod,
  'command' | 'type' | 'group' | 'commandBucket' | 'buckets' | 'selection'
>;

/** What a change did: the groups that are no more, and those that came, each with the one it replaced. */
export interface GroupChange {
  readonly deleted: readonly Group[];
  readonly added: Group | null;
  readonly replaced: Group | null;
}

/** Groups of one bridge, and buckets of one group, at the most. */
const MAX_GROUPS = 1_000_000;
const MAX_BUCKETS = 65_536;

/** The groups of one bridge. */
export class GroupTable {
  readonly #groups = new Map<number, Group>();

  get(id: number): Group | undefined {
    return this.#groups.get(id);
  }

  has(id: number): boolean {
    return this.#groups.has(id);
  }

  get size(): number {
    return this.#groups.size;
  }

  /** By number; all for OFPG_ALL. */
  select(id: number): Group[] {
    if (id !== OFPG_ALL) {
      const group = this.#groups.get(id);
      return group === undefined ? [] : [group];
    }
    return [...this.#groups.values()].sort((a, b) => a.id - b.id);
  }

  /**
   * Makes one change. `now`: Clock.now() ms.
   * @throws OfError, and then nothing has changed.
   */
  apply(mod: GroupModFields, now: number): GroupChange {
    switch (mod.command) {
      case 'add':
        return this.#add(mod, now);
      case 'add_or_mod':
        return this.#groups.has(mod.group) ? this.#modify(mod, now) : this.#add(mod, now);
      case 'modify':
      case 'insert_bucket':
      case 'remove_bucket':
        return this.#modify(mod, now);
      case 'delete': {
        const deleted = this.select(mod.group);
        for (const group of deleted) this.#groups.delete(group.id);
        return { deleted, added: null, replaced: null };
      }
    }
  }

  /** Takes back a change; of several, the last must go first. */
  revert(change: GroupChange): void {
    if (change.added !== null) this.#groups.delete(change.added.id);
    if (change.replaced !== null) this.#groups.set(change.replaced.id, change.replaced);
    for (const group of change.deleted) this.#groups.set(group.id, group);
  }

  #add(mod: GroupModFields, now: number): GroupChange {
    const { group: id, type, buckets, selection } = mod;
    if (this.#groups.has(id)) throw new OfError('OFPGMFC_GROUP_EXISTS', `group ${id} exists`);
    if (this.#groups.size >= MAX_GROUPS) {
      throw new OfError('OFPGMFC_OUT_OF_GROUPS', `the bridge has ${this.#groups.size} groups, no more fit`);
    }
    checkId(id);
    const added = new Group({ id, type, buckets, selection, now });
    this.#groups.set(id, added);
    return { deleted: [], added, replaced: null };
  }

  #modify(mod: GroupModFields, now: number): GroupChange {
    const old = this.#groups.get(mod.group);
    if (old === undefined) throw new OfError('OFPGMFC_UNKNOWN_GROUP', `group ${mod.group} does not exist`);
    checkId(mod.group);
    // To insert or remove a bucket leaves the group's type and selection as they are (EXT-570).
    const whole = mod.command === 'modify' || mod.command === 'add_or_mod';
    const buckets =
      mod.command === 'insert_bucket'
        ? insertBuckets(old, mod)
        : mod.command === 'remove_bucket'
          ? removeBuckets(old, mod.commandBucket)
          : mod.buckets;
    const added = new Group({
      id: mod.group,
      type: whole ? mod.type : old.type,
      buckets,
      selection: whole ? mod.selection : old.given,
      now,
      replaces: old,
    });
    this.#groups.set(old.id, added);
    return { deleted: [], added, replaced: old };
  }
}

function checkId(id: number): void {
  if (id > OFPG_MAX) {
    throw new OfError(
      'OFPGMFC_INVALID_GROUP',
      `group 0x${id.toString(16)}: at most 0x${OFPG_MAX.toString(16)}`,
    );
  }
}

function unknownBucket(group: number, bucket: number): never {
  throw new OfError('OFPGMFC_UNKNOWN_BUCKET', `group ${group} has no bucket ${bucket}`);
}

/** New buckets stand at either end, or just after the one that is named. */
function insertBuckets(old: Group, mod: GroupModFields): readonly Bucket[] {
  const { buckets, commandBucket } = mod;
  const at =
    commandBucket === OFPG_BUCKET_FIRST
      ? 0
      : commandBucket === OFPG_BUCKET_LAST
        ? old.buckets.length
        : old.buckets.findIndex((bucket) => bucket.id === commandBucket) + 1;
  if (commandBucket <= OFPG_BUCKET_MAX && at === 0) unknownBucket(old.id, commandBucket);
  const all = [...old.buckets.slice(0, at), ...buckets, ...old.buckets.slice(at)];
  const ids = new Set(all.map((bucket) => bucket.id));
  if (ids.size !== all.length) {
    throw new OfError('OFPGMFC_BUCKET_EXISTS', `group ${old.id} has a bucket of that id already`);
  }
  if (all.length > MAX_BUCKETS) {
    throw new OfError('OFPGMFC_OUT_OF_BUCKETS', `group ${old.id}: at most ${MAX_BUCKETS} buckets`);
  }
  return all;
}

function removeBuckets(old: Group, commandBucket: number): readonly Bucket[] {
  switch (commandBucket) {
    case OFPG_BUCKET_ALL:
      return [];
    case OFPG_BUCKET_FIRST:
      return old.buckets.slice(1);
    case OFPG_BUCKET_LAST:
      return old.buckets.slice(0, -1);
  }
  const rest = old.buckets.filter((bucket) => bucket.id !== commandBucket);
  if (rest.length === old.buckets.length) unknownBucket(old.id, commandBucket);
  return rest;
}
