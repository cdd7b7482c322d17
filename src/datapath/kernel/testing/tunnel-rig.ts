/** PROGRAM_ENCAP and the program that takes packets out of tunnels, between two taps: a guest's, and the underlay. */
import { writeFileSync } from 'node:fs';
import { call, exit, func, mov, R0, R1, R2, R6, R9, st, W } from '../../../ebpf/asm.ts';
import { tailCall } from '../../../ebpf/build.ts';
import { TC_ACT } from '../../../ebpf/context.ts';
import { helper } from '../../../ebpf/helpers.ts';
import type { Code } from '../../../ebpf/instruction.ts';
import { attachClassifier } from '../../../ebpf/link.ts';
import { Program } from '../../../ebpf/program.ts';
import type { Flow } from '../../../flow/layout.ts';
import { newFlow, W_IN_PORT } from '../../../flow/layout.ts';
import { NO_OFFLOAD, RxFrame } from '../../../sys/frame.ts';
import { IpConfiguration } from '../../../sys/netlink/ip.ts';
import { Links } from '../../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../../sys/netlink/socket.ts';
import { inNewNetns } from '../../../sys/netns.ts';
import { TapPort } from '../../../sys/tap.ts';
import { ip, mac } from '../../../wire/make.ts';
import { ABSENT, Packet } from '../../packet/packet.ts';
import type { PacketOffload } from '../../types.ts';
import { loadFrame, OUT_PORT } from '../code.ts';
import * as L from '../layout.ts';
import { closeMaps, createMaps, type KernelMaps } from '../maps.ts';
import { decapProgram } from '../tunnel-decap.ts';
import { encapProgram } from '../tunnel-encap.ts';
import {
  mappedAddress,
  PROTOCOL_GRE,
  PROTOCOL_UDP,
  receiverKey,
  receiverValue,
  routeKey,
  routeValue,
  tunnelPortValue,
} from '../tunnel-maps.ts';
import { frameOf } from './action-rig.ts';

/** Our end and the other one. */
export const ADDRESSES = {
  4: { local: '10.9.0.1', remote: '10.9.0.2' },
  6: { local: 'fd09::1', remote: 'fd09::2' },
} as const;
export const REMOTE_MAC = '02:00:00:00:09:02';
export const VXLAN_PORT = 4789;
export const GBP_PORT = 4790;
export const GENEVE_PORT = 6081;

/** Datapath ports, by what they are; each has its number as the index of its statistics. */
export const TUNNEL_PORTS = { vxlan: 11, gbp: 12, geneve: 13, gre: 14 } as const;
export type TunnelKind = keyof typeof TUNNEL_PORTS;
const GUEST = 1;

const KINDS: readonly (readonly [
  TunnelKind,
  kind: number,
  protocol: number,
  udpPort: number,
  flags: number,
])[] = [
  ['vxlan', L.TUNNEL_VXLAN, PROTOCOL_UDP, VXLAN_PORT, 0],
  ['gbp', L.TUNNEL_VXLAN, PROTOCOL_UDP, GBP_PORT, L.PORT_GBP],
  ['geneve', L.TUNNEL_GENEVE, PROTOCOL_UDP, GENEVE_PORT, 0],
  ['gre', L.TUNNEL_GRE, PROTOCOL_GRE, 0, 0],
];

const LOOKED_UP = L.F_SCRATCH + 300;
const RAISED = L.F_SCRATCH + 304;

export interface Sent {
  readonly packets: readonly Packet[];
  /** It was left to JavaScript. */
  readonly up: boolean;
}

export interface Received {
  readonly packets: readonly Packet[];
  /** Words of the key; undefined: it was not taken for a packet of a tunnel. */
  readonly key: Flow | undefined;
}

/** Whether a packet is one of a tunnel, and not one of the host's own, which looks for routers and multicast listeners. */
function isOurs(packet: Packet): boolean {
  const b = packet.bytes();
  const next = b[12] === 0x86 ? b[20] : b[23];
  return next === PROTOCOL_UDP || next === PROTOCOL_GRE;
}

export class TunnelRig {
  readonly maps: KernelMaps;
  readonly underMac: Uint8Array;
  readonly #close: (() => void)[] = [];
  readonly #guest: TapPort;
  readonly #under: TapPort;
  readonly #cpus: number;

  constructor() {
    this.maps = createMaps({ maxFlows: 16, rings: 1, ringBytes: 4096 });
    this.#close.push(() => closeMaps(this.maps));
    this.#cpus = this.maps.frame.get(0)!.length;
    const { maps } = this;
    const made = inNewNetns(() => {
      writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
      const netlink = new NetlinkSocket();
      try {
        const links = new Links(netlink);
        const tap = (name: string): TapPort => {
          const port = new TapPort({ name });
          this.#close.push(() => port.close());
          return port;
        };
        const guest = tap('weft_guest');
        const under = tap('weft_under');
        writeFileSync('/proc/sys/net/ipv6/conf/weft_under/disable_ipv6', '0');
        const guestIndex = links.get('weft_guest')!.ifindex;
        const { ifindex } = links.get('weft_under')!;
        for (const index of [guestIndex, ifindex]) links.set(index, { up: true });
        const address = new IpConfiguration(netlink);
        for (const family of [4, 6] as const) {
          const { local, remote } = ADDRESSES[family];
          address.addAddress(ifindex, ip(local), family === 4 ? 24 : 64);
          address.addNeighbour(ifindex, ip(remote), mac(REMOTE_MAC));
          maps.locals.set(mappedAddress(ip(local)), 1);
          for (const source of [undefined, ip(local)])
            maps.routes.set(routeKey(ip(remote), source, 0), routeValue(ifindex, ip(local), ip(remote)));
        }
        for (const [name, kind, protocol, udpPort, flags] of KINDS) {
          const port = TUNNEL_PORTS[name];
          maps.ports.set(port, tunnelPortValue(kind, udpPort, port, flags));
          maps.receivers.set(
            receiverKey(protocol, udpPort),
            receiverValue({ port, stats: port, ring: 0, kind, flags }),
          );
        }
        const upcall = func('upcall', st(W, R2, RAISED, 1), mov(R0, 0), exit());
        maps.programs.set(L.PROGRAM_ENCAP, this.#load('weft_encap', encapProgram({ maps, upcall })).fd);
        maps.programs.set(
          L.PROGRAM_LOOKUP,
          this.#load('weft_lookup', [
            mov(R6, R1),
            loadFrame(maps),
            st(W, R9, LOOKED_UP, 1),
            mov(R1, guestIndex),
            mov(R2, 0),
            call(helper.redirect),
            exit(),
          ]).fd,
        );
        const entry = this.#load('weft_entry', [
          mov(R6, R1),
          tailCall(maps.programs, L.PROGRAM_ENCAP),
          mov(R0, TC_ACT.shot),
          exit(),
        ]);
        const decap = this.#load('weft_decap', decapProgram({ maps }));
        for (const [program, index] of [
          [entry, guestIndex],
          [decap, ifindex],
        ] as const) {
          const attachment = attachClassifier(program, index, 'ingress');
          this.#close.push(() => attachment.close());
        }
        return { guest, under, underMac: links.get(ifindex)!.mac };
      } finally {
        netlink.close();
      }
    });
    this.#guest = made.guest;
    this.#under = made.under;
    this.underMac = made.underMac;
    this.#drain(this.#under);
  }

  #load(name: string, code: Code): Program {
    const program = Program.load({ kind: 'classifier', name, code });
    this.#close.push(() => program.close());
    return program;
  }

  /** A guest's packet goes into the tunnel that `flow` describes. */
  send(kind: TunnelKind, packet: Uint8Array, offload: PacketOffload | null, flow: Flow, from = GUEST): Sent {
    this.#drain(this.#under);
    const frame = frameOf({ packet, offload, flow, actions: [] });
    new DataView(frame.buffer).setUint32(OUT_PORT, TUNNEL_PORTS[kind], true);
    new DataView(frame.buffer).setUint32(L.frameWord(W_IN_PORT), from, true);
    this.#setFrames(frame);
    this.#guest.send(packet, 0, packet.length, offload ?? NO_OFFLOAD);
    return { packets: this.#drain(this.#under).filter(isOurs), up: this.#frameWith(RAISED) !== undefined };
  }

  /** A packet comes in at the underlay's device. */
  receive(packet: Uint8Array): Received {
    this.#drain(this.#guest);
    // What the packet before has left must not matter.
    this.#setFrames(new Uint8Array(L.FRAME_SIZE).fill(0xa5, 0, L.F_SCRATCH));
    this.#under.send(packet, 0, packet.length, NO_OFFLOAD);
    const frame = this.#frameWith(LOOKED_UP);
    if (frame === undefined) return { packets: this.#drain(this.#guest), key: undefined };
    const view = new DataView(frame.buffer, frame.byteOffset);
    const key = newFlow();
    for (let w = 0; w < key.length; w++) key[w] = view.getUint32(L.frameWord(w), true);
    return { packets: this.#drain(this.#guest), key };
  }

  /** A port's statistics, by offset (PS_*). */
  stats(kind: TunnelKind): (at: number) => number {
    const { maps } = this;
    const shards = Array.from({ length: maps.shards }, (_, i) =>
      maps.portStats.get(TUNNEL_PORTS[kind] * maps.shards + i)!.slice(),
    );
    return (at) =>
      shards.reduce((sum, s) => sum + Number(new DataView(s.buffer, s.byteOffset).getBigUint64(at, true)), 0);
  }

  #setFrames(frame: Uint8Array): void {
    this.maps.frame.set(
      0,
      Array.from({ length: this.#cpus }, () => frame),
    );
  }

  #frameWith(mark: number): Uint8Array | undefined {
    return this.maps.frame
      .get(0)!
      .find((f) => new DataView(f.buffer, f.byteOffset).getUint32(mark, true) === 1);
  }

  #drain(tap: TapPort): Packet[] {
    const rx = new RxFrame();
    const packets: Packet[] = [];
    while (tap.receive(rx)) {
      const packet = Packet.copyOf(rx.bytes.subarray(rx.start, rx.end));
      packet.csumStart = rx.csumStart < 0 ? ABSENT : rx.csumStart;
      packet.csumOffset = rx.csumOffset;
      packet.gsoType = rx.gsoType;
      packet.gsoSize = rx.gsoSize;
      packets.push(packet);
      tap.release();
    }
    return packets;
  }

  [Symbol.dispose](): void {
    for (const close of this.#close.reverse()) close();
  }
}
