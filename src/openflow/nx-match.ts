/**
 * Matches as lists of OXM or NXM entries: reading them with the checks that a switch owes (order of
 * prerequisites, duplicates, masks, values), and writing them in the order and with the numbers that
 * Open vSwitch uses for each version.
 */
import { WeftError } from '../base/errors.ts';
import type { Field } from '../flow/field.ts';
import {
  getField,
  getMask,
  getNumber,
  isFieldExact,
  isFieldWild,
  isMaskValid,
  isValueValid,
  ones,
  tunMetadataPresent,
} from '../flow/field-access.ts';
import { F, isPipelineField, REG_FIELDS, TUN_METADATA_FIELDS, XREG_FIELDS } from '../flow/fields.ts';
import * as L from '../flow/layout.ts';
import { Match } from '../flow/match.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_IPV6,
  ETH_TYPE_RARP,
  ethType,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  isMpls,
  isNd,
  matchPrerequisitesMet,
  ND_ADVERT,
  ND_SOLICIT,
} from '../flow/prerequisites.ts';
import { LocalTunnelMetadata, mapField, type TunnelMetadataMap } from '../flow/tun-metadata.ts';
import { Reader, roundUp, type Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import {
  fieldNumber,
  NXM,
  oxmText,
  oxmValueLength,
  readOxmEntry,
  writeOxmEntry,
  writeOxmHeader,
  writeOxmNumber,
} from './oxm.ts';
import { OF15 } from './version.ts';

/** Cookie and mask, which NXM flow mods and requests carry among the match's entries. */
export interface CookieMatch {
  cookie: bigint;
  cookieMask: bigint;
}

const COOKIE_CLASS = 1;
const COOKIE_FIELD = 30;
const U64 = 0xffffffffffffffffn;

export interface MatchOptions {
  /**
   * Skip entries that are not known, and don't ask for prerequisites: for metadata of a packet, which
   * has no headers there.
   */
  readonly loose?: boolean;
  /** Only pipeline fields may stand there (a packet-out of OpenFlow 1.5). */
  readonly pipelineOnly?: boolean;
  /** The switch's table of tunnel options; without it each match finds its own places for them. */
  readonly tun?: TunnelMetadataMap;
  /** A match that becomes the one that is read. Default: a new one. */
  readonly into?: Match;
}

/** Ethernet is what packets are unless told otherwise: says so, where the match says nothing. */
export function setDefaultPacketType(match: Match): void {
  if (match.mask[L.W_PACKET_TYPE] === 0) match.setNumber(F.packetType, L.PT_ETH);
}

/**
 * Reads entries up to the end of `r`. Where `cookie` is given, entries for it may stand there too.
 * Throws {@link OfError} with the error that OpenFlow has for the first thing wrong.
 */
export function readOxmList(r: Reader, options: MatchOptions = {}, cookie?: CookieMatch): Match {
  const tun = options.tun ?? null;
  const match = options.into?.reset(tun) ?? new Match(tun);
  const start = r.pos;
  while (r.left > 0) {
    const at = r.pos - start;
    const entry = readOxmEntry(r);
    const { header } = entry;
    if (entry.field === null) {
      const isCookie =
        header.oxmClass === COOKIE_CLASS && header.field === COOKIE_FIELD && oxmValueLength(header) === 8;
      if (isCookie && cookie !== undefined) {
        if (cookie.cookieMask !== 0n) throw fail('OFPBMC_DUP_FIELD', 'cookie given twice', at);
        cookie.cookie = entry.value;
        cookie.cookieMask = entry.mask ?? U64;
        continue;
      }
      if (options.loose) continue;
      throw fail('OFPBMC_BAD_FIELD', `${oxmText(header)} is not known here`, at);
    }
    addEntry(match, entry.field, entry.value, entry.mask, options, at);
  }
  return match;
}

function fail(name: ConstructorParameters<typeof OfError>[0], what: string, at: number): OfError {
  return new OfError(name, `match entry at offset ${at}: ${what}`);
}

function addEntry(
  match: Match,
  catalogued: Field,
  value: bigint,
  mask: bigint | null,
  options: MatchOptions,
  at: number,
): void {
  const field = mapField(catalogued, options.tun ?? null);
  if (field.variableLength && field.offset < 0 && options.tun !== undefined) {
    throw fail('NXFMFC_INVALID_TLV_FIELD', `${field.name} is not mapped to a tunnel option`, at);
  }
  if (mask !== null && !isMaskValid(field, mask)) {
    throw fail('OFPBMC_BAD_MASK', `${field.name} cannot have the mask 0x${mask.toString(16)}`, at);
  }
  if (!isValueValid(field, value)) {
    throw fail('OFPBMC_BAD_VALUE', `${field.name} cannot be 0x${value.toString(16)}`, at);
  }
  if (!options.loose && !matchPrerequisitesMet(field, match.flow, match.mask)) {
    throw fail(
      'OFPBMC_BAD_PREREQ',
      `${field.name} wants ${field.prerequisite}, which no entry before it says`,
      at,
    );
  }
  if (!isFieldWild(match.mask, field)) throw fail('OFPBMC_DUP_FIELD', `${field.name} given twice`, at);
  if (options.pipelineOnly && !isPipelineField(field)) {
    throw fail('OFPBRC_PIPELINE_FIELDS_ONLY', `${field.name} is no pipeline field`, at);
  }
  const exact = mask === null || mask === ones(field.bytes * 8);
  try {
    match.set(field, value, exact ? undefined : mask);
  } catch (error) {
    if (error instanceof WeftError) throw fail('OFPBMC_BAD_VALUE', error.message, at);
    throw error;
  }
  match.addEthernetPrerequisite(field);
}

/** Reads an NXM match of `length` bytes and the zeros that pad it to a multiple of 8. */
export function readNxMatch(r: Reader, length: number, options?: MatchOptions, cookie?: CookieMatch): Match {
  const padded = roundUp(length, 8);
  if (padded > r.left) {
    throw new OfError('OFPBMC_BAD_LEN', `match of ${padded} bytes with padding, only ${r.left} are left`);
  }
  const entries = r.sub(length);
  r.skip(padded - length);
  return readOxmList(entries, options, cookie);
}

/** Reads a whole list of entries on its own. */
export function decodeOxmList(bytes: Uint8Array, options?: MatchOptions): Match {
  return readOxmList(new Reader(bytes), options);
}

/** Writes an NXM match, with the cookie if its mask is not 0, and pads to a multiple of 8. Returns its length. */
export function writeNxMatch(w: Writer, match: Match, cookie?: CookieMatch): number {
  const start = w.length;
  writeOxmList(w, match, NXM, cookie);
  const length = w.length - start;
  w.pad(8, start);
  return length;
}

/** Appends a match's fields, in Open vSwitch's order, and notes whether one of them implies Ethernet. */
class MatchWriter {
  impliesEthernet = false;
  private readonly w: Writer;
  private readonly match: Match;
  private readonly version: number;

  constructor(w: Writer, match: Match, version: number) {
    this.w = w;
    this.match = match;
    this.version = version;
  }

  /** Writes a field with its mask, unless wild. */
  put(field: Field): void {
    const { flow, mask } = this.match;
    if (isPlain(field)) {
      const bits = getNumber(mask, field);
      if (bits !== 0)
        this.number(field, getNumber(flow, field), bits === PLAIN_ONES[field.bits] ? null : bits);
      return;
    }
    if (isFieldWild(mask, field)) return;
    const value = getField(flow, field);
    this.entry(field, value, isFieldExact(mask, field) ? null : getMask(mask, field));
  }

  /** Writes a field that cannot be masked: exact if any bit of it matters. */
  putExact(field: Field): void {
    const { flow, mask } = this.match;
    if (isPlain(field)) {
      if (getNumber(mask, field) !== 0) this.number(field, getNumber(flow, field), null);
    } else if (!isFieldWild(mask, field)) this.entry(field, getField(flow, field), null);
  }

  putAll(...fields: readonly Field[]): void {
    for (const field of fields) this.put(field);
  }

  private number(field: Field, value: number, mask: number | null): void {
    writeOxmNumber(this.w, field, this.version, value, mask);
    if (field.prerequisite !== 'none') this.impliesEthernet = true;
  }

  entry(field: Field, value: bigint, mask: bigint | null): void {
    writeOxmEntry(this.w, field, this.version, value, mask);
    if (field.prerequisite !== 'none') this.impliesEthernet = true;
  }
}

const TUNNEL_FIELDS: readonly Field[] = [
  F.tunId,
  F.tunFlags,
  F.tunSrc,
  F.tunDst,
  F.tunIpv6Src,
  F.tunIpv6Dst,
  F.tunGbpId,
  F.tunGbpFlags,
];
const ERSPAN_AND_GTP_FIELDS: readonly Field[] = [
  F.tunErspanIdx,
  F.tunErspanVer,
  F.tunErspanDir,
  F.tunErspanHwid,
  F.tunGtpuFlags,
  F.tunGtpuMsgtype,
];
const NSH_FIELDS: readonly Field[] = [
  F.nshFlags,
  F.nshTtl,
  F.nshMdtype,
  F.nshNp,
  F.nshSpi,
  F.nshSi,
  F.nshC1,
  F.nshC2,
  F.nshC3,
  F.nshC4,
];

/** Whether a field's value is a number that stands in the key as it is. */
const isPlain = (field: Field): boolean => !field.special && field.bits <= 32;

/** All ones in so many bits. */
const PLAIN_ONES: readonly number[] = Array.from({ length: 33 }, (_, bits) => 2 ** bits - 1);

/** Whether a mask has bits in the words from `first` up to `end`. */
function looksAt(mask: L.Flow, first: number, end: number): boolean {
  for (let word = first; word < end; word++) if (mask[word] !== 0) return true;
  return false;
}

/**
 * Writes a match's entries, without padding. `version` {@link NXM} prefers Nicira's numbers; else
 * those of that OpenFlow version.
 */
export function writeOxmList(w: Writer, match: Match, version: number, cookie?: CookieMatch): void {
  const { flow, mask } = match;
  const start = w.length;
  const m = new MatchWriter(w, match, version);
  const defaultPacketType = mask[L.W_PACKET_TYPE] === 0xffffffff && flow[L.W_PACKET_TYPE] === L.PT_ETH;
  if (!defaultPacketType) m.put(F.packetType);
  m.put(F.dpHash);
  m.putExact(F.recircId);
  m.putExact(F.conjId);
  m.putExact(version === NXM ? F.inPort : F.inPortOxm);
  m.putExact(F.actsetOutput);
  m.putAll(F.ethSrc, F.ethDst, F.ethType);
  putVlan(m, match, version);
  if (isMpls(flow)) {
    m.putExact(F.mplsTc);
    m.putExact(F.mplsBos);
    m.putExact(F.mplsTtl);
    m.putExact(F.mplsLabel);
  }
  const type = ethType(flow);
  if (type === ETH_TYPE_IP || type === ETH_TYPE_IPV6) {
    putIp(m, match, version, type);
  } else if (type === ETH_TYPE_ARP || type === ETH_TYPE_RARP) {
    m.putExact(F.arpOp);
    m.putAll(F.arpSpa, F.arpTpa, F.arpSha, F.arpTha);
  }
  const tunneled = looksAt(mask, L.W_TUN_ID, L.W_TUN_TP + 1);
  if (tunneled) m.putAll(...TUNNEL_FIELDS);
  putTunMetadata(m, match);
  if (tunneled) m.putAll(...ERSPAN_AND_GTP_FIELDS);
  if (looksAt(mask, L.W_NSH, L.W_TP)) m.putAll(...NSH_FIELDS);
  if (looksAt(mask, L.W_REG, L.W_REG + L.N_REGS)) m.putAll(...(version < OF15 ? REG_FIELDS : XREG_FIELDS));
  m.putAll(F.pktMark, F.ctState, F.ctZone, F.ctMark, F.ctLabel);
  if (looksAt(mask, L.W_CT_NW_SRC, L.W_ND_TARGET)) m.putAll(F.ctNwSrc, F.ctIpv6Src, F.ctNwDst, F.ctIpv6Dst);
  if (((flow[L.W_CT_STATE] >>> 16) & 0xff) !== 0) m.putAll(F.ctNwProto, F.ctTpSrc, F.ctTpDst);
  m.put(F.metadata);
  if (cookie !== undefined && cookie.cookieMask !== 0n) putCookie(w, cookie);
  if (defaultPacketType && !m.impliesEthernet) insertPacketType(w, start, version);
}

/** Nothing else said that packets are Ethernet: the packet type itself must, and it stands first. */
function insertPacketType(w: Writer, start: number, version: number): void {
  const rest = w.slice(start);
  w.truncate(start);
  writeOxmHeader(w, fieldNumber(F.packetType, version), 4, false);
  w.u32(L.PT_ETH);
  w.put(rest);
}

function putCookie(w: Writer, { cookie, cookieMask }: CookieMatch): void {
  const exact = cookieMask === U64;
  w.u16(COOKIE_CLASS);
  w.u16((COOKIE_FIELD << 9) | (exact ? 8 : 0x100 | 16));
  w.u64(cookie & cookieMask);
  if (!exact) w.u64(cookieMask);
}

function putVlan(m: MatchWriter, { flow, mask }: Match, version: number): void {
  if (version === NXM) {
    m.put(F.vlanTci);
    return;
  }
  const tciMask = mask[L.W_VLAN] & 0xffff;
  m.put(F.vlanVid);
  // A priority without a tag is nothing that OXM can ask for.
  const present = (flow[L.W_VLAN] & L.VLAN_CFI) !== 0;
  if (present && (tciMask & 0xe000) !== 0) m.entry(F.vlanPcp, getField(flow, F.vlanPcp), null);
}

function putTunMetadata(m: MatchWriter, { flow, mask, tun }: Match): void {
  if (mask[L.W_TUN_METADATA_PRESENT] === 0 && mask[L.W_TUN_METADATA_PRESENT + 1] === 0) return;
  TUN_METADATA_FIELDS.forEach((catalogued, n) => {
    if (!tunMetadataPresent(mask, catalogued)) return;
    const field = tun?.field(n) ?? null;
    if (field === null) return;
    const bits = getField(mask, field);
    const masked =
      tun instanceof LocalTunnelMetadata ? tun.wasMasked(n) : field.bits === 0 || bits !== ones(field.bits);
    m.entry(field, getField(flow, field), masked ? bits : null);
  });
}

function putIp(m: MatchWriter, match: Match, version: number, type: number): void {
  const { flow, mask } = match;
  if (type === ETH_TYPE_IP) m.putAll(F.ipSrc, F.ipDst);
  else m.putAll(F.ipv6Src, F.ipv6Dst);
  m.put(F.ipFrag);
  m.putExact(version === NXM ? F.nwTos : F.ipDscp);
  m.putExact(F.nwEcn);
  m.putExact(F.nwTtl);
  m.put(F.ipv6Label);
  if (isFieldWild(mask, F.nwProto)) return;
  m.putExact(F.nwProto);
  switch (Number(getField(flow, F.nwProto))) {
    case IPPROTO_TCP:
      m.putAll(F.tcpSrc, F.tcpDst, F.tcpFlags);
      break;
    case IPPROTO_UDP:
      m.putAll(F.udpSrc, F.udpDst);
      break;
    case IPPROTO_SCTP:
      m.putAll(F.sctpSrc, F.sctpDst);
      break;
    case IPPROTO_ICMP:
      if (type !== ETH_TYPE_IP) break;
      m.putExact(F.icmpType);
      m.putExact(F.icmpCode);
      break;
    case IPPROTO_ICMPV6:
      if (type === ETH_TYPE_IPV6) putIcmpv6(m, flow);
      break;
  }
}

function putIcmpv6(m: MatchWriter, flow: L.Flow): void {
  m.putExact(F.icmpv6Type);
  m.putExact(F.icmpv6Code);
  if (!isNd(flow, null)) return;
  m.putExact(F.ndReserved);
  m.put(F.ndTarget);
  m.putExact(F.ndOptionsType);
  const icmpType = flow[L.W_TP] >>> 16;
  if (icmpType === ND_SOLICIT) m.put(F.ndSll);
  if (icmpType === ND_ADVERT) m.put(F.ndTll);
}
