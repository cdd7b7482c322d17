/**
 * Access to the entries of one BPF map. The system call's attributes, the key and the value stand in one block of
 * memory whose address is known beforehand, so that an access allocates nothing: some 1.3 us, of which the kernel
 * takes most. A value is copied out only by whoever wants to keep it.
 */
import { constants } from 'node:os';
import { bpf, bpfAt } from './bpf.ts';
import { addressOf, lastErrno, SystemError } from './libc.ts';

const LOOKUP = 1;
const UPDATE = 2;
const DELETE = 3;
const NEXT_KEY = 4;
const LOOKUP_AND_DELETE = 21;
const LOOKUP_BATCH = 24;
const LOOKUP_AND_DELETE_BATCH = 25;
const UPDATE_BATCH = 26;
const DELETE_BATCH = 27;

const ELEMENT_ATTR = 32;
const BATCH_ATTR = 56;
/** Room for a batch's place in the map: a bucket number, or a key. */
const MIN_CURSOR = 8;
const align = (n: number): number => (n + 7) & ~7;

/** How an update treats what is there: `any`, only if `absent`, only if `present`. */
export const UPDATE_FLAG = { any: 0, absent: 1, present: 2 } as const;

/** Single entries. Put the key into `key` (and the value into `value`), then call. */
export class MapAccess {
  readonly key: Uint8Array;
  /** What `lookup` found; what `update` stores. For a per-CPU map, one slot a possible CPU. */
  readonly value: Uint8Array;
  readonly keyView: DataView;
  readonly valueView: DataView;
  /** What `nextKey` found. */
  readonly next: Uint8Array;
  private readonly what: string;
  private readonly memory: Uint8Array;
  /** The attributes: descriptor, key, value or next key, flags; 32-bit words, addresses in two. */
  private readonly attr: Uint32Array;
  private readonly address: number;

  /** `valueSize`: in user space, that is with all CPUs' slots. `what` names the map in errors. */
  constructor(fd: number, keySize: number, valueSize: number, what: string) {
    const keyAt = ELEMENT_ATTR;
    const nextAt = keyAt + align(keySize);
    const valueAt = nextAt + align(keySize);
    // Larger than what the runtime keeps inside its heap, where it might move it.
    const size = Math.max(valueAt + align(valueSize), 256);
    this.memory = new Uint8Array(size);
    const { buffer } = this.memory;
    this.what = what;
    this.key = new Uint8Array(buffer, keyAt, keySize);
    this.next = new Uint8Array(buffer, nextAt, keySize);
    this.value = new Uint8Array(buffer, valueAt, valueSize);
    this.keyView = new DataView(buffer, keyAt, keySize);
    this.valueView = new DataView(buffer, valueAt, valueSize);
    this.attr = new Uint32Array(buffer, 0, ELEMENT_ATTR / 4);
    this.address = Number(addressOf(this.memory));
    this.attr[0] = fd;
  }

  /** Sets the addresses of key and value (undefined: none; the kernel wants what a command does not use to be 0). */
  private point(key: Uint8Array | undefined, value: Uint8Array | undefined, flags: number): void {
    const { attr } = this;
    const keyAt = key === undefined ? 0 : this.address + key.byteOffset;
    const valueAt = value === undefined ? 0 : this.address + value.byteOffset;
    attr[2] = keyAt;
    attr[3] = keyAt / 0x1_0000_0000;
    attr[4] = valueAt;
    attr[5] = valueAt / 0x1_0000_0000;
    attr[6] = flags;
  }

  /** Makes the call; false for the errno that means "no such entry". */
  private call(command: number, absent: number, verb: string): boolean {
    if (bpfAt(command, this.address, ELEMENT_ATTR) >= 0) return true;
    const errno = lastErrno();
    if (errno === absent) return false;
    throw new SystemError(`${verb} ${this.what}`, errno);
  }

  /** Copies the entry of `key` into `value`; false: there is none. */
  lookup(): boolean {
    this.point(this.key, this.value, 0);
    return this.call(LOOKUP, constants.errno.ENOENT, 'look up in');
  }

  /** Copies the entry of `key` into `value` and deletes it, in one step; false: there is none. */
  take(): boolean {
    this.point(this.key, this.value, 0);
    return this.call(LOOKUP_AND_DELETE, constants.errno.ENOENT, 'take from');
  }

  /** Stores `value` under `key`; false: `flag` forbids it. Throws E2BIG if the map is full. */
  update(flag: number): boolean {
    const { EEXIST, ENOENT } = constants.errno;
    this.point(this.key, this.value, flag);
    const refused = flag === UPDATE_FLAG.absent ? EEXIST : flag === UPDATE_FLAG.present ? ENOENT : 0;
    return this.call(UPDATE, refused, 'update');
  }

  /** Deletes the entry of `key`; false: there is none. */
  remove(): boolean {
    this.point(this.key, undefined, 0);
    return this.call(DELETE, constants.errno.ENOENT, 'delete from');
  }

  /** Puts the key that follows `key` into `next`; false: `key` was the last. A `key` that is gone: the first. */
  nextKey(first: boolean): boolean {
    this.point(first ? undefined : this.key, this.next, 0);
    return this.call(NEXT_KEY, constants.errno.ENOENT, 'walk');
  }
}

/** Zeroed bytes, never so few that the runtime might move them. */
const room = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(Math.max(size, 256)).subarray(0, size);

/** Many entries a call: 0.3 us an entry. `keys` and `values` hold `capacity` entries one after the other. */
export class MapBatch {
  capacity = 0;
  keys = new Uint8Array(0);
  values = new Uint8Array(0);
  private readonly keySize: number;
  private readonly valueSize: number;
  private readonly what: string;
  private readonly attrBytes = new Uint8Array(BATCH_ATTR);
  private readonly attr = new DataView(this.attrBytes.buffer);
  /** Two cursors: where the last call stopped, and where this one will. */
  private readonly cursors: Uint8Array;
  private readonly cursorSize: number;
  private current = 0;

  constructor(fd: number, keySize: number, valueSize: number, capacity: number, what: string) {
    this.keySize = keySize;
    this.valueSize = valueSize;
    this.what = what;
    this.cursorSize = Math.max(MIN_CURSOR, align(keySize));
    this.cursors = new Uint8Array(Math.max(2 * this.cursorSize, 256));
    this.attr.setUint32(36, fd, true);
    this.grow(capacity);
  }

  /** Makes room for `capacity` entries, in new arrays; a reading goes on where it was. */
  grow(capacity: number): void {
    this.capacity = capacity;
    this.keys = room(this.keySize * capacity);
    this.values = room(this.valueSize * capacity);
    this.attr.setBigUint64(16, addressOf(this.keys), true);
    this.attr.setBigUint64(24, addressOf(this.values), true);
  }

  /** Stores the first `count` entries; returns how many it stored before something stopped it. */
  update(count: number, flag: number): number {
    this.attr.setBigUint64(40, BigInt(flag), true);
    return this.write(UPDATE_BATCH, count, 'update');
  }

  /** Deletes the first `count` keys; stops at one that is not there, and returns how many it deleted. */
  remove(count: number): number {
    this.attr.setBigUint64(40, 0n, true);
    return this.write(DELETE_BATCH, count, 'delete from');
  }

  private write(command: number, count: number, verb: string): number {
    this.attr.setUint32(32, count, true);
    try {
      bpf(command, this.attrBytes, `${verb} ${this.what}`);
    } catch (error) {
      const { ENOENT, EEXIST } = constants.errno;
      if (!(error instanceof SystemError) || (error.errno !== ENOENT && error.errno !== EEXIST)) throw error;
    }
    return this.attr.getUint32(32, true);
  }

  /**
   * Reads the next entries of the map: `first` starts at its beginning, `take` deletes what it reads. Returns
   * how many there are and whether more follow; undefined: the next bucket of the map has more entries than
   * `capacity`; `grow` and read again.
   */
  read(first: boolean, take = false): { count: number; more: boolean } | undefined {
    const at = addressOf(this.cursors);
    const from = this.current * this.cursorSize;
    const to = (1 - this.current) * this.cursorSize;
    this.attr.setBigUint64(0, first ? 0n : at + BigInt(from), true);
    this.attr.setBigUint64(8, at + BigInt(to), true);
    this.attr.setUint32(32, this.capacity, true);
    this.attr.setBigUint64(40, 0n, true);
    let more = true;
    try {
      bpf(take ? LOOKUP_AND_DELETE_BATCH : LOOKUP_BATCH, this.attrBytes, `read ${this.what}`);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.errno === constants.errno.ENOSPC) return undefined;
      if (error.errno !== constants.errno.ENOENT) throw error;
      more = false;
    }
    this.current = 1 - this.current;
    return { count: this.attr.getUint32(32, true), more };
  }
}
