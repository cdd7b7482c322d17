/** Agents beside real switches, ours and Open vSwitch: what a controller says becomes what packets do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TunnelTo } from '../../src/logical/universal.ts';
import { type AgentHost, KINDS, type Kind, onAgentHosts, plainSwitch } from './agent-lab.ts';
import { systemMissing, until } from './host.ts';

const TOOLS = ['ping', 'ethtool'];
const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const PORTS = [
  { port: 11, mac: MACS[0] },
  { port: 12, mac: MACS[1] },
];

const tunnelTo = (host: AgentHost, encapsulation: TunnelTo['encapsulation']): TunnelTo => ({
  node: host.id,
  encapsulation,
  address: host.address,
});

/** What each of two hosts is told: a switch with one port on each. */
function twoHosts(hosts: readonly AgentHost[], encapsulation: TunnelTo['encapsulation']) {
  const flow = plainSwitch(7, PORTS);
  const placement = hosts.map((host, i) => ({
    port: PORTS[i].port,
    datapath: 7,
    vif: `vif-${i + 1}`,
    node: host.id,
  }));
  return hosts.map((_, i) => ({ flow, placement, tunnel: [tunnelTo(hosts[1 - i], encapsulation)] }));
}

const ENCAPSULATIONS: Readonly<Record<Kind, readonly TunnelTo['encapsulation'][]>> = {
  netdev: ['geneve', 'gre'],
  system: ['geneve'],
  stock: ['geneve', 'vxlan'],
};

for (const { kind, title } of KINDS) {
  for (const encapsulation of ENCAPSULATIONS[kind]) {
    test(`${title}: machines on two hosts reach each other through ${encapsulation}`, {
      skip: systemMissing('ovs-vswitchd', ...TOOLS),
    }, async () => {
      await onAgentHosts([kind, kind], async (hosts, _controller, network) => {
        const guests: string[] = [];
        for (const [i, host] of hosts.entries())
          guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`));
        const told = twoHosts(hosts, encapsulation);
        await Promise.all(hosts.map((host, i) => host.peer.apply(1, told[i], {}, true)));
        await until(
          '10.0.0.2 answers',
          async () => (await network.run(guests[0], 'ping', ['-c1', '-W1', '10.0.0.2'])).status === 0,
        );
        const { stdout } = await network.run(guests[1], 'ping', ['-c5', '-i0.2', '-W2', '10.0.0.1']);
        assert.match(stdout, /5 received/);
      });
    });
  }
}
