import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KindName, Stored } from '../../api-schema/kinds.ts';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import type { StoreOperation, StoreRecord } from '../store/store.ts';
import type { ObjectChange } from './change.ts';
import { Labels } from './labels.ts';
import { idOf } from './testing/fake-model.ts';

const object = (id: string, kind: KindName = 'logical-port'): Stored =>
  ({ kind, id, spec: {}, tenant: undefined, created: 1, revision: 1 }) as unknown as Stored;
const made = (id: string, kind?: KindName): ObjectChange => ({ after: object(id, kind) });
const gone = (id: string, kind?: KindName): ObjectChange => ({ before: object(id, kind) });

/** Labels over a store that is a map, with a state that agents have or have not. */
class Rig {
  readonly clock = new ManualClock();
  readonly records = new Map<string, string>();
  holds = Number.POSITIVE_INFINITY;
  labels: Labels;
  readonly #highest: number | undefined;

  constructor(highest?: number) {
    this.#highest = highest;
    this.labels = this.#open();
  }

  restart(): void {
    this.labels = this.#open();
  }

  write(changes: readonly ObjectChange[], written = true, state = 1): void {
    const prepared = this.labels.prepare(changes);
    if (written) this.#store(prepared.operations);
    prepared.settle(written);
    if (written) this.labels.release(changes, state);
  }

  #store(operations: readonly StoreOperation[]): void {
    for (const op of operations)
      if (op.op === 'put') this.records.set(op.key, op.value);
      else this.records.delete(op.key);
  }

  #open(): Labels {
    const labels = new Labels({
      clock: this.clock,
      passed: (state) => state <= this.holds,
      quarantine: 1000,
      ...(this.#highest === undefined ? {} : { highest: this.#highest }),
    });
    labels.load([...this.records].map(([key, value]): StoreRecord => ({ key, value, revision: 1 })));
    return labels;
  }
}

test('what could not be written uses no labels up', () => {
  const rig = new Rig(3);
  const three = [made(idOf(1)), made(idOf(2)), made(idOf(3))];
  for (let i = 0; i < 5; i++) rig.write(three, false);
  assert.throws(() => rig.write([...three, made(idOf(4))]), { code: 'labels-exhausted' });
  rig.write(three);
  assert.deepEqual(
    [1, 2, 3].map((n) => rig.labels.of(idOf(n))),
    [1, 2, 3],
  );
});

test('labels are unique, small, and the same after a restart', () => {
  const rig = new Rig();
  rig.write([made(idOf(1), 'logical-switch'), made(idOf(2)), made(idOf(3), 'router-port')]);
  const all = (): number[] => [
    rig.labels.of(idOf(1)),
    rig.labels.of(idOf(2)),
    rig.labels.of(idOf(3), 'switch'),
    rig.labels.of(idOf(3), 'router'),
  ];
  assert.deepEqual(all(), [1, 2, 3, 4]);
  rig.restart();
  assert.deepEqual(all(), [1, 2, 3, 4]);
  assert.equal(rig.labels.owner(4), idOf(3));
  rig.write([made(idOf(4))]);
  assert.equal(rig.labels.of(idOf(4)), 5);
});

test('a write that fails gives no labels away', () => {
  const rig = new Rig();
  rig.write([made(idOf(1))]);
  rig.write([made(idOf(2)), gone(idOf(1))], false);
  assert.equal(rig.labels.of(idOf(1)), 1);
  assert.throws(() => rig.labels.of(idOf(2)), { code: 'no-label' });
});

test('a label goes to another object only after the quarantine, and when no agent can have the old one', () => {
  const rig = new Rig();
  rig.write([made(idOf(1))]);
  rig.holds = 6;
  rig.write([gone(idOf(1))], true, 7);
  rig.clock.advance(999);
  rig.holds = 7;
  rig.write([made(idOf(2))]);
  assert.equal(rig.labels.of(idOf(2)), 2, 'too soon');
  rig.clock.advance(1);
  rig.holds = 6;
  rig.write([made(idOf(3))]);
  assert.equal(rig.labels.of(idOf(3)), 3, 'a host may have flows with it');
  rig.holds = 7;
  rig.write([made(idOf(4))]);
  assert.equal(rig.labels.of(idOf(4)), 1);
});

test('the quarantine survives a restart', () => {
  const rig = new Rig();
  rig.write([made(idOf(1))]);
  rig.write([gone(idOf(1))]);
  rig.restart();
  rig.write([made(idOf(2))]);
  assert.equal(rig.labels.of(idOf(2)), 2);
  rig.clock.advance(1000);
  rig.holds = -1;
  rig.write([made(idOf(3))]);
  assert.equal(rig.labels.of(idOf(3)), 3, 'no agent has shown up yet');
  rig.holds = 0;
  rig.write([made(idOf(4))]);
  assert.equal(rig.labels.of(idOf(4)), 1);
});

test('when all labels are taken, the write is refused, and nothing has changed', () => {
  const rig = new Rig(3);
  rig.write([made(idOf(1)), made(idOf(2))]);
  assert.throws(() => rig.write([made(idOf(3)), made(idOf(4))]), { code: 'labels-exhausted' });
  assert.equal(rig.labels.has(idOf(3)), false);
  assert.deepEqual(rig.labels.counts, { used: 2, quarantined: 0 });
});

test('a damaged record is an error that names it', () => {
  for (const [key, value] of [
    ['label/000001', '{}'],
    ['label/000001', '{'],
    ['label/000001', 'null'],
    ['label/000000', `{"id":"${idOf(1)}"}`],
    ['label/xyz', `{"id":"${idOf(1)}"}`],
  ]) {
    const rig = new Rig();
    rig.records.set(key, value);
    assert.throws(() => rig.restart(), { code: 'store-damaged', message: new RegExp(key) });
  }
});

test('no two objects ever have one label at a time, in any order of events', () => {
  const event = fc.record({
    kind: fc.nat(5),
    id: fc.nat(12),
    ms: fc.nat(900),
    holds: fc.integer({ min: -1, max: 30 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const rig = new Rig();
      const live = new Set<string>();
      /** When each label was last given up, and in which state. */
      const freed = new Map<number, { at: number; state: number }>();
      let state = 1;
      for (const { kind, id: n, ms, holds } of events) {
        const id = idOf(n);
        rig.clock.advance(ms);
        if (kind === 0) rig.restart();
        else if (kind === 1) rig.holds = holds;
        else if (live.has(id)) {
          const label = rig.labels.of(id);
          rig.write([gone(id)], true, ++state);
          live.delete(id);
          freed.set(label, { at: rig.clock.now(), state });
        } else {
          rig.write([made(id)], kind > 2);
          if (kind > 2) {
            live.add(id);
            const label = rig.labels.of(id);
            const before = freed.get(label);
            if (before !== undefined) assert.ok(rig.clock.now() - before.at >= 1000, 'reused too soon');
          }
        }
        const labels = [...live].map((l) => rig.labels.of(l));
        assert.equal(new Set(labels).size, labels.length);
      }
    }),
  );
});
