/** Reads matches in the syntax of ovs-ofctl. */
import { WeftError } from '../base/errors.ts';
import type { Field } from './field.ts';
import { ones } from './field-access.ts';
import { formatFieldText, parseFieldText, parseInteger } from './field-text.ts';
import { F, fieldByName } from './fields.ts';
import * as L from './layout.ts';
import { Match } from './match.ts';
import type { PortNames } from './port-text.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_IPV6,
  ETH_TYPE_MPLS,
  ETH_TYPE_MPLS_MCAST,
  ETH_TYPE_RARP,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from './prerequisites.ts';
import { parseSubfield } from './subfield-text.ts';
import type { TunnelMetadataMap } from './tun-metadata.ts';

export interface MatchParseOptions {
  readonly ports?: PortNames | null;
  readonly tun?: TunnelMetadataMap | null;
}

/** Ethernet type and IP protocol (0: any) that a word alone asks for. */
const PROTOCOL_WORDS: ReadonlyMap<string, readonly [number, number]> = new Map([
  ['ip', [ETH_TYPE_IP, 0]],
  ['ipv4', [ETH_TYPE_IP, 0]],
  ['ip4', [ETH_TYPE_IP, 0]],
  ['arp', [ETH_TYPE_ARP, 0]],
  ['icmp', [ETH_TYPE_IP, IPPROTO_ICMP]],
  ['tcp', [ETH_TYPE_IP, IPPROTO_TCP]],
  ['udp', [ETH_TYPE_IP, IPPROTO_UDP]],
  ['sctp', [ETH_TYPE_IP, IPPROTO_SCTP]],
  ['ipv6', [ETH_TYPE_IPV6, 0]],
  ['ip6', [ETH_TYPE_IPV6, 0]],
  ['icmp6', [ETH_TYPE_IPV6, IPPROTO_ICMPV6]],
  ['tcp6', [ETH_TYPE_IPV6, IPPROTO_TCP]],
  ['udp6', [ETH_TYPE_IPV6, IPPROTO_UDP]],
  ['sctp6', [ETH_TYPE_IPV6, IPPROTO_SCTP]],
  ['rarp', [ETH_TYPE_RARP, 0]],
  ['mpls', [ETH_TYPE_MPLS, 0]],
  ['mplsm', [ETH_TYPE_MPLS_MCAST, 0]],
]);

export interface KeyValue {
  readonly key: string;
  /** '' if there was none. */
  readonly value: string;
  /** `key` as it stood before its value: "", "=", ":" or "(". */
  readonly delimiter: string;
}

const SPACE = ', \t\r\n';

/** Index of the first character of `delimiters` outside parentheses, or the text's end. */
function valueEnd(text: string, from: number, delimiters: string): number {
  let i = from;
  while (i < text.length && !delimiters.includes(text[i])) {
    if (text[i] !== '(') {
      i++;
      continue;
    }
    let level = 0;
    do {
      if (i >= text.length) return i;
      if (text[i] === '(') level++;
      else if (text[i] === ')') level--;
      i++;
    } while (level > 0);
  }
  return i;
}

/**
 * Splits a list of keys and values as flow texts have them: `key`, `key=value`, `key:value` and
 * `key(value)`, between commas or white space; parentheses nest. `load(...)->x` keeps its arrow.
 */
export function splitKeyValues(text: string): KeyValue[] {
  const pairs: KeyValue[] = [];
  let i = 0;
  for (;;) {
    while (i < text.length && SPACE.includes(text[i])) i++;
    if (i >= text.length) return pairs;
    const start = i;
    while (i < text.length && !':=(, \t\r\n'.includes(text[i])) i++;
    const key = text.slice(start, i);
    const delimiter = text[i] ?? '';
    i++;
    if (delimiter !== '=' && delimiter !== ':' && delimiter !== '(') {
      pairs.push({ key, value: '', delimiter: '' });
      continue;
    }
    const from = i;
    i = valueEnd(text, from, delimiter === '(' ? ')' : SPACE);
    if (delimiter === '(' && text.startsWith(')->', i)) i = valueEnd(text, i, SPACE);
    pairs.push({ key, value: text.slice(from, i), delimiter });
    i++;
  }
}

/**
 * Adds what one word of a flow text asks for to a match: a protocol ("tcp6"), "eth", a field, or some
 * bits of a field ("reg0[0..3]=5"). Returns false if the word is none of these.
 * @throws WeftError `field-value`, `subfield-syntax` or `bad-match-field`, in the words of ovs-ofctl.
 */
export function parseMatchWord(
  match: Match,
  key: string,
  value: string,
  options: MatchParseOptions = {},
): boolean {
  const protocol = PROTOCOL_WORDS.get(key);
  if (protocol !== undefined) {
    match.setNumber(F.ethType, protocol[0]);
    if (protocol[1] !== 0) match.setNumber(F.nwProto, protocol[1]);
    if (match.mask[L.W_PACKET_TYPE] === 0) match.setNumber(F.packetType, L.PT_ETH);
    return true;
  }
  if (key === 'eth') {
    match.setNumber(F.packetType, L.PT_ETH);
    return true;
  }
  const field = fieldByName(key);
  if (field !== null) {
    setFieldText(match, field, value, options);
    return true;
  }
  if (key.includes('[')) {
    setSubfieldText(match, key, value);
    return true;
  }
  return false;
}

function setFieldText(match: Match, field: Field, value: string, options: MatchParseOptions): void {
  // A field without a value asks that it be there, whatever it holds.
  const parsed = parseFieldText(field, value === '' ? '0/0' : value, options.ports ?? null);
  const exact = parsed.mask === ones(field.bytes * 8);
  match.set(field, parsed.value, exact ? undefined : parsed.mask);
  match.addEthernetPrerequisite(field);
}

function setSubfieldText(match: Match, key: string, text: string): void {
  const sf = parseSubfield(key);
  const value = parseInteger(text, sf.field.bytes);
  const fail = (message: string) =>
    new WeftError('field-value', message, { remedy: `write an integer of at most ${sf.bits} bits` });
  if (value === null) throw fail(`${key}: cannot parse integer value: ${text}`);
  if (value > ones(sf.bits)) {
    throw fail(`${key}: value ${formatFieldText(sf.field, value)} does not fit into ${sf.bits} bits`);
  }
  const old = match.get(sf.field);
  const bits = ones(sf.bits) << BigInt(sf.ofs);
  match.set(sf.field, (old.value & ~bits) | (value << BigInt(sf.ofs)), old.mask | bits);
  match.addEthernetPrerequisite(sf.field);
}

/** What a whole flow text needs once its last word is read. */
export function finishMatch(match: Match): Match {
  if (match.mask[L.W_PACKET_TYPE] === 0xffffffff && match.flow[L.W_PACKET_TYPE] >>> 16 === 1) {
    // A packet without Ethernet header has the Ethernet type in its packet type; what follows
    // (prerequisites, formatting) looks for it where others have it.
    match.flow[L.W_ETH_TYPE] = match.flow[L.W_PACKET_TYPE] << 16;
  }
  return match;
}

/**
 * Reads a match, such as `tcp,nw_src=10.0.0.0/8`, and nothing else.
 * @throws WeftError `match-syntax` for an unknown word, and what {@link parseMatchWord} throws.
 */
export function parseMatch(text: string, options: MatchParseOptions = {}): Match {
  const match = new Match(options.tun ?? null);
  for (const { key, value } of splitKeyValues(text)) {
    if (!parseMatchWord(match, key, value, options)) {
      throw new WeftError('match-syntax', `unknown keyword ${key}`, {
        remedy: 'see ovs-fields(7) for the fields that a flow can match',
      });
    }
  }
  return finishMatch(match);
}
