import { maskField } from '../../flow/field-access.ts';
import { newFlow } from '../../flow/layout.ts';
import type { Bucket as BucketSpec, GroupSelection, GroupType } from '../../openflow/messages/group.ts';
import { describeSlots, hashSlots } from './hash-slots.ts';

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

/** The datapath's hash algorithms. */
const HASH_L4 = 0;
const HASH_SYM_L4 = 1;

/** One OpenFlow group. A modification makes a new one, so that a translation under way sees one whole. */
export class Group {
  readonly id: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
  readonly selection: SelectionMethod;
  /** Of a select group that the datapath's hash chooses for: buckets by hash; null: that can't choose for it. */
  readonly slots: Uint16Array | null;
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
    const hashed = spec.type === 'select' && this.selection.method !== 'hash';
    this.slots = hashed ? hashSlots(this.buckets.map(({ weight }) => weight)) : null;
    this.created = spec.replaces?.created ?? spec.now;
    this.modified = spec.now;
  }

  /** The datapath's algorithm for a select group's hash; without a method, both directions of a connection meet in one bucket. */
  get algorithm(): number {
    const { method, param } = this.selection;
    return method !== 'dp_hash' || Number(param >> 32n) === HASH_SYM_L4 ? HASH_SYM_L4 : HASH_L4;
  }

  /** How a select group chooses, for the debug log, in the words of Open vSwitch. */
  describeSelection(): string[] {
    const { method, param, fields } = this.selection;
    const lines = [`Constructing select group ${this.id}`];
    if (method === 'hash') {
      lines.push('Selection method specified: hash.');
      if (fields === null) lines.push('No hash fields. Falling back to default hash method.');
      return lines;
    }
    lines.push(
      method === ''
        ? 'No selection method specified. Trying dp_hash.'
        : `Selection method specified: ${method}.`,
      ...describeSlots(this.buckets, this.slots),
    );
    if (this.slots !== null && method === 'dp_hash' && param >> 32n > 1n) {
      lines.push(`Invalid dp_hash algorithm ${param >> 32n}. Defaulting to OVS_HASH_ALG_L4`);
    }
    lines.push(
      this.slots === null
        ? 'Falling back to default hash method.'
        : `Use dp_hash with ${this.slots.length} hash values using algorithm ${this.algorithm}.`,
    );
    return lines;
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
