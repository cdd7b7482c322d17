import assert from 'node:assert/strict';
import test from 'node:test';
import type { UserspaceCookie } from '../types.ts';
import { ActionSlots, Cookies } from './action-slots.ts';

function world(limit: number) {
  const memory = new Map<number, Uint8Array>();
  const clock = { now: 0 };
  const cookies = new Cookies();
  const slots = new ActionSlots(
    { set: (slot, bytes) => void memory.set(slot, bytes) },
    limit,
    cookies,
    () => clock.now,
  );
  return { memory, clock, cookies, slots };
}
const slowPath = (reason: 'lacp' | 'stp'): UserspaceCookie => ({ type: 'slow_path', reason });

test('flows with the same actions share a slot, and it stays until the last is gone', () => {
  const { memory, slots } = world(8);
  const a = slots.take(Uint8Array.of(1, 2), []);
  assert.equal(slots.take(Uint8Array.of(1, 2), []), a);
  const b = slots.take(Uint8Array.of(1, 3), []);
  assert.notEqual(a, b);
  assert.deepEqual([...(memory.get(a) as Uint8Array).subarray(0, 3)], [1, 2, 0]);
  slots.give(a);
  assert.equal(slots.take(Uint8Array.of(1, 2), []), a);
  assert.equal(slots.used, 2);
});

test('a slot that was given up rests before it gets another content', () => {
  const { clock, slots } = world(1);
  const a = slots.take(Uint8Array.of(1), []);
  assert.equal(slots.take(Uint8Array.of(2), []), -1);
  slots.give(a);
  assert.equal(slots.take(Uint8Array.of(2), []), -1);
  clock.now = 1000;
  assert.equal(slots.take(Uint8Array.of(2), []), a);
});

test('cookies keep their numbers while a program has them, and while its slot rests', () => {
  const { clock, cookies, slots } = world(2);
  const lacp = cookies.take(slowPath('lacp'));
  const a = slots.take(Uint8Array.of(1), [lacp]);
  const again = cookies.take(slowPath('lacp'));
  assert.equal(again, lacp);
  // The same program, with cookies counted for it anew.
  assert.equal(slots.take(Uint8Array.of(1), [again]), a);
  slots.give(a);
  slots.give(a);
  assert.deepEqual(cookies.get(lacp), slowPath('lacp'));
  assert.notEqual(cookies.take(slowPath('stp')), lacp);
  clock.now = 1000;
  slots.take(Uint8Array.of(2), []);
  assert.equal(cookies.get(lacp), undefined);
});

test("a number that was some cookie's does not become another's", () => {
  const cookies = new Cookies();
  const lacp = cookies.take(slowPath('lacp'));
  cookies.give(lacp);
  assert.notEqual(cookies.take(slowPath('stp')), lacp);
  assert.equal(cookies.get(lacp), undefined);
});

test('cookies that differ in a number beyond doubles are told apart', () => {
  const cookies = new Cookies();
  const cookie = (ruleCookie: bigint): UserspaceCookie => ({
    type: 'controller',
    reason: 0,
    recircId: 1,
    ruleCookie,
    controllerId: 0,
    maxLen: 128,
    dontSend: false,
    continuation: false,
  });
  const a = cookies.take(cookie(0xffff_ffff_ffff_fffen));
  const b = cookies.take(cookie(0xffff_ffff_ffff_ffffn));
  assert.notEqual(a, b);
});
