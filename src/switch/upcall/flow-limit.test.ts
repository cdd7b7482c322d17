import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowLimit } from './flow-limit.ts';

test('the limit shrinks while passes take long, and grows back when they do not', () => {
  const limit = new FlowLimit(100_000);
  limit.adapt(500, 90_000);
  assert.equal(limit.current, 100_000, 'never above what is configured');
  limit.adapt(1400, 90_000);
  assert.equal(limit.current, 75_000);
  limit.adapt(3000, 90_000);
  assert.equal(limit.current, 25_000);
  limit.adapt(1200, 25_000);
  assert.equal(limit.current, 25_000, 'neither long nor short');
  limit.adapt(400, 25_000);
  assert.equal(limit.current, 26_000);
  limit.adapt(400, 1_000);
  assert.equal(limit.current, 26_000, 'a pass over few says nothing of many');
  for (let i = 0; i < 20; i++) limit.adapt(10_000, 26_000);
  assert.equal(limit.current, 1000, 'some are always allowed');
});

test('what is configured or asked for holds at once', () => {
  const limit = new FlowLimit(100_000);
  limit.set(10);
  assert.equal(limit.current, 10);
  limit.set(1e6);
  assert.equal(limit.current, 100_000);
  limit.configured = 500;
  assert.equal(limit.current, 500);
  limit.adapt(1, 500);
  assert.equal(limit.current, 500);
  limit.configured = 0;
  limit.adapt(1, 0);
  assert.equal(limit.current, 0);
});
