import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from './clock.ts';
import { Coverage } from './coverage.ts';

function manualClock(): Clock & { ms: number } {
  return {
    ms: 0,
    now() {
      return this.ms;
    },
    wall() {
      return this.ms;
    },
    after: () => ({ cancel() {} }),
  };
}

test('rates are averages over the last slot, minute and hour', () => {
  const clock = manualClock();
  const coverage = new Coverage(clock);
  coverage.counter('never');
  coverage.counter('packet').add(60);
  clock.ms = 5000;
  const lines = coverage.show().split('\n');
  assert.match(
    lines[0],
    /^Event coverage, avg rate over last: 5 seconds, last minute, last hour, {2}hash=[0-9a-f]{8}:$/,
  );
  assert.equal(lines[1], 'packet                    12.0/sec     1.000/sec        0.0167/sec   total: 60');
  assert.equal(lines[2], '1 events never hit');
  clock.ms = 10000;
  assert.match(coverage.show(), /packet\s+0\.0\/sec\s+1\.000\/sec/);
  clock.ms = 65000;
  assert.match(coverage.show(), /packet\s+0\.0\/sec\s+0\.000\/sec\s+0\.0167\/sec/);
});

test('a late tick spreads the events over the slots it missed, and loses none', () => {
  const clock = manualClock();
  const coverage = new Coverage(clock);
  coverage.counter('e').add(13);
  clock.ms = 60000;
  assert.match(coverage.show(), /e {24}\s+0\.4\/sec\s+0\.217\/sec/);
  assert.equal(coverage.read('e'), 13);
  assert.equal(coverage.read('f'), undefined);
  clock.ms = 1e12;
  coverage.tick();
  assert.match(coverage.show(), /total: 13/);
});

test('one name is one counter', () => {
  const coverage = new Coverage(manualClock());
  coverage.counter('a').add();
  coverage.counter('a').add(2);
  assert.equal(coverage.read('a'), 3);
});
