import { Rule as ClassifierRule, type Conjunction } from '../../flow/rule.ts';
import { flattenActions, meterOf } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { type Learned, learnedOf } from './learned-cookies.ts';

/** Flag of ours: not shown to controllers (defaults, fail-open). Above all OpenFlow flags. */
export const FF_HIDDEN = 1 << 16;

/**
 * One OpenFlow flow. Its match, priority and table are fixed; a modification that changes actions makes
 * a new rule in the next version, so that a packet in translation sees one whole version.
 */
export class Rule extends ClassifierRule {
  readonly table: number;
  readonly cookie: bigint;
  readonly actions: readonly Action[];
  /** FF_* of openflow/constants.ts. */
  readonly flags: number;
  readonly importance: number;
  /** Groups that its actions name. */
  readonly groups: readonly number[];
  /** Flows that go when the last rule goes that would learn them. */
  readonly learned: readonly Learned[];
  /** Meter that its packets pass; null: none. */
  readonly meter: number | null;
  idleTimeout: number;
  hardTimeout: number;
  /** Clock.now() ms: first added, last modified, last hit. */
  created: number;
  modified: number;
  used: number;
  packets = 0;
  bytes = 0;
  /** Numbers of the flow events that brought it, and changed it last; for monitors. */
  addEvent = 0;
  modifyEvent = 0;

  constructor(spec: {
    table: number;
    priority: number;
    cookie: bigint;
    actions: readonly Action[];
    flags: number;
    importance: number;
    idleTimeout: number;
    hardTimeout: number;
    now: number;
  }) {
    super(spec.priority, conjunctionsOf(spec.actions));
    this.table = spec.table;
    this.cookie = spec.cookie;
    this.actions = spec.actions;
    this.flags = spec.flags;
    this.importance = spec.importance;
    this.groups = groupsOf(spec.actions);
    this.learned = learnedOf(spec.actions);
    this.meter = meterOf(spec.actions);
    this.idleTimeout = spec.idleTimeout;
    this.hardTimeout = spec.hardTimeout;
    this.created = spec.now;
    this.modified = spec.now;
    this.used = spec.now;
  }

  get isHidden(): boolean {
    return (this.flags & FF_HIDDEN) !== 0;
  }

  /** Counts traffic that the rule has carried; `used` in Clock.now() ms. */
  credit(packets: number, bytes: number, used: number): void {
    this.packets += packets;
    this.bytes += bytes;
    if (used > this.used) this.used = used;
  }

  /** A flow of priority 0 that matches everything: OpenFlow 1.3's table-miss flow. */
  get isTableMiss(): boolean {
    return this.priority === 0 && this.inserted && this.miniMatch.mask.length === 0;
  }
}

const NO_GROUPS: readonly number[] = [];

/** Clauses of conjunctive matches that a list of actions stands for. */
function conjunctionsOf(actions: readonly Action[]): Conjunction[] | null {
  if (actions.every((action) => action.type !== 'conjunction')) return null;
  const found = actions.flatMap((action) =>
    action.type === 'conjunction'
      ? [{ id: action.id, clause: action.clause, nClauses: action.nClauses }]
      : [],
  );
  return found;
}

function groupsOf(actions: readonly Action[]): readonly number[] {
  // Most lists are flat, and go to ports.
  if (actions.every((action) => action.type !== 'group' && !('actions' in action))) return NO_GROUPS;
  const groups = new Set<number>();
  for (const action of flattenActions(actions)) if (action.type === 'group') groups.add(action.group);
  return [...groups];
}
