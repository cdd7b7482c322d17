import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PortStatistics } from '../../logical/protocol.ts';
import { LocationBook } from './locations.ts';
import { TrafficCounters } from './traffic.ts';

const stats = (port: number, n: number): PortStatistics => ({
  port,
  rxPackets: n,
  rxBytes: n * 100,
  txPackets: 0,
  txBytes: 0,
  rxDropped: 0,
  txDropped: 0,
});
const owner = (label: number): string | undefined => (label < 10 ? `port ${label}` : undefined);
const known = (id: string): boolean => id.startsWith('acl');

test("a port's counters go on when it moves, and when its device begins anew", () => {
  const traffic = new TrafficCounters();
  const rx = (): number | undefined => traffic.port('port 1')?.rxPackets;
  const report = (node: string, ...ports: PortStatistics[]): void =>
    traffic.report(node, { ports, flows: [] }, owner, known);
  assert.equal(rx(), undefined);
  report('a', stats(1, 100));
  report('b', stats(1, 7));
  assert.equal(rx(), 107, 'both hosts count');
  report('a');
  assert.equal(rx(), 107, 'gone from a');
  report('b', stats(1, 10));
  assert.equal(rx(), 110);
  report('a', stats(1, 150));
  assert.equal(rx(), 260, 'back at a, with a new device that has counted more than the old one');
  report('a', stats(1, 5));
  assert.equal(rx(), 265, 'the device was made anew');
  traffic.forgetNode('a');
  assert.equal(rx(), 265);
  report('a', stats(99, 5));
  traffic.forget('port 1');
  assert.equal(rx(), undefined);
});

test('packets by object are summed over hosts, by stage; unknown objects and stages are left out', () => {
  const traffic = new TrafficCounters();
  const flow = (origin: string, stage: string, packets: number) => ({
    origin,
    stage,
    packets,
    bytes: packets,
  });
  for (const node of ['a', 'b'])
    traffic.report(
      node,
      {
        ports: [],
        flows: [flow('acl 1', 'ls-in-acl', 3), flow('acl 1', 'odd', 9), flow('x', 'ls-in-acl', 9)],
      },
      owner,
      known,
    );
  assert.deepEqual(traffic.origin('acl 1'), [{ stage: 'ls-in-acl', packets: 6, bytes: 6 }]);
  assert.deepEqual(traffic.origin('x'), []);
});

test('a VIF is where the newest claim says, whatever the order of reports', () => {
  const report = fc.record({ node: fc.constantFrom('a', 'b', 'c'), vifs: fc.subarray(['v', 'w']) });
  fc.assert(
    fc.property(fc.array(report), fc.nat(20), (reports, restartAt) => {
      let book = new LocationBook();
      /** For each VIF the nodes that have it, the newest claim last. */
      const truth = new Map<string, string[]>([
        ['v', []],
        ['w', []],
      ]);
      reports.forEach(({ node, vifs }, i) => {
        if (i === restartAt) {
          const claims = [...book.rows()].map(({ row: [vif, at, sequence] }) => ({
            vif: vif as string,
            node: at as string,
            sequence: sequence as number,
            name: '',
          }));
          book = new LocationBook();
          book.load(claims);
        }
        book.report(
          node,
          vifs.map((vif) => ({ vif, name: vif, active: true })),
        );
        for (const [vif, nodes] of truth) {
          if (!vifs.includes(vif))
            truth.set(
              vif,
              nodes.filter((n) => n !== node),
            );
          else if (!nodes.includes(node)) nodes.push(node);
        }
        for (const [vif, nodes] of truth) assert.equal(book.nodeOf(vif), nodes.at(-1));
      });
    }),
  );
});

test('an interface that is about to come is no place yet', () => {
  const book = new LocationBook();
  book.report('a', [{ vif: 'v', name: 'tap', active: true }]);
  book.report('b', [{ vif: 'v', name: 'tap', active: false }]);
  assert.equal(book.nodeOf('v'), 'a');
  book.report('b', [{ vif: 'v', name: 'tap', active: true }]);
  assert.equal(book.nodeOf('v'), 'b');
  book.report('b', []);
  assert.equal(book.nodeOf('v'), 'a', 'the migration was given up');
});
