import assert from 'node:assert/strict';
import test from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import { nullLogger } from '../../src/base/log.ts';
import { maskOf } from '../../src/datapath/conformance/frames.ts';
import { parseActions } from '../../src/datapath/text/index.ts';
import type { Datapath, PortStats } from '../../src/datapath/types.ts';
import { createWorkerDatapath } from '../../src/datapath/userspace/worker-datapath.ts';
import { newFlow, W_IN_PORT } from '../../src/flow/layout.ts';
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
  test(title, { skip }, async () => {
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
  });
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
