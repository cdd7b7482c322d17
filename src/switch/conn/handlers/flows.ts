import { Match } from '../../../flow/match.ts';
import type { TunnelMetadataMap } from '../../../flow/tun-metadata.ts';
import {
  checkConsistency,
  P_OF10_NXM_TID,
  P_OF11_STD,
  P_OF12_OXM,
  P_OF13_OXM,
  P_OF14_OXM,
  P_OF15_OXM,
} from '../../../openflow/actions/index.ts';
import { OFPTT_ALL } from '../../../openflow/constants.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { FlowModFields } from '../../../openflow/messages/flow-mod.ts';
import type { FlowStats } from '../../../openflow/messages/flow-stats.ts';
import { checkTable } from '../../ofproto/flow-store.ts';
import { N_TABLES } from '../../ofproto/ofproto.ts';
import type { Rule } from '../../ofproto/rule.ts';
import { changeTables } from '../../ofproto/transaction.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

export function handleFlowMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'flow_mod'>,
): void {
  rejectIfSecondary(connection);
  const mod = checkedFlowMod(connection, message);
  changeTables(side, { connection, xid: message.xid }, (transaction) => transaction.flow(mod));
  side.countFlowMod(connection, message.command);
}

const PROTOCOLS = [0, P_OF10_NXM_TID, P_OF11_STD, P_OF12_OXM, P_OF13_OXM, P_OF14_OXM, P_OF15_OXM] as const;

/** The protocol of a connection, as the checks of actions name it. */
export function protocolsOf(connection: Connection): number {
  return PROTOCOLS[connection.version];
}

/** A flow mod whose actions can work with its match, or OfError. */
export function checkedFlowMod(connection: Connection, mod: FlowModFields): FlowModFields {
  checkTable(mod.table);
  if (mod.command === 'delete' || mod.command === 'delete_strict') return mod;
  const actions = checkConsistency(mod.actions, protocolsOf(connection), {
    match: mod.match,
    table: mod.table === OFPTT_ALL ? 0 : mod.table,
    tables: N_TABLES,
  });
  return { ...mod, actions };
}

export function handleFlowStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'flow_stats_request'>,
): void {
  const now = side.clock.now();
  // An encoder looks at one flow after the other: to make a match for each would be most of its work.
  const match = new Match(side.tlvTable);
  // In an order that users can count on: by table, and what has been there longest first.
  const rules = side.flows.select(message).sort((a, b) => a.table - b.table || a.modifyEvent - b.modifyEvent);
  connection.send({
    kind: 'flow_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    flows: rules.map((rule) => new RuleStats(rule, now, match)),
  });
}

/** What a rule has come to, read when it is asked for. */
class RuleStats implements FlowStats {
  readonly #rule: Rule;
  readonly #now: number;
  readonly #match: Match | TunnelMetadataMap | null;

  /** @param match to be made that of the rule each time; or where tunnel options stand in keys, for one of its own */
  constructor(rule: Rule, now: number, match: Match | TunnelMetadataMap | null) {
    this.#rule = rule;
    this.#now = now;
    this.#match = match;
  }

  get match(): Match {
    if (!(this.#match instanceof Match)) return this.#rule.expandMatch(this.#match);
    this.#rule.miniMatch.expandTo(this.#match);
    return this.#match;
  }
  get cookie(): bigint {
    return this.#rule.cookie;
  }
  get table(): number {
    return this.#rule.table;
  }
  get priority(): number {
    return this.#rule.priority;
  }
  get idleTimeout(): number {
    return this.#rule.idleTimeout;
  }
  get hardTimeout(): number {
    return this.#rule.hardTimeout;
  }
  get #age(): number {
    return Math.max(0, this.#now - this.#rule.created);
  }
  get durationSec(): number {
    return Math.floor(this.#age / 1000);
  }
  get durationNsec(): number {
    return Math.floor(this.#age % 1000) * 1_000_000;
  }
  get idleAge(): number {
    return Math.floor((this.#now - this.#rule.used) / 1000);
  }
  get hardAge(): number {
    return Math.floor((this.#now - this.#rule.modified) / 1000);
  }
  get packetCount(): bigint {
    return BigInt(this.#rule.packets);
  }
  get byteCount(): bigint {
    return BigInt(this.#rule.bytes);
  }
  get flags(): number {
    return this.#rule.flags;
  }
  get importance(): number {
    return this.#rule.importance;
  }
  get actions(): FlowStats['actions'] {
    return this.#rule.actions;
  }
}

/** `now`: Clock.now() ms; `tun`: where the switch's tunnel options stand in keys. */
export function flowStats(rule: Rule, now: number, tun: TunnelMetadataMap | null = null): FlowStats {
  return new RuleStats(rule, now, tun);
}

export function handleAggregate(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'aggregate_stats_request'>,
): void {
  let packets = 0;
  let bytes = 0;
  const rules = side.flows.select(message);
  for (const rule of rules) {
    packets += rule.packets;
    bytes += rule.bytes;
  }
  connection.send({
    kind: 'aggregate_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    packetCount: BigInt(packets),
    byteCount: BigInt(bytes),
    flowCount: rules.length,
  });
}
