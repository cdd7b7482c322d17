/** Agents beside real switches, ours and Open vSwitch: what a controller says becomes what packets do. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { makeCertificate, opensslMissing } from '../../src/bin/tls/testing/certificates.ts';
import type { TunnelTo, UniversalFlow } from '../../src/logical/universal.ts';
import { saysOnStdout } from '../network.ts';
import { AgentHost, FakeController, KINDS, type Kind, onAgentHosts, plainSwitch } from './agent-lab.ts';
import { ROOT, systemMissing, until } from './host.ts';

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

const ACL = '00000000-0000-4000-8000-0000000000ac';
const flowOf = (
  stage: UniversalFlow['stage'],
  priority: number,
  match: string,
  actions: string,
  origin = ACL,
): UniversalFlow => ({ datapath: 7, stage, priority, match, actions, origin });

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

for (const { kind, title } of KINDS) {
  test(`${title}: what is rejected is answered, at either end`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS),
  }, async () => {
    await onAgentHosts([kind, kind], async (hosts, _controller, network) => {
      const guests: string[] = [];
      for (const [i, host] of hosts.entries())
        guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`));
      const told = twoHosts(hosts, 'geneve').map((rows) => ({
        ...rows,
        flow: [
          ...rows.flow,
          // Who comes in may not ping .2; what is to leave for .1 may not be of UDP. TCP gets a reset.
          flowOf('ls-in-acl', 1000, 'icmp,nw_dst=10.0.0.2', 'set_field:2->reg9,next'),
          flowOf('ls-out-acl', 1000, 'outport=11,udp', 'set_field:2->reg9,next'),
          flowOf('ls-out-acl', 1000, 'outport=11,tcp', 'set_field:2->reg9,next'),
        ],
      }));
      await Promise.all(hosts.map((host, i) => host.peer.apply(1, told[i], {}, true)));
      await until('10.0.0.2 refuses', async () =>
        (await network.run(guests[0], 'ping', ['-c1', '-W1', '10.0.0.2'])).stdout.includes(
          'Destination Host Prohibited',
        ),
      );
      const refused = (protocol: string): Promise<boolean> =>
        until(`${protocol} is refused`, async () => {
          const script = `
            const send = () => { const s = require('node:dgram').createSocket('udp4');
              s.on('error', (e) => { console.log(e.code); process.exit(); });
              s.connect(9, '10.0.0.1', () => { s.send('x'); setTimeout(() => s.send('y'), 200); }); };
            const dial = () => require('node:net').connect(9, '10.0.0.1').on('error', (e) => { console.log(e.code); process.exit(); });
            setTimeout(() => process.exit(), 1500);
            ${protocol === 'udp' ? 'send' : 'dial'}();`;
          const { stdout } = await network.run(guests[1], process.execPath, ['-e', script]);
          return stdout.includes(protocol === 'udp' ? 'EHOSTUNREACH' : 'ECONNREFUSED');
        });
      await refused('tcp');
      await refused('udp');
    });
  });

  test(`${title}: a trace names the object of each flow, and where the packet goes`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS),
  }, async () => {
    await onAgentHosts([kind, kind], async (hosts) => {
      for (const [i, host] of hosts.entries())
        await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`);
      const told = twoHosts(hosts, 'geneve');
      await Promise.all(hosts.map((host, i) => host.peer.apply(1, told[i], {}, true)));
      const [first, second] = hosts.map((host) => host.peer);
      const flow = `icmp,dl_src=${MACS[0]},dl_dst=${MACS[1]},nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64`;
      const out = await first.ask('trace', { port: 11, flow });
      assert.deepEqual(out.outputs, [{ node: 'host-2', tunnelKey: 12 }], out.text);
      const step = out.steps.find((s) => s.stage === 'ls-in-destination');
      assert.equal(step?.origin, told[0].flow[0].origin);
      const into = await second.ask('trace', { tunnelKey: 12, from: 'host-1', flow });
      assert.deepEqual(into.outputs, [{ port: 12 }], into.text);
      const flood = await first.ask('trace', { port: 11, flow: flow.replace(MACS[1], 'ff:ff:ff:ff:ff:ff') });
      assert.deepEqual(flood.outputs, [{ node: 'host-2', tunnelKey: 7 }], flood.text);
      const unknown = await first.ask('trace', {
        port: 11,
        flow: flow.replace(MACS[1], '02:00:00:00:00:77'),
      });
      assert.deepEqual(unknown.outputs, [], unknown.text);
      assert.equal(unknown.steps.at(-1)?.stage, 'ls-in-destination');
      await assert.rejects(first.ask('trace', { port: 12, flow }), /port 12 has no VIF on this host/);
      await assert.rejects(first.ask('trace', { port: 11, flow: 'nonsense' }), /nonsense/);

      const flows = await first.ask('flows', { origin: told[0].flow[0].origin });
      assert.equal(flows.length, told[0].flow.length);
    });
  });
}

for (const { kind, title } of KINDS) {
  test(`${title}: without controller and agent packets go on, and their return touches no flow`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS),
  }, async () => {
    await onAgentHosts([kind, kind], async (hosts, controller, network) => {
      const guests: string[] = [];
      for (const [i, host] of hosts.entries())
        guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`));
      const told = twoHosts(hosts, 'geneve');
      await Promise.all(hosts.map((host, i) => host.peer.apply(1, told[i], {}, true)));
      await until(
        '10.0.0.2 answers',
        async () => (await network.run(guests[0], 'ping', ['-c1', '-W1', '10.0.0.2'])).status === 0,
      );
      const [first] = hosts;
      const watch = network.start(
        first.host.ns,
        'ovs-ofctl',
        ['-OOpenFlow15', 'monitor', 'br-int', 'watch:!initial'],
        first.host.env,
      );
      let events = '';
      watch.stdout?.on('data', (text: Buffer) => {
        events += text.toString();
      });
      const pings = network.run(guests[0], 'ping', ['-c100', '-i0.05', '-W1', '10.0.0.2']);
      const said = first.agentLog.length;
      // It keeps what it was told soon after, not at once.
      const state = join(first.host.env.OVS_DBDIR ?? '', 'weft-agent.json');
      await until('the agent has kept what it was told', () => existsSync(state));
      controller.stop();
      await first.stopAgent('SIGKILL');
      first.startAgent();
      await until('the agent has read the switch', () =>
        /switch: connected; [1-9]\d* of its flows are ours/.test(first.agentLog.slice(said)),
      );
      const { hellos } = first.peer;
      const before = hellos.length;
      await controller.start();
      await until('the agent comes back', () => first.peer.channel !== undefined && hellos.length > before);
      assert.deepEqual(hellos.at(-1)?.holds, { epoch: 'epoch-1', revision: 1 });
      // As a controller does that has nothing new to say, and one that cannot tell.
      await first.peer.apply(2, {});
      await first.peer.apply(3, told[0], {}, true);
      assert.match((await pings).stdout, /100 packets transmitted, 100 received/);
      assert.doesNotMatch(events, /event=(?:ADDED|DELETED|MODIFIED)/);
      const marks = await first.host.vsctl(
        '--bare',
        '--columns=name',
        'find',
        'interface',
        'external_ids:weft-installed=true',
      );
      assert.equal(marks.trim(), 'v-g1');
    });
  });

  test(`${title}: a switch that was started anew gets its flows back`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS),
  }, async () => {
    await onAgentHosts([kind, kind], async (hosts, _controller, network) => {
      const guests: string[] = [];
      for (const [i, host] of hosts.entries())
        guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`));
      const told = twoHosts(hosts, 'geneve');
      await Promise.all(hosts.map((host, i) => host.peer.apply(1, told[i], {}, true)));
      const [{ host }] = hosts;
      await host.kill('ovs-vswitchd');
      await host.startSwitch();
      if (kind === 'stock') {
        // The device of its own bridge may have gone with the process.
        network.ip(host.ns, 'link', 'set', 'phy', 'mtu', '1600', 'up');
        network.ip(host.ns, 'addr', 'replace', `${hosts[0].address}/24`, 'dev', 'phy');
      }
      await until(
        '10.0.0.2 answers again',
        async () => (await network.run(guests[0], 'ping', ['-c1', '-W1', '10.0.0.2'])).status === 0,
      );
    });
  });
}

for (const { kind, title } of KINDS) {
  test(`${title}: where one copy of a packet is rejected, the others still arrive`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS),
  }, async () => {
    await onAgentHosts([kind], async ([host], _controller, network) => {
      const guests: string[] = [];
      const macs = [...MACS, '02:00:00:00:00:03'];
      for (const [i, mac] of macs.entries())
        guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, mac, `10.0.0.${i + 1}/24`));
      const ports = macs.map((mac, i) => ({ port: 11 + i, mac }));
      await host.peer.apply(
        1,
        {
          flow: [
            ...plainSwitch(7, ports),
            flowOf('ls-out-acl', 1000, 'outport=12,udp', 'set_field:2->reg9,next'),
          ],
          placement: ports.map(({ port }, i) => ({ port, datapath: 7, vif: `vif-${i + 1}`, node: host.id })),
        },
        {},
        true,
      );
      // The order of copies is that of labels: one that is rejected stands before the one that is looked at.
      const listen = `require('node:dgram').createSocket('udp4').bind(9999, () => console.log('listening'))
        .on('message', () => { console.log('heard'); process.exit(); })`;
      const listener = network.start(guests[2], process.execPath, ['-e', listen]);
      await saysOnStdout(listener, 'listening');
      const heard = saysOnStdout(listener, 'heard');
      const shout = `const s = require('node:dgram').createSocket('udp4');
        s.bind(() => { s.setBroadcast(true); s.send('x', 9999, '10.0.0.255', () => s.close()); })`;
      for (let done = false; !done; ) {
        await network.run(guests[0], process.execPath, ['-e', shout]);
        done = await Promise.race([
          heard.then(() => true),
          new Promise<false>((r) => setTimeout(() => r(false), 300)),
        ]);
      }
      const acl = await host.peer.ask('flows', { origin: ACL });
      assert.match(acl[0].text, /n_packets=[1-9]/);
    });
  });
}

for (const { kind, title } of KINDS) {
  test(`${title}: a rate holds what a port sends`, {
    skip: systemMissing('ovs-vswitchd', ...TOOLS, 'iperf3'),
  }, async () => {
    await onAgentHosts([kind], async ([host], _controller, network) => {
      const guests: string[] = [];
      for (const i of [0, 1])
        guests.push(await host.addGuest(`g${i + 1}`, `vif-${i + 1}`, MACS[i], `10.0.0.${i + 1}/24`));
      const rows = {
        flow: plainSwitch(7, PORTS),
        placement: PORTS.map(({ port }, i) => ({ port, datapath: 7, vif: `vif-${i + 1}`, node: host.id })),
        rate: [{ port: 11, rate: 8000, burst: 800 }],
      };
      await host.peer.apply(1, rows, {}, true);
      const server = network.start(guests[1], 'iperf3', ['-s', '--forceflush']);
      await saysOnStdout(server, 'listening');
      const send = async (from: string, more: readonly string[]): Promise<number> => {
        const args = ['-c', '10.0.0.2', '-u', '-b', '40M', '-l', '1000', '-t', '2', '-J', ...more];
        const { stdout } = await network.run(from, 'iperf3', args);
        const { end } = JSON.parse(stdout) as { end: { sum: { packets: number; lost_packets: number } } };
        return (end.sum.packets - end.sum.lost_packets) / end.sum.packets;
      };
      const held = await send(guests[0], []);
      assert.ok(held < 0.5, `${held} of 40 Mbit/s came through 8 Mbit/s`);
      await host.peer.apply(2, {}, { rate: rows.rate });
      const free = await send(guests[0], []);
      assert.ok(free > held + 0.2, `${free} of 40 Mbit/s came through without a rate, ${held} with one`);
      assert.doesNotMatch(await host.host.ofctl('-OOpenFlow15', 'dump-meters', 'br-int'), /meter=11/);
    });
  });
}

test('an agent within "weft switch" keeps its bridge, and starts from its file when the controller is away', {
  skip: systemMissing(),
}, async () => {
  const controller = new FakeController();
  const dir = mkdtempSync(join(tmpdir(), 'weft-agent-'));
  const args = ['switch', '--dir', dir, '--enable-dummy', '--disable-system', '--bridge-datapath-type=dummy'];
  const children: ChildProcess[] = [];
  const start = (): ChildProcess => {
    const child = spawn(join(ROOT, 'bin/weft'), [...args, `--controller=unix:${controller.path}`], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    children.push(child);
    return child;
  };
  const env = { ...process.env, OVS_RUNDIR: dir };
  const tool = (command: string, ...words: string[]): string =>
    spawnSync(command, ['--timeout=20', ...words], { encoding: 'utf8', env }).stdout;
  const deliveries = (): string => tool('ovs-ofctl', '--no-stats', 'dump-flows', 'br-int', 'table=66');
  try {
    await controller.start();
    const first = start();
    await until('the agent says hello', () =>
      [...controller.peers.values()].some((p) => p.locations !== undefined),
    );
    const [[id, peer]] = [...controller.peers];
    assert.equal(JSON.parse(tool('ovs-vsctl', 'get', 'Open_vSwitch', '.', 'external_ids:system-id')), id);
    tool(
      'ovs-vsctl',
      'add-port',
      'br-int',
      'p1',
      '--',
      'set',
      'interface',
      'p1',
      'type=dummy',
      'external_ids:iface-id=vif-1',
    );
    const placement = [{ port: 11, datapath: 7, vif: 'vif-1', node: id }];
    await peer.apply(1, { flow: plainSwitch(7, PORTS), placement }, {}, true);
    await until('the port is delivered to', () => deliveries().includes('output:1'));
    await until('the controller hears of the VIF', () => peer.locations?.vifs.some((v) => v.vif === 'vif-1'));
    first.kill('SIGTERM');
    await once(first, 'exit');
    controller.stop();
    start();
    await until('the port is delivered to again', () => deliveries().includes('output:1'));
    const refused = tool(
      'ovs-vsctl',
      '--bare',
      '--columns=name',
      'find',
      'interface',
      'external_ids:weft-installed=true',
    );
    assert.equal(refused.trim(), 'p1');
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    controller.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test('what the switch refuses is told in its words, and the old state stays', {
  skip: systemMissing('ovs-vswitchd', ...TOOLS),
}, async () => {
  await onAgentHosts(['stock', 'netdev'], async (hosts) => {
    for (const host of hosts) {
      const rows = { flow: plainSwitch(7, PORTS) };
      await host.peer.apply(1, rows, {}, true);
      const before = await host.flows();
      // A field of a packet that cannot have it: the agent's own parser takes it, or the switch refuses it.
      const bad = flowOf('ls-in-acl', 7, 'nw_dst=10.0.0.1,arp', 'set_field:80->tcp_dst,next');
      const more = flowOf('ls-in-acl', 8, 'ip', 'next');
      const answer = await host.peer.update(2, { flow: [bad, more] });
      assert.ok('failed' in answer, JSON.stringify(answer));
      assert.match(answer.failed.message, /tcp_dst/);
      assert.deepEqual(await host.flows(), before);
      await host.peer.apply(3, {}, { flow: [bad] });
      assert.equal((await host.flows()).length, before.length + 1);

      const tunnel = [{ node: 'nowhere', encapsulation: 'geneve' as const, address: 'no-address' }];
      const broken = await host.peer.update(4, { tunnel });
      assert.ok('failed' in broken && broken.failed.code === 'tunnel-refused', JSON.stringify(broken));
      await host.peer.apply(5, {}, { tunnel });
    }
  });
});

test('of two agents of one host the second waits for the first to end', {
  skip: systemMissing('ovs-vswitchd', ...TOOLS),
}, async () => {
  await onAgentHosts(['stock'], async ([host], controller) => {
    const second = new AgentHost(host.network, controller, 'stock', 1, host.host);
    try {
      second.startAgent();
      await until('the second agent waits', () => second.agentLog.includes('another agent keeps this host'));
      assert.equal(host.peer.hellos.length, 1);
      await host.stopAgent();
      await until('the second agent takes over', () => host.peer.hellos.length === 2);
    } finally {
      await second.stopAgent();
    }
  });
});

test('an agent speaks TLS, trusts only its authority, and says who it is by its token', {
  skip: systemMissing() || opensslMissing(),
}, async () => {
  const controller = new FakeController();
  const dir = mkdtempSync(join(tmpdir(), 'weft-agent-'));
  const [authority, stranger] = ['controller', 'stranger'].map((name) =>
    makeCertificate(controller.dir, name),
  );
  writeFileSync(join(dir, 'token'), 'secret of this host\n');
  const children: ChildProcess[] = [];
  const start = (trusted: string): ChildProcess => {
    const args = [
      'switch',
      '--dir',
      dir,
      '--enable-dummy',
      '--disable-system',
      '--bridge-datapath-type=dummy',
    ];
    const remote = [`--controller=ssl:127.0.0.1:${controller.port}`, `--ca-cert=${trusted}`];
    const child = spawn(join(ROOT, 'bin/weft'), [...args, ...remote, `--token-file=${join(dir, 'token')}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(child);
    return child;
  };
  try {
    await controller.start(authority);
    const wrong = start(stranger.cert);
    let log = '';
    wrong.stderr?.on('data', (text: Buffer) => {
      log += text.toString();
    });
    await until('the wrong authority is refused', () =>
      /connection attempt failed \(.*certificate/i.test(log),
    );
    assert.equal(controller.peers.size, 0);
    wrong.kill('SIGTERM');
    await once(wrong, 'exit');
    start(authority.cert);
    await until('the agent says hello', () => controller.peers.size === 1);
    const [peer] = controller.peers.values();
    assert.equal(peer.hellos[0].token, 'secret of this host');
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    controller.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
