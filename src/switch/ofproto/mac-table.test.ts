import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import { MacTable } from './mac-table.ts';
import { Bundle } from './port.ts';

const [A, B, C] = [0x020000000001, 0x020000000002, 0x020000000003];
const GROUP = 0x01005e000001;

function setUp(): { clock: ManualClock; macs: MacTable; left: Bundle; right: Bundle } {
  const clock = new ManualClock();
  clock.advance(1000);
  return { clock, macs: new MacTable(clock), left: new Bundle('left'), right: new Bundle('right') };
}

test('a station is known where it was seen last, in its own VLAN', () => {
  const { macs, left, right } = setUp();
  assert.equal(macs.learn(A, 0, left, false, false), true, 'new');
  assert.equal(macs.learn(A, 0, left, false, false), false, 'the same again changes nothing');
  assert.equal(macs.lookup(A, 0)?.bundle, left);
  assert.equal(macs.lookup(A, 10), null);
  const before = macs.generation;
  assert.equal(macs.learn(A, 0, right, false, false), true, 'moved');
  assert.equal(macs.lookup(A, 0)?.bundle, right);
  assert.ok(macs.generation > before);
  assert.deepEqual(macs.stats, { learned: 1, expired: 0, evicted: 0, moved: 1 });
});

test('group addresses and flood VLANs are never learned', () => {
  const { macs, left } = setUp();
  macs.configure({ floodVlans: [20] });
  assert.equal(macs.learn(GROUP, 0, left, false, false), false);
  assert.equal(macs.learn(A, 20, left, false, false), false);
  assert.equal(macs.size, 0);
});

test('entries age from their last use, and a new ageing time holds for old entries', () => {
  const { clock, macs, left } = setUp();
  macs.learn(A, 0, left, false, false);
  clock.advance(200_000);
  macs.learn(B, 0, left, false, false);
  assert.equal(macs.age(macs.lookup(A, 0)!), 200);
  clock.advance(100_000);
  macs.expire();
  assert.equal(macs.lookup(A, 0), null);
  assert.equal(macs.lookup(B, 0)?.bundle, left);
  macs.configure({ ageingMs: 60_000 });
  macs.expire();
  assert.equal(macs.lookup(B, 0), null, '100 s old with 60 s to live');
  assert.equal(macs.stats.expired, 2);
});

test('static entries neither move nor age, and only their own removal takes them', () => {
  const { clock, macs, left, right } = setUp();
  assert.equal(macs.addStatic(A, 0, left), true);
  assert.equal(macs.addStatic(A, 0, left), false, 'there already');
  assert.equal(macs.learn(A, 0, right, false, false), false);
  clock.advance(1_000_000);
  macs.expire();
  macs.flush();
  assert.equal(macs.lookup(A, 0)?.bundle, left);
  assert.equal(macs.staticCount, 1);
  assert.equal(macs.removeStatic(A, 0), true);
  assert.equal(macs.removeStatic(A, 0), false);
  assert.equal(macs.staticCount, 0);
});

test('the bundle with most stations gives up its oldest when the table is full', () => {
  const { macs, left, right } = setUp();
  macs.configure({ limit: 10 });
  macs.learn(A, 0, right, false, false);
  for (let i = 0; i < 30; i++) macs.learn(0x040000000000 + i, 0, left, false, false);
  assert.equal(macs.size, 10);
  assert.equal(macs.lookup(A, 0)?.bundle, right, 'a flood on one port does not push out its neighbours');
  assert.equal(macs.lookup(0x040000000000, 0), null);
  assert.equal(macs.lookup(0x040000000000 + 29, 0)?.bundle, left);
  assert.equal(macs.stats.evicted, 21);
});

test('a bundle that goes away takes its stations with it and tells which', () => {
  const { macs, left, right } = setUp();
  macs.learn(A, 0, left, false, false);
  macs.learn(B, 5, left, false, false);
  macs.learn(C, 0, right, false, false);
  assert.deepEqual(
    macs.flushBundle(left).map(({ mac, vlan }) => [mac, vlan]),
    [
      [A, 0],
      [B, 5],
    ],
  );
  assert.equal(macs.size, 1);
});

test("a bond's reflection of a gratuitous ARP does not move the station", () => {
  const { clock, macs, left, right } = setUp();
  macs.learn(A, 0, left, true, false);
  assert.equal(macs.learn(A, 0, right, true, true), false);
  assert.equal(macs.lookup(A, 0)?.bundle, left);
  clock.advance(6000);
  assert.equal(macs.learn(A, 0, right, true, true), true, 'later it is a move');
});

test('the table stays within its bounds and finds what was learned last', () => {
  const op = fc.record({
    mac: fc.integer({ min: 0, max: 25 }),
    vlan: fc.constantFrom(0, 1),
    port: fc.integer({ min: 0, max: 3 }),
    kind: fc.constantFrom('learn', 'learn', 'learn', 'static', 'removeStatic', 'wait', 'flush'),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 120 }), (ops) => {
      const { clock, macs } = setUp();
      const bundles = [0, 1, 2, 3].map((n) => new Bundle(`p${n}`));
      macs.configure({ limit: 10 });
      const fixed = new Map<string, Bundle>();
      for (const { mac, vlan, port, kind } of ops) {
        const address = 0x020000000000 + mac;
        const key = `${mac}/${vlan}`;
        if (kind === 'learn') {
          macs.learn(address, vlan, bundles[port], false, false);
          assert.equal(macs.lookup(address, vlan)?.bundle, fixed.get(key) ?? bundles[port]);
        } else if (kind === 'static') {
          macs.addStatic(address, vlan, bundles[port]);
          fixed.set(key, bundles[port]);
        } else if (kind === 'removeStatic') {
          assert.equal(macs.removeStatic(address, vlan), fixed.delete(key));
        } else if (kind === 'wait') {
          clock.advance(100_000);
          macs.expire();
        } else macs.flush();
        assert.equal(macs.staticCount, fixed.size);
        assert.ok(macs.size - macs.staticCount <= 10);
        assert.equal([...macs.entries()].length, macs.size);
        for (const [each, bundle] of fixed) {
          const [m, v] = each.split('/').map(Number);
          assert.equal(macs.lookup(0x020000000000 + m, v)?.bundle, bundle);
        }
      }
    }),
    { numRuns: 200 },
  );
});
