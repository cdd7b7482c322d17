import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { check, Engine, type Row } from '../../src/nlog/index.ts';
import { type Database, evaluate, keyOf, namedTables, sorted } from './oracle.ts';

/* Recursion under deletion, on graphs where rows derive each other in circles. */

const PROGRAMS: Record<string, string> = {
  'linear closure': `
    input edge(a: int, b: int);
    output path(a: int, b: int);
    path(a, b) :- edge(a, b);
    path(a, c) :- edge(a, b), path(b, c);`,
  'nonlinear closure': `
    input edge(a: int, b: int);
    output path(a: int, b: int);
    path(a, b) :- edge(a, b);
    path(a, c) :- path(a, b), path(b, c);`,
  'three places of one table': `
    input edge(a: int, b: int);
    output path(a: int, b: int);
    path(a, b) :- edge(a, b);
    path(a, d) :- path(a, b), path(b, c), path(c, d);`,
  'mutual recursion': `
    input edge(a: int, b: int);
    output odd(a: int, b: int);
    output even(a: int, b: int);
    odd(a, b) :- edge(a, b);
    odd(a, c) :- even(a, b), edge(b, c);
    even(a, c) :- odd(a, b), edge(b, c);
    even(a, a) :- edge(a, _);
    odd(a, b) :- even(a, c), even(c, d), odd(d, b);`,
  'recursion over negation, and negation and aggregates over recursion': `
    input edge(a: int, b: int);
    table node(a: int);
    table blocked(a: int, b: int);
    table reach(a: int, b: int);
    output unreachable(a: int, b: int);
    output degree(a: int, n: int);
    output farthest(a: int, b: int);
    output both(a: int, b: int);
    node(a) :- edge(a, _);
    node(b) :- edge(_, b);
    blocked(a, b) :- edge(a, b), edge(b, a), a > b;
    reach(a, b) :- edge(a, b), not blocked(a, b);
    reach(a, c) :- reach(a, b), reach(b, c), not blocked(a, c);
    unreachable(a, b) :- node(a), node(b), not reach(a, b);
    degree(a, count(b)) :- reach(a, b);
    farthest(a, max(b)) :- reach(a, b);
    both(a, b) :- reach(a, b), reach(b, a);`,
  'distances with arithmetic': `
    input edge(a: int, b: int);
    table walk(a: int, b: int, steps: int);
    output distance(a: int, b: int, steps: int);
    walk(a, b, 1) :- edge(a, b);
    walk(a, c, n + 1) :- walk(a, b, n), edge(b, c), n < 4;
    distance(a, b, min(n)) :- walk(a, b, n);`,
};

const edges = fc.array(
  fc.array(fc.record({ a: fc.nat(5), b: fc.nat(5), insert: fc.boolean() }), { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 80, size: 'max' },
);

for (const [name, text] of Object.entries(PROGRAMS))
  test(`${name} is right after every insertion and deletion`, () => {
    const program = check({ name: 'graph.nlog', text });
    fc.assert(
      fc.property(edges, (transactions) => {
        const engine = new Engine(program);
        const given: Database = new Map([['edge', new Map<string, Row>()]]);
        for (const ops of transactions) {
          engine.transaction((tx) => {
            for (const { a, b, insert } of ops) {
              tx[insert ? 'insert' : 'delete']('edge', [a, b]);
              if (insert) given.get('edge')!.set(keyOf([a, b]), [a, b]);
              else given.get('edge')!.delete(keyOf([a, b]));
            }
          });
          const expected = evaluate(program, given);
          for (const t of namedTables(program))
            assert.deepEqual(
              engine.rows(t.name).map(keyOf),
              sorted(expected.get(t.name)!.values()).map(keyOf),
              t.name,
            );
        }
      }),
      { numRuns: 60 },
    );
  });

test('the loss of one link of a mesh touches little of its closure', () => {
  const program = check({ name: 'graph.nlog', text: PROGRAMS['linear closure'] });
  const engine = new Engine(program);
  const n = 30;
  engine.transaction((tx) => {
    for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) if (a !== b) tx.insert('edge', [a, b]);
  });
  const lost = engine.transaction((tx) => tx.delete('edge', [3, 7]));
  assert.ok(lost.empty, 'everything is still reachable');
  // Of n*n rows in the closure, only those whose one lower derivation ran over the link are looked at.
  assert.ok(lost.work.rowsIn < 2 * n, `${lost.work.rowsIn} rows given to rules`);
});
