/**
 * Maps: the memory that programs and we share. A map is opened with codecs for its keys and values; a program refers
 * to it by the object itself (`ldMap(R1, flows)`). Everything here is a system call, so reads of many entries
 * go in batches.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { WeftError } from '../base/errors.ts';
import { createMap, MAP_FLAG, MAP_TYPE, mapInfo, openPinned, pin } from '../sys/bpf.ts';
import { MapAccess, MapBatch, UPDATE_FLAG } from '../sys/bpf-map.ts';
import { close, SystemError } from '../sys/libc.ts';
import { MemoryMap, pageSize } from '../sys/memory-map.ts';
import { type Codec, list, u32 } from './codec.ts';

/** How many entries one system call reads or writes. */
const BATCH = 1024;
/** A batch read grows up to this where one bucket of a hash holds more. */
const MAX_BATCH = 1 << 20;

/** Kinds of maps with entries; a ring buffer has a class of its own (ring-buffer.ts). */
export type MapKind =
  | 'hash'
  | 'array'
  | 'percpu-hash'
  | 'percpu-array'
  | 'lru-hash'
  | 'lru-percpu-hash'
  | 'lpm-trie'
  | 'program-array'
  | 'array-of-maps'
  | 'hash-of-maps'
  | 'devmap'
  | 'devmap-hash';

const TYPES: Readonly<Record<MapKind, number>> = {
  hash: MAP_TYPE.hash,
  array: MAP_TYPE.array,
  'percpu-hash': MAP_TYPE.percpuHash,
  'percpu-array': MAP_TYPE.percpuArray,
  'lru-hash': MAP_TYPE.lruHash,
  'lru-percpu-hash': MAP_TYPE.lruPercpuHash,
  'lpm-trie': MAP_TYPE.lpmTrie,
  'program-array': MAP_TYPE.programArray,
  'array-of-maps': MAP_TYPE.arrayOfMaps,
  'hash-of-maps': MAP_TYPE.hashOfMaps,
  devmap: MAP_TYPE.devmap,
  'devmap-hash': MAP_TYPE.devmapHash,
};
const NO_BATCH: ReadonlySet<MapKind> = new Set(['program-array', 'devmap', 'devmap-hash']);

export interface MapSpec<K, V> {
  readonly kind: MapKind;
  /** The kernel keeps 15 bytes of it. */
  readonly name: string;
  readonly key: Codec<K>;
  /** What programs see; of a per-CPU map, one CPU's. */
  readonly value: Codec<V>;
  readonly maxEntries: number;
  /**
   * Hashes: memory for all entries at once (default), or as they come. A trie always takes it as they come.
   */
  readonly preallocate?: boolean;
  /** Arrays: the values can be mapped into our memory (`mmap()`). */
  readonly mmapable?: boolean;
  /** Maps of maps: a map like those that it will hold. */
  readonly inner?: BpfMap<never, never> | { readonly fd: number };
  /** Types of keys and values, where the kernel has to know them (timers). */
  readonly btf?: { readonly fd: number; readonly keyType: number; readonly valueType: number };
}

/** How many CPUs may ever be there: per-CPU maps have a value for each. */
export function possibleCpus(text = readFileSync('/sys/devices/system/cpu/possible', 'utf8')): number {
  const last = /(\d+)\s*$/.exec(text)?.[1];
  if (last === undefined)
    throw new WeftError('bad-map', `list of possible CPUs "${text.trim()}" has no number`);
  return Number(last) + 1;
}

function flagsOf(spec: Pick<MapSpec<never, never>, 'kind' | 'preallocate' | 'mmapable'>): number {
  const lazily = spec.kind === 'lpm-trie' || spec.preallocate === false;
  return (lazily ? MAP_FLAG.noPrealloc : 0) | (spec.mmapable === true ? MAP_FLAG.mmapable : 0);
}

/** What a map in the kernel must be, to be taken for the one described. */
function checkInfo<K, V>(fd: number, spec: MapSpec<K, V>, path: string): void {
  const found = mapInfo(fd);
  const wrong = (what: string, is: number, wanted: number): never => {
    throw new WeftError('bad-map', `pinned map ${path} has ${what} ${is}, not ${wanted}`, {
      remedy: 'remove the pin: another version of the program made it',
    });
  };
  if (found.type !== TYPES[spec.kind]) wrong('type', found.type, TYPES[spec.kind]);
  if (found.keySize !== spec.key.size) wrong('keys of', found.keySize, spec.key.size);
  if (found.valueSize !== spec.value.size) wrong('values of', found.valueSize, spec.value.size);
  if (found.maxEntries !== spec.maxEntries) wrong('room for', found.maxEntries, spec.maxEntries);
}

/**
 * A map. `V` is what user space reads and writes; of a per-CPU map a list, one value a CPU (see `openPerCpu`). It lives
 * until closed, unless a program, another map or a pin holds it.
 */
export class BpfMap<K, V> {
  readonly fd: number;
  readonly name: string;
  readonly kind: MapKind;
  readonly key: Codec<K>;
  readonly maxEntries: number;
  private readonly value: Codec<V>;
  private readonly access: MapAccess;
  private batch: MapBatch | undefined;
  private idleReader: MapBatch | undefined;
  private open = true;

  private constructor(fd: number, spec: MapSpec<K, unknown>, value: Codec<V>) {
    this.fd = fd;
    this.name = spec.name;
    this.kind = spec.kind;
    this.key = spec.key;
    this.value = value;
    this.maxEntries = spec.maxEntries;
    this.access = new MapAccess(fd, spec.key.size, value.size, `map ${spec.name}`);
  }

  static create<K, V>(spec: MapSpec<K, V>): BpfMap<K, V> {
    refusePerCpu(spec.kind);
    return new BpfMap(make(spec), spec, spec.value);
  }

  /** Opens a pinned map, which must be of the kind and sizes described. */
  static open<K, V>(path: string, spec: MapSpec<K, V>): BpfMap<K, V> {
    refusePerCpu(spec.kind);
    return new BpfMap(reopen(path, spec), spec, spec.value);
  }

  /** A per-CPU map: a value is read and written as a list, one element for each possible CPU. */
  static createPerCpu<K, V>(spec: MapSpec<K, V>, cpus = possibleCpus()): BpfMap<K, readonly V[]> {
    return new BpfMap(make(spec), spec, perCpu(spec, cpus));
  }

  static openPerCpu<K, V>(path: string, spec: MapSpec<K, V>, cpus = possibleCpus()): BpfMap<K, readonly V[]> {
    return new BpfMap(reopen(path, spec), spec, perCpu(spec, cpus));
  }

  /** The kernel's number for it: what a map of maps tells of its entries. */
  get id(): number {
    return mapInfo(this.fd).id;
  }

  get(key: K): V | undefined {
    this.key.write(key, this.access.keyView, 0);
    return this.access.lookup() ? this.value.read(this.access.valueView, 0) : undefined;
  }

  /** Like `get`, without making an object: the value's bytes, which the next access overwrites. */
  view(key: K): DataView | undefined {
    this.key.write(key, this.access.keyView, 0);
    return this.access.lookup() ? this.access.valueView : undefined;
  }

  /** Stores a value. Throws E2BIG if the map is full. */
  set(key: K, value: V): void {
    this.store(key, value, UPDATE_FLAG.any);
  }

  /** Stores a value where there is none yet; false: there is. */
  add(key: K, value: V): boolean {
    return this.store(key, value, UPDATE_FLAG.absent);
  }

  /** Stores a value where there is one; false: there is none. */
  replace(key: K, value: V): boolean {
    return this.store(key, value, UPDATE_FLAG.present);
  }

  private store(key: K, value: V, flag: number): boolean {
    this.key.write(key, this.access.keyView, 0);
    this.value.write(value, this.access.valueView, 0);
    return this.access.update(flag);
  }

  /** False: there was none. */
  delete(key: K): boolean {
    this.key.write(key, this.access.keyView, 0);
    return this.access.remove();
  }

  /** Reads a value and deletes it in one step (hashes); nothing that a program counts meanwhile is lost. */
  take(key: K): V | undefined {
    this.key.write(key, this.access.keyView, 0);
    return this.access.take() ? this.value.read(this.access.valueView, 0) : undefined;
  }

  /** Stores many values: 0.3 us each. Throws where `set` would; what stands before that entry is stored. */
  setAll(entries: Iterable<readonly [K, V]>): void {
    if (NO_BATCH.has(this.kind)) {
      for (const [key, value] of entries) this.set(key, value);
      return;
    }
    this.inBatches(
      entries,
      ([key, value], keys, values, i) => {
        this.key.write(key, keys, i * this.key.size);
        this.value.write(value, values, i * this.value.size);
      },
      (batch, count) => void batch.update(count, UPDATE_FLAG.any),
    );
  }

  /** Deletes many keys; returns how many of them there were. */
  deleteAll(keys: Iterable<K>): number {
    let deleted = 0;
    const all = [...keys];
    if (NO_BATCH.has(this.kind)) {
      for (const key of all) if (this.delete(key)) deleted++;
      return deleted;
    }
    // A batch stops at a key that is not there: go on behind it.
    for (let at = 0; at < all.length; ) {
      const batch = this.batchOf(BATCH);
      const view = viewOf(batch.keys);
      const count = Math.min(batch.capacity, all.length - at);
      for (let i = 0; i < count; i++) this.key.write(all[at + i]!, view, i * this.key.size);
      const done = batch.remove(count);
      deleted += done;
      at += done < count ? done + 1 : count;
    }
    return deleted;
  }

  private inBatches<E>(
    entries: Iterable<E>,
    write: (entry: E, keys: DataView, values: DataView, index: number) => void,
    send: (batch: MapBatch, count: number) => void,
  ): void {
    const batch = this.batchOf(BATCH);
    const keys = viewOf(batch.keys);
    const values = viewOf(batch.values);
    let count = 0;
    for (const entry of entries) {
      write(entry, keys, values, count++);
      if (count < batch.capacity) continue;
      send(batch, count);
      count = 0;
    }
    if (count > 0) send(batch, count);
  }

  private batchOf(capacity: number): MapBatch {
    if (this.batch === undefined || this.batch.capacity < capacity)
      this.batch = new MapBatch(this.fd, this.key.size, this.value.size, capacity, `map ${this.name}`);
    return this.batch;
  }

  /** All entries. What programs or we add or delete meanwhile may be among them or not. */
  *entries(): Generator<[K, V]> {
    const { key, value } = this;
    for (const { keys, values, count } of this.chunks())
      for (let i = 0; i < count; i++)
        yield [key.read(keys, i * key.size), value.read(values, i * value.size)];
  }

  /**
   * Calls `visit` with each entry's bytes: key at `keyAt` of `keys`, value at `valueAt` of `values`. For many entries
   * at a time; the bytes are only good until it returns.
   */
  forEachRaw(visit: (keys: DataView, keyAt: number, values: DataView, valueAt: number) => void): void {
    const keySize = this.key.size;
    const valueSize = this.value.size;
    for (const { keys, values, count } of this.chunks())
      for (let i = 0; i < count; i++) visit(keys, i * keySize, values, i * valueSize);
  }

  /** The entries by the system call. */
  private *chunks(): Generator<{ keys: DataView; values: DataView; count: number }> {
    if (NO_BATCH.has(this.kind)) {
      yield* this.singly();
      return;
    }
    // A reader for this walk alone: somebody may start another one, or write in batches, before it ends.
    const capacity = Math.min(BATCH, Math.max(this.maxEntries, 1));
    const reader =
      this.idleReader ?? new MapBatch(this.fd, this.key.size, this.value.size, capacity, `map ${this.name}`);
    this.idleReader = undefined;
    try {
      for (let first = true; ; ) {
        const read = reader.read(first);
        if (read === undefined) {
          if (reader.capacity >= MAX_BATCH)
            throw new WeftError('bad-map', `map ${this.name} has a bucket of more than ${MAX_BATCH} entries`);
          reader.grow(reader.capacity * 4);
          continue;
        }
        first = false;
        yield { keys: viewOf(reader.keys), values: viewOf(reader.values), count: read.count };
        if (!read.more) return;
      }
    } finally {
      this.idleReader = reader;
    }
  }

  /** Key by key. A key deleted meanwhile starts it again, so it is bound by the map's size. */
  private *singly(): Generator<{ keys: DataView; values: DataView; count: number }> {
    const { access } = this;
    const reached = new Uint8Array(this.key.size);
    for (let i = 0; i < this.maxEntries; i++) {
      access.key.set(reached);
      if (!access.nextKey(i === 0)) return;
      reached.set(access.next);
      access.key.set(reached);
      if (access.lookup()) yield { keys: access.keyView, values: access.valueView, count: 1 };
    }
  }

  /**
   * The values of an array made with `mmapable`, as shared memory: value i at i times its size rounded up
   * to 8. Whoever asks for it unmaps it.
   */
  mmap(): MemoryMap {
    const size = this.maxEntries * ((this.value.size + 7) & ~7);
    return MemoryMap.ofFile(this.fd, Math.ceil(size / pageSize()) * pageSize(), 0, `map ${this.name}`);
  }

  /** Gives it a name in a bpf file system, so that it outlives the process. */
  pin(path: string): void {
    pin(this.fd, path);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const PER_CPU: ReadonlySet<MapKind> = new Set(['percpu-hash', 'percpu-array', 'lru-percpu-hash']);

function refusePerCpu(kind: MapKind): void {
  if (PER_CPU.has(kind))
    throw new WeftError('bad-map', `a ${kind} has a value for each CPU`, {
      remedy: 'use createPerCpu or openPerCpu',
    });
}

function perCpu<K, V>(spec: MapSpec<K, V>, cpus: number): Codec<readonly V[]> {
  if (!PER_CPU.has(spec.kind))
    throw new WeftError('bad-map', `a ${spec.kind} has one value, not one for each CPU`);
  const { value } = spec;
  // The kernel gives each CPU's value at a multiple of 8.
  return list({ ...value, size: (value.size + 7) & ~7 }, cpus);
}

function make<K, V>(spec: MapSpec<K, V>): number {
  return createMap({
    type: TYPES[spec.kind],
    name: spec.name,
    keySize: spec.key.size,
    valueSize: spec.value.size,
    maxEntries: spec.maxEntries,
    flags: flagsOf(spec),
    innerMapFd: spec.inner?.fd,
    btf: spec.btf,
  });
}

function reopen<K, V>(path: string, spec: MapSpec<K, V>): number {
  const fd = openPinned(path);
  try {
    checkInfo(fd, spec, path);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The sum of a counter's values on all CPUs. */
export function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

/** A table of programs for tail calls: `tailCall(table, index)` in a program, `set(index, program)` here. */
export function programArray(name: string, maxEntries: number): BpfMap<number, number> {
  return BpfMap.create({ kind: 'program-array', name, key: u32, value: u32, maxEntries });
}

/** Whether an error says that a map is full. */
export function isMapFull(error: unknown): boolean {
  return error instanceof SystemError && error.errno === constants.errno.E2BIG;
}
