import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_REPLY_DIR,
  CS_TRACKED,
  type Flow,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_STATE,
} from '../../flow/layout.ts';
import { type FrameFields, frame, keyOf } from '../conformance/frames.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import type { DpCtAction } from '../types.ts';
import { prepareCt } from './action.ts';
import { ConnectionTracker } from './tracker.ts';

const [C, S] = [0x0a000001, 0x0a000002];
const request: FrameFields = { nwSrc: C, nwDst: S, tpSrc: 1000, tpDst: 80 };
const answer: FrameFields = { nwSrc: S, nwDst: C, tpSrc: 80, tpDst: 1000 };

class World {
  readonly tracker: ConnectionTracker;
  now = 1000;

  constructor(maxConnections?: number) {
    this.tracker = new ConnectionTracker({ random: () => 0.25, maxConnections });
  }

  /** A packet that goes through `ct`: its key afterwards. */
  track(fields: FrameFields, action: Partial<DpCtAction> = {}, packet = new Packet(frame(fields))): Flow {
    const key = keyOf(1, frame(fields));
    extractFlow(packet, key);
    // The frames' TCP checksum is left to the device.
    if (fields.tcpFlags !== undefined) packet.csumStart = packet.l4;
    this.tracker.track(packet, key, ct(action), this.now);
    return key;
  }
  state(fields: FrameFields, action: Partial<DpCtAction> = {}): number {
    return this.track(fields, action)[W_CT_STATE] >>> 24;
  }
}

function ct(action: Partial<DpCtAction>): ReturnType<typeof prepareCt> {
  return prepareCt({
    type: 'ct',
    commit: false,
    force: false,
    zone: 0,
    mark: null,
    label: null,
    helper: '',
    nat: null,
    ...action,
  });
}

test('without commit nothing is remembered', () => {
  const world = new World();
  assert.equal(world.state(request), CS_TRACKED | CS_NEW);
  assert.equal(world.state(request), CS_TRACKED | CS_NEW);
  assert.equal(world.tracker.table.count, 0);
});

test('a committed UDP connection is new until somebody answers', () => {
  const world = new World();
  assert.equal(world.state(request, { commit: true }), CS_TRACKED | CS_NEW);
  assert.equal(world.state(request), CS_TRACKED | CS_NEW);
  assert.equal(world.state(answer), CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
  assert.equal(world.state(request), CS_TRACKED | CS_ESTABLISHED);
});

test('zones know nothing of each other', () => {
  const world = new World();
  world.track(request, { commit: true, zone: 1 });
  assert.equal(world.state(answer, { zone: 2 }), CS_TRACKED | CS_NEW);
  const key = world.track(answer, { zone: 1 });
  assert.equal(key[W_CT_STATE] & 0xffff, 1);
  assert.equal(key[W_CT_STATE] >>> 24, CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
});

test('mark and label stay with the connection, bit by bit', () => {
  const world = new World();
  world.track(request, {
    commit: true,
    mark: { value: 0x12, mask: 0xff },
    label: { value: 5n << 96n, mask: 7n << 96n },
  });
  const key = world.track(answer, { commit: true, mark: { value: 0x3400, mask: 0xff00 } });
  assert.equal(key[W_CT_MARK], 0x3412);
  assert.equal(key[W_CT_LABEL], 5);
  assert.equal(world.track(request)[W_CT_MARK], 0x3412);
});

test('a packet that goes through the same zone again moves its connection on once', () => {
  const world = new World();
  const packet = new Packet(frame(request));
  const first = world.track(request, { commit: true }, packet);
  assert.equal(first[W_CT_STATE] >>> 24, CS_TRACKED | CS_NEW);
  world.tracker.track(packet, first, ct({}), world.now);
  assert.equal(first[W_CT_STATE] >>> 24, CS_TRACKED | CS_NEW);
  // As after one packet: an answer's absence is told by the timeout of the first, 60 s.
  world.now += 59_999;
  assert.equal(world.state(answer), CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
});

test('a connection that nobody used for its timeout is gone', () => {
  const world = new World();
  world.track(request, { commit: true });
  world.track(answer);
  world.now += 30_000;
  assert.equal(world.state(answer), CS_TRACKED | CS_NEW);
});

test('TCP: handshake, data and reset; what no peer would send is invalid', () => {
  const world = new World();
  const tcp = (fields: FrameFields, tcpFlags: number, commit = false): number =>
    world.state({ ...fields, tcpFlags, payload: 0 }, { commit });
  assert.equal(tcp(request, 0x03, true), CS_TRACKED | CS_INVALID);
  assert.equal(tcp(request, 0x12, true), CS_TRACKED | CS_INVALID);
  assert.equal(world.tracker.table.count, 0);
  assert.equal(tcp(request, 0x02, true), CS_TRACKED | CS_NEW);
  assert.equal(tcp(answer, 0x12), CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
  assert.equal(tcp(request, 0x10), CS_TRACKED | CS_ESTABLISHED);
  assert.equal(tcp(request, 0x01), CS_TRACKED | CS_INVALID);
});

test('at the limit, those that are in go on and nobody else comes in', () => {
  const world = new World(2);
  for (let port = 1; port <= 5; port++) world.track({ ...request, tpSrc: port }, { commit: true });
  assert.equal(world.tracker.table.count, 2);
  assert.equal(world.state({ ...answer, tpDst: 1 }), CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
  assert.equal(world.state({ ...answer, tpDst: 3 }), CS_TRACKED | CS_NEW);
});

test('commit with force makes the direction of its packet the original one', () => {
  const world = new World();
  world.track(request, { commit: true });
  assert.equal(world.state(answer, { commit: true, force: true }), CS_TRACKED | CS_NEW);
  assert.equal(world.state(request), CS_TRACKED | CS_ESTABLISHED | CS_REPLY_DIR);
  assert.equal(world.tracker.table.count, 1);
});
