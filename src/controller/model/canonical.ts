/**
 * One text for one value: what fits its schema is put into the form in which it is stored and compared (MAC addresses
 * and UUIDs in lower case, IPv6 as of RFC 5952, networks without host bits), and what no such form exists for is
 * told. What only other objects can show to be wrong is left to `consistency.ts`.
 */
import { KINDS, type KindName, type SpecOf } from '../../api-schema/kinds.ts';
import type {
  Acl,
  AclMatch,
  AddressBinding,
  LogicalPort,
  RouterPort,
  StaticRoute,
} from '../../api-schema/network.ts';
import type { TransportNode } from '../../api-schema/platform.ts';
import { notHost, notUnicast, notUnicastMac, parseIp, parseNetwork } from './addresses.ts';
import { type Problem, show, step } from './problem.ts';

/** Reads values of one object and collects what is wrong with them. */
class Reader {
  readonly problems: Problem[] = [];

  add(member: string, value: unknown, complaint: string, remedy: string): void {
    this.problems.push({ member, value, message: `${show(value)} ${complaint}`, remedy });
  }

  mac(member: string, text: string): string {
    const mac = text.toLowerCase();
    const bad = notUnicastMac(mac);
    if (bad !== undefined)
      this.add(member, text, bad, 'give the MAC address of one machine, such as "02:00:00:00:00:01"');
    return mac;
  }

  ip(member: string, text: string): string {
    const ip = parseIp(text);
    const bad = ip === undefined ? 'is no IP address' : notUnicast(ip);
    if (bad !== undefined) this.add(member, text, bad, 'give the address of one machine, such as "10.0.0.5"');
    return ip?.text ?? text;
  }

  ips(member: string, texts: readonly string[]): string[] {
    const seen = new Set<string>();
    return texts.map((text, i) => {
      const ip = this.ip(member + step(i), text);
      if (seen.has(ip)) this.add(member + step(i), text, 'is in the list already', 'name it once');
      seen.add(ip);
      return ip;
    });
  }

  /** A network without host bits; of one address, the address alone. */
  network(member: string, text: string): string {
    const network = parseNetwork(text);
    if (network === undefined) {
      this.add(member, text, 'is no network', 'write ADDRESS/LENGTH, such as "10.0.0.0/24"');
      return text;
    }
    const { address, base, length } = network;
    if (address.text !== base.text) {
      const remedy = `write "${base.text}/${length}" for the network, or "${address.text}" for the address`;
      this.add(member, text, `has bits set beyond its first ${length}`, remedy);
    }
    return length === base.bytes.length * 8 ? base.text : `${base.text}/${length}`;
  }

  /** The address of a host with the length of its network. */
  interfaceAddress(member: string, text: string): string {
    const network = text.includes('/') ? parseNetwork(text) : undefined;
    if (network === undefined) {
      this.add(member, text, 'is no address with a prefix length', 'write it as in "10.0.0.1/24"');
      return text;
    }
    const bad = notHost(network);
    if (bad !== undefined) this.add(member, text, bad, 'give an address that a host of the network can have');
    return `${network.address.text}/${network.length}`;
  }

  ports<T extends number | string>(member: string, ports: T): number | string {
    const [low, high = low] = String(ports).split('-').map(Number);
    if (low > 65535 || high > 65535) this.add(member, ports, 'is no port: they end at 65535', 'correct it');
    if (low > high) this.add(member, ports, 'ends before it begins', `write "${high}-${low}"`);
    return low === high ? low : `${low}-${high}`;
  }
}

/** What `T | T[]` holds, each read by `read`. */
function oneOrMany<T, U>(
  member: string,
  value: T | readonly T[] | undefined,
  read: (member: string, value: T) => U,
): U | U[] | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value)) return (value as readonly T[]).map((item, i) => read(member + step(i), item));
  return read(member, value as T);
}

/** `object` without the members that are undefined. */
function present<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

function port(spec: LogicalPort, r: Reader): LogicalPort {
  const addresses = (spec.addresses ?? []).map((address, i) => ({
    mac: r.mac(`/addresses/${i}/mac`, address.mac),
    ips: r.ips(`/addresses/${i}/ips`, address.ips ?? []),
  }));
  if (spec.qos?.burst !== undefined && spec.qos.rate === undefined) {
    r.add('/qos/burst', spec.qos.burst, 'is a burst without a rate', 'give "rate" too, or leave both out');
  }
  return { ...spec, addresses };
}

function routerPort(spec: RouterPort, r: Reader): RouterPort {
  return {
    ...spec,
    mac: r.mac('/mac', spec.mac),
    networks: spec.networks.map((text, i) => r.interfaceAddress(`/networks/${i}`, text)),
  };
}

function route(spec: StaticRoute, r: Reader): StaticRoute {
  const discard = spec.discard ?? false;
  if (discard === (spec.nextHop !== undefined)) {
    const said = discard ? 'discards, and has a next hop' : 'has no next hop';
    r.add('/nextHop', spec.nextHop, said, 'give either "nextHop" or "discard": true');
  }
  const prefix = r.network('/prefix', spec.prefix);
  const nextHop = spec.nextHop === undefined ? undefined : r.ip('/nextHop', spec.nextHop);
  const hop = nextHop === undefined ? undefined : parseIp(nextHop);
  const network = parseNetwork(prefix);
  if (hop !== undefined && network !== undefined && hop.family !== network.base.family) {
    r.add(
      '/nextHop',
      spec.nextHop,
      `is IPv${hop.family}, and the prefix is IPv${network.base.family}`,
      'give a next hop of the same family',
    );
  }
  return present({ ...spec, prefix, nextHop, discard });
}

function aclMatch(match: AclMatch, r: Reader): AclMatch {
  const mac = (member: string, text: string | undefined): string | undefined => {
    if (text === undefined) return undefined;
    // A destination may be a group; a source never is, but then the rule just matches nothing.
    if (member === '/match/sourceMac') return r.mac(member, text);
    return text.toLowerCase();
  };
  return present({
    ...match,
    sourceMac: mac('/match/sourceMac', match.sourceMac),
    destinationMac: mac('/match/destinationMac', match.destinationMac),
    source: oneOrMany('/match/source', match.source, (m, text: string) => r.network(m, text)),
    destination: oneOrMany('/match/destination', match.destination, (m, text: string) => r.network(m, text)),
    sourcePorts: oneOrMany('/match/sourcePorts', match.sourcePorts, (m, ports: number | string) =>
      r.ports(m, ports),
    ),
    destinationPorts: oneOrMany(
      '/match/destinationPorts',
      match.destinationPorts,
      (m, ports: number | string) => r.ports(m, ports),
    ),
  });
}

function acl(spec: Acl, r: Reader): Acl {
  if ((spec.port === undefined) === (spec.switch === undefined)) {
    const both = spec.port !== undefined;
    r.add(
      both ? '/switch' : '/port',
      both ? spec.switch : undefined,
      both ? 'is given beside a port' : 'is given, and no switch either',
      'give exactly one of "port" and "switch"',
    );
  }
  return { ...spec, match: aclMatch(spec.match, r) };
}

function binding(spec: AddressBinding, r: Reader): AddressBinding {
  return { ...spec, mac: r.mac('/mac', spec.mac), ips: r.ips('/ips', spec.ips ?? []) };
}

function node(spec: TransportNode, r: Reader): TransportNode {
  const seen = new Set<string>();
  const tunnels = spec.tunnels.map((tunnel, i) => {
    const address = r.ip(`/tunnels/${i}/address`, tunnel.address);
    const key = `${tunnel.encapsulation} ${address}`;
    if (seen.has(key)) r.add(`/tunnels/${i}`, tunnel, 'is in the list already', 'name it once');
    seen.add(key);
    return { ...tunnel, address };
  });
  return { ...spec, tunnels };
}

type Readers = { readonly [K in KindName]?: (spec: SpecOf<K>, reader: Reader) => SpecOf<K> };

const READERS: Readers = {
  'transport-node': node,
  'logical-port': port,
  'router-port': routerPort,
  'static-route': route,
  acl,
  'address-binding': binding,
};

/** The canonical form of a spec that fits its schema, defaults filled in, with what is wrong with it. */
export function canonical<K extends KindName>(
  kind: K,
  spec: SpecOf<K>,
): { readonly spec: SpecOf<K>; readonly problems: readonly Problem[] } {
  const lowered: Record<string, unknown> = { ...spec };
  for (const member of Object.keys(KINDS[kind].references)) {
    const id = lowered[member];
    if (typeof id === 'string') lowered[member] = id.toLowerCase();
  }
  const reader = new Reader();
  const read = READERS[kind] as ((spec: SpecOf<K>, reader: Reader) => SpecOf<K>) | undefined;
  const done = read === undefined ? (lowered as SpecOf<K>) : read(lowered as SpecOf<K>, reader);
  return { spec: done, problems: reader.problems };
}
