import type { Match } from '../../flow/match.ts';
import type { Action } from '../actions/types.ts';
import type { Header } from '../header.ts';

export type FlowModCommand = 'add' | 'modify' | 'modify_strict' | 'delete' | 'delete_strict';

export interface FlowModFields {
  readonly command: FlowModCommand;
  readonly match: Match;
  readonly priority: number;
  /** Affects only flows whose cookie has these bits where `cookieMask` has ones; 0/0 for add. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  /** Cookie of a flow added or, if `modifyCookie`, modified; UINT64_MAX: none, so modify adds nothing. */
  readonly newCookie: bigint;
  readonly modifyCookie: boolean;
  /** OFPTT_ALL: the switch chooses (add) or all tables. */
  readonly table: number;
  /** Seconds; 0: never. */
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** For delete: only flows that output there; OFPP_ANY: any. */
  readonly outPort: number;
  /** OFPG_ANY: any. */
  readonly outGroup: number;
  /** FF_* */
  readonly flags: number;
  /** Eviction precedence; OpenFlow 1.4 and later. */
  readonly importance: number;
  readonly actions: readonly Action[];
}

export interface FlowMod extends Header, FlowModFields {
  readonly kind: 'flow_mod';
}
