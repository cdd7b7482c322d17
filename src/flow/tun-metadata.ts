/**
 * Where tun_metadata0..63 stand in a key. Their 256 bytes are shared out among Geneve options: by the
 * switch, as a controller's TLV table tells it ({@link TunnelMetadataTable}), or, where no such table
 * is at hand (a text on its own), by each match for itself ({@link LocalTunnelMetadata}).
 *
 * A place makes a *mapped* field: the catalogue's row with its offset and width filled in.
 */
import type { Field } from './field.ts';
import { TUN_METADATA_FIELDS } from './fields.ts';
import { N_TUN_METADATA_BYTES, N_TUN_METADATA_FIELDS, W_TUN_METADATA } from './layout.ts';

/** Gives tun_metadata fields their places. */
export interface TunnelMetadataMap {
  /** The mapped field of tun_metadataN, or null if it has no place. */
  field(n: number): Field | null;
}

/** A Geneve option that a tun_metadata field stands for. */
export interface TunnelOption {
  readonly optionClass: number;
  readonly optionType: number;
  /** Bytes, a multiple of 4. */
  readonly length: number;
  readonly index: number;
}

export type TunnelOptionError = 'bad-index' | 'bad-length' | 'already-mapped' | 'duplicate' | 'table-full';

/** N of tun_metadataN. */
export function tunMetadataIndex(field: Field): number {
  return field.id - TUN_METADATA_FIELDS[0].id;
}

function placeField(n: number, byteOffset: number, bytes: number): Field {
  return Object.freeze({
    ...TUN_METADATA_FIELDS[n],
    offset: W_TUN_METADATA * 32 + byteOffset * 8,
    bytes,
    bits: bytes * 8,
  });
}

/** The field with its place, if it is a tun_metadata field and `map` has one for it; else itself. */
export function mapField(field: Field, map: TunnelMetadataMap | null): Field {
  if (!field.variableLength || map === null) return field;
  return map.field(tunMetadataIndex(field)) ?? field;
}

/** The switch's TLV table. */
export class TunnelMetadataTable implements TunnelMetadataMap {
  readonly #options: (TunnelOption | null)[] = new Array(N_TUN_METADATA_FIELDS).fill(null);
  readonly #fields: (Field | null)[] = new Array(N_TUN_METADATA_FIELDS).fill(null);
  readonly #byOption = new Map<number, TunnelOption>();
  readonly #used: boolean[] = new Array(N_TUN_METADATA_BYTES / 4).fill(false);

  field(n: number): Field | null {
    return this.#fields[n] ?? null;
  }

  option(n: number): TunnelOption | null {
    return this.#options[n] ?? null;
  }

  /** The entry for an option of a packet. */
  byOption(optionClass: number, optionType: number): TunnelOption | null {
    return this.#byOption.get(optionClass * 256 + optionType) ?? null;
  }

  /** All entries, in order of their index. */
  options(): TunnelOption[] {
    return this.#options.filter((o) => o !== null);
  }

  /** Adds an entry; returns what is wrong with it, in which case nothing has changed. */
  add(option: TunnelOption): TunnelOptionError | null {
    const { index, length } = option;
    if (!Number.isInteger(index) || index < 0 || index >= N_TUN_METADATA_FIELDS) return 'bad-index';
    if (!Number.isInteger(length) || length < 0 || length > 124 || length % 4 !== 0) return 'bad-length';
    if (this.#options[index] !== null) return 'already-mapped';
    if (this.byOption(option.optionClass, option.optionType) !== null) return 'duplicate';
    const start = this.#findRoom(length / 4);
    if (start < 0) return 'table-full';
    this.#used.fill(true, start, start + length / 4);
    this.#options[index] = option;
    this.#byOption.set(option.optionClass * 256 + option.optionType, option);
    this.#fields[index] = placeField(index, start * 4, length);
    return null;
  }

  /** Takes an entry away. Returns whether it was there. */
  remove(index: number): boolean {
    const option = this.#options[index] ?? null;
    const field = this.#fields[index] ?? null;
    if (option === null || field === null) return false;
    const start = (field.offset - W_TUN_METADATA * 32) / 32;
    this.#used.fill(false, start, start + option.length / 4);
    this.#options[index] = null;
    this.#fields[index] = null;
    this.#byOption.delete(option.optionClass * 256 + option.optionType);
    return true;
  }

  clear(): void {
    for (let i = 0; i < N_TUN_METADATA_FIELDS; i++) this.remove(i);
  }

  #findRoom(words: number): number {
    for (let start = 0; start + words <= this.#used.length; start++) {
      if (!this.#used.slice(start, start + words).includes(true)) return start;
    }
    return -1;
  }
}

/** Places that one match gives its own tun_metadata fields, in order of arrival. */
export class LocalTunnelMetadata implements TunnelMetadataMap {
  readonly #fields = new Map<number, Field>();
  readonly #masked = new Set<number>();
  #used = 0;

  field(n: number): Field | null {
    return this.#fields.get(n) ?? null;
  }

  /** Whether a field was given with a mask, also if all its bytes (none, perhaps) matter. */
  wasMasked(n: number): boolean {
    return this.#masked.has(n);
  }

  /** Bytes in use once `bytes` more are. */
  usedAfter(bytes: number): number {
    return this.#used + bytes;
  }

  /** Gives tun_metadataN `bytes` bytes; null if there is no room. */
  allocate(n: number, bytes: number, masked: boolean): Field | null {
    if (this.#used + bytes > N_TUN_METADATA_BYTES) return null;
    const field = placeField(n, this.#used, bytes);
    this.#used += bytes;
    this.#fields.set(n, field);
    if (masked) this.#masked.add(n);
    return field;
  }

  clone(): LocalTunnelMetadata {
    const copy = new LocalTunnelMetadata();
    for (const [n, field] of this.#fields) copy.#fields.set(n, field);
    for (const n of this.#masked) copy.#masked.add(n);
    copy.#used = this.#used;
    return copy;
  }
}
