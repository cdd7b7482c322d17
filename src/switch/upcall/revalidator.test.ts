import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composePacket } from '../../datapath/packet/compose.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import type { OfPort } from '../ofproto/port.ts';
import { type TestBridge, World } from '../testing/world.ts';

const mac = (n: number): string => `02:00:00:00:${hex(n >> 8)}:${hex(n & 0xff)}`;
const hex = (n: number): string => n.toString(16).padStart(2, '0');

interface Scene {
  readonly world: World;
  readonly bridge: TestBridge;
  readonly ports: readonly OfPort[];
}

/** A bridge with three ports and what `flows` say; no passes over counters unless time goes on. */
function scene(...flows: readonly string[]): Scene {
  const world = new World();
  world.clock.advance(1000);
  const bridge = world.bridge('br0');
  const ports = [1, 2, 3].map((n) => bridge.addPort(n));
  for (const flow of flows) bridge.addFlow(flow);
  world.settle();
  return { world, bridge, ports };
}

function send({ world, ports }: Scene, port: number, match: string): void {
  const packet = composePacket(parseMatch(match).flow.slice());
  assert.ok(packet !== null);
  world.send(ports[port - 1], packet);
}

const frame = (src: number, dst: number, rest = 'dl_type=0x1234'): string =>
  `dl_src=${mac(src)},dl_dst=${mac(dst)},${rest}`;

/** Megaflows translated again while `change` and what follows is dealt with. */
function translated({ world }: Scene, change: () => void): number {
  world.settle();
  const before = world.slowPath.counts.translated;
  change();
  world.settle();
  return world.slowPath.counts.translated - before;
}

test('a station that is learned or moves concerns the packets to it, and no others', () => {
  const s = scene('actions=NORMAL');
  for (let dst = 1; dst <= 20; dst++) send(s, 1, frame(100, dst));
  s.world.settle();
  assert.equal(s.world.slowPath.count, 20);
  // Its first packet is a megaflow of its own, and newer than what it teaches.
  assert.equal(
    translated(s, () => send(s, 2, frame(7, 200))),
    1,
  );
  assert.equal(
    translated(s, () => send(s, 3, frame(7, 201))),
    1,
  );
  assert.equal(
    translated(s, () => s.bridge.ofproto.macs.flush()),
    1,
    'what floods goes on to',
  );
});

test('a flow concerns the megaflows that asked its table and that it could match', () => {
  const s = scene(
    'in_port=1,actions=resubmit(,1)',
    'in_port=2,actions=set_field:7->metadata,resubmit(,1)',
    'in_port=3,actions=output:1',
    'table=1,priority=1,tcp,actions=output:3',
    'table=1,priority=1,dl_type=0x1234,actions=output:3',
  );
  for (const port of [1, 2, 3]) {
    send(s, port, frame(1, 2));
    send(s, port, frame(1, 2, 'tcp,nw_src=10.0.0.1,nw_ttl=9'));
  }
  const add = (flow: string) => () => void s.bridge.addFlow(flow);
  assert.equal(s.world.slowPath.count, 6);
  assert.equal(translated(s, add('table=2,actions=drop')), 0, 'a table that nobody asked');
  assert.equal(translated(s, add('table=1,priority=2,actions=output:3')), 4);
  assert.equal(translated(s, add('table=1,priority=2,udp,actions=drop')), 0);
  assert.equal(translated(s, add('table=1,priority=2,tcp,actions=drop')), 2);
  assert.equal(translated(s, add('table=1,priority=2,in_port=2,actions=output:3')), 2);
  assert.equal(translated(s, add('table=1,priority=3,metadata=7,actions=output:3')), 2);
  assert.equal(translated(s, add('table=1,priority=3,metadata=8,actions=output:3')), 0);
  // A header that some of its packets may not have: only a translation can tell.
  assert.equal(translated(s, add('table=1,priority=4,dl_src=02:00:00:00:00:77,actions=drop')), 4);
});

test('a table that sees other values than the packet has is told apart by none of them', () => {
  const s = scene(
    'actions=mod_dl_src:02:00:00:00:00:99,resubmit(,1)',
    `table=1,priority=1,dl_src=${mac(0x99)},actions=output:2`,
  );
  send(s, 1, frame(1, 2));
  assert.equal(
    translated(s, () => void s.bridge.addFlow(`table=1,priority=5,dl_src=${mac(0x99)},actions=output:3`)),
    1,
  );
  const [megaflow] = s.world.slowPath.megaflows();
  assert.deepEqual(megaflow.translated.at(-1), { type: 'output', port: s.ports[2].dpPort });
});

test('one port concerns those who met it, and those who flood', () => {
  const s = scene('in_port=1,actions=output:2', 'in_port=2,actions=output:3', 'in_port=3,actions=FLOOD');
  for (const port of [1, 2, 3]) send(s, port, frame(1, 2));
  const { ofproto } = s.bridge;
  assert.equal(
    translated(s, () => ofproto.portChanged(s.ports[0])),
    2,
  );
  assert.equal(
    translated(s, () => void s.bridge.addPort(4)),
    1,
  );
  assert.equal(
    translated(s, () => ofproto.portsChanged()),
    3,
  );
});

test('with nothing changed, counters are read and no more than some megaflows translated', () => {
  const s = scene('priority=0,actions=NORMAL');
  for (let src = 0; src < 1000; src++) send(s, 1, frame(src, 0xffff));
  s.world.settle();
  assert.equal(s.world.slowPath.count, 1000);
  const pass = () => {
    s.world.clock.advance(500);
  };
  const each = Array.from({ length: 4 }, () => translated(s, pass));
  assert.ok(
    each.every((n) => n <= 256),
    `${each}`,
  );
  assert.equal(
    each.reduce((a, b) => a + b),
    1000,
    'and in the end each had its turn',
  );
});

test('a pass over many leaves room for others between its slices', () => {
  const s = scene('priority=0,actions=NORMAL');
  for (let src = 0; src < 1000; src++) send(s, 1, frame(src, 0xffff));
  s.world.settle();
  s.bridge.ofproto.portsChanged();
  let slices = 0;
  for (; s.world.slowPath.counts.translated < 1000; slices++) assert.ok(s.world.step());
  assert.ok(slices > 10, `${slices} slices`);
});

test('with more megaflows than the limit the idle go early, with twice as many all go', () => {
  const s = scene('priority=0,actions=NORMAL');
  const { slowPath, clock } = s.world;
  for (let src = 0; src < 100; src++) send(s, 1, frame(src, 0xffff));
  s.world.settle();
  clock.advance(200);
  for (let src = 0; src < 40; src++) send(s, 1, frame(src, 0xffff));
  slowPath.flowLimit = 60;
  s.world.settle();
  assert.equal(slowPath.count, 40, 'those that had packets lately stay');
  send(s, 1, frame(1000, 0xffff));
  assert.equal(slowPath.count, 41);
  slowPath.flowLimit = 20;
  s.world.settle();
  assert.equal(slowPath.count, 0);
});

test('beyond the limit packets are forwarded all the same', () => {
  const s = scene('priority=0,actions=output:2');
  s.world.slowPath.flowLimit = 0;
  const out = s.world.sniff(s.ports[1]);
  send(s, 1, frame(1, 2));
  assert.equal(out.length, 1);
  assert.equal(s.world.slowPath.count, 0);
  assert.equal(s.world.slowPath.counts.refused, 1);
});
