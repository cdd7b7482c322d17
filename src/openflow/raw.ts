/**
 * Which bytes in the headers stand for which message: the numbers of every message in every version,
 * and the lengths its body may have.
 */
import { putBe32 } from './big-endian.ts';
import { OfError } from './errors.ts';
import type { Variant } from './header.ts';
import type { OfKind } from './message.ts';
import { NX_VENDOR, OF10, ONF_VENDOR } from './version.ts';

export const HEADER_LENGTH = 8;
/** No OpenFlow message is longer: its length is a 16-bit number. */
export const MAX_MESSAGE = 0xffff;

/** name, kind, first version, last version, number, least length of the body, what more comes in. */
type Row = readonly [string, OfKind, number, number, number, number, number];

/**
 * The name's prefix tells where the number stands: OFPT, the header's type; OFPST, the type in a
 * statistics (multipart) header; NXT and ONFT, the subtype of a vendor message; NXST and ONFST, that of
 * vendor statistics. More than the least length comes in multiples of the last column (0: never).
 */
const ROWS: readonly Row[] = [
  ['OFPT_HELLO', 'hello', 1, 255, 0, 0, 1],
  ['OFPT_ERROR', 'error', 1, 255, 1, 4, 1],
  ['OFPT_ECHO_REQUEST', 'echo_request', 1, 255, 2, 0, 1],
  ['OFPT_ECHO_REPLY', 'echo_reply', 1, 255, 3, 0, 1],
  ['OFPT_FEATURES_REQUEST', 'features_request', 1, 6, 5, 0, 0],
  ['OFPT_FEATURES_REPLY', 'features_reply', 1, 1, 6, 24, 48],
  ['OFPT_FEATURES_REPLY', 'features_reply', 2, 3, 6, 24, 64],
  ['OFPT_FEATURES_REPLY', 'features_reply', 4, 6, 6, 24, 0],
  ['OFPT_GET_CONFIG_REQUEST', 'get_config_request', 1, 6, 7, 0, 0],
  ['OFPT_GET_CONFIG_REPLY', 'get_config_reply', 1, 6, 8, 4, 0],
  ['OFPT_SET_CONFIG', 'set_config', 1, 6, 9, 4, 0],
  ['OFPT_PACKET_IN', 'packet_in', 1, 1, 10, 10, 1],
  ['OFPT_PACKET_IN', 'packet_in', 2, 2, 10, 16, 1],
  ['OFPT_PACKET_IN', 'packet_in', 3, 3, 10, 8, 1],
  ['OFPT_PACKET_IN', 'packet_in', 4, 6, 10, 16, 1],
  ['NXT_PACKET_IN', 'packet_in', 1, 6, 17, 24, 1],
  ['NXT_PACKET_IN2', 'packet_in', 1, 6, 30, 0, 8],
  ['OFPT_FLOW_REMOVED', 'flow_removed', 1, 1, 11, 80, 0],
  ['OFPT_FLOW_REMOVED', 'flow_removed', 2, 5, 11, 40, 8],
  ['OFPT_FLOW_REMOVED', 'flow_removed', 6, 6, 11, 16, 8],
  ['NXT_FLOW_REMOVED', 'flow_removed', 1, 6, 14, 40, 8],
  ['OFPT_PORT_STATUS', 'port_status', 1, 1, 12, 56, 0],
  ['OFPT_PORT_STATUS', 'port_status', 2, 4, 12, 72, 0],
  ['OFPT_PORT_STATUS', 'port_status', 5, 6, 12, 48, 8],
  ['OFPT_PACKET_OUT', 'packet_out', 1, 1, 13, 8, 1],
  ['OFPT_PACKET_OUT', 'packet_out', 2, 5, 13, 16, 1],
  ['OFPT_PACKET_OUT', 'packet_out', 6, 6, 13, 8, 1],
  ['OFPT_FLOW_MOD', 'flow_mod', 1, 1, 14, 64, 8],
  ['OFPT_FLOW_MOD', 'flow_mod', 2, 6, 14, 40, 8],
  ['NXT_FLOW_MOD', 'flow_mod', 1, 6, 13, 32, 8],
  ['NXT_GROUP_MOD', 'group_mod', 1, 1, 31, 16, 8],
  ['OFPT_GROUP_MOD', 'group_mod', 2, 5, 15, 8, 8],
  ['OFPT_GROUP_MOD', 'group_mod', 6, 6, 15, 16, 8],
  ['OFPT_PORT_MOD', 'port_mod', 1, 1, 15, 24, 0],
  ['OFPT_PORT_MOD', 'port_mod', 2, 4, 16, 32, 0],
  ['OFPT_PORT_MOD', 'port_mod', 5, 6, 16, 24, 8],
  ['OFPT_TABLE_MOD', 'table_mod', 2, 4, 17, 8, 0],
  ['OFPT_TABLE_MOD', 'table_mod', 5, 6, 17, 8, 8],
  ['OFPT_BARRIER_REQUEST', 'barrier_request', 1, 1, 18, 0, 0],
  ['OFPT_BARRIER_REQUEST', 'barrier_request', 2, 6, 20, 0, 0],
  ['OFPT_BARRIER_REPLY', 'barrier_reply', 1, 1, 19, 0, 0],
  ['OFPT_BARRIER_REPLY', 'barrier_reply', 2, 6, 21, 0, 0],
  ['OFPT_QUEUE_GET_CONFIG_REQUEST', 'queue_get_config_request', 1, 1, 20, 4, 0],
  ['OFPT_QUEUE_GET_CONFIG_REQUEST', 'queue_get_config_request', 2, 4, 22, 8, 0],
  ['OFPT_QUEUE_GET_CONFIG_REPLY', 'queue_get_config_reply', 1, 1, 21, 8, 8],
  ['OFPT_QUEUE_GET_CONFIG_REPLY', 'queue_get_config_reply', 2, 4, 23, 8, 8],
  ['OFPT_ROLE_REQUEST', 'role_request', 3, 6, 24, 16, 0],
  ['NXT_ROLE_REQUEST', 'role_request', 1, 6, 10, 4, 0],
  ['OFPT_ROLE_REPLY', 'role_reply', 3, 6, 25, 16, 0],
  ['NXT_ROLE_REPLY', 'role_reply', 1, 6, 11, 4, 0],
  ['OFPT_GET_ASYNC_REQUEST', 'get_async_request', 4, 4, 26, 0, 0],
  ['OFPT_GET_ASYNC_REQUEST', 'get_async_request', 5, 6, 26, 0, 0],
  ['OFPT_GET_ASYNC_REPLY', 'get_async_reply', 4, 4, 27, 24, 0],
  ['OFPT_GET_ASYNC_REPLY', 'get_async_reply', 5, 6, 27, 0, 8],
  ['OFPT_SET_ASYNC', 'set_async_config', 4, 4, 28, 24, 0],
  ['NXT_SET_ASYNC_CONFIG', 'set_async_config', 1, 6, 19, 24, 0],
  ['NXT_SET_ASYNC_CONFIG2', 'set_async_config', 1, 4, 27, 0, 8],
  ['OFPT_SET_ASYNC', 'set_async_config', 5, 6, 28, 0, 8],
  ['OFPT_METER_MOD', 'meter_mod', 4, 6, 29, 8, 8],
  ['ONFT_ROLE_STATUS', 'role_status', 4, 4, 1911, 16, 8],
  ['OFPT_ROLE_STATUS', 'role_status', 5, 6, 30, 16, 8],
  ['OFPT_TABLE_STATUS', 'table_status', 5, 6, 31, 8, 8],
  ['NXT_REQUESTFORWARD', 'requestforward', 1, 3, 132, 8, 8],
  ['ONFT_REQUESTFORWARD', 'requestforward', 4, 4, 2350, 8, 8],
  ['OFPT_REQUESTFORWARD', 'requestforward', 5, 6, 32, 8, 8],
  ['OFPT_BUNDLE_CONTROL', 'bundle_control', 5, 6, 33, 8, 8],
  ['ONFT_BUNDLE_CONTROL', 'bundle_control', 4, 4, 2300, 8, 8],
  ['OFPT_BUNDLE_ADD_MESSAGE', 'bundle_add', 5, 6, 34, 8, 1],
  ['ONFT_BUNDLE_ADD_MESSAGE', 'bundle_add', 4, 4, 2301, 8, 1],
  ['OFPST_DESC request', 'desc_request', 1, 6, 0, 0, 0],
  ['OFPST_DESC reply', 'desc_reply', 1, 6, 0, 1056, 0],
  ['OFPST_FLOW request', 'flow_stats_request', 1, 1, 1, 44, 0],
  ['OFPST_FLOW request', 'flow_stats_request', 2, 6, 1, 32, 8],
  ['NXST_FLOW request', 'flow_stats_request', 1, 1, 0, 8, 8],
  ['OFPST_FLOW reply', 'flow_stats_reply', 1, 1, 1, 0, 1],
  ['OFPST_FLOW reply', 'flow_stats_reply', 2, 3, 1, 0, 1],
  ['OFPST_FLOW reply', 'flow_stats_reply', 4, 5, 1, 0, 1],
  ['OFPST_FLOW reply', 'flow_stats_reply', 6, 6, 1, 0, 1],
  ['NXST_FLOW reply', 'flow_stats_reply', 1, 1, 0, 0, 1],
  ['OFPST_AGGREGATE request', 'aggregate_stats_request', 1, 1, 2, 44, 0],
  ['OFPST_AGGREGATE request', 'aggregate_stats_request', 2, 5, 2, 32, 8],
  ['OFPST_AGGREGATE request', 'aggregate_stats_request', 6, 6, 2, 32, 8],
  ['NXST_AGGREGATE request', 'aggregate_stats_request', 1, 1, 1, 8, 8],
  ['OFPST_AGGREGATE reply', 'aggregate_stats_reply', 1, 5, 2, 24, 0],
  ['OFPST_AGGREGATE reply', 'aggregate_stats_reply', 6, 6, 2, 0, 1],
  ['NXST_AGGREGATE reply', 'aggregate_stats_reply', 1, 1, 1, 24, 0],
  ['OFPST_TABLE request', 'table_stats_request', 1, 6, 3, 0, 0],
  ['OFPST_TABLE reply', 'table_stats_reply', 1, 1, 3, 0, 64],
  ['OFPST_TABLE reply', 'table_stats_reply', 2, 2, 3, 0, 88],
  ['OFPST_TABLE reply', 'table_stats_reply', 3, 3, 3, 0, 128],
  ['OFPST_TABLE reply', 'table_stats_reply', 4, 6, 3, 0, 24],
  ['OFPST_PORT request', 'port_stats_request', 1, 1, 4, 8, 0],
  ['OFPST_PORT request', 'port_stats_request', 2, 6, 4, 8, 0],
  ['OFPST_PORT reply', 'port_stats_reply', 1, 1, 4, 0, 104],
  ['OFPST_PORT reply', 'port_stats_reply', 2, 3, 4, 0, 104],
  ['OFPST_PORT reply', 'port_stats_reply', 4, 4, 4, 0, 112],
  ['OFPST_PORT reply', 'port_stats_reply', 5, 6, 4, 0, 8],
  ['OFPST_QUEUE request', 'queue_stats_request', 1, 1, 5, 8, 0],
  ['OFPST_QUEUE request', 'queue_stats_request', 2, 6, 5, 8, 0],
  ['OFPST_QUEUE reply', 'queue_stats_reply', 1, 1, 5, 0, 32],
  ['OFPST_QUEUE reply', 'queue_stats_reply', 2, 3, 5, 0, 32],
  ['OFPST_QUEUE reply', 'queue_stats_reply', 4, 4, 5, 0, 40],
  ['OFPST_QUEUE reply', 'queue_stats_reply', 5, 6, 5, 0, 8],
  ['NXST_GROUP request', 'group_stats_request', 1, 1, 7, 8, 0],
  ['OFPST_GROUP request', 'group_stats_request', 2, 6, 6, 8, 0],
  ['NXST_GROUP reply', 'group_stats_reply', 1, 1, 7, 0, 8],
  ['OFPST_GROUP reply', 'group_stats_reply', 2, 3, 6, 0, 8],
  ['OFPST_GROUP reply', 'group_stats_reply', 4, 6, 6, 0, 8],
  ['NXST_GROUP_DESC request', 'group_desc_request', 1, 1, 8, 8, 0],
  ['OFPST_GROUP_DESC request', 'group_desc_request', 2, 5, 7, 0, 0],
  ['OFPST_GROUP_DESC request', 'group_desc_request', 6, 6, 7, 8, 0],
  ['NXST_GROUP_DESC reply', 'group_desc_reply', 1, 1, 8, 0, 8],
  ['OFPST_GROUP_DESC reply', 'group_desc_reply', 2, 6, 7, 0, 8],
  ['NXST_GROUP_FEATURES request', 'group_features_request', 1, 2, 9, 0, 0],
  ['OFPST_GROUP_FEATURES request', 'group_features_request', 3, 6, 8, 0, 0],
  ['NXST_GROUP_FEATURES reply', 'group_features_reply', 1, 2, 9, 40, 0],
  ['OFPST_GROUP_FEATURES reply', 'group_features_reply', 3, 6, 8, 40, 0],
  ['OFPST_METER request', 'meter_stats_request', 4, 6, 9, 8, 0],
  ['OFPST_METER reply', 'meter_stats_reply', 4, 6, 9, 0, 8],
  ['OFPST_METER_CONFIG request', 'meter_config_request', 4, 6, 10, 8, 0],
  ['OFPST_METER_CONFIG reply', 'meter_config_reply', 4, 6, 10, 0, 8],
  ['OFPST_METER_FEATURES request', 'meter_features_request', 4, 6, 11, 0, 0],
  ['OFPST_METER_FEATURES reply', 'meter_features_reply', 4, 6, 11, 16, 0],
  ['OFPST_TABLE_FEATURES request', 'table_features_request', 4, 6, 12, 0, 8],
  ['OFPST_TABLE_FEATURES reply', 'table_features_reply', 4, 6, 12, 64, 8],
  ['OFPST_TABLE_DESC request', 'table_desc_request', 5, 6, 14, 0, 0],
  ['OFPST_TABLE_DESC reply', 'table_desc_reply', 5, 6, 14, 8, 8],
  ['OFPST_PORT_DESC request', 'port_desc_request', 1, 5, 13, 0, 0],
  ['OFPST_PORT_DESC request', 'port_desc_request', 6, 6, 13, 8, 0],
  ['OFPST_PORT_DESC reply', 'port_desc_reply', 1, 1, 13, 0, 48],
  ['OFPST_PORT_DESC reply', 'port_desc_reply', 2, 4, 13, 0, 64],
  ['OFPST_PORT_DESC reply', 'port_desc_reply', 5, 6, 13, 0, 8],
  ['OFPST_QUEUE_DESC request', 'queue_get_config_request', 5, 6, 15, 8, 0],
  ['OFPST_QUEUE_DESC reply', 'queue_get_config_reply', 5, 6, 15, 0, 8],
  ['OFPST_FLOW_MONITOR request', 'flow_monitor_request', 5, 6, 16, 0, 8],
  ['ONFST_FLOW_MONITOR request', 'flow_monitor_request', 4, 4, 1870, 0, 8],
  ['NXST_FLOW_MONITOR request', 'flow_monitor_request', 1, 3, 2, 0, 8],
  ['OFPST_FLOW_MONITOR reply', 'flow_monitor_reply', 5, 6, 16, 0, 8],
  ['ONFST_FLOW_MONITOR reply', 'flow_monitor_reply', 4, 4, 1870, 0, 8],
  ['NXST_FLOW_MONITOR reply', 'flow_monitor_reply', 1, 3, 2, 0, 8],
  ['ONFT_FLOW_MONITOR_CANCEL', 'flow_monitor_cancel', 4, 4, 1870, 4, 0],
  ['NXT_FLOW_MONITOR_CANCEL', 'flow_monitor_cancel', 1, 3, 21, 4, 0],
  ['ONFT_FLOW_MONITOR_PAUSED', 'flow_monitor_paused', 4, 4, 1871, 0, 0],
  ['NXT_FLOW_MONITOR_PAUSED', 'flow_monitor_paused', 1, 3, 22, 0, 0],
  ['ONFT_FLOW_MONITOR_RESUMED', 'flow_monitor_resumed', 4, 4, 1872, 0, 0],
  ['NXT_FLOW_MONITOR_RESUMED', 'flow_monitor_resumed', 1, 3, 23, 0, 0],
  ['NXT_SET_FLOW_FORMAT', 'set_flow_format', 1, 1, 12, 4, 0],
  ['NXT_FLOW_MOD_TABLE_ID', 'flow_mod_table_id', 1, 6, 15, 8, 0],
  ['NXT_SET_PACKET_IN_FORMAT', 'set_packet_in_format', 1, 6, 16, 4, 0],
  ['NXT_FLOW_AGE', 'flow_age', 1, 6, 18, 0, 0],
  ['NXT_SET_CONTROLLER_ID', 'set_controller_id', 1, 6, 20, 8, 0],
  ['NXT_TLV_TABLE_MOD', 'tlv_table_mod', 1, 6, 24, 8, 8],
  ['NXT_TLV_TABLE_REQUEST', 'tlv_table_request', 1, 6, 25, 0, 0],
  ['NXT_TLV_TABLE_REPLY', 'tlv_table_reply', 1, 6, 26, 16, 8],
  ['NXT_RESUME', 'resume', 1, 6, 28, 0, 8],
  ['NXT_CT_FLUSH_ZONE', 'ct_flush_zone', 1, 6, 29, 8, 0],
  ['NXT_CT_FLUSH', 'ct_flush', 1, 6, 32, 8, 8],
  ['NXST_IPFIX_BRIDGE request', 'ipfix_bridge_stats_request', 1, 6, 3, 0, 0],
  ['NXST_IPFIX_BRIDGE reply', 'ipfix_bridge_stats_reply', 1, 6, 3, 88, 0],
  ['NXST_IPFIX_FLOW request', 'ipfix_flow_stats_request', 1, 6, 4, 0, 0],
  ['NXST_IPFIX_FLOW reply', 'ipfix_flow_stats_reply', 1, 6, 4, 0, 88],
];

export type Domain = 'OFPT' | 'OFPST' | 'NXT' | 'NXST' | 'ONFT' | 'ONFST';

/** One format of one message. */
export interface RawMessage {
  /** As logs name it: `OFPT_FLOW_MOD`, `NXST_FLOW reply`. */
  readonly name: string;
  readonly kind: OfKind;
  readonly variant: Variant;
  readonly domain: Domain;
  readonly firstVersion: number;
  readonly lastVersion: number;
  readonly number: number;
  readonly minBody: number;
  readonly multiple: number;
  /** For statistics: whether it is a reply. */
  readonly reply: boolean;
}

const OFPT_VENDOR = 4;
const OFPST_VENDOR = 0xffff;

function isStats(domain: Domain): boolean {
  return domain === 'OFPST' || domain === 'NXST' || domain === 'ONFST';
}

function vendorOf(domain: Domain): number {
  if (domain === 'NXT' || domain === 'NXST') return NX_VENDOR;
  return domain === 'ONFT' || domain === 'ONFST' ? ONF_VENDOR : 0;
}

function statsType(version: number, reply: boolean): number {
  return (version === OF10 ? 16 : 18) + (reply ? 1 : 0);
}

function makeRaw([name, kind, firstVersion, lastVersion, number, minBody, multiple]: Row): RawMessage {
  const domain = name.slice(0, name.indexOf('_')) as Domain;
  const vendor = vendorOf(domain);
  const variant = vendor === ONF_VENDOR ? 'onf' : vendor === 0 ? 'std' : /2$/.test(name) ? 'nx2' : 'nx';
  const reply = name.endsWith(' reply');
  return { name, kind, variant, domain, firstVersion, lastVersion, number, minBody, multiple, reply };
}

const RAWS: readonly RawMessage[] = ROWS.map(makeRaw);

/** version / type / stat / vendor / subtype -> message. */
const byNumbers = new Map<string, RawMessage>();
/** Those of them that are neither statistics nor a vendor's, by `version * 256 + type`. */
const standard: (RawMessage | undefined)[] = new Array<RawMessage | undefined>(7 * 256).fill(undefined);
/** kind -> version -> messages, the preferred first. */
const byKind = new Map<OfKind, RawMessage[][]>();
const PREFERENCE: readonly Variant[] = ['std', 'onf', 'nx', 'nx2'];
/** Messages of the first versions that every later one keeps; the table says 255. */
const LAST_KNOWN_VERSION = 6;

function numbersKey(version: number, type: number, stat: number, vendor: number, subtype: number): string {
  return `${version}/${type}/${stat}/${vendor}/${subtype}`;
}

for (const raw of RAWS) {
  const vendor = vendorOf(raw.domain);
  for (let v = raw.firstVersion; v <= Math.min(raw.lastVersion, LAST_KNOWN_VERSION); v++) {
    const stats = isStats(raw.domain);
    const type = stats ? statsType(v, raw.reply) : vendor === 0 ? raw.number : OFPT_VENDOR;
    const stat = stats ? (vendor === 0 ? raw.number : OFPST_VENDOR) : 0;
    byNumbers.set(numbersKey(v, type, stat, vendor, vendor === 0 ? 0 : raw.number), raw);
    if (!stats && vendor === 0) standard[v * 256 + type] = raw;
    const lists = byKind.get(raw.kind) ?? Array.from({ length: LAST_KNOWN_VERSION + 1 }, () => []);
    lists[v].push(raw);
    lists[v].sort((a, b) => PREFERENCE.indexOf(a.variant) - PREFERENCE.indexOf(b.variant));
    byKind.set(raw.kind, lists);
  }
}

/** The format of a message in a version; `variant` undefined: the preferred one. Null: there is none. */
export function rawFor(version: number, kind: OfKind, variant?: Variant): RawMessage | null {
  const list = byKind.get(kind)?.[Math.min(version, LAST_KNOWN_VERSION)] ?? [];
  if (variant === undefined) return list[0] ?? null;
  return list.find((raw) => raw.variant === variant) ?? null;
}

/** Bytes before the body. */
export function headersLength(raw: RawMessage, version: number): number {
  if (raw.domain === 'OFPT') return HEADER_LENGTH;
  if (raw.domain === 'OFPST') return version === OF10 ? 12 : 16;
  return isStats(raw.domain) ? 24 : 16;
}

export function isMultipart(raw: RawMessage): boolean {
  return isStats(raw.domain);
}

/** Where a multipart message's flags stand, of which the low bit says that more follow. */
export const MULTIPART_FLAGS_OFFSET = 10;

/**
 * The format of the message that starts with these bytes, which may be cut short after the headers.
 * Throws {@link OfError}: BAD_LEN, BAD_TYPE, BAD_STAT, BAD_VENDOR or BAD_SUBTYPE.
 */
export function rawOf(bytes: Uint8Array): RawMessage {
  if (bytes.length >= HEADER_LENGTH && bytes[0] <= LAST_KNOWN_VERSION) {
    const plain = standard[bytes[0] * 256 + bytes[1]];
    if (plain !== undefined) return plain;
  }
  return rawOfOther(bytes);
}

/** {@link rawOf} for those that say more about themselves than a type. */
function rawOfOther(bytes: Uint8Array): RawMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (n: number): void => {
    if (bytes.length < n) {
      throw new OfError('OFPBRC_BAD_LEN', `message of ${bytes.length} bytes ends within its headers`);
    }
  };
  need(HEADER_LENGTH);
  const version = bytes[0];
  const type = bytes[1];
  let stat = 0;
  let vendor = 0;
  let subtype = 0;
  const vendorAt = (at: number, subtypeAt: number, onf: boolean): void => {
    need(at + 4);
    vendor = view.getUint32(at);
    if (vendor !== NX_VENDOR && !(onf && vendor === ONF_VENDOR)) {
      throw new OfError('OFPBRC_BAD_VENDOR', `message of unknown vendor 0x${vendor.toString(16)}`);
    }
    need(subtypeAt + 4);
    subtype = view.getUint32(subtypeAt);
  };
  if (type === OFPT_VENDOR) {
    vendorAt(8, 12, true);
  } else if (type === statsType(version, false) || type === statsType(version, true)) {
    need(version === OF10 ? 12 : 16);
    stat = view.getUint16(8);
    if (stat === OFPST_VENDOR) {
      if (version === OF10) {
        need(16);
        vendorAt(12, 16, false);
        need(24);
      } else {
        vendorAt(16, 20, true);
      }
    }
  }
  const raw = byNumbers.get(
    numbersKey(
      type <= 3 ? Math.min(Math.max(version, 1), LAST_KNOWN_VERSION) : version,
      type,
      stat,
      vendor,
      subtype,
    ),
  );
  if (raw !== undefined) return raw;
  if (vendor !== 0) {
    throw new OfError(
      'OFPBRC_BAD_SUBTYPE',
      `version ${version}: unknown subtype ${subtype} of vendor 0x${vendor.toString(16)}`,
    );
  }
  if (type === statsType(version, false) || type === statsType(version, true)) {
    throw new OfError('OFPBRC_BAD_STAT', `version ${version}: unknown statistics type ${stat}`);
  }
  throw new OfError('OFPBRC_BAD_TYPE', `version ${version}: unknown message type ${type}`);
}

/** Throws OFPBRC_BAD_LEN unless `length` is one that this message can have. */
export function checkLength(raw: RawMessage, version: number, length: number): void {
  const least = headersLength(raw, version) + raw.minBody;
  const more = length - least;
  if (more === 0 || (more > 0 && raw.multiple > 0 && more % raw.multiple === 0)) return;
  const also =
    raw.multiple === 0 ? '' : raw.multiple === 1 ? ' or more' : ` and multiples of ${raw.multiple}`;
  throw new OfError('OFPBRC_BAD_LEN', `${raw.name} of ${length} bytes, expected ${least}${also}`);
}

/** Writes the headers of a message, with a length of 0, into `bytes`, which must have room and be zeros. */
export function putHeaders(bytes: Uint8Array, raw: RawMessage, version: number, xid: number): void {
  const vendor = vendorOf(raw.domain);
  bytes[0] = version;
  putBe32(bytes, 4, xid);
  if (isStats(raw.domain)) {
    bytes[1] = statsType(version, raw.reply);
    const stat = vendor === 0 ? raw.number : OFPST_VENDOR;
    bytes[8] = stat >>> 8;
    bytes[9] = stat;
    if (vendor !== 0) {
      const at = version === OF10 ? 12 : 16;
      putBe32(bytes, at, vendor);
      putBe32(bytes, at + 4, raw.number);
    }
  } else if (vendor !== 0) {
    bytes[1] = OFPT_VENDOR;
    putBe32(bytes, 8, vendor);
    putBe32(bytes, 12, raw.number);
  } else {
    bytes[1] = raw.number;
  }
}

/** Every kind of message that a version has, in each of its variants. */
export function rawVariants(version: number): { kind: OfKind; variant: Variant }[] {
  return RAWS.filter((raw) => raw.firstVersion <= version && version <= raw.lastVersion).map(
    ({ kind, variant }) => ({ kind, variant }),
  );
}
