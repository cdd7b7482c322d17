import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { composePacket } from '../../datapath/packet/compose.ts';
import { formatActions, formatKey, parseKey } from '../../datapath/text/index.ts';
import { type Flow, newFlow } from '../../flow/layout.ts';
import { Match } from '../../flow/match.ts';
import { formatMatch } from '../../flow/match-format.ts';
import { TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import { type TestBridge, World } from '../testing/world.ts';
import { readTunnelOptions, type TunnelType, tunnelOptions } from './config.ts';
import { fieldsToOptions, optionsMask, optionsToFields } from './options.ts';
import { tunnelLine } from './ports.ts';

const read = (type: TunnelType, options: Record<string, string>) =>
  readTunnelOptions('t0', type, new Map(Object.entries(options)));

test('options of a tunnel are read, and told again without what goes without saying', () => {
  const shown = (type: TunnelType, options: Record<string, string>): string =>
    [...tunnelOptions(read(type, options).config)].map(([key, value]) => `${key}=${value}`).join(' ');
  const rows: [TunnelType, Record<string, string>, string][] = [
    ['vxlan', { remote_ip: '10.0.0.1', dst_port: '4789', ttl: '64' }, 'remote_ip=10.0.0.1'],
    ['vxlan', { remote_ip: '10.0.0.1', dst_port: '8472' }, 'dst_port=8472 remote_ip=10.0.0.1'],
    ['geneve', { remote_ip: 'flow', key: 'flow' }, 'key=flow remote_ip=flow'],
    ['gre', { remote_ip: '::1', key: '0x10' }, 'key=16 remote_ip=::1'],
    [
      'gre',
      { remote_ip: '1.1.1.1', in_key: '2', out_key: 'flow' },
      'in_key=2 out_key=flow remote_ip=1.1.1.1',
    ],
    ['gre', { remote_ip: '1.1.1.1', key: '2', out_key: '3' }, 'in_key=2 out_key=3 remote_ip=1.1.1.1'],
    [
      'gre',
      {
        remote_ip: '1.1.1.1',
        local_ip: '2.2.2.2',
        tos: '0x20',
        ttl: 'inherit',
        csum: 'true',
        df_default: 'false',
      },
      'csum=true df_default=false local_ip=2.2.2.2 remote_ip=1.1.1.1 tos=0x20 ttl=inherit',
    ],
    ['vxlan', { remote_ip: '1.1.1.1', egress_pkt_mark: '7' }, 'egress_pkt_mark=7 remote_ip=1.1.1.1'],
  ];
  for (const [type, options, text] of rows) assert.equal(shown(type, options), text);
});

test('options that make no sense are refused with a line for each complaint', () => {
  const rows: [TunnelType, Record<string, string>, string][] = [
    ['gre', {}, "t0: gre type requires valid 'remote_ip' argument"],
    [
      'vxlan',
      { remote_ip: 'x' },
      "t0: bad vxlan 'remote_ip'\nt0: vxlan type requires valid 'remote_ip' argument",
    ],
    ['gre', { remote_ip: '224.0.0.1' }, 't0: multicast remote_ip=224.0.0.1 not allowed'],
    [
      'gre',
      { remote_ip: '1.1.1.1', local_ip: 'flow' },
      "t0: gre type requires 'remote_ip=flow' with 'local_ip=flow'",
    ],
    [
      'geneve',
      { remote_ip: '1.1.1.1', local_ip: '::2' },
      "t0: 'remote_ip' and 'local_ip' has to be of the same address family",
    ],
    ['vxlan', { remote_ip: '1.1.1.1', dst_port: '0' }, 't0: dst_port=0 is not a UDP port'],
  ];
  for (const [type, options, message] of rows) {
    assert.throws(() => read(type, options), { code: 'bad-tunnel-options', message });
  }
  const { warnings } = read('gre', {
    remote_ip: '1.1.1.1',
    dst_port: '9',
    tos: '1',
    psk: 'swordfish',
    what: '',
  });
  assert.deepEqual(warnings, [
    "t0: unknown gre argument 'dst_port'",
    't0: invalid TOS 1',
    "t0: unknown gre argument 'what'",
  ]);
});

const TCP = 'eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800)';
const ipv4 = (rest: string): string =>
  `${TCP},ipv4(src=192.168.0.1,dst=192.168.0.2,proto=6,${rest},frag=no),tcp(src=8,dst=9)`;

/** A datapath key by its text. */
const keyOf = (text: string): Flow => parseKey(text).key;

/** Sends a packet that has the key's headers by the key's datapath port, and its tunnel with it. */
function send(world: World, key: Flow): void {
  const name = world.datapath.ports().find((port) => port.port === key[38])?.name ?? '';
  const packet = composePacket(key);
  assert.ok(packet !== null);
  world.datapath.dummyPort(name).receive(packet, key);
  world.settle();
}

const actionsOf = (world: World): string =>
  [...world.slowPath.megaflows()].map((megaflow) => formatActions(megaflow.actions)).join(' ');

function tunnels(bridge: TestBridge, rows: Record<number, [TunnelType, Record<string, string>]>): void {
  for (const [number, [type, options]] of Object.entries(rows))
    bridge.addTunnel(Number(number), type, options);
}

test('a packet belongs to the most particular port: its key before its remote before its local end', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, {
    1: ['gre', { remote_ip: 'flow', local_ip: 'flow', key: 'flow' }],
    2: ['gre', { remote_ip: 'flow', key: 'flow' }],
    3: ['gre', { remote_ip: 'flow', local_ip: '9.9.9.9', key: 'flow' }],
    4: ['gre', { remote_ip: '1.1.1.1', key: 'flow' }],
    5: ['gre', { remote_ip: '1.1.1.1', local_ip: '9.9.9.9', key: 'flow' }],
    6: ['gre', { remote_ip: 'flow', key: '6' }],
    7: ['gre', { remote_ip: '1.1.1.1', key: '6' }],
    8: ['gre', { remote_ip: '1.1.1.1', local_ip: '9.9.9.9', key: '6' }],
    9: ['gre', { remote_ip: 'fd00::1', key: '6' }],
  });
  const whose = (tunnel: string): number | undefined =>
    world.slowPath.tunnels.receive(keyOf(`tunnel(${tunnel},ttl=64),in_port(1),${ipv4('tos=0,ttl=9')}`))
      ?.ofPort;
  assert.equal(whose('tun_id=0x6,src=1.1.1.1,dst=9.9.9.9'), 8);
  assert.equal(whose('tun_id=0x6,src=1.1.1.1,dst=9.9.9.8'), 7);
  assert.equal(whose('tun_id=0x6,src=1.1.1.2,dst=9.9.9.9'), 6);
  assert.equal(whose('tun_id=0x7,src=1.1.1.1,dst=9.9.9.9'), 5);
  assert.equal(whose('tun_id=0x7,src=1.1.1.1,dst=9.9.9.8'), 4);
  assert.equal(whose('tun_id=0x7,src=1.1.1.2,dst=9.9.9.9'), 3);
  assert.equal(whose('tun_id=0x7,src=1.1.1.2,dst=9.9.9.8'), 2);
  assert.equal(whose('tun_id=0x6,ipv6_src=fd00::1,ipv6_dst=fd00::2'), 9);
  assert.throws(() => bridge.addTunnel(10, 'gre', { remote_ip: '1.1.1.1', key: '6', ttl: '9' }), {
    code: 'tunnel-exists',
  });
  // The one for any local end goes before the one that leaves it to the flow table.
  const [second] = world.slowPath.tunnels.list().filter((port) => port.ofPort === 2);
  world.slowPath.tunnels.remove(second);
  assert.equal(whose('tun_id=0x7,src=1.1.1.2,dst=9.9.9.8'), 1);
});

test('all tunnels of a type and UDP port share a datapath port, which goes with the last', () => {
  const world = new World();
  const { tunnels: ports } = world.slowPath;
  const config = (type: TunnelType, options: Record<string, string>) =>
    read(type, { remote_ip: '1.1.1.1', ...options }).config;
  const names = (): string =>
    world.datapath
      .ports()
      .map((port) => port.name)
      .join();
  const first = ports.acquire(config('vxlan', {}));
  assert.equal(ports.acquire(config('vxlan', { key: '7' })), first);
  assert.notEqual(ports.acquire(config('vxlan', { dst_port: '9' })), first);
  ports.acquire(config('geneve', {}));
  ports.acquire(config('gre', {}));
  assert.equal(names(), 'ovs-dummy,gre_sys,vxlan_sys_9,vxlan_sys_4789,genev_sys_6081');
  assert.throws(() => ports.acquire(config('vxlan', { exts: 'gbp' })), { code: 'tunnel-extension-conflict' });
  ports.release(first);
  assert.ok(ports.has(first));
  ports.release(first);
  assert.ok(!ports.has(first));
  assert.equal(names(), 'ovs-dummy,gre_sys,vxlan_sys_9,genev_sys_6081');
});

test('output by tunnels sets the outer header, anew only where it differs', () => {
  const rows: [string, Record<number, [TunnelType, Record<string, string>]>, string, string][] = [
    [
      'output:1,output:1',
      { 1: ['gre', { remote_ip: '1.1.1.1', key: '5' }] },
      'tos=4,ttl=128',
      'set(tunnel(tun_id=0x5,dst=1.1.1.1,ttl=64,flags(df|key))),1,1',
    ],
    [
      'set_field:9->tun_id,output:1,set_field:10->tun_id,output:1',
      { 1: ['vxlan', { remote_ip: '1.1.1.1', key: 'flow' }] },
      'tos=1,ttl=128',
      'set(tunnel(tun_id=0x9,dst=1.1.1.1,tos=0x1,ttl=64,tp_dst=4789,flags(df|key))),4789,' +
        'set(tunnel(tun_id=0xa,dst=1.1.1.1,tos=0x1,ttl=64,tp_dst=4789,flags(df|key))),4789',
    ],
    [
      'output:1',
      {
        1: [
          'gre',
          { remote_ip: 'fd00::1', tos: 'inherit', ttl: 'inherit', csum: 'true', df_default: 'false' },
        ],
      },
      // Congestion that was met already is not congestion of the underlay.
      'tos=7,ttl=9',
      'set(tunnel(ipv6_dst=fd00::1,tos=0x6,ttl=9,flags(csum))),1',
    ],
    [
      'set_field:8.8.8.8->tun_dst,output:1,output:2,output:3',
      {
        1: ['vxlan', { remote_ip: 'flow', egress_pkt_mark: '77' }],
        2: ['geneve', { remote_ip: '2.2.2.2', local_ip: '3.3.3.3' }],
      },
      'tos=0,ttl=9',
      'set(tunnel(dst=8.8.8.8,ttl=64,tp_dst=4789,flags(df))),set(skb_mark(0x4d)),4789,' +
        'set(tunnel(src=3.3.3.3,dst=2.2.2.2,ttl=64,tp_dst=6081,flags(df))),set(skb_mark(0)),6081,100',
    ],
    // Without a destination nothing leaves.
    ['output:1,output:3', { 1: ['vxlan', { remote_ip: 'flow' }] }, 'tos=0,ttl=9', '100'],
  ];
  for (const [actions, ports, ip, expected] of rows) {
    const world = new World();
    const bridge = world.bridge('br0');
    tunnels(bridge, ports);
    bridge.addPort(3);
    const source = bridge.addPort(20);
    bridge.addFlow(`in_port=20,actions=${actions}`);
    send(world, keyOf(`in_port(${source.dpPort}),${ipv4(ip)}`));
    assert.equal(actionsOf(world), expected);
  }
});

test('a received packet shows its tunnel to the flow table and none to other ports', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, { 1: ['vxlan', { remote_ip: '1.1.1.1', key: 'flow' }] });
  const out = bridge.addPort(3);
  bridge.addFlow('tun_id=7,tun_src=1.1.1.1,in_port=1,actions=set_field:1->tun_id,IN_PORT,output:3');
  const sniffed = world.sniff(out);
  const key = keyOf(
    `tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=9,flags(key)),in_port(4789),${ipv4('tos=0,ttl=9')}`,
  );
  send(world, key);
  assert.equal(
    actionsOf(world),
    'set(tunnel(tun_id=0x1,dst=1.1.1.1,ttl=64,tp_dst=4789,flags(df|key))),4789,100',
  );
  const [megaflow] = world.slowPath.megaflows();
  assert.equal(
    formatKey(megaflow.packetKey, megaflow.mask),
    'tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,flags(key)),recirc_id(0),in_port(4789),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(tos=0/0x3,frag=no)',
  );
  assert.equal(sniffed.length, 1);
  assert.deepEqual(sniffed[0], composePacket(key));
  send(world, key);
  assert.equal(megaflow.id >= 0 && world.datapath.flowStats(megaflow.id).packets, 1);
  assert.equal(sniffed.length, 2);
  // Counters of a port that shares its datapath port are its own.
  const [port] = world.slowPath.tunnels.list();
  world.slowPath.purge();
  assert.deepEqual(
    { ...port.counters, rxBytes: 0, txBytes: 0 },
    { rxPackets: 2, rxBytes: 0, txPackets: 2, txBytes: 0 },
  );
});

test('nobody takes a packet of a key that no port has', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, { 1: ['vxlan', { remote_ip: '1.1.1.1', key: '1' }] });
  bridge.addPort(3);
  bridge.addFlow('actions=output:3');
  send(
    world,
    keyOf(`tunnel(tun_id=0x2,src=1.1.1.1,dst=2.2.2.2,ttl=9,flags(key)),in_port(4789),${ipv4('tos=0,ttl=9')}`),
  );
  assert.equal(world.slowPath.count, 0);
});

test('congestion that the underlay marked goes over into packets that can tell of it, and drops others', () => {
  const rows: [string, string][] = [
    ['tos=0,ttl=9', 'drop'],
    ['tos=1,ttl=9', 'set(ipv4(tos=0x3/0x3)),100'],
    ['tos=2,ttl=9', 'set(ipv4(tos=0x3/0x3)),100'],
    ['tos=3,ttl=9', '100'],
  ];
  for (const [ip, expected] of rows) {
    const world = new World();
    const bridge = world.bridge('br0');
    tunnels(bridge, { 1: ['gre', { remote_ip: '1.1.1.1' }] });
    bridge.addPort(3);
    bridge.addFlow('actions=output:3');
    send(world, keyOf(`tunnel(src=1.1.1.1,dst=2.2.2.2,tos=0x3,ttl=9,flags()),in_port(1),${ipv4(ip)}`));
    assert.equal(actionsOf(world), expected, ip);
  }
});

test('Geneve options are matched, set and deleted as fields, and stand raw in the datapath', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, { 1: ['geneve', { remote_ip: '1.1.1.1' }] });
  bridge.addPort(3);
  const table = bridge.tunnelOptions;
  assert.equal(table.add({ optionClass: 0xffff, optionType: 0, length: 4, index: 0 }), null);
  assert.equal(table.add({ optionClass: 0x102, optionType: 0x80, length: 8, index: 33 }), null);
  bridge.addFlow('tun_metadata0=0x11110000/0xffff0000,actions=set_field:0x5->tun_metadata33,IN_PORT');
  bridge.addFlow('tun_metadata0=0x33330000/0xffff0000,actions=delete_field:tun_metadata0,IN_PORT,output:3');
  const receive = (options: string): string => {
    world.slowPath.purge();
    send(
      world,
      keyOf(
        `tunnel(tun_id=0,src=1.1.1.1,dst=1.1.1.2,ttl=64,${options}flags(key)),in_port(6081),${ipv4('tos=0,ttl=9')}`,
      ),
    );
    return actionsOf(world);
  };
  assert.equal(
    receive('geneve({class=0xffff,type=0,len=4,0x11112222}),'),
    'set(tunnel(dst=1.1.1.1,ttl=64,tp_dst=6081,geneve({class=0xffff,type=0,len=4,0x11112222}{class=0x102,type=0x80,len=8,0x5}),flags(df))),6081',
  );
  // An option that nobody knows is left out.
  assert.equal(
    receive('geneve({class=0x7,type=0,len=8,0x1}{class=0xffff,type=0,len=4,0x33334444}),'),
    'set(tunnel(dst=1.1.1.1,ttl=64,tp_dst=6081,flags(df))),6081,100',
  );
  const [megaflow] = world.slowPath.megaflows();
  assert.match(
    formatKey(megaflow.packetKey, megaflow.mask),
    /geneve\(\{class=0x7,type=0,len=8\}\{class=0xffff,type=0,len=4,0x33334444\/0xffff0000\}\)/,
  );
  // A critical one, or one of another length, has the packet dropped, also by what was learned before.
  assert.equal(receive('geneve({class=0x7,type=0x80,len=0}{class=0xffff,type=0,len=4,0x33334444}),'), 'drop');
  assert.equal(receive('geneve({class=0xffff,type=0,len=8,0x33334444}),'), 'drop');
  assert.equal(receive(''), 'drop');
  // Another table gives what stands in the datapath another meaning.
  receive('geneve({class=0xffff,type=0,len=4,0x33334444}),');
  table.clear();
  bridge.ofproto.tablesChanged();
  world.settle();
  assert.doesNotMatch(actionsOf(world), /set/);
});

test('raw options and fields are each other, whatever the table', () => {
  const option = fc.record({
    optionClass: fc.integer({ min: 0, max: 3 }),
    type: fc.integer({ min: 0, max: 5 }),
  });
  const entry = fc.record({
    option,
    words: fc.integer({ min: 0, max: 8 }),
    index: fc.integer({ min: 0, max: 63 }),
  });
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 10 }),
      fc.infiniteStream(fc.bigInt(0n, 2n ** 256n)),
      (entries, values) => {
        const table = new TunnelMetadataTable();
        const flow = newFlow();
        for (const { option: o, words, index } of entries) {
          table.add({ optionClass: o.optionClass, optionType: o.type, length: words * 4, index });
        }
        const match = new Match(table);
        for (const { index } of table.options()) {
          const field = table.field(index);
          const value = values.next().value ?? 0n;
          if (field !== null && value % 3n !== 0n)
            match.set(field, value & ((1n << BigInt(field.bits)) - 1n));
        }
        flow.set(match.flow);
        const raw = flow.slice();
        fieldsToOptions(table, raw);
        const back = raw.slice();
        assert.equal(optionsToFields(table, back), null);
        assert.deepEqual(back, flow, formatMatch(match));
        // A mask of all that was matched covers exactly the raw bytes.
        const mask = match.mask.slice();
        optionsMask(table, raw, mask);
        const other = raw.map((word, i) => word & mask[i]);
        assert.deepEqual(other, raw);
      },
    ),
  );
});

test('a tunnel is described as list-tunnels has it', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, {
    1: ['gre', { remote_ip: '1.2.3.4' }],
    2: ['vxlan', { remote_ip: 'flow', local_ip: 'flow', key: 'flow', out_key: '9', tos: '8', csum: 'true' }],
  });
  assert.deepEqual(world.slowPath.tunnels.list().map(tunnelLine), [
    'port 1: br0-t1 (gre: ::->1.2.3.4, key=0, legacy_l2, dp port=1, ttl=64)\n',
    'port 4789: br0-t2 (vxlan: flow->flow, key=flow, legacy_l2, dp port=4789, out_key=0x9, ttl=64, tos=0x8, csum=true)\n',
  ]);
});

test('NORMAL floods into tunnels with what each asks for, and learns where the answer comes from', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  tunnels(bridge, {
    1: ['vxlan', { remote_ip: '1.1.1.1', key: '5' }],
    2: ['geneve', { remote_ip: '2.2.2.2', key: '6' }],
  });
  const source = bridge.addPort(20);
  bridge.addFlow('actions=NORMAL');
  const there = 'eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x1234)';
  const back = 'eth(src=02:00:00:00:00:02,dst=02:00:00:00:00:01),eth_type(0x1234)';
  send(world, keyOf(`in_port(${source.dpPort}),${there}`));
  const second = 'set(tunnel(tun_id=0x6,dst=2.2.2.2,ttl=64,tp_dst=6081,flags(df|key))),6081';
  assert.equal(
    actionsOf(world),
    `set(tunnel(tun_id=0x5,dst=1.1.1.1,ttl=64,tp_dst=4789,flags(df|key))),4789,${second}`,
  );
  send(world, keyOf(`tunnel(tun_id=0x6,src=2.2.2.2,dst=9.9.9.9,ttl=64,flags(key)),in_port(6081),${back}`));
  world.slowPath.purge();
  send(world, keyOf(`in_port(${source.dpPort}),${there}`));
  assert.equal(actionsOf(world), second);
});
