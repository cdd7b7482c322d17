import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS_INVALID, CS_RELATED, type Flow, W_CT_MARK, W_CT_STATE } from '../../flow/layout.ts';
import { get16, get32, put16, put32 } from '../../wire/bytes.ts';
import { addBytes, checksum, finish, pseudoHeader } from '../../wire/checksum.ts';
import { keyOf } from '../conformance/frames.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import type { DpCtAction } from '../types.ts';
import { prepareCt } from './action.ts';
import { Expectations } from './expectations.ts';
import { ConnectionTracker } from './tracker.ts';
import * as T from './tuple.ts';

const [CLIENT, SERVER, SHOWN] = [0x0a000001, 0x0a000002, 0xc0a86464];
const [SYN, ACK] = [0x02, 0x10];

interface Segment {
  readonly answer?: boolean;
  readonly ports?: readonly [number, number];
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly text?: string;
  readonly to?: number;
}

/** TCP over IPv4 and Ethernet, with right checksums and two bytes of padding. */
function segment({ answer = false, ports, seq = 1, ack = 1, flags = ACK, text = '', to }: Segment): Packet {
  const b = new Uint8Array(14 + 40 + text.length + 2);
  b[12] = 8;
  b.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6], 14);
  put16(b, 16, 40 + text.length);
  put32(b, 26, answer ? SERVER : CLIENT);
  put32(b, 30, to ?? (answer ? CLIENT : SERVER));
  put16(b, 24, checksum(b, 14, 34));
  const [src, dst] = ports ?? (answer ? [21, 1000] : [1000, 21]);
  put16(b, 34, src);
  put16(b, 36, dst);
  put32(b, 38, seq);
  put32(b, 42, ack);
  b.set([0x50, flags, 0x72, 0x10], 46);
  for (let i = 0; i < text.length; i++) b[54 + i] = text.charCodeAt(i);
  const end = b.length - 2;
  put16(b, 50, finish(addBytes(pseudoHeader(b, 14, 6, end - 34), b, 34, end)));
  return new Packet(b);
}

class World {
  readonly tracker = new ConnectionTracker({ random: () => 0.25 });

  track(packet: Packet, action: Partial<DpCtAction> = {}): Flow {
    const key = keyOf(1, packet.bytes());
    extractFlow(packet, key);
    const none = {
      commit: false,
      force: false,
      zone: 0,
      mark: null,
      label: null,
      helper: '',
      nat: null,
    } as const;
    this.tracker.track(packet, key, prepareCt({ type: 'ct', ...none, ...action }), 1000);
    return key;
  }
}

const address = (word: number): Uint8Array => Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word);
const nat = (direction: 'src' | 'none'): NonNullable<DpCtAction['nat']> => ({
  direction,
  addressMin: direction === 'none' ? new Uint8Array(0) : address(SHOWN),
  addressMax: direction === 'none' ? new Uint8Array(0) : address(SHOWN),
  portMin: 0,
  portMax: 0,
  persistent: false,
  hash: false,
  random: false,
});

/** A client's control connection behind SHOWN. */
function translated(): World {
  const world = new World();
  const mark = { value: 7, mask: 0xffffffff };
  const begin = { commit: true, helper: 'ftp', nat: nat('src'), mark } as const;
  world.track(segment({ flags: SYN, seq: 0 }), begin);
  world.track(segment({ answer: true, flags: SYN | ACK, seq: 0, to: SHOWN }), { nat: nat('none') });
  return world;
}

/** Payload of a packet whose lengths and checksums are right. */
function payload(packet: Packet): string {
  const b = packet.bytes();
  const end = 14 + get16(b, 16);
  assert.equal(end, b.length - 2);
  assert.equal(checksum(b, 14, 34), 0);
  assert.equal(finish(addBytes(pseudoHeader(b, 14, 6, end - 34), b, 34, end)), 0);
  return String.fromCharCode(...b.subarray(54, end));
}

test('what a translated client announces is translated, and the numbers after it are', () => {
  const world = translated();
  const port = segment({ text: 'EPRT |1|10.0.0.1|2000|\r\n' });
  world.track(port, { nat: nat('none') });
  assert.equal(payload(port), 'EPRT |1|192.168.100.100|2000|\r\n');
  const next = segment({ seq: 25, text: 'NLST\r\n' });
  world.track(next, { nat: nat('none') });
  assert.equal(get32(next.bytes(), 38), 25 + 7);
  assert.equal(payload(next), 'NLST\r\n');
  const answer = segment({ answer: true, ack: 38, to: SHOWN });
  world.track(answer, { nat: nat('none') });
  assert.equal(get32(answer.bytes(), 42), 31);
  payload(answer);
});

test('the data connection is related, marked and translated as its control connection', () => {
  const world = translated();
  world.track(segment({ text: 'PORT 10,0,0,1,7,208\r\n' }), { nat: nat('none') });
  const data = segment({ answer: true, ports: [20, 2000], flags: SYN, to: SHOWN });
  const key = world.track(data, { commit: true, nat: nat('none'), mark: { value: 1, mask: 1 } });
  assert.equal((key[W_CT_STATE] >>> 24) & CS_RELATED, CS_RELATED);
  assert.equal(key[W_CT_MARK], 7);
  assert.equal(get32(data.bytes(), 30), CLIENT);
  const other = world.track(segment({ answer: true, ports: [20, 2001], flags: SYN, to: SHOWN }));
  assert.equal((other[W_CT_STATE] >>> 24) & CS_RELATED, 0);
});

test('an address of somebody else is invalid and expects nothing', () => {
  const world = translated();
  const key = world.track(segment({ text: 'PORT 10,0,0,9,7,208\r\n' }), { nat: nat('none') });
  assert.equal((key[W_CT_STATE] >>> 24) & CS_INVALID, CS_INVALID);
  const data = world.track(segment({ answer: true, ports: [20, 2000], flags: SYN, to: SHOWN }));
  assert.equal((data[W_CT_STATE] >>> 24) & CS_RELATED, 0);
});

test('an announcement that would be too long for IP stays as it is, and is invalid', () => {
  const world = translated();
  const text = `PORT 10,0,0,1,7,208\r\n${'x'.repeat(65_535 - 40 - 21)}`;
  const packet = segment({ text });
  const key = world.track(packet, { nat: nat('none') });
  assert.equal((key[W_CT_STATE] >>> 24) & CS_INVALID, CS_INVALID);
  assert.ok(payload(packet).startsWith('PORT 10,0,0,1,7,208\r\nx'));
});

test('whatever a control connection says, packets stay whole', () => {
  const world = translated();
  const words = [
    'PORT ',
    '227 ',
    'EPRT ',
    '229 ',
    '(',
    '|',
    '1',
    '10,0,0,1',
    '10.0.0.1',
    ',',
    '7',
    '208',
    '\0',
    '\xff',
    '9999999999',
    ' ',
  ];
  let state = 1;
  for (let n = 0, seq = 1; n < 3000; n++) {
    let text = '';
    for (let i = 0; i < 9; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      text += words[(state >>> 16) % words.length];
    }
    const answer = n % 3 === 0;
    const packet = segment({ text, seq, answer, ...(answer ? { to: SHOWN } : {}) });
    world.track(packet, { nat: nat('none') });
    payload(packet);
    seq += answer ? 0 : text.length;
  }
});

test('no more is expected than there is room for, and the oldest goes', () => {
  const expectations = new Expectations();
  const tuple = (port: number): T.Tuple => {
    const t = T.newTuple();
    t[T.T_L4_DST] = port;
    return t;
  };
  const label = new Uint32Array(4);
  const add = (port: number, slot: number): void =>
    expectations.add(tuple(port), slot, {
      parent: T.newTuple(),
      mark: 0,
      label,
      source: true,
      address: label,
    });
  for (let port = 0; port < 100; port++) add(port, 1);
  assert.equal(expectations.size, 16);
  assert.equal(expectations.find(tuple(83)), undefined);
  assert.notEqual(expectations.find(tuple(84)), undefined);
  for (let port = 100; port < 70_000; port++) add(port, port);
  assert.equal(expectations.size, 65_536);
  assert.equal(expectations.find(tuple(99)), undefined);
  for (let slot = 0; slot < 70_000; slot++) expectations.forget(slot);
  assert.equal(expectations.size, 0);
});
