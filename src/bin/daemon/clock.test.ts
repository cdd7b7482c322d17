import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DaemonClock, registerClockCommands, type TimeSource } from './clock.ts';

/** A machine whose time the test sets; its timers run at once in a later turn if they are due soon. */
function machine(): TimeSource & { ms: number; armed: Set<() => void> } {
  const armed = new Set<() => void>();
  return {
    ms: 1000,
    armed,
    now() {
      return this.ms;
    },
    wall() {
      return this.ms;
    },
    setTimeout(fn, ms) {
      if (ms <= 10) return setTimeout(fn, 0);
      armed.add(fn);
      return setTimeout(() => {}, 0);
    },
  };
}

test('a stopped clock stands still until it is warped', async () => {
  const source = machine();
  const clock = new DaemonClock(source);
  clock.stop();
  source.ms += 500;
  assert.equal(clock.now(), 1000);
  assert.equal(clock.wall(), 1500);
  await clock.warp(250);
  assert.equal(clock.now(), 1250);
});

test('what passes on a stopped clock is exactly what it was warped by', async () => {
  const source = machine();
  source.ms += 0.7;
  const clock = new DaemonClock(source);
  clock.stop();
  const stopped = clock.now();
  for (let second = 1; second <= 5; second++) {
    await clock.warp(1000);
    assert.equal(clock.now() - stopped, 1000 * second);
  }
  assert.ok(Number.isInteger(stopped) && stopped >= source.now());
});

test('a clock that was warped but not stopped goes on ticking', async () => {
  const source = machine();
  const clock = new DaemonClock(source);
  await clock.warp(100);
  source.ms += 5;
  assert.equal(clock.now(), 1105);
});

test('a jump runs due timers by deadline, each seeing the time after the jump', async () => {
  const clock = new DaemonClock(machine());
  clock.stop();
  const seen: string[] = [];
  const note = (name: string) => () => void seen.push(`${name}@${clock.now() - 1000}`);
  clock.after(30, note('c'));
  clock.after(10, note('a'));
  clock.after(20, note('b'));
  clock.after(10, note('a2'));
  clock.after(31, note('late'));
  clock.after(5, note('gone')).cancel();
  await clock.warp(30);
  assert.deepEqual(seen, ['a@30', 'a2@30', 'b@30', 'c@30']);
  await clock.warp(1);
  assert.equal(seen.at(-1), 'late@31');
});

test('a periodic job runs once a jump and once a step', async () => {
  const clock = new DaemonClock(machine());
  clock.stop();
  let runs = 0;
  const again = (): void => {
    runs++;
    clock.after(100, again);
  };
  clock.after(100, again);
  await clock.warp(1000);
  assert.equal(runs, 1);
  await clock.warp(100, 1000);
  assert.equal(runs, 11);
});

test('promises that a timer starts settle before the next timer', async () => {
  const clock = new DaemonClock(machine());
  clock.stop();
  const seen: string[] = [];
  clock.after(1, () => {
    void Promise.resolve()
      .then(() => {})
      .then(() => void seen.push('a settled'));
  });
  clock.after(2, () => void seen.push('b'));
  await clock.warp(2);
  assert.deepEqual(seen, ['a settled', 'b']);
});

test('work registered by onSettle is awaited after each step', async () => {
  const clock = new DaemonClock(machine());
  let settled = 0;
  clock.onSettle(async () => void settled++);
  await clock.warp(10, 25);
  assert.equal(settled, 3);
});

test('commands refuse nonsense as the stock daemons do', async () => {
  const clock = new DaemonClock(machine());
  clock.stop();
  const handlers = new Map<string, (args: readonly string[]) => unknown>();
  registerClockCommands(clock, {
    register: (name, _usage, _min, _max, handler) => void handlers.set(name, handler),
  });
  const warp = handlers.get('time/warp')!;
  await assert.rejects(async () => warp(['0']), /^WeftError: invalid MSECS$/);
  await assert.rejects(async () => warp(['x']), /invalid MSECS/);
  await assert.rejects(async () => warp(['-1', '5']), /invalid MSECS/);
  const first = warp(['100', '10']);
  await assert.rejects(async () => warp(['5']), /A previous warp in progress/);
  assert.equal(await first, 'warped');
  assert.equal(clock.now(), 1100);
});

test('any mix of timers and cancels fires what a sorted list would, in its order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(50), fc.boolean()), { maxLength: 200 }), async (rows) => {
      const clock = new DaemonClock(machine());
      clock.stop();
      const fired: number[] = [];
      const timers = rows.map(([delay], i) => clock.after(delay + 1, () => void fired.push(i)));
      for (const [i, [, cancel]] of rows.entries()) if (cancel) timers[i].cancel();
      await clock.warp(51);
      const expected = rows
        .map(([delay, cancel], i) => ({ delay, cancel, i }))
        .filter((r) => !r.cancel)
        .sort((a, b) => a.delay - b.delay || a.i - b.i)
        .map((r) => r.i);
      assert.deepEqual(fired, expected);
    }),
    { numRuns: 20 },
  );
});
