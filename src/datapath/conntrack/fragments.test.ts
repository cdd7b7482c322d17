import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksum } from '../../wire/checksum.ts';
import { keyOf } from '../conformance/frames.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import { Fragments, takeApart } from './fragments.ts';

/** A fragment of an IPv4 packet `id`: `length` bytes from `offset` on. */
function fragment(id: number, offset: number, length: number, more: boolean): Packet {
  const bytes = new Uint8Array(34 + length).fill(offset >> 3, 34);
  bytes.set([
    2,
    0,
    0,
    0,
    0,
    1,
    2,
    0,
    0,
    0,
    0,
    2,
    8,
    0,
    0x45,
    0,
    (20 + length) >> 8,
    (20 + length) & 255,
    id >> 8,
    id & 255,
  ]);
  const word = (more ? 0x2000 : 0) | (offset >> 3);
  bytes.set([word >> 8, word & 255, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 20);
  const sum = checksum(bytes, 14, 34);
  bytes.set([sum >> 8, sum & 255], 24);
  return Packet.copyOf(bytes);
}

function world(): (packet: Packet, now?: number) => ReturnType<Fragments<number>['take']> {
  const fragments = new Fragments<number>();
  return (packet, now = 0) => {
    const key = keyOf(1, packet.bytes());
    extractFlow(packet, key);
    const taken = fragments.take(packet, key, '0', now, 7);
    assert.ok(fragments.count <= 1000);
    return taken;
  };
}

test('fragments are kept until their packet is whole, in whatever order they come', () => {
  const take = world();
  assert.equal(take(fragment(1, 2400, 50, false)), 'kept');
  assert.equal(take(fragment(1, 0, 1200, true)), 'kept');
  assert.equal(take(fragment(2, 1200, 1200, true)), 'kept');
  const done = take(fragment(1, 1200, 1200, true));
  assert.ok(typeof done === 'object');
  assert.deepEqual(
    done.fragments.map(({ offset }) => offset),
    [0, 1200, 2400],
  );
  const whole = done.whole.bytes();
  assert.equal(whole.length, 34 + 2450);
  assert.equal(checksum(whole, 14, 34), 0);
  assert.deepEqual([whole[34], whole[34 + 1200], whole[34 + 2449]], [0, 150, 300 & 255]);
  // What becomes of the whole becomes of its parts.
  done.whole.buffer[done.whole.start + 34 + 2400] = 99;
  takeApart(done);
  assert.equal(done.fragments[2].packet.bytes()[34], 99);
});

test('what overlaps goes, and what was there of its packet with it; a copy is nothing new', () => {
  const take = world();
  assert.equal(take(fragment(1, 0, 1208, true)), 'kept');
  assert.equal(take(fragment(1, 0, 1208, true)), 'kept');
  assert.equal(take(fragment(1, 1200, 1200, true)), 'unfit');
  assert.equal(take(fragment(1, 1208, 50, false)), 'kept');
});

test('small fragments with others behind them do not wait', () => {
  const take = world();
  assert.equal(take(fragment(1, 0, 600, true)), 'unfit');
});

test('who sends fragments of packets that never come whole fills no memory, and is forgotten', () => {
  const take = world();
  for (let id = 0; id < 1500; id++) take(fragment(id, 0, 1200, true));
  assert.equal(take(fragment(5000, 0, 1200, true)), 'unfit');
  assert.equal(take(fragment(5000, 0, 1200, true), 15_000), 'kept');
  assert.ok(typeof take(fragment(5000, 1200, 10, false), 15_001) === 'object');
});
