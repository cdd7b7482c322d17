import type { Flow } from '../../flow/layout.ts';
import type { Packet } from '../packet/packet.ts';
import { NOTHING, PACKET } from '../ports/source.ts';
import { TunnelPort } from '../ports/tunnel.ts';
import type { DatapathPort, PortSpec } from '../types.ts';
import type { OutputPort } from '../userspace/core.ts';
import type { Counters } from '../userspace/counters.ts';
import * as L from './layout.ts';
import type { KernelMaps } from './maps.ts';
import { PROTOCOL_GRE, PROTOCOL_UDP, receiverKey, receiverValue, tunnelPortValue } from './tunnel-maps.ts';

const KINDS: ReadonlyMap<string, number> = new Map([
  ['vxlan', L.TUNNEL_VXLAN],
  ['geneve', L.TUNNEL_GENEVE],
  ['gre', L.TUNNEL_GRE],
]);

export interface TunnelPortParts {
  readonly number: number;
  readonly spec: PortSpec;
  /** Index of its statistics, and of the ring that its upcalls go to. */
  readonly stats: number;
  readonly ring: number;
  readonly maps: KernelMaps;
  readonly counters: Counters;
}

/**
 * A port of tunnels: entries in the programs' tables, and the sockets of the userspace datapath for what programs leave
 * to JavaScript: packets without a known route, fragments of the underlay, what an action list sends from here.
 */
export class KernelTunnelPort implements DatapathPort, OutputPort {
  readonly port: number;
  readonly name: string;
  readonly type: string;
  readonly stats: number;
  readonly ring: number;
  /** TUNNEL_*, and its UDP port; 0 with GRE. */
  readonly kind: number;
  readonly udpPort: number;
  readonly #maps: KernelMaps;
  readonly #sockets: TunnelPort;

  /** @throws WeftError what the sockets say: `system-call` (the UDP port is taken), `bad-port-type` */
  constructor({ number, spec, stats, ring, maps, counters }: TunnelPortParts) {
    this.port = number;
    this.name = spec.name;
    this.type = spec.type;
    this.stats = stats;
    this.ring = ring;
    this.kind = KINDS.get(spec.type) ?? 0;
    this.udpPort = spec.type === 'gre' ? 0 : Number(spec.options?.get('dst_port'));
    this.#maps = maps;
    this.#sockets = new TunnelPort(number, spec, counters);
    const flags = spec.options?.get('exts') === 'gbp' ? L.PORT_GBP : 0;
    const { kind, udpPort } = this;
    maps.ports.set(number, tunnelPortValue(kind, udpPort, stats, flags));
    maps.receivers.set(this.#receiver, receiverValue({ port: number, stats, ring, kind, flags }));
  }

  get #receiver(): number {
    return receiverKey(this.kind === L.TUNNEL_GRE ? PROTOCOL_GRE : PROTOCOL_UDP, this.udpPort);
  }

  get fds(): readonly number[] {
    return this.#sockets.fds;
  }

  transmit(packet: Packet, length: number, key: Flow): void {
    this.#sockets.transmit(packet, length, key);
  }

  /** Takes up to `limit` packets from the sockets; false: there was none. */
  receive(packet: Packet, limit: number, take: (packet: Packet, metadata: Flow) => void): boolean {
    this.#sockets.ready = true;
    for (let n = 0; n < limit; n++) {
      const next = this.#sockets.next(packet);
      if (next === NOTHING) return n > 0;
      if (next === PACKET) take(packet, this.#sockets.metadata);
      this.#sockets.release();
    }
    return true;
  }

  /** Ends it: packets of its tunnels are the host's again. */
  detach(): void {
    this.#maps.receivers.delete(this.#receiver);
    this.#sockets.close();
  }

  /** Closes the sockets; programs go on. */
  close(): void {
    this.#sockets.close();
  }
}
