/**
 * Keys and values of maps as TypeScript sees them. A codec has a fixed size, writes a value into bytes and reads it
 * back. Numbers are little-endian, the order of the machines that Weft runs on, unless their name says `be`.
 * 64-bit counters are `bigint`.
 */
import { WeftError } from '../base/errors.ts';

export interface Codec<T> {
  /** Bytes. */
  readonly size: number;
  write(value: T, view: DataView, at: number): void;
  read(view: DataView, at: number): T;
}

export const u8: Codec<number> = {
  size: 1,
  write: (value, view, at) => view.setUint8(at, value),
  read: (view, at) => view.getUint8(at),
};
export const u16: Codec<number> = {
  size: 2,
  write: (value, view, at) => view.setUint16(at, value, true),
  read: (view, at) => view.getUint16(at, true),
};
export const u32: Codec<number> = {
  size: 4,
  write: (value, view, at) => view.setUint32(at, value, true),
  read: (view, at) => view.getUint32(at, true),
};
export const u64: Codec<bigint> = {
  size: 8,
  write: (value, view, at) => view.setBigUint64(at, value, true),
  read: (view, at) => view.getBigUint64(at, true),
};
export const be16: Codec<number> = {
  size: 2,
  write: (value, view, at) => view.setUint16(at, value),
  read: (view, at) => view.getUint16(at),
};
export const be32: Codec<number> = {
  size: 4,
  write: (value, view, at) => view.setUint32(at, value),
  read: (view, at) => view.getUint32(at),
};

/** Bytes as they are. Reading copies them. */
export function bytes(size: number): Codec<Uint8Array> {
  return {
    size,
    write(value, view, at) {
      if (value.length !== size)
        throw new WeftError('bad-map-value', `${value.length} bytes for a field of ${size}`);
      new Uint8Array(view.buffer, view.byteOffset + at, size).set(value);
    },
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, size).slice(),
  };
}

/** `count` values of the same kind, one after the other. */
export function list<T>(element: Codec<T>, count: number): Codec<readonly T[]> {
  return {
    size: element.size * count,
    write(value, view, at) {
      if (value.length !== count)
        throw new WeftError('bad-map-value', `${value.length} elements for a list of ${count}`);
      value.forEach((v, i) => {
        element.write(v, view, at + i * element.size);
      });
    },
    read: (view, at) => Array.from({ length: count }, (_, i) => element.read(view, at + i * element.size)),
  };
}

/** A prefix of an LPM trie's key: how many leading bits of `address` count. */
export interface Prefix {
  readonly bits: number;
  readonly address: Uint8Array;
}

/** Keys of an LPM trie over addresses of `addressBytes` bytes. */
export function prefix(addressBytes: number): Codec<Prefix> {
  const address = bytes(addressBytes);
  return {
    size: 4 + addressBytes,
    write(value, view, at) {
      if (!Number.isInteger(value.bits) || value.bits < 0 || value.bits > addressBytes * 8)
        throw new WeftError('bad-map-value', `prefix of ${value.bits} bits over ${addressBytes} bytes`);
      view.setUint32(at, value.bits, true);
      address.write(value.address, view, at + 4);
    },
    read: (view, at) => ({ bits: view.getUint32(at, true), address: address.read(view, at + 4) }),
  };
}

/** Where the fields of a structure stand, for the code that programs are generated with. */
export interface StructCodec<T> extends Codec<T> {
  readonly offsets: { readonly [K in keyof T]: number };
}

/**
 * A structure: fields in order, each at the next multiple of its size (of 8 at most, as C aligns numbers), padded
 * with zeros at the end to a multiple of the largest alignment. `packed` leaves no gaps.
 */
export function struct<T extends object>(
  fields: { readonly [K in keyof T]: Codec<T[K]> },
  options: { readonly packed?: boolean } = {},
): StructCodec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<T[keyof T]>][];
  const offsets: Partial<Record<keyof T, number>> = {};
  const places: { name: keyof T; codec: Codec<T[keyof T]>; offset: number }[] = [];
  let size = 0;
  let alignment = 1;
  for (const [name, codec] of entries) {
    const own = options.packed === true ? 1 : alignmentOf(codec.size);
    alignment = Math.max(alignment, own);
    const offset = Math.ceil(size / own) * own;
    offsets[name] = offset;
    places.push({ name, codec, offset });
    size = offset + codec.size;
  }
  size = Math.ceil(size / alignment) * alignment;
  return {
    size,
    offsets: offsets as Record<keyof T, number>,
    write(value, view, at) {
      new Uint8Array(view.buffer, view.byteOffset + at, size).fill(0);
      for (const { name, codec, offset } of places) codec.write(value[name], view, at + offset);
    },
    read(view, at) {
      const value: Partial<T> = {};
      for (const { name, codec, offset } of places) value[name] = codec.read(view, at + offset);
      return value as T;
    },
  };
}

/** Numbers stand at multiples of their size; everything else (bytes, lists, structures) of what divides its size. */
const alignmentOf = (size: number): number =>
  size % 8 === 0 ? 8 : size % 4 === 0 ? 4 : size % 2 === 0 ? 2 : 1;
