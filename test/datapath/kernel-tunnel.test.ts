import assert from 'node:assert/strict';
import test from 'node:test';
import { loadFrame, OUT_PORT } from '../../src/datapath/kernel/code.ts';
import * as L from '../../src/datapath/kernel/layout.ts';
import { closeMaps, createMaps } from '../../src/datapath/kernel/maps.ts';
import { decapProgram } from '../../src/datapath/kernel/tunnel-decap.ts';
import { encapProgram } from '../../src/datapath/kernel/tunnel-encap.ts';
import {
  mappedAddress,
  PROTOCOL_GRE,
  PROTOCOL_UDP,
  receiverKey,
  receiverValue,
  routeKey,
  routeValue,
  tunnelPortValue,
} from '../../src/datapath/kernel/tunnel-maps.ts';
import { parseActions } from '../../src/datapath/text/index.ts';
import { call, exit, func, mov, R0, R1, R2, R6, R9, st, W } from '../../src/ebpf/asm.ts';
import { tailCall } from '../../src/ebpf/build.ts';
import { TC_ACT } from '../../src/ebpf/context.ts';
import { helper } from '../../src/ebpf/helpers.ts';
import type { Code } from '../../src/ebpf/instruction.ts';
import { attachClassifier } from '../../src/ebpf/link.ts';
import { Program } from '../../src/ebpf/program.ts';
import { newFlow, W_IN_PORT, W_NW, W_TUN_METADATA_PRESENT } from '../../src/flow/layout.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { ip } from '../../src/wire/make.ts';
import { Network, networkMissing, saysOnStdout } from '../network.ts';
import { SwitchHost, systemMissing, until } from '../system/host.ts';

/*
 * The kernel datapath's programs for tunnels against what we did not write: the kernel's own VXLAN device, and stock
 * Open vSwitch for Geneve and GRE. A guest is behind our programs, with default offloads where the other side takes
 * them: then packets of many segments go into the tunnel whole.
 */

const OURS = '172.31.0.1';
const THEIRS = '172.31.0.2';
const OURS6 = 'fd31::1';
const THEIRS6 = 'fd31::2';
const GUEST_PORT = 1;
const TUNNEL_PORT = 2;

interface Sides {
  readonly network: Network;
  readonly host: string;
  readonly guest: string;
  /** Where the underlay's other end goes. */
  readonly far: string;
}

interface TunnelSpec {
  /** TUNNEL_*. */
  readonly kind: number;
  readonly udpPort: number;
  /** As in `set(tunnel(...))`. */
  readonly key: string;
}

/** Has packets of the guest go into the tunnel, and those that come out of it to the guest. */
function attach({ network, host }: Sides, tunnel: TunnelSpec): { stats(at: number): number; close(): void } {
  return inNetns(network.path(host), () => {
    const closing: (() => void)[] = [];
    const close = (): void => {
      for (const step of closing.reverse()) step();
    };
    const netlink = new NetlinkSocket();
    try {
      const links = new Links(netlink);
      const [guest, under] = ['pa', 'under0'].map((name) => links.get(name)!.ifindex);
      const maps = createMaps({ maxFlows: 16, rings: 1, ringBytes: 4096 });
      closing.push(() => closeMaps(maps));
      const load = (name: string, code: Code): Program => {
        const program = Program.load({ kind: 'classifier', name, code });
        closing.push(() => program.close());
        return program;
      };
      const protocol = tunnel.kind === L.TUNNEL_GRE ? PROTOCOL_GRE : PROTOCOL_UDP;
      maps.ports.set(TUNNEL_PORT, tunnelPortValue(tunnel.kind, tunnel.udpPort, TUNNEL_PORT));
      maps.receivers.set(
        receiverKey(protocol, tunnel.udpPort),
        receiverValue({ port: TUNNEL_PORT, stats: TUNNEL_PORT, ring: 0, kind: tunnel.kind, flags: 0 }),
      );
      for (const [local, remote] of [
        [OURS, THEIRS],
        [OURS6, THEIRS6],
      ]) {
        maps.locals.set(mappedAddress(ip(local)), 1);
        for (const source of [undefined, ip(local)])
          maps.routes.set(routeKey(ip(remote), source, 0), routeValue(under, ip(local), ip(remote)));
      }
      const [action] = parseActions(`set(tunnel(${tunnel.key}))`);
      assert.equal(action.type, 'set');
      const words = newFlow();
      for (const { word, value } of action.type === 'set' ? action.words : []) words[word] = value;
      words[W_IN_PORT] = GUEST_PORT;
      const wanted = Array.from(words, (value, w) => [w, value] as const).filter(
        ([w]) => w < W_NW || w >= W_TUN_METADATA_PRESENT,
      );
      const upcall = func('upcall', mov(R0, 0), exit());
      maps.programs.set(L.PROGRAM_ENCAP, load('weft_encap', encapProgram({ maps, upcall })).fd);
      maps.programs.set(
        L.PROGRAM_LOOKUP,
        load('weft_lookup', [mov(R1, guest), mov(R2, 0), call(helper.redirectPeer), exit()]).fd,
      );
      const entry = load('weft_entry', [
        mov(R6, R1),
        loadFrame(maps),
        wanted.map(([w, value]) => st(W, R9, L.frameWord(w), value)),
        st(W, R9, L.frameWord(W_NW), 0),
        st(W, R9, OUT_PORT, TUNNEL_PORT),
        tailCall(maps.programs, L.PROGRAM_ENCAP),
        mov(R0, TC_ACT.shot),
        exit(),
      ]);
      const decap = load('weft_decap', decapProgram({ maps }));
      for (const [program, ifindex] of [
        [entry, guest],
        [decap, under],
      ] as const) {
        const attachment = attachClassifier(program, ifindex, 'ingress');
        closing.push(() => attachment.close());
      }
      const shards = (): Uint8Array[] =>
        Array.from({ length: maps.shards }, (_, i) =>
          maps.portStats.get(TUNNEL_PORT * maps.shards + i)!.slice(),
        );
      return {
        stats: (at) =>
          shards().reduce((sum, s) => sum + Number(new DataView(s.buffer).getBigUint64(at, true)), 0),
        close,
      };
    } catch (error) {
      close();
      throw error;
    } finally {
      netlink.close();
    }
  });
}

/** The guest 10.99.0.1 behind our programs' devices, and an underlay to `far`. */
function prepare(network: Network, far: string): Sides {
  const host = network.namespace('host');
  const guest = network.namespace('guest');
  network.veth(guest, 'eth0', host, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(far, 'under0', host, 'under0', '02:00:00:00:01:02');
  network.ip(host, 'addr', 'add', `${OURS}/24`, 'dev', 'under0');
  network.ip(host, 'addr', 'add', `${OURS6}/64`, 'dev', 'under0', 'nodad');
  for (const ns of [host, far]) network.ip(ns, 'link', 'set', 'under0', 'mtu', '1600');
  return { network, host, guest, far };
}

async function ping(network: Network, from: string, to: string, ...more: string[]): Promise<void> {
  await until(
    `${to} answers`,
    async () => (await network.run(from, 'ping', ['-c', '1', '-W', '1', to])).status === 0,
  );
  const done = await network.run(from, 'ping', ['-c', '3', '-i', '0.1', '-W', '2', ...more, to]);
  assert.match(done.stdout, / 0% packet loss/, done.stdout + done.stderr);
}

/** A fixed amount of TCP. */
async function stream(
  network: Network,
  from: string,
  to: string,
  address: string,
  bytes = 20_000_000,
): Promise<void> {
  const server = network.start(to, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = ['-c', address, '-n', String(bytes), '-C', 'cubic', '-J', '--connect-timeout', '3000'];
  const done = await network.run(from, 'iperf3', args);
  const report = JSON.parse(done.stdout) as {
    end: { sum_received?: { bytes: number; bits_per_second: number } };
    error?: string;
  };
  assert.equal(report.error, undefined);
  // The receiver's report misses what was still under way when the sender was done.
  const received = report.end.sum_received?.bytes ?? 0;
  assert.ok(received > bytes / 2, `${received} of ${bytes} bytes`);
}

function withVxlan(title: string, far: readonly string[], key: string): void {
  test(title, { skip: networkMissing('ping', 'iperf3') }, async () => {
    const network = new Network();
    let attached: ReturnType<typeof attach> | undefined;
    try {
      const sides = prepare(network, network.namespace('far'));
      network.ip(sides.far, 'addr', 'add', `${THEIRS}/24`, 'dev', 'under0');
      network.ip(sides.far, 'addr', 'add', `${THEIRS6}/64`, 'dev', 'under0', 'nodad');
      const device = ['link', 'add', 'vx0', 'type', 'vxlan', 'id', '77', 'dstport', '4789'];
      network.ip(sides.far, ...device, ...far, 'udp6zerocsumrx', 'udp6zerocsumtx');
      network.ip(sides.far, 'addr', 'add', '10.99.0.2/24', 'dev', 'vx0');
      network.ip(sides.far, 'link', 'set', 'vx0', 'mtu', '1500', 'up');
      attached = attach(sides, { kind: L.TUNNEL_VXLAN, udpPort: 4789, key });
      await ping(network, sides.guest, '10.99.0.2');
      await ping(network, sides.far, '10.99.0.1', '-s', '1400');
      await stream(network, sides.guest, sides.far, '10.99.0.2', 200_000_000);
      await stream(network, sides.far, sides.guest, '10.99.0.1', 200_000_000);
      const { stats } = attached;
      assert.ok(stats(L.PS_TX_BYTES) > 180_000_000 && stats(L.PS_RX_BYTES) > 180_000_000);
      // Whole, both ways: had each packet been a wire's, there would be five times as many.
      assert.ok(stats(L.PS_TX_BYTES) / stats(L.PS_TX_PACKETS) > 1500, 'segmented before the tunnel');
      assert.deepEqual([L.PS_TX_ERRORS, L.PS_RX_DROPPED].map(stats), [0, 0]);
    } finally {
      attached?.close();
      network.close();
    }
  });
}

withVxlan(
  'VXLAN to a device of the kernel: ping and TCP at default offloads, both ways',
  ['local', THEIRS, 'remote', OURS],
  `tun_id=0x4d,dst=${THEIRS},ttl=64,tp_dst=4789,flags(df|key)`,
);
withVxlan(
  'VXLAN over IPv6 to a device of the kernel',
  ['local', THEIRS6, 'remote', OURS6],
  `tun_id=0x4d,ipv6_src=${OURS6},ipv6_dst=${THEIRS6},ttl=64,tp_dst=4789,flags(df|key)`,
);

/** The other end is Open vSwitch, whose underlay is a bridge of its own with the host's address. */
function withStock(
  title: string,
  type: string,
  family: 4 | 6,
  spec: Omit<TunnelSpec, 'key'>,
  key: string,
): void {
  test(title, { skip: systemMissing('ovs-vswitchd', 'ping', 'iperf3', 'ethtool') }, async () => {
    const network = new Network();
    let stock: SwitchHost | undefined;
    let attached: ReturnType<typeof attach> | undefined;
    try {
      stock = new SwitchHost(network, [], { name: 'theirs', stock: true });
      const sides = prepare(network, stock.ns);
      const far = network.namespace('far');
      network.veth(far, 'eth0', stock.ns, 'g0', '02:00:00:00:00:02', '10.99.0.2/24');
      // Its userspace datapath takes packets as they are on a wire.
      for (const ns of [far, sides.guest]) {
        assert.equal((await network.run(ns, 'ethtool', ['-K', 'eth0', 'tx', 'off'])).status, 0);
      }
      await stock.start();
      const bridge = (name: string, port: string): string[] =>
        `add-br ${name} -- set bridge ${name} datapath_type=netdev -- add-port ${name} ${port}`.split(' ');
      await stock.vsctl(...bridge('phy', 'under0'));
      await stock.vsctl(...bridge('br0', 'g0'));
      network.ip(stock.ns, 'link', 'set', 'phy', 'mtu', '1600', 'up');
      network.ip(stock.ns, 'addr', 'add', `${THEIRS}/24`, 'dev', 'phy');
      network.ip(stock.ns, 'addr', 'add', `${THEIRS6}/64`, 'dev', 'phy', 'nodad');
      const remote = family === 4 ? OURS : `"${OURS6}"`;
      const options = [`type=${type}`, `options:remote_ip=${remote}`, 'options:key=77'];
      await stock.vsctl('add-port', 'br0', 't0', '--', 'set', 'interface', 't0', ...options);
      assert.equal((await stock.vsctl('get', 'interface', 't0', 'error')).trim(), '[]');
      attached = attach(sides, { ...spec, key });
      await ping(network, sides.guest, '10.99.0.2');
      await ping(network, far, '10.99.0.1', '-s', '1400');
      await stream(network, sides.guest, far, '10.99.0.2');
      await stream(network, far, sides.guest, '10.99.0.1');
      assert.deepEqual([L.PS_TX_ERRORS, L.PS_RX_DROPPED].map(attached.stats), [0, 0]);
    } catch (error) {
      if (error instanceof Error && stock !== undefined) error.message += `\n--- ${stock.lastWords()}`;
      throw error;
    } finally {
      attached?.close();
      stock?.close();
      network.close();
    }
  });
}

const GENEVE = { kind: L.TUNNEL_GENEVE, udpPort: 6081 };
const GRE = { kind: L.TUNNEL_GRE, udpPort: 0 };

withStock(
  'Geneve with an option to stock Open vSwitch',
  'geneve',
  4,
  GENEVE,
  `tun_id=0x4d,dst=${THEIRS},ttl=64,tp_dst=6081,geneve({class=0x102,type=0x1,len=4,0x12345678}),flags(df|key)`,
);
withStock('GRE to stock Open vSwitch', 'gre', 4, GRE, `tun_id=0x4d,dst=${THEIRS},ttl=64,flags(df|key)`);
withStock(
  'GRE over IPv6 to stock Open vSwitch',
  'gre',
  6,
  GRE,
  `tun_id=0x4d,ipv6_dst=${THEIRS6},ttl=64,flags(df|key)`,
);
