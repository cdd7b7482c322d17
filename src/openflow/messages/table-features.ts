import type { Field } from '../../flow/field.ts';
import type { Header, Multipart } from '../header.ts';
import type { TableMiss } from './table.ts';

/** Instructions by name, as features tell them. */
export type InstructionName =
  | 'meter'
  | 'apply_actions'
  | 'clear_actions'
  | 'write_actions'
  | 'write_metadata'
  | 'stat_trigger'
  | 'goto_table';

/** Standard actions by name, as features tell them. */
export type ActionName =
  | 'output'
  | 'set_field'
  | 'set_vlan_vid'
  | 'set_vlan_pcp'
  | 'strip_vlan'
  | 'push_vlan'
  | 'mod_dl_src'
  | 'mod_dl_dst'
  | 'mod_nw_src'
  | 'mod_nw_dst'
  | 'mod_nw_tos'
  | 'mod_nw_ecn'
  | 'mod_tp_src'
  | 'mod_tp_dst'
  | 'enqueue'
  | 'set_queue'
  | 'group'
  | 'set_mpls_label'
  | 'set_mpls_tc'
  | 'set_mpls_ttl'
  | 'dec_mpls_ttl'
  | 'push_mpls'
  | 'pop_mpls'
  | 'mod_nw_ttl'
  | 'dec_ttl'
  | 'copy_field'
  | 'meter';

export interface ActionFeatures {
  readonly actions: readonly ActionName[];
  /** Fields that a set-field action may set. */
  readonly setFields: readonly Field[];
}

/** What flows of a table can do. */
export interface InstructionFeatures {
  readonly instructions: readonly InstructionName[];
  /** Tables that goto_table may go to, ascending. */
  readonly nextTables: readonly number[];
  readonly write: ActionFeatures;
  readonly apply: ActionFeatures;
}

export interface TableFeatures {
  /** OpenFlow 1.5; before it `replace`. */
  readonly command: 'replace' | 'modify' | 'enable' | 'disable';
  readonly table: number;
  /** Up to 31 bytes. */
  readonly name: string;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  readonly maxEntries: number;
  /** OpenFlow 1.1 and 1.2. */
  readonly miss: TableMiss;
  /** OpenFlow 1.4 and later; null before. */
  readonly supportsEviction: boolean | null;
  readonly supportsVacancyEvents: boolean | null;
  /** False: the request had no properties, and so changes nothing of what follows. */
  readonly anyProperties: boolean;
  /** Of ordinary flows, and of the flow of priority 0 that matches all. */
  readonly nonmiss: InstructionFeatures;
  readonly missFlow: InstructionFeatures;
  /** Fields that can be matched; a subset of them that need not be; and one that can have any mask. */
  readonly match: readonly Field[];
  readonly wildcard: readonly Field[];
  readonly mask: readonly Field[];
}

/** With tables in the request, it asks to change them. */
export interface TableFeaturesMessage extends Header, Multipart {
  readonly kind: 'table_features_request' | 'table_features_reply';
  readonly tables: readonly TableFeatures[];
}
