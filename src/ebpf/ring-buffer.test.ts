import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { call, exit, jeq, jne, label, ldMap, ldx, mov, R0, R1, R2, R3, R6, R7, stx, W } from './asm.ts';
import { skb } from './context.ts';
import { helper } from './helpers.ts';
import { Program } from './program.ts';
import { RingBuffer, RingReader } from './ring-buffer.ts';
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

const PAGE = 4096;
const SIZE = 256;
const BUSY = 0x8000_0000;

/** A producer that keeps the kernel's rules, in memory of our own. */
class Producer {
  readonly consumer = new ArrayBuffer(PAGE);
  readonly produced = new ArrayBuffer(PAGE + 2 * SIZE);
  private readonly view = new DataView(this.produced);
  private at: bigint;

  constructor(start: bigint) {
    this.at = start;
    new DataView(this.consumer).setBigUint64(0, start, true);
    this.view.setBigUint64(0, start, true);
  }

  reader(): RingReader {
    return new RingReader(this.consumer, this.produced, PAGE, SIZE);
  }

  get consumed(): bigint {
    return new DataView(this.consumer).getBigUint64(0, true);
  }

  /** Reserves a record filled with `value`; returns what submits it, or undefined if the ring is full. */
  reserve(length: number, value: number): (() => void) | undefined {
    const stride = BigInt((length + 8 + 7) & ~7);
    if (this.at + stride - this.consumed > BigInt(SIZE)) return undefined;
    const offset = Number(this.at % BigInt(SIZE));
    // Both halves of the mapping show the same memory.
    const set = (i: number, byte: number): void => {
      for (const base of [0, SIZE]) new Uint8Array(this.produced)[PAGE + base + ((offset + i) % SIZE)] = byte;
    };
    const header = (word: number): void => {
      for (let i = 0; i < 4; i++) set(i, (word >>> (i * 8)) & 0xff);
    };
    for (let i = 0; i < length; i++) set(8 + i, value);
    header((length | BUSY) >>> 0);
    this.at += stride;
    this.view.setBigUint64(0, this.at, true);
    return () => header(length);
  }
}

test('a record that is not finished holds up those behind it', () => {
  const producer = new Producer(0n);
  const reader = producer.reader();
  const first = producer.reserve(10, 1)!;
  producer.reserve(20, 2)!();
  const lengths: number[] = [];
  const visit = (_bytes: Uint8Array, _start: number, length: number): void => void lengths.push(length);
  assert.equal(reader.drain(visit, 10), 0);
  assert.equal(reader.pending, false);
  assert.equal(reader.backlog, 24 + 32);
  first();
  assert.equal(reader.drain(visit, 10), 2);
  assert.deepEqual(lengths, [10, 20]);
  assert.equal(producer.consumed, 56n);
});

test('whatever is written is read once, in order, also where positions pass 2^31 and 2^32', () => {
  const starts = fc.constantFrom(0n, (1n << 31n) - 64n, (1n << 32n) - 64n, (1n << 45n) - 8n);
  const steps = fc.array(fc.record({ length: fc.integer({ min: 0, max: 100 }), limit: fc.nat(3) }), {
    maxLength: 100,
  });
  fc.assert(
    fc.property(starts, steps, (start, all) => {
      const producer = new Producer(start);
      const reader = producer.reader();
      const written: string[] = [];
      const seen: string[] = [];
      const take = (limit: number): number =>
        reader.drain((bytes, at, length) => {
          const record = bytes.subarray(at, at + length);
          assert.ok(record.every((byte) => byte === record[0]));
          seen.push(`${length}:${record[0]}`);
        }, limit);
      for (const [i, { length, limit }] of all.entries()) {
        const submit = producer.reserve(length, i);
        if (submit !== undefined) {
          submit();
          written.push(`${length}:${length === 0 ? undefined : i}`);
        }
        assert.ok(take(limit) <= limit);
        assert.equal(reader.pending, seen.length < written.length);
      }
      while (take(5) > 0);
      assert.deepEqual(seen, written);
      assert.equal(reader.backlog, 0);
    }),
  );
});
