import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/base/clock.ts';
import { nullLogger } from '../../src/base/log.ts';
import { maskOf } from '../../src/datapath/conformance/frames.ts';
import { formatKey, parseActions } from '../../src/datapath/text/index.ts';
import type { Datapath, PortStats } from '../../src/datapath/types.ts';
import { createWorkerDatapath } from '../../src/datapath/userspace/worker-datapath.ts';
import { newFlow, W_IN_PORT } from '../../src/flow/layout.ts';
import { RxFrame } from '../../src/sys/frame.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { PacketPort } from '../../src/sys/packet-port.ts';
import { get16 } from '../../src/wire/bytes.ts';
import { writePcap } from '../../src/wire/pcap.ts';
import { Network, networkMissing, saysOnStdout } from '../network.ts';

/*
 * Tunnel ports of the forwarding thread against tunnel devices of the kernel, in namespaces: a guest behind the
 * datapath, and an underlay to a host whose kernel is the other end.
 */

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
const skip = networkMissing('ping', 'iperf3');

interface Lab {
  readonly network: Network;
  readonly datapath: Datapath;
  /** Namespaces: the datapath's host, its guest, and the host of the kernel's tunnel. */
  readonly host: string;
  readonly guest: string;
  readonly far: string;
  /** Has the guest's packets leave with another outer header. */
  put(tunnel: string, port: number): void;
  /** Adds a tunnel port that the guest's packets leave by, with this outer header; returns its number. */
  join(type: string, tunnel: string): number;
  stats(port: number): PortStats;
}

function onLab(title: string, run: (lab: Lab) => Promise<void>): void {
  test(title, { skip }, () => inLab(run));
}

async function inLab(run: (lab: Lab) => Promise<void>): Promise<void> {
  const network = new Network();
  let datapath: Datapath | undefined;
  try {
    const [host, guest, far] = ['host', 'guest', 'far'].map((name) => network.namespace(name));
    network.veth(guest, 'eth0', host, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
    network.veth(far, 'under0', host, 'under0', '02:00:00:00:01:02', '172.31.0.2/24');
    network.ip(host, 'addr', 'add', '172.31.0.1/24', 'dev', 'under0');
    network.ip(host, 'addr', 'add', 'fd31::1/64', 'dev', 'under0', 'nodad');
    network.ip(far, 'addr', 'add', 'fd31::2/64', 'dev', 'under0', 'nodad');
    // Room for the outer header around what the guests think a wire takes.
    for (const ns of [host, far]) network.ip(ns, 'link', 'set', 'under0', 'mtu', '1600');
    datapath = createWorkerDatapath({ clock, random: Math.random, log: nullLogger });
    const dp = datapath;
    const netns = network.path(host);
    const pa = dp.portAdd({ name: 'pa', type: 'system', netns });
    const put = (from: number, text: string): void => {
      const key = newFlow();
      key[W_IN_PORT] = from;
      dp.flowPut({ key, mask: maskOf(W_IN_PORT), actions: parseActions(text) });
    };
    await run({
      network,
      datapath,
      host,
      guest,
      far,
      put: (tunnel, port) => put(pa, `set(tunnel(${tunnel})),${port}`),
      join: (type, tunnel) => {
        const options = new Map(type === 'gre' ? [] : [['dst_port', type === 'vxlan' ? '4789' : '6081']]);
        const port = dp.portAdd({ name: `${type}_sys`, type, netns, options });
        put(pa, `set(tunnel(${tunnel})),${port}`);
        put(port, `${pa}`);
        return port;
      },
      stats: (port) => dp.portStats(port),
    });
  } finally {
    await datapath?.close();
    network.close();
  }
}

async function ping(network: Network, from: string, to: string, ...more: string[]): Promise<void> {
  const done = await network.run(from, 'ping', ['-c', '3', '-i', '0.1', '-W', '2', ...more, to]);
  assert.match(done.stdout, / 0% packet loss/, done.stdout + done.stderr);
}

/** A second of TCP; returns how many bytes arrived. */
async function stream(network: Network, from: string, to: string, address: string): Promise<number> {
  const server = network.start(to, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = ['-c', address, '-t', '1', '-C', 'cubic', '-J', '--connect-timeout', '3000'];
  const done = await network.run(from, 'iperf3', args);
  const report = JSON.parse(done.stdout) as { end: { sum_received?: { bytes: number } }; error?: string };
  assert.equal(report.error, undefined);
  return report.end.sum_received?.bytes ?? 0;
}

/** The kernel's own VXLAN device, as a guest of the other host. */
function kernelVxlan({ network, far }: Lab, local: string, remote: string): void {
  network.ip(
    far,
    'link',
    'add',
    'vx0',
    'type',
    'vxlan',
    'id',
    '77',
    'dstport',
    '4789',
    'local',
    local,
    'remote',
    remote,
    'udp6zerocsumrx',
  );
  network.ip(far, 'addr', 'add', '10.99.0.2/24', 'dev', 'vx0');
  network.ip(far, 'link', 'set', 'vx0', 'mtu', '1500', 'up');
}

onLab('VXLAN to a device of the kernel: ping and TCP at default offloads, both ways', async (lab) => {
  kernelVxlan(lab, '172.31.0.2', '172.31.0.1');
  const { network, guest, far } = lab;
  const port = lab.join('vxlan', 'tun_id=0x4d,dst=172.31.0.2,ttl=64,tp_dst=4789,flags(df|key)');
  await ping(network, guest, '10.99.0.2');
  await ping(network, far, '10.99.0.1', '-s', '1400');
  assert.ok((await stream(network, guest, far, '10.99.0.2')) > 1_000_000);
  assert.ok((await stream(network, far, guest, '10.99.0.1')) > 1_000_000);
  const { rxErrors, txErrors } = lab.stats(port);
  assert.deepEqual({ rxErrors, txErrors }, { rxErrors: 0, txErrors: 0 });
});

onLab('VXLAN over IPv6, with the checksum that IPv6 demands', async (lab) => {
  kernelVxlan(lab, 'fd31::2', 'fd31::1');
  const { network, guest, far } = lab;
  const port = lab.join(
    'vxlan',
    'tun_id=0x4d,ipv6_src=fd31::1,ipv6_dst=fd31::2,ttl=64,tp_dst=4789,flags(df|key)',
  );
  await ping(network, guest, '10.99.0.2');
  await ping(network, far, '10.99.0.1', '-s', '1400');
  assert.ok((await stream(network, guest, far, '10.99.0.2')) > 1_000_000);
  assert.ok((await stream(network, far, guest, '10.99.0.1')) > 1_000_000);
  assert.equal(lab.stats(port).rxErrors, 0);
});

onLab('what exceeds the underlay is fragmented, or refused where it must not be', async (lab) => {
  kernelVxlan(lab, '172.31.0.2', '172.31.0.1');
  const { network, host, guest, far } = lab;
  for (const ns of [host, far]) network.ip(ns, 'link', 'set', 'under0', 'mtu', '1400');
  const port = lab.join('vxlan', 'tun_id=0x4d,dst=172.31.0.2,ttl=64,tp_dst=4789,flags(csum|key)');
  await ping(network, guest, '10.99.0.2', '-s', '1450');
  assert.ok((await stream(network, guest, far, '10.99.0.2')) > 100_000);
  const { txErrors } = lab.stats(port);
  assert.equal(txErrors, 0);
  lab.put('tun_id=0x4d,dst=172.31.0.2,ttl=64,tp_dst=4789,flags(df|key)', port);
  const done = await network.run(guest, 'ping', ['-c', '1', '-W', '1', '-s', '1450', '10.99.0.2']);
  assert.match(done.stdout, /100% packet loss/);
  assert.ok(lab.stats(port).txErrors >= 1);
});

onLab('what comes in has its outer header in its key', async ({ network, far, host, datapath }) => {
  const spec = {
    name: 'vx',
    type: 'vxlan',
    netns: network.path(host),
    options: new Map([['dst_port', '4789']]),
  };
  datapath.portAdd(spec);
  const seen: string[] = [];
  datapath.setUpcallHandler(({ flow }) => void seen.push(formatKey(flow, null)));
  for (const [device, local, remote] of [
    ['vx4', '172.31.0.2', '172.31.0.1'],
    ['vx6', 'fd31::2', 'fd31::1'],
  ]) {
    const how = [
      'type',
      'vxlan',
      'id',
      '77',
      'dstport',
      '4789',
      'srcport',
      '50000',
      '50001',
      'ttl',
      '33',
      'tos',
      '0x28',
    ];
    network.ip(far, 'link', 'add', device, ...how, 'local', local, 'remote', remote);
    network.ip(far, 'addr', 'add', '10.99.0.2/24', 'dev', device);
    network.ip(far, 'link', 'set', device, 'addrgenmode', 'none', 'up');
    seen.length = 0;
    // A request of the device before may still be on its way.
    const arp = (): string | undefined =>
      seen.find(
        (text) => text.includes(`src=${local}`) && text.includes('arp(sip=10.99.0.2,tip=10.99.0.9,op=1'),
      );
    for (let tries = 0; arp() === undefined && tries < 20; tries++) {
      await network.run(far, 'ping', ['-c', '1', '-W', '1', '10.99.0.9']);
    }
    const addresses =
      device === 'vx4' ? `src=${local},dst=${remote}` : `ipv6_src=${local},ipv6_dst=${remote}`;
    const outer = `tunnel(tun_id=0x4d,${addresses},tos=0x28,ttl=33,tp_src=50000,tp_dst=4789,flags(key))`;
    assert.ok(arp()?.includes(outer), `${outer}\n${arp()}`);
    network.ip(far, 'link', 'del', device);
  }
});

onLab('a mark takes the outer packets another way', async (lab) => {
  const { network, host, guest, far } = lab;
  network.ip(far, 'addr', 'add', '192.0.2.9/32', 'dev', 'under0');
  network.ip(host, 'route', 'add', '192.0.2.9', 'via', '172.31.0.2', 'table', '77');
  network.ip(host, 'rule', 'add', 'fwmark', '7', 'table', '77');
  kernelVxlan(lab, '192.0.2.9', '172.31.0.1');
  const tunnel = 'tun_id=0x4d,dst=192.0.2.9,ttl=64,tp_dst=4789,flags(key)';
  const port = lab.join('vxlan', tunnel);
  const lost = await network.run(guest, 'ping', ['-c', '1', '-W', '1', '10.99.0.2']);
  assert.match(lost.stdout, /100% packet loss/);
  assert.ok(lab.stats(port).txErrors > 0);
  lab.put(`${tunnel})),set(skb_mark(0x7`, port);
  await ping(network, guest, '10.99.0.2');
});

onLab('a UDP port that is taken is no tunnel port, and says by whom to find out', async (lab) => {
  const { network, host, datapath } = lab;
  const socket = network.start(host, process.execPath, [
    '-e',
    "require('dgram').createSocket('udp4').bind(4789, () => console.log('bound'))",
  ]);
  await saysOnStdout(socket, 'bound');
  const spec = { type: 'vxlan', netns: network.path(host), options: new Map([['dst_port', '4789']]) };
  assert.throws(() => datapath.portAdd({ name: 'vxlan_sys_4789', ...spec }), {
    code: 'system-call',
    message: /bind UDP port 4789: Address already in use/,
  });
  assert.throws(() => datapath.portAdd({ name: 'x', ...spec, options: new Map() }), {
    code: 'bad-port-type',
  });
});

onLab('datagrams that are no packets are counted, and nothing else', async (lab) => {
  const { network, far } = lab;
  const port = lab.join('vxlan', 'tun_id=0x4d,dst=172.31.0.2,ttl=64,tp_dst=4789,flags(key)');
  const script =
    "const s = require('dgram').createSocket('udp4'); const g = ['', '08', '0800000000004d00', 'ff00000000004d00' + '00'.repeat(60)]; " +
    "let n = 0; for (const h of g) s.send(Buffer.from(h, 'hex'), 4789, '172.31.0.1', () => ++n === g.length && (console.log('sent'), s.close()))";
  await network.run(far, process.execPath, ['-e', script]);
  await lab.datapath.flush();
  await ping(network, lab.host, '172.31.0.2');
  await lab.datapath.flush();
  const { rxErrors, rxPackets } = lab.stats(port);
  assert.deepEqual({ rxErrors, rxPackets }, { rxErrors: 4, rxPackets: 0 });
});

/** The first packet of a protocol (and UDP port) that the guest's ping brings to the other host. */
async function captured(lab: Lab, isIt: (frame: Uint8Array) => boolean): Promise<Uint8Array> {
  const { network, far, guest } = lab;
  const wire = inNetns(far, () => {
    const netlink = new NetlinkSocket();
    const ifindex = new Links(netlink).get('under0')?.ifindex ?? 0;
    netlink.close();
    return new PacketPort({ name: 'under0', ifindex, rxSlots: 64, txSlots: 16 });
  });
  const ping = network.start(guest, 'ping', ['-i', '0.2', '10.99.0.2']);
  try {
    const frame = new RxFrame();
    for (let tries = 0; tries < 1000; tries++) {
      while (wire.receive(frame)) {
        const bytes = frame.bytes.slice(frame.start, frame.end);
        wire.release();
        if (isIt(bytes)) return bytes;
      }
      await sleep(20);
    }
    return assert.fail('no such packet came');
  } finally {
    ping.kill();
    wire.close();
  }
}

/** What tshark says of frames: a value a field, '' where it is not there. */
function dissected(frames: readonly Uint8Array[], fields: readonly string[]): string[][] {
  const dir = mkdtempSync(join(tmpdir(), 'weft-tunnel-'));
  try {
    const file = join(dir, 'outer.pcap');
    writeFileSync(file, writePcap(frames));
    const args = ['-r', file, '-T', 'fields', '-E', 'occurrence=l'];
    const text = execFileSync('tshark', [...args, ...fields.flatMap((field) => ['-e', field])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const tshark = networkMissing('ping', 'tshark');

test('the outer headers are what tshark takes them for', { skip: tshark }, async () => {
  const udp = (port: number) => (b: Uint8Array) => b[23] === 17 && get16(b, 36) === port;
  const udp6 = (b: Uint8Array) => get16(b, 12) === 0x86dd && b[20] === 17 && get16(b, 56) === 6081;
  const gre = (b: Uint8Array) => get16(b, 12) === 0x0800 && b[23] === 47;
  const rows: [
    type: string,
    tunnel: string,
    isIt: (b: Uint8Array) => boolean,
    fields: Record<string, string>,
  ][] = [
    [
      'vxlan',
      'tun_id=0x4d,dst=172.31.0.2,tos=0x28,ttl=33,tp_dst=4789,flags(df|key)',
      udp(4789),
      {
        'ip.src': '172.31.0.1',
        'ip.dst': '172.31.0.2',
        'ip.ttl': '33',
        'ip.dsfield.dscp': '10',
        'ip.flags.df': '1',
        'udp.checksum': '0x0000',
        'vxlan.vni': '77',
        'arp.dst.proto_ipv4': '10.99.0.2',
      },
    ],
    [
      'vxlan',
      'tun_id=0x1,dst=172.31.0.2,ttl=64,tp_dst=4789,vxlan(gbp(id=1286,flags=0x8)),flags(key)',
      udp(4789),
      { 'ip.flags.df': '0', 'vxlan.gbp': '1286', 'vxlan.vni': '1', 'arp.dst.proto_ipv4': '10.99.0.2' },
    ],
    [
      'geneve',
      'tun_id=0xabcdef,src=172.31.0.1,dst=172.31.0.2,ttl=64,tp_dst=6081,geneve({class=0x102,type=0x80,len=4,0xbeef}),flags(oam|csum|key)',
      udp(6081),
      {
        'geneve.vni': '0xabcdef',
        'geneve.flags.oam': '1',
        'geneve.flags.critical': '1',
        'geneve.option.class': '0x0102',
        'geneve.option.unknown.data': '0000beef',
        'arp.dst.proto_ipv4': '10.99.0.2',
      },
    ],
    [
      'geneve',
      'tun_id=0x5,ipv6_dst=fd31::2,tos=0x4,ttl=7,tp_dst=6081,flags(df|key)',
      udp6,
      { 'ipv6.src': 'fd31::1', 'ipv6.hlim': '7', 'ipv6.tclass': '0x00000004', 'geneve.vni': '0x000005' },
    ],
    [
      'gre',
      'tun_id=0xdeadbeef,dst=172.31.0.2,ttl=64,flags(df|csum|key)',
      gre,
      {
        'gre.key': '0xdeadbeef',
        'gre.proto': '0x6558',
        'gre.checksum.status': '1',
        'arp.dst.proto_ipv4': '10.99.0.2',
      },
    ],
  ];
  const frames: Uint8Array[] = [];
  for (const [type, tunnel, isIt] of rows) {
    await inLab(async (lab) => {
      lab.join(type, tunnel);
      frames.push(await captured(lab, isIt));
    });
  }
  const names = [...new Set(rows.flatMap(([, , , fields]) => Object.keys(fields)))];
  const told = dissected(frames, names);
  rows.forEach(([, tunnel, , fields], i) => {
    const values = Object.fromEntries(
      Object.keys(fields).map((name) => [name, told[i][names.indexOf(name)]]),
    );
    assert.deepEqual(values, fields, tunnel);
  });
});
