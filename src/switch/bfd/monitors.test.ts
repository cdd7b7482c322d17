import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import { formatActions, formatKey } from '../../datapath/text/index.ts';
import { formatActions as formatOpenFlow } from '../../openflow/actions/index.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { BFD_FINAL, BFD_POLL, BFD_PORT, type Bfd } from '../../wire/bfd.ts';
import { eth, ipv4, udp } from '../../wire/make.ts';
import { buildPacket, dissectPacket } from '../../wire/packet.ts';
import { bfdSetForwarding, bfdShow } from '../appctl/bfd.ts';
import { SwitchLab } from '../testing/lab.ts';
import { World } from '../testing/world.ts';
import { BfdMonitors, type MonitorPacket } from './monitors.ts';

/*
 * br0 -p0---w0- wire -w1---p1- br1: three bridges joined by patch ports; `wire` passes on what its flows
 * say. Ports d and b of br0 and far of br1 are devices of their own.
 */
let lab: SwitchLab;

before(async () => {
  lab = new SwitchLab();
  await lab.start();
  const patch = (name: string, peer: string, ofport: number) =>
    ({ name, type: 'patch', options: { peer }, ofport }) as const;
  await lab.addBridge('wire', [patch('w0', 'p0', 1), patch('w1', 'p1', 2)]);
  await lab.addBridge('br0', [patch('p0', 'w0', 1), { name: 'd', ofport: 5 }, { name: 'b', ofport: 6 }]);
  await lab.addBridge('br1', [patch('p1', 'w1', 1), { name: 'far', ofport: 7 }]);
  lab.sides.get('wire')?.addFlow('priority=0,actions=NORMAL');
});
after(() => lab.close());

async function bfd(name: string, column: Record<string, string>): Promise<void> {
  const row = lab.interfaceRow(name);
  await lab.change((txn) =>
    txn.update('Interface', row?._uuid ?? '', { bfd: new Map(Object.entries(column)) }),
  );
}

/** Moves time on in small steps, letting what each sets off come to its end. */
async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 20) {
    lab.clock.advance(20);
    await settled();
  }
}

const status = (name: string): Record<string, string> =>
  Object.fromEntries(lab.interfaceRow(name)?.bfd_status ?? []);
const controlFlows = (): string[] =>
  [...(lab.vswitch.backer('dummy')?.slowPath.megaflows() ?? [])]
    .map(({ packetKey, mask, actions }) => `${formatKey(packetKey, mask)}, actions:${formatActions(actions)}`)
    .filter((text) => text.includes('3784'));
const portOf = (bridge: string, name: string) => lab.vswitch.bridge(bridge)?.ofproto.portByName(name);
const isLive = (bridge: string, name: string): boolean => ((portOf(bridge, name)?.state ?? 0) & 4) !== 0;
const modifications = (bridge: string, name: string): number =>
  lab.sides.get(bridge)?.events.filter((event) => event.startsWith(`modify ${name} `)).length ?? 0;

test('a port with a session carries nothing until the other end answers', async () => {
  assert.equal(isLive('br0', 'p0'), true);
  await bfd('p0', { enable: 'true', min_tx: '100', min_rx: '100' });
  await pass(200);
  assert.equal(isLive('br0', 'p0'), false);
  assert.equal(lab.interfaceRow('p0')?.link_state, 'up');
  assert.deepEqual(status('p0'), {
    diagnostic: 'No Diagnostic',
    flap_count: '0',
    forwarding: 'false',
    remote_diagnostic: 'No Diagnostic',
    remote_state: 'down',
    state: 'down',
  });
  const before = modifications('br0', 'p0');
  await bfd('p1', { enable: 'true', min_tx: '100', min_rx: '100' });
  await pass(2000);
  assert.equal(isLive('br0', 'p0'), true);
  assert.equal(isLive('br1', 'p1'), true);
  assert.equal(status('p0').state, 'up');
  assert.equal(status('p0').remote_state, 'up');
  assert.equal(status('p0').flap_count, '1');
  assert.equal(modifications('br0', 'p0'), before + 1);
});

test('a link that is cut is noticed within the detection time, and one that is mended comes back', async () => {
  const wire = lab.sides.get('wire');
  const cut = wire?.addFlow('priority=5,actions=drop');
  // The last packet came up to 100 ms before.
  await pass(200);
  assert.equal(status('p0').state, 'up', 'not before three packets are missing');
  await pass(120);
  assert.equal(status('p0').state, 'down');
  assert.equal(status('p0').diagnostic, 'Control Detection Time Expired');
  assert.equal(isLive('br0', 'p0'), false);
  assert.ok(cut !== undefined);
  wire?.remove(cut);
  await pass(2000);
  assert.equal(status('p0').state, 'up');
  assert.equal(status('p0').flap_count, '3');
  assert.equal(isLive('br0', 'p0'), true);
});

test('a bundle action turns to another port when the session is down', async () => {
  const frame = buildPacket([eth('02:00:00:00:00:05', '02:00:00:00:00:06', 0x1234)], new Uint8Array(46));
  lab.sides
    .get('br0')
    ?.addFlow(
      'priority=9,in_port=5,dl_type=0x1234,actions=bundle(eth_src,0,active_backup,ofport,members:1,6)',
    );
  lab.sides.get('br1')?.addFlow('priority=9,actions=output:7');
  const [d, b, far] = ['d', 'b', 'far'].map((name) => lab.datapath?.dummyPort(name));
  const arrived: string[] = [];
  b?.onTransmit(() => arrived.push('b'));
  far?.onTransmit(() => arrived.push('far'));
  d?.receive(frame);
  d?.receive(frame);
  assert.deepEqual(arrived.splice(0), ['far', 'far']);
  assert.equal(bfdSetForwarding(lab.vswitch.monitors, ['p0', 'false']), 'OK');
  await pass(20);
  assert.equal(isLive('br0', 'p0'), false);
  assert.equal(status('p0').forwarding, 'false');
  // By the same megaflow: it was looked at again.
  const { upcalls } = lab.vswitch.backer('dummy')?.slowPath.counts ?? { upcalls: -1 };
  d?.receive(frame);
  assert.deepEqual(arrived.splice(0), ['b']);
  assert.equal(lab.vswitch.backer('dummy')?.slowPath.counts.upcalls, upcalls);
  bfdSetForwarding(lab.vswitch.monitors, ['normal']);
  await pass(20);
  d?.receive(frame);
  assert.deepEqual(arrived.splice(0), ['far']);
  assert.throws(() => bfdSetForwarding(lab.vswitch.monitors, ['p0', 'maybe']), /unknown fault string/);
  assert.throws(() => bfdSetForwarding(lab.vswitch.monitors, ['nobody', 'true']), /no such BFD object/);
});

test('control packets of a device go up by a megaflow of their own, all others past it', async () => {
  await bfd('d', {
    enable: 'true',
    bfd_dst_ip: '10.0.0.2',
    bfd_src_ip: '10.0.0.1',
    bfd_local_dst_mac: '02:00:00:00:00:09',
  });
  const port = lab.datapath?.dummyPort('d');
  assert.ok(port !== undefined);
  const sent: Uint8Array[] = [];
  port.onTransmit((packet) => sent.push(packet));
  await pass(1000);
  const { layers } = dissectPacket(sent.at(-1) ?? new Uint8Array(), { tunnels: true });
  const [outer, ip, transport, first] = layers;
  assert.ok(
    outer.layer === 'eth' && ip.layer === 'ipv4' && transport.layer === 'udp' && first.layer === 'bfd',
  );
  assert.deepEqual([...outer.dst], [2, 0, 0, 0, 0, 9]);
  assert.deepEqual([[...ip.src], [...ip.dst], ip.ttl, ip.tos], [[10, 0, 0, 1], [10, 0, 0, 2], 255, 0xc0]);
  assert.ok(transport.srcPort >= 49152);
  assert.equal(transport.dstPort, BFD_PORT);

  const neighbor = (dst: string, packet: Partial<Bfd>, ttl = 255): Uint8Array =>
    buildPacket([
      eth('02:00:00:00:00:09', '02:00:00:00:00:01'),
      ipv4('10.0.0.2', dst, { ttl }),
      udp(50000, BFD_PORT),
      { ...first, myDiscriminator: 77, ...packet },
    ]);
  sent.length = 0;
  port.receive(neighbor('10.0.0.1', { state: 1, flags: BFD_POLL }));
  await pass(20);
  assert.equal(status('d').state, 'init');
  const answer = dissectPacket(sent[0], { tunnels: true }).layers.at(-1);
  assert.ok(answer?.layer === 'bfd');
  assert.deepEqual([answer.flags, answer.yourDiscriminator], [BFD_FINAL, 77]);
  // From beyond a router, and for somebody else.
  port.receive(neighbor('10.0.0.1', { state: 3, yourDiscriminator: first.myDiscriminator }, 254));
  port.receive(neighbor('10.0.0.7', { state: 3, yourDiscriminator: first.myDiscriminator }));
  await pass(20);
  assert.equal(status('d').state, 'init');
  const flows = controlFlows();
  assert.equal(
    flows.filter((text) => text.endsWith('userspace(pid=0,slow_path(bfd))')).length,
    1,
    flows.join('\n'),
  );
  assert.equal(flows.filter((text) => text.endsWith('actions:drop')).length, 1, flows.join('\n'));
});

test('bfd/show tells what Open vSwitch tells', () => {
  const text = bfdShow(lab.vswitch.monitors, 'p0').replace(/now [+-]\d+ms|0x[0-9a-f]+/g, '*');
  assert.equal(
    text,
    [
      '  Forwarding: true',
      '  Detect Multiplier: 3',
      '  Concatenated Path Down: false',
      '  TX Interval: Approx 100ms',
      '  RX Interval: Approx 100ms',
      '  Detect Time: *',
      '  Next TX Time: *',
      '  Last TX Time: *',
      '',
      '  Local Flags: none',
      '  Local Session State: up',
      '  Local Diagnostic: Control Detection Time Expired',
      '  Local Discriminator: *',
      '  Local Minimum TX Interval: 100ms',
      '  Local Minimum RX Interval: 100ms',
      '',
      '  Remote Flags: none',
      '  Remote Session State: up',
      '  Remote Diagnostic: Control Detection Time Expired',
      '  Remote Discriminator: *',
      '  Remote Minimum TX Interval: 100ms',
      '  Remote Minimum RX Interval: 100ms',
      '  Remote Detect Multiplier: 3',
      '',
    ].join('\n'),
  );
  const all = bfdShow(lab.vswitch.monitors, undefined);
  assert.deepEqual(all.match(/---- \w+ ----/g), ['---- p0 ----', '---- p1 ----', '---- d ----']);
  assert.throws(() => bfdShow(lab.vswitch.monitors, 'nobody'), /no such bfd object/);
});

test('a session ends with its configuration, and with its port', async () => {
  assert.ok(controlFlows().some((text) => text.includes('slow_path(bfd)')));
  await bfd('d', {});
  await pass(20);
  assert.ok(!controlFlows().some((text) => text.includes('slow_path(bfd)')));
  assert.deepEqual(status('d'), {});
  assert.equal(isLive('br0', 'd'), true);
  await lab.deletePort('br1', 'p1');
  assert.equal(lab.vswitch.monitors.session('p1'), undefined);
  await pass(1000);
  assert.equal(status('p0').state, 'down');
});

test('sessions differ in discriminator and source port, and mark packets for tunnels where asked to', async () => {
  const world = new World();
  const bridge = world.bridge('br0');
  const sent: MonitorPacket[] = [];
  const monitors = new BfdMonitors({
    clock: world.clock,
    log: nullLogger,
    // Chance that always draws the same.
    random: () => 0.999999999999,
    send: (_, packet) => sent.push(packet),
    rxPackets: () => 0,
    onChange: () => {},
  });
  for (const n of [1, 2, 3]) {
    monitors.configure(
      bridge.addPort(n),
      new Map([
        ['enable', 'true'],
        ['oam', String(n === 3)],
      ]),
    );
  }
  world.clock.advance(1);
  await settled();
  const packets = sent.map(({ frame }) => dissectPacket(frame, { tunnels: true }).layers);
  const ports = packets.map((layers) => (layers[2].layer === 'udp' ? layers[2].srcPort : 0));
  const discriminators = packets.map((layers) => (layers[3].layer === 'bfd' ? layers[3].myDiscriminator : 0));
  assert.deepEqual(ports, [49152, 49153, 49154]);
  assert.equal(new Set(discriminators).size, 3);
  assert.ok(!discriminators.includes(0));
  assert.deepEqual(
    sent.map(({ actions }) => formatOpenFlow(actions)),
    ['output:1', 'output:2', 'set_field:oam->tun_flags,output:3'],
  );
});
