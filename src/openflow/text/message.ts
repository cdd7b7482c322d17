/** Messages as logs and `ovs-ofctl ofp-print` show them. */
import { formatPort } from '../../flow/port-text.ts';
import { decodeMessage } from '../codec.ts';
import { OfError } from '../errors.ts';
import type { OfMessage } from '../message.ts';
import {
  checkLength,
  HEADER_LENGTH,
  isMultipart,
  MULTIPART_FLAGS_OFFSET,
  type RawMessage,
  rawOf,
} from '../raw.ts';
import { OF13 } from '../version.ts';
import { escapeBytes, formatGroup, hexDump } from './common.ts';
import {
  formatAsync,
  formatBundleAdd,
  formatBundleControl,
  formatConfig,
  formatCtFlush,
  formatDesc,
  formatFeatures,
  formatFlowRemoved,
  formatHello,
  formatIpfixReply,
  formatMonitorReply,
  formatMonitorRequest,
  formatPacketIn,
  formatPacketOut,
  formatRole,
  formatRoleStatus,
  formatTlvTableMod,
  formatTlvTableReply,
  type MessageTextOptions,
} from './control.ts';
import { formatFlowMod, formatFlowStats, formatFlowStatsRequest } from './flow.ts';
import {
  formatGroupDescReply,
  formatGroupFeatures,
  formatGroupMod,
  formatGroupStatsReply,
  formatMeterConfigReply,
  formatMeterFeatures,
  formatMeterId,
  formatMeterMod,
  formatMeterStatsReply,
} from './groups.ts';
import {
  formatPortDescs,
  formatPortMod,
  formatPortStatsReply,
  formatPortStatus,
  formatQueueConfigReply,
  formatQueueConfigRequest,
  formatQueueStatsReply,
  formatQueueStatsRequest,
} from './ports.ts';
import {
  formatTableDesc,
  formatTableFeatures,
  formatTableMod,
  formatTableStats,
  formatTableStatus,
} from './tables.ts';

export type { MessageTextOptions } from './control.ts';

const OFPSF_MORE = 1;
const LAST_VERSION = 6;

function formatHeader(bytes: Uint8Array, raw: RawMessage): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version] = bytes;
  const of =
    version === 1
      ? ''
      : version >= 1 && version <= LAST_VERSION
        ? ` (OF1.${version - 1})`
        : ` (OF 0x${version.toString(16).padStart(2, '0')})`;
  return `${raw.name}${of} (xid=0x${view.getUint32(4).toString(16)}):`;
}

function formatMultipartFlags(bytes: Uint8Array, raw: RawMessage): string {
  if (!isMultipart(raw)) return '';
  let flags = (bytes[MULTIPART_FLAGS_OFFSET] << 8) | bytes[MULTIPART_FLAGS_OFFSET + 1];
  if (flags === 0) return '';
  let text = ' flags=';
  const mayBeMore = !raw.kind.endsWith('_request') || bytes[0] >= OF13;
  if (mayBeMore && (flags & OFPSF_MORE) !== 0) {
    text += '[more]';
    flags &= ~OFPSF_MORE;
  }
  if (flags !== 0) text += `[***unknown flags 0x${flags.toString(16).padStart(4, '0')}***]`;
  return text;
}

/**
 * A message, whole or not, and whatever is wrong with it: one line or several, each with its end. Never
 * throws.
 */
export function formatMessage(bytes: Uint8Array, options: MessageTextOptions = {}): string {
  if (bytes.length === 0) return 'OpenFlow message is empty\n';
  if (bytes.length < HEADER_LENGTH) {
    return `OpenFlow packet too short (only ${bytes.length} bytes):\n${hexDump(bytes)}`;
  }
  const length = (bytes[2] << 8) | bytes[3];
  if (length < bytes.length) {
    return `(***only uses ${length} bytes out of ${bytes.length}***)\n${hexDump(bytes)}`;
  }
  const raw = rawOrNull(bytes, length);
  if (length > bytes.length) {
    const header = raw === null ? '' : `${formatHeader(bytes, raw)}\n`;
    return `${header}(***truncated to ${bytes.length} bytes from ${length}***)\n${hexDump(bytes)}`;
  }
  const header = raw === null ? '' : formatHeader(bytes, raw);
  let text = header;
  const message = decodeMessage(bytes, { flowModTableId: true });
  let error = message instanceof OfError ? message : null;
  if (!(message instanceof OfError)) {
    try {
      text += formatMultipartFlags(bytes, raw as RawMessage) + formatDecoded(message, options);
      if (message.kind === 'hello' && hasMoreThanVersions(bytes)) {
        text += `\n unknown data in hello:\n${hexDump(bytes)}`;
      }
    } catch (e) {
      // What is only looked into for its text can be no good, too.
      if (!(e instanceof OfError)) throw e;
      error = e;
    }
  }
  text = text.replace(/ $/, '');
  if (error !== null) {
    if (header !== '') text += text.length > header.length ? '\n' : ' ';
    text += `***decode error: ${error.ofperr}***\n`;
  }
  if (error !== null || (options.verbosity ?? 0) >= 5) text = withNewline(text) + hexDump(bytes);
  return withNewline(text);
}

const HELLO_VERSION_BITMAP = 1;
const ELEMENT_HEADER = 4;

/** Whether a hello has other elements than bitmaps of versions, or bytes that are none. */
function hasMoreThanVersions(bytes: Uint8Array): boolean {
  for (let at = HEADER_LENGTH; at < bytes.length; ) {
    if (bytes.length - at < ELEMENT_HEADER) return true;
    const type = (bytes[at] << 8) | bytes[at + 1];
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    if (length < 2 * ELEMENT_HEADER || type !== HELLO_VERSION_BITMAP) return true;
    at += Math.ceil(length / 8) * 8;
    if (at > bytes.length) return true;
  }
  return false;
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** null if the message has no known type, or is whole and has not a length of its type's. */
function rawOrNull(bytes: Uint8Array, length: number): RawMessage | null {
  try {
    const raw = rawOf(bytes);
    if (length === bytes.length) checkLength(raw, bytes[0], length);
    return raw;
  } catch (error) {
    if (error instanceof OfError) return null;
    throw error;
  }
}

/** What follows a message's name and xid. */
export function formatDecoded(m: OfMessage, options: MessageTextOptions = {}): string {
  const { ports = null, verbosity = 0 } = options;
  switch (m.kind) {
    case 'hello':
      return formatHello(m);
    case 'error': {
      if (m.error === null) throw new OfError('OFPBRC_BAD_LEN', 'an error that has no name');
      const failedHello = m.error === 'OFPHFC_INCOMPATIBLE' || m.error === 'OFPHFC_EPERM';
      const data = failedHello ? escapeBytes(m.data) : formatMessage(m.data, { ...options, verbosity: 1 });
      return ` ${m.error}\n${data}`;
    }
    case 'echo_request':
    case 'echo_reply':
      return ` ${m.data.length} bytes of payload\n${verbosity > 1 ? hexDump(m.data) : ''}`;
    case 'features_reply':
      return formatFeatures(m);
    case 'get_config_reply':
    case 'set_config':
      return formatConfig(m.config);
    case 'desc_reply':
      return formatDesc(m);
    case 'packet_in':
    case 'resume':
      return formatPacketIn(m, m.version, options);
    case 'packet_out':
      return formatPacketOut(m, options);
    case 'flow_mod':
      return ` ${formatFlowMod(m, m.version, options)}`;
    case 'flow_removed':
      return formatFlowRemoved(m, options);
    case 'flow_stats_request':
    case 'aggregate_stats_request':
      return formatFlowStatsRequest(m, options);
    case 'flow_stats_reply':
      return m.flows.map((flow) => `\n ${formatFlowStats(flow, options)}`).join('');
    case 'aggregate_stats_reply':
      return ` packet_count=${m.packetCount} byte_count=${m.byteCount} flow_count=${m.flowCount}`;
    case 'port_status':
      return formatPortStatus(m);
    case 'port_mod':
      return formatPortMod(m, options);
    case 'port_desc_request':
      return ` port=${formatPort(m.port, ports)}`;
    case 'port_desc_reply':
      return `\n${formatPortDescs(m.ports)}`;
    case 'port_stats_request':
      return ` port_no=${formatPort(m.port, ports)}`;
    case 'port_stats_reply':
      return formatPortStatsReply(m, verbosity, options);
    case 'queue_stats_request':
      return formatQueueStatsRequest(m, options);
    case 'queue_stats_reply':
      return formatQueueStatsReply(m, verbosity, options);
    case 'queue_get_config_request':
      return formatQueueConfigRequest(m, options);
    case 'queue_get_config_reply':
      return formatQueueConfigReply(m, options);
    case 'table_mod':
      return formatTableMod(m, options);
    case 'table_status':
      return formatTableStatus(m, options);
    case 'table_desc_reply':
      return m.tables.map((table) => formatTableDesc(table, options)).join('');
    case 'table_stats_reply':
      return formatTableStats(m.tables);
    case 'table_features_request':
    case 'table_features_reply':
      return formatTableFeatures(m.tables.map((features) => ({ features, stats: null })));
    case 'role_request':
    case 'role_reply':
      return formatRole(m.role, m.generationId);
    case 'role_status':
      return formatRoleStatus(m);
    case 'get_async_reply':
    case 'set_async_config':
      return formatAsync(m);
    case 'bundle_control':
      return formatBundleControl(m);
    case 'bundle_add':
      return formatBundleAdd(m) + formatMessage(m.message, options);
    case 'group_mod':
      return formatGroupMod(m, options);
    case 'group_stats_request':
    case 'group_desc_request':
      return ` group_id=${formatGroup(m.group)}`;
    case 'group_stats_reply':
      return formatGroupStatsReply(m);
    case 'group_desc_reply':
      return formatGroupDescReply(m, options);
    case 'group_features_reply':
      return formatGroupFeatures(m);
    case 'meter_mod':
      return formatMeterMod(m);
    case 'meter_stats_request':
    case 'meter_config_request':
      return ` ${formatMeterId(m.meter, '=')}`;
    case 'meter_config_reply':
      return formatMeterConfigReply(m);
    case 'meter_stats_reply':
      return formatMeterStatsReply(m);
    case 'meter_features_reply':
      return formatMeterFeatures(m);
    case 'flow_monitor_request':
      return formatMonitorRequest(m, options);
    case 'flow_monitor_reply':
      return formatMonitorReply(m, options);
    case 'flow_monitor_cancel':
    case 'set_controller_id':
      return ` id=${m.id}`;
    case 'requestforward':
      return m.request.kind === 'group_mod'
        ? ` reason=group_mod${formatGroupMod(m.request, options)}`
        : ` reason=meter_mod${formatMeterMod(m.request)}`;
    case 'set_flow_format':
    case 'set_packet_in_format':
      return ` format=${m.format}`;
    case 'flow_mod_table_id':
      return ` ${m.enable ? 'enable' : 'disable'}`;
    case 'tlv_table_mod':
      return formatTlvTableMod(m);
    case 'tlv_table_reply':
      return formatTlvTableReply(m);
    case 'ct_flush_zone':
      return ` zone_id=${m.zone}`;
    case 'ct_flush':
      return formatCtFlush(m);
    case 'ipfix_bridge_stats_reply':
    case 'ipfix_flow_stats_reply':
      return formatIpfixReply(m);
    default:
      return '';
  }
}
