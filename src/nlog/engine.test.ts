import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '../base/errors.ts';
import {
  check,
  Engine,
  type EngineOptions,
  type HostFunction,
  loadSnapshot,
  profile,
  type Row,
  saveSnapshot,
} from './index.ts';

const make = (text: string, options: EngineOptions = {}): Engine =>
  new Engine(check({ name: 'test.nlog', text }), options);
const fails = (fn: () => unknown, code: string, message: RegExp): void => {
  assert.throws(fn, (error: unknown) => {
    assert.ok(error instanceof WeftError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
};

const CLOSURE = `
input edge(a: int, b: int);
output path(a: int, b: int);
path(a, b) :- edge(a, b);
path(a, c) :- path(a, b), edge(b, c);`;

test('a transaction yields net changes only: what comes and goes again is not told', () => {
  const engine = make('input a(x: int); output b(x: int); b(x) :- a(x);');
  const changes = engine.transaction((tx) => {
    tx.insert('a', [1]);
    tx.insert('a', [2]);
    tx.delete('a', [1]);
    tx.insert('a', [2]);
  });
  assert.deepEqual([...changes], [{ table: 'b', inserted: [[2]], deleted: [] }]);
  assert.ok(engine.transaction((tx) => tx.delete('a', [9])).empty);
});

test('a row that is derived in several ways goes with its last derivation', () => {
  const engine = make('input a(x: int, y: int); output b(x: int); b(x) :- a(x, _);');
  engine.transaction((tx) => {
    tx.insert('a', [1, 1]);
    tx.insert('a', [1, 2]);
  });
  assert.ok(engine.transaction((tx) => tx.delete('a', [1, 1])).empty);
  assert.deepEqual(engine.transaction((tx) => tx.delete('a', [1, 2])).of('b').deleted, [[1]]);
});

test('facts and negations of empty tables hold from the start', () => {
  const engine = make('input a(x: int); output b(x: int); output c(); b(1); b(3); c() :- not a(_);');
  assert.deepEqual(engine.rows('b'), [[1], [3]]);
  assert.deepEqual(engine.initialChanges.tables, ['b', 'c']);
  assert.deepEqual(engine.rows('c'), [[]]);
  assert.deepEqual(engine.transaction((tx) => tx.insert('a', [1])).of('c').deleted, [[]]);
});

test('rows of all types come back as they went in, ordered by value', () => {
  const engine = make(
    'input a(b: bool, i: int, g: bigint, s: string, u: uuid); output o(b: bool, i: int, g: bigint, s: string, u: uuid); o(b, i, g, s, u) :- a(b, i, g, s, u);',
  );
  const u = '550e8400-e29b-41d4-a716-446655440000';
  const rows: Row[] = [
    [false, -5, -(2n ** 80n), '', u],
    [false, 2 ** 40, 1n, 'é"\n', u],
    [true, -(2 ** 53) + 1, 0n, 'a', u],
    [true, 2 ** 30, 0n, 'a', u],
  ];
  engine.transaction((tx) => {
    for (const r of [...rows].reverse()) tx.insert('a', r);
  });
  assert.deepEqual(engine.rows('o'), rows);
  assert.ok(engine.has('o', rows[0]));
  engine.transaction((tx) => tx.delete('a', [true, 2 ** 30, 0n, 'a', u.toUpperCase()]));
  assert.deepEqual(engine.rows('o', [true]), [rows[2]]);
});

test('arithmetic without a value derives nothing, whatever the order', () => {
  const engine = make(
    'input a(x: int, y: int); output q(x: int, y: int, z: int); output m(x: int); q(x, y, x / y) :- a(x, y); m(x * y) :- a(x, y);',
  );
  engine.transaction((tx) => {
    tx.insert('a', [7, 0]);
    tx.insert('a', [-7, 2]);
    tx.insert('a', [2 ** 52, 4]);
  });
  assert.deepEqual(engine.rows('q'), [
    [-7, 2, -3],
    [2 ** 52, 4, 2 ** 50],
  ]);
  assert.deepEqual(engine.rows('m'), [[-14], [0]]);
});

test('a sum beyond the ints has no row, and comes back when it fits again', () => {
  const engine = make('input a(id: int, v: int); output s(v: int); s(sum(v, id)) :- a(id, v);');
  const max = Number.MAX_SAFE_INTEGER;
  engine.transaction((tx) => {
    tx.insert('a', [1, max]);
    tx.insert('a', [2, max]);
    tx.insert('a', [3, 5]);
  });
  assert.deepEqual(engine.rows('s'), []);
  engine.transaction((tx) => tx.delete('a', [1, max]));
  assert.deepEqual(engine.rows('s'), []);
  engine.transaction((tx) => tx.delete('a', [3, 5]));
  assert.deepEqual(engine.rows('s'), [[max]]);
});

test('aggregates: a value counts once, further arguments tell occurrences apart, lists have their order', () => {
  const engine = make(`
    input link(id: int, g: string, cost: int);
    output n(g: string, v: int); output costs(g: string, v: int); output total(g: string, v: int);
    output l(g: string, v: list<int>); output s(g: string, v: set<int>); output all(v: int);
    n(g, count(id)) :- link(id, g, _);
    costs(g, count(c)) :- link(_, g, c);
    total(g, sum(c, id)) :- link(id, g, c);
    l(g, list(c, id)) :- link(id, g, c);
    s(g, set(c)) :- link(_, g, c);
    all(max(c)) :- link(_, _, c);`);
  engine.transaction((tx) => {
    tx.insert('link', [3, 'x', 5]);
    tx.insert('link', [1, 'x', 9]);
    tx.insert('link', [2, 'x', 5]);
  });
  assert.deepEqual(
    ['n', 'costs', 'total', 'l', 's'].map((t) => engine.rows(t)[0][1]),
    [3, 2, 19, [9, 5, 5], [5, 9]],
  );
  assert.deepEqual(engine.rows('all'), [[9]]);
  engine.transaction((tx) => tx.delete('link', [1, 'x', 9]));
  assert.deepEqual(engine.rows('all'), [[5]]);
});

test('min and max of a large group follow every loss of the best value, also across failures and sweeps', () => {
  const engine = make(
    'input a(g: int, v: int); output lo(g: int, v: int); output hi(g: int, v: int); lo(g, min(v)) :- a(g, v); hi(g, max(v)) :- a(g, v);',
  );
  const values = Array.from({ length: 300 }, (_, i) => (i * 7919) % 1009);
  engine.transaction((tx) => {
    for (const v of values) tx.insert('a', [1, v]);
  });
  const left = new Set(values);
  const step = (change: (v: number) => void): void => {
    const sorted = [...left].sort((x, y) => x - y);
    change(left.size % 2 === 0 ? sorted[0] : sorted[sorted.length - 1]);
    const now = [...left].sort((x, y) => x - y);
    assert.deepEqual(
      [...engine.rows('lo'), ...engine.rows('hi')],
      now.length === 0
        ? []
        : [
            [1, now[0]],
            [1, now[now.length - 1]],
          ],
    );
  };
  while (left.size > 0) {
    step((v) => {
      assert.throws(() =>
        engine.transaction((tx) => {
          tx.delete('a', [1, v]);
          tx.insert('nowhere', []);
        }),
      );
      engine.transaction((tx) => tx.delete('a', [1, v]));
      left.delete(v);
      if (left.size % 50 === 0) engine.sweep();
      if (left.size % 7 === 0) {
        engine.transaction((tx) => tx.insert('a', [1, v]));
        engine.transaction((tx) => tx.delete('a', [1, v]));
      }
    });
  }
});

test('errors leave everything as it was', () => {
  const boom: HostFunction = {
    name: 'boom',
    inputs: ['int'],
    outputs: ['int'],
    call: (n) => {
      if (n === 13) throw new Error('bad luck');
      return n;
    },
  };
  const engine = make(
    'function boom(n: int) -> (m: int); input a(x: int); output b(x: int); b(y) :- a(x), boom(x, y);',
    { functions: [boom] },
  );
  engine.transaction((tx) => tx.insert('a', [1]));
  fails(
    () => engine.transaction((tx) => [2, 13, 3].forEach((x) => void tx.insert('a', [x]))),
    'nlog-function',
    /boom\(13\) failed: bad luck/,
  );
  assert.deepEqual(engine.rows('a'), [[1]]);
  assert.deepEqual(engine.rows('b'), [[1]]);
  fails(() => engine.transaction((tx) => tx.insert('b', [1])), 'nlog-table', /"b" is no input table/);
  fails(() => engine.transaction((tx) => tx.insert('c', [1])), 'nlog-table', /there is no table "c"/);
  fails(
    () => engine.transaction((tx) => tx.insert('a', ['1'])),
    'nlog-value',
    /column "x" of "a": "1" is no int/,
  );
  fails(
    () => engine.transaction((tx) => tx.insert('a', [1, 2])),
    'nlog-value',
    /a row of "a" has 1 columns, not 2/,
  );
  fails(() => engine.transaction(async (tx) => tx.insert('a', [5])), 'nlog-async', /asynchronous/);
  fails(
    () => engine.transaction(() => engine.transaction(() => {})),
    'nlog-busy',
    /a transaction is running/,
  );
  assert.deepEqual(engine.rows('a'), [[1]]);
});

test('a function that is not stateless is found out', () => {
  let calls = 0;
  const counter: HostFunction = { name: 'counter', inputs: ['int'], outputs: ['int'], call: () => ++calls };
  const engine = make(
    'function counter(n: int) -> (m: int); input a(x: int); output b(x: int); b(y) :- a(x), counter(x, y);',
    { functions: [counter] },
  );
  engine.transaction((tx) => tx.insert('a', [1]));
  engine.sweep();
  fails(
    () => engine.transaction((tx) => tx.delete('a', [1])),
    'nlog-impure-function',
    /lost more derivations/,
  );
  assert.deepEqual(engine.rows('b'), [[1]]);
});

test('missing or misfitting functions and types are told when the engine is made', () => {
  fails(
    () => make('function f(a: int) -> (b: int); input a(x: int); output o(x: int); o(y) :- a(x), f(x, y);'),
    'nlog-unknown-function',
    /"f"/,
  );
  const f: HostFunction = { name: 'f', inputs: ['string'], outputs: ['int'], call: () => 1 };
  fails(
    () =>
      make('function f(a: int) -> (b: int); input a(x: int); output o(x: int); o(y) :- a(x), f(x, y);', {
        functions: [f],
      }),
    'nlog-function-type',
    /declares f\(int\) -> \(int\), but the host registered f\(string\) -> \(int\)/,
  );
  fails(() => make('type match; input a(m: match);'), 'nlog-unknown-type', /"match"/);
});

test('a key that would be broken fails the transaction and names both rows', () => {
  const engine = make(
    'input a(k: int, v: string) key(k); output b(k: int, v: string) key(k); input c(k: int); b(k, v) :- a(k, v); b(k, "c") :- c(k);',
  );
  engine.transaction((tx) => tx.insert('a', [1, 'x']));
  fails(
    () => engine.transaction((tx) => tx.insert('a', [1, 'y'])),
    'nlog-key',
    /"a" would have two rows with the key \(k\): \(1, "x"\) and \(1, "y"\)/,
  );
  fails(
    () => engine.transaction((tx) => tx.insert('c', [1])),
    'nlog-key',
    /"b" would have two rows .* \(1, "c"\) and \(1, "x"\)/,
  );
  engine.transaction((tx) => {
    tx.delete('a', [1, 'x']);
    tx.insert('a', [1, 'y']);
  });
  engine.transaction((tx) => {
    tx.put('a', [1, 'z']);
    tx.put('a', [1, 'w']);
    tx.put('a', [2, 'n']);
    tx.put('a', [2, 'm']);
  });
  assert.deepEqual(engine.rows('b'), [
    [1, 'w'],
    [2, 'm'],
  ]);
});

test('a program without end runs into the memory limit, and nothing has changed', () => {
  const engine = make('input a(x: int); output n(x: int); n(x) :- a(x); n(x + 1) :- n(x);', {
    maxBytes: 6 << 20,
  });
  fails(
    () => engine.transaction((tx) => tx.insert('a', [0])),
    'nlog-size-limit',
    /needs more memory than the limit/,
  );
  assert.equal(engine.totalRows, 0);
  assert.ok(engine.bytes < 1 << 20, `${engine.bytes} bytes after the rollback`);
});

test('memory comes back after deletions, values included', () => {
  const engine = make('input a(x: string, y: int); output b(y: int, x: string); b(y, x) :- a(x, y);');
  const empty = engine.bytes;
  const rows = Array.from({ length: 60_000 }, (_, i): Row => [`value ${i}`, i * 2 ** 31]);
  engine.transaction((tx) => rows.forEach((r) => void tx.insert('a', r)));
  const full = engine.bytes;
  assert.ok(full > 8 << 20);
  engine.transaction((tx) => rows.slice(100).forEach((r) => void tx.delete('a', r)));
  assert.equal(engine.size('b'), 100);
  assert.ok(engine.bytes < empty + full / 20, `${engine.bytes} of ${full} bytes left`);
  engine.transaction((tx) => tx.insert('a', rows[500]));
  assert.ok(engine.has('b', [500 * 2 ** 31, 'value 500']));
});

test('changes stay readable after their values were swept and reused', () => {
  const engine = make('input a(x: string); output b(x: string); b(x) :- a(x);');
  const changes = engine.transaction((tx) => tx.insert('a', ['first']));
  engine.transaction((tx) => tx.delete('a', ['first']));
  engine.sweep();
  engine.transaction((tx) => tx.insert('a', ['second']));
  assert.deepEqual(changes.of('b').inserted, [['first']]);
});

test('a sliced transaction gives the same changes, and the engine waits for it', () => {
  const whole = make(CLOSURE);
  const sliced = make(CLOSURE);
  const fill = (tx: { insert(t: string, r: Row): void }): void => {
    for (let i = 0; i < 60; i++) tx.insert('edge', [i, (i * 7 + 1) % 60]);
  };
  const expected = whole.transaction(fill);
  const job = sliced.begin(fill);
  let steps = 0;
  let changes = job.step(10);
  while (changes === undefined) {
    fails(() => sliced.rows('path'), 'nlog-busy', /running/);
    changes = job.step(10);
    steps++;
  }
  assert.ok(steps > 5);
  assert.deepEqual([...changes], [...expected]);
  fails(() => job.step(1), 'nlog-done', /over/);
});

test('listeners hear every transaction in order, also those that listeners start', () => {
  const engine = make(
    'input a(x: int); input b(x: int); output oa(x: int); output ob(x: int); oa(x) :- a(x); ob(x) :- b(x);',
  );
  const heard: string[] = [];
  engine.subscribe((changes) => {
    for (const [x] of changes.of('oa').inserted) engine.transaction((tx) => tx.insert('b', [x]));
  }, 'oa');
  const end = engine.subscribe((changes) => heard.push(changes.tables.join()));
  engine.transaction((tx) => tx.insert('a', [1]));
  assert.deepEqual(heard, ['oa', 'ob']);
  end();
  engine.transaction((tx) => tx.insert('a', [2]));
  assert.deepEqual(heard, ['oa', 'ob']);
});

test('a snapshot is the same for the same rows, and brings everything back', () => {
  const text =
    'input a(x: string, n: int, g: bigint); input e(); output b(x: string, n: int); output c(); b(x, n) :- a(x, n, _); c() :- e();';
  const rows: Row[] = Array.from({ length: 50 }, (_, i) => [`v${i % 7}`, i * 2 ** 28, BigInt(i) ** 9n]);
  const one = make(text);
  one.transaction((tx) => {
    for (const r of rows) tx.insert('a', r);
    tx.insert('e', []);
  });
  const two = make(text);
  for (const r of [...rows, ['gone', 1, 1n]].reverse()) two.transaction((tx) => tx.insert('a', r));
  two.transaction((tx) => {
    tx.insert('e', []);
    tx.delete('a', ['gone', 1, 1n]);
  });
  const saved = saveSnapshot(one);
  assert.deepEqual(saved, saveSnapshot(two));
  const three = make(text);
  three.transaction((tx) => tx.insert('a', ['other', 1, 1n]));
  loadSnapshot(three, saved);
  assert.deepEqual(three.rows('b'), one.rows('b'));
  assert.deepEqual(three.rows('c'), [[]]);
  fails(() => loadSnapshot(three, saved.subarray(0, saved.length - 1)), 'nlog-snapshot', /broken/);
  fails(() => loadSnapshot(three, new Uint8Array(3)), 'nlog-snapshot', /broken/);
  fails(
    () => loadSnapshot(make('input a(x: int);'), saved),
    'nlog-snapshot',
    /no input table a\(string, int, bigint\)/,
  );
  assert.deepEqual(three.rows('b'), one.rows('b'));
});

test('profile counts what each rule read and found', () => {
  const engine = make(CLOSURE);
  engine.transaction((tx) => {
    tx.insert('edge', [1, 2]);
    tx.insert('edge', [2, 3]);
  });
  const found = profile(engine);
  assert.deepEqual(
    found.rules.map((r) => [r.rule, r.rowsIn, r.rowsOut]),
    [
      ['test.nlog:4:1', 2, 2],
      ['test.nlog:5:1', 5, 1],
    ],
  );
  assert.equal(found.tables.find((t) => t.table === 'path')?.rows, 3);
});

test('work is in proportion to the change, not to the tables', () => {
  const engine = make(`
    input port(p: int, d: int) key(p); input place(p: int, h: int) key(p);
    output pair(p: int, q: int, h: int);
    pair(p, q, h) :- port(p, d), port(q, d), place(q, h), p != q;`);
  engine.transaction((tx) => {
    for (let i = 0; i < 9000; i++) {
      tx.insert('port', [i, i >> 3]);
      tx.insert('place', [i, i % 100]);
    }
  });
  const { work } = engine.transaction((tx) => {
    tx.insert('port', [9999, 5]);
    tx.insert('place', [9999, 1]);
  });
  assert.deepEqual(work, { rowsIn: 3, derivations: 16, rowsChanged: 18 });
});
