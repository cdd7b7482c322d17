/** Texts of messages between switch and controller about themselves: features, roles, bundles, packets. */
import { formatIpv4, formatIpv6 } from '../../flow/address-text.ts';
import type { Match } from '../../flow/match.ts';
import { formatMatch } from '../../flow/match-format.ts';
import { formatPort } from '../../flow/port-text.ts';
import { type Action, formatActions } from '../actions/index.ts';
import { formatTable, hexBytes } from '../actions/text.ts';
import { NO_BUFFER, OFPG_ANY, OFPP_ANY, OFPTT_ALL, UINT64_MAX } from '../constants.ts';
import { actionsFromBits } from '../feature-bits.ts';
import { ASYNC_TYPES, type AsyncMessage, type AsyncType } from '../messages/async.ts';
import type { BundleAdd, BundleControl } from '../messages/bundle.ts';
import { decodeContinuation } from '../messages/continuation.ts';
import type { CtFlush, CtTuple } from '../messages/ct-flush.ts';
import type { FlowRemoved } from '../messages/flow-removed.ts';
import type { FlowMonitorReply, FlowMonitorRequest } from '../messages/monitor.ts';
import type { IpfixStats, IpfixStatsReply, TlvMap, TlvTableMod, TlvTableReply } from '../messages/nicira.ts';
import type { PacketInFields } from '../messages/packet-in.ts';
import type { PacketOut } from '../messages/packet-out.ts';
import type { Role, RoleStatus } from '../messages/role.ts';
import type { DescReply, FeaturesReply, SwitchConfig } from '../messages/switch.ts';
import { type Hello, versionList } from '../messages/symmetric.ts';
import { OF10, type OfVersion } from '../version.ts';
import { formatBits, formatCount, formatDuration, hexDump, type TextNames } from './common.ts';
import { bitNames, formatPortDescs } from './ports.ts';

export interface MessageTextOptions extends TextNames {
  /** More of it tells more: from 1 on what packets hold, above 2 their bytes, above 4 those of messages. */
  readonly verbosity?: number;
  /** Tells what a packet holds, as one line with its end; without it texts do not. */
  readonly formatPacket?: (packet: Uint8Array, metadata: Match) => string;
}

export function formatHello(m: Hello): string {
  return `\n version bitmap: ${versionList(m.versions)}`;
}

const CAPABILITIES: ReadonlyMap<number, string> = bitNames(
  'FLOW_STATS',
  'TABLE_STATS',
  'PORT_STATS',
  'STP',
  'GROUP_STATS',
  'IP_REASM',
  'QUEUE_STATS',
  'ARP_MATCH_IP',
  'PORT_BLOCKED',
  'BUNDLES',
  'FLOW_MONITORING',
);

export function formatFeatures(m: FeaturesReply): string {
  let text = ` dpid:${m.datapathId.toString(16).padStart(16, '0')}\n`;
  text += `n_tables:${m.nTables}, n_buffers:${m.nBuffers}`;
  if (m.auxiliaryId !== 0) text += `, auxiliary_id:${m.auxiliaryId}`;
  text += `\ncapabilities: ${formatBits(m.capabilities, CAPABILITIES)}\n`;
  const actions = m.version === OF10 ? actionsFromBits(m.actions, OF10) : [];
  if (actions.length > 0) text += `actions: ${actions.join(' ')}\n`;
  return text + formatPortDescs(m.ports ?? []);
}

export function formatConfig(c: SwitchConfig): string {
  const ttl = c.invalidTtlToController === true ? ' invalid_ttl_to_controller' : '';
  return ` frags=${c.frag}${ttl} miss_send_len=${c.missSendLen}\n`;
}

export function formatDesc(m: DescReply): string {
  return (
    `\nManufacturer: ${m.mfrDesc}\nHardware: ${m.hwDesc}\nSoftware: ${m.swDesc}\n` +
    `Serial Num: ${m.serialNum}\nDP Description: ${m.dpDesc}\n`
  );
}

export function formatRole(role: Role, generationId: bigint | null): string {
  const generation =
    generationId === null || generationId === UINT64_MAX ? '' : ` generation_id=${generationId}`;
  return ` role=${role}${generation}`;
}

const ROLE_REASONS = ['primary_request', 'configuration_changed', 'experimenter_data_changed'];

export function formatRoleStatus(m: RoleStatus): string {
  return `${formatRole(m.role, m.generationId)} reason=${ROLE_REASONS[m.reason] ?? '(unknown)'}`;
}

/** The last two are parts of the first, and not named. */
const PACKET_IN_REASONS = ['no_match', 'action', 'invalid_ttl', 'action_set', 'group', 'packet_out', '', ''];
const REMOVED_REASONS = ['idle', 'hard', 'delete', 'group_delete', 'meter_delete', 'eviction'];
const REASONS: Readonly<Record<AsyncType, readonly (string | undefined)[]>> = {
  packet_in: PACKET_IN_REASONS,
  port_status: ['add', 'delete', 'modify'],
  flow_removed: REMOVED_REASONS,
  role_status: ROLE_REASONS,
  table_status: [undefined, undefined, undefined, 'vacancy_down', 'vacancy_up'],
  requestforward: ['group_mod_request', 'meter_mod_request'],
};
const ASYNC_NAME_WIDTH = 16;

export function formatAsync(m: AsyncMessage): string {
  let text = '';
  for (const role of ['primary', 'secondary'] as const) {
    text += `\n ${role}:\n`;
    for (const type of ASYNC_TYPES) {
      const bits = m.config[type]?.[role] ?? 0;
      text += `${type.toUpperCase().padStart(ASYNC_NAME_WIDTH)}:`;
      for (let i = 0; i < 32; i++) {
        const name = REASONS[type][i] ?? String(i);
        if (((bits >>> i) & 1) === 1 && name !== '') text += ` ${name}`;
      }
      text += bits === 0 ? ' (off)\n' : '\n';
    }
  }
  return text;
}

const BUNDLE_FLAGS = bitNames('atomic', 'ordered');

function formatBundle(bundle: number): string {
  return `\n bundle_id=${bundle === 0 ? '0' : `0x${bundle.toString(16)}`}`;
}

export function formatBundleControl(m: BundleControl): string {
  return `${formatBundle(m.bundle)} type=${m.type.toUpperCase()} flags=${formatBits(m.flags, BUNDLE_FLAGS)}`;
}

/** All but the message added. */
export function formatBundleAdd(m: BundleAdd): string {
  return `${formatBundle(m.bundle)} flags=${formatBits(m.flags, BUNDLE_FLAGS)}\n`;
}

// --- Packets --------------------------------------------------------------------------------------------

function formatContents(packet: Uint8Array, metadata: Match, options: MessageTextOptions): string {
  const { verbosity = 0, formatPacket } = options;
  const contents = verbosity > 0 && formatPacket !== undefined ? formatPacket(packet, metadata) : '';
  return contents + (verbosity > 2 ? hexDump(packet, false) : '');
}

function formatBuffer(buffer: number): string {
  return `buffer=0x${buffer.toString(16).padStart(8, '0')}`;
}

const STACK_VALUE_LENGTH = 128;

function formatContinuation(bytes: Uint8Array, version: OfVersion, options: MessageTextOptions): string {
  const state = decodeContinuation(bytes, version);
  let text = '';
  if (state.bridge.some((b) => b !== 0)) {
    const hex = hexBytes(state.bridge, '');
    const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    text += ` continuation.bridge=${uuid}\n`;
  }
  if (state.stack.length > 0) {
    const values = state.stack.toReversed().map((value) => {
      const hex = hexBytes(value.subarray(-STACK_VALUE_LENGTH), '').replace(/^0+(?=.)/, '');
      return ` 0x${hex === '' ? '0' : hex}`;
    });
    text += ` continuation.stack=(top)${values.join('')} (bottom)\n`;
  }
  if (state.mirrors !== 0) text += ` continuation.mirrors=0x${state.mirrors.toString(16)}\n`;
  if (state.conntracked) text += ' continuation.conntracked=true\n';
  const actions: Action[] = [];
  let [table, cookie] = [0, 0n];
  for (const group of state.actions) {
    if (group.table !== table || group.cookie !== cookie) {
      ({ table, cookie } = group);
      actions.push({ type: 'unroll_xlate', table, cookie });
    }
    actions.push(...group.actions);
  }
  if (actions.length > 0) text += ` continuation.actions=${formatActions(actions, options)}\n`;
  if (state.actionSet.length > 0) {
    text += ` continuation.action_set=${formatActions(state.actionSet, options)}\n`;
  }
  return text + (state.odpPort === 0 ? '' : ` continuation.odp_port=${state.odpPort}\n`);
}

export function formatPacketIn(
  m: PacketInFields,
  version: OfVersion,
  options: MessageTextOptions = {},
): string {
  const { ports = null, tables = null } = options;
  let text = '';
  if (m.table !== 0 || (tables?.nameOf(m.table) ?? null) !== null) {
    text += ` table_id=${formatTable(m.table, tables)}`;
  }
  if (m.cookie !== UINT64_MAX) text += ` cookie=0x${m.cookie.toString(16)}`;
  text += ` total_len=${m.totalLen} ${formatMatch(m.metadata, { ports })}`;
  text += ` (via ${PACKET_IN_REASONS[m.reason] ?? m.reason}) data_len=${m.packet.length}`;
  if (m.bufferId === NO_BUFFER) {
    text += ' (unbuffered)';
    if (m.totalLen !== m.packet.length) text += ' (***total_len != data_len***)';
  } else {
    text += ` ${formatBuffer(m.bufferId)}`;
    if (m.totalLen < m.packet.length) text += ' (***total_len < data_len***)';
  }
  text += '\n';
  if (m.userdata.length > 0) text += ` userdata=${hexBytes(m.userdata, '.')}\n`;
  if (m.continuation.length > 0) text += formatContinuation(m.continuation, version, options);
  return text + formatContents(m.packet, m.metadata, options);
}

export function formatPacketOut(m: PacketOut, options: MessageTextOptions = {}): string {
  const { ports = null } = options;
  const text = ` ${formatMatch(m.metadata, { ports })} actions=${formatActions(m.actions, options)}`;
  if (m.bufferId !== NO_BUFFER) return `${text} ${formatBuffer(m.bufferId)}`;
  const contents = formatContents(m.packet, m.metadata, options);
  const line = (options.verbosity ?? 0) > 0 && m.packet.length > 0 ? '\n' : '';
  return `${text} data_len=${m.packet.length}${line}${contents}`;
}

// --- Flows ----------------------------------------------------------------------------------------------

export function formatFlowRemoved(m: FlowRemoved, names: TextNames = {}): string {
  const { ports = null, tables = null } = names;
  let text = ` ${formatMatch(m.match, { ports, priority: m.priority })}`;
  text += ` reason=${REMOVED_REASONS[m.reason] ?? m.reason}`;
  if (m.table !== OFPTT_ALL) text += ` table_id=${formatTable(m.table, tables)}`;
  if (m.cookie !== 0n) text += ` cookie:0x${m.cookie.toString(16)}`;
  text += ` duration${formatDuration(m.durationSec, m.durationNsec)} idle${m.idleTimeout}`;
  if (m.hardTimeout !== 0) text += ` hard${m.hardTimeout}`;
  return `${text} pkts${m.packetCount} bytes${m.byteCount}\n`;
}

const MONITOR_FLAGS = bitNames('initial', 'add', 'delete', 'modify', 'actions', 'no-abbrev', 'own');

export function formatMonitorRequest(m: FlowMonitorRequest, names: TextNames = {}): string {
  const { ports = null, tables = null } = names;
  return m.monitors
    .map((monitor) => {
      if (monitor.command === 'delete') return `\n id=${monitor.id} command=delete`;
      let text = `\n id=${monitor.id} flags=${formatBits(monitor.flags, MONITOR_FLAGS, ',')}`;
      if (monitor.outPort !== OFPP_ANY) text += ` out_port=${formatPort(monitor.outPort, ports)}`;
      if (monitor.outGroup !== 0 && monitor.outGroup !== OFPG_ANY) {
        text += ` out_group=${monitor.outGroup | 0}`;
      }
      if (monitor.table !== OFPTT_ALL) text += ` table=${formatTable(monitor.table, tables)}`;
      const match = formatMatch(monitor.match, { ports });
      return match === '' ? text : `${text} ${match}`;
    })
    .join('');
}

export function formatMonitorReply(m: FlowMonitorReply, names: TextNames = {}): string {
  const { ports = null, tables = null } = names;
  return m.updates
    .map((u) => {
      if (u.event === 'abbrev') return `\n event=ABBREV xid=0x${u.xid.toString(16)}`;
      if (!('table' in u)) return `\n event=${u.event.toUpperCase()}`;
      let text = '\n event=';
      text +=
        u.event === 'removed'
          ? `DELETED reason=${REMOVED_REASONS[u.reason] ?? u.reason}`
          : u.event.toUpperCase();
      text += ` table=${formatTable(u.table, tables)}`;
      if (u.idleTimeout !== 0) text += ` idle_timeout=${u.idleTimeout}`;
      if (u.hardTimeout !== 0) text += ` hard_timeout=${u.hardTimeout}`;
      text += ` cookie=${u.cookie === 0n ? '0' : `0x${u.cookie.toString(16)}`} `;
      const match = formatMatch(u.match, { ports });
      text += match;
      if (u.actions.length === 0) return text;
      return `${text}${match === '' ? '' : ' '}actions=${formatActions(u.actions, names)}`;
    })
    .join('');
}

// --- Tunnel options, connection tracking, IPFIX ------------------------------------------------------------

function formatMappings(mappings: readonly TlvMap[]): string {
  const hex = (n: number, width: number): string => (n === 0 ? '0' : `0x${n.toString(16)}`).padStart(width);
  const rows = mappings.map(
    (m) =>
      `\n ${hex(m.optionClass, 6)}  ${hex(m.optionType, 4)}  ${String(m.optionLen).padStart(6)}  ` +
      `tun_metadata${m.index}`,
  );
  return (
    ' mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------' +
    rows.join('')
  );
}

const TLV_COMMANDS = { add: 'ADD', delete: 'DEL', clear: 'CLEAR' } as const;

export function formatTlvTableMod(m: TlvTableMod): string {
  return `\n ${TLV_COMMANDS[m.command]}${m.command === 'clear' ? '' : formatMappings(m.mappings)}`;
}

export function formatTlvTableReply(m: TlvTableReply): string {
  const used = m.mappings.reduce((sum, map) => sum + map.optionLen, 0);
  return (
    `\n max option space=${m.maxOptionSpace} max fields=${m.maxFields}\n` +
    ` allocated option space=${used}\n\n${formatMappings(m.mappings)}`
  );
}

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const NO_TUPLE: CtTuple = {
  src: new Uint8Array(16),
  dst: new Uint8Array(16),
  srcPort: 0,
  dstPort: 0,
  icmpId: 0,
  icmpType: 0,
  icmpCode: 0,
};

function isMapped(ip: Uint8Array): boolean {
  return ip.subarray(0, 10).every((b) => b === 0) && ip[10] === 0xff && ip[11] === 0xff;
}

function formatMapped(ip: Uint8Array): string {
  const value = BigInt(`0x${hexBytes(ip, '')}`);
  return isMapped(ip) ? formatIpv4(Number(value & 0xffffffffn)) : formatIpv6(value);
}

export function formatCtFlush(m: CtFlush): string {
  const orig = m.orig ?? NO_TUPLE;
  const reply = m.reply ?? NO_TUPLE;
  const v4 = [orig, reply].some((t) => isMapped(t.src) || isMapped(t.dst));
  const tuple = (t: CtTuple): string =>
    `${v4 ? 'ct_nw_src' : 'ct_ipv6_src'}=${formatMapped(t.src)},` +
    `${v4 ? 'ct_nw_dst' : 'ct_ipv6_dst'}=${formatMapped(t.dst)},` +
    (m.ipProto === IPPROTO_ICMP || m.ipProto === IPPROTO_ICMPV6
      ? `icmp_id=${t.icmpId},icmp_type=${t.icmpType},icmp_code=${t.icmpCode}`
      : `ct_tp_src=${t.srcPort},ct_tp_dst=${t.dstPort}`);
  return ` zone=${m.zone ?? 0} '${tuple(orig)},ct_nw_proto=${m.ipProto}' '${tuple(reply)}'`;
}

function formatIpfixStats(s: IpfixStats, indent: number): string {
  const n = formatCount;
  return (
    `flows=${n(s.totalFlows)}, current flows=${n(s.currentFlows)}, sampled pkts=${n(s.pkts)}, ` +
    `ipv4 ok=${n(s.ipv4Pkts)}, ipv6 ok=${n(s.ipv6Pkts)}, tx pkts=${n(s.txPkts)}\n${' '.repeat(indent)}` +
    `pkts errs=${n(s.errorPkts)}, ipv4 errs=${n(s.ipv4ErrorPkts)}, ipv6 errs=${n(s.ipv6ErrorPkts)}, ` +
    `tx errs=${n(s.txErrors)}\n`
  );
}

export function formatIpfixReply(m: IpfixStatsReply): string {
  if (m.kind === 'ipfix_bridge_stats_reply') {
    return m.stats.map((s) => `\n  bridge ipfix: ${formatIpfixStats(s, 16)}`).join('');
  }
  const ids = m.stats.map((s) => `  id ${String(s.collectorSet).padStart(3)}: ${formatIpfixStats(s, 10)}`);
  return ` ${m.stats.length} ids\n${ids.join('')}`;
}
