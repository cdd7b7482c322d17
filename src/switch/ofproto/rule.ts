import type { MiniMatch } from '../../flow/match.ts';
import type { Action } from '../../openflow/actions/types.ts';

/** OFPFF_* flags of a flow. */
export const FF_SEND_FLOW_REM = 1 << 0;
export const FF_CHECK_OVERLAP = 1 << 1;
export const FF_RESET_COUNTS = 1 << 2;
export const FF_NO_PKT_COUNTS = 1 << 3;
export const FF_NO_BYT_COUNTS = 1 << 4;
/** Weft-internal: not shown to controllers (in-band, fail-open, table-miss defaults). */
export const FF_HIDDEN = 1 << 12;

/**
 * One OpenFlow flow. Its match, priority and table are fixed; a modification that changes actions makes
 * a new rule in the next version, so that a packet in translation sees one whole version.
 */
export class Rule {
  readonly table: number;
  readonly match: MiniMatch;
  readonly priority: number;
  readonly cookie: bigint;
  readonly actions: readonly Action[];
  readonly flags: number;
  readonly importance: number;
  idleTimeout: number;
  hardTimeout: number;
  /** Clock.now() ms: first added, last modified, last hit. */
  created: number;
  modified: number;
  used: number;
  packets = 0;
  bytes = 0;
  /** First version that sees the rule. */
  addVersion = 0;
  /** First version that doesn't see it any more. */
  removeVersion: number = Number.MAX_SAFE_INTEGER;
  removed = false;

  constructor(spec: {
    table: number;
    match: MiniMatch;
    priority: number;
    cookie: bigint;
    actions: readonly Action[];
    flags: number;
    importance: number;
    idleTimeout: number;
    hardTimeout: number;
    now: number;
  }) {
    this.table = spec.table;
    this.match = spec.match;
    this.priority = spec.priority;
    this.cookie = spec.cookie;
    this.actions = spec.actions;
    this.flags = spec.flags;
    this.importance = spec.importance;
    this.idleTimeout = spec.idleTimeout;
    this.hardTimeout = spec.hardTimeout;
    this.created = spec.now;
    this.modified = spec.now;
    this.used = spec.now;
  }

  /** Counts traffic that the rule has carried; `used` in Clock.now() ms. */
  credit(packets: number, bytes: number, used: number): void {
    this.packets += packets;
    this.bytes += bytes;
    if (used > this.used) this.used = used;
  }

  /** A flow of priority 0 that matches everything: OpenFlow 1.3's table-miss flow. */
  get isTableMiss(): boolean {
    return this.priority === 0 && this.match.isCatchAll;
  }
}
