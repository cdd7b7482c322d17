import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, exit, jeq, jne, label, ldMap, ldx, mov, R0, R1, R2, R3, R6, R7, stx, W } from './asm.ts';
import { skb } from './context.ts';
import { helper } from './helpers.ts';
import { Program } from './program.ts';
import { RingBuffer } from './ring-buffer.ts';
import { needsRoot } from './testing/programs.ts';

const skip = needsRoot;

/** Writes the context's mark into a record of 20 bytes; mark 0xffff discards it. Returns 1 if the ring is full. */
function writer(ring: RingBuffer): Program {
  const code = [
    mov(R6, R1),
    ldMap(R1, ring),
    mov(R2, 20),
    mov(R3, 0),
    call(helper.ringbufReserve),
    jne(R0, 0, 'reserved'),
    mov(R0, 1),
    exit(),
    label('reserved'),
    ldx(W, R7, R6, skb.mark),
    stx(W, R0, 16, R7),
    mov(R1, R0),
    mov(R2, 0),
    jeq(R7, 0xffff, 'discard'),
    call(helper.ringbufSubmit),
    mov(R0, 0),
    exit(),
    label('discard'),
    call(helper.ringbufDiscard),
    mov(R0, 0),
    exit(),
  ];
  return Program.load({ kind: 'classifier', name: 'weft_writer', code });
}

const context = new Uint8Array(skb.size);
const packet = new Uint8Array(64);
function write(program: Program, mark: number): boolean {
  new DataView(context.buffer).setUint32(skb.mark, mark, true);
  return program.run({ packet, context }).verdict === 0;
}

function read(ring: RingBuffer, limit = 1000): number[] {
  const marks: number[] = [];
  ring.drain((bytes, start, length) => {
    assert.equal(length, 20);
    marks.push(new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(16, true));
  }, limit);
  return marks;
}

test('records come in order, through many turns of the ring', { skip }, () => {
  using ring = RingBuffer.create('weft_ring', 4096);
  using program = writer(ring);
  let next = 0;
  for (let turn = 0; turn < 40; turn++) {
    const wanted: number[] = [];
    for (let i = 0; i < 37; i++) {
      wanted.push(next);
      assert.ok(write(program, next++));
    }
    assert.deepEqual(read(ring), wanted);
    assert.equal(ring.backlog, 0);
  }
});

test('a turn is bound, and says that more is there', { skip }, async () => {
  using ring = RingBuffer.create('weft_ring', 4096);
  using program = writer(ring);
  assert.equal(ring.wait(0), false);
  assert.equal(await ring.readable(0), false);
  for (let i = 0; i < 5; i++) write(program, i);
  assert.equal(ring.wait(0), true);
  assert.equal(await ring.readable(0), true);
  assert.deepEqual(read(ring, 3), [0, 1, 2]);
  assert.ok(ring.pending);
  assert.equal(ring.wait(10_000), true);
  assert.deepEqual(read(ring, 3), [3, 4]);
  assert.ok(!ring.pending);
  assert.equal(ring.wait(0), false);
});

test('discarded records are passed over, and count as work', { skip }, () => {
  using ring = RingBuffer.create('weft_ring', 4096);
  using program = writer(ring);
  for (const mark of [1, 0xffff, 0xffff, 2]) write(program, mark);
  assert.deepEqual(read(ring, 3), [1]);
  assert.deepEqual(read(ring, 3), [2]);
});

test('a full ring refuses records and goes on when it is read', { skip }, () => {
  using ring = RingBuffer.create('weft_ring', 4096);
  using program = writer(ring);
  let written = 0;
  while (write(program, written)) written++;
  assert.ok(written > 100 && written <= 4096 / 32);
  assert.equal(read(ring).length, written);
  assert.ok(write(program, 1));
});

test('a visitor that throws does not see its record again', { skip }, () => {
  using ring = RingBuffer.create('weft_ring', 4096);
  using program = writer(ring);
  write(program, 1);
  write(program, 2);
  const broken = (): void => {
    throw new Error('broken');
  };
  assert.throws(() => ring.drain(broken, 10), /broken/);
  assert.deepEqual(read(ring), [2]);
});

test('sizes that cannot be', { skip }, () => {
  for (const size of [0, 1000, 5000, 2 ** 31, Number.NaN])
    assert.throws(() => RingBuffer.create('weft_ring', size), { code: 'bad-map' });
});
