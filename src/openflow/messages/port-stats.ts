import type { Header, Multipart } from '../header.ts';

/** Counters of a port; UINT64_MAX where unknown. */
export interface PortStats {
  readonly port: number;
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxFrameErr: bigint;
  readonly rxOverErr: bigint;
  readonly rxCrcErr: bigint;
  readonly collisions: bigint;
  /** OpenFlow 1.3 and later; UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
  /** OpenFlow 1.4 and later (Open vSwitch's properties): RFC 2819 counters and the port's own. */
  readonly rfc2819: Rfc2819Stats | null;
  readonly custom: readonly { readonly name: string; readonly value: bigint }[];
}

/** Packet size histograms and more of RFC 2819; UINT64_MAX where unknown. In the order of the wire. */
export interface Rfc2819Stats {
  readonly rx1To64: bigint;
  readonly rx65To127: bigint;
  readonly rx128To255: bigint;
  readonly rx256To511: bigint;
  readonly rx512To1023: bigint;
  readonly rx1024To1522: bigint;
  readonly rx1523ToMax: bigint;
  readonly tx1To64: bigint;
  readonly tx65To127: bigint;
  readonly tx128To255: bigint;
  readonly tx256To511: bigint;
  readonly tx512To1023: bigint;
  readonly tx1024To1522: bigint;
  readonly tx1523ToMax: bigint;
  readonly txMulticast: bigint;
  readonly rxBroadcast: bigint;
  readonly txBroadcast: bigint;
  readonly rxUndersized: bigint;
  readonly rxOversized: bigint;
  readonly rxFragmented: bigint;
  readonly rxJabber: bigint;
}

export interface PortStatsRequest extends Header {
  readonly kind: 'port_stats_request';
  /** OFPP_ANY: all. */
  readonly port: number;
}

export interface PortStatsReply extends Header, Multipart {
  readonly kind: 'port_stats_reply';
  readonly ports: readonly PortStats[];
}
