import { get16, get24, put16, put24 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** Geneve header (RFC 8926). */
export interface Geneve {
  readonly layer: 'geneve';
  /** Control packet. */
  readonly oam: boolean;
  /** Some option is critical. */
  readonly critical: boolean;
  /** EtherType of what is inside; 0x6558 Ethernet. */
  readonly protocol?: number;
  readonly vni: number;
  readonly options: readonly GeneveOption[];
}

export interface GeneveOption {
  readonly optionClass: number;
  /** Bit 7: critical. */
  readonly type: number;
  /** A multiple of 4 bytes, at most 124. */
  readonly data: Uint8Array;
}

export const GENEVE_MIN_HEADER = 8;
export const GENEVE_PORT = 6081;

export function geneveLength(value: Geneve): number {
  return value.options.reduce((sum, option) => sum + 4 + option.data.length, GENEVE_MIN_HEADER);
}

export function parseGeneve(b: Uint8Array, at: number, end: number): Parsed<Geneve> | Malformed {
  if (end - at < GENEVE_MIN_HEADER) return tooShort('Geneve', at, end, GENEVE_MIN_HEADER);
  if (b[at] >> 6 !== 0) return new Malformed('Geneve', `version ${b[at] >> 6}`, at);
  const next = at + GENEVE_MIN_HEADER + (b[at] & 63) * 4;
  if (next > end) return tooShort('Geneve', at, end, next - at);
  const options: GeneveOption[] = [];
  for (let p = at + GENEVE_MIN_HEADER; p < next; ) {
    const length = 4 + (b[p + 3] & 31) * 4;
    if (p + length > next) return tooShort('Geneve option', p, next, length);
    options.push({ optionClass: get16(b, p), type: b[p + 2], data: b.slice(p + 4, p + length) });
    p += length;
  }
  return {
    value: {
      layer: 'geneve',
      oam: (b[at + 1] & 0x80) !== 0,
      critical: (b[at + 1] & 0x40) !== 0,
      protocol: get16(b, at + 2),
      vni: get24(b, at + 4),
      options,
    },
    next,
    end,
  };
}

export function emitGeneve(value: Geneve, b: Uint8Array, at: number): void {
  b[at] = (geneveLength(value) - GENEVE_MIN_HEADER) / 4;
  b[at + 1] = (value.oam ? 0x80 : 0) | (value.critical ? 0x40 : 0);
  put16(b, at + 2, value.protocol ?? 0);
  put24(b, at + 4, value.vni);
  b[at + 7] = 0;
  let p = at + GENEVE_MIN_HEADER;
  for (const option of value.options) {
    put16(b, p, option.optionClass);
    b[p + 2] = option.type;
    b[p + 3] = option.data.length / 4;
    b.set(option.data, p + 4);
    p += 4 + option.data.length;
  }
}
