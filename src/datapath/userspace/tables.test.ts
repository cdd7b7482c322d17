import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Flow, newFlow, W_ETH, W_IN_PORT, W_NW_DST, W_TP, W_TUN_METADATA } from '../../flow/layout.ts';
import { MegaflowTable } from './megaflow-table.ts';
import { MicroflowCache } from './microflow-cache.ts';

const WORDS = [W_IN_PORT, W_ETH, W_NW_DST, W_TP, W_TUN_METADATA + 3];

function flow(values: readonly number[]): Flow {
  const key = newFlow();
  WORDS.forEach((w, i) => {
    key[w] = values[i] ?? 0;
  });
  return key;
}
const word = fc.oneof(fc.nat(3), fc.constantFrom(0x80000000, 0xffffffff, 0xff000000));
const key = fc.array(word, { minLength: WORDS.length, maxLength: WORDS.length });
const bits = fc.constantFrom(0, 0xffffffff, 0xff000000, 0x80000001);
const mask = fc.array(bits, { minLength: WORDS.length, maxLength: WORDS.length });

test('the megaflow table agrees with a list, through insertion, removal and lookup', () => {
  const step = fc.record({ op: fc.constantFrom('put', 'remove', 'lookup'), key, mask, pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new MegaflowTable({ maxFlows: 1000, maxMasks: 1000 }, 42);
      const list = new Map<number, { key: Flow; mask: Flow }>();
      const covers = (f: { key: Flow; mask: Flow }, k: Flow): boolean =>
        f.key.every((v, w) => ((v ^ k[w]) & f.mask[w]) === 0);
      for (const s of steps) {
        const k = flow(s.key);
        const m = flow(s.mask);
        if (s.op === 'put') {
          const same = [...list].find(([, f]) => f.mask.every((v, w) => v === m[w]) && covers(f, k));
          const slot = table.put(k, m);
          if (same !== undefined) assert.equal(slot, same[0]);
          else assert.equal(list.has(slot), false);
          list.set(slot, { key: k, mask: m });
        } else if (s.op === 'remove') {
          const slots = [...list.keys()];
          const slot = slots[s.pick % (slots.length + 1)] ?? 999;
          assert.equal(table.remove(slot), list.delete(slot));
        } else {
          const slot = table.lookup(k);
          const matching = [...list].filter(([, f]) => covers(f, k)).map(([n]) => n);
          if (slot < 0) assert.deepEqual(matching, []);
          else assert.ok(matching.includes(slot), `slot ${slot} is not among ${matching}`);
        }
        assert.equal(table.count, list.size);
      }
      assert.equal(table.maskCount, new Set([...list.values()].map((f) => f.mask.join())).size);
    }),
  );
});

test('a full table refuses new flows and masks, not ones that it has', () => {
  const table = new MegaflowTable({ maxFlows: 2, maxMasks: 1 }, 1);
  const m = flow([0xffffffff]);
  const first = table.put(flow([1]), m);
  assert.throws(() => table.put(flow([1]), flow([0, 0xff])), { code: 'too-many-masks' });
  table.put(flow([2]), m);
  assert.throws(() => table.put(flow([3]), m), { code: 'flow-table-full' });
  assert.equal(table.put(flow([1]), m), first);
  assert.equal(table.remove(first), true);
  assert.equal(table.put(flow([3]), m), first);
});

test('many flows of one mask are found again after half of them are gone', () => {
  const table = new MegaflowTable({ maxFlows: 5000, maxMasks: 1 }, 7);
  const m = flow([0, 0xffffffff, 0xffff0000]);
  const slots: number[] = [];
  for (let i = 0; i < 5000; i++) slots.push(table.put(flow([9, i * 7, i << 16]), m));
  for (let i = 0; i < 5000; i += 2) table.remove(slots[i]);
  for (let i = 0; i < 5000; i++) {
    assert.equal(table.lookup(flow([i, i * 7, (i << 16) | 5])), i % 2 === 0 ? -1 : slots[i]);
  }
});

test('masks that match most are tried first, and none is lost in sorting', () => {
  const table = new MegaflowTable({ maxFlows: 100, maxMasks: 100 }, 5);
  const keys = Array.from({ length: 20 }, (_, i) => flow([i + 1, 7]));
  const slots = keys.map((k, i) => table.put(k, flow([0xffffffff, (0xffffffff << i) >>> 0])));
  for (let n = 0; n < 10_000; n++) assert.equal(table.lookup(keys[19]), slots[19]);
  keys.forEach((k, i) => {
    assert.equal(table.lookup(k), slots[i]);
  });
  const before = table.masksSearched;
  table.lookup(keys[19]);
  assert.equal(table.masksSearched, before + 1);
});

test('the microflow cache never names a megaflow that is gone, nor that of another key', () => {
  const op = fc.record({ op: fc.constantFrom('insert', 'find', 'void'), key, slot: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const generations = new Int32Array(5);
      const cache = new MicroflowCache(WORDS, 4, generations, 3);
      const truth = new Map<string, number>();
      let hits = 0;
      for (const o of ops) {
        const k = flow(o.key);
        const name = k.join();
        if (o.op === 'void') {
          generations[o.slot]++;
          for (const [n, slot] of truth) if (slot === o.slot) truth.delete(n);
          continue;
        }
        const found = cache.find(k);
        if (found >= 0) {
          hits++;
          assert.equal(found, truth.get(name));
        } else if (o.op === 'insert') {
          cache.insert(k, o.slot);
          truth.set(name, o.slot);
          assert.equal(cache.find(k), o.slot);
        }
      }
      assert.ok(hits >= 0);
    }),
  );
});
