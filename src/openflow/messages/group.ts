import type { Field } from '../../flow/field.ts';
import type { Action } from '../actions/types.ts';
import type { Header, Multipart } from '../header.ts';

export type GroupCommand =
  | 'add'
  | 'modify'
  | 'delete'
  | 'insert_bucket'
  | 'remove_bucket'
  /** Open vSwitch's own: add, or modify what exists. */
  | 'add_or_mod';

export type GroupType = 'all' | 'select' | 'indirect' | 'ff';

export interface Bucket {
  /** OpenFlow 1.5; before it decoders number them from 0. */
  readonly id: number;
  /** For select groups; else 0. */
  readonly weight: number;
  /** OFPP_ANY: none. */
  readonly watchPort: number;
  /** OFPG_ANY: none. */
  readonly watchGroup: number;
  readonly actions: readonly Action[];
}

/** How a select group selects (a Netronome extension); method '' is the switch's own. */
export interface GroupSelection {
  /** Up to 15 bytes: `hash`, `dp_hash`, or ''. */
  readonly method: string;
  readonly param: bigint;
  /** Fields to hash, and which of their bits. */
  readonly fields: readonly { readonly field: Field; readonly mask: bigint }[];
}

export interface GroupMod extends Header {
  readonly kind: 'group_mod';
  readonly command: GroupCommand;
  readonly type: GroupType;
  readonly group: number;
  /** For insert_bucket and remove_bucket; else OFPG_BUCKET_ALL. */
  readonly commandBucket: number;
  readonly buckets: readonly Bucket[];
  readonly selection: GroupSelection;
}

export interface GroupDesc {
  readonly type: GroupType;
  readonly group: number;
  readonly buckets: readonly Bucket[];
  readonly selection: GroupSelection;
}

export interface GroupDescRequest extends Header {
  readonly kind: 'group_desc_request';
  /** OFPG_ALL: all; before OpenFlow 1.5 always so. */
  readonly group: number;
}

export interface GroupDescReply extends Header, Multipart {
  readonly kind: 'group_desc_reply';
  readonly groups: readonly GroupDesc[];
}
