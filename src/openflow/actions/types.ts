import type { Field, Subfield } from '../../flow/field.ts';

/**
 * OpenFlow actions and instructions, independent of protocol version. A list of them keeps the order
 * of the text and of the wire; instructions (goto_table, write_actions, meter, ...) stand in the same
 * list, after the apply-actions that precede them in OpenFlow's fixed instruction order.
 *
 * Ports are 32-bit OpenFlow ports. Field values are bigints, right-aligned (bit 0 least significant).
 *
 * Optional members are notes that change no meaning. `wire` names the encoding in which an action
 * arrived where there are several, so that it leaves in the same one. `flowHasVlan` and `flowProto` are
 * what {@link checkActions} knew of the packets that the flow matches; encoders for versions that have
 * no such action use them to choose a replacement.
 */
export type Action =
  | { readonly type: 'output'; readonly port: number; readonly maxLen: number }
  | { readonly type: 'output_reg'; readonly src: Subfield; readonly maxLen: number; readonly wire?: 2 }
  | { readonly type: 'output_trunc'; readonly port: number; readonly maxLen: number }
  | ControllerAction
  | { readonly type: 'enqueue'; readonly port: number; readonly queue: number }
  | { readonly type: 'group'; readonly group: number }
  | BundleAction
  | SetFieldAction
  /** `move:SRC->DST`; `src.bits === dst.bits`. */
  | { readonly type: 'reg_move'; readonly src: Subfield; readonly dst: Subfield; readonly wire?: 'onf' }
  | { readonly type: 'stack_push'; readonly subfield: Subfield }
  | { readonly type: 'stack_pop'; readonly subfield: Subfield }
  | {
      readonly type: 'set_vlan_vid';
      readonly vid: number;
      readonly pushIfNeeded: boolean;
      readonly flowHasVlan?: boolean;
    }
  | {
      readonly type: 'set_vlan_pcp';
      readonly pcp: number;
      readonly pushIfNeeded: boolean;
      readonly flowHasVlan?: boolean;
    }
  /** `pop`: written as `pop_vlan`, OpenFlow 1.1's name for it. */
  | { readonly type: 'strip_vlan'; readonly pop?: boolean }
  | { readonly type: 'push_vlan'; readonly ethertype: number }
  | { readonly type: 'set_eth_src'; readonly mac: bigint }
  | { readonly type: 'set_eth_dst'; readonly mac: bigint }
  | { readonly type: 'set_ipv4_src'; readonly ip: number }
  | { readonly type: 'set_ipv4_dst'; readonly ip: number }
  | { readonly type: 'set_ip_dscp'; readonly dscp: number }
  | { readonly type: 'set_ip_ecn'; readonly ecn: number }
  | { readonly type: 'set_ip_ttl'; readonly ttl: number }
  | { readonly type: 'set_l4_src_port'; readonly port: number; readonly flowProto?: number }
  | { readonly type: 'set_l4_dst_port'; readonly port: number; readonly flowProto?: number }
  /** `dec_ttl` or `dec_ttl(ids)`: who is told when the TTL is spent. */
  | { readonly type: 'dec_ttl'; readonly controllerIds: readonly number[]; readonly explicitIds: boolean }
  | { readonly type: 'set_mpls_label'; readonly label: number }
  | { readonly type: 'set_mpls_tc'; readonly tc: number }
  | { readonly type: 'set_mpls_ttl'; readonly ttl: number }
  | { readonly type: 'dec_mpls_ttl' }
  | { readonly type: 'dec_nsh_ttl' }
  | { readonly type: 'push_mpls'; readonly ethertype: number }
  | { readonly type: 'pop_mpls'; readonly ethertype: number }
  | { readonly type: 'set_tunnel'; readonly id: bigint; readonly ext64: boolean }
  | { readonly type: 'set_queue'; readonly queue: number }
  | { readonly type: 'pop_queue' }
  | { readonly type: 'fin_timeout'; readonly idle: number; readonly hard: number }
  | ResubmitAction
  | LearnAction
  | { readonly type: 'conjunction'; readonly id: number; readonly clause: number; readonly nClauses: number }
  | MultipathAction
  | { readonly type: 'note'; readonly data: Uint8Array }
  | { readonly type: 'exit' }
  | SampleAction
  | { readonly type: 'unroll_xlate'; readonly table: number; readonly cookie: bigint }
  | CtAction
  | { readonly type: 'ct_clear' }
  | NatAction
  | { readonly type: 'clone'; readonly actions: readonly Action[] }
  | { readonly type: 'check_pkt_larger'; readonly dst: Subfield; readonly length: number }
  | { readonly type: 'delete_field'; readonly field: Field }
  | {
      readonly type: 'encap';
      readonly packetType: number;
      readonly properties: readonly EncapProperty[];
      readonly hdrSize?: number;
    }
  | { readonly type: 'decap'; readonly packetType: number }
  /** Debugging only: force a recirculation, or the slow path. Switches take them in test mode alone. */
  | { readonly type: 'debug_recirc' }
  | { readonly type: 'debug_slow' }
  // Instructions.
  | { readonly type: 'meter'; readonly meter: number }
  | { readonly type: 'clear_actions' }
  | { readonly type: 'write_actions'; readonly actions: readonly Action[] }
  | { readonly type: 'write_metadata'; readonly metadata: bigint; readonly mask: bigint }
  | { readonly type: 'goto_table'; readonly table: number };

export type ActionType = Action['type'];
export type ActionOf<T extends ActionType> = Extract<Action, { type: T }>;

export interface ControllerAction {
  readonly type: 'controller';
  readonly maxLen: number;
  readonly controllerId: number;
  /** OFPR_* */
  readonly reason: number;
  readonly userdata: Uint8Array;
  readonly pause: boolean;
  /** 0xffffffff: none. */
  readonly meterId: number;
  /** 2: came in the newer encoding. */
  readonly wire?: 2;
}

/** `set_field:VALUE/MASK->FIELD`, and `load:VALUE->FIELD[a..b]`, which is printed as it was written. */
export interface SetFieldAction {
  readonly type: 'set_field';
  readonly field: Field;
  /**
   * Right-aligned value of the whole field, all `field.bytes` of it (vlan_vid has its "present" bit above
   * the 12 bits of the id); bits outside `mask` are 0.
   */
  readonly value: bigint;
  /** All ones over `8 * field.bytes` bits, not just `field.bits`, where the whole field is set. */
  readonly mask: bigint;
  /** reg_load2: arrived as Nicira's masked load; is written like set_field. */
  readonly form: 'set_field' | 'reg_load' | 'reg_load2';
  readonly flowHasVlan?: boolean;
}

export interface BundleAction {
  readonly type: 'bundle';
  readonly algorithm: 'active_backup' | 'hrw';
  readonly fields: HashFields;
  readonly basis: number;
  readonly members: readonly number[];
  /** bundle_load: where the chosen port goes; null: output to it. */
  readonly dst: Subfield | null;
}

export type HashFields =
  | 'eth_src'
  | 'symmetric_l4'
  | 'symmetric_l3l4'
  | 'symmetric_l3l4+udp'
  | 'nw_src'
  | 'nw_dst'
  | 'symmetric_l3';

export interface MultipathAction {
  readonly type: 'multipath';
  readonly fields: HashFields;
  readonly basis: number;
  readonly algorithm: 'modulo_n' | 'hash_threshold' | 'hrw' | 'iter_hash';
  readonly maxLink: number;
  readonly arg: number;
  readonly dst: Subfield;
}

export interface ResubmitAction {
  readonly type: 'resubmit';
  /** OFPP_IN_PORT: keep the packet's. */
  readonly inPort: number;
  /** 255: the current table. */
  readonly table: number;
  /** resubmit(port,table,ct): match the conntrack original tuple as if it were the packet's. */
  readonly withCt: boolean;
  /** 1: arrived in the encoding without a table. */
  readonly wire?: 1;
}

export interface LearnAction {
  readonly type: 'learn';
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly table: number;
  /** LEARN_F_*. */
  readonly flags: number;
  readonly finIdleTimeout: number;
  readonly finHardTimeout: number;
  readonly limit: number;
  /** Where `limit` is reached, 0 goes here and otherwise 1; null: nowhere. */
  readonly resultDst: Subfield | null;
  readonly specs: readonly LearnSpec[];
  /** 2: came in the newer encoding. */
  readonly wire?: 2;
}

export type LearnSpec =
  | { readonly kind: 'match'; readonly dst: Subfield; readonly src: Subfield | bigint }
  | { readonly kind: 'load'; readonly dst: Subfield; readonly src: Subfield | bigint }
  | { readonly kind: 'output'; readonly src: Subfield };

export interface SampleAction {
  readonly type: 'sample';
  readonly probability: number;
  readonly collectorSet: number;
  readonly obsDomain: number;
  readonly obsPoint: number;
  readonly samplingPort: number;
  readonly direction: 'default' | 'ingress' | 'egress';
  readonly wire?: 2 | 3;
}

export interface CtAction {
  readonly type: 'ct';
  readonly commit: boolean;
  readonly force: boolean;
  readonly zone: number | Subfield;
  /** 255: none. */
  readonly recircTable: number;
  /** 0, or the port of the protocol helper: 21 FTP, 69 TFTP. */
  readonly alg: number;
  /** nat(...) and set_field/move to ct_mark and ct_label. */
  readonly actions: readonly Action[];
}

export interface NatAction {
  readonly type: 'nat';
  readonly direction: 'none' | 'src' | 'dst';
  readonly persistent: boolean;
  readonly hash: boolean;
  readonly random: boolean;
  /** 4 or 16 bytes; empty where no address is given. `addressMax`: empty where there is no range. */
  readonly addressMin: Uint8Array;
  readonly addressMax: Uint8Array;
  /** 0: not given. */
  readonly portMin: number;
  readonly portMax: number;
}

export interface EncapProperty {
  readonly propClass: number;
  readonly propType: number;
  /**
   * What follows the property's 4-byte header. NSH md_type: 1 byte. NSH TLV: class (2), type (1),
   * length (1), then that many bytes of value, without padding.
   */
  readonly data: Uint8Array;
}
