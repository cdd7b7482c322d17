/**
 * Our connection tracker beside that of stock Open vSwitch: the same flows, the same random packets at the same times. Every
 * packet that comes out shows by its Ethernet addresses what conntrack said of it; and what both remember is the same.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nullLogger } from '../../src/base/log.ts';
import { StockSwitch, stockMissing } from '../../src/datapath/conformance/stock-switch.ts';
import { composePacket } from '../../src/datapath/packet/compose.ts';
import { formatConnection, parseKey } from '../../src/datapath/text/index.ts';
import { DpctlConntrack } from '../../src/switch/appctl/dpctl-conntrack.ts';
import { World } from '../../src/switch/testing/world.ts';
import { type Draw, draws, Traffic } from './testing/ct-packets.ts';
import { FtpTraffic } from './testing/ftp-packets.ts';
import { Unixctl } from './testing/unixctl.ts';

const skip = stockMissing();
const PACKETS = 150;
const seedWish = process.env.WEFT_SEED;
const SEED = seedWish === 'random' ? Math.floor(Math.random() * 1e9) : Number(seedWish ?? 1);

let stock: StockSwitch;
let ctl: Unixctl;
before(async () => {
  if (skip) return;
  stock = new StockSwitch();
  await stock.start();
  ctl = await Unixctl.open(stock.dir, 'ovs-vswitchd');
  await ctl.call('time/stop');
});
after(() => {
  if (skip) return;
  ctl?.close();
  stock?.stop();
});

/** ct_state, ct_zone's low bits, ct_mark, the original tuple's protocol and ports, where the packet shows them. */
const SHOW = [
  'move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_DST[40..47]',
  'move:NXM_NX_CT_ZONE[0..7]->NXM_OF_ETH_DST[32..39]',
  'move:NXM_NX_CT_MARK[0..31]->NXM_OF_ETH_DST[0..31]',
  'move:NXM_NX_CT_LABEL[0..7]->NXM_OF_ETH_SRC[32..39]',
].join(',');
const SHOW_TUPLE = [
  'move:NXM_NX_CT_NW_PROTO[]->NXM_OF_ETH_SRC[40..47]',
  'move:NXM_NX_CT_TP_SRC[]->NXM_OF_ETH_SRC[16..31]',
  'move:NXM_NX_CT_TP_DST[]->NXM_OF_ETH_SRC[0..15]',
].join(',');

interface Kind {
  readonly title: string;
  /** Further hosts that addresses are translated to. */
  readonly aliases?: readonly number[];
  /** Whether packets may come in fragments: stock mixes up those of two copies of one, and dies of some. */
  readonly fragments?: boolean;
  readonly flows: (draw: Draw) => string[];
  /** Other packets than usual. */
  readonly traffic?: (draw: Draw) => FtpTraffic;
}

/** A flow that is for IP of any version is two. */
function spread(flow: string): string[] {
  const match = flow.slice(0, flow.indexOf('actions='));
  if (/,(ip|ipv6|tcp6?|udp6?),/.test(match)) return [flow];
  return ['ip', 'ipv6'].map((ip) => flow.replace(/,actions=/, `,${ip},actions=`));
}
/** Table 9 shows; a packet leaves by the other port. */
const COMMON = [1, 2].flatMap((port) => [
  `table=9,priority=5,in_port=${port},ct_state=+trk-inv,actions=${SHOW},${SHOW_TUPLE},output:${3 - port}`,
  `table=9,priority=1,in_port=${port},actions=${SHOW},output:${3 - port}`,
]);

/** Translates what is known, and what is expected. */
const HELPED = [
  ...['tcp', 'udp', 'tcp6', 'udp6'].flatMap((protocol) => [
    `table=0,${protocol},actions=ct(nat,table=1)`,
    `table=1,priority=20,${protocol},ct_state=+new+rel+trk,actions=ct(commit,nat,table=9)`,
  ]),
  'table=1,priority=0,actions=resubmit(,9)',
];

const KINDS: readonly Kind[] = [
  {
    title: 'who may begin from either side',
    flows: () => [
      'table=0,ip,actions=ct(table=1,zone=3)',
      'table=0,ipv6,actions=ct(table=1,zone=3)',
      'table=1,priority=10,ct_state=+new+trk,actions=ct(commit,zone=3,exec(set_field:0x5->ct_mark,set_field:0x7->ct_label),table=9)',
      'table=1,priority=0,actions=resubmit(,9)',
    ],
  },
  {
    title: 'a firewall: only port 1 begins',
    flows: (draw) => [
      'table=0,actions=ct(table=1)',
      `table=1,priority=10,in_port=1,ct_state=+new+trk,actions=ct(commit,exec(load:${draw.int(9)}->NXM_NX_CT_MARK[3..7])),resubmit(,9)`,
      'table=1,priority=0,actions=resubmit(,9)',
    ],
  },
  {
    title: 'commit at once, then ask again',
    flows: () => [
      'table=0,in_port=1,actions=ct(commit,table=1)',
      'table=0,in_port=2,actions=ct(table=1)',
      'table=1,actions=ct(table=2)',
      'table=2,actions=resubmit(,9)',
    ],
  },
  {
    title: 'a zone for each direction, force',
    flows: () => [
      'table=0,in_port=1,actions=ct(zone=1,table=1)',
      'table=0,in_port=2,actions=ct(zone=2,table=1)',
      'table=1,in_port=1,ct_state=+trk-inv,actions=ct(commit,zone=2,table=2)',
      'table=1,in_port=2,ct_state=+trk-inv,actions=ct(commit,force,zone=1,exec(set_field:9->ct_mark),table=2)',
      'table=1,ct_state=+inv,actions=resubmit(,9)',
      'table=2,actions=resubmit(,9)',
    ],
  },
  {
    title: 'ct_clear and clones',
    fragments: false,
    flows: () => [
      'table=0,actions=clone(ct(commit,zone=4),ct_clear,resubmit(,9)),ct(zone=4,table=1)',
      'table=1,actions=resubmit(,9),ct_clear,resubmit(,9)',
    ],
  },
  {
    title: 'source translation',
    aliases: [9],
    flows: () => [
      'table=0,in_port=1,ip,actions=ct(commit,zone=1,nat(src=10.1.1.9),table=1)',
      'table=0,in_port=1,ipv6,actions=ct(commit,zone=1,nat(src=fd00::9),table=1)',
      'table=0,in_port=2,actions=ct(zone=1,nat,table=1)',
      'table=1,actions=resubmit(,9)',
    ],
  },
  {
    title: 'destination translation, with a port',
    aliases: [8],
    flows: () => [
      'table=0,in_port=1,ip,nw_dst=10.1.1.8,actions=ct(table=1,zone=5,nat)',
      'table=0,priority=1,in_port=1,ip,actions=ct(table=1,zone=5)',
      'table=1,priority=10,in_port=1,tcp,nw_dst=10.1.1.8,ct_state=+new,actions=ct(commit,zone=5,nat(dst=10.1.1.3:81),table=9)',
      'table=1,priority=10,in_port=1,udp,nw_dst=10.1.1.8,ct_state=+new,actions=ct(commit,zone=5,nat(dst=10.1.1.3:81),table=9)',
      'table=1,priority=5,in_port=1,ip,nw_dst=10.1.1.8,ct_state=+new,actions=ct(commit,zone=5,nat(dst=10.1.1.3),table=9)',
      'table=1,priority=3,in_port=1,ct_state=+new,actions=ct(commit,zone=5,table=9)',
      'table=1,priority=0,actions=resubmit(,9)',
      'table=0,in_port=2,ip,actions=ct(table=1,zone=5,nat)',
    ],
  },
  {
    title: 'translation asked for twice, and in another zone',
    fragments: false,
    aliases: [9],
    flows: () => [
      'table=0,in_port=1,ip,actions=ct(zone=1,nat,table=1)',
      'table=1,in_port=1,ip,ct_state=+new+trk,actions=ct(commit,zone=1,nat(src=10.1.1.9:1500),table=2)',
      'table=1,in_port=1,ct_state=-new+trk,actions=ct(zone=1,table=2)',
      'table=2,in_port=1,actions=ct(zone=2,commit,exec(set_field:3->ct_mark),table=9)',
      'table=0,in_port=2,ip,actions=ct(zone=2,table=1)',
      'table=1,in_port=2,actions=ct(zone=1,nat,table=2)',
      'table=2,in_port=2,actions=ct(zone=1,table=9)',
    ],
  },
  {
    title: 'helpers for FTP and TFTP',
    flows: () => [
      'table=0,tcp,actions=ct(table=1)',
      'table=0,udp,actions=ct(table=1)',
      'table=0,tcp6,actions=ct(table=1)',
      'table=0,udp6,actions=ct(table=1)',
      'table=1,priority=10,in_port=1,tcp,tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,exec(set_field:0x5->ct_mark,set_field:0x7->ct_label),table=9)',
      'table=1,priority=10,in_port=1,tcp6,tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,exec(set_field:0x6->ct_mark),table=9)',
      'table=1,priority=10,in_port=1,udp,tp_dst=69,ct_state=+new+trk,actions=ct(commit,alg=tftp,exec(set_field:0x8->ct_mark),table=9)',
      'table=1,priority=10,in_port=1,udp6,tp_dst=69,ct_state=+new+trk,actions=ct(commit,alg=tftp,table=9)',
      'table=1,priority=8,tcp,ct_state=+new+rel+trk,actions=ct(commit,exec(set_field:0x1->ct_mark),table=9)',
      'table=1,priority=8,tcp6,ct_state=+new+rel+trk,actions=ct(commit,table=9)',
      'table=1,priority=8,udp,ct_state=+new+rel+trk,actions=ct(commit,table=9)',
      'table=1,priority=0,actions=resubmit(,9)',
    ],
    traffic: (draw) => new FtpTraffic(draw),
  },
  {
    title: 'helpers where clients are translated',
    flows: () => [
      ...HELPED,
      ...[1, 2].flatMap((client) => [
        `table=1,priority=10,in_port=1,tcp,nw_src=10.1.1.${client},tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,nat(src=10.1.1.${client + 199}),exec(set_field:0x5->ct_mark),table=9)`,
        `table=1,priority=10,in_port=1,tcp6,ipv6_src=fd00::${client},tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,nat(src=fd00::${client + 199}),table=9)`,
        `table=1,priority=10,in_port=1,udp,nw_src=10.1.1.${client},tp_dst=69,ct_state=+new+trk,actions=ct(commit,alg=tftp,nat(src=10.1.1.${client + 199}),table=9)`,
      ]),
    ],
    traffic: (draw) => new FtpTraffic(draw, undefined, (client) => client + 199),
  },
  {
    title: 'helpers where servers are translated',
    flows: () => [
      ...HELPED,
      ...[3, 4].flatMap((server) => [
        `table=1,priority=10,in_port=1,tcp,nw_dst=10.1.1.${server + 199},tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,nat(dst=10.1.1.${server}),exec(set_field:0x5->ct_mark),table=9)`,
        `table=1,priority=10,in_port=1,tcp6,ipv6_dst=fd00::${server + 199},tp_dst=21,ct_state=+new+trk,actions=ct(commit,alg=ftp,nat(dst=fd00::${server}),table=9)`,
        `table=1,priority=10,in_port=1,udp,nw_dst=10.1.1.${server + 199},tp_dst=69,ct_state=+new+trk,actions=ct(commit,alg=tftp,nat(dst=10.1.1.${server}),table=9)`,
      ]),
    ],
    traffic: (draw) => new FtpTraffic(draw, (server) => server + 199),
  },
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const { title, flows, aliases = [], fragments = true, traffic: other } of KINDS) {
  test(`conntrack as stock does it: ${title}`, { skip }, async () => {
    const draw = draws(SEED + title.length);
    const lines = [...flows(draw), ...COMMON].flatMap(spread);
    await ctl.call('dpctl/flush-conntrack');
    stock.run('ovs-ofctl', 'del-flows', 'br0');
    for (const line of lines) stock.run('ovs-ofctl', 'add-flow', 'br0', line);
    await ctl.call('revalidator/purge');
    const world = new World();
    const bridge = world.bridge('br0');
    const ports = [bridge.addPort(1), bridge.addPort(2)];
    for (const line of lines) bridge.addFlow(line);
    const usual = new Traffic(draw, aliases, fragments);
    const traffic = other?.(draw) ?? usual;
    const mine = ports.map((port) => world.sniff(port));
    const seen = [0, 0];
    const story: string[] = [];
    let expected = 0;
    const theirs = [(await stock.sent('p1', 0)).length, (await stock.sent('p2', 0)).length];
    for (let i = 0; i < PACKETS; i++) {
      const { underway } = usual;
      const { port, packet } = traffic.next();
      if (!underway && !usual.underway && draw.chance(0.05)) {
        // While stock keeps the translation of a connection that is over, nobody else gets it, nor ends what it expects.
        const ms =
          aliases.length > 0 || other !== undefined ? 100 : [1000, 20_000, 31_000, 61_000][draw.int(4)];
        await ctl.call('time/warp', String(ms), String(ms));
        world.clock.advance(ms);
        story.push(`${i}: ${ms} ms later`);
      }
      story.push(`${i}: p${port} ${hex(packet).slice(0, 300)}`);
      world.send(ports[port - 1], packet);
      world.settle();
      // It makes room for as many bytes as half the characters: helpers ask for some behind the packet.
      await ctl.call('netdev-dummy/receive', `p${port}`, hex(packet) + ' '.repeat(200));
      // It takes the packet in the next turn of its main loop, and another connection in that turn, too, but later.
      const fresh = await Unixctl.open(stock.dir, 'ovs-vswitchd');
      const dump = await fresh.call('dpctl/dump-conntrack', '-m', '-s');
      fresh.close();
      for (const side of [0, 1]) {
        for (const out of mine[side].slice(seen[side])) usual.quotable[side].push([...out.slice(14)]);
        seen[side] = mine[side].length;
      }
      const ours = [...world.datapath.connections.list()].map((each) =>
        formatConnection(each, { more: true, statistics: true }),
      );
      const stocks = dump.split('\n').filter((line) => line !== '');
      expected += stocks.filter((line) => line.includes('parent=')).length;
      assert.deepEqual(
        ours.sort(),
        stocks.sort(),
        `seed ${SEED}, after packet ${i} (p${port}):\n${lines.slice(0, -COMMON.length * 2).join('\n')}\n${story.slice(-12).join('\n')}`,
      );
    }
    assert.equal(expected > 0, other !== undefined);
    for (const side of [0, 1]) {
      const all = await stock.sent(`p${side + 1}`, theirs[side] + mine[side].length);
      const stocks = all.slice(theirs[side]).map(hex);
      // Where some fragments go up to the slow path and others don't, they may overtake each other.
      const ours = mine[side].map(hex);
      assert.deepEqual(ours.sort(), stocks.sort(), `seed ${SEED}: out of p${side + 1}\n${lines.join('\n')}`);
    }
  });
}

/** UDP from host 1 to host 3, from these ports. */
const udp = (sport: number, dport = 80): string =>
  `in_port(1),eth(src=02:00:00:00:00:08,dst=02:00:00:00:00:09),eth_type(0x0800),ipv4(src=10.1.1.1,dst=10.1.1.3,proto=17,tos=0,ttl=64,frag=no),udp(src=${sport},dst=${dport})`;

/** Commands, one after the other; "send N": a packet from port N. */
const DIALOGUE = [
  'send 1',
  'send 2',
  'dpctl/ct-get-nconns',
  'dpctl/ct-get-maxconns',
  'dpctl/ct-get-limits',
  'dpctl/ct-set-limits default=10 zone=1,limit=3 zone=0,limit=2',
  'dpctl/ct-get-limits',
  'dpctl/ct-get-limits zone=1,2',
  'send 3',
  'send 4',
  'send 5',
  'dpctl/dump-conntrack',
  'dpctl/ct-get-limits zone=0',
  'dpctl/flush-conntrack ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.3,ct_nw_proto=17,ct_tp_src=3,ct_tp_dst=80',
  'dpctl/flush-conntrack ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.3,ct_nw_proto=17,ct_tp_src=99,ct_tp_dst=80',
  'dpctl/ct-get-limits zone=0',
  'dpctl/ct-del-limits zone=0',
  'dpctl/ct-get-limits',
  'dpctl/ct-set-limits zone=1',
  'dpctl/ct-set-limits zone=1,limit=x',
  'dpctl/ct-set-limits default=many',
  'dpctl/ct-del-limits 5',
  'dpctl/ct-get-limits zone=x',
  'dpctl/ct-stats-show',
  'dpctl/ct-stats-show zone=7 verbose',
  'dpctl/flush-conntrack zone=7',
  'dpctl/flush-conntrack zone=x',
  'dpctl/flush-conntrack ct_tp_src=1',
  'dpctl/flush-conntrack icmp_id=1',
  'dpctl/flush-conntrack ct_nw_src=10.1.1.1,ct_ipv6_dst=::1',
  'dpctl/flush-conntrack ct_nw_src=10.1.1.x',
  'dpctl/flush-conntrack a=1 b=2 c=3',
  'dpctl/flush-conntrack ct_nw_proto=17,ct_tp_src=1',
  'dpctl/dump-conntrack zone=0',
  'dpctl/dump-conntrack zone=1',
  'dpctl/flush-conntrack  ct_nw_proto=17,ct_tp_dst=2',
  'dpctl/dump-conntrack -s',
  'dpctl/ct-set-maxconns 3',
  'dpctl/ct-set-maxconns many',
  'dpctl/ct-get-maxconns',
  'send 6',
  'send 7',
  'send 8',
  'dpctl/dump-conntrack',
  'dpctl/ct-disable-tcp-seq-chk',
  'dpctl/ct-get-tcp-seq-chk',
  'dpctl/ct-enable-tcp-seq-chk',
  'dpctl/ct-get-tcp-seq-chk',
  'dpctl/ct-set-maxconns 3000000',
  'dpctl/flush-conntrack',
  'dpctl/ct-get-nconns',
];

test('what dpctl says of connections is what stock says', { skip }, async () => {
  await ctl.call('dpctl/flush-conntrack');
  stock.run('ovs-ofctl', 'del-flows', 'br0');
  const flow = 'in_port=1,ip,actions=ct(commit),output:2';
  stock.run('ovs-ofctl', 'add-flow', 'br0', flow);
  await ctl.call('revalidator/purge');
  const world = new World();
  const bridge = world.bridge('br0');
  const port = bridge.addPort(1);
  bridge.addPort(2);
  bridge.addFlow(flow);
  const ours = new DpctlConntrack(
    { isName: () => false, datapath: () => world.datapath },
    nullLogger.module('ct_dpif'),
  );
  const ask: Record<string, (args: string[]) => unknown> = {
    'dump-conntrack': (args) => ours.dump(args),
    'flush-conntrack': (args) => ours.flush(args),
    'ct-stats-show': (args) => ours.stats(args),
    'ct-set-maxconns': (args) => ours.setMaxConnections(args),
    'ct-get-maxconns': (args) => ours.maxConnections(args),
    'ct-get-nconns': (args) => ours.count(args),
    'ct-enable-tcp-seq-chk': (args) => ours.setTcpSequenceCheck(args, true),
    'ct-disable-tcp-seq-chk': (args) => ours.setTcpSequenceCheck(args, false),
    'ct-get-tcp-seq-chk': (args) => ours.tcpSequenceCheck(args),
    'ct-set-limits': (args) => ours.setLimits(args),
    'ct-del-limits': (args) => ours.deleteLimits(args),
    'ct-get-limits': (args) => ours.limits(args),
  };
  for (const line of DIALOGUE) {
    const [command, ...args] = line.split(' ');
    // One connection a command: see above.
    const fresh = await Unixctl.open(stock.dir, 'ovs-vswitchd');
    if (command === 'send') {
      await fresh.call('netdev-dummy/receive', 'p1', udp(Number(args[0])));
      world.send(port, composed(Number(args[0])));
      world.settle();
    } else {
      const theirs = await fresh
        .call(command, ...args)
        .catch((error: Error) => error.message.split(': ').slice(1).join(': '));
      let mine: string;
      try {
        mine = String(ask[command.slice(6)](args) ?? '');
      } catch (error) {
        mine = (error as Error).message;
      }
      const sorted = (text: string): string[] =>
        text
          .split('\n')
          .filter((each) => each !== '')
          .sort();
      assert.deepEqual(sorted(mine), sorted(theirs), line);
    }
    fresh.close();
  }
});

/** The packet of `udp`, as its text becomes one. */
function composed(sport: number): Uint8Array {
  const packet = composePacket(parseKey(udp(sport)).key);
  assert.ok(packet !== null);
  return packet;
}
