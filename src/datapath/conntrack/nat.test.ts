import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DpCtAction } from '../types.ts';
import { type NatOp, prepareCt } from './action.ts';
import { NatChooser } from './nat.ts';
import { ConnectionTable } from './table.ts';
import {
  newTuple,
  restOf,
  reverseInto,
  T_DST,
  T_L4_DST,
  T_L4_SRC,
  T_REST,
  T_SRC,
  type Tuple,
} from './tuple.ts';

type Nat = NonNullable<DpCtAction['nat']>;
const v4 = (word: number): Uint8Array => Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word);

function nat(wish: Partial<Nat>): NatOp {
  const none = new Uint8Array(0);
  const full: Nat = {
    direction: 'src',
    addressMin: none,
    addressMax: none,
    portMin: 0,
    portMax: 0,
    persistent: false,
    hash: false,
    random: false,
    ...wish,
  };
  const action: DpCtAction = {
    type: 'ct',
    commit: true,
    force: false,
    zone: 0,
    mark: null,
    label: null,
    helper: '',
    nat: full,
  };
  return prepareCt(action).nat as NatOp;
}

function udp(src: number, sport: number): Tuple {
  const t = newTuple();
  t[T_SRC] = src;
  t[T_DST] = 0x0a000063;
  t[T_L4_SRC] = sport;
  t[T_L4_DST] = 53;
  t[T_REST] = restOf(0, 4, 17);
  return t;
}

/** Begins a connection: the tuple of its answers; null: none was free. */
function begin(table: ConnectionTable, chooser: NatChooser, op: NatOp, key: Tuple): Tuple | null {
  const rev = newTuple();
  reverseInto(key, rev);
  if (!chooser.choose(op, key, rev, 0)) return null;
  table.add(key, rev, 1e9);
  return rev;
}

test('no two connections have the same answers, and all keep to the range, until it is used up', () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 20 }),
      fc.boolean(),
      (seed, addresses, ports, random) => {
        const table = new ConnectionTable(seed);
        const chooser = new NatChooser(table, seed, () => 0.5);
        const first = 0xc0000200;
        const op = nat({
          addressMin: v4(first),
          addressMax: v4(first + addresses - 1),
          portMin: 5000,
          portMax: 5000 + ports - 1,
          random,
        });
        const answers = new Set<string>();
        let begun = 0;
        for (let i = 0; i < addresses * ports + 5; i++) {
          const rev = begin(table, chooser, op, udp(0x0a000001 + (i % 7), 2000 + i));
          if (rev === null) continue;
          begun++;
          answers.add(rev.join());
          assert.ok(rev[T_DST] >= first && rev[T_DST] < first + addresses);
          assert.ok(rev[T_L4_DST] >= 5000 && rev[T_L4_DST] < 5000 + ports);
        }
        assert.equal(answers.size, begun);
        assert.ok(begun >= ports);
      },
    ),
  );
});

test('a client keeps its port where that is free, and low ports stay low', () => {
  const table = new ConnectionTable(1);
  const chooser = new NatChooser(table, 1, () => 0.5);
  const op = nat({ addressMin: v4(0xc0000201) });
  const port = (src: number, sport: number): number =>
    begin(table, chooser, op, udp(src, sport))?.[T_L4_DST] ?? 0;
  assert.equal(port(1, 4000), 4000);
  assert.equal(port(2, 4000), 4001);
  assert.equal(port(1, 500), 500);
  assert.equal(port(2, 500), 501);
  assert.equal(port(1, 1023), 1023);
  assert.equal(port(2, 1023), 600);
});

test('with persistent, a client has the same address for all it begins', () => {
  const table = new ConnectionTable(1);
  const chooser = new NatChooser(table, 99, () => 0.5);
  const range = { addressMin: v4(0xc0000200), addressMax: v4(0xc00002ff) };
  const used = (op: NatOp): number => {
    const seen = new Set<number>();
    for (let i = 0; i < 30; i++) seen.add(begin(table, chooser, op, udp(7, 3000 + i))?.[T_DST] ?? 0);
    return seen.size;
  };
  assert.equal(used(nat({ ...range, persistent: true })), 1);
  assert.ok(used(nat(range)) > 5);
});

test('a range of IPv6 addresses may cross a word', () => {
  const table = new ConnectionTable(1);
  const chooser = new NatChooser(table, 5, () => 0.5);
  const first = Uint8Array.from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
  const last = Uint8Array.from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
  const op = nat({ addressMin: first, addressMax: last });
  const seen = new Set<string>();
  for (let i = 0; i < 40; i++) {
    const key = newTuple();
    key.set([0xfd000000, 0, 0, 9, 0xfd000000, 0, 0, 8, 3000 + i, 53, restOf(0, 6, 17)]);
    seen.add([...(begin(table, chooser, op, key)?.subarray(T_DST, T_DST + 4) ?? [])].join());
  }
  assert.deepEqual([...seen].sort(), [`${0xfd000000},0,1,${0xffffffff}`, `${0xfd000000},0,2,0`]);
});
