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

/** One direction of a connection; what is not given is 0 or empty. */
export interface CtTuple {
  /** 16 bytes (IPv4 mapped into IPv6); all zeros: any. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly icmpId: number;
  readonly icmpType: number;
  readonly icmpCode: number;
}

/** Forgets the connections that match. */
export interface CtFlush extends Header {
  readonly kind: 'ct_flush';
  readonly ipProto: number;
  /** null: any. */
  readonly zone: number | null;
  readonly orig: CtTuple | null;
  readonly reply: CtTuple | null;
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
