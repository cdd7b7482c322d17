import type { WeftError } from '../base/errors.ts';
import type { Flow } from '../flow/layout.ts';
import type { DatapathConnections } from './conntrack/connections.ts';

/**
 * The seam between the slow path (`switch`) and whatever forwards packets: the userspace datapath, in
 * this process or in a worker, and the eBPF one.
 *
 * The slow path is the only writer of megaflows, which are disjoint: two that overlap never stand in a
 * datapath at once. All calls are synchronous for the caller and take effect in the order in which they
 * were made; a datapath that lives elsewhere (a worker, the kernel) keeps that order. Statistics may
 * lag behind by a few milliseconds there, and are exact after `flush()`.
 */
export interface Datapath {
  /** "netdev@ovs-netdev", "system@ovs-system", "dummy@ovs-dummy": type and name. */
  readonly type: string;
  readonly name: string;
  readonly features: DatapathFeatures;

  /**
   * Adds a port and returns its number: `wanted` if that is free, else the lowest free one (0 is the
   * datapath's own local port).
   * @throws WeftError `no-such-device`, `port-exists`, `no-port-number-left`, ... with the reason as
   * Open vSwitch users know it ("No such device").
   */
  portAdd(spec: PortSpec, wanted?: number): number;
  portDelete(port: number): void;
  ports(): readonly DatapathPort[];
  portStats(port: number): PortStats;

  /** Installs a megaflow, or replaces the actions of the one with the same key and mask. */
  flowPut(flow: MegaflowSpec): MegaflowId;
  /** Removes it; the counters that it had at the end are returned. */
  flowDelete(id: MegaflowId): FlowStats;
  /** The same for many at once, in one exchange with whoever forwards. */
  flowDeleteAll(ids: readonly MegaflowId[]): FlowStats[];
  flowStats(id: MegaflowId): FlowStats;
  /**
   * `flowPut` for many at once, in one exchange with whoever forwards; in place of the id stands the error
   * that `flowPut` would have thrown. Only where that pays: call it by `putFlows` (batch.ts).
   */
  flowPutAll?(flows: readonly MegaflowSpec[]): (MegaflowId | WeftError)[];
  /**
   * `flowStats` for many at once: the counters of `ids[i]` go to row i. Only where that pays: call it by
   * `readFlowStats` (batch.ts).
   */
  flowStatsAll?(ids: Int32Array, rows: FlowStatsRows): void;
  /** Number of megaflows installed. */
  readonly flowCount: number;
  /** Distinct masks in use. */
  readonly maskCount: number;

  /** Runs actions on a packet as if it had come in with these metadata. */
  execute(packet: ExecuteRequest): void;

  /**
   * Makes a meter, for `meter` actions, or replaces the one of that number: full buckets, counters 0. Packets of a meter
   * that is not there pass.
   */
  meterSet(meter: number, config: MeterConfig): void;
  meterDelete(meter: number): void;
  meterCounts(meter: number): MeterCounts;

  /** What `ct` actions track. */
  readonly connections: DatapathConnections;

  /**
   * Who is called for packets without a megaflow and for `userspace` actions. The packet's bytes are
   * only valid during the call. Until it is set, such packets are dropped and counted.
   */
  setUpcallHandler(handler: (upcall: Upcall) => void): void;

  /**
   * Sets who is told that all megaflows are gone, because whatever forwards had to be started anew.
   * A datapath that never does that has no such method.
   */
  setResetHandler?(handler: () => void): void;

  /**
   * Ends what an earlier process left forwarding, after all its megaflows have been offered to `adopt`: with the ports'
   * numbers of today, and with the key's bits under the mask only. `adopt` decides by the tables of today, installs a
   * megaflow (or none: null), and returns its id; it goes on with the old one's counters. To be called once, when ports
   * and tables are in place. Only datapaths that outlive processes have such a method.
   */
  takeOver?(adopt: (key: Flow, mask: Flow) => MegaflowId | null): void;
  /** Closes this process's part of such a datapath, which goes on forwarding what it knows. */
  leave?(): Promise<void>;

  stats(): DatapathStats;
  /** Packets that the datapath dropped itself, by reason ("explicit", "recirculation-depth", ...). */
  drops(): Readonly<Record<string, number>>;
  /** Resolves when all that was asked before has taken effect and the counters are exact. */
  flush(): Promise<void>;
  /** Hands over periodic work (expiry of datapath-internal caches). Returns nothing to wait for. */
  close(): Promise<void>;
}

export interface DatapathFeatures {
  readonly maxVlanHeaders: number;
  readonly maxMplsDepth: number;
  readonly recirc: boolean;
  readonly ct: boolean;
  readonly clone: boolean;
  readonly sampleNesting: number;
  readonly checkPktLen: boolean;
}

/** What a port is opened on. */
export interface PortSpec {
  readonly name: string;
  /**
   * "system": an existing network device; "tap" and "internal": a tap device that the datapath makes;
   * "dummy": no device, packets come by `DummyPort.receive`; "vxlan", "geneve", "gre": tunnels to
   * wherever a `set(tunnel(...))` in front of the output says, `options` dst_port naming the UDP port and
   * exts=gbp VXLAN's group policies.
   */
  readonly type: string;
  readonly options?: ReadonlyMap<string, string>;
  /** Network namespace in which the device is, as a path ("/run/netns/x"); none: this process's own. */
  readonly netns?: string;
}

export interface DatapathPort {
  readonly port: number;
  readonly name: string;
  readonly type: string;
}

export interface PortStats {
  rxPackets: number;
  rxBytes: number;
  rxErrors: number;
  rxDropped: number;
  txPackets: number;
  txBytes: number;
  txErrors: number;
  txDropped: number;
}

/** A limit that packets pass or are dropped at. */
export interface MeterConfig {
  readonly unit: 'packets' | 'kilobits';
  /** At most 8. */
  readonly bands: readonly MeterBand[];
}

/** Drops what exceeds it. */
export interface MeterBand {
  /** Packets or kilobits a second; not 0. */
  readonly rate: number;
  /** Packets or kilobits that may come at once. */
  readonly burst: number;
}

export interface MeterCounts {
  /** All that came to the meter. */
  readonly packets: number;
  readonly bytes: number;
  /** What each band dropped. */
  readonly bands: readonly { readonly packets: number; readonly bytes: number }[];
}

/** Names a megaflow while it is installed. Ids are reused after deletion. */
export type MegaflowId = number;

export interface MegaflowSpec {
  /** Bits outside the mask are 0. `in_port` is the datapath's port number. */
  readonly key: Flow;
  readonly mask: Flow;
  readonly actions: readonly DpAction[];
}

export interface FlowStats {
  packets: number;
  bytes: number;
  /** Clock.now() milliseconds of the last packet; 0: never used. */
  used: number;
  /** TCP flags seen, ORed. */
  tcpFlags: number;
}

/** The counters of many megaflows, one row each: as `FlowStats`. */
export interface FlowStatsRows {
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  readonly used: Float64Array;
  readonly tcpFlags: Uint16Array;
}

export interface DatapathStats {
  hits: number;
  missed: number;
  lost: number;
  microflowHits: number;
  masksSearched: number;
}

export interface ExecuteRequest {
  readonly packet: Uint8Array;
  /** Metadata (in_port, tunnel, marks, recirc_id, ct) from which the packet's key starts. */
  readonly flow: Flow;
  readonly actions: readonly DpAction[];
  /** The upcall's, when the packet is one that came up; none: there is nothing left to do on it. */
  readonly offload?: PacketOffload | null;
}

/**
 * What a device left for the sender to do on a packet, as in virtio_net_hdr: sum the bytes from
 * `csumStart` (-1: no) and store the complement `csumOffset` bytes further; cut the payload into
 * segments of `gsoSize` bytes as `gsoType` says (0: no).
 */
export interface PacketOffload {
  readonly csumStart: number;
  readonly csumOffset: number;
  readonly gsoType: number;
  readonly gsoSize: number;
}

export interface Upcall {
  readonly kind: 'miss' | 'action';
  /** Valid during the call only. */
  readonly packet: Uint8Array;
  /** Key extracted from the packet, with metadata. Valid during the call only. */
  readonly flow: Flow;
  /** What a `userspace` action carried. */
  readonly userdata: UserspaceCookie | null;
  /** Where the packet goes on after the slow path is done with it, for actions that must be executed there. */
  readonly actions: readonly DpAction[] | null;
  /** Not null for a packet longer than a wire takes (GSO): hand it back with `execute`. */
  readonly offload?: PacketOffload | null;
}

/** Why a packet goes up by action. */
export type UserspaceCookie =
  /** The slow path translates and executes it: something the datapath can't do. */
  | { readonly type: 'slow_path'; readonly reason: SlowPathReason }
  | {
      readonly type: 'controller';
      readonly reason: number;
      readonly recircId: number;
      readonly ruleCookie: bigint;
      readonly controllerId: number;
      readonly maxLen: number;
      readonly dontSend: boolean;
      readonly continuation: boolean;
    }
  | {
      readonly type: 'sflow' | 'flow_sample' | 'ipfix';
      readonly collectorSet: number;
      readonly obsDomain: number;
      readonly obsPoint: number;
      readonly outputPort: number;
      /** `sflow`: the packet's tag. */
      readonly vlanTci?: number;
      /** `flow_sample`: out of 65535, and on which side of the switch. */
      readonly probability?: number;
      readonly direction?: 'default' | 'ingress' | 'egress';
    };

/** 'none': a text said slow_path(0). */
export type SlowPathReason =
  | 'none'
  | 'cfm'
  | 'bfd'
  | 'lacp'
  | 'stp'
  | 'lldp'
  | 'controller'
  | 'action'
  | 'match';

/**
 * What a datapath does to a packet, in order. Ports are datapath port numbers. `set` writes the bits
 * of `mask` in the packet's headers or metadata, named as flow-key words, so that one mechanism serves
 * all fields: value and mask are sparse lists of (word, value, mask). A set of group "tunnel" replaces
 * the tunnel as a whole: its words that are not listed become 0.
 */
export type DpAction =
  | { readonly type: 'output'; readonly port: number }
  | { readonly type: 'drop'; readonly reason: string }
  | {
      readonly type: 'userspace';
      readonly cookie: UserspaceCookie;
      readonly pid: number;
      /** The megaflow's actions go up with the packet. */
      readonly includeActions?: boolean;
      /** Port whose tunnel key goes up with the packet. */
      readonly tunnelOutPort?: number;
    }
  | { readonly type: 'set'; readonly group: SetGroup; readonly words: readonly SetWord[] }
  | { readonly type: 'push_vlan'; readonly tpid: number; readonly tci: number }
  | { readonly type: 'pop_vlan' }
  | { readonly type: 'push_mpls'; readonly ethertype: number; readonly lse: number }
  | { readonly type: 'pop_mpls'; readonly ethertype: number }
  | { readonly type: 'push_eth'; readonly dst: bigint; readonly src: bigint }
  | { readonly type: 'pop_eth' }
  | { readonly type: 'recirc'; readonly id: number }
  | { readonly type: 'hash'; readonly algorithm: number; readonly basis: number }
  | { readonly type: 'trunc'; readonly maxLen: number }
  | { readonly type: 'sample'; readonly probability: number; readonly actions: readonly DpAction[] }
  | { readonly type: 'clone'; readonly actions: readonly DpAction[] }
  | { readonly type: 'meter'; readonly meter: number }
  | {
      readonly type: 'check_pkt_len';
      readonly length: number;
      readonly greater: readonly DpAction[];
      readonly lessEqual: readonly DpAction[];
    }
  | { readonly type: 'ct_clear' }
  | DpCtAction;

export interface DpCtAction {
  readonly type: 'ct';
  readonly commit: boolean;
  readonly force: boolean;
  readonly zone: number;
  readonly mark: { readonly value: number; readonly mask: number } | null;
  readonly label: { readonly value: bigint; readonly mask: bigint } | null;
  readonly helper: string;
  /** Name of a timeout policy; none: the default. */
  readonly timeout?: string;
  readonly nat: {
    readonly direction: 'none' | 'src' | 'dst';
    readonly addressMin: Uint8Array;
    readonly addressMax: Uint8Array;
    readonly portMin: number;
    readonly portMax: number;
    readonly persistent: boolean;
    readonly hash: boolean;
    readonly random: boolean;
  } | null;
}

/** The header that a `set` belongs to, as `set(eth(...))`, `set(ipv4(...))` are printed. */
export type SetGroup =
  | 'eth'
  | 'ipv4'
  | 'ipv6'
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'icmp'
  | 'icmpv6'
  | 'nd'
  | 'nd_ext'
  | 'arp'
  | 'mpls'
  | 'tunnel'
  | 'skb_priority'
  | 'skb_mark'
  | 'ct_mark'
  | 'nsh'
  // Forms that texts allow and no datapath executes.
  | 'in_port'
  | 'recirc_id'
  | 'dp_hash'
  | 'eth_type'
  | 'vlan'
  | 'tcp_flags';

export interface SetWord {
  /** Index in the flow key. */
  readonly word: number;
  readonly value: number;
  readonly mask: number;
}
