/** Random frames: mostly what honest machines send, else what others would like to get away with. */
import type { Stored } from '../../src/api-schema/kinds.ts';
import type { Chance } from './chance.ts';
import { type Frame, type IpBody, type L4, TCP_ACK, TCP_SYN } from './frame.ts';
import { linkLocalOf } from './ip.ts';
import { ROUTER_MACS, type Tenants } from './tenants.ts';

type Port = Stored<'logical-port'>;

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const ZERO_MAC = '00:00:00:00:00:00';

function solicitedNode(ip: string): { mac: string; ip: string } {
  const last = Number.parseInt(`0${ip.split(':').at(-1) ?? ''}`, 16);
  const hex = last.toString(16).padStart(4, '0');
  return { mac: `33:33:ff:00:${hex.slice(0, 2)}:${hex.slice(2)}`, ip: `ff02::1:ff00:${last.toString(16)}` };
}

export class Traffic {
  readonly #chance: Chance;
  readonly #tenants: Tenants;
  #fresh = 1000;

  constructor(chance: Chance, tenants: Tenants) {
    this.#chance = chance;
    this.#tenants = tenants;
  }

  /** A frame for `port` to send. */
  frame(port: Port): Frame {
    const chance = this.#chance;
    const own = chance.some(port.spec.addresses ?? []);
    const mac = own === undefined || chance.once(12) ? this.#tenants.anyMac() : own.mac;
    const vid = chance.once(15) ? 1 + chance.below(4094) : 0;
    const kind = chance.below(12);
    if (kind === 0)
      return { src: mac, dst: this.#anyDestination(port), vid, body: { kind: 'other', etherType: 0x88b5 } };
    if (kind <= 2) return this.#arp(port, mac, vid);
    if (kind === 3) return this.#neighbor(port, mac, vid);
    return this.#ip(port, mac, own?.ips ?? [], vid);
  }

  #anyDestination(port: Port): string {
    const chance = this.#chance;
    if (chance.once(4)) return chance.pick([BROADCAST, '01:00:5e:00:00:05', '33:33:00:00:00:01']);
    const peers = this.#tenants
      .of('logical-port')
      .filter((p) => p.spec.switch === port.spec.switch)
      .flatMap((p) => p.spec.addresses ?? []);
    return chance.some(peers)?.mac ?? this.#tenants.anyMac();
  }

  #anyIp(port: Port, family?: 4 | 6): string {
    const chance = this.#chance;
    const own =
      this.#tenants.list.find((t) => t.switches.includes(port.spec.switch)) ?? this.#tenants.list[0];
    const listed = this.#tenants
      .of('logical-port')
      .filter((p) => own.switches.includes(p.spec.switch))
      .flatMap((p) => p.spec.addresses ?? [])
      .flatMap(({ ips }) => ips ?? []);
    const routers = this.#tenants
      .of('router-port')
      .flatMap((rp) => rp.spec.networks.map((n) => n.split('/')[0]));
    const odd = [
      '10.0.1.255',
      '224.0.0.5',
      '255.255.255.255',
      '0.0.0.0',
      '127.0.0.1',
      '10.9.1.1',
      '8.8.8.8',
      'ff02::1',
      'fd00:9::1',
      '2001:db8::1',
      '::',
      'fe80::1',
      linkLocalOf('02:00:00:00:00:01'),
    ];
    const all = chance.once(6)
      ? odd
      : chance.once(6)
        ? routers
        : chance.once(4)
          ? this.#tenants.addressesOf(chance.pick(own.switches))
          : listed;
    const fitting = all.filter((ip) => family === undefined || ip.includes(':') === (family === 6));
    return chance.some(fitting) ?? (family === 6 ? 'fd00:0:0:1::1' : '10.0.1.1');
  }

  #arp(port: Port, mac: string, vid: number): Frame {
    const chance = this.#chance;
    const reply = chance.once(4);
    const own = (port.spec.addresses ?? []).flatMap(({ ips }) => ips ?? []).filter((ip) => !ip.includes(':'));
    const spa = chance.once(8)
      ? chance.pick(['0.0.0.0', this.#anyIp(port, 4)])
      : (chance.some(own) ?? this.#anyIp(port, 4));
    return {
      src: mac,
      dst: reply || chance.once(6) ? this.#anyDestination(port) : BROADCAST,
      vid,
      body: {
        kind: 'arp',
        op: reply ? 2 : 1,
        sha: chance.once(10) ? this.#tenants.anyMac() : mac,
        spa,
        tha: reply ? this.#tenants.anyMac() : ZERO_MAC,
        tpa: this.#anyIp(port, 4),
      },
    };
  }

  #neighbor(port: Port, mac: string, vid: number): Frame {
    const chance = this.#chance;
    const own = (port.spec.addresses ?? []).flatMap(({ ips }) => ips ?? []).filter((ip) => ip.includes(':'));
    const src = chance.once(8)
      ? chance.pick(['::', linkLocalOf(mac), this.#anyIp(port, 6)])
      : (chance.some(own) ?? this.#anyIp(port, 6));
    const target = this.#anyIp(port, 6);
    const lla = chance.once(8) ? '' : chance.once(10) ? this.#tenants.anyMac() : mac;
    if (chance.once(3)) {
      const l4: L4 = {
        proto: 'nd',
        type: 136,
        flags: 0x6000_0000,
        target: chance.once(2) ? src : target,
        lla,
      };
      return {
        src: mac,
        dst: this.#anyDestination(port),
        vid,
        body: { kind: 'ip', family: 6, src, dst: 'ff02::1', ttl: 255, dscp: 0, l4 },
      };
    }
    const group = solicitedNode(target);
    const l4: L4 = { proto: 'nd', type: 135, flags: 0, target, lla };
    return {
      src: mac,
      dst: group.mac,
      vid,
      body: { kind: 'ip', family: 6, src, dst: group.ip, ttl: 255, dscp: 0, l4 },
    };
  }

  #ip(port: Port, mac: string, ips: readonly string[], vid: number): Frame {
    const chance = this.#chance;
    const src = chance.once(10) ? this.#anyIp(port) : (chance.some(ips) ?? this.#anyIp(port));
    const family = src.includes(':') ? 6 : 4;
    const dst = this.#anyIp(port, family);
    const body: IpBody = {
      kind: 'ip',
      family,
      src,
      dst,
      ttl: chance.once(6) ? 1 + chance.below(4) : 12,
      dscp: chance.once(6) ? chance.below(64) : 0,
      l4: this.#l4(family),
    };
    return { src: mac, dst: this.#macFor(port, dst), vid, body };
  }

  /** Who an honest machine would send to: the owner of the address if it is on the link, else a router. */
  #macFor(port: Port, ip: string): string {
    const chance = this.#chance;
    if (chance.once(10)) return this.#anyDestination(port);
    const owner = this.#tenants
      .of('logical-port')
      .filter((p) => p.spec.switch === port.spec.switch)
      .flatMap((p) => p.spec.addresses ?? [])
      .find(({ ips }) => (ips ?? []).includes(ip));
    if (owner !== undefined) return owner.mac;
    const router = this.#tenants.of('router-port').filter((rp) => rp.spec.switch === port.spec.switch);
    return chance.some(router)?.spec.mac ?? chance.pick(ROUTER_MACS);
  }

  #l4(family: 4 | 6): L4 {
    const chance = this.#chance;
    const sport = this.#fresh++ % 0xffff;
    const dport = chance.once(8) ? chance.pick([6081, 4789, 67]) : 1000 + chance.below(8);
    switch (chance.below(4)) {
      case 0:
        return { proto: 'icmp', type: family === 4 ? 8 : 128, code: 0, rest: ((sport << 16) | 1) >>> 0 };
      case 1:
        return { proto: 'tcp', sport, dport, flags: TCP_SYN };
      case 2:
        return chance.once(6)
          ? {
              proto: 'icmp',
              type: family === 4 ? chance.pick([0, 42]) : chance.pick([129, 130, 134, 137]),
              code: 0,
              rest: (sport << 16) >>> 0,
            }
          : { proto: 'udp', sport, dport, flags: 0 };
      default:
        return { proto: 'udp', sport, dport, flags: 0 };
    }
  }

  /** What the machine that got a frame answers; undefined: nothing. */
  answer({ src, dst, vid, body }: Frame): Frame | undefined {
    if (body.kind !== 'ip') return undefined;
    const { l4 } = body;
    let answer: L4;
    if (l4.proto === 'udp') answer = { ...l4, sport: l4.dport, dport: l4.sport };
    else if (l4.proto === 'tcp') {
      const flags = l4.flags === TCP_SYN ? TCP_SYN | TCP_ACK : l4.flags === (TCP_SYN | TCP_ACK) ? TCP_ACK : 0;
      if (flags === 0) return undefined;
      answer = { ...l4, sport: l4.dport, dport: l4.sport, flags };
    } else if (l4.proto === 'icmp' && (l4.type === 8 || l4.type === 128)) {
      answer = { ...l4, type: l4.type === 8 ? 0 : 129 };
    } else return undefined;
    return { src: dst, dst: src, vid, body: { ...body, src: body.dst, dst: body.src, ttl: 12, l4: answer } };
  }
}
