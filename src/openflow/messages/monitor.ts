import type { Match } from '../../flow/match.ts';
import type { Action } from '../actions/types.ts';
import type { Header, Multipart } from '../header.ts';

export interface FlowMonitor {
  readonly id: number;
  /** OpenFlow 1.4 and later; before it `add`. */
  readonly command: 'add' | 'modify' | 'delete';
  /** OFPFMF_* */
  readonly flags: number;
  /** OFPP_ANY: any. */
  readonly outPort: number;
  /** OFPG_ANY: any. */
  readonly outGroup: number;
  /** OFPTT_ALL: all. */
  readonly table: number;
  readonly match: Match;
}

export interface FlowMonitorRequest extends Header, Multipart {
  readonly kind: 'flow_monitor_request';
  readonly monitors: readonly FlowMonitor[];
}

/** One change of the flow tables. */
export type FlowUpdate =
  | {
      readonly event: 'initial' | 'added' | 'removed' | 'modified';
      /** OFPRR_* of `removed`; else 0. */
      readonly reason: number;
      readonly idleTimeout: number;
      readonly hardTimeout: number;
      readonly table: number;
      readonly priority: number;
      readonly cookie: bigint;
      readonly match: Match;
      readonly actions: readonly Action[];
    }
  /** The receiver's own request, by its xid. */
  | { readonly event: 'abbrev'; readonly xid: number }
  /** OpenFlow 1.4 and later; before it messages of their own. */
  | { readonly event: 'paused' | 'resumed' };

export interface FlowMonitorReply extends Header, Multipart {
  readonly kind: 'flow_monitor_reply';
  readonly updates: readonly FlowUpdate[];
}

/** Up to OpenFlow 1.3; later ones send a flow_monitor_request with command `delete`. */
export interface FlowMonitorCancel extends Header {
  readonly kind: 'flow_monitor_cancel';
  readonly id: number;
}
