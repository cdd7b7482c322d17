/** Bytes that no peer of good will sends, at every door: the switch says what and where, and goes on. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { NO_OFFLOAD } from '../../src/sys/frame.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { PacketPort } from '../../src/sys/packet-port.ts';
import { onEachDatapath, onHost, type SwitchHost, until } from './host.ts';

/** Bytes that look random and are the same every time. */
function noise(seed: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0, n = 0; at < length; n++) {
    const block = createHash('sha256').update(`${seed} ${n}`).digest();
    bytes.set(block.subarray(0, Math.min(block.length, length - at)), at);
    at += block.length;
  }
  return bytes;
}

/** Sends bytes to a unix socket; resolves when the other side closes, or (if `linger`) after it has read them. */
function throwAt(path: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', () => {});
    socket.end(bytes);
  });
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function healthy(host: SwitchHost): Promise<void> {
  assert.ok(host.runs('ovs-vswitchd') && host.runs('ovsdb-server'));
  await host.ofctl('-O', 'OpenFlow13', 'dump-flows', 'br0');
  await host.appctl('ofproto/list');
  await host.vsctl('br-set-external-id', 'br0', 'alive', `${performance.now()}`);
}

const residentKilobytes = async (
  host: SwitchHost,
  program: 'ovsdb-server' | 'ovs-vswitchd',
): Promise<number> =>
  Number(/^VmRSS:\s+(\d+)/m.exec(await host.must('cat', `/proc/${host.pid(program)}/status`))?.[1]);

onHost('hostile bytes at the sockets harm nobody else', { options: ['--enable-dummy'] }, async (host) => {
  await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy');
  const control = host.path(`ovs-vswitchd.${host.pid('ovs-vswitchd')}.ctl`);
  const doors = [host.path('db.sock'), host.path('br0.mgmt'), host.path('br0.snoop'), control];
  const hello = Uint8Array.of(4, 0, 0, 8, 0, 0, 0, 1);
  const withHello = (...bytes: number[]): Uint8Array => Uint8Array.of(...hello, ...bytes);
  const attacks: Uint8Array[] = [
    ...Array.from({ length: 8 }, (_, i) => noise(`attack ${i}`, 1 << (i + 2))),
    // OpenFlow: lengths that are too short, too long, types that do not exist, a body of nonsense.
    withHello(4, 14, 0, 0, 0, 0, 0, 2),
    withHello(4, 14, 0, 7, 0, 0, 0, 2),
    withHello(4, 14, 255, 255, 0, 0, 0, 2),
    withHello(4, 99, 0, 8, 0, 0, 0, 2),
    withHello(4, 14, 0, 72, 0, 0, 0, 3, ...noise('flow mod', 64)),
    withHello(4, 18, 0, 32, 0, 0, 0, 3, ...noise('multipart', 24)),
    withHello(9, 14, 0, 8, 0, 0, 0, 2),
    // JSON: cut off, nested without end, of the wrong shape, huge.
    text('{"method":"transact","params":["Open_vSwitch"'),
    text('['.repeat(100_000)),
    text('{"id":1,"method":"transact","params":{"a":1}}'),
    text('{"id":1,"method":5,"params":[]}{"id":2}[]7"x"null'),
    text(
      '{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"select","table":"Nowhere","where":[]}]}',
    ),
    text(`{"id":1,"method":"echo","params":["${'x'.repeat(1 << 20)}"]}`),
    text(
      `{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"insert","table":"Bridge","row":{"name":${'9'.repeat(400)}}}]}`,
    ),
    Uint8Array.of(0x7b, 0x22, 0xff, 0xfe, 0x00, 0x22, 0x7d),
  ];
  const before = await residentKilobytes(host, 'ovs-vswitchd');
  for (const attack of attacks) await Promise.all(doors.map((door) => throwAt(door, attack)));
  await healthy(host);
  const grown = (await residentKilobytes(host, 'ovs-vswitchd')) - before;
  assert.ok(grown < 300_000, `the switch has grown by ${grown} kB`);
  assert.doesNotMatch(host.log('ovs-vswitchd'), /this is a bug|failed unexpectedly/);
  assert.doesNotMatch(host.log('ovsdb-server'), /this is a bug|failed unexpectedly/);
  assert.match(
    host.log('ovs-vswitchd'),
    /\|rconn\|WARN\|br0<->unix#\d+: .*OFPBRC_BAD_LEN: OpenFlow header claims a length of 7/,
  );
});

onHost(
  'a client that never reads, or never finishes, does not hold up the others',
  { options: ['--enable-dummy'] },
  async (host) => {
    await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy');
    const sockets = [host.path('db.sock'), host.path('br0.mgmt')].map((path) => connect(path));
    for (const socket of sockets) {
      socket.on('error', () => {});
      socket.pause();
    }
    try {
      const dump = '{"id":1,"method":"get_schema","params":["Open_vSwitch"]}'.repeat(2000);
      sockets[0].write(dump);
      sockets[1].write(Uint8Array.of(4, 0, 0, 8, 0, 0, 0, 1, 4, 14));
      await healthy(host);
      await healthy(host);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  },
);

onEachDatapath(
  'malformed packets pass or fall, and the next good one passes',
  { tools: ['ping'] },
  async (host) => {
    const { network } = host;
    const [a, b] = ['a', 'b'].map((name) => network.namespace(name));
    network.veth(a, 'eth0', host.ns, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
    network.veth(b, 'eth0', host.ns, 'pb', '02:00:00:00:00:02', '10.99.0.2/24');
    const bridge = ['--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`];
    await host.vsctl(
      'add-br',
      'br0',
      ...bridge,
      '--',
      'add-port',
      'br0',
      'pa',
      '--',
      'add-port',
      'br0',
      'pb',
    );
    const port = inNetns(network.path(a), () => {
      const netlink = new NetlinkSocket();
      const { ifindex } = new Links(netlink).get('eth0')!;
      netlink.close();
      return new PacketPort({ name: 'eth0', ifindex, rxSlots: 64, txSlots: 1024 });
    });
    try {
      const types = [0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8847, 0x894f, 0x0003, 0x05ff, 0x88cc];
      const lengths = [14, 15, 16, 18, 20, 33, 34, 41, 54, 60, 128, 1500];
      for (const type of types) {
        for (const length of lengths) {
          const frame = noise(`frame ${type} ${length}`, length);
          frame.set([0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 0x66, type >> 8, type & 255]);
          // Half of them begin like a header that could be right.
          if (length % 2 === 0 && length > 20) frame[14] = type === 0x86dd ? 0x60 : 0x45;
          port.send(frame, 0, frame.length, NO_OFFLOAD);
        }
      }
      port.flush();
    } finally {
      port.close();
    }
    await until(
      'a ping passes',
      async () => (await network.run(a, 'ping', ['-c', '1', '-W', '1', '10.99.0.2'])).status === 0,
    );
    await healthy(host);
    assert.doesNotMatch(host.log('ovs-vswitchd'), /forwarding thread .* ended|this is a bug/);
  },
);
