import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { UpcallQueue } from './upcall-queue.ts';

const entry = (port: number, id: number, bytes = 100) => ({ port, id, bytes });

test('ports take turns and keep their own order', () => {
  const queue = new UpcallQueue<ReturnType<typeof entry>>(1e6, 1000);
  for (let i = 0; i < 3; i++) queue.push(entry(1, i));
  queue.push(entry(2, 10));
  queue.push(entry(2, 11));
  const out: string[] = [];
  for (let e = queue.shift(); e !== undefined; e = queue.shift()) out.push(`${e.port}:${e.id}`);
  assert.deepEqual(out, ['1:0', '2:10', '1:1', '2:11', '1:2']);
  assert.equal(queue.length, 0);
});

test('a port that floods takes half of the room, and a late one still gets in', () => {
  const queue = new UpcallQueue<ReturnType<typeof entry>>(10_000, 1_000_000);
  let taken = 0;
  for (let i = 0; i < 1000; i++) if (queue.push(entry(1, i))) taken++;
  assert.equal(taken, 50);
  assert.equal(queue.admits(2, 100), true);
  for (let i = 0; i < 20; i++) assert.equal(queue.push(entry(2, i)), true);
  assert.equal(queue.shift()?.port, 1);
  assert.equal(queue.shift()?.port, 2);
});

test('what was queued for a removed port is forgotten', () => {
  const queue = new UpcallQueue<ReturnType<typeof entry>>(10_000, 100);
  queue.push(entry(1, 0));
  queue.push(entry(2, 1));
  queue.push(entry(1, 2));
  assert.equal(queue.forget(1), 2);
  assert.equal(queue.length, 1);
  assert.equal(queue.shift()?.id, 1);
  assert.equal(queue.shift(), undefined);
  assert.equal(queue.forget(7), 0);
});

test('the queue agrees with one list per port', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('push' as const), port: fc.nat(3), bytes: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ op: fc.constant('shift' as const) }),
    fc.record({ op: fc.constant('forget' as const), port: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new UpcallQueue<ReturnType<typeof entry>>(500, 12);
      const lines = new Map<number, number[]>();
      const count = (): number => [...lines.values()].reduce((n, l) => n + l.length, 0);
      let id = 0;
      for (const s of steps) {
        if (s.op === 'push') {
          if (queue.push(entry(s.port, id, s.bytes))) lines.set(s.port, [...(lines.get(s.port) ?? []), id]);
          id++;
        } else if (s.op === 'forget') {
          assert.equal(queue.forget(s.port), lines.get(s.port)?.length ?? 0);
          lines.delete(s.port);
        } else {
          const got = queue.shift();
          if (got === undefined) assert.equal(count(), 0);
          else assert.equal(lines.get(got.port)?.shift(), got.id);
        }
        assert.equal(queue.length, count());
      }
    }),
  );
});
