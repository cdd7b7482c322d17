/** Controllers, monitors and snoops of the stock distribution. */
import assert from 'node:assert/strict';
import { onHost, type SwitchHost, until } from './host.ts';

const DUMMY = { options: ['--enable-dummy', '--disable-system'] };
const PACKET = '020000000002020000000001080600010800060400010200000000010a0000010000000000000a000002';

async function bridge(host: SwitchHost, failMode: string): Promise<void> {
  const port = (n: number) =>
    `-- add-port br0 p${n} -- set interface p${n} type=dummy ofport_request=${n}`.split(' ');
  await host.vsctl(
    ...['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy', `fail-mode=${failMode}`],
    ...[...port(1), ...port(2)],
  );
}

/** Starts a program and gathers all that it says. */
function listen(host: SwitchHost, command: string, ...args: string[]) {
  const child = host.network.start(host.ns, command, args, host.env);
  const heard = { child, text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text: Buffer) => {
      heard.text += text.toString();
    });
  return heard;
}

onHost(
  'a stock controller makes the bridge a learning switch, over every version',
  { ...DUMMY, tools: ['ovs-testcontroller'] },
  async (host) => {
    await bridge(host, 'secure');
    for (const version of [10, 13, 15]) {
      const socket = host.path(`controller${version}`);
      const controller = listen(host, 'ovs-testcontroller', '-O', `OpenFlow${version}`, `punix:${socket}`);
      await host.vsctl(
        ...['set', 'bridge', 'br0', `protocols=OpenFlow${version}`],
        ...['--', 'set-controller', 'br0', `unix:${socket}`],
      );
      await until(`connected by version ${version}: ${controller.text}`, async () => {
        return (await host.get('Controller', 'br0', 'is_connected')) === 'true';
      });
      const ofctl = (...args: string[]) => host.ofctl('-O', `OpenFlow${version}`, ...args);
      const sent = async () => Number(/tx pkts=(\d+)/.exec(await ofctl('dump-ports', 'br0', '2'))?.[1]);
      const before = await sent();
      await until('the controller floods packets', async () => {
        await host.appctl('netdev-dummy/receive', 'p1', PACKET);
        return (await sent()) > before;
      });
      controller.child.kill('SIGKILL');
      await until('the loss is noticed', async () => {
        return (await host.get('Controller', 'br0', 'is_connected')) === 'false';
      });
      await host.vsctl('del-controller', 'br0');
    }
  },
);

onHost('ovs-ofctl monitor gets packets, snoop sees what controllers say', DUMMY, async (host) => {
  await bridge(host, 'secure');
  const snoop = listen(host, 'ovs-ofctl', '--timeout=60', 'snoop', 'br0');
  const monitor = listen(host, 'ovs-ofctl', '--timeout=60', 'monitor', 'br0', '128', 'watch:');
  // While it sets itself up, ovs-ofctl drops what it did not ask for: so the flow is made until it is told.
  await until('the monitor tells the new flow', async () => {
    await host.ofctl('del-flows', 'br0');
    await host.ofctl('add-flow', 'br0', 'in_port=1,actions=controller(max_len=100)');
    return /event=(ADDED|INITIAL).*actions=CONTROLLER:100/.test(monitor.text);
  });
  await until('the packet comes up', async () => {
    await host.appctl('netdev-dummy/receive', 'p1', PACKET);
    return /PACKET_IN.*in_port=1.*\n.*arp/.test(monitor.text);
  });
  assert.match(monitor.text, /arp_spa=10\.0\.0\.1,arp_tpa=10\.0\.0\.2/);
  await host.ofctl('packet-out', 'br0', `in_port=controller packet=${PACKET} actions=output:2`);
  await until('the packet left', async () => /tx pkts=1/.test(await host.ofctl('dump-ports', 'br0', '2')));
  snoop.child.kill('SIGKILL');
  monitor.child.kill('SIGKILL');
});

onHost(
  'without its controller a standalone bridge learns by itself, a secure one does not',
  DUMMY,
  async (host) => {
    await bridge(host, 'standalone');
    await host.vsctl(
      'set-controller',
      'br0',
      `unix:${host.path('nobody')}`,
      '--',
      'set',
      'controller',
      'br0',
      'inactivity_probe=5000',
    );
    const tx = async () => Number(/tx pkts=(\d+)/.exec(await host.ofctl('dump-ports', 'br0', '2'))?.[1]);
    await until('the bridge forwards by itself', async () => {
      // It gives the controller three times the probe interval.
      await host.appctl('time/warp', '2000', '500');
      await host.appctl('netdev-dummy/receive', 'p1', PACKET);
      return (await tx()) > 0;
    });
    await host.vsctl('set-fail-mode', 'br0', 'secure');
    await host.ofctl('del-flows', 'br0');
    await host.appctl('revalidator/wait');
    const before = await tx();
    for (let i = 0; i < 3; i++) await host.appctl('netdev-dummy/receive', 'p1', PACKET);
    await host.appctl('revalidator/wait');
    assert.equal(await tx(), before);
  },
);
