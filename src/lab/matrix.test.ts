import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cell, formatMatrix, held, isPair, mayTalk, type Station } from './matrix.ts';
import { type BridgePlan, bridgeCommands } from './switch-database.ts';

const station = (label: string, guest: string, vlan: number): Station => ({
  label,
  guest,
  host: 'h',
  address: '10.0.0.1',
  vlan,
  tagged: false,
});
const a = station('a', 'a', 10);
const b = station('b', 'b', 10);
const t10 = station('t.10', 't', 10);
const t20 = station('t.20', 't', 20);

test('stations of one VLAN may talk, and a guest is not tried with itself', () => {
  assert.ok(mayTalk(a, b));
  assert.ok(!mayTalk(a, t20));
  assert.ok(!isPair(t10, t20));
  assert.ok(isPair(a, t20));
});

test('the table shows what was seen, and marks what was not expected', () => {
  const seen = { sent: 3, received: 2, rttMs: 0.125 };
  const silent = { sent: 3, received: 0 };
  const cells: Cell[] = [
    { from: a, to: b, expected: true, outcome: seen },
    { from: b, to: a, expected: true, outcome: silent },
    { from: a, to: t20, expected: false, outcome: silent },
    { from: b, to: t20, expected: false, outcome: seen },
  ];
  assert.deepEqual(cells.map(held), [true, false, true, false]);
  assert.equal(
    formatMatrix([a, b, t20], cells),
    'from \\ to        a        b           t.20\n' +
      'a                   0.13 ms              -\n' +
      'b          - WRONG           0.13 ms WRONG\n' +
      't.20\n',
  );
});

test('the commands for a plan', () => {
  const plan: BridgePlan = {
    name: 'br0',
    datapathType: 'system',
    ports: [
      { name: 'p', tag: 10 },
      { name: 'q', trunks: [10, 20] },
      { name: 'r' },
      { name: 't', tag: 10, tunnel: { type: 'vxlan', remote: '192.0.2.1', key: 7 } },
    ],
  };
  assert.deepEqual(bridgeCommands(plan), [
    'ovs-vsctl add-br br0 -- set bridge br0 datapath_type=system',
    'ovs-vsctl add-port br0 p tag=10',
    'ovs-vsctl add-port br0 q trunks=10,20',
    'ovs-vsctl add-port br0 r',
    'ovs-vsctl add-port br0 t tag=10 -- set interface t type=vxlan options:remote_ip=192.0.2.1 options:key=7',
  ]);
});
