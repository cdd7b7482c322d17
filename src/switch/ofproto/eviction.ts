import type { Subfield } from '../../flow/field.ts';
import { readSubfield } from '../../flow/field-access.ts';
import { parseSubfield } from '../../flow/subfield-text.ts';
import type { FlowTable } from './flow-table.ts';
import type { Rule } from './rule.ts';

/**
 * Which flow a full table gives up (vswitchd.conf.db(5), Flow_Table: groups). Flows are grouped by the
 * values of the configured fields, so that one owner who adds without end loses flows of its own: from
 * the largest group goes the flow of the least importance and, among those, the one whose timeouts leave
 * it the shortest life. Flows without timeout or importance can't be evicted.
 */
export function chooseVictim(table: FlowTable, version: number, now: number): Rule | null {
  const subfields = table.groups.flatMap((text) => parsed(text));
  const groups = new Map<string, Rule[]>();
  for (const rule of table.rules(version)) {
    if (rule.isHidden) continue;
    const timed = rule.idleTimeout > 0 || rule.hardTimeout > 0;
    if (!timed && !(table.evictByOpenFlow && rule.importance > 0)) continue;
    const key = groupKey(rule, subfields);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [rule]);
    else group.push(rule);
  }
  let largest: Rule[] = [];
  for (const group of groups.values()) if (group.length > largest.length) largest = group;
  let victim: Rule | null = null;
  for (const rule of largest) if (victim === null || goesBefore(rule, victim, table, now)) victim = rule;
  return victim;
}

function parsed(text: string): Subfield[] {
  // What can't be read was reported when the table was configured; grouping goes on without it.
  try {
    return [parseSubfield(text)];
  } catch {
    return [];
  }
}

function groupKey(rule: Rule, subfields: readonly Subfield[]): string {
  if (subfields.length === 0) return '';
  const { flow } = rule.expandMatch();
  return subfields.map((subfield) => readSubfield(flow, subfield)).join();
}

function goesBefore(a: Rule, b: Rule, table: FlowTable, now: number): boolean {
  if (table.evictByOpenFlow && a.importance !== b.importance) return a.importance < b.importance;
  return expiry(a, now) < expiry(b, now);
}

/** When a flow ends by itself at the latest, were no packet to come any more. */
function expiry(rule: Rule, now: number): number {
  const hard = rule.hardTimeout > 0 ? rule.modified + rule.hardTimeout * 1000 : Number.POSITIVE_INFINITY;
  const idle = rule.idleTimeout > 0 ? rule.used + rule.idleTimeout * 1000 : Number.POSITIVE_INFINITY;
  return Math.max(now, Math.min(hard, idle));
}
