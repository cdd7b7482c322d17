import { KeyedHeap } from '../../base/keyed-heap.ts';
import type { Subfield } from '../../flow/field.ts';
import { readSubfield } from '../../flow/field-access.ts';
import { parseSubfield } from '../../flow/subfield-text.ts';
import { hardDeadline, idleDeadline } from './flow-timeouts.ts';
import type { Rule } from './rule.ts';
import { UsageHeap } from './usage-heap.ts';

/** How a table chooses what to give up. */
export interface EvictionPolicy {
  /** By importance first (OpenFlow 1.4's flag). */
  readonly byImportance: boolean;
  /** Subfields by which flows are grouped, as texts. */
  readonly groups: readonly string[];
}

/** Flows of one owner. */
type Group = KeyedHeap<Rule>;

/** When a flow ends by itself at the latest, were no packet to come any more. */
const lifeEnd = (rule: Rule): number => Math.min(hardDeadline(rule), idleDeadline(rule));

/**
 * Which flow a full table gives up (vswitchd.conf.db(5), Flow_Table: groups). Flows are grouped by the
 * values of the configured fields, so that one owner who adds without end loses flows of its own: from
 * the largest group goes the flow of the least importance and, among those, the one whose timeouts leave
 * it the shortest life. Flows without timeout or importance can't be evicted.
 *
 * Packets lengthen lives without telling: a heap's key is the shortest that a life could be, and what comes to
 * the top with a key that is no longer true is put back with the true one.
 */
export class EvictionGroups {
  readonly policy: EvictionPolicy;
  readonly #subfields: readonly Subfield[];
  readonly #groups = new Map<string, Group>();
  readonly #sizes = new UsageHeap<Group>();
  readonly #groupOf = new Map<Rule, string>();

  constructor(policy: EvictionPolicy) {
    this.policy = policy;
    this.#subfields = policy.groups.flatMap((text) => parsed(text));
  }

  /** A flow is in the table, or its timeouts were changed. */
  add(rule: Rule): void {
    this.remove(rule);
    if (rule.isHidden) return;
    const end = lifeEnd(rule);
    const { byImportance } = this.policy;
    if (end === Number.POSITIVE_INFINITY && !(byImportance && rule.importance > 0)) return;
    const name = this.#nameOf(rule);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new KeyedHeap();
      this.#groups.set(name, group);
    }
    this.#groupOf.set(rule, name);
    this.#set(group, rule, end);
    this.#sizes.add(group, 1);
  }

  remove(rule: Rule): void {
    const name = this.#groupOf.get(rule);
    if (name === undefined) return;
    this.#groupOf.delete(rule);
    const group = this.#groups.get(name);
    if (group === undefined) return;
    group.delete(rule);
    this.#sizes.add(group, -1);
    if (group.size === 0) this.#groups.delete(name);
  }

  /** The flow to go next; null: none can. */
  victim(): Rule | null {
    const group = this.#sizes.top;
    if (group === undefined) return null;
    for (;;) {
      const rule = group.top;
      if (rule === undefined) return null;
      const end = lifeEnd(rule);
      if (end === group.topSecond) return rule;
      this.#set(group, rule, end);
    }
  }

  #set(group: Group, rule: Rule, end: number): void {
    group.set(rule, this.policy.byImportance ? rule.importance : 0, end);
  }

  #nameOf(rule: Rule): string {
    if (this.#subfields.length === 0) return '';
    const { flow } = rule.expandMatch();
    return this.#subfields.map((subfield) => readSubfield(flow, subfield)).join();
  }
}

function parsed(text: string): Subfield[] {
  // What can't be read was reported when the table was configured; grouping goes on without it.
  try {
    return [parseSubfield(text)];
  } catch {
    return [];
  }
}
