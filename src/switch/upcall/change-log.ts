import type { MiniMatch } from '../../flow/minimatch.ts';
import { type Change, mayMatch, TAG_BITS } from '../ofproto/dependencies.ts';
import type { Megaflow } from './megaflow.ts';

/** Rules of one table that a megaflow is held against one by one; more, and the whole table counts as changed. */
const MAX_RULES = 64;

/**
 * Changes between two looks at the megaflows. Bounded whatever comes: tags are bits of a map, in which more
 * changes only bring more megaflows under suspicion.
 */
export class ChangeSet {
  readonly #tags = new Uint32Array(2 ** (TAG_BITS - 5));
  /** By table: what changed; null: anything may have. */
  readonly #tables = new Map<number, MiniMatch[] | null>();
  #any = false;
  #tagged = false;
  /** Number of the last change in it. */
  seq = 0;

  get empty(): boolean {
    return !this.#any && !this.#tagged && this.#tables.size === 0;
  }

  add({ tag, rule }: Change): void {
    if (rule === undefined) {
      this.#tags[tag >>> 5] |= 1 << (tag & 31);
      this.#tagged = true;
      return;
    }
    const rules = this.#tables.get(tag);
    if (rules === undefined) this.#tables.set(tag, [rule.miniMatch]);
    else if (rules !== null && rules.length < MAX_RULES) rules.push(rule.miniMatch);
    else if (rules !== null) this.#tables.set(tag, null);
  }

  /** All megaflows are to be looked at. */
  addAll(): void {
    this.#any = true;
  }

  clear(): void {
    if (this.#tagged) this.#tags.fill(0);
    this.#tables.clear();
    this.#any = false;
    this.#tagged = false;
  }

  /** Whether a megaflow that was right before these changes may be wrong now. */
  touches(megaflow: Megaflow): boolean {
    if (megaflow.validatedAt >= this.seq) return false;
    const { dependencies } = megaflow;
    if (this.#any || dependencies === null) return true;
    if (this.#tagged) {
      const tags = this.#tags;
      for (const tag of dependencies.tags) if ((tags[tag >>> 5] & (1 << (tag & 31))) !== 0) return true;
    }
    if (this.#tables.size > 0) {
      for (const tag of dependencies.tables) {
        const rules = this.#tables.get(tag);
        if (rules === undefined) continue;
        if (rules === null) return true;
        for (const rule of rules) if (mayMatch(rule, megaflow, dependencies.rewritten)) return true;
      }
    }
    return false;
  }
}

/** What has changed since megaflows were looked at last, and numbers for before and after. */
export class ChangeLog {
  #pending = new ChangeSet();
  #spare = new ChangeSet();
  /** Number of the last change. */
  seq = 0;

  get empty(): boolean {
    return this.#pending.empty;
  }

  add(change: Change): void {
    this.seq++;
    this.#pending.add(change);
  }

  addAll(): void {
    this.seq++;
    this.#pending.addAll();
  }

  /** The changes up to now; those that come next are collected anew. The set taken before is void. */
  take(): ChangeSet {
    const taken = this.#pending;
    taken.seq = this.seq;
    this.#pending = this.#spare;
    this.#pending.clear();
    this.#spare = taken;
    return taken;
  }
}
