import { Malformed, type Parsed, tooShort } from './malformed.ts';

/**
 * What follows the ICMPv6 header in neighbor discovery (RFC 4861): the target of solicitations and
 * advertisements (types 135, 136), the timers of router advertisements (134), then options.
 */
export interface Nd {
  readonly layer: 'nd';
  /** 16 bytes of target (135, 136), 8 bytes of timers (134), nothing (133). */
  readonly body: Uint8Array;
  readonly options: readonly NdOption[];
}

export interface NdOption {
  /** 1 source, 2 target link-layer address, 3 prefix, 5 MTU. */
  readonly type: number;
  /** All after the first two bytes; length + 2 is a multiple of 8. */
  readonly data: Uint8Array;
}

export const ND_ROUTER_SOLICIT = 133;
export const ND_ROUTER_ADVERT = 134;
export const ND_NEIGHBOR_SOLICIT = 135;
export const ND_NEIGHBOR_ADVERT = 136;
export const ND_REDIRECT = 137;
export const ND_OPTION_SOURCE_LLA = 1;
export const ND_OPTION_TARGET_LLA = 2;

/** Bytes between the ICMPv6 header and the options; -1: not a message of neighbor discovery. */
export function ndBodyLength(type: number): number {
  switch (type) {
    case ND_ROUTER_SOLICIT:
      return 0;
    case ND_ROUTER_ADVERT:
      return 8;
    case ND_NEIGHBOR_SOLICIT:
    case ND_NEIGHBOR_ADVERT:
      return 16;
    case ND_REDIRECT:
      return 32;
    default:
      return -1;
  }
}

/** @param type of the ICMPv6 message */
export function parseNd(b: Uint8Array, from: number, end: number, type: number): Parsed<Nd> | Malformed {
  const body = ndBodyLength(type);
  if (body < 0) return new Malformed('ND', `ICMPv6 type ${type} is not neighbor discovery`, from);
  if (end - from < body) return tooShort('ND', from, end, body);
  const options: NdOption[] = [];
  let at = from + body;
  while (at < end) {
    if (end - at < 8) return tooShort('ND option', at, end, 8);
    const length = b[at + 1] * 8;
    if (length === 0) return new Malformed('ND option', 'length 0', at);
    if (end - at < length) return tooShort('ND option', at, end, length);
    options.push({ type: b[at], data: b.slice(at + 2, at + length) });
    at += length;
  }
  return { value: { layer: 'nd', body: b.slice(from, from + body), options }, next: at, end };
}

export function ndLength(value: Nd): number {
  return value.options.reduce((sum, option) => sum + option.data.length + 2, value.body.length);
}

export function emitNd(value: Nd, b: Uint8Array, from: number): void {
  b.set(value.body, from);
  let at = from + value.body.length;
  for (const option of value.options) {
    b[at] = option.type;
    b[at + 1] = (option.data.length + 2) / 8;
    b.set(option.data, at + 2);
    at += option.data.length + 2;
  }
}
