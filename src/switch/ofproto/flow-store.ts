import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { Match } from '../../flow/match.ts';
import { actionsOutputToGroup, actionsOutputToPort } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import {
  FF_CHECK_OVERLAP,
  FF_RESET_COUNTS,
  OFPG_ANY,
  OFPP_ANY,
  OFPRR_DELETE,
  OFPRR_EVICTION,
  OFPRR_HARD_TIMEOUT,
  OFPRR_IDLE_TIMEOUT,
  OFPTT_ALL,
  UINT64_MAX,
} from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { FlowModFields } from '../../openflow/messages/flow-mod.ts';
import { FlowTable } from './flow-table.ts';
import { FlowTimeouts } from './flow-timeouts.ts';
import { LearnedCookies } from './learned-cookies.ts';
import { INTERNAL_TABLE, N_TABLES, type Ofproto } from './ofproto.ts';
import { Rule } from './rule.ts';

/** What became of a flow, for monitors, flow_removed messages and learning. */
export type FlowEvent = { readonly rule: Rule; readonly requester: Requester } & (
  | { readonly type: 'added'; readonly replaced: Rule | null }
  | { readonly type: 'modified'; readonly replaced: Rule }
  | { readonly type: 'removed'; readonly reason: number }
);

/** Who asked for a change, by which message; null: the switch itself. */
export type Requester = { readonly connection: object; readonly xid: number } | null;

/** Which flows a request means. */
export interface FlowFilter {
  readonly match: Match;
  readonly table: number;
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  readonly outPort: number;
  readonly outGroup: number;
}

/** Most flows of one bridge, whatever the tables' limits: memory is not endless. */
const MAX_FLOWS = 4_000_000;

/**
 * The flow tables of one bridge, and every change to them.
 *
 * Changes are made in the next version (`FlowTransaction`): rules are inserted for it or marked as gone
 * in it, which later changes of the same transaction see and translation does not. `commit` makes the
 * version the current one, in one step; `revert` leaves no trace. So a bundle shows at once or not at all.
 */
export class FlowStore {
  readonly id: string = randomUUID();
  readonly ofproto: Ofproto;
  readonly #clock: Clock;
  readonly #tables = new Map<number, FlowTable>();
  readonly #onEvents: (events: readonly FlowEvent[]) => void;
  readonly #byGroup = new Map<number, Set<Rule>>();
  readonly #byMeter = new Map<number, Set<Rule>>();
  readonly #timeouts = new FlowTimeouts();
  /** Which learned flows are to go with those that learn them. */
  readonly learned = new LearnedCookies();
  #open: FlowTransaction | null = null;
  #count = 0;

  constructor(ofproto: Ofproto, onEvents: (events: readonly FlowEvent[]) => void) {
    this.ofproto = ofproto;
    this.#clock = ofproto.clock;
    this.#onEvents = onEvents;
  }

  get clock(): Clock {
    return this.#clock;
  }

  /** Flows in all tables. */
  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= MAX_FLOWS;
  }

  existing(id: number): FlowTable | undefined {
    return this.#tables.get(id);
  }

  /** Makes the table if it is used for the first time. */
  table(id: number): FlowTable {
    let table = this.#tables.get(id);
    if (table === undefined) {
      table = new FlowTable(id);
      this.#tables.set(id, table);
    }
    return table;
  }

  /** Tables in use, by number. */
  tables(): FlowTable[] {
    return [...this.#tables.values()].sort((a, b) => a.id - b.id);
  }

  /** @throws OfError if a transaction is open already. */
  begin(requester: Requester): FlowTransaction {
    if (this.#open !== null) throw new Error('flow tables: a transaction inside another');
    this.#open = new FlowTransaction(this, this.ofproto.version + 1, requester, () => {
      this.#open = null;
    });
    return this.#open;
  }

  /** One change of its own. @throws OfError, and then nothing has changed. */
  apply(mod: FlowModFields, requester: Requester): void {
    const txn = this.begin(requester);
    try {
      txn.apply(mod);
    } catch (error) {
      txn.revert();
      throw error;
    }
    txn.commit();
  }

  report(events: readonly FlowEvent[]): void {
    if (events.length === 0) return;
    for (const { rule } of events) this.ofproto.ruleChanged(rule);
    this.#onEvents(events);
  }

  /** Flows whose actions name a group. */
  usersOfGroup(group: number): ReadonlySet<Rule> {
    return this.#byGroup.get(group) ?? NO_RULES;
  }

  /** Flows whose packets pass a meter. */
  usersOfMeter(meter: number): ReadonlySet<Rule> {
    return this.#byMeter.get(meter) ?? NO_RULES;
  }

  /** A rule is in the newest version of the tables. */
  index(rule: Rule): void {
    const table = this.table(rule.table);
    table.index(rule);
    table.count++;
    if (rule.isHidden) table.hidden++;
    this.#count++;
    this.#timeouts.add(rule);
    this.learned.add(rule);
    for (const group of rule.groups) addTo(this.#byGroup, group, rule);
    if (rule.meter !== null) addTo(this.#byMeter, rule.meter, rule);
  }

  unindex(rule: Rule): void {
    const table = this.table(rule.table);
    table.unindex(rule);
    table.count--;
    if (rule.isHidden) table.hidden--;
    this.#count--;
    this.#timeouts.remove(rule);
    this.learned.remove(rule);
    for (const group of rule.groups) removeFrom(this.#byGroup, group, rule);
    if (rule.meter !== null) removeFrom(this.#byMeter, rule.meter, rule);
  }

  /** Rules of the current version that a filter means. */
  select(filter: FlowFilter): Rule[] {
    return selectRules(this, filter, this.ofproto.version, false);
  }

  /** The one flow of this match and priority. */
  find(table: number, match: Match, priority: number): Rule | null {
    return this.existing(table)?.classifier.find(match, priority, this.ofproto.version) ?? null;
  }

  /** Removes rules for a reason of the switch's own (timeouts, eviction, groups that went). */
  remove(rules: readonly Rule[], reason: number, requester: Requester = null): void {
    if (rules.length === 0) return;
    const txn = this.begin(requester);
    for (const rule of rules) txn.remove(rule, reason);
    txn.commit();
  }

  /** Brings a table whose limit has become lower down to it, as far as its policy allows. */
  evictExcess(id: number): void {
    const table = this.#tables.get(id);
    if (table === undefined || !table.evicts || table.count <= table.limit) return;
    const txn = this.begin(null);
    while (table.count > table.limit) {
      const victim = table.victim(txn.version);
      if (victim === null) break;
      txn.remove(victim, OFPRR_EVICTION);
    }
    txn.commit();
  }

  /** Removes flows whose time is up. */
  expire(): void {
    const { hard, idle } = this.#timeouts.due(this.#clock.now());
    this.remove(hard, OFPRR_HARD_TIMEOUT);
    this.remove(idle, OFPRR_IDLE_TIMEOUT);
  }

  /** A rule's timeouts are others than when it came. */
  timeoutsChanged(rule: Rule): void {
    const table = this.#tables.get(rule.table);
    // It may have gone since the packet met it that changes them.
    if (table === undefined || !rule.inserted || !rule.isVisibleIn(this.ofproto.version)) return;
    this.#timeouts.add(rule);
    table.timeoutsChanged(rule);
  }

  /** Removes all flows; hidden ones stay unless told. */
  flush(withHidden: boolean): void {
    const rules: Rule[] = [];
    for (const table of this.#tables.values()) {
      for (const rule of table.rules(this.ofproto.version))
        if (withHidden || !rule.isHidden) rules.push(rule);
    }
    this.remove(rules, OFPRR_DELETE);
  }
}

const NO_RULES: ReadonlySet<Rule> = new Set();

function addTo(index: Map<number, Set<Rule>>, key: number, rule: Rule): void {
  const rules = index.get(key);
  if (rules === undefined) index.set(key, new Set([rule]));
  else rules.add(rule);
}

function removeFrom(index: Map<number, Set<Rule>>, key: number, rule: Rule): void {
  const rules = index.get(key);
  rules?.delete(rule);
  if (rules?.size === 0) index.delete(key);
}

/** A set of changes that takes effect as one. */
export class FlowTransaction {
  readonly #store: FlowStore;
  readonly version: number;
  readonly #done: () => void;
  readonly #inserted: Rule[] = [];
  readonly #removed: Rule[] = [];
  readonly #events: FlowEvent[] = [];
  /** Whose changes come next. */
  requester: Requester;

  constructor(store: FlowStore, version: number, requester: Requester, done: () => void) {
    this.#store = store;
    this.version = version;
    this.requester = requester;
    this.#done = done;
  }

  /** @throws OfError; the transaction must then be reverted. */
  apply(mod: FlowModFields): void {
    checkTable(mod.table);
    switch (mod.command) {
      case 'add':
        this.#add(mod);
        break;
      case 'modify':
      case 'modify_strict':
        this.#modify(mod);
        break;
      case 'delete':
      case 'delete_strict':
        for (const rule of this.#matching(mod)) this.remove(rule, OFPRR_DELETE);
        break;
    }
  }

  remove(rule: Rule, reason: number): void {
    this.#take(rule);
    this.#events.push({ type: 'removed', rule, reason, requester: this.requester });
  }

  commit(): void {
    const { ofproto } = this.#store;
    this.#removeOrphans();
    ofproto.version = this.version;
    for (const rule of this.#removed)
      if (rule.inserted) this.#store.table(rule.table).classifier.remove(rule);
    this.#done();
    this.#store.report(this.#events);
  }

  revert(): void {
    for (const rule of this.#removed.reverse()) {
      this.#store.table(rule.table).classifier.restore(rule);
      this.#store.index(rule);
    }
    for (const rule of this.#inserted) {
      if (!rule.inserted) continue;
      this.#store.table(rule.table).classifier.remove(rule);
      this.#store.unindex(rule);
    }
    this.#store.learned.takeOrphans();
    this.#done();
  }

  /** Removes the flows that rules which are gone have learned; some of these may have learned others. */
  #removeOrphans(): void {
    const { learned } = this.#store;
    for (let orphans = learned.takeOrphans(); orphans.length > 0; orphans = learned.takeOrphans()) {
      this.requester = null;
      for (const { table, cookie } of orphans) {
        const rules = this.#store.existing(table)?.byCookie.get(cookie) ?? [];
        for (const rule of [...rules]) this.remove(rule, OFPRR_DELETE);
      }
    }
  }

  #add(mod: FlowModFields): void {
    const table = this.#store.table(mod.table === OFPTT_ALL ? 0 : mod.table);
    const old = table.classifier.find(mod.match, mod.priority, this.version);
    if (old === null) {
      if ((mod.flags & FF_CHECK_OVERLAP) !== 0) {
        const other = table.classifier.overlapping(mod.match, mod.priority, this.version);
        if (other !== null) {
          throw new OfError(
            'OFPFMFC_OVERLAP',
            `table ${table.id}: overlaps a flow of priority ${other.priority}`,
          );
        }
      }
      this.#makeRoom(table);
    }
    const now = this.#store.clock.now();
    const rule = this.#make(
      mod,
      table.id,
      mod.newCookie === UINT64_MAX ? 0n : mod.newCookie,
      mod.actions,
      now,
    );
    if (old !== null) {
      this.#take(old);
      // What matched it last was the flow that stood there: an idle timeout goes on from that.
      rule.used = old.used;
      if ((mod.flags & FF_RESET_COUNTS) === 0) {
        rule.packets = old.packets;
        rule.bytes = old.bytes;
      }
    }
    this.#insert(rule, mod.match);
    this.#events.push({ type: 'added', rule, replaced: old, requester: this.requester });
  }

  #modify(mod: FlowModFields): void {
    const rules = this.#matching(mod);
    if (rules.length === 0) {
      // OpenFlow 1.0 adds what it can't find, if no cookie was asked for; later versions mark that too.
      if (mod.newCookie !== UINT64_MAX && mod.cookieMask === 0n) this.#add(mod);
      return;
    }
    for (const old of rules) {
      const cookie = mod.modifyCookie ? mod.newCookie : old.cookie;
      const rule = new Rule({
        table: old.table,
        priority: old.priority,
        cookie,
        actions: mod.actions,
        flags: old.flags,
        importance: old.importance,
        idleTimeout: old.idleTimeout,
        hardTimeout: old.hardTimeout,
        now: this.#store.clock.now(),
      });
      rule.created = old.created;
      rule.used = old.used;
      if ((mod.flags & FF_RESET_COUNTS) === 0) {
        rule.packets = old.packets;
        rule.bytes = old.bytes;
      }
      const match = old.expandMatch();
      this.#take(old);
      this.#insert(rule, match);
      this.#events.push({ type: 'modified', rule, replaced: old, requester: this.requester });
    }
  }

  #matching(mod: FlowModFields): Rule[] {
    const strict = mod.command === 'modify_strict' || mod.command === 'delete_strict';
    const isDelete = mod.command === 'delete' || mod.command === 'delete_strict';
    const filter: FlowFilter = {
      match: mod.match,
      table: mod.table,
      cookie: mod.cookie,
      cookieMask: mod.cookieMask,
      outPort: isDelete ? mod.outPort : OFPP_ANY,
      outGroup: isDelete ? mod.outGroup : OFPG_ANY,
    };
    return selectRules(this.#store, filter, this.version, false, strict ? mod.priority : null);
  }

  #makeRoom(table: FlowTable): void {
    if (this.#store.full)
      throw new OfError('OFPFMFC_TABLE_FULL', `the bridge has ${this.#store.count} flows, no more fit`);
    while (table.count >= table.limit) {
      const victim = table.victim(this.version);
      if (victim === null) {
        throw new OfError(
          'OFPFMFC_TABLE_FULL',
          `table ${table.id} has ${table.count} flows of at most ${table.limit}`,
        );
      }
      this.remove(victim, OFPRR_EVICTION);
    }
  }

  #make(mod: FlowModFields, table: number, cookie: bigint, actions: readonly Action[], now: number): Rule {
    return new Rule({
      table,
      priority: mod.priority,
      cookie,
      actions,
      flags: mod.flags,
      importance: mod.importance,
      idleTimeout: mod.idleTimeout,
      hardTimeout: mod.hardTimeout,
      now,
    });
  }

  #insert(rule: Rule, match: Match): void {
    this.#store.table(rule.table).classifier.insert(rule, match, this.version);
    this.#store.index(rule);
    this.#inserted.push(rule);
  }

  #take(rule: Rule): void {
    this.#store.table(rule.table).classifier.removeInVersion(rule, this.version);
    this.#store.unindex(rule);
    this.#removed.push(rule);
  }
}

/** Tables are 0 to 253; the one after them is the switch's own. @throws OfError */
export function checkTable(table: number): void {
  if (table === OFPTT_ALL || table < N_TABLES) return;
  if (table === INTERNAL_TABLE) throw new OfError('OFPBRC_EPERM', `table ${table} is the switch's own`);
  throw new OfError('OFPBRC_BAD_TABLE_ID', `table ${table}: tables are 0 to ${N_TABLES - 1}`);
}

/** Rules visible in `version`, of one priority and exactly this match if `strict`. */
function selectRules(
  store: FlowStore,
  filter: FlowFilter,
  version: number,
  withHidden: boolean,
  strictPriority: number | null = null,
): Rule[] {
  const tables = filter.table === OFPTT_ALL ? store.tables() : [store.existing(filter.table)];
  const found: Rule[] = [];
  const byCookie = filter.cookieMask !== 0n;
  for (const table of tables) {
    if (table === undefined) continue;
    for (const rule of candidates(table, filter, version, strictPriority)) {
      if (rule.isHidden && !withHidden) continue;
      if (byCookie && ((rule.cookie ^ filter.cookie) & filter.cookieMask) !== 0n) continue;
      if (filter.outPort !== OFPP_ANY && !actionsOutputToPort(rule.actions, filter.outPort)) continue;
      if (filter.outGroup !== OFPG_ANY && !actionsOutputToGroup(rule.actions, filter.outGroup)) continue;
      found.push(rule);
    }
  }
  return found;
}

function candidates(
  table: FlowTable,
  filter: FlowFilter,
  version: number,
  strictPriority: number | null,
): Iterable<Rule> {
  if (strictPriority !== null) {
    const rule = table.classifier.find(filter.match, strictPriority, version);
    return rule === null ? [] : [rule];
  }
  if (filter.cookieMask === UINT64_MAX) {
    const rules = [...(table.byCookie.get(filter.cookie) ?? [])].filter((rule) => rule.isVisibleIn(version));
    return filter.match.isCatchAll ? rules : rules.filter((rule) => filter.match.covers(rule.expandMatch()));
  }
  return table.classifier.rules(filter.match, version);
}

/** A match of everything, for filters. */
export const anyMatch = (): Match => new Match();
