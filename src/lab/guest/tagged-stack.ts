/**
 * A small IPv4 host at a trunk port: the guest's kernel may have no VLAN devices, so this speaks tagged ARP and
 * ICMP echo itself, through a packet socket. It has one MAC address, and an IP address in every VLAN.
 */

import { WeftError } from '../../base/errors.ts';
import { NO_OFFLOAD, RxFrame } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import {
  ARP_REPLY,
  ARP_REQUEST,
  type Arp,
  buildPacket,
  dissectPacket,
  type Ethernet,
  emitIcmp,
  formatIpv4,
  formatMac,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER,
  type Icmp,
  type Ipv4,
  type Layer,
  make,
  padFrame,
  type Vlan,
} from '../../wire/index.ts';
import type { EchoLink } from './pinger.ts';
import type { PingTarget, Presence } from './protocol.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const UNKNOWN = '00:00:00:00:00:00';
const IPPROTO_ICMP = 1;
/** Bound on what strangers can make us remember. */
const MAX_NEIGHBOURS = 1024;

export interface TaggedStackOptions {
  readonly device: string;
  readonly mac: string;
  readonly presences: readonly Presence[];
}

const ofLayer = <L extends Layer['layer']>(layers: readonly Layer[], name: L) =>
  layers.find((l): l is Extract<Layer, { layer: L }> => l.layer === name);

export class TaggedStack implements EchoLink {
  readonly family = 4;
  readonly #mac: string;
  /** Our address by VLAN. */
  readonly #addresses: ReadonlyMap<number, string>;
  readonly #port: PacketPort;
  readonly #frame = new RxFrame();
  /** MAC addresses by "VLAN address". */
  readonly #neighbours = new Map<string, string>();
  #pings: ((message: Uint8Array) => void) | undefined;

  constructor(options: TaggedStackOptions) {
    this.#mac = options.mac;
    this.#addresses = new Map(options.presences.map(({ vlan, address }) => [vlan, address]));
    const netlink = new NetlinkSocket();
    try {
      const { ifindex } = new Links(netlink).get(options.device)!;
      this.#port = new PacketPort({ name: options.device, ifindex, rxSlots: 256, txSlots: 64 });
    } finally {
      netlink.close();
    }
  }

  get fd(): number {
    return this.#port.fd;
  }

  request(target: PingTarget, message: Uint8Array): void {
    const vlan = target.vlan ?? 0;
    const own = this.#addresses.get(vlan);
    if (own === undefined) throw new WeftError('bad-vlan', `${vlan}: the trunk has no address in that VLAN`);
    const mac = this.#neighbours.get(`${vlan} ${target.address}`);
    if (mac !== undefined) this.#send(vlan, mac, [ipHeader(own, target.address)], message);
    else this.#send(vlan, BROADCAST, [make.arp(ARP_REQUEST, this.#mac, own, UNKNOWN, target.address)]);
  }

  /** Answers whatever has come, and hands ICMP messages to `take`. */
  receive(take: (message: Uint8Array) => void): void {
    this.#pings = take;
    this.serve();
    this.#pings = undefined;
  }

  /** Answers whatever has come. */
  serve(): void {
    while (this.#port.receive(this.#frame)) {
      const { bytes, start, end } = this.#frame;
      // What is kept or handed on outlives the ring's slot.
      const frame = bytes.slice(start, end);
      this.#port.release();
      this.#take(frame);
    }
  }

  #send(vid: number, to: string, layers: readonly Layer[], payload?: Uint8Array): void {
    const all = [make.eth(this.#mac, to), make.vlan(vid), ...layers];
    const frame = padFrame(buildPacket(all, payload), 64);
    this.#port.send(frame, 0, frame.length, NO_OFFLOAD);
    this.#port.flush();
  }

  #take(frame: Uint8Array): void {
    const { layers, payload } = dissectPacket(frame);
    const eth: Ethernet | undefined = ofLayer(layers, 'eth');
    const vlan: Vlan | undefined = ofLayer(layers, 'vlan');
    const address = vlan === undefined ? undefined : this.#addresses.get(vlan.vid);
    if (eth === undefined || vlan === undefined || address === undefined) return;
    const arp = ofLayer(layers, 'arp');
    if (arp !== undefined) this.#arp(vlan.vid, address, arp);
    const icmp = layers.find((l): l is Icmp => l.layer === 'icmp');
    const ip = ofLayer(layers, 'ipv4');
    if (icmp === undefined || ip === undefined || formatIpv4(ip.dst) !== address) return;
    if (icmp.type === ICMP_ECHO_REQUEST) {
      const reply = make.icmp(ICMP_ECHO_REPLY, 0, icmp.rest);
      this.#send(vlan.vid, formatMac(eth.src), [ipHeader(address, formatIpv4(ip.src)), reply], payload);
    } else this.#pings?.(icmpMessage(icmp, payload));
  }

  #arp(vlan: number, address: string, arp: Arp): void {
    if (formatIpv4(arp.tpa) !== address) return;
    const peer = formatIpv4(arp.spa);
    const mac = formatMac(arp.sha);
    if (this.#neighbours.size < MAX_NEIGHBOURS) this.#neighbours.set(`${vlan} ${peer}`, mac);
    if (arp.op === ARP_REQUEST) this.#send(vlan, mac, [make.arp(ARP_REPLY, this.#mac, address, mac, peer)]);
  }
}

const ipHeader = (from: string, to: string): Ipv4 => make.ipv4(from, to, { protocol: IPPROTO_ICMP });

function icmpMessage(icmp: Icmp, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(ICMP_HEADER + payload.length);
  emitIcmp(icmp, message, 0);
  message.set(payload, ICMP_HEADER);
  return message;
}
