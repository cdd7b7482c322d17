/**
 * Reading the kernel's own type information: the numbers of functions that it exports to programs (kfuncs), and where
 * fields of its structures stand. Both differ from kernel to kernel. The file has some 150,000 types in 5 MB;
 * one pass (some ms) notes where each starts, a question is a scan over these.
 */
import { readFileSync } from 'node:fs';
import { WeftError } from '../base/errors.ts';

export const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

const MAGIC = 0xeb9f;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_FUNC = 12;
/** typedef, volatile, const, restrict, type tag: names for another type. */
const TRANSPARENT: ReadonlySet<number> = new Set([8, 9, 10, 11, 18]);
/** Bytes behind the 12 that every type has, by kind: fixed, and for each of its `vlen` parts. */
const EXTRA: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0],
  [4, 0],
  [0, 0],
  [12, 0],
  [0, 12],
  [0, 12],
  [0, 8],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 8],
  [4, 0],
  [0, 12],
  [0, 0],
  [4, 0],
  [0, 0],
  [0, 12],
];
/** How deep anonymous structures and chains of names are followed. */
const MAX_DEPTH = 32;

/** Where a field of a structure stands. */
export interface MemberPlace {
  /** Byte that its first bit is in. */
  readonly offset: number;
  /** Bit within that byte; 0 but for bit fields. */
  readonly bit: number;
  /** Width of a bit field; 0: it is none. */
  readonly bits: number;
}

/** The types of one BTF blob. */
export class KernelBtf {
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private readonly stringsAt: number;
  private readonly stringsEnd: number;
  /** Where type number n starts; entry 0 is void and unused. */
  private readonly starts: Uint32Array;

  /** Throws `WeftError` "bad-btf" if the blob is no BTF, or is cut off. */
  constructor(data: Uint8Array) {
    this.bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const { view } = this;
    if (data.length < 24 || view.getUint16(0, true) !== MAGIC) throw bad('it has no BTF header');
    const header = view.getUint32(4, true);
    const typesAt = header + view.getUint32(8, true);
    const typesEnd = typesAt + view.getUint32(12, true);
    this.stringsAt = header + view.getUint32(16, true);
    this.stringsEnd = this.stringsAt + view.getUint32(20, true);
    if (typesEnd > data.length || this.stringsEnd > data.length)
      throw bad(`its parts end at ${Math.max(typesEnd, this.stringsEnd)} of ${data.length} bytes`);
    const starts: number[] = [0];
    let at = typesAt;
    while (at + 12 <= typesEnd) {
      starts.push(at);
      const info = view.getUint32(at + 4, true);
      const extra = EXTRA[(info >>> 24) & 0x1f];
      if (extra === undefined)
        throw bad(`type ${starts.length - 1} is of unknown kind ${(info >>> 24) & 0x1f}`);
      at += 12 + extra[0] + extra[1] * (info & 0xffff);
    }
    if (at !== typesEnd) throw bad(`type ${starts.length - 1} ends behind the last byte of types`);
    this.starts = Uint32Array.from(starts);
  }

  /** Reads the running kernel's. */
  static read(path = KERNEL_BTF): KernelBtf {
    let data: Uint8Array;
    try {
      data = readFileSync(path);
    } catch (cause) {
      throw new WeftError('no-kernel-btf', `${path} cannot be read: ${(cause as Error).message}`, {
        cause,
        remedy: 'run a kernel with CONFIG_DEBUG_INFO_BTF',
      });
    }
    return new KernelBtf(data);
  }

  /** The number of a function; undefined if there is none of that name. */
  functionId(name: string): number | undefined {
    return this.find(name, KIND_FUNC);
  }

  /** The number of a structure. */
  structId(name: string): number | undefined {
    return this.find(name, KIND_STRUCT);
  }

  /** The size of a structure in bytes. */
  structSize(name: string): number | undefined {
    const id = this.structId(name);
    return id === undefined ? undefined : this.view.getUint32(this.starts[id]! + 8, true);
  }

  /** Where a field of a structure stands; fields of structures without names within count as its own. */
  member(struct: string, field: string): MemberPlace | undefined {
    const id = this.structId(struct);
    const place = id === undefined ? undefined : this.memberOf(id, field, 0, 0);
    if (place === undefined) return undefined;
    return { offset: place.at >>> 3, bit: place.at & 7, bits: place.bits };
  }

  private memberOf(
    id: number,
    field: string,
    base: number,
    depth: number,
  ): { at: number; bits: number } | undefined {
    const { view } = this;
    let start = this.starts[id];
    for (let i = depth; start !== undefined && TRANSPARENT.has(this.kindAt(start)) && i < MAX_DEPTH; i++)
      start = this.starts[view.getUint32(start + 8, true)];
    if (start === undefined || depth > MAX_DEPTH) return undefined;
    const kind = this.kindAt(start);
    if (kind !== KIND_STRUCT && kind !== KIND_UNION) return undefined;
    const info = view.getUint32(start + 4, true);
    const bitFields = info >>> 31 !== 0;
    for (let i = 0; i < (info & 0xffff); i++) {
      const at = start + 12 + i * 12;
      const name = view.getUint32(at, true);
      const word = view.getUint32(at + 8, true);
      const offset = base + (bitFields ? word & 0xff_ffff : word);
      if (name === 0) {
        const inner = this.memberOf(view.getUint32(at + 4, true), field, offset, depth + 1);
        if (inner !== undefined) return inner;
      } else if (this.textAt(name) === field) return { at: offset, bits: bitFields ? word >>> 24 : 0 };
    }
    return undefined;
  }

  private kindAt(start: number): number {
    return (this.view.getUint32(start + 4, true) >>> 24) & 0x1f;
  }

  private textAt(offset: number): string {
    const from = this.stringsAt + offset;
    if (from >= this.stringsEnd) return '';
    const end = this.bytes.indexOf(0, from);
    return this.bytes.toString('latin1', from, end < 0 ? this.stringsEnd : end);
  }

  private find(name: string, kind: number): number | undefined {
    if (name === '' || name.includes('\0')) return undefined;
    // Every text stands once, so that comparing where names stand compares names.
    const found = this.bytes.indexOf(`\0${name}\0`, this.stringsAt, 'latin1');
    if (found < 0 || found >= this.stringsEnd) return undefined;
    const wanted = found + 1 - this.stringsAt;
    const { view, starts } = this;
    for (let id = 1; id < starts.length; id++) {
      const at = starts[id]!;
      if (view.getUint32(at, true) === wanted && this.kindAt(at) === kind) return id;
    }
    return undefined;
  }
}

const bad = (why: string): WeftError => new WeftError('bad-btf', `malformed type information: ${why}`);
