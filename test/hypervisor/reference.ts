/**
 * Who gets which frame, worked out from the objects of the API as their schema describes them: one packet at a time, with
 * loops over all objects, without stages, flows, labels' registers or hosts. Nothing of the rules is used here.
 */
import type { KindName, SpecOf, Stored } from '../../src/api-schema/kinds.ts';
import { aclMatches } from './acl-reference.ts';
import { ConnectionTables } from './connections.ts';
import { type ArpBody, type Frame, type IpBody, type L4, TCP_ACK, TCP_RST } from './frame.ts';
import { broadcastOf, inPrefix, isGroup, isLinkLocal, linkLocalOf, neverRouted } from './ip.ts';

export interface Delivery {
  /** UUID of the logical port whose machine gets it. */
  readonly port: string;
  readonly frame: Frame;
}

type Port = Stored<'logical-port'>;
type RouterPort = Stored<'router-port'>;
type Direction = 'from-port' | 'to-port';

/** Where a frame enters a switch: by a machine's port, or from a router by the router's port. */
type Entry = { readonly port: Port } | { readonly router: RouterPort };

export interface Surroundings {
  readonly objects: ReadonlyMap<string, Stored>;
  /** Whether a port's VIF is on some host. */
  located(port: Port): boolean;
  /** Ties between ports with one MAC address go to who was made first. */
  order(port: Stored): number;
}

const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export class Reference {
  readonly connections = new ConnectionTables();
  readonly #around: Surroundings;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** What becomes of a frame that the machine at a port sends. */
  send(id: string, frame: Frame): Delivery[] {
    const port = this.#around.objects.get(id) as Port | undefined;
    const out: Delivery[] = [];
    this.connections.packet();
    if (port !== undefined && this.#enabled(port) && this.#around.located(port)) {
      this.#intoSwitch(port.spec.switch, { port }, frame, out);
    }
    return out;
  }

  // --- What there is ------------------------------------------------------------------------------------------

  #all<K extends KindName>(kind: K): Stored<K>[] {
    const found: Stored<K>[] = [];
    for (const object of this.#around.objects.values()) {
      if (object.kind === kind && this.#enabled(object)) found.push(object as Stored<K>);
    }
    return found;
  }

  /** An object works if it and all that it names are there and enabled. */
  #enabled(object: Stored): boolean {
    const spec = object.spec as Readonly<Record<string, unknown>>;
    if (spec.enabled === false) return false;
    for (const member of ['tenant', 'switch', 'port', 'router']) {
      const id = spec[member];
      if (typeof id !== 'string') continue;
      const other = this.#around.objects.get(id);
      if (other === undefined || !this.#enabled(other)) return false;
    }
    return true;
  }

  #portsOf(on: string): Port[] {
    return this.#all('logical-port').filter((port) => port.spec.switch === on);
  }

  #routerPortsOf(on: string): RouterPort[] {
    return this.#all('router-port').filter((port) => port.spec.switch === on);
  }

  // --- Switches -------------------------------------------------------------------------------------------------

  #intoSwitch(on: string, entry: Entry, frame: Frame, out: Delivery[]): void {
    let current = frame;
    if ('port' in entry) {
      const { port } = entry;
      if (isGroup(frame.src) || !maySend(port, frame)) return;
      const verdict = this.#firewall(port, 'from-port', frame);
      if (verdict === 'reject') {
        // Straight back to who asked: it is the network's own word, not another machine's.
        const refusal = refused(frame);
        if (refusal !== undefined) out.push({ port: port.id, frame: refusal });
      }
      if (verdict !== 'pass') return;
      current = marked(port, frame);
      const answer = this.#neighborAnswer(on, current);
      if (answer !== undefined) {
        if (this.#around.located(port)) out.push({ port: port.id, frame: answer });
        return;
      }
    }
    this.#forward(on, entry, current, out);
  }

  #forward(on: string, entry: Entry, frame: Frame, out: Delivery[]): void {
    const from = 'port' in entry ? entry.port : undefined;
    if (isGroup(frame.dst)) {
      for (const port of this.#portsOf(on)) if (port.id !== from?.id) this.#toPort(port, frame, out);
      return;
    }
    const router = this.#first(this.#routerPortsOf(on).filter((rp) => rp.spec.mac === frame.dst));
    if (router !== undefined) {
      this.#route(router, frame, out);
      return;
    }
    const listing = this.#portsOf(on).filter((port) =>
      (port.spec.addresses ?? []).some(({ mac }) => mac === frame.dst),
    );
    const bound = this.#all('address-binding')
      .filter((b) => b.spec.switch === on && b.spec.mac === frame.dst)
      .map((b) => this.#portsOf(on).find((port) => port.id === b.spec.port))
      .filter((port) => port !== undefined);
    const known = this.#first(listing) ?? this.#first(bound);
    if (known !== undefined) {
      if (known.id !== from?.id) this.#toPort(known, frame, out);
      return;
    }
    const { spec } = this.#around.objects.get(on) as Stored<'logical-switch'>;
    if (spec.unknown !== 'flood') return;
    for (const port of this.#portsOf(on)) {
      if (port.id !== from?.id && (port.spec.addresses ?? []).length === 0) this.#toPort(port, frame, out);
    }
  }

  #first<T extends Stored>(objects: readonly T[]): T | undefined {
    return [...objects].sort((a, b) => this.#around.order(a) - this.#around.order(b))[0];
  }

  #toPort(port: Port, frame: Frame, out: Delivery[]): void {
    if (!this.#around.located(port)) return;
    const verdict = this.#firewall(port, 'to-port', frame);
    if (verdict === 'reject') {
      const refusal = refused(frame);
      if (refusal !== undefined) this.#forward(port.spec.switch, { port }, refusal, out);
    }
    if (verdict === 'pass' && mayGet(port, frame)) out.push({ port: port.id, frame });
  }

  // --- ACLs ----------------------------------------------------------------------------------------------------

  #firewall(port: Port, direction: Direction, frame: Frame): 'pass' | 'drop' | 'reject' {
    const mine = this.#all('acl').filter(
      ({ spec }) => spec.port === port.id || spec.switch === port.spec.switch,
    );
    const stateful = mine.some(({ spec }) => spec.action === 'allow-stateful');
    const connection = stateful ? this.connections.find(port.id, frame) : undefined;
    if (connection?.reply === true && !connection.blocked) return 'pass';
    if (stateful && this.connections.related(port.id, frame)) return 'pass';
    const order = ['allow-stateful', 'allow', 'reject', 'drop'];
    const weight = ({ spec }: Stored<'acl'>): number =>
      spec.priority * 8 + (spec.port === undefined ? 0 : 4) + order.indexOf(spec.action);
    const [rule] = mine
      .filter(({ spec }) => spec.direction === direction && aclMatches(spec.match, frame))
      .sort((a, b) => weight(b) - weight(a));
    const action = rule?.spec.action ?? 'allow';
    if (stateful) {
      if (action === 'allow-stateful') this.connections.allow(port.id, frame);
      else if (connection?.reply === false) connection.block();
    }
    return action === 'drop' || action === 'reject' ? action : 'pass';
  }

  // --- Who has which address -------------------------------------------------------------------------------------

  /** The MAC addresses behind an IP address on a switch: a router's, or else all that machines and bindings list. */
  #holders(on: string, ip: string): { macs: string[]; router: boolean } {
    const routers = this.#routerPortsOf(on)
      .filter((rp) => rp.spec.networks.some((network) => network.split('/')[0] === ip))
      .map((rp) => rp.spec.mac);
    if (routers.length > 0) return { macs: [...new Set(routers)].sort(), router: true };
    const macs = [
      ...this.#portsOf(on).flatMap((port) => port.spec.addresses ?? []),
      ...this.#all('address-binding')
        .filter((b) => b.spec.switch === on)
        .map(({ spec }) => ({ mac: spec.mac, ips: spec.ips })),
    ]
      .filter(({ ips }) => (ips ?? []).includes(ip))
      .map(({ mac }) => mac);
    return { macs: [...new Set(macs)].sort(), router: false };
  }

  /** The answer that the switch itself gives to an untagged question for an address that one MAC address holds. */
  #neighborAnswer(on: string, { src, vid, body }: Frame): Frame | undefined {
    if (vid !== 0) return undefined;
    const only = (ip: string): { mac: string; router: boolean } | undefined => {
      const { macs, router } = this.#holders(on, ip);
      return macs.length === 1 ? { mac: macs[0], router } : undefined;
    };
    if (body.kind === 'arp' && body.op === 1 && body.spa !== '0.0.0.0') {
      const holder = only(body.tpa);
      if (holder === undefined) return undefined;
      const { mac } = holder;
      const reply: ArpBody = { kind: 'arp', op: 2, sha: mac, spa: body.tpa, tha: body.sha, tpa: body.spa };
      return { src: mac, dst: src, vid, body: reply };
    }
    if (body.kind !== 'ip' || body.l4.proto !== 'nd' || body.l4.type !== 135 || body.l4.lla === '') {
      return undefined;
    }
    const holder = only(body.l4.target);
    if (holder === undefined) return undefined;
    const l4 = {
      ...body.l4,
      type: 136 as const,
      lla: holder.mac,
      flags: holder.router ? 0xe000_0000 : 0x6000_0000,
    };
    return { src: holder.mac, dst: src, vid, body: { ...body, src: body.l4.target, dst: body.src, l4 } };
  }

  // --- Routers ---------------------------------------------------------------------------------------------------

  #route(entry: RouterPort, frame: Frame, out: Delivery[]): void {
    const { body } = frame;
    if (frame.vid !== 0 || body.kind !== 'ip') return;
    if (neverRouted(body.src) || neverRouted(body.dst)) return;
    const router = entry.spec.router;
    const ports = this.#all('router-port').filter((rp) => rp.spec.router === router);
    const own = ports
      .flatMap((rp) => rp.spec.networks.map((network) => ({ rp, address: network.split('/')[0] })))
      .filter(({ rp, address }) => address === body.dst && (!isLinkLocal(address) || rp.id === entry.id));
    const tell = (kind: 'ttl' | 'route' | 'neighbor', about: Frame): void => {
      const error = routerError(kind, about, entry);
      if (error !== undefined) this.#routeOut(router, ports, error, out, tell);
    };
    const { l4 } = body;
    const echo = l4.proto === 'icmp' && l4.type === (body.family === 4 ? 8 : 128) && l4.code === 0;
    if (own.length > 0) {
      if (!echo || l4.proto !== 'icmp') return;
      const reply: IpBody = {
        ...body,
        src: body.dst,
        dst: body.src,
        ttl: 255,
        l4: { ...l4, type: body.family === 4 ? 0 : 129 },
      };
      if (isLinkLocal(body.dst)) {
        const back = { ...frame, src: entry.spec.mac, dst: frame.src, body: reply };
        this.#intoSwitch(entry.spec.switch, { router: entry }, back, out);
        return;
      }
      this.#routeOut(router, ports, { ...frame, body: reply }, out, tell);
      return;
    }
    if (isLinkLocal(body.src) || isLinkLocal(body.dst)) return;
    const broadcasts = ports.flatMap((rp) => rp.spec.networks.map((network) => broadcastOf(network)));
    if (broadcasts.includes(body.dst) || body.ttl === 0) return;
    if (body.ttl === 1) tell('ttl', frame);
    else this.#routeOut(router, ports, frame, out, tell);
  }

  #routeOut(
    router: string,
    ports: readonly RouterPort[],
    frame: Frame,
    out: Delivery[],
    tell: (kind: 'route' | 'neighbor', about: Frame) => void,
  ): void {
    const body = frame.body as IpBody;
    const connected = ports.flatMap((rp) =>
      rp.spec.networks
        .filter((network) => !isLinkLocal(network) && inPrefix(body.dst, network))
        .map((network) => ({ rp, network, length: Number(network.split('/')[1]) })),
    );
    const statics = this.#all('static-route')
      .filter(({ spec }) => spec.router === router && inPrefix(body.dst, spec.prefix))
      .map(({ spec }) => ({ spec, length: Number(spec.prefix.split('/')[1]), via: behind(spec, ports) }))
      .filter(({ spec, via }) => spec.discard === true || via !== undefined);
    const nearest = Math.max(-1, ...connected.map((c) => c.length));
    const longest = Math.max(-1, ...statics.map((s) => s.length));
    let exit: RouterPort | undefined;
    let hop = body.dst;
    if (nearest >= longest) {
      exit = this.#first(connected.filter((c) => c.length === nearest).map((c) => c.rp));
    } else {
      const [route] = statics
        .filter((s) => s.length === longest)
        .sort((a, b) => ((a.spec.nextHop ?? '') < (b.spec.nextHop ?? '') ? -1 : 1));
      if (route.spec.discard === true) return;
      exit = route.via;
      hop = route.spec.nextHop ?? '';
    }
    if (exit === undefined) {
      tell('route', frame);
      return;
    }
    const [mac] = this.#holders(exit.spec.switch, hop).macs;
    if (mac === undefined) {
      tell('neighbor', frame);
      return;
    }
    const sent = { ...frame, src: exit.spec.mac, dst: mac, body: { ...body, ttl: body.ttl - 1 } };
    this.#intoSwitch(exit.spec.switch, { router: exit }, sent, out);
  }
}

/** Whether a packet may be answered by an error at all (RFC 1122, 3.2.2). */
function answerable({ src, dst, body }: Frame): IpBody | undefined {
  if (body.kind !== 'ip' || isGroup(src) || isGroup(dst)) return undefined;
  if (neverRouted(body.src) || neverRouted(body.dst)) {
    // The loopback and unspecified addresses of IPv6 stand for one host, as far as errors go.
    if (![body.src, body.dst].every((ip) => ip === '::1' || !neverRouted(ip))) return undefined;
  }
  return body;
}

/** What the sender of a rejected packet gets. */
function refused(frame: Frame): Frame | undefined {
  const body = answerable(frame);
  if (body === undefined || body.l4.proto === 'error') return undefined;
  const { l4 } = body;
  const [type, code] = body.family === 4 ? [3, 10] : [1, 1];
  let answer: L4 = { proto: 'error', type, code, about: body };
  if (l4.proto === 'tcp') {
    if ((l4.flags & TCP_RST) !== 0) return undefined;
    const flags = (l4.flags & TCP_ACK) === 0 ? TCP_RST | TCP_ACK : TCP_RST;
    answer = { proto: 'tcp', sport: l4.dport, dport: l4.sport, flags };
  }
  return {
    ...frame,
    src: frame.dst,
    dst: frame.src,
    body: { ...body, src: body.dst, dst: body.src, ttl: 255, dscp: 0, l4: answer },
  };
}

/** What a router says that cannot pass a packet on, from its address where the packet came in. */
function routerError(kind: 'ttl' | 'route' | 'neighbor', frame: Frame, entry: RouterPort): Frame | undefined {
  const body = answerable(frame);
  if (body === undefined || body.l4.proto === 'error') return undefined;
  const [source] = entry.spec.networks
    .map((network) => network.split('/')[0])
    .filter((ip) => ip.includes(':') === (body.family === 6) && !isLinkLocal(ip))
    .sort();
  if (source === undefined) return undefined;
  const codes = { ttl: [11, 0, 3, 0], route: [3, 0, 1, 0], neighbor: [3, 1, 1, 3] }[kind];
  const [type, code] = body.family === 4 ? codes.slice(0, 2) : codes.slice(2);
  const l4: L4 = { proto: 'error', type, code, about: body };
  const answer: IpBody = { ...body, src: source, dst: body.src, ttl: 64, dscp: 0, l4 };
  return { ...frame, src: frame.dst, dst: frame.src, body: answer };
}

/** The port whose network holds a route's next hop: the longest. */
function behind(spec: SpecOf<'static-route'>, ports: readonly RouterPort[]): RouterPort | undefined {
  if (spec.nextHop === undefined) return undefined;
  const hop = spec.nextHop;
  const [best] = ports
    .flatMap((rp) =>
      rp.spec.networks.map((network) => ({ rp, network, length: Number(network.split('/')[1]) })),
    )
    .filter(({ network }) => !isLinkLocal(network) && inPrefix(hop, network))
    .sort((a, b) => b.length - a.length);
  return best?.rp;
}

function marked(port: Port, frame: Frame): Frame {
  const dscp = port.spec.qos?.dscp;
  return dscp === undefined || frame.body.kind !== 'ip' ? frame : { ...frame, body: { ...frame.body, dscp } };
}

const ANY_FAMILY =
  (family: 4 | 6) =>
  (ip: string): boolean =>
    ip.includes(':') === (family === 6);

/** Port security, outbound: frames carry the addresses that the port lists. */
function maySend({ spec }: Port, { src, body }: Frame): boolean {
  const addresses = spec.addresses ?? [];
  if (spec.portSecurity === false || addresses.length === 0) return true;
  const entry = addresses.find(({ mac }) => mac === src);
  if (entry === undefined) return false;
  const ips = entry.ips ?? [];
  const v4 = ips.filter(ANY_FAMILY(4));
  const v6 = ips.filter(ANY_FAMILY(6));
  if (v6.length > 0) v6.push(linkLocalOf(src));
  if (body.kind === 'arp') {
    if (body.sha !== src) return false;
    if (ips.length === 0) return true;
    return v4.includes(body.spa) || (v4.length > 0 && body.spa === '0.0.0.0');
  }
  if (body.kind === 'other') return true;
  const { l4 } = body;
  if (ips.length > 0) {
    const list = body.family === 4 ? v4 : v6;
    const dhcp =
      body.src === '0.0.0.0' &&
      body.dst === '255.255.255.255' &&
      l4.proto === 'udp' &&
      l4.sport === 68 &&
      l4.dport === 67;
    const joining =
      body.src === '::' &&
      /^ff02:/.test(body.dst) &&
      (l4.proto === 'icmp' || l4.proto === 'nd' || l4.proto === 'error');
    const unnumbered = list.length > 0 && (dhcp || joining);
    if (!list.includes(body.src) && !unnumbered) return false;
  }
  // No machine is a router that advertises itself, or knows a better way.
  if (l4.proto === 'icmp' && body.family === 6 && (l4.type === 134 || l4.type === 137)) return false;
  if (l4.proto !== 'nd') return true;
  if (l4.lla !== '' && l4.lla !== src) return false;
  return l4.type === 135 || ips.length === 0 || v6.includes(l4.target);
}

/** Port security, inbound: IP packets for addresses that the port lists, or for groups. */
function mayGet({ spec }: Port, { dst, body }: Frame): boolean {
  const addresses = spec.addresses ?? [];
  if (spec.portSecurity === false || addresses.length === 0) return true;
  if (body.kind !== 'ip' || dst === BROADCAST || isGroup(dst)) return true;
  if (isGroupAddress(body.dst)) return true;
  if (addresses.some(({ mac, ips }) => mac === dst && (ips ?? []).length === 0)) return true;
  const ips = addresses.flatMap((address) => {
    const given = address.ips ?? [];
    return given.some(ANY_FAMILY(6)) ? [...given, linkLocalOf(address.mac)] : given;
  });
  return ips.includes(body.dst);
}

function isGroupAddress(ip: string): boolean {
  return ip.includes(':') ? /^ff/.test(ip) : Number(ip.split('.')[0]) >= 224;
}
