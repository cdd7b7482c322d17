/** Real traffic, and what becomes of it when devices and daemons come and go. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { saysOnStdout } from '../network.ts';
import { onEachDatapath, type SwitchHost, until } from './host.ts';

const guestName = (host: SwitchHost, name: string): string => host.ns.replace(/host$/, name);

/** Two guests, a and b, at ports pa and pb of a bridge of the userspace datapath. */
async function buildPair(host: SwitchHost): Promise<[a: string, b: string]> {
  const { network } = host;
  const [a, b] = ['a', 'b'].map((name) => network.namespace(name));
  network.veth(a, 'eth0', host.ns, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(b, 'eth0', host.ns, 'pb', '02:00:00:00:00:02', '10.99.0.2/24');
  await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`);
  await host.vsctl('add-port', 'br0', 'pa', '--', 'add-port', 'br0', 'pb');
  return [a, b];
}

/** Pings until an answer comes. */
async function reaches(host: SwitchHost, from: string, address: string): Promise<void> {
  await until(`an answer of ${address} at ${from}`, async () => {
    const { status } = await host.network.run(from, 'ping', ['-c', '1', '-W', '1', address]);
    return status === 0;
  });
}

const TOOLS = { tools: ['ping', 'iperf3'] };

onEachDatapath('TCP passes at default offloads, and counters add up', TOOLS, async (host) => {
  const [a, b] = await buildPair(host);
  await reaches(host, a, '10.99.0.2');
  const server = host.network.start(b, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const done = await host.network.run(a, 'iperf3', ['-c', '10.99.0.2', '-n', '100M', '-J']);
  const report = JSON.parse(done.stdout) as { end: { sum_received: { bytes: number } } };
  assert.ok(report.end.sum_received.bytes >= 90_000_000, done.stdout);
  const flows = await host.appctl('dpif/dump-flows', 'br0');
  assert.match(flows, /eth\(src=02:00:00:00:00:01,dst=02:00:00:00:00:02\).*packets:[1-9]\d*.*flags:/);
  // What the flow has carried, the table's rule has, too, once counters were pushed.
  const bytes = await until('the rule has counted the stream', async () => {
    const count = /n_bytes=(\d+)/.exec(await host.ofctl('dump-flows', 'br0'))?.[1];
    return Number(count) > 100_000_000 ? Number(count) : undefined;
  });
  assert.ok(bytes < 200_000_000, `${bytes} bytes of a stream of 100 MB`);
  await until('the interface has counted the stream', async () => {
    const text = await host.get('Interface', 'pa', 'statistics:rx_bytes');
    return Number(text) > 100_000_000;
  });
});

onEachDatapath(
  'an interface without its device says so, and heals when the device appears',
  TOOLS,
  async (host) => {
    const [a] = await buildPair(host);
    const { status, stderr } = await host.run('ovs-vsctl', '--timeout=20', 'add-port', 'br0', 'late');
    assert.equal(status, 0);
    assert.match(stderr, /Error detected while setting up 'late'/);
    assert.equal(await host.get('Interface', 'late', 'ofport'), '-1');
    assert.match(await host.get('Interface', 'late', 'error'), /late/);
    const c = host.network.namespace('c');
    host.network.veth(c, 'eth0', host.ns, 'late', '02:00:00:00:00:03', '10.99.0.3/24');
    await until(
      'the port has a number',
      async () => Number(await host.get('Interface', 'late', 'ofport')) > 0,
    );
    assert.equal(await host.get('Interface', 'late', 'error'), '[]');
    await reaches(host, a, '10.99.0.3');

    host.network.ip(host.ns, 'link', 'del', 'late');
    await until('the loss is told', async () => (await host.get('Interface', 'late', 'ofport')) === '-1');
    await reaches(host, a, '10.99.0.2');
  },
);

onEachDatapath('kill -9 of both daemons loses nothing that was committed', TOOLS, async (host) => {
  const [a] = await buildPair(host);
  await reaches(host, a, '10.99.0.2');
  const numbers = await host.vsctl('--columns=name,ofport', 'list', 'Interface');
  // A client that writes without pause, so that the server dies amid it.
  const script =
    'i=0; while ovs-vsctl --timeout=5 --no-wait br-set-external-id br0 n $i; do echo $i; i=$((i+1)); done';
  const writer = host.network.start(host.ns, 'sh', ['-c', script], host.env);
  let last = -1;
  writer.stdout?.on('data', (text: Buffer) => {
    last = Number(text.toString().trim().split('\n').at(-1));
  });
  await until('the writer is at work', () => last >= 3);
  await host.kill('ovsdb-server');
  await host.kill('ovs-vswitchd');
  writer.kill('SIGKILL');
  await until('the writer has ended', () => writer.exitCode !== null || writer.signalCode !== null);

  await host.must('ovsdb-tool', 'show-log', host.path('conf.db'));
  await host.startDatabase();
  const kept = Number((await host.vsctl('--no-wait', 'br-get-external-id', 'br0', 'n')).trim());
  // What the writer was told is done is there; one more may have been committed, but not told.
  assert.ok(kept === last || kept === last + 1, `${kept} is in the database, ${last} was acknowledged`);
  await host.startSwitch();
  assert.equal(await host.vsctl('--columns=name,ofport', 'list', 'Interface'), numbers);
  await reaches(host, a, '10.99.0.2');
});

onEachDatapath(
  'the switch outlives its database, and takes up what changed meanwhile',
  TOOLS,
  async (host) => {
    const [a] = await buildPair(host);
    await reaches(host, a, '10.99.0.2');
    await host.kill('ovsdb-server');
    await reaches(host, a, '10.99.0.2');
    await host.startDatabase();
    const c = host.network.namespace('c');
    host.network.veth(c, 'eth0', host.ns, 'pc', '02:00:00:00:00:03', '10.99.0.3/24');
    await host.vsctl('add-port', 'br0', 'pc');
    await reaches(host, a, '10.99.0.3');
  },
);

onEachDatapath('the daemons end as they were asked to, and take their files with them', {}, async (host) => {
  await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`);
  assert.match(host.network.ip(host.ns, '-br', 'link'), /^br0/m);
  await host.appctl('exit', '--cleanup');
  await until('the switch is gone', () => !host.runs('ovs-vswitchd'));
  for (const name of [
    'ovs-vswitchd.pid',
    'br0.mgmt',
    'br0.snoop',
    `ovs-vswitchd.${host.pid('ovs-vswitchd')}.ctl`,
  ])
    assert.ok(!existsSync(host.path(name)), name);
  assert.doesNotMatch(host.network.ip(host.ns, '-br', 'link'), /^br0/m);
  const database = host.pid('ovsdb-server');
  process.kill(database, 'SIGTERM');
  await until('the database server is gone', () => !host.runs('ovsdb-server'));
  for (const name of ['ovsdb-server.pid', 'db.sock', `ovsdb-server.${database}.ctl`])
    assert.ok(!existsSync(host.path(name)), name);
  assert.ok(existsSync(host.path('conf.db')));
  await host.start();
  assert.match(await host.vsctl('show'), /Bridge br0/);
});

onEachDatapath('patch ports join two bridges', TOOLS, async (host) => {
  const [a] = await buildPair(host);
  const c = host.network.namespace('c');
  host.network.veth(c, 'eth0', host.ns, 'pc', '02:00:00:00:00:03', '10.99.0.3/24');
  const patch = (bridge: string, name: string, peer: string) =>
    [
      '--',
      'add-port',
      bridge,
      name,
      '--',
      'set',
      'interface',
      name,
      'type=patch',
      `options:peer=${peer}`,
    ] as const;
  await host.vsctl(
    ...[
      'add-br',
      'br1',
      '--',
      'set',
      'bridge',
      'br1',
      `datapath_type=${host.datapathType}`,
      '--',
      'add-port',
      'br1',
      'pc',
    ],
    ...patch('br0', 'p01', 'p10'),
    ...patch('br1', 'p10', 'p01'),
  );
  await reaches(host, a, '10.99.0.3');
});

onEachDatapath('an internal port is a device of the host', TOOLS, async (host) => {
  const [a] = await buildPair(host);
  host.network.ip(host.ns, 'addr', 'add', '10.99.0.9/24', 'dev', 'br0');
  host.network.ip(host.ns, 'link', 'set', 'br0', 'up');
  await reaches(host, a, '10.99.0.9');
  await reaches(host, guestName(host, 'host'), '10.99.0.2');
  const mac = (await host.get('Interface', 'br0', 'mac_in_use')).replaceAll('"', '');
  assert.match(host.network.ip(host.ns, 'link', 'show', 'br0'), new RegExp(mac));
});
