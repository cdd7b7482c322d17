import { type Attachment, attachClassifier, BpfLink } from '../../ebpf/link.ts';
import { Program } from '../../ebpf/program.ts';
import {
  type Flow,
  W_PKT_MARK,
  W_TUN_DST,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_SRC,
} from '../../flow/layout.ts';
import { IpConfiguration } from '../../sys/netlink/ip.ts';
import { Links } from '../../sys/netlink/link.ts';
import { RouteFollower } from '../../sys/netlink/route.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import * as L from './layout.ts';
import type { KernelMaps } from './maps.ts';
import type { Pins } from './pins.ts';
import { decapProgram } from './tunnel-decap.ts';
import { mappedAddress, routeKey, routeValue } from './tunnel-maps.ts';

/*
 * What tunnels need of the host, followed by netlink: its own addresses, the devices on which packets for them may come
 * in, and the way to each other end. The kernel does the rest: a packet that a program has put into a tunnel goes to
 * the next hop by `redirect_neigh`, which asks ARP and neighbor discovery as for the host's own packets.
 */

export interface KernelTunnelsOptions {
  readonly maps: KernelMaps;
  readonly pins: Pins | null;
  /** Runs in the network namespace of the datapath. */
  readonly there: <T>(work: () => T) => T;
  /** Whether a port stands on the device: then its packets are not the host's. */
  readonly isPort: (ifindex: number) => boolean;
}

export class KernelTunnels {
  readonly #options: KernelTunnelsOptions;
  readonly #netlink: NetlinkSocket;
  readonly #links: Links;
  readonly #addresses: IpConfiguration;
  readonly #routes: RouteFollower;
  readonly #program: Program;
  /** By device. */
  readonly #attached = new Map<number, Attachment>();
  /** Links of an earlier process, by device. */
  readonly #taking = new Map<number, BpfLink>();
  /** Keys in the routes' map, and addresses in that of the host's own. */
  #known: Uint8Array[] = [];
  #locals = new Map<string, Uint8Array>();
  #tookOver: boolean;
  #closed = false;

  /** @param tookOver whether nothing of an earlier process is to be waited for */
  constructor(options: KernelTunnelsOptions, tookOver: boolean) {
    this.#options = options;
    this.#tookOver = tookOver;
    const { maps } = options;
    this.#program = Program.load({ kind: 'classifier', name: 'weft_decap', code: decapProgram({ maps }) });
    this.#netlink = options.there(() => new NetlinkSocket());
    this.#links = new Links(this.#netlink);
    this.#addresses = new IpConfiguration(this.#netlink);
    this.#routes = options.there(() => new RouteFollower(this.#netlink, () => this.refresh()));
    this.refresh();
  }

  /** The host's addresses, devices or routes may have changed. */
  refresh(): void {
    if (this.#closed) return;
    for (const key of this.#known) this.#options.maps.routes.delete(key);
    this.#known = [];
    const addresses = this.#addresses.addresses();
    this.#followLocals(addresses.map(({ address }) => mappedAddress(address)));
    this.#followDevices(new Set(addresses.map(({ ifindex }) => ifindex)));
  }

  /** Notes the way to the other end of the key's tunnel, if there is one that programs can use. */
  learn(key: Flow): void {
    const ipv4 = key[W_TUN_DST] !== 0;
    const destination = addressOf(key, ipv4 ? W_TUN_DST : W_TUN_IPV6_DST, ipv4);
    const given = addressOf(key, ipv4 ? W_TUN_SRC : W_TUN_IPV6_SRC, ipv4);
    const source = given.some((byte) => byte !== 0) ? given : undefined;
    const mark = key[W_PKT_MARK];
    const path = this.#routes.path(destination, mark);
    const from = source ?? path?.source;
    // What stays on this host, or would come back to the datapath at once, is the sockets' business.
    if (path === null || path.local || from === undefined || this.#options.isPort(path.ifindex)) return;
    if (this.#known.length >= L.MAX_ROUTES) {
      for (const each of this.#known) this.#options.maps.routes.delete(each);
      this.#known = [];
    }
    const entry = routeKey(destination, source, mark);
    this.#options.maps.routes.set(entry, routeValue(path.ifindex, from, path.gateway ?? destination));
    this.#known.push(entry);
  }

  /** Has programs of this process take packets out of tunnels on every device. */
  takeOver(): void {
    this.#tookOver = true;
    // A device that went meanwhile took its link along.
    for (const link of this.#taking.values()) if (link.attached) link.replace(this.#program);
    this.#taking.clear();
  }

  /** Devices on which packets are taken out of tunnels. */
  devices(): Iterable<number> {
    return this.#attached.keys();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const [ifindex, attachment] of this.#attached) this.#detach(ifindex, attachment);
    await this.#end();
  }

  /** Closes what is open; what is pinned goes on. */
  async leave(): Promise<void> {
    this.#closed = true;
    for (const attachment of this.#attached.values()) attachment.close();
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#program.close();
    await this.#routes.close();
    this.#netlink.close();
  }

  #followLocals(addresses: readonly Uint8Array[]): void {
    const { locals } = this.#options.maps;
    const wanted = new Map(addresses.slice(0, L.MAX_LOCALS).map((address) => [address.join('.'), address]));
    for (const [text, address] of this.#locals) if (!wanted.has(text)) locals.delete(address);
    for (const [text, address] of wanted) if (!this.#locals.has(text)) locals.set(address, 1);
    this.#locals = wanted;
  }

  #followDevices(withAddress: ReadonlySet<number>): void {
    const links = this.#links.list();
    const wanted = new Set(
      links
        .filter(({ ifindex, loopback, type }) => withAddress.has(ifindex) && !loopback && type === ETHERNET)
        .map(({ ifindex }) => ifindex)
        .filter((ifindex) => !this.#options.isPort(ifindex)),
    );
    for (const [ifindex, attachment] of this.#attached)
      if (!wanted.has(ifindex)) this.#detach(ifindex, attachment);
    for (const ifindex of wanted) if (!this.#attached.has(ifindex)) this.#attach(ifindex);
  }

  #attach(ifindex: number): void {
    const { pins, there } = this.#options;
    const inherited = pins?.openLink(ifindex) ?? null;
    if (inherited !== null) {
      this.#attached.set(ifindex, inherited);
      if (this.#tookOver) inherited.replace(this.#program);
      else this.#taking.set(ifindex, inherited);
      return;
    }
    let attachment: Attachment;
    try {
      attachment = there(() => attachClassifier(this.#program, ifindex, 'ingress'));
    } catch (error) {
      // It went while we looked: its end is told, too.
      if (this.#links.get(ifindex) === undefined) return;
      throw error;
    }
    if (pins !== null && attachment instanceof BpfLink) attachment.pin(pins.linkPath(ifindex));
    this.#attached.set(ifindex, attachment);
  }

  #detach(ifindex: number, attachment: Attachment): void {
    this.#attached.delete(ifindex);
    this.#taking.delete(ifindex);
    this.#options.pins?.removeLink(ifindex);
    // A device that is gone took its program along.
    if (attachment instanceof BpfLink && !attachment.attached) attachment.close();
    else attachment.detach();
  }
}

/** ARPHRD_ETHER. */
const ETHERNET = 1;

function addressOf(key: Flow, word: number, ipv4: boolean): Uint8Array {
  const bytes = new Uint8Array(ipv4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length / 4; i++) view.setUint32(4 * i, key[word + i]);
  return bytes;
}
