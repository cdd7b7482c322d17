import type { SlowPathReason } from '../../datapath/types.ts';
import type { Flow } from '../../flow/layout.ts';
import { PC_NO_FLOOD } from '../../openflow/constants.ts';
import type { TunnelConfig } from '../tunnel/config.ts';
import type { Ofproto } from './ofproto.ts';

/** Counters that the slow path keeps for a port without a device behind it (patch, tunnel). */
export interface VirtualCounters {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/** A queue of a port; counters are null where nobody counts. */
export interface PortQueue {
  readonly queue: number;
  /** Tenths of a percent; null: none. */
  readonly minRate: number | null;
  readonly maxRate: number | null;
  readonly txBytes: bigint | null;
  readonly txPackets: bigint | null;
  readonly txErrors: bigint | null;
}

/** What a port's device tells beyond what the datapath counts. */
export interface PortDetails {
  readonly queues: readonly PortQueue[];
  readonly customStats: readonly { readonly name: string; readonly value: bigint }[];
  /** Whether errors and drops are counted. */
  readonly countsErrors: boolean;
}

/** What watches a port's link by packets of its own, which the bridge doesn't see. */
export interface LinkMonitor {
  readonly reason: SlowPathReason;
  /** Whether the port may carry traffic. */
  readonly forwarding: boolean;
  /** Whether a packet that came in is for it. The bits of `flow` that this depends on are added to `wc`. */
  takes(flow: Flow, wc: Flow): boolean;
  /** Takes such a packet, which is valid during the call only. */
  receive(packet: Uint8Array, flow: Flow): void;
  /** Packets, of whatever kind, have come in. */
  traffic(): void;
}

/**
 * One OpenFlow port of one bridge. `dpPort` is the datapath's number for it, or null where the
 * datapath has none (patch ports).
 */
export class OfPort {
  readonly ofproto: Ofproto;
  readonly ofPort: number;
  readonly name: string;
  /** Interface type: "system", "internal", "tap", "patch", "dummy", tunnel types. */
  readonly type: string;
  dpPort: number | null;
  /** Six bytes. */
  mac: Uint8Array;
  config = 0;
  state = 0;
  /** Link speed bits of OpenFlow (current features), 0 where unknown. */
  features = 0;
  mtu = 1500;
  adminUp = true;
  linkUp = true;
  bundle: Bundle | null = null;
  details: PortDetails | null = null;
  monitor: LinkMonitor | null = null;
  /** Patch port's other end, if that exists. */
  peer: OfPort | null = null;
  /** What makes it a tunnel; null: it is none. Its datapath port is shared with other tunnels. */
  tunnel: TunnelConfig | null = null;
  /** DSCP in place in the TOS byte, by the skb_priority of the queue that a packet leaves through. */
  dscpByPriority: ReadonlyMap<number, number> = new Map();
  readonly counters: VirtualCounters = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  /** Clock.now() when the port was made. */
  readonly created: number;

  constructor(
    ofproto: Ofproto,
    spec: {
      ofPort: number;
      name: string;
      type: string;
      dpPort: number | null;
      mac: Uint8Array;
      created: number;
    },
  ) {
    this.ofproto = ofproto;
    this.ofPort = spec.ofPort;
    this.name = spec.name;
    this.type = spec.type;
    this.dpPort = spec.dpPort;
    this.mac = spec.mac;
    this.created = spec.created;
  }
}

export type VlanMode = 'access' | 'trunk' | 'native-tagged' | 'native-untagged' | 'dot1q-tunnel';

/** What the Port table of the database says of one port: a bundle of one interface, or a bond. */
export interface BundleSettings {
  readonly vlanMode: VlanMode;
  /** Access or native VLAN, 0 to 4095. */
  readonly vlan: number;
  /** VLANs that a trunk or native port carries tagged, one bit each (512 bytes); null: all. */
  readonly trunks: Uint8Array | null;
  /** Customer VLANs that a dot1q-tunnel port takes; null: all. */
  readonly cvlans: Uint8Array | null;
  /** Ethertype of a dot1q-tunnel port's service tag. */
  readonly qinqEthertype: number;
  readonly priorityTags: 'no' | 'if-nonzero' | 'always';
  readonly protected: boolean;
}

export const DEFAULT_BUNDLE: BundleSettings = {
  vlanMode: 'trunk',
  vlan: 0,
  trunks: null,
  cvlans: null,
  qinqEthertype: 0x88a8,
  priorityTags: 'no',
  protected: false,
};

/** The unit of MAC learning and VLAN configuration: a port of the database with its interfaces. */
export class Bundle {
  readonly name: string;
  readonly ports: OfPort[] = [];
  settings: BundleSettings = DEFAULT_BUNDLE;
  /** Mirrors of what comes in and goes out here, a bit each; see `Mirrors`. */
  mirrorsIn = 0;
  mirrorsOut = 0;
  /** Copies leave here, and nothing else may come or go. */
  isMirrorOutput = false;

  constructor(name: string) {
    this.name = name;
  }

  trunksVlan(vid: number): boolean {
    const trunks = this.settings.trunks;
    return trunks === null || ((trunks[vid >> 3] ?? 0) & (1 << (vid & 7))) !== 0;
  }

  /** Whether packets of VLAN `vid` (and customer VLAN `cvid`) go out here. */
  includesVlan(vid: number, cvid: number): boolean {
    const s = this.settings;
    switch (s.vlanMode) {
      case 'access':
        return vid === s.vlan && cvid === 0;
      case 'trunk':
      case 'native-tagged':
      case 'native-untagged':
        return this.trunksVlan(vid);
      case 'dot1q-tunnel':
        return vid === s.vlan && this.allowsCvlan(cvid);
    }
  }

  allowsCvlan(vid: number): boolean {
    const cvlans = this.settings.cvlans;
    return cvlans === null || ((cvlans[vid >> 3] ?? 0) & (1 << (vid & 7))) !== 0;
  }

  /** Whether flooded packets may leave here: no member says otherwise. */
  get floodable(): boolean {
    return this.ports.every((port) => (port.config & PC_NO_FLOOD) === 0);
  }
}
