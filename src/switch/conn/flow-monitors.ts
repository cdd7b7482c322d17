import type { TunnelMetadataMap } from '../../flow/tun-metadata.ts';
import { actionsEqual, actionsOutputToGroup, actionsOutputToPort } from '../../openflow/actions/index.ts';
import {
  OFPFMF_ADD,
  OFPFMF_INITIAL,
  OFPFMF_INSTRUCTIONS,
  OFPFMF_MODIFY,
  OFPFMF_ONLY_OWN,
  OFPFMF_REMOVED,
  OFPG_ANY,
  OFPP_ANY,
  OFPTT_ALL,
} from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { FlowMonitor, FlowUpdate, FullFlowUpdate } from '../../openflow/messages/monitor.ts';
import { OF13, OF14 } from '../../openflow/version.ts';
import type { FlowEvent, FlowStore } from '../ofproto/flow-store.ts';
import { N_TABLES } from '../ofproto/ofproto.ts';
import type { Rule } from '../ofproto/rule.ts';
import type { Connection } from './connection.ts';

const MAX_MONITORS = 4096;
/** With so many bytes waiting, a connection is told no more until all of them are sent. */
const PAUSE_BACKLOG = 128 * 1024;

const EVENT_FLAGS = { added: OFPFMF_ADD, modified: OFPFMF_MODIFY, removed: OFPFMF_REMOVED } as const;

interface Watcher {
  readonly monitors: Map<number, FlowMonitor>;
  updates: FlowUpdate[];
  abbreviated: boolean;
  /** Number of the last event before the pause; null: not paused. */
  paused: number | null;
}

/**
 * Tells controllers of changes of the flow tables that they asked to hear of (OpenFlow 1.4, 7.3.5.19, and
 * Nicira's extension before). A controller that reads too slowly is not told all: it is told that there
 * is a pause, of flows that go meanwhile, and, when it has read everything, how the flows are that came
 * or changed during it. So what waits for it is bounded by what exists.
 */
export class FlowMonitors {
  readonly #flows: FlowStore;
  readonly #watchers = new Map<Connection, Watcher>();
  #events = 0;

  readonly #tun: TunnelMetadataMap;

  /** `tun`: where the switch's tunnel options stand in keys. */
  constructor(flows: FlowStore, tun: TunnelMetadataMap) {
    this.#flows = flows;
    this.#tun = tun;
  }

  /** Carries out a request, whole or not at all; gives what there is now. @throws OfError */
  request(connection: Connection, requests: readonly FlowMonitor[]): FlowUpdate[] {
    const watcher = this.#watchers.get(connection) ?? {
      monitors: new Map(),
      updates: [],
      abbreviated: false,
      paused: null,
    };
    const monitors = new Map(watcher.monitors);
    const added: FlowMonitor[] = [];
    for (const request of requests) {
      const { id, command, table } = request;
      if (table !== OFPTT_ALL && table >= N_TABLES) {
        throw new OfError('OFPBRC_BAD_TABLE_ID', `flow monitor of table ${table}`);
      }
      if (command === 'add') {
        if (monitors.has(id)) throw new OfError('OFPMOFC_MONITOR_EXISTS', `flow monitor ${id} exists`);
        if (monitors.size >= MAX_MONITORS) {
          throw new OfError('OFPMOFC_UNKNOWN', `the connection has ${MAX_MONITORS} flow monitors`);
        }
      } else if (!monitors.delete(id)) {
        throw new OfError('OFPMOFC_UNKNOWN_MONITOR', `flow monitor ${id} does not exist`);
      }
      if (command === 'delete') continue;
      monitors.set(id, request);
      added.push(request);
    }
    this.#set(connection, { ...watcher, monitors });
    return this.#refresh(
      added.filter((monitor) => (monitor.flags & OFPFMF_INITIAL) !== 0),
      () => 'initial',
    );
  }

  /** @throws OfError */
  cancel(connection: Connection, id: number): void {
    const watcher = this.#watchers.get(connection);
    if (!watcher?.monitors.delete(id)) {
      throw new OfError('OFPMOFC_UNKNOWN_MONITOR', `flow monitor ${id} does not exist`);
    }
    this.#set(connection, watcher);
  }

  /** A connection is gone. */
  forget(connection: Connection): void {
    this.#watchers.delete(connection);
  }

  #set(connection: Connection, watcher: Watcher): void {
    if (watcher.monitors.size === 0 && watcher.paused === null) this.#watchers.delete(connection);
    else this.#watchers.set(connection, watcher);
  }

  // --- Events -----------------------------------------------------------------------------------------

  /** Flows have changed. */
  report(events: readonly FlowEvent[]): void {
    for (const event of events) {
      this.#number(event);
      if (event.rule.isHidden || this.#watchers.size === 0) continue;
      for (const [connection, watcher] of this.#watchers) this.#collect(connection, watcher, event);
    }
    for (const [connection, watcher] of this.#watchers) this.#flush(connection, watcher);
  }

  #number(event: FlowEvent): void {
    const { rule } = event;
    if (event.type === 'removed') return;
    this.#events++;
    rule.modifyEvent = this.#events;
    rule.addEvent = event.type === 'added' ? this.#events : event.replaced.addEvent;
  }

  #collect(connection: Connection, watcher: Watcher, event: FlowEvent): void {
    const { rule, type } = event;
    // During a pause only the end of flows is told that the controller knows.
    if (watcher.paused !== null && (type !== 'removed' || rule.addEvent > watcher.paused)) return;
    const old = type === 'removed' ? null : event.replaced;
    const same = old !== null && actionsEqual(old.actions, rule.actions);
    if (type === 'modified' && same && old.cookie === rule.cookie) return;
    let flags = 0;
    for (const monitor of watcher.monitors.values()) {
      if ((monitor.flags & EVENT_FLAGS[type]) !== 0 && concerns(monitor, rule, same ? null : old)) {
        flags |= monitor.flags;
      }
    }
    if (flags === 0) return;
    const own = event.requester?.connection === connection;
    if (!own || (flags & OFPFMF_ONLY_OWN) !== 0 || watcher.paused !== null) {
      const reason = type === 'removed' ? event.reason : 0;
      watcher.updates.push(fullUpdate(this.#tun, rule, type, reason, (flags & OFPFMF_INSTRUCTIONS) !== 0));
    } else if (!watcher.abbreviated) {
      watcher.updates.push({ event: 'abbrev', xid: event.requester?.xid ?? 0 });
      watcher.abbreviated = true;
    }
  }

  #flush(connection: Connection, watcher: Watcher): void {
    if (watcher.updates.length > 0) sendUpdates(connection, watcher.updates);
    watcher.updates = [];
    watcher.abbreviated = false;
    if (watcher.paused === null && connection.backlog > PAUSE_BACKLOG) {
      watcher.paused = this.#events;
      sendPause(connection, 'paused');
    }
  }

  /** All that waited for a connection has been sent. */
  drained(connection: Connection): void {
    const watcher = this.#watchers.get(connection);
    if (watcher === undefined || watcher.paused === null) return;
    const since = watcher.paused;
    const updates = this.#refresh([...watcher.monitors.values()], (rule, monitor) => {
      if (rule.addEvent > since && (monitor.flags & (OFPFMF_ADD | OFPFMF_MODIFY)) !== 0) return 'added';
      return rule.modifyEvent > since && (monitor.flags & OFPFMF_MODIFY) !== 0 ? 'modified' : null;
    });
    watcher.paused = null;
    if (updates.length > 0) sendUpdates(connection, updates);
    sendPause(connection, 'resumed');
    this.#set(connection, watcher);
  }

  /** Flows that monitors mean, each once. */
  #refresh(
    monitors: readonly FlowMonitor[],
    eventOf: (rule: Rule, monitor: FlowMonitor) => FullFlowUpdate['event'] | null,
  ): FlowUpdate[] {
    const found = new Map<Rule, { event: FullFlowUpdate['event']; flags: number }>();
    for (const monitor of monitors) {
      const { match, table, outPort, outGroup } = monitor;
      for (const rule of this.#flows.select({
        match,
        table,
        outPort,
        outGroup,
        cookie: 0n,
        cookieMask: 0n,
      })) {
        const event = eventOf(rule, monitor);
        if (event === null) continue;
        const before = found.get(rule);
        found.set(rule, {
          event: before?.event ?? event,
          flags: (before?.flags ?? 0) | monitor.flags,
        });
      }
    }
    return [...found].map(([rule, { event, flags }]) =>
      fullUpdate(this.#tun, rule, event, 0, (flags & OFPFMF_INSTRUCTIONS) !== 0),
    );
  }
}

function concerns(monitor: FlowMonitor, rule: Rule, old: Rule | null): boolean {
  const { table, outPort, outGroup } = monitor;
  if (table !== OFPTT_ALL && table !== rule.table) return false;
  if (
    outPort !== OFPP_ANY &&
    !actionsOutputToPort(rule.actions, outPort) &&
    !(old !== null && actionsOutputToPort(old.actions, outPort))
  ) {
    return false;
  }
  if (outGroup !== OFPG_ANY && !actionsOutputToGroup(rule.actions, outGroup)) return false;
  return monitor.match.isCatchAll || monitor.match.covers(rule.expandMatch());
}

function fullUpdate(
  tun: TunnelMetadataMap,
  rule: Rule,
  event: FullFlowUpdate['event'],
  reason: number,
  withActions: boolean,
): FullFlowUpdate {
  return {
    event,
    reason,
    idleTimeout: rule.idleTimeout,
    hardTimeout: rule.hardTimeout,
    table: rule.table,
    priority: rule.priority,
    cookie: rule.cookie,
    match: rule.expandMatch(tun),
    actions: withActions ? rule.actions : [],
  };
}

/** Each version has a form of its own: Nicira's, the ONF's for 1.3, the standard's from 1.4 on. */
function variantOf(connection: Connection): 'nx' | 'onf' | 'std' {
  return connection.version >= OF14 ? 'std' : connection.version === OF13 ? 'onf' : 'nx';
}

function sendUpdates(connection: Connection, updates: readonly FlowUpdate[]): void {
  connection.send({
    kind: 'flow_monitor_reply',
    version: connection.version,
    xid: 0,
    variant: variantOf(connection),
    more: false,
    updates,
  });
}

function sendPause(connection: Connection, event: 'paused' | 'resumed'): void {
  if (connection.version >= OF14) {
    sendUpdates(connection, [{ event }]);
    return;
  }
  const kind = event === 'paused' ? 'flow_monitor_paused' : 'flow_monitor_resumed';
  connection.send({ kind, version: connection.version, xid: 0, variant: variantOf(connection) });
}
