import assert from 'node:assert/strict';
import test from 'node:test';
import { newFlow, W_IN_PORT } from '../../flow/layout.ts';
import { Packet } from '../packet/packet.ts';
import { takeUpcall } from './messages.ts';
import { Ring } from './ring.ts';
import { UpcallWriter } from './upcall-writer.ts';

function put(writer: UpcallWriter, port: number, length = 100): boolean {
  const key = newFlow();
  key[W_IN_PORT] = port;
  return writer.put(new Packet(new Uint8Array(length).fill(port)), key, null);
}

test('a port that floods leaves room for the others', () => {
  const ring = new Ring(1 << 16);
  const writer = new UpcallWriter(ring);
  let flood = 0;
  while (put(writer, 1)) flood++;
  assert.ok(flood > 30 && flood < 60, `${flood} of about 80 that the ring holds`);
  for (let i = 0; i < 10; i++) assert.equal(put(writer, 2), true);
  assert.equal(put(writer, 1), false);
});

test('room comes back when the reader has passed', () => {
  const ring = new Ring(1 << 14);
  const writer = new UpcallWriter(ring);
  const reader = new Ring(ring.memory);
  for (let round = 0; round < 200; round++) {
    let written = 0;
    while (put(writer, 1 + (round % 3))) written++;
    assert.ok(written > 5);
    for (let i = 0; i < written; i++) assert.equal(takeUpcall(reader)?.packet[0], 1 + (round % 3));
    assert.equal(takeUpcall(reader), undefined);
  }
});

test('an upcall comes out as it went in', () => {
  const ring = new Ring(1 << 14);
  const writer = new UpcallWriter(ring);
  const key = newFlow().map((_, w) => w * 3);
  const packet = new Packet(
    Uint8Array.from({ length: 90 }, (_, i) => i),
    10,
  );
  Object.assign(packet, { csumStart: 34, csumOffset: 16, gsoType: 1, gsoSize: 1448, cutLength: 20 });
  const cookie = { type: 'sflow', collectorSet: 1, obsDomain: 2, obsPoint: 3, outputPort: 4 } as const;
  assert.equal(writer.takeNews(), false);
  assert.equal(writer.put(packet, key, cookie), true);
  assert.equal(writer.takeNews(), true);
  assert.equal(writer.takeNews(), false);
  const got = takeUpcall(ring);
  assert.deepEqual(
    got?.packet,
    Uint8Array.from({ length: 60 }, (_, i) => i + 10),
  );
  assert.deepEqual(got?.flow, key);
  assert.deepEqual(got?.cookie, cookie);
  assert.deepEqual(got?.offload, { csumStart: 34, csumOffset: 16, gsoType: 1, gsoSize: 1448 });
  assert.equal(got?.port, key[W_IN_PORT]);
});
