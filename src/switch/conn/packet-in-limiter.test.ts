import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OfMessage } from '../../openflow/message.ts';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import { PacketInLimiter } from './packet-in-limiter.ts';

const message = (xid: number): OfMessage => ({ kind: 'barrier_request', version: 5, xid });

function limiter(settings: { rateLimit: number; burstLimit: number; maxQueued: number }) {
  const clock = new ManualClock();
  const sent: number[] = [];
  const limit = new PacketInLimiter(clock, settings, ({ xid }) => void sent.push(xid));
  return { clock, sent, limit };
}

test('without a rate everything goes at once', () => {
  const { sent, limit } = limiter({ rateLimit: 0, burstLimit: 0, maxQueued: 1 });
  for (let i = 0; i < 1000; i++) limit.push(1, message(i));
  assert.equal(sent.length, 1000);
});

test('a burst goes at once, the rest at the rate', () => {
  const { clock, sent, limit } = limiter({ rateLimit: 100, burstLimit: 25, maxQueued: 1000 });
  for (let i = 0; i < 125; i++) limit.push(1, message(i));
  assert.equal(sent.length, 25);
  clock.advance(500);
  assert.equal(sent.length, 75);
  clock.advance(500);
  assert.deepEqual(
    sent,
    Array.from({ length: 125 }, (_, i) => i),
  );
  // Quiet time earns no more than a burst.
  clock.advance(60_000);
  for (let i = 0; i < 100; i++) limit.push(1, message(i));
  assert.equal(sent.length, 150);
  limit.close();
});

test('ports take turns, and the busiest loses what does not fit', () => {
  const { clock, sent, limit } = limiter({ rateLimit: 100, burstLimit: 1, maxQueued: 10 });
  limit.push(1, message(0));
  for (let i = 1; i <= 50; i++) limit.push(1, message(i));
  limit.push(2, message(1001));
  limit.push(2, message(1002));
  assert.equal(limit.queued, 10);
  assert.equal(limit.dropped, 42);
  clock.advance(1000);
  assert.deepEqual(sent, [0, 43, 1001, 44, 1002, 45, 46, 47, 48, 49, 50]);
  limit.close();
});
