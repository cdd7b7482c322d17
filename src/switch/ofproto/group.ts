import { maskField } from '../../flow/field-access.ts';
import { newFlow } from '../../flow/layout.ts';
import type { Bucket as BucketSpec, GroupSelection, GroupType } from '../../openflow/messages/group.ts';

export type { GroupType };

/** A bucket of a running group: what was asked for, and what it has carried. */
export interface Bucket extends BucketSpec {
  packets: number;
  bytes: number;
}

/** How a select group chooses a bucket. */
export interface SelectionMethod {
  /** "" (by default), "hash" or "dp_hash". */
  readonly method: string;
  readonly param: bigint;
  /** Fields for "hash", as a mask of a flow key; null: none named. */
  readonly fields: Uint32Array | null;
}

/** One OpenFlow group. A modification makes a new one, so that a translation under way sees one whole. */
export class Group {
  readonly id: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
  readonly selection: SelectionMethod;
  /** The selection as the controller gave it. */
  readonly given: GroupSelection;
  /** Clock.now() ms. */
  readonly created: number;
  readonly modified: number;
  packets = 0;
  bytes = 0;

  constructor(spec: {
    id: number;
    type: GroupType;
    buckets: readonly BucketSpec[];
    selection: GroupSelection;
    now: number;
    /** The group that this one replaces. */
    replaces?: Group;
  }) {
    this.id = spec.id;
    this.type = spec.type;
    this.buckets = spec.buckets.map((bucket) => ({ ...bucket, packets: 0, bytes: 0 }));
    this.given = spec.selection;
    this.selection = selectionMethod(spec.selection);
    this.created = spec.replaces?.created ?? spec.now;
    this.modified = spec.now;
  }

  /** Counts traffic; `bucket` null: all buckets have it. */
  credit(bucket: number | null, packets: number, bytes: number): void {
    this.packets += packets;
    this.bytes += bytes;
    if (bucket !== null) {
      this.buckets[bucket].packets += packets;
      this.buckets[bucket].bytes += bytes;
    } else {
      for (const each of this.buckets) {
        each.packets += packets;
        each.bytes += bytes;
      }
    }
  }
}

function selectionMethod({ method, param, fields }: GroupSelection): SelectionMethod {
  if (fields.length === 0) return { method, param, fields: null };
  const mask = newFlow();
  for (const { field, mask: bits } of fields) maskField(mask, field, bits);
  return { method, param, fields: mask };
}
