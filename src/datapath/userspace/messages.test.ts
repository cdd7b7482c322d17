import assert from 'node:assert/strict';
import test from 'node:test';
import { newFlow } from '../../flow/layout.ts';
import type { DpAction } from '../types.ts';
import * as M from './messages.ts';
import { Ring } from './ring.ts';

const flow = (seed: number) => newFlow().map((_, w) => (w * seed) >>> 0);

/** What a handler was asked, with copies of what is only valid during the call. */
function recorder(log: unknown[]): M.CommandHandler {
  return {
    portAdd: (port, spec) => log.push(['portAdd', port, spec]),
    portDelete: (port) => log.push(['portDelete', port]),
    flowPut: (slot, key, mask, actions) => log.push(['flowPut', slot, key.slice(), mask.slice(), actions]),
    flowActions: (slot, actions) => log.push(['flowActions', slot, actions]),
    flowDelete: (slot) => log.push(['flowDelete', slot]),
    execute: (r) => log.push(['execute', r.packet.slice(), r.flow.slice(), r.actions, r.offload]),
    meterSet: (meter, config) => log.push(['meterSet', meter, config]),
    meterDelete: (meter) => log.push(['meterDelete', meter]),
    conntrack: (request) => log.push(['conntrack', request]),
    sync: (id) => log.push(['sync', id]),
    stop: () => log.push(['stop']),
  };
}

test('commands arrive as they were given, in order', () => {
  const ring = new Ring(1 << 14);
  const actions: DpAction[] = [
    { type: 'push_eth', dst: 0x0200_0000_0001n, src: 2n },
    { type: 'clone', actions: [{ type: 'output', port: 7 }] },
    { type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason: 'bfd' } },
  ];
  const spec = { name: 'eth0', type: 'system', netns: '/run/netns/x', options: new Map([['mtu', '1400']]) };
  const packet = Uint8Array.from({ length: 61 }, (_, i) => i);
  const offload = { csumStart: 34, csumOffset: 16, gsoType: 1, gsoSize: 1448 };
  for (const write of [
    M.portAddCommand(5, spec),
    M.flowPutCommand(9, flow(3), flow(0xfffffff1), actions),
    M.flowActionsCommand(9, []),
    M.executeCommand({ packet, flow: flow(5), actions, offload }),
    M.executeCommand({ packet: packet.subarray(1), flow: flow(7), actions: [] }),
    M.flowDeleteCommand([9, 10, 11]),
    M.portDeleteCommand(5),
    M.meterSetCommand(3, { unit: 'packets', bands: [{ rate: 1, burst: 2 }] }),
    M.meterDeleteCommand(3),
    M.conntrackCommand({ kind: 'flush', zone: 9 }),
    M.syncCommand(77),
    M.stopCommand,
  ]) {
    assert.equal(write(ring), true);
  }
  const log: unknown[] = [];
  while (M.takeCommand(ring, recorder(log))) assert.ok(log.length < 100);
  assert.deepEqual(log, [
    ['portAdd', 5, spec],
    ['flowPut', 9, flow(3), flow(0xfffffff1), actions],
    ['flowActions', 9, []],
    ['execute', packet, flow(5), actions, offload],
    ['execute', packet.slice(1), flow(7), [], null],
    ['flowDelete', 9],
    ['flowDelete', 10],
    ['flowDelete', 11],
    ['portDelete', 5],
    ['meterSet', 3, { unit: 'packets', bands: [{ rate: 1, burst: 2 }] }],
    ['meterDelete', 3],
    ['conntrack', { kind: 'flush', zone: 9 }],
    ['sync', 77],
    ['stop'],
  ]);
});

test('a command whose handler throws is gone all the same', () => {
  const ring = new Ring(1 << 12);
  M.syncCommand(1)(ring);
  M.syncCommand(2)(ring);
  const log: unknown[] = [];
  const handler = recorder(log);
  const failing = { ...handler, sync: () => assert.fail('no') };
  assert.throws(() => M.takeCommand(ring, failing));
  assert.equal(M.takeCommand(ring, handler), true);
  assert.deepEqual(log, [['sync', 2]]);
});

test('a command that finds no room is not written at all', () => {
  const ring = new Ring(1 << 11);
  const command = M.flowPutCommand(1, flow(1), flow(1), []);
  assert.equal(command(ring), true);
  assert.equal(command(ring), false);
  M.takeCommand(ring, recorder([]));
  assert.equal(ring.empty, true);
});
