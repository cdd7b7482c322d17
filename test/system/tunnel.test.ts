/**
 * Two hosts that become one network by a tunnel: ours and a peer that is not, a VXLAN device of the kernel or
 * Open vSwitch's own daemons with its userspace datapath.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Network, saysOnStdout } from '../network.ts';
import { type DatapathType, onEachDatapath, SwitchHost, systemMissing, until } from './host.ts';

const TOOLS = ['ping', 'iperf3', 'ethtool'];
const OURS = '172.31.0.1';
const THEIRS = '172.31.0.2';
const OURS6 = 'fd31::1';
const THEIRS6 = 'fd31::2';

interface Hosts {
  readonly network: Network;
  readonly ours: SwitchHost;
  readonly theirs: SwitchHost;
  /** Namespaces of the guests, 10.99.0.1 and 10.99.0.2. */
  readonly guest: string;
  readonly far: string;
}

/** Our switch with a guest on br0, and an underlay to another host. */
async function prepare(network: Network, ours: SwitchHost, far: string): Promise<string> {
  const guest = network.namespace('guest');
  network.veth(guest, 'eth0', ours.ns, 'g0', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(far, 'under0', ours.ns, 'under0', '02:00:00:00:01:02');
  for (const [ns, device] of [
    [ours.ns, 'under0'],
    [far, 'under0'],
  ]) {
    network.ip(ns, 'link', 'set', device, 'mtu', '1600');
  }
  network.ip(ours.ns, 'addr', 'add', `${OURS}/24`, 'dev', 'under0');
  network.ip(ours.ns, 'addr', 'add', `${OURS6}/64`, 'dev', 'under0', 'nodad');
  await ours.start();
  await ours.vsctl(
    'add-br',
    'br0',
    '--',
    'set',
    'bridge',
    'br0',
    `datapath_type=${ours.datapathType}`,
    '--',
    'add-port',
    'br0',
    'g0',
  );
  return guest;
}

/** The peer is Open vSwitch, whose underlay is a bridge of its own with the host's address. */
function withStock(title: string, body: (hosts: Hosts) => Promise<void>): void {
  onStock(`user space: ${title}`, 'netdev', body);
  onStock(`kernel: ${title}`, 'system', body);
}

function onStock(title: string, datapathType: DatapathType, body: (hosts: Hosts) => Promise<void>): void {
  test(title, { skip: systemMissing('ovs-vswitchd', ...TOOLS) }, async () => {
    const network = new Network();
    const hosts: SwitchHost[] = [];
    try {
      const ours = new SwitchHost(network, [], { datapathType });
      const theirs = new SwitchHost(network, [], { name: 'theirs', stock: true });
      hosts.push(ours, theirs);
      const guest = await prepare(network, ours, theirs.ns);
      const far = network.namespace('far');
      network.veth(far, 'eth0', theirs.ns, 'g0', '02:00:00:00:00:02', '10.99.0.2/24');
      // Its userspace datapath takes packets as they are on a wire.
      for (const [ns, device] of [
        [far, 'eth0'],
        [ours.ns, 'under0'],
      ]) {
        assert.equal((await network.run(ns, 'ethtool', ['-K', device, 'tx', 'off'])).status, 0);
      }
      await theirs.start();
      const netdev = ['datapath_type=netdev'];
      await theirs.vsctl(
        'add-br',
        'phy',
        '--',
        'set',
        'bridge',
        'phy',
        ...netdev,
        '--',
        'add-port',
        'phy',
        'under0',
      );
      await theirs.vsctl(
        'add-br',
        'br0',
        '--',
        'set',
        'bridge',
        'br0',
        ...netdev,
        '--',
        'add-port',
        'br0',
        'g0',
      );
      network.ip(theirs.ns, 'link', 'set', 'phy', 'mtu', '1600', 'up');
      network.ip(theirs.ns, 'addr', 'add', `${THEIRS}/24`, 'dev', 'phy');
      network.ip(theirs.ns, 'addr', 'add', `${THEIRS6}/64`, 'dev', 'phy', 'nodad');
      await body({ network, ours, theirs, guest, far });
    } catch (error) {
      const words = hosts.map((host) => `\n--- ${host.lastWords()}`).join('');
      if (error instanceof Error) error.message += words;
      throw error;
    } finally {
      for (const host of hosts) host.close();
      network.close();
    }
  });
}

/** Adds the same tunnel on both sides, towards each other. */
async function join(hosts: Hosts, type: string, family: 4 | 6, ...options: string[]): Promise<void> {
  const rows: [SwitchHost, string][] = [
    [hosts.ours, family === 4 ? THEIRS : THEIRS6],
    [hosts.theirs, family === 4 ? OURS : OURS6],
  ];
  for (const [host, remote] of rows) {
    const all = [`remote_ip=${remote}`, ...options].map((option) => `options:${option.replace('=', '="')}"`);
    await host.vsctl(
      'add-port',
      'br0',
      't0',
      '--',
      'set',
      'interface',
      't0',
      `type=${type}`,
      'ofport_request=9',
      ...all,
    );
    assert.equal(await host.get('interface', 't0', 'error'), '[]');
  }
}

/** The first packets may be lost while both sides look for each other. */
async function ping(network: Network, from: string, to: string, ...more: string[]): Promise<void> {
  await until(
    `${to} answers`,
    async () => (await network.run(from, 'ping', ['-c', '1', '-W', '1', to])).status === 0,
  );
  const done = await network.run(from, 'ping', ['-c', '3', '-i', '0.1', '-W', '2', ...more, to]);
  assert.match(done.stdout, / 0% packet loss/, done.stdout + done.stderr);
}

async function stream(network: Network, from: string, to: string, address: string): Promise<void> {
  const server = network.start(to, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = ['-c', address, '-t', '1', '-C', 'cubic', '-J', '--connect-timeout', '3000'];
  const done = await network.run(from, 'iperf3', args);
  const report = JSON.parse(done.stdout) as { end: { sum_received?: { bytes: number } }; error?: string };
  assert.equal(report.error, undefined);
  assert.ok((report.end.sum_received?.bytes ?? 0) > 1_000_000);
}

onEachDatapath('VXLAN to a device of the kernel, by stock tools', { tools: TOOLS }, async (ours) => {
  const { network } = ours;
  const far = network.namespace('far');
  await ours.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', `datapath_type=${ours.datapathType}`);
  const guest = network.namespace('guest');
  network.veth(guest, 'eth0', ours.ns, 'g0', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(far, 'under0', ours.ns, 'under0', '02:00:00:00:01:02', `${THEIRS}/24`);
  network.ip(ours.ns, 'addr', 'add', `${OURS}/24`, 'dev', 'under0');
  for (const ns of [ours.ns, far]) network.ip(ns, 'link', 'set', 'under0', 'mtu', '1600');
  const device = ['type', 'vxlan', 'id', '77', 'dstport', '4789', 'local', THEIRS, 'remote', OURS];
  network.ip(far, 'link', 'add', 'vx0', ...device);
  network.ip(far, 'addr', 'add', '10.99.0.2/24', 'dev', 'vx0');
  network.ip(far, 'link', 'set', 'vx0', 'mtu', '1500', 'up');
  const tunnel = ['type=vxlan', `options:remote_ip=${THEIRS}`, 'options:key=77'];
  await ours.vsctl(
    'add-port',
    'br0',
    'g0',
    '--',
    'add-port',
    'br0',
    'vx',
    '--',
    'set',
    'interface',
    'vx',
    ...tunnel,
  );
  await ping(network, guest, '10.99.0.2');
  await stream(network, guest, far, '10.99.0.2');
  await stream(network, far, guest, '10.99.0.1');
  assert.match(await ours.appctl('dpif/show'), /vx \d+\/\d+: \(vxlan: key=77, remote_ip=172\.31\.0\.2\)/);
  const statistics = async (name: string): Promise<number> =>
    Number((await ours.get('interface', 'vx', `statistics:${name}`)) || 0);
  await until('the tunnel port has counted', async () => (await statistics('rx_packets')) > 100);
  assert.ok((await statistics('tx_packets')) > 100);
  if (ours.datapathType === 'system') {
    // Programs do the work: what came up is a few packets of thousands.
    const up = await ours.appctl('weft/forwarding');
    const through = (await statistics('tx_packets')) + (await statistics('rx_packets'));
    const [missed, asked] = [/(\d+) without a megaflow/, /(\d+) of megaflows for/].map((word) =>
      Number(word.exec(up)?.[1]),
    );
    assert.ok(missed + asked < through / 10, `${up}of ${through} packets of the tunnel`);
  }
  // The database says by which device the tunnel leaves, and follows the host's routes.
  const egress = async (): Promise<string> => ours.get('interface', 'vx', 'status');
  await until('the egress device is told', async () => /tunnel_egress_iface_carrier=up/.test(await egress()));
  assert.equal(await egress(), '{tunnel_egress_iface=under0, tunnel_egress_iface_carrier=up}');
  network.ip(far, 'link', 'set', 'under0', 'down');
  await until('the carrier is gone', async () => !/carrier=up/.test(await egress()));
  network.ip(far, 'link', 'set', 'under0', 'up');
  await until('the carrier is back', async () => /carrier=up/.test(await egress()));
  // Without a remote end it is refused, with a word in the database and in the log.
  const { status } = await ours.run(
    'ovs-vsctl',
    '--timeout=20',
    'remove',
    'interface',
    'vx',
    'options',
    'remote_ip',
  );
  assert.equal(status, 0);
  const complaint = "vx: vxlan type requires valid 'remote_ip' argument";
  await until('the interface has its error', async () =>
    (await ours.get('interface', 'vx', 'error')).includes(complaint),
  );
  assert.ok(ours.log('ovs-vswitchd').includes(complaint));
  await ours.vsctl('set', 'interface', 'vx', `options:remote_ip=${THEIRS}`);
  await ping(network, guest, '10.99.0.2');
});

withStock('Geneve to Open vSwitch', async (hosts) => {
  await join(hosts, 'geneve', 4, 'key=5');
  const { network, guest, far } = hosts;
  await ping(network, guest, '10.99.0.2', '-s', '1400');
  await stream(network, guest, far, '10.99.0.2');
  await stream(network, far, guest, '10.99.0.1');
});

withStock('Geneve to Open vSwitch over IPv6', async (hosts) => {
  await join(hosts, 'geneve', 6, 'key=5');
  const { network, guest, far } = hosts;
  await ping(network, guest, '10.99.0.2');
  await stream(network, guest, far, '10.99.0.2');
});

withStock('GRE to Open vSwitch, with a key and checksums', async (hosts) => {
  await join(hosts, 'gre', 4, 'key=0xdeadbeef', 'csum=true');
  const { network, guest, far } = hosts;
  await ping(network, guest, '10.99.0.2', '-s', '1400');
  await stream(network, guest, far, '10.99.0.2');
  await stream(network, far, guest, '10.99.0.1');
});

withStock('BFD watches a tunnel to Open vSwitch', async (hosts) => {
  await join(hosts, 'geneve', 4, 'key=5');
  const { ours, theirs } = hosts;
  for (const host of [ours, theirs]) {
    await host.vsctl('set', 'interface', 't0', 'bfd:enable=true', 'bfd:min_tx=200', 'bfd:min_rx=200');
  }
  const bothAre = async (state: string): Promise<void> => {
    for (const host of [ours, theirs]) {
      await until(`the tunnel's session is ${state}`, async () => {
        return (await host.get('interface', 't0', 'bfd_status:state')) === state;
      });
    }
  };
  await bothAre('up');
  assert.match(await ours.appctl('dpctl/dump-flows'), /tunnel\(.*slow_path\(bfd\)/);
  await theirs.ofctl('add-flow', 'phy', 'priority=9,udp,tp_dst=6081,actions=drop');
  await bothAre('down');
  await theirs.ofctl('del-flows', 'phy', 'udp,tp_dst=6081');
  await bothAre('up');
});

withStock('a Geneve option is a field on both sides', async (hosts) => {
  await join(hosts, 'geneve', 4, 'key=flow');
  const { network, ours, theirs, guest } = hosts;
  for (const host of [ours, theirs]) {
    // A critical option: who doesn't know it drops the packet.
    await host.ofctl('add-tlv-map', 'br0', '{class=0x102,type=0x80,len=4}->tun_metadata0');
    await host.ofctl('del-flows', 'br0');
  }
  const port = async (host: SwitchHost): Promise<string> => host.get('interface', 'g0', 'ofport');
  for (const [host, out, back] of [
    [ours, '0x1234', '0x5678'],
    [theirs, '0x5678', '0x1234'],
  ] as const) {
    const g0 = await port(host);
    await host.ofctl(
      'add-flow',
      'br0',
      `in_port=${g0},actions=set_field:7->tun_id,set_field:${out}->tun_metadata0,output:9`,
    );
    await host.ofctl('add-flow', 'br0', `in_port=9,tun_id=7,tun_metadata0=${back},actions=output:${g0}`);
  }
  await ping(network, guest, '10.99.0.2');
  assert.match(await ours.ofctl('dump-flows', 'br0', 'in_port=9'), /n_packets=[1-9].*tun_metadata0=0x5678/);
  assert.match(await ours.appctl('dpctl/dump-flows'), /geneve\(\{class=0x102,type=0x80,len=4,0x5678\}\)/);
  // Another value is another packet: nothing takes it.
  await theirs.ofctl('del-flows', 'br0', `in_port=${await port(theirs)}`);
  await theirs.ofctl(
    'add-flow',
    'br0',
    `in_port=${await port(theirs)},actions=set_field:7->tun_id,set_field:0x9999->tun_metadata0,output:9`,
  );
  const lost = await network.run(guest, 'ping', ['-c', '2', '-i', '0.2', '-W', '1', '10.99.0.2']);
  assert.match(lost.stdout, /100% packet loss/);
  // A field that flows use keeps its place.
  const kept = await ours.run('ovs-ofctl', 'del-tlv-map', 'br0');
  assert.match(kept.stderr, /NXTTMFC_INVALID_TLV_DEL/);
  await ours.ofctl('del-flows', 'br0');
  await ours.ofctl('del-tlv-map', 'br0');
});

/** A Geneve packet of VNI 7 with an Ethernet frame inside, as `printf` writes it. */
const GENEVE = `\\x00\\x00\\x65\\x58\\x00\\x00\\x07\\x00${'\\xff'.repeat(6)}\\x02\\x00\\x00\\x00\\x00\\x09\\x88\\xb5${'\\x55'.repeat(46)}`;

onEachDatapath(
  "a machine's tunnel packet to its own host is not taken for another host's",
  { tools: TOOLS },
  async (host) => {
    const { network } = host;
    const sender = (name: string, port: string, address?: string): string => {
      const ns = network.namespace(name);
      network.veth(ns, 'eth0', host.ns, port, '02:00:00:00:00:02', address);
      return ns;
    };
    // Both say that they are 172.31.0.2; only one of them is on the underlay.
    const other = sender('other', 'under0', `${THEIRS}/24`);
    const guest = sender('guest', 'g0', `${THEIRS}/24`);
    network.ip(host.ns, 'addr', 'add', `${OURS}/24`, 'dev', 'under0');
    const type = `datapath_type=${host.datapathType}`;
    await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', type, '--', 'add-port', 'br0', 'g0');
    const tunnel = ['type=geneve', 'ofport_request=9', 'options:key=flow', 'options:remote_ip=flow'];
    await host.vsctl('add-port', 'br0', 't0', '--', 'set', 'interface', 't0', ...tunnel);
    await host.ofctl('del-flows', 'br0');
    await host.ofctl('add-flow', 'br0', 'in_port=9,tun_id=7,actions=drop');
    await host.ofctl('add-flow', 'br0', 'in_port=g0,actions=drop');
    const send = async (ns: string, device: string): Promise<void> => {
      const link = network.ip(host.ns, '-o', 'link', 'show', device);
      const mac = /link\/ether (\S+)/.exec(link)?.[1] ?? assert.fail(link);
      network.ip(ns, 'neigh', 'replace', OURS, 'lladdr', mac, 'dev', 'eth0');
      const script = `for i in 1 2 3; do printf '${GENEVE}' > /dev/udp/${OURS}/6081; done`;
      assert.equal((await network.run(ns, 'bash', ['-c', script])).status, 0);
    };
    const packets = async (match: string): Promise<number> => {
      const text = await host.ofctl('dump-flows', 'br0', match);
      return Number(/n_packets=(\d+)/.exec(text)?.[1] ?? assert.fail(text));
    };
    await send(guest, 'g0');
    await until('the guest was heard', async () => (await packets('in_port=g0')) >= 3);
    await send(other, 'under0');
    await until('the other host was heard', async () => (await packets('in_port=9')) >= 3);
    assert.equal(await packets('in_port=9'), 3);
  },
);
