/**
 * Our connection tracker beside that of stock Open vSwitch: the same flows, the same random packets at the same times. Every
 * packet that comes out shows by its Ethernet addresses what conntrack said of it; and what both remember is the same.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { StockSwitch, stockMissing } from '../../src/datapath/conformance/stock-switch.ts';
import { formatConnection } from '../../src/datapath/text/index.ts';
import { World } from '../../src/switch/testing/world.ts';
import { type Draw, draws, Traffic } from './testing/ct-packets.ts';
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
  readonly flows: (draw: Draw) => string[];
}

/** A flow that is for IP of any version is two. */
function spread(flow: string): string[] {
  const match = flow.slice(0, flow.indexOf('actions='));
  if (/,(ip|ipv6|tcp|udp),/.test(match)) return [flow];
  return ['ip', 'ipv6'].map((ip) => flow.replace(/,actions=/, `,${ip},actions=`));
}
/** Table 9 shows; a packet leaves by the other port. */
const COMMON = [1, 2].flatMap((port) => [
  `table=9,priority=5,in_port=${port},ct_state=+trk-inv,actions=${SHOW},${SHOW_TUPLE},output:${3 - port}`,
  `table=9,priority=1,in_port=${port},actions=${SHOW},output:${3 - port}`,
]);

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
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const { title, flows, aliases = [] } of KINDS) {
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
    const traffic = new Traffic(draw, aliases);
    const mine = ports.map((port) => world.sniff(port));
    const seen = [0, 0];
    const story: string[] = [];
    const theirs = [(await stock.sent('p1', 0)).length, (await stock.sent('p2', 0)).length];
    for (let i = 0; i < PACKETS; i++) {
      const { port, packet } = traffic.next();
      if (draw.chance(0.05)) {
        // While stock keeps the translation of a connection that is over, nobody else gets it.
        const ms = aliases.length > 0 ? 100 : [1000, 20_000, 31_000, 61_000][draw.int(4)];
        await ctl.call('time/warp', String(ms), String(ms));
        world.clock.advance(ms);
        story.push(`${i}: ${ms} ms later`);
      }
      story.push(`${i}: p${port} ${hex(packet)}`);
      world.send(ports[port - 1], packet);
      world.settle();
      await ctl.call('netdev-dummy/receive', `p${port}`, hex(packet));
      // It takes the packet in the next turn of its main loop, and another connection in that turn, too, but later.
      const fresh = await Unixctl.open(stock.dir, 'ovs-vswitchd');
      const dump = await fresh.call('dpctl/dump-conntrack', '-m', '-s');
      fresh.close();
      for (const side of [0, 1]) {
        for (const out of mine[side].slice(seen[side])) traffic.quotable[side].push([...out.slice(14)]);
        seen[side] = mine[side].length;
      }
      const ours = [...world.datapath.connections.list()].map((each) =>
        formatConnection(each, { more: true, statistics: true }),
      );
      const stocks = dump.split('\n').filter((line) => line !== '');
      assert.deepEqual(
        ours.sort(),
        stocks.sort(),
        `seed ${SEED}, after packet ${i} (p${port}):\n${lines.slice(0, -COMMON.length * 2).join('\n')}\n${story.slice(-12).join('\n')}`,
      );
    }
    for (const side of [0, 1]) {
      const all = await stock.sent(`p${side + 1}`, theirs[side] + mine[side].length);
      const stocks = all.slice(theirs[side]).map(hex);
      mine[side].forEach((out, n) => {
        assert.equal(
          hex(out),
          stocks[n],
          `seed ${SEED}: packet ${n} out of p${side + 1}\n${story.slice(-30).join('\n')}`,
        );
      });
      assert.equal(stocks.length, mine[side].length);
    }
  });
}
