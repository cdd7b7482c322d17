import type { Reader, Writer } from '../bytes.ts';
import { type Codec, codec, head, reject } from '../family.ts';
import type { Header } from '../header.ts';
import {
  nestedPayload,
  type Property,
  readProperties,
  writeProperty,
  writeU16Property,
} from '../properties.ts';

/** One direction of a connection; what is not given is 0 or empty. */
export interface CtTuple {
  /** 16 bytes (IPv4 mapped into IPv6); all zeros: any. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly icmpId: number;
  readonly icmpType: number;
  readonly icmpCode: number;
}

/** Forgets the connections that match. */
export interface CtFlush extends Header {
  readonly kind: 'ct_flush';
  readonly ipProto: number;
  /** null: any. */
  readonly zone: number | null;
  readonly orig: CtTuple | null;
  readonly reply: CtTuple | null;
}

const ORIG_TUPLE = 0;
const REPLY_TUPLE = 1;
const ZONE = 2;
const SRC = 0;
const DST = 1;
const SRC_PORT = 2;
const DST_PORT = 3;
const ICMP_ID = 4;
const ICMP_TYPE = 5;
const ICMP_CODE = 6;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const ADDRESS_LENGTH = 16;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Family = 'ipv4' | 'ipv6' | null;

function isZero(address: Uint8Array): boolean {
  return address.every((b) => b === 0);
}

/** Which IP an address is of; null: none is given. */
export function addressFamily(address: Uint8Array): Family {
  if (isZero(address)) return null;
  const mapped =
    address.subarray(0, 10).every((b) => b === 0) && address[10] === 0xff && address[11] === 0xff;
  return mapped ? 'ipv4' : 'ipv6';
}

function readAddress({ payload }: Property, family: Family): { address: Uint8Array; family: Family } {
  const address = payload.read(ADDRESS_LENGTH);
  const own = addressFamily(address);
  if (family !== null && own !== null && family !== own) {
    reject('OFPBPC_BAD_VALUE', `ct flush: an address is ${own}, another ${family}`);
  }
  return { address, family: own };
}

function emptyTuple(): Mutable<CtTuple> {
  return {
    src: new Uint8Array(ADDRESS_LENGTH),
    dst: new Uint8Array(ADDRESS_LENGTH),
    srcPort: 0,
    dstPort: 0,
    icmpId: 0,
    icmpType: 0,
    icmpCode: 0,
  };
}

function readTuple(r: Reader, before: Family): { tuple: CtTuple; family: Family } {
  const tuple = emptyTuple();
  let family = before;
  for (const property of readProperties(r)) {
    const { payload } = property;
    switch (property.experimenter === 0 ? property.type : -1) {
      case SRC:
      case DST: {
        const read = readAddress(property, family);
        family = read.family;
        tuple[property.type === SRC ? 'src' : 'dst'] = read.address;
        break;
      }
      case SRC_PORT:
        tuple.srcPort = payload.u16();
        break;
      case DST_PORT:
        tuple.dstPort = payload.u16();
        break;
      case ICMP_ID:
        tuple.icmpId = payload.u16();
        break;
      case ICMP_TYPE:
        tuple.icmpType = payload.u8();
        break;
      case ICMP_CODE:
        tuple.icmpCode = payload.u8();
        break;
    }
  }
  return { tuple, family };
}

function writeTuple(w: Writer, type: number, tuple: CtTuple | null, ipProto: number): void {
  if (tuple === null) return;
  writeProperty(
    w,
    type,
    () => {
      if (!isZero(tuple.src)) writeProperty(w, SRC, () => w.put(tuple.src));
      if (!isZero(tuple.dst)) writeProperty(w, DST, () => w.put(tuple.dst));
      if (ipProto === IPPROTO_ICMP || ipProto === IPPROTO_ICMPV6) {
        writeU16Property(w, ICMP_ID, tuple.icmpId);
        writeProperty(w, ICMP_TYPE, () => w.u8(tuple.icmpType));
        writeProperty(w, ICMP_CODE, () => w.u8(tuple.icmpCode));
        return;
      }
      if (tuple.srcPort !== 0) writeU16Property(w, SRC_PORT, tuple.srcPort);
      if (tuple.dstPort !== 0) writeU16Property(w, DST_PORT, tuple.dstPort);
    },
    true,
  );
}

const ctFlush = codec(
  ['ct_flush'],
  (r, c) => {
    const ipProto = r.u8();
    if (!r.zeros(7)) reject('NXBRC_MUST_BE_ZERO', 'ct flush: bytes that must be 0 are not');
    let zone: number | null = null;
    let orig: CtTuple | null = null;
    let reply: CtTuple | null = null;
    let family: Family = null;
    for (const property of readProperties(r)) {
      if (property.experimenter !== 0) continue;
      if (property.type === ORIG_TUPLE || property.type === REPLY_TUPLE) {
        const read = readTuple(nestedPayload(property), family);
        family = read.family;
        if (property.type === ORIG_TUPLE) orig = read.tuple;
        else reply = read.tuple;
      } else if (property.type === ZONE) {
        zone = property.payload.u16();
      }
    }
    return { ...head(c, 'ct_flush'), ipProto, zone, orig, reply };
  },
  (m, { w }) => {
    w.u8(m.ipProto);
    w.zeros(7);
    writeTuple(w, ORIG_TUPLE, m.orig, m.ipProto);
    writeTuple(w, REPLY_TUPLE, m.reply, m.ipProto);
    const { zone } = m;
    if (zone !== null) writeU16Property(w, ZONE, zone);
  },
);

export const ctFlushCodecs: readonly Codec[] = [ctFlush];
