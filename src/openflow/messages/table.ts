import type { Header, Multipart } from '../header.ts';
import type { TableFeatures } from './table-features.ts';

/** What becomes of packets that miss; OpenFlow 1.1 and 1.2 only, elsewhere `default`. */
export type TableMiss = 'default' | 'controller' | 'continue' | 'drop';

export interface Vacancy {
  /** Percent of the table that is free: event when it falls below, or rises above. */
  readonly down: number;
  readonly up: number;
  /** As it is now; 0 in requests. */
  readonly current: number;
}

/** OpenFlow 1.4 and later, but for the id. */
export interface TableConfig {
  /** OFPTT_ALL: all, in a table mod. */
  readonly table: number;
  /** null: not said. */
  readonly eviction: boolean | null;
  /** OFPTMPEF_*; null: not said. */
  readonly evictionFlags: number | null;
  readonly vacancyEvents: boolean | null;
  readonly vacancy: Vacancy | null;
}

export interface TableMod extends Header, TableConfig {
  readonly kind: 'table_mod';
  readonly miss: TableMiss;
}

export interface TableDescReply extends Header, Multipart {
  readonly kind: 'table_desc_reply';
  readonly tables: readonly TableConfig[];
}

export interface TableStatus extends Header {
  readonly kind: 'table_status';
  /** OFPTR_* */
  readonly reason: number;
  readonly desc: TableConfig;
}

export interface TableStats {
  readonly table: number;
  readonly activeCount: number;
  readonly lookupCount: bigint;
  readonly matchedCount: bigint;
  /** Up to OpenFlow 1.2, whose table stats tell features too; null from 1.3 on. */
  readonly features: TableFeatures | null;
}

export interface TableStatsReply extends Header, Multipart {
  readonly kind: 'table_stats_reply';
  readonly tables: readonly TableStats[];
}
