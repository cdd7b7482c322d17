import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PhysicalFlow } from '../physical-flows.ts';
import { addMod, deleteMod, groupMod, groupText, tableFlow, tableFlowOf } from './flow-key.ts';
import { COOKIE_MARK, cookieOf, numberOf, Origins } from './origins.ts';
import { WantedFlows } from './wanted-flows.ts';

const flow: fc.Arbitrary<PhysicalFlow> = fc.record({
  table: fc.nat(1),
  priority: fc.nat(1),
  // Two ways to write one match, another, and none at all.
  match: fc.constantFrom('tcp,tcp_dst=80', 'ip,nw_proto=6,tp_dst=80', 'ip', 'no_such_field=1'),
  actions: fc.constantFrom('drop', 'resubmit(,9)', 'load:0x5->NXM_NX_REG3[]', 'set_field:5->reg3'),
  origin: fc.constantFrom('a', 'b', undefined),
});

test('which flow counts does not depend on the order in which they came and went', () => {
  fc.assert(
    fc.property(
      fc.array(flow, { maxLength: 12 }),
      fc.array(fc.nat(11)),
      fc.infiniteStream(fc.nat()),
      (all, gone, random) => {
        const one = new WantedFlows();
        for (const f of all) one.insert(f);
        const deleted = new Set(gone.filter((i) => i < all.length));
        for (const i of deleted) one.delete(all[i]);
        const left = all.filter((_, i) => !deleted.has(i));
        const other = new WantedFlows();
        const order = left.map((f) => ({ f, at: random.next().value ?? 0 })).sort((a, b) => a.at - b.at);
        for (const { f } of order) other.insert(f);
        const state = (w: WantedFlows) =>
          [...w.keys()]
            .sort()
            .map((key) => w.get(key))
            .map((f) => [f?.key, f?.actions, f?.origin]);
        assert.deepEqual(state(one), state(other));
        const bad = (w: WantedFlows) => [...w.bad].map((e) => e.message).sort();
        assert.deepEqual(bad(one), bad(other));
        assert.equal(
          bad(one).length > 0,
          left.some((f) => f.match === 'no_such_field=1'),
        );
      },
    ),
  );
});

test('a drop counts before anything else at the same place', () => {
  const wanted = new WantedFlows();
  const at = { table: 1, priority: 1, match: 'ip', origin: 'x' };
  wanted.insert({ ...at, actions: 'resubmit(,2)' });
  wanted.insert({ ...at, actions: 'drop' });
  assert.equal(wanted.get('table=1,priority=1,ip')?.actions, 'drop');
});

test('texts that mean the same are one flow, and both messages about it can be made of its key', () => {
  const a = tableFlow({
    table: 3,
    priority: 7,
    match: 'ip,nw_proto=6,tp_dst=80',
    actions: 'load:0x5->NXM_NX_REG3[]',
    origin: undefined,
  });
  const b = tableFlow({
    table: 3,
    priority: 7,
    match: 'tcp,tcp_dst=80',
    actions: 'set_field:5->reg3',
    origin: undefined,
  });
  assert.deepEqual(a, b);
  const add = addMod(a, cookieOf(9));
  assert.deepEqual([add.command, add.table, add.priority, add.newCookie], ['add', 3, 7, COOKIE_MARK | 9n]);
  const remove = deleteMod(a.key);
  assert.deepEqual([remove.command, remove.table, remove.priority], ['delete_strict', 3, 7]);
  const told = {
    ...add,
    cookie: 0n,
    durationSec: 0,
    durationNsec: 0,
    idleAge: 0,
    hardAge: 0,
    packetCount: 0n,
    byteCount: 0n,
  };
  assert.deepEqual(tableFlowOf(told), a);
});

test('a group is compared by what its buckets do', () => {
  assert.equal(
    groupText({ id: 1, buckets: ['load:0x5->NXM_NX_REG15[],resubmit(,65)'] }),
    groupText({ id: 2, buckets: ['set_field:5->reg15,resubmit(,65)'] }),
  );
  assert.equal(groupMod(1, undefined, true).command, 'delete');
  assert.deepEqual(groupMod(1, ['drop'], true).command, 'modify');
});

test('numbers of origins are exact, come back from a switch, and are given anew only when nothing uses them', () => {
  const origins = new Origins();
  origins.reserve(40);
  assert.equal(origins.retain(undefined), 0);
  // What the switch has from before keeps its number; a number of somebody else is no hint.
  assert.equal(origins.retain('a', 12), 12);
  assert.equal(origins.retain('b', 12), 41);
  assert.equal(origins.retain('a'), 12);
  assert.equal(origins.of(cookieOf(12)), 'a');
  assert.equal(origins.of(12n), undefined);
  origins.release('a');
  assert.equal(origins.of(cookieOf(12)), 'a');
  origins.release('a');
  assert.equal(origins.of(cookieOf(12)), undefined);
  assert.equal(origins.retain('c'), 42);
  assert.equal(numberOf(cookieOf(7)), 7);
  assert.equal(numberOf(7n), undefined);
});
