/**
 * What the demonstration builds: two hosts, two tenant networks that reach over both, and their guests. All guests
 * are in one IP subnet, so that nothing but the switches decides who reaches whom.
 */
import type { Presence } from './guest/protocol.ts';
import type { Station } from './matrix.ts';
import type { PortPlan } from './switch-database.ts';

/** A tenant network: a VLAN in each host, and a tunnel key between them. */
export interface NetworkPlan {
  readonly name: string;
  readonly vlan: number;
  /** Geneve's VNI. */
  readonly key: number;
}

export interface HostPlan {
  readonly name: string;
  /** Its address in the network between the hosts. */
  readonly underlay: string;
}

/** A guest, and its place at a switch. */
export interface GuestPlan {
  readonly name: string;
  readonly host: string;
  readonly mac: string;
  /** One, in the VLAN of its access port; or one in each VLAN of its trunk. */
  readonly presences: readonly Presence[];
  readonly port: PortPlan;
}

export const BRIDGE = 'br0';
/** The device of each host that leads to the other. */
export const CABLE = 'cable';
/** Guests send 1500 bytes, and Geneve puts 50 in front. */
export const CABLE_MTU = 1600;

const RED: NetworkPlan = { name: 'red', vlan: 10, key: 5010 };
const BLUE: NetworkPlan = { name: 'blue', vlan: 20, key: 5020 };
export const NETWORKS: readonly NetworkPlan[] = [RED, BLUE];

export const HOSTS: readonly [HostPlan, HostPlan] = [
  { name: 'host1', underlay: '172.31.0.1' },
  { name: 'host2', underlay: '172.31.0.2' },
];

const access = (n: number, host: HostPlan, { vlan }: NetworkPlan): GuestPlan => ({
  name: `vm${n}`,
  host: host.name,
  mac: `02:00:00:00:00:0${n}`,
  presences: [{ vlan, address: `10.0.0.${n}` }],
  port: { name: `vm${n}`, tag: vlan },
});

export const GUESTS: readonly GuestPlan[] = [
  access(1, HOSTS[0], RED),
  access(2, HOSTS[0], BLUE),
  {
    name: 'trunk',
    host: HOSTS[0].name,
    mac: '02:00:00:00:00:05',
    presences: NETWORKS.map(({ vlan }) => ({ vlan, address: `10.0.0.${vlan}` })),
    port: { name: 'trunk', trunks: NETWORKS.map(({ vlan }) => vlan) },
  },
  access(3, HOSTS[1], RED),
  access(4, HOSTS[1], BLUE),
];

export const PICTURE = `
       host1  172.31.0.1                                     host2  172.31.0.2
                             +-----+               +-----+
  vm1  10.0.0.1 --- red -----+     +== key 5010 ===+     +----- red --- vm3  10.0.0.3
                             | br0 |    Geneve     | br0 |
  vm2  10.0.0.2 --- blue ----+     +== key 5020 ===+     +---- blue --- vm4  10.0.0.4
                             +--+--+               +-----+
                                |
                                +--- both, tagged --- trunk  10.0.0.10 in red, 10.0.0.20 in blue

  red is VLAN 10 within the hosts and key 5010 between them; blue is VLAN 20 and key 5020
`;

export const STATIONS: readonly Station[] = GUESTS.flatMap(({ name, host, presences, port }) =>
  presences.map(({ vlan, address }): Station => {
    const tagged = port.tag === undefined;
    return { label: tagged ? `${name}.${vlan}` : name, guest: name, host, address, vlan, tagged };
  }),
);

/** The ports of a host's bridge: its guests, and a tunnel to the other host for each network. */
export function portsOf(host: HostPlan): PortPlan[] {
  const guests = GUESTS.filter((guest) => guest.host === host.name).map(({ port }) => port);
  const remote = HOSTS.find((other) => other !== host)?.underlay ?? '';
  const tunnels = NETWORKS.map(
    ({ name, vlan, key }): PortPlan => ({
      name: `to-${name}`,
      tag: vlan,
      tunnel: { type: 'geneve', remote, key },
    }),
  );
  return [...guests, ...tunnels];
}
