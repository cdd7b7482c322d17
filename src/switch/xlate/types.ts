import type { DpAction, SlowPathReason } from '../../datapath/types.ts';
import type { FlowArena } from '../../flow/flow-arena.ts';
import type { Flow } from '../../flow/layout.ts';
import type { Action, ActionOf } from '../../openflow/actions/types.ts';
import type { Dependencies } from '../ofproto/dependencies.ts';
import type { Group } from '../ofproto/group.ts';
import type { Mirror } from '../ofproto/mirror.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { Bundle, OfPort } from '../ofproto/port.ts';
import type { Rule } from '../ofproto/rule.ts';
import type { FrozenState } from './frozen.ts';
import type { TraceSink } from './report.ts';

/** Why a translation was given up. The packet is dropped; the reason is shown by traces and counters. */
export type XlateError =
  | 'ok'
  | 'bridge-not-found'
  | 'recursion-too-deep'
  | 'too-many-resubmits'
  | 'stack-too-deep'
  | 'no-recirculation-context'
  | 'recirculation-conflict'
  | 'too-many-mpls-labels'
  | 'invalid-tunnel-metadata'
  | 'unsupported-packet-type'
  | 'forwarding-disabled';

/** Packets and bytes that a translation stands for, credited to what they pass. */
export interface TrafficStats {
  packets: number;
  bytes: number;
  /** Clock.now() ms */
  used: number;
  tcpFlags: number;
}

/**
 * Something that happens again, with the statistics of the packets that a megaflow carries, each time
 * that its counters are pushed: the translation cache. Without it each push would need a translation.
 */
export type CacheEntry =
  | { readonly type: 'rule'; readonly rule: Rule; readonly ofproto: Ofproto }
  | { readonly type: 'table'; readonly ofproto: Ofproto; readonly table: number; readonly matched: boolean }
  | { readonly type: 'port'; readonly port: OfPort; readonly direction: 'rx' | 'tx' }
  | {
      readonly type: 'normal';
      readonly ofproto: Ofproto;
      readonly inPort: number;
      readonly mac: number;
      readonly vlan: number;
      readonly gratuitousArp: boolean;
    }
  | {
      readonly type: 'fin-timeout';
      readonly ofproto: Ofproto;
      readonly rule: Rule;
      readonly idle: number;
      readonly hard: number;
    }
  | { readonly type: 'learn'; readonly apply: () => void }
  | { readonly type: 'mirror'; readonly mirror: Mirror }
  | { readonly type: 'group'; readonly group: Group; readonly bucket: number | null };

/** A packet that goes through conntrack and comes back with its verdict. */
export interface Fork {
  readonly recircId: number;
  readonly flow: Flow;
  readonly zone: number;
  readonly nat: ActionOf<'nat'> | null;
}

/** What is given to a translation. Nothing in it is changed, but for what `effects` says. */
export interface XlateInput {
  readonly ofproto: Ofproto;
  /** Key with OpenFlow port numbers. */
  readonly flow: Flow;
  /** The packet itself, if there is one: a trace or a revalidation has none. */
  readonly packet: Uint8Array | null;
  readonly tcpFlags: number;
  /** Translates this rule instead of looking one up. */
  readonly rule?: Rule;
  /** Translates these actions instead of a rule's (packet-out). */
  readonly actions?: readonly Action[];
  /** The translation that a recirculated packet goes on with. */
  readonly frozen?: FrozenState;
  /** Learning, controller messages and flow changes may happen. */
  readonly effects: boolean;
  /** Credit these at once to what the packet passes. */
  readonly stats?: TrafficStats;
  /** Collect what to credit later. */
  readonly cache?: CacheEntry[];
  /** Collects what of the switch's state the outcome depends on. */
  readonly dependencies?: Dependencies;
  readonly trace?: TraceSink;
  /** Collects the packets that conntrack will bring back, for a trace that goes on with them. */
  readonly forks?: Fork[];
  readonly inPacketOut?: boolean;
  /** Version of the tables to look in; default: the newest. */
  readonly version?: number;
  /** Where keys that are needed meanwhile come from, those of the output among them; default: none are shared. */
  readonly arena?: FlowArena;
  /** How deep this translation is nested in others (a continuation, say). */
  readonly depth?: number;
  readonly resubmits?: number;
}

/** What comes out of a translation. */
export interface XlateOutput {
  readonly actions: DpAction[];
  /** Every bit of the input key that the outcome depends on. */
  readonly wc: Flow;
  /** Why the packet must be handled in the slow path; empty if the datapath can do it. */
  readonly slow: Set<SlowPathReason>;
  readonly error: XlateError;
  /** Recirculation ids that the actions refer to; to be released with the megaflow. */
  readonly recircs: number[];
  /** Key at the end of the pipeline. */
  readonly finalFlow: Flow;
  readonly outputs: number;
}

/** A VLAN tag in the bridge's own view. */
export interface Tag {
  tpid: number;
  vid: number;
  /** PCP in place: bits 13 to 15. */
  pcp: number;
  /** Which of the packet's own tags it is; null: none of them. */
  readonly from: number | null;
}

export interface InputBundle {
  readonly bundle: Bundle;
  readonly port: OfPort | null;
}

/** Where a translation gives up. */
export const MAX_DEPTH = 64;
export const MAX_RESUBMITS = 64 * 64;
/** Bytes of the value stack. */
export const MAX_STACK = 65536;
/** Outputs that the datapath is trusted with in one list; more are handled in the slow path. */
export const MAX_OUTPUTS = 128;
/** Bound on the number of datapath actions of one translation. */
export const MAX_DP_ACTIONS = 4096;
