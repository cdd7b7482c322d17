import type { Reader, Writer } from '../bytes.ts';
import { type Codec, codec, head, indexIn, kindOf, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import type { PacketInFormat } from './packet-in.ts';

/** OpenFlow 1.0: flows as ofp_match, or as NXM. */
export interface SetFlowFormat extends Header {
  readonly kind: 'set_flow_format';
  readonly format: 'openflow10' | 'nxm';
}

/** OpenFlow 1.0: whether flow mods carry a table id in their command. */
export interface FlowModTableId extends Header {
  readonly kind: 'flow_mod_table_id';
  readonly enable: boolean;
}

export interface SetPacketInFormat extends Header {
  readonly kind: 'set_packet_in_format';
  readonly format: PacketInFormat;
}

export interface SetControllerId extends Header {
  readonly kind: 'set_controller_id';
  readonly id: number;
}

/** Binds a tunnel option to tun_metadata`index`. */
export interface TlvMap {
  readonly optionClass: number;
  readonly optionType: number;
  /** Bytes, a multiple of 4. */
  readonly optionLen: number;
  readonly index: number;
}

export interface TlvTableMod extends Header {
  readonly kind: 'tlv_table_mod';
  readonly command: 'add' | 'delete' | 'clear';
  readonly mappings: readonly TlvMap[];
}

export interface TlvTableReply extends Header {
  readonly kind: 'tlv_table_reply';
  /** Bytes. */
  readonly maxOptionSpace: number;
  readonly maxFields: number;
  readonly mappings: readonly TlvMap[];
}

export interface CtFlushZone extends Header {
  readonly kind: 'ct_flush_zone';
  readonly zone: number;
}

export interface IpfixStats {
  readonly collectorSet: number;
  readonly totalFlows: bigint;
  readonly currentFlows: bigint;
  readonly pkts: bigint;
  readonly ipv4Pkts: bigint;
  readonly ipv6Pkts: bigint;
  readonly errorPkts: bigint;
  readonly ipv4ErrorPkts: bigint;
  readonly ipv6ErrorPkts: bigint;
  readonly txPkts: bigint;
  readonly txErrors: bigint;
}

export interface IpfixStatsReply extends Header, Multipart {
  readonly kind: 'ipfix_bridge_stats_reply' | 'ipfix_flow_stats_reply';
  readonly stats: readonly IpfixStats[];
}

const FLOW_FORMATS: ReadonlyMap<number, SetFlowFormat['format']> = new Map([
  [0, 'openflow10'],
  [2, 'nxm'],
]);
/** By their number. */
export const PACKET_IN_FORMATS: readonly PacketInFormat[] = ['standard', 'nxt_packet_in', 'nxt_packet_in2'];
const TLV_COMMANDS: readonly TlvTableMod['command'][] = ['add', 'delete', 'clear'];
const TUN_METADATA_FIELDS = 64;
const MAX_OPTION_LENGTH = 124;

const setFlowFormat = codec(
  ['set_flow_format'],
  (r, c) => {
    const number = r.u32();
    const format = FLOW_FORMATS.get(number) ?? reject('OFPBRC_EPERM', `there is no flow format ${number}`);
    return { ...head(c, 'set_flow_format'), format };
  },
  ({ format }, { w }) => w.u32(format === 'nxm' ? 2 : 0),
);

const flowModTableId = codec(
  ['flow_mod_table_id'],
  (r, c) => ({ ...head(c, 'flow_mod_table_id'), enable: r.u8() !== 0 }),
  ({ enable }, { w }) => {
    w.u8(enable ? 1 : 0);
    w.zeros(7);
  },
);

const setPacketInFormat = codec(
  ['set_packet_in_format'],
  (r, c) => {
    const number = r.u32();
    if (!(number in PACKET_IN_FORMATS)) reject('OFPBRC_EPERM', `there is no packet-in format ${number}`);
    return { ...head(c, 'set_packet_in_format'), format: PACKET_IN_FORMATS[number] };
  },
  ({ format }, { w }) => w.u32(indexIn(PACKET_IN_FORMATS, format)),
);

/** A 16-bit number after 6 bytes that must be 0. */
function readPadded16(r: Reader, what: string): number {
  if (!r.zeros(6)) reject('NXBRC_MUST_BE_ZERO', `${what}: bytes that must be 0 are not`);
  return r.u16();
}

const setControllerId = codec(
  ['set_controller_id'],
  (r, c) => ({ ...head(c, 'set_controller_id'), id: readPadded16(r, 'set controller id') }),
  ({ id }, { w }) => {
    w.zeros(6);
    w.u16(id);
  },
);

const ctFlushZone = codec(
  ['ct_flush_zone'],
  (r, c) => ({ ...head(c, 'ct_flush_zone'), zone: readPadded16(r, 'ct flush zone') }),
  ({ zone }, { w }) => {
    w.zeros(6);
    w.u16(zone);
  },
);

function readTlvMaps(r: Reader, maxFields: number): TlvMap[] {
  const maps: TlvMap[] = [];
  while (r.left > 0) {
    const optionClass = r.u16();
    const optionType = r.u8();
    const optionLen = r.u8();
    const index = r.u16();
    r.skip(2);
    if (optionLen % 4 !== 0 || optionLen > MAX_OPTION_LENGTH) {
      reject(
        'NXTTMFC_BAD_OPT_LEN',
        `tunnel option of ${optionLen} bytes, must be a multiple of 4 up to ${MAX_OPTION_LENGTH}`,
      );
    }
    if (index >= maxFields) {
      reject('NXTTMFC_BAD_FIELD_IDX', `tun_metadata${index}: there are ${maxFields} of these fields`);
    }
    maps.push({ optionClass, optionType, optionLen, index });
  }
  return maps;
}

function writeTlvMaps(w: Writer, maps: readonly TlvMap[]): void {
  for (const map of maps) {
    w.u16(map.optionClass);
    w.u8(map.optionType);
    w.u8(map.optionLen);
    w.u16(map.index);
    w.u16(0);
  }
}

const tlvTableMod = codec(
  ['tlv_table_mod'],
  (r, c) => {
    const number = r.u16();
    r.skip(6);
    if (!(number in TLV_COMMANDS)) reject('NXTTMFC_BAD_COMMAND', `TLV table command ${number}, at most 2`);
    const mappings = readTlvMaps(r, TUN_METADATA_FIELDS);
    return { ...head(c, 'tlv_table_mod'), command: TLV_COMMANDS[number], mappings };
  },
  ({ command, mappings }, { w }) => {
    w.u16(indexIn(TLV_COMMANDS, command));
    w.zeros(6);
    writeTlvMaps(w, mappings);
  },
);

const tlvTableReply = codec(
  ['tlv_table_reply'],
  (r, c) => {
    const maxOptionSpace = r.u32();
    const maxFields = r.u16();
    r.skip(10);
    const mappings = readTlvMaps(r, maxFields);
    return { ...head(c, 'tlv_table_reply'), maxOptionSpace, maxFields, mappings };
  },
  (m, { w }) => {
    w.u32(m.maxOptionSpace);
    w.u16(m.maxFields);
    w.zeros(10);
    writeTlvMaps(w, m.mappings);
  },
);

const IPFIX_KINDS = ['ipfix_bridge_stats_reply', 'ipfix_flow_stats_reply'] as const;
const IPFIX_COUNTERS = [
  'totalFlows',
  'currentFlows',
  'pkts',
  'ipv4Pkts',
  'ipv6Pkts',
  'errorPkts',
  'ipv4ErrorPkts',
  'ipv6ErrorPkts',
  'txPkts',
  'txErrors',
] as const satisfies readonly (keyof IpfixStats)[];

function readIpfixStats(r: Reader): IpfixStats {
  const counters = Object.fromEntries(IPFIX_COUNTERS.map((name) => [name, r.u64()]));
  const collectorSet = r.u32();
  r.skip(4);
  return { ...(counters as Omit<IpfixStats, 'collectorSet'>), collectorSet };
}

const ipfix = codec(
  IPFIX_KINDS,
  (r, c) => {
    const stats: IpfixStats[] = [];
    while (r.left > 0) stats.push(readIpfixStats(r));
    return { ...multipartHead(c, kindOf(c, IPFIX_KINDS)), stats };
  },
  ({ stats }, out) => {
    for (const s of stats) {
      out.entry((w) => {
        for (const name of IPFIX_COUNTERS) w.u64(s[name]);
        w.u32(s.collectorSet);
        w.u32(0);
      });
    }
  },
);

export const niciraCodecs: readonly Codec[] = [
  setFlowFormat,
  flowModTableId,
  setPacketInFormat,
  setControllerId,
  ctFlushZone,
  tlvTableMod,
  tlvTableReply,
  ipfix,
];
