import { WeftError } from '../../base/errors.ts';
import { type Attachment, attachClassifier, BpfLink } from '../../ebpf/link.ts';
import { Program } from '../../ebpf/program.ts';
import { type Flow, PT_ETH } from '../../flow/layout.ts';
import type { EpollSet } from '../../sys/epoll.ts';
import { NO_OFFLOAD } from '../../sys/frame.ts';
import { inNetns } from '../../sys/netns.ts';
import type { PacketSender } from '../../sys/packet-sender.ts';
import type { Packet } from '../packet/packet.ts';
import { TUNNEL_TYPES } from '../ports/tunnel.ts';
import type { DatapathPort, PortSpec, PortStats } from '../types.ts';
import type { OutputPort } from '../userspace/core.ts';
import type { Counters } from '../userspace/counters.ts';
import { PortNumbers } from '../userspace/port-numbers.ts';
import { entryProgram } from './entry-program.ts';
import type { KernelCounters } from './kernel-counters.ts';
import { KernelTunnelPort } from './kernel-tunnel-port.ts';
import { KernelTunnels } from './kernel-tunnels.ts';
import * as L from './layout.ts';
import type { KernelMaps } from './maps.ts';
import type { InheritedPort, Pins } from './pins.ts';
import { type PortDevice, PortDevices } from './port-device.ts';

export interface KernelPortsOptions {
  readonly maps: KernelMaps;
  readonly kernelCounters: KernelCounters;
  readonly counters: Counters;
  /** Namespace of the devices; none: the thread's own. */
  readonly netns: string | undefined;
  /** Made in that namespace. */
  readonly sender: PacketSender;
  /** Where links are pinned; null: they end with the process. */
  readonly pins: Pins | null;
  /** Another process has a datapath of the same name in the namespace. */
  readonly shared: boolean;
  /** What wakes JavaScript. */
  readonly epoll: EpollSet;
}

/** The ports of a kernel datapath: devices with a program at their ingress, and an entry in the table of ports. */
export class KernelPorts {
  /** All ports, the datapath's own among them. */
  readonly numbers = new PortNumbers<DatapathPort>(false);
  readonly #ports = new Map<number, KernelPort>();
  readonly #tunnelPorts = new Map<number, KernelTunnelPort>();
  readonly #options: KernelPortsOptions;
  /** Made with the first tunnel port. */
  #tunnels: KernelTunnels | null = null;
  readonly #devices: PortDevices;
  readonly #freeStats: number[] = [];
  #nextStats = 0;
  /** Links of an earlier process, and what they will run, by device. */
  readonly #taking = new Map<number, { readonly link: BpfLink; readonly program: Program }>();
  #tookOver = false;
  /** Ports on each ring. */
  readonly #ringLoad: number[];

  constructor(options: KernelPortsOptions) {
    this.#options = options;
    this.#ringLoad = options.maps.rings.map(() => 0);
    this.#devices = this.#there(() => new PortDevices(options.shared));
  }

  /** Whether packets out of this port go into a tunnel. */
  isTunnel(number: number): boolean {
    return this.#tunnelPorts.has(number);
  }

  tunnelPorts(): Iterable<KernelTunnelPort> {
    return this.#tunnelPorts.values();
  }

  /** JavaScript sends a packet into a tunnel for want of a route: the next need not come here. */
  learnRoute(key: Flow): void {
    this.#there(() => this.#tunnels?.learn(key));
  }

  add(spec: PortSpec, number: number): OutputPort {
    const { netns } = this.#options;
    if (spec.netns !== undefined && spec.netns !== netns) {
      throw new WeftError(
        'bad-port-namespace',
        `port "${spec.name}": it is in namespace ${spec.netns}, the datapath in ${netns ?? 'that of its process'}`,
        { remedy: 'Move the device to the namespace of the datapath, or use datapath_type=netdev.' },
      );
    }
    const stats = this.#freeStats.pop() ?? this.#nextStats++;
    if (stats >= L.MAX_KERNEL_PORTS) {
      throw new WeftError(
        'no-port-number-left',
        `the kernel datapath has ${L.MAX_KERNEL_PORTS} ports already`,
        {
          remedy: 'Remove ports that are no longer used, or use datapath_type=netdev.',
        },
      );
    }
    const ring = this.#ringLoad.indexOf(Math.min(...this.#ringLoad));
    try {
      return this.#there(() =>
        TUNNEL_TYPES.has(spec.type)
          ? this.#openTunnel(spec, number, stats, ring)
          : this.#open(spec, number, stats, ring),
      );
    } catch (error) {
      this.#freeStats.push(stats);
      throw error;
    }
  }

  #openTunnel(spec: PortSpec, number: number, stats: number, ring: number): KernelTunnelPort {
    const { maps, pins, counters, kernelCounters, epoll, netns } = this.#options;
    this.#tunnels ??= new KernelTunnels(
      {
        maps,
        pins,
        there: (work) => this.#there(work),
        isPort: (ifindex) => this.byIfindex(ifindex) !== undefined,
      },
      this.#tookOver,
    );
    kernelCounters.portClear(stats);
    counters.portClear(number);
    const there = { ...spec, netns };
    const port = new KernelTunnelPort({ number, spec: there, stats, ring, maps, counters });
    for (const fd of port.fds) epoll.add(fd);
    this.#ringLoad[ring]++;
    this.numbers.add(port);
    this.#tunnelPorts.set(number, port);
    return port;
  }

  #open(spec: PortSpec, number: number, stats: number, ring: number): KernelPort {
    const { maps, sender, counters, kernelCounters } = this.#options;
    const device = this.#devices.open(spec);
    const other = this.byIfindex(device.ifindex);
    if (other !== undefined) {
      throw new WeftError(
        'port-exists',
        `port "${spec.name}": its device is in the datapath already, as port "${other.name}" (File exists)`,
        { remedy: 'Remove the other port first.' },
      );
    }
    try {
      sender.setPromiscuous(device.ifindex, true);
      kernelCounters.portClear(stats);
      counters.portClear(number);
      const program = Program.load({
        kind: 'classifier',
        name: `weft_in_${number}`,
        code: entryProgram({ maps, port: number, portStats: stats, ring }),
      });
      try {
        const attachment = this.#attach(program, device.ifindex);
        const port = new KernelPort({
          port: number,
          spec,
          device,
          stats,
          ring,
          attachment,
          sender,
          counters,
        });
        this.#ringLoad[ring]++;
        this.numbers.add(port);
        this.#ports.set(number, port);
        this.#publish(port);
        this.#tunnels?.refresh();
        return port;
      } finally {
        // One that waits to take over is closed then.
        if (!this.#taking.has(device.ifindex)) program.close();
      }
    } catch (error) {
      this.#devices.remove(device);
      throw error;
    }
  }

  /** Attaches a program; to a device that an earlier process left forwarding it comes when that is to end. */
  #attach(program: Program, ifindex: number): Attachment {
    const { pins } = this.#options;
    const inherited = pins?.openLink(ifindex) ?? null;
    if (inherited !== null && !this.#tookOver) {
      this.#taking.set(ifindex, { link: inherited, program });
      return inherited;
    }
    if (inherited !== null) {
      inherited.replace(program);
      return inherited;
    }
    const attachment = attachClassifier(program, ifindex, 'ingress');
    if (pins !== null && attachment instanceof BpfLink) attachment.pin(pins.linkPath(ifindex));
    return attachment;
  }

  /** From now on every port runs programs of this process; what is left of an earlier one ends. */
  takeOver(): void {
    const { pins } = this.#options;
    this.#tookOver = true;
    for (const { link, program } of this.#taking.values()) {
      // A device that went meanwhile took its link along.
      if (link.attached) link.replace(program);
      program.close();
    }
    this.#taking.clear();
    this.#tunnels?.takeOver();
    const mine = new Set([...this.#ports.values()].map((port) => port.device.ifindex));
    for (const ifindex of this.#tunnels?.devices() ?? []) mine.add(ifindex);
    for (const ifindex of pins?.links() ?? []) {
      if (mine.has(ifindex)) continue;
      pins?.openLink(ifindex)?.detach();
      pins?.removeLink(ifindex);
    }
  }

  /** The port of today for one of an earlier process. */
  heir({ ifindex, tunnelKind, udpPort }: InheritedPort): KernelPort | KernelTunnelPort | undefined {
    if (tunnelKind === 0) return this.byIfindex(ifindex);
    return [...this.#tunnelPorts.values()].find((p) => p.kind === tunnelKind && p.udpPort === udpPort);
  }

  byIfindex(ifindex: number): KernelPort | undefined {
    return [...this.#ports.values()].find((port) => port.device.ifindex === ifindex);
  }

  /** @throws WeftError `no-such-port` */
  delete(number: number): void {
    this.numbers.delete(number);
    this.#options.maps.ports.set(number, new Uint8Array(L.PORT_SIZE));
    const port = this.#ports.get(number) ?? this.#tunnelPorts.get(number);
    if (port === undefined) return;
    this.#ports.delete(number);
    this.#tunnelPorts.delete(number);
    if (port instanceof KernelPort) this.#there(() => this.#close(port));
    else this.#closeTunnel(port);
    this.#freeStats.push(port.stats);
    this.#ringLoad[port.ring]--;
    this.#tunnels?.refresh();
  }

  #closeTunnel(port: KernelTunnelPort): void {
    for (const fd of port.fds) this.#options.epoll.remove(fd);
    port.detach();
  }

  stats(number: number): PortStats {
    this.numbers.get(number);
    const stats = this.#options.counters.portStats(number);
    const port = this.#ports.get(number) ?? this.#tunnelPorts.get(number);
    if (port !== undefined) this.#options.kernelCounters.addPortStats(port.stats, stats);
    return stats;
  }

  /** A device changed: whether packets may go to its peer may have, too. */
  refresh(ifindex: number): void {
    for (const port of this.#ports.values()) if (port.device.ifindex === ifindex) this.#publish(port);
  }

  refreshAll(): void {
    for (const port of this.#ports.values()) this.#publish(port);
  }

  /** Ends all ports' forwarding. */
  async close(): Promise<void> {
    this.#there(() => {
      for (const port of this.#ports.values()) this.#close(port);
    });
    for (const port of this.#tunnelPorts.values()) this.#closeTunnel(port);
    await this.#tunnels?.close();
    this.#devices.close();
  }

  /** Closes what is open; what is pinned goes on. */
  async leave(): Promise<void> {
    for (const { program } of this.#taking.values()) program.close();
    for (const port of this.#ports.values()) port.close();
    for (const port of this.#tunnelPorts.values()) port.close();
    await this.#tunnels?.leave();
    this.#devices.close();
  }

  #close(port: KernelPort): void {
    const { sender, pins } = this.#options;
    this.#taking.get(port.device.ifindex)?.program.close();
    this.#taking.delete(port.device.ifindex);
    // What is pinned would go on.
    pins?.removeLink(port.device.ifindex);
    port.detach();
    if (this.#devices.get(port.device.ifindex) !== undefined)
      sender.setPromiscuous(port.device.ifindex, false);
    this.#devices.remove(port.device);
  }

  #publish(port: KernelPort): void {
    const entry = new Uint8Array(L.PORT_SIZE);
    const view = new DataView(entry.buffer);
    const { ifindex } = port.device;
    const peer = port.device.made ? null : this.#devices.peerAddress(ifindex);
    view.setUint32(L.P_IFINDEX, ifindex, true);
    view.setUint32(L.P_FLAGS, L.PORT_THERE | (peer === null ? 0 : L.PORT_PEER), true);
    view.setUint32(L.P_STATS, port.stats, true);
    if (peer !== null) entry.set(peer, L.P_PEER_MAC);
    this.#options.maps.ports.set(port.port, entry);
  }

  #there<T>(work: () => T): T {
    const { netns } = this.#options;
    return netns === undefined ? work() : inNetns(netns, work);
  }
}

interface KernelPortParts {
  readonly port: number;
  readonly spec: PortSpec;
  readonly device: PortDevice;
  readonly stats: number;
  readonly ring: number;
  readonly attachment: Attachment;
  readonly sender: PacketSender;
  readonly counters: Counters;
}

/** One port. What JavaScript sends goes out by the packet socket. */
export class KernelPort implements DatapathPort, OutputPort {
  readonly port: number;
  readonly name: string;
  readonly type: string;
  readonly device: PortDevice;
  readonly stats: number;
  readonly ring: number;
  readonly #attachment: Attachment;
  readonly #sender: PacketSender;
  readonly #counters: Counters;

  constructor(parts: KernelPortParts) {
    this.port = parts.port;
    this.name = parts.spec.name;
    this.type = parts.spec.type;
    this.device = parts.device;
    this.stats = parts.stats;
    this.ring = parts.ring;
    this.#attachment = parts.attachment;
    this.#sender = parts.sender;
    this.#counters = parts.counters;
  }

  transmit(packet: Packet, length: number): void {
    const { buffer, start } = packet;
    // A frame without Ethernet header has no business on such a device.
    if (packet.packetType !== PT_ETH) {
      this.#counters.sendError(this.port);
      return;
    }
    // What was cut off was part of the checksum and of the segments.
    const offload = length === packet.length ? packet : NO_OFFLOAD;
    const sent = this.#sender.send(this.device.ifindex, buffer, start, start + length, offload);
    if (sent === 'sent') this.#counters.sent(this.port, length);
    else if (sent === 'dropped') this.#counters.sendDropped(this.port);
    else this.#counters.sendError(this.port);
  }

  /** Ends its forwarding. */
  detach(): void {
    if (this.#attachment instanceof BpfLink && !this.#attachment.attached) this.#attachment.close();
    else this.#attachment.detach();
  }

  /** Leaves it to go on, if it is pinned. */
  close(): void {
    this.#attachment.close();
  }
}
