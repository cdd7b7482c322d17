import type { Action } from '../../openflow/actions/types.ts';

export type GroupType = 'all' | 'select' | 'indirect' | 'ff';

export interface Bucket {
  readonly id: number;
  readonly weight: number;
  /** OFPP_ANY: none. */
  readonly watchPort: number;
  /** OFPG_ANY: none. */
  readonly watchGroup: number;
  readonly actions: readonly Action[];
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

/** One OpenFlow group. */
export class Group {
  readonly id: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
  readonly selection: SelectionMethod;
  readonly created: number;
  modified: number;
  packets = 0;
  bytes = 0;

  constructor(spec: {
    id: number;
    type: GroupType;
    buckets: readonly Bucket[];
    selection: SelectionMethod;
    now: number;
  }) {
    this.id = spec.id;
    this.type = spec.type;
    this.buckets = spec.buckets;
    this.selection = spec.selection;
    this.created = spec.now;
    this.modified = spec.now;
  }

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
