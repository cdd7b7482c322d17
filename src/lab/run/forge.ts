/**
 * Frames that a machine has no business to send: what a tenant would try to get into the network of another. All of them are
 * marked, so that one that turns up where it must not is known.
 */
import {
  ARP_REPLY,
  ARP_REQUEST,
  buildPacket,
  GENEVE_PORT,
  type Layer,
  make,
  padFrame,
  VXLAN_FLAG_VNI,
  VXLAN_PORT,
} from '../../wire/index.ts';
import { isIpv6 } from '../file/address.ts';
import type { LabPlan, MachinePlan } from '../file/plan.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** Spanning tree's group, all hosts of IPv4 and of IPv6. */
const GROUPS = ['01:80:c2:00:00:00', '01:00:5e:00:00:01', '33:33:00:00:00:01'];
/** VLANs and tunnel keys that are tried: labels of logical datapaths and ports are given from 1 on. */
const KEYS = 96;
const PORT = 53;

const geneve = (vni: number): Layer => ({ layer: 'geneve', oam: false, critical: false, vni, options: [] });
const vxlan = (vni: number): Layer => ({ layer: 'vxlan', flags: VXLAN_FLAG_VNI, reserved: 0, vni });

/** Headers from one machine to another, each with the addresses given. */
function ip(from: MachinePlan, to: MachinePlan, v6: boolean): Layer[] {
  const of = ({ addresses }: MachinePlan): string | undefined =>
    addresses.find(({ address }) => isIpv6(address) === v6)?.address;
  const [source, target] = [of(from), of(to)];
  if (source === undefined || target === undefined) return [];
  return [v6 ? make.ipv6(source, target) : make.ipv4(source, target), make.udp(40_000, PORT)];
}

/** The frames that one machine sends; `mark` is in each of them. */
export function forgedFrames(plan: LabPlan, from: MachinePlan, mark: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const add = (...layers: readonly Layer[]): void => void frames.push(padFrame(buildPacket(layers, mark)));
  const strangers = plan.machines.filter(({ tenant }) => tenant !== from.tenant);
  for (const to of strangers) {
    for (const v6 of [false, true]) {
      const inner = ip(from, to, v6);
      if (inner.length === 0) continue;
      // To its address, from ours, as if from itself or another, tagged, and to whoever listens.
      add(make.eth(from.mac, to.mac), ...inner);
      add(make.eth(to.mac, to.mac), ...ip(to, to, v6));
      for (const other of strangers) if (other !== to) add(make.eth(other.mac, to.mac), ...ip(other, to, v6));
      for (const group of [BROADCAST, ...GROUPS]) add(make.eth(from.mac, group), ...inner);
      for (const vid of [1, 2, 3, 10, 4095]) add(make.eth(from.mac, to.mac), make.vlan(vid), ...inner);
    }
  }
  frames.push(...tunnels(plan, from, strangers, mark), ...lies(from, strangers, mark));
  return frames;
}

/** As if they came from another host: tunnel packets to hosts, with every key that may mean something. */
function tunnels(
  plan: LabPlan,
  from: MachinePlan,
  strangers: readonly MachinePlan[],
  mark: Uint8Array,
): Uint8Array[] {
  const own = from.addresses.find(({ address }) => !isIpv6(address))?.address;
  const [to] = strangers;
  if (own === undefined || to === undefined) return [];
  const inner = [make.eth(from.mac, to.mac), ...ip(from, to, false)];
  if (inner.length === 1) return [];
  const frames: Uint8Array[] = [];
  for (const { underlay } of plan.hosts) {
    const others = plan.hosts.filter((host) => host.underlay !== underlay);
    for (let key = 1; key <= KEYS; key++) {
      const source = key % 2 === 0 ? own : (others[key % others.length]?.underlay.address ?? own);
      for (const [port, header] of [
        [GENEVE_PORT, geneve(key)],
        [VXLAN_PORT, vxlan(key)],
      ] as const) {
        const outer = [make.ipv4(source, underlay.address), make.udp(50_000, port), header];
        frames.push(buildPacket([make.eth(from.mac, BROADCAST), ...outer, ...inner], mark));
      }
    }
  }
  return frames;
}

/** ARP that would bring others to send here, with the mark behind it. */
function lies(from: MachinePlan, strangers: readonly MachinePlan[], mark: Uint8Array): Uint8Array[] {
  return strangers.flatMap((to) => {
    const address = to.addresses.find((a) => !isIpv6(a.address))?.address;
    if (address === undefined) return [];
    return [ARP_REQUEST, ARP_REPLY].flatMap((op) =>
      [BROADCAST, to.mac].map((target) =>
        padFrame(
          buildPacket([make.eth(from.mac, target), make.arp(op, from.mac, address, to.mac, address)], mark),
        ),
      ),
    );
  });
}
