/**
 * Matches of ACLs, from the API's members to the text of universal flows. One match of the API may be several there: both
 * families of addresses, each pair of networks, each block of ports. What can never match anything is refused: a rule
 * that does nothing is a rule that its author is mistaken about.
 */
import type { AclMatch } from '../api-schema/network.ts';
import { WeftError } from '../base/errors.ts';
import { contains, type Network, parseNetwork } from './model/addresses.ts';

/** The most matches that one rule may come to: each is a flow on every host that has the switch. */
export const MAX_ACL_MATCHES = 2048;

/** A match that cannot work; `member` is a JSON pointer into the ACL, such as "/match/source/1". */
export class AclMatchError extends WeftError {
  declare readonly code: 'acl-match';
  readonly member: string;
  readonly value: unknown;

  constructor(member: string, value: unknown, message: string, remedy: string) {
    super('acl-match', `${member}: ${message}`, { remedy });
    this.member = member;
    this.value = value;
  }
}

type Family = 4 | 6;
type L4 = 'tcp' | 'udp' | 'sctp';

/** IP protocols that have a name, by number (IANA, "Assigned Internet Protocol Numbers"). */
const NAMED = new Map<string | number, 'icmp' | 'icmpv6' | L4>([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
]);
const ETHER_TYPES = new Map<string | number, 'ipv4' | 'ipv6' | 'arp'>([
  [0x0800, 'ipv4'],
  [0x86dd, 'ipv6'],
  [0x0806, 'arp'],
]);

function fail(member: string, value: unknown, message: string, remedy: string): never {
  throw new AclMatchError(`/match/${member}`, value, message, remedy);
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}

/** Networks that lie in no other, the widest first. Lists are long, so that none is held against each. */
function withoutInner(networks: readonly Network[]): Network[] {
  const kept: Network[] = [];
  // In the order of addresses what is inside comes behind what it is inside of, and before anything beyond that.
  const inOrder = networks.toSorted(
    (a, b) => Buffer.compare(a.base.bytes, b.base.bytes) || a.length - b.length,
  );
  const last = new Map<Family, Network>();
  for (const network of inOrder) {
    const wider = last.get(network.base.family);
    if (wider !== undefined && contains(wider, network.base)) continue;
    last.set(network.base.family, network);
    kept.push(network);
  }
  const places = new Map(networks.map((network, i) => [network, i]));
  return kept.sort((a, b) => a.length - b.length || places.get(a)! - places.get(b)!);
}

/** The networks of a member by family, without those that lie within others. */
function networksOf(member: 'source' | 'destination', match: AclMatch): Record<Family, Network[]> {
  const byFamily: Record<Family, Network[]> = { 4: [], 6: [] };
  const all = listOf(match[member]).map((text, i) => {
    const network = parseNetwork(text);
    if (network === undefined) {
      const at = Array.isArray(match[member]) ? `${member}/${i}` : member;
      fail(
        at,
        text,
        `"${text}" is no address and no network`,
        'write "10.0.0.1", "10.0.0.0/24" or "fd00::/64"',
      );
    }
    return network;
  });
  for (const network of withoutInner(all)) byFamily[network.base.family].push(network);
  return byFamily;
}

/** The families that a match is about; undefined if it is about no IP at all, or about any. */
function families(match: AclMatch): readonly Family[] | undefined {
  const type = ETHER_TYPES.get(match.etherType ?? '') ?? match.etherType;
  const protocol = NAMED.get(match.protocol ?? '') ?? match.protocol;
  const fixed: readonly [string, unknown, Family | undefined][] = [
    ['etherType', match.etherType, type === 'ipv4' ? 4 : type === 'ipv6' ? 6 : undefined],
    ['protocol', match.protocol, protocol === 'icmp' ? 4 : protocol === 'icmpv6' ? 6 : undefined],
  ];
  let allowed: Family[] = [4, 6];
  let why = '';
  for (const [member, value, family] of fixed) {
    if (family === undefined) continue;
    if (!allowed.includes(family)) {
      fail(member, value, `is IPv${family}, and ${why} is not`, 'make the members agree, or make two rules');
    }
    allowed = [family];
    why = member;
  }
  for (const member of ['source', 'destination'] as const) {
    if (match[member] === undefined) continue;
    const here = ([4, 6] as const).filter((family) => networksOf(member, match)[family].length > 0);
    const useless = here.find((family) => !allowed.includes(family));
    if (useless !== undefined) {
      const index = listOf(match[member]).findIndex((text) => parseNetwork(text)?.base.family === useless);
      const at = Array.isArray(match[member]) ? `${member}/${index}` : member;
      fail(
        at,
        listOf(match[member])[index],
        `is IPv${useless}, and ${why} is not: no packet is both`,
        'take it out, or make a rule of its own for it',
      );
    }
    allowed = allowed.filter((family) => here.includes(family));
    why = member;
  }
  return why === '' && match.protocol === undefined ? undefined : allowed;
}

/** Numbers from and to, both included, as few values with masks as there are: 8000-8007 is 8000/0xfff8. */
export function rangeMasks(from: number, to: number): string[] {
  const masks: string[] = [];
  for (let low = from; low <= to; ) {
    let size = low === 0 ? 0x10000 : low & -low;
    while (low + size - 1 > to) size /= 2;
    masks.push(
      size === 1 ? String(low) : size === 0x10000 ? '' : `${low}/0x${(0x10000 - size).toString(16)}`,
    );
    low += size;
  }
  return masks;
}

/** Lists of ports and ranges, joined where they meet or overlap. */
function portMasks(member: 'sourcePorts' | 'destinationPorts', match: AclMatch): string[] {
  const given = match[member];
  const ranges = listOf<number | string>(given).map((ports, i): [number, number] => {
    const [from = Number.NaN, to = from] = String(ports).split('-').map(Number);
    if (!(from <= to && to <= 0xffff)) {
      const at = Array.isArray(given) ? `${member}/${i}` : member;
      fail(at, ports, `"${ports}" is no port and no range of ports`, 'write 80 or "8000-8080", up to 65535');
    }
    return [from, to];
  });
  ranges.sort(([a], [b]) => a - b);
  const joined: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined.flatMap(([from, to]) => rangeMasks(from, to));
}

/** What only goes with some protocols. */
function checkLayers(match: AclMatch): void {
  const type = ETHER_TYPES.get(match.etherType ?? '') ?? match.etherType;
  const protocol = NAMED.get(match.protocol ?? '') ?? match.protocol;
  const ip = type === undefined || type === 'ipv4' || type === 'ipv6';
  if (!ip && match.protocol !== undefined) {
    fail(
      'protocol',
      match.protocol,
      `is of IP, and etherType is ${match.etherType}`,
      'leave one of them out',
    );
  }
  for (const member of ['source', 'destination'] as const) {
    if (match[member] === undefined || ip || type === 'arp') continue;
    fail(member, match[member], `is of IP, and etherType is ${match.etherType}`, 'leave one of them out');
  }
  if (type === 'arp') {
    for (const member of ['source', 'destination'] as const) {
      if (networksOf(member, match)[6].length === 0) continue;
      fail(member, match[member], 'has IPv6 addresses, and ARP is of IPv4', 'take them out');
    }
  }
  for (const member of ['sourcePorts', 'destinationPorts'] as const) {
    if (match[member] === undefined || protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp')
      continue;
    fail(member, match[member], 'needs a protocol that has ports', 'give "protocol": "tcp", "udp" or "sctp"');
  }
  for (const member of ['icmpType', 'icmpCode'] as const) {
    if (match[member] === undefined || protocol === 'icmp' || protocol === 'icmpv6') continue;
    fail(member, match[member], 'needs ICMP', 'give "protocol": "icmp" or "icmpv6"');
  }
}

function addressItem(field: string, network: Network): string {
  if (network.length === 0) return '';
  const host = network.length === network.base.bytes.length * 8;
  return `${field}=${network.base.text}${host ? '' : `/${network.length}`}`;
}

/** The word for protocol and family, and what it needs beside it. */
function protocolItem(match: AclMatch, family: Family): string {
  const six = family === 6 ? '6' : '';
  const protocol = NAMED.get(match.protocol ?? '') ?? match.protocol;
  if (protocol === undefined) return family === 6 ? 'ipv6' : 'ip';
  if (protocol === 'icmp') return 'icmp';
  if (protocol === 'icmpv6') return 'icmp6';
  if (typeof protocol === 'string') return `${protocol}${six}`;
  return `${family === 6 ? 'ipv6' : 'ip'},nw_proto=${protocol}`;
}

/**
 * The matches that an API match comes to, in a fixed order, in the words of `src/logical/compile.ts`. "" is every packet.
 * @throws AclMatchError (`acl-match`) where the match could never match, or comes to more than {@link MAX_ACL_MATCHES}
 */
export function compileAclMatch(match: AclMatch): string[] {
  checkLayers(match);
  const macs: string[] = [];
  if (match.sourceMac !== undefined) macs.push(`dl_src=${match.sourceMac.toLowerCase()}`);
  if (match.destinationMac !== undefined) macs.push(`dl_dst=${match.destinationMac.toLowerCase()}`);
  const type = ETHER_TYPES.get(match.etherType ?? '') ?? match.etherType;
  const source = networksOf('source', match);
  const destination = networksOf('destination', match);
  const some = (items: readonly string[]): readonly string[] => (items.length === 0 ? [''] : items);
  const texts: string[] = [];
  let cost = 0;

  const product = (front: readonly string[], lists: readonly (readonly string[])[]): void => {
    cost += lists.reduce((n, list) => n * list.length, 1);
    if (cost > MAX_ACL_MATCHES) {
      const factors = lists.map((list) => list.length).join(' x ');
      throw new AclMatchError(
        '/match',
        match,
        `comes to ${cost} flows (${factors}: sources, destinations, blocks of source and destination ports), and one rule may come to ${MAX_ACL_MATCHES}`,
        'name wider networks and ranges of ports that begin at powers of two, or split the rule',
      );
    }
    let found: string[][] = [[...front]];
    for (const list of lists) found = found.flatMap((head) => list.map((item) => [...head, item]));
    for (const items of found) texts.push(items.filter((item) => item !== '').join(','));
  };

  if (type === 'arp') {
    const addresses = (field: string, networks: readonly Network[]): readonly string[] =>
      some(networks.map((network) => addressItem(field, network)));
    product([...macs, 'arp'], [addresses('arp_spa', source[4]), addresses('arp_tpa', destination[4])]);
    return texts;
  }
  if (typeof type === 'number') return [[...macs, `dl_type=0x${type.toString(16)}`].join(',')];
  const about = families(match);
  if (about === undefined) return [macs.join(',')];

  const ports = (field: string, member: 'sourcePorts' | 'destinationPorts'): readonly string[] =>
    some(portMasks(member, match).map((mask) => (mask === '' ? '' : `${field}=${mask}`)));
  const icmp: string[] = [];
  if (match.icmpType !== undefined) icmp.push(`icmp_type=${match.icmpType}`);
  if (match.icmpCode !== undefined) icmp.push(`icmp_code=${match.icmpCode}`);
  for (const family of about) {
    const [src, dst] = family === 4 ? ['nw_src', 'nw_dst'] : ['ipv6_src', 'ipv6_dst'];
    product(
      [...macs, protocolItem(match, family), ...icmp],
      [
        some(source[family].map((network) => addressItem(src, network))),
        some(destination[family].map((network) => addressItem(dst, network))),
        ports('tp_src', 'sourcePorts'),
        ports('tp_dst', 'destinationPorts'),
      ],
    );
  }
  return texts;
}
