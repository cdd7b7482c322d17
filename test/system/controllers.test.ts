/**
 * Controllers of others, from Debian's packages, run our switch: guests in namespaces of their own reach each other only if
 * controller and switch understand each other.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { onEachDatapath, onHost, type SwitchHost, until } from './host.ts';

const FIXTURE = join(import.meta.dirname, 'fixture');

/** Two guests on br0, which is nothing but what a controller makes of it. */
async function guests(host: SwitchHost, target: string): Promise<[string, string]> {
  const { network } = host;
  const [left, right] = ['left', 'right'].map((name) => network.namespace(name));
  network.veth(left, 'eth0', host.ns, 'left', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(right, 'eth0', host.ns, 'right', '02:00:00:00:00:02', '10.99.0.2/24');
  const bridge = [`datapath_type=${host.datapathType}`, 'fail_mode=secure', 'protocols=OpenFlow13'];
  await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', ...bridge);
  await host.vsctl('add-port', 'br0', 'left', '--', 'add-port', 'br0', 'right');
  const before = await network.run(left, 'ping', ['-c1', '-W1', '10.99.0.2']);
  assert.notEqual(before.status, 0, 'without a controller nothing passes');
  await host.vsctl('set-controller', 'br0', target);
  await until('the controller is connected', async () => {
    return (await host.get('Controller', 'br0', 'is_connected')) === 'true';
  });
  return [left, right];
}

/** Pings until the first answer, and then some that must all be answered. */
async function reach(host: SwitchHost, from: string, address: string): Promise<void> {
  const { network } = host;
  await until(`${address} answers`, async () => {
    return (await network.run(from, 'ping', ['-c1', '-W1', address])).status === 0;
  });
  const { stdout } = await network.run(from, 'ping', ['-c5', '-i0.2', '-W2', address]);
  assert.match(stdout, / 0% packet loss/, stdout);
}

/** Flows that the controller has put there for packets between the guests. */
async function learned(host: SwitchHost): Promise<number> {
  const text = await host.ofctl('-O', 'OpenFlow13', 'dump-flows', 'br0');
  return text.split('\n').filter((line) => line.includes('dl_dst=02:00:00:00:00:0')).length;
}

onEachDatapath(
  'guests reach each other over ovs-testcontroller',
  { tools: ['ovs-testcontroller', 'ping'] },
  async (host) => {
    const socket = host.path('controller');
    host.network.start(host.ns, 'ovs-testcontroller', ['-O', 'OpenFlow13', `punix:${socket}`], host.env);
    const [left, right] = await guests(host, `unix:${socket}`);
    await reach(host, left, '10.99.0.2');
    await reach(host, right, '10.99.0.1');
    assert.ok((await learned(host)) > 0);
  },
);

onEachDatapath(
  'guests reach each other over an os-ken application',
  { tools: ['osken-manager', 'ping'] },
  async (host) => {
    const env = { ...host.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
    const args = ['--ofp-tcp-listen-port', '6653', join(FIXTURE, 'learning_switch.py')];
    const controller = host.network.start(host.ns, '/usr/bin/osken-manager', args, env);
    let said = '';
    for (const stream of [controller.stdout, controller.stderr])
      stream?.on('data', (text: Buffer) => {
        said += text.toString();
      });
    const [left, right] = await guests(host, 'tcp:127.0.0.1:6653');
    await reach(host, left, '10.99.0.2');
    await reach(host, right, '10.99.0.1');
    assert.ok((await learned(host)) >= 2, said);
    assert.doesNotMatch(said, /Traceback/);
  },
);

/** Its virtual hosts are namespaces without names, its switch's ports are devices where it runs: the host's namespace. */
const MININET = `
import sys
from mininet.net import Mininet
from mininet.node import OVSSwitch, Host
from mininet.topo import LinearTopo

class Switch(OVSSwitch):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, datapath=sys.argv[1], **kwargs)
        self.failMode = 'standalone'

net = Mininet(topo=LinearTopo(k=2, n=2), switch=Switch, controller=None)
net.start()
try:
    lost = net.pingAll(timeout=2)
    print('lost', lost)
finally:
    net.stop()
`;

for (const datapathType of ['netdev', 'system'] as const) {
  onHost(
    `${datapathType === 'netdev' ? 'user space' : 'kernel'}: Mininet builds its network out of our switches, and all of its hosts reach each other`,
    { tools: ['mn', 'ping'] },
    async (host) => {
      const env = { ...host.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
      const kind = datapathType === 'netdev' ? 'user' : 'kernel';
      const { stdout, stderr } = await host.network.run(
        host.ns,
        '/usr/bin/python3',
        ['-c', MININET, kind],
        env,
      );
      assert.match(stdout, /lost 0\.0/, `${stdout}${stderr}`);
      assert.equal((await host.vsctl('list-br')).trim(), '', 'Mininet takes away what it made');
    },
    datapathType,
  );
}
