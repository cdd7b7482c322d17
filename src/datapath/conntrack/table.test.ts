import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { C_SERIAL, ConnectionTable } from './table.ts';
import { newTuple, restOf, reverse, T_DST, T_L4_DST, T_L4_SRC, T_REST, T_SRC, type Tuple } from './tuple.ts';

function tuple(src: number, dst: number, srcPort: number, dstPort: number, zone = 0): Tuple {
  const t = newTuple();
  t[T_SRC] = src;
  t[T_DST] = dst;
  t[T_L4_SRC] = srcPort;
  t[T_L4_DST] = dstPort;
  t[T_REST] = restOf(zone, 4, 17);
  return t;
}
const reversed = (t: Tuple): Tuple => {
  const r = t.slice();
  reverse(r);
  return r;
};

test('a connection is found by both directions, and by nothing else', () => {
  const table = new ConnectionTable(7);
  const key = tuple(1, 2, 3, 4, 5);
  const slot = table.add(key, reversed(key), 100);
  assert.equal(table.find(key, 0), slot * 2);
  assert.equal(table.find(reversed(key), 0), slot * 2 + 1);
  assert.equal(table.find(tuple(1, 2, 3, 4, 6), 0), -1);
  assert.equal(table.find(tuple(1, 2, 4, 3, 5), 0), -1);
});

test('of a translated connection, answers are found by what they look like', () => {
  const table = new ConnectionTable(7);
  const key = tuple(1, 2, 3, 4);
  const answers = tuple(2, 9, 4, 1024);
  const slot = table.add(key, answers, 100);
  assert.equal(table.find(answers, 0), slot * 2 + 1);
  assert.equal(table.find(reversed(key), 0), -1);
  table.remove(slot);
  assert.equal(table.find(answers, 0), -1);
  assert.equal(table.find(key, 0), -1);
});

test('a connection ends at its deadline, which may be moved both ways', () => {
  const table = new ConnectionTable(7);
  const a = table.add(tuple(1, 2, 3, 4), tuple(2, 1, 4, 3), 100);
  const b = table.add(tuple(1, 2, 3, 5), tuple(2, 1, 5, 3), 100);
  table.setDeadline(a, 300);
  table.setDeadline(b, 50);
  assert.equal(table.find(tuple(1, 2, 3, 5), 49), b * 2);
  assert.equal(table.find(tuple(1, 2, 3, 5), 50), -1);
  table.sweep(100);
  assert.equal(table.count, 1);
  assert.equal(table.find(tuple(1, 2, 3, 4), 299), a * 2);
  table.sweep(300);
  assert.equal(table.count, 0);
});

test('who kept slot and serial number of a connection sees that another has its slot', () => {
  const table = new ConnectionTable(7);
  const slot = table.add(tuple(1, 2, 3, 4), tuple(2, 1, 4, 3), 100);
  const serial = table.words[table.base + C_SERIAL];
  assert.ok(table.lives(slot, serial, 0));
  table.remove(slot);
  assert.ok(!table.lives(slot, serial, 0));
  assert.equal(table.add(tuple(5, 6, 7, 8), tuple(6, 5, 8, 7), 100), slot);
  assert.ok(!table.lives(slot, serial, 0));
});

test('the table does as a plain map of tuples does, whatever comes and goes', () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'add', 'add', 'remove', 'sweep', 'move'),
    // Few addresses, so that tuples meet.
    src: fc.integer({ min: 1, max: 30 }),
    dst: fc.integer({ min: 1, max: 30 }),
    port: fc.integer({ min: 1, max: 3 }),
    translated: fc.boolean(),
    time: fc.integer({ min: 1, max: 50 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.integer(), (steps, seed) => {
      const table = new ConnectionTable(seed);
      const model = new Map<string, { key: Tuple; rev: Tuple; slot: number; deadline: number }>();
      let now = 0;
      for (const { what, src, dst, port, translated, time } of steps) {
        const key = tuple(src, dst, port, 80);
        const rev = translated ? tuple(dst, src + 1000, 80, port) : reversed(key);
        const known = model.get(key.join());
        if (what === 'add' && known === undefined && table.find(key, now) < 0 && table.find(rev, now) < 0) {
          const slot = table.add(key, rev, now + time);
          model.set(key.join(), { key, rev, slot, deadline: now + time });
        } else if (what === 'remove' && known !== undefined) {
          table.remove(known.slot);
          model.delete(key.join());
        } else if (what === 'move' && known !== undefined) {
          known.deadline = now + time;
          table.setDeadline(known.slot, known.deadline);
        } else if (what === 'sweep') {
          now += time;
          table.sweep(now, 1000);
          for (const [name, { deadline }] of model) if (deadline <= now) model.delete(name);
        }
        assert.equal(table.count, model.size);
      }
      for (const { key, rev, slot } of model.values()) {
        assert.equal(table.find(key, now), slot * 2);
        assert.equal(table.find(rev, now), slot * 2 + 1);
      }
    }),
  );
});
