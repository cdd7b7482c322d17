import { getNumber } from '../../flow/field-access.ts';
import { F } from '../../flow/fields.ts';
import { Match } from '../../flow/match.ts';
import type { Reader, Writer } from '../bytes.ts';
import {
  NO_BUFFER,
  OFPR_ACTION,
  OFPR_ACTION_SET,
  OFPR_EXPLICIT_MISS,
  OFPR_GROUP,
  OFPR_IMPLICIT_MISS,
  OFPR_NO_MATCH,
  OFPR_PACKET_OUT,
  UINT64_MAX,
} from '../constants.ts';
import {
  type Codec,
  codec,
  type DecodeContext,
  head,
  kindOf,
  type MessageWriter,
  reject,
} from '../family.ts';
import type { Header } from '../header.ts';
import { readMatch, writeOxmMatch } from '../match-codec.ts';
import { type MatchOptions, readNxMatch, readOxmList, writeNxMatch, writeOxmList } from '../nx-match.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import {
  nestedPayload,
  type Property,
  propertyU32,
  propertyU64,
  readProperties,
  unknownProperty,
  writeProperty,
} from '../properties.ts';
import { OF10, OF11, OF12, OF13, OF14 } from '../version.ts';

/** How a connection wants its packet-ins. */
export type PacketInFormat = 'standard' | 'nxt_packet_in' | 'nxt_packet_in2';

export interface PacketInFields {
  /** Maybe only the first part of the packet. */
  readonly packet: Uint8Array;
  /** Bytes of the whole packet. */
  readonly totalLen: number;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** The input port and other pipeline fields. */
  readonly metadata: Match;
  /** OFPR_* */
  readonly reason: number;
  readonly table: number;
  /** UINT64_MAX: no flow sent it. */
  readonly cookie: bigint;
  /** From the controller action; NXT_PACKET_IN2 only. */
  readonly userdata: Uint8Array;
  /** The state of a paused packet, see continuation.ts; empty: not paused. NXT_PACKET_IN2 only. */
  readonly continuation: Uint8Array;
}

export interface PacketIn extends Header, PacketInFields {
  readonly kind: 'packet_in';
}

/** Sends a paused packet on its way: NXT_RESUME, with a packet-in's continuation as it came. */
export interface Resume extends Header, PacketInFields {
  readonly kind: 'resume';
}

/**
 * The reason that a version's wire has for an OFPR_*: before 1.4 the three kinds of "action" were one,
 * and before 1.3 a table-miss flow was a flow like others.
 */
export function packetInReasonToWire(reason: number, version: number): number {
  switch (reason) {
    case OFPR_ACTION_SET:
    case OFPR_GROUP:
    case OFPR_PACKET_OUT:
      return version < OF14 ? OFPR_ACTION : reason;
    case OFPR_EXPLICIT_MISS:
      return version < OF13 ? OFPR_ACTION : OFPR_NO_MATCH;
    case OFPR_IMPLICIT_MISS:
      return OFPR_NO_MATCH;
    default:
      return reason;
  }
}

const PROP_PACKET = 0;
const PROP_FULL_LEN = 1;
const PROP_BUFFER_ID = 2;
const PROP_TABLE_ID = 3;
const PROP_COOKIE = 4;
const PROP_REASON = 5;
const PROP_METADATA = 6;
const PROP_USERDATA = 7;
const PROP_CONTINUATION = 8;
const NO_BYTES = new Uint8Array(0);

/** Metadata say what is known of a packet: what is not known there is no reason to refuse it. */
function metadataOptions(c: DecodeContext): MatchOptions {
  return { ...c.options, loose: true };
}

function inPortMetadata(port: number): Match {
  return new Match().setNumber(F.inPortOxm, port);
}

const NO_EXTRAS = { userdata: NO_BYTES, continuation: NO_BYTES };

function readOf10(r: Reader): PacketInFields {
  const bufferId = r.u32();
  const totalLen = r.u16();
  const metadata = inPortMetadata(portFromWire16(r.u16()));
  const reason = r.u8();
  r.skip(1);
  return {
    packet: r.rest(),
    totalLen,
    bufferId,
    metadata,
    reason,
    table: 0,
    cookie: UINT64_MAX,
    ...NO_EXTRAS,
  };
}

function readOf11(r: Reader): PacketInFields {
  const bufferId = r.u32();
  const metadata = inPortMetadata(portFromWire32(r.u32()));
  r.skip(4);
  const totalLen = r.u16();
  const reason = r.u8();
  const table = r.u8();
  return { packet: r.rest(), totalLen, bufferId, metadata, reason, table, cookie: UINT64_MAX, ...NO_EXTRAS };
}

/** OpenFlow 1.2 and later, and Nicira's first form, which differs by how its match is framed. */
function readOf12(r: Reader, c: DecodeContext): PacketInFields {
  const nx = c.variant === 'nx';
  const bufferId = r.u32();
  const totalLen = r.u16();
  const reason = r.u8();
  const table = r.u8();
  const cookie = nx || c.version >= OF13 ? r.u64() : UINT64_MAX;
  let metadata: Match;
  if (nx) {
    const length = r.u16();
    r.skip(6);
    metadata = readNxMatch(r, length, metadataOptions(c));
  } else {
    metadata = readMatch(r, metadataOptions(c), true);
  }
  r.skip(2);
  return { packet: r.rest(), totalLen, bufferId, metadata, reason, table, cookie, ...NO_EXTRAS };
}

/** A property of at least one byte. */
function byteOf({ payload }: Property): number {
  return payload.u8();
}

/** Nicira's second form, also of NXT_RESUME: all is properties. */
function readNx2(r: Reader, c: DecodeContext): PacketInFields {
  const loose = c.raw.kind === 'packet_in';
  const fields = {
    packet: NO_BYTES as Uint8Array,
    totalLen: 0,
    bufferId: NO_BUFFER,
    metadata: new Match(),
    reason: 0,
    table: 0,
    cookie: UINT64_MAX,
    userdata: NO_BYTES as Uint8Array,
    continuation: NO_BYTES as Uint8Array,
  };
  for (const property of readProperties(r)) {
    const { payload } = property;
    switch (property.experimenter === 0 ? property.type : -1) {
      case PROP_PACKET:
        fields.packet = payload.rest();
        break;
      case PROP_FULL_LEN:
        fields.totalLen = propertyU32(property);
        break;
      case PROP_BUFFER_ID:
        fields.bufferId = propertyU32(property);
        break;
      case PROP_TABLE_ID:
        fields.table = byteOf(property);
        break;
      case PROP_COOKIE:
        fields.cookie = propertyU64(property);
        break;
      case PROP_REASON:
        fields.reason = byteOf(property);
        break;
      case PROP_METADATA:
        fields.metadata = readOxmList(payload, { ...c.options, loose });
        break;
      case PROP_USERDATA:
        fields.userdata = payload.rest();
        break;
      case PROP_CONTINUATION:
        fields.continuation = nestedPayload(property).rest();
        break;
      default:
        if (!loose) throw unknownProperty(property, c.raw.name);
    }
  }
  const { length } = fields.packet;
  if (length === 0) reject('OFPBRC_BAD_LEN', `${c.raw.name} has no packet`);
  if (fields.totalLen === 0) fields.totalLen = length;
  if (fields.totalLen < length) {
    reject(
      'OFPBRC_BAD_LEN',
      `${c.raw.name}: a packet of ${fields.totalLen} bytes of which ${length} are given`,
    );
  }
  return fields;
}

function writeNx2(m: PacketIn | Resume, { w, version }: MessageWriter): void {
  writeProperty(w, PROP_PACKET, () => w.put(m.packet));
  if (m.totalLen !== m.packet.length) writeProperty(w, PROP_FULL_LEN, () => w.u32(m.totalLen));
  if (m.bufferId !== NO_BUFFER) writeProperty(w, PROP_BUFFER_ID, () => w.u32(m.bufferId));
  writeProperty(w, PROP_TABLE_ID, () => w.u8(m.table));
  if (m.cookie !== UINT64_MAX) writeProperty(w, PROP_COOKIE, () => w.u64(m.cookie), true);
  writeProperty(w, PROP_REASON, () => w.u8(packetInReasonToWire(m.reason, version)));
  writeProperty(w, PROP_METADATA, () => writeOxmList(w, m.metadata, version));
  if (m.continuation.length > 0) writeProperty(w, PROP_CONTINUATION, () => w.put(m.continuation), true);
  if (m.userdata.length > 0 && m.kind === 'packet_in')
    writeProperty(w, PROP_USERDATA, () => w.put(m.userdata));
}

/** The packet that a message has room for, `head` bytes before it: its length is a 16-bit number. */
function writePacket(w: Writer, packet: Uint8Array): void {
  w.put(packet.subarray(0, Math.max(0, 0xffff - w.length)));
}

function writePacketIn(m: PacketIn, out: MessageWriter): void {
  const { w, version, variant } = out;
  if (variant === 'nx2') {
    writeNx2(m, out);
    return;
  }
  const reason = packetInReasonToWire(m.reason, version);
  const inPort = getNumber(m.metadata.flow, F.inPortOxm);
  const totalLen = Math.min(m.totalLen, 0xffff);
  w.u32(m.bufferId);
  if (version === OF11 && variant === 'std') {
    w.u32(inPort);
    w.u32(inPort);
  }
  w.u16(totalLen);
  if (version === OF10 && variant === 'std') {
    w.u16(portToWire16(inPort));
    w.u8(reason);
    w.u8(0);
  } else {
    w.u8(reason);
    w.u8(m.table);
    if (variant === 'nx') {
      w.u64(m.cookie);
      const lengthAt = w.zeros(8);
      w.setU16(lengthAt, writeNxMatch(w, m.metadata));
      w.u16(0);
    } else if (version >= OF12) {
      if (version >= OF13) w.u64(m.cookie);
      writeOxmMatch(w, m.metadata, version);
      w.u16(0);
    }
  }
  writePacket(w, m.packet);
}

const packetIn = codec(
  ['packet_in'],
  (r, c) => {
    if (c.variant === 'nx2') return { ...head(c, 'packet_in'), ...readNx2(r, c) };
    const read =
      c.variant === 'nx' || c.version >= OF12 ? readOf12 : c.version === OF11 ? readOf11 : readOf10;
    return { ...head(c, 'packet_in'), ...read(r, c) };
  },
  writePacketIn,
);

const resume = codec(
  ['resume'],
  (r, c) => ({ ...head(c, kindOf(c, ['resume'])), ...readNx2(r, c) }),
  writeNx2,
);

export const packetInCodecs: readonly Codec[] = [packetIn, resume];
