import { LEARN_F_DELETE_LEARNED } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import type { Rule } from './rule.ts';

/** Flows of one cookie in one table, which `learn` actions make and take along when they go. */
export interface Learned {
  readonly table: number;
  readonly cookie: bigint;
}

const NONE: readonly Learned[] = [];

/** What a list of actions would take along: of its `learn` actions with `delete_learned`. */
export function learnedOf(actions: readonly Action[]): readonly Learned[] {
  let found: Learned[] | null = null;
  for (const action of actions) {
    if (action.type === 'learn' && (action.flags & LEARN_F_DELETE_LEARNED) !== 0) {
      found ??= [];
      found.push({ table: action.table, cookie: action.cookie });
    } else if ('actions' in action) {
      const inner = learnedOf(action.actions);
      if (inner !== NONE) found = [...(found ?? []), ...inner];
    }
  }
  return found ?? NONE;
}

/**
 * How many actions each set of learned flows hangs on: when the last is gone from the tables, so shall they be. A flow that
 * is replaced goes before the new one comes, so that is only known at the end of a change.
 */
export class LearnedCookies {
  readonly #uses = new Map<string, number>();
  #orphans = new Map<string, Learned>();

  add(rule: Rule): void {
    for (const learned of rule.learned) this.#count(learned, 1);
  }

  remove(rule: Rule): void {
    for (const learned of rule.learned) this.#count(learned, -1);
  }

  /** Those that hang on nothing any more, once each. */
  takeOrphans(): readonly Learned[] {
    if (this.#orphans.size === 0) return NONE;
    const orphans = [...this.#orphans.values()];
    this.#orphans = new Map();
    return orphans;
  }

  #count(learned: Learned, change: number): void {
    const key = `${learned.table}/${learned.cookie}`;
    const uses = (this.#uses.get(key) ?? 0) + change;
    if (uses > 0) {
      this.#uses.set(key, uses);
      this.#orphans.delete(key);
    } else {
      this.#uses.delete(key);
      this.#orphans.set(key, learned);
    }
  }
}
