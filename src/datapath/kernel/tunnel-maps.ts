/** What programs and JavaScript must agree on of the maps of tunnels. Addresses have 4 or 16 bytes. */
import type { MapReference } from '../../ebpf/instruction.ts';
import type { ProgramMaps } from './code.ts';
import * as L from './layout.ts';

/** Maps as the programs of tunnels name them. */
export interface TunnelMaps extends ProgramMaps {
  readonly routes: MapReference;
  readonly receivers: MapReference;
  readonly locals: MapReference;
}

/** An address as the maps have it. */
export function mappedAddress(address: Uint8Array): Uint8Array {
  if (address.length === 16) return address;
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(address, 12);
  return mapped;
}

/** @param source undefined: packets that have none */
export function routeKey(destination: Uint8Array, source: Uint8Array | undefined, mark: number): Uint8Array {
  const key = new Uint8Array(L.ROUTE_KEY_SIZE);
  key.set(mappedAddress(destination), L.RK_DESTINATION);
  if (source !== undefined) key.set(mappedAddress(source), L.RK_SOURCE);
  new DataView(key.buffer).setUint32(L.RK_MARK, mark, true);
  return key;
}

const AF_INET = 2;
const AF_INET6 = 10;

/** @param hop next hop: the gateway, or the destination itself where there is none */
export function routeValue(ifindex: number, source: Uint8Array, hop: Uint8Array): Uint8Array {
  const value = new Uint8Array(L.ROUTE_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(L.R_IFINDEX, ifindex, true);
  value.set(mappedAddress(source), L.R_SOURCE);
  view.setUint32(L.R_HOP_FAMILY, hop.length === 4 ? AF_INET : AF_INET6, true);
  value.set(hop, L.R_HOP);
  return value;
}

export const PROTOCOL_UDP = 17;
export const PROTOCOL_GRE = 47;

/** @param udpPort 0 with GRE */
export const receiverKey = (protocol: number, udpPort: number): number => (protocol << 16) | udpPort;

export interface Receiver {
  readonly port: number;
  readonly stats: number;
  readonly ring: number;
  /** TUNNEL_*. */
  readonly kind: number;
  /** PORT_*. */
  readonly flags: number;
}

export function receiverValue(receiver: Receiver): Uint8Array {
  const value = new Uint8Array(L.RECEIVER_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(L.RV_PORT, receiver.port, true);
  view.setUint32(L.RV_STATS, receiver.stats, true);
  view.setUint32(L.RV_RING, receiver.ring, true);
  view.setUint32(L.RV_KIND, receiver.kind, true);
  view.setUint32(L.RV_FLAGS, receiver.flags, true);
  return value;
}

/** A tunnel port's entry in the table of ports. @param udpPort where its packets go if their key has no port; 0 with GRE */
export function tunnelPortValue(kind: number, udpPort: number, stats: number, flags = 0): Uint8Array {
  const value = new Uint8Array(L.PORT_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(L.P_FLAGS, L.PORT_THERE | L.PORT_TUNNEL | flags, true);
  view.setUint32(L.P_STATS, stats, true);
  view.setUint32(L.P_TUNNEL_KIND, kind, true);
  view.setUint32(L.P_TUNNEL_PORT, udpPort, true);
  return value;
}
