import { formatIpv6, parseIpv6 } from '../../flow/address-text.ts';
import { ETH_TYPE_IP, ETH_TYPE_IPV6, ethType } from '../../flow/prerequisites.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { formatIpv4, keyValues, syntaxError } from './text.ts';
import type { NatAction } from './types.ts';
import { type ActionBytes, refuse, toBigInt } from './wire.ts';

const NXAST_NAT = 36;
/** Flags. */
const SRC = 1 << 0;
const DST = 1 << 1;
const PERSISTENT = 1 << 2;
const HASH = 1 << 3;
const RANDOM = 1 << 4;
const FLAGS = SRC | DST | PERSISTENT | HASH | RANDOM;
/** What of the range is present. */
const IPV4_MIN = 1 << 0;
const IPV4_MAX = 1 << 1;
const IPV6_MIN = 1 << 2;
const IPV6_MAX = 1 << 3;
const PROTO_MIN = 1 << 4;
const PROTO_MAX = 1 << 5;

const NONE = new Uint8Array(0);
type Range = Pick<NatAction, 'addressMin' | 'addressMax' | 'portMin' | 'portMax'>;
const NO_RANGE: Range = { addressMin: NONE, addressMax: NONE, portMin: 0, portMax: 0 };

// --- Text -----------------------------------------------------------------------------------------------

const IPV4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)/;
const IPV6 = /^(?:([0-9a-fA-F:.]{1,46})|\[([0-9a-fA-F:.]{1,46})\])/;

interface Scanned {
  /** Null if there are the characters of an address, but no address. */
  readonly address: Uint8Array | null;
  readonly end: number;
}

function scanIpv4(text: string): Scanned | null {
  const m = IPV4.exec(text);
  return m === null ? null : { address: Uint8Array.from(m.slice(1), Number), end: m[0].length };
}

function scanIpv6(text: string): Scanned | null {
  const m = IPV6.exec(text);
  if (m === null) return null;
  const ip = parseIpv6(m[1] ?? m[2]);
  return { address: ip === null ? null : bytesOf(ip), end: m[0].length };
}

function bytesOf(ip: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => Number((ip >> BigInt(8 * (15 - i))) & 0xffn));
}

/** `ADDRESS[-ADDRESS][:PORT[-PORT]]`, an IPv6 address in brackets where ports follow; may be empty. */
function parseRange(text: string): Range {
  const invalid = (): never => syntaxError(`invalid nat range "${text}"`);
  let at = 0;
  const skip = (c: string): boolean => {
    if (text[at] !== c) return false;
    at++;
    return true;
  };
  const port = (): number => {
    const digits = /^\d+/.exec(text.slice(at));
    if (digits === null) return invalid();
    at += digits[0].length;
    return Number(BigInt(digits[0]) & 0xffffn);
  };
  let range = NO_RANGE;
  const scan = IPV4.test(text) ? scanIpv4 : scanIpv6;
  const min = scan(text);
  if (min !== null) at = min.end;
  if (min?.address != null) {
    range = { ...range, addressMin: min.address };
    if (skip('-')) {
      const max = scan(text.slice(at));
      if (max?.address == null || toBigInt(max.address) < toBigInt(min.address)) return invalid();
      at += max.end;
      range = { ...range, addressMax: max.address };
    }
    if (skip(':')) {
      range = { ...range, portMin: port() };
      if (skip('-')) range = { ...range, portMax: port() };
      if (range.portMax !== 0 && range.portMax < range.portMin) return invalid();
    }
  }
  if (at !== text.length) syntaxError(`garbage (${text.slice(at)}) after nat range "${text}" (pos: ${at})`);
  return range;
}

/** `nat`, `nat(src[=RANGE],...)`, `nat(dst[=RANGE],...)`; also what stands in `ct(...)`. */
export function parseNat(arg: string): NatAction {
  let flags = 0;
  let range = NO_RANGE;
  for (const { key, value } of keyValues(arg)) {
    switch (key) {
      case 'src':
        flags |= SRC;
        range = parseRange(value);
        break;
      case 'dst':
        flags |= DST;
        range = parseRange(value);
        break;
      case 'persistent':
        flags |= PERSISTENT;
        break;
      case 'hash':
        flags |= HASH;
        break;
      case 'random':
        flags |= RANDOM;
        break;
      default:
        syntaxError(`invalid key "${key}" in "nat" argument`);
    }
  }
  if ((flags & SRC) !== 0 && (flags & DST) !== 0) syntaxError('May only specify one of "src" or "dst".');
  if ((flags & (SRC | DST)) === 0 && flags !== 0) syntaxError('Flags allowed only with "src" or "dst".');
  if ((flags & HASH) !== 0 && (flags & RANDOM) !== 0)
    syntaxError('Both "hash" and "random" are not allowed.');
  return fromFlags(flags, range);
}

function fromFlags(flags: number, range: Range): NatAction {
  return {
    type: 'nat',
    direction: (flags & SRC) !== 0 ? 'src' : (flags & DST) !== 0 ? 'dst' : 'none',
    persistent: (flags & PERSISTENT) !== 0,
    hash: (flags & HASH) !== 0,
    random: (flags & RANDOM) !== 0,
    ...range,
  };
}

function toFlags(a: NatAction): number {
  const direction = a.direction === 'src' ? SRC : a.direction === 'dst' ? DST : 0;
  return direction | (a.persistent ? PERSISTENT : 0) | (a.hash ? HASH : 0) | (a.random ? RANDOM : 0);
}

/** Whether it says no more than that packets of connections with translations are to be translated. */
export function isPlainNat(a: NatAction): boolean {
  return toFlags(a) === 0 && a.addressMin.length === 0;
}

function isZero(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

function formatAddress(address: Uint8Array, brackets: boolean): string {
  const ip = toBigInt(address);
  if (address.length === 4) return formatIpv4(Number(ip));
  return brackets ? `[${formatIpv6(ip)}]` : formatIpv6(ip);
}

function formatRange(a: NatAction): string {
  const withPort = a.portMin !== 0;
  let text = formatAddress(a.addressMin, withPort);
  if (!isZero(a.addressMax) && toBigInt(a.addressMax) !== toBigInt(a.addressMin)) {
    text += `-${formatAddress(a.addressMax, withPort)}`;
  }
  if (withPort) text += `:${a.portMin}`;
  if (withPort && a.portMax !== 0 && a.portMax !== a.portMin) text += `-${a.portMax}`;
  return text;
}

export function formatNat(a: NatAction): string {
  if (a.direction === 'none') return 'nat';
  // Flags say how to choose from a range: without one, they are not shown.
  if (a.addressMin.length === 0) return `nat(${a.direction})`;
  const flags = [a.persistent ? ',persistent' : '', a.hash ? ',hash' : '', a.random ? ',random' : ''].join(
    '',
  );
  return `nat(${a.direction}=${formatRange(a)}${flags})`;
}

// --- Wire -----------------------------------------------------------------------------------------------

/** Reads the optional parts of a range, in order. */
class RangeReader {
  private readonly b: ActionBytes;
  private at = 16;

  constructor(b: ActionBytes) {
    this.b = b;
  }

  pull(bytes: number): Uint8Array {
    if (this.at + bytes > this.b.length)
      refuse('OFPBAC_BAD_ARGUMENT', 'the range of a nat action is cut off');
    const part = this.b.bytes(this.at, this.at + bytes);
    this.at += bytes;
    return part;
  }
}

function pullAddresses(reader: RangeReader, bytes: number, hasMax: boolean): Range {
  const addressMin = reader.pull(bytes);
  if (isZero(addressMin)) refuse('OFPBAC_BAD_ARGUMENT', 'the range of a nat action begins at address 0');
  if (!hasMax) return { ...NO_RANGE, addressMin };
  const addressMax = reader.pull(bytes);
  if (toBigInt(addressMax) < toBigInt(addressMin)) {
    refuse('OFPBAC_BAD_ARGUMENT', 'the addresses of a nat action end before they begin');
  }
  return { ...NO_RANGE, addressMin, addressMax };
}

function decode(b: ActionBytes): NatAction {
  const flags = b.u16(12);
  const present = b.u16(14);
  const has = (bit: number): boolean => (present & bit) !== 0;
  const contradictory =
    (flags & (SRC | DST)) === (SRC | DST) || (flags & (HASH | RANDOM)) === (HASH | RANDOM);
  if ((flags & ~FLAGS) !== 0 || contradictory) {
    refuse(
      'OFPBAC_BAD_ARGUMENT',
      `flags 0x${flags.toString(16)} of a nat action are unknown or exclude each other`,
    );
  }
  const reader = new RangeReader(b);
  let range = NO_RANGE;
  if (has(IPV4_MIN) && has(IPV6_MIN | IPV6_MAX)) {
    refuse('OFPBAC_BAD_ARGUMENT', 'a nat action has addresses of both IP versions');
  }
  if (has(IPV4_MIN)) range = pullAddresses(reader, 4, has(IPV4_MAX));
  else if (has(IPV4_MAX)) refuse('OFPBAC_BAD_ARGUMENT', 'the addresses of a nat action have no beginning');
  else if (has(IPV6_MIN)) range = pullAddresses(reader, 16, has(IPV6_MAX));
  else if (has(IPV6_MAX)) refuse('OFPBAC_BAD_ARGUMENT', 'the addresses of a nat action have no beginning');
  if (has(PROTO_MIN)) {
    if (range.addressMin.length === 0)
      refuse('OFPBAC_BAD_ARGUMENT', 'a nat action has ports but no addresses');
    const portMin = Number(toBigInt(reader.pull(2)));
    if (portMin === 0) refuse('OFPBAC_BAD_ARGUMENT', 'the ports of a nat action begin at 0');
    const portMax = has(PROTO_MAX) ? Number(toBigInt(reader.pull(2))) : 0;
    if (has(PROTO_MAX) && portMax < portMin) {
      refuse('OFPBAC_BAD_ARGUMENT', 'the ports of a nat action end before they begin');
    }
    range = { ...range, portMin, portMax };
  } else if (has(PROTO_MAX)) {
    refuse('OFPBAC_BAD_ARGUMENT', 'the ports of a nat action have no beginning');
  }
  return fromFlags(flags, range);
}

/** Which addresses and ports to translate a new connection to; stands in ct(...) only. */
export const nat: ActionCodec<NatAction> = {
  type: 'nat',
  name: 'nat',
  words: { nat: parseNat },
  format: formatNat,
  encode(a, out) {
    const start = out.nx(NXAST_NAT);
    out.zeros(2);
    out.u16(toFlags(a));
    const presentAt = out.length;
    out.u16(0);
    let present = 0;
    const v4 = a.addressMin.length === 4;
    if (!isZero(a.addressMin)) {
      out.bytes(a.addressMin);
      present |= v4 ? IPV4_MIN : IPV6_MIN;
    }
    if (!isZero(a.addressMax)) {
      out.bytes(a.addressMax);
      present |= v4 ? IPV4_MAX : IPV6_MAX;
    }
    if (a.addressMin.length > 0 && a.portMin !== 0) {
      out.u16(a.portMin);
      present |= PROTO_MIN;
    }
    if (a.addressMin.length > 0 && a.portMax !== 0) {
      out.u16(a.portMax);
      present |= PROTO_MAX;
    }
    out.patch16(presentAt, present);
    out.end(start);
  },
  wire: [nxForm(NXAST_NAT, 16, decode, { variable: true })],
  check(action, { flow }) {
    const type = ethType(flow);
    const bytes = action.addressMin.length;
    const fits = (type === ETH_TYPE_IP && bytes !== 16) || (type === ETH_TYPE_IPV6 && bytes !== 4);
    if (!fits)
      refuse(
        'OFPBAC_MATCH_INCONSISTENT',
        "nat: the flow's match does not say that packets have such addresses",
      );
    return action;
  },
  size: () => 32,
};
