import assert from 'node:assert/strict';
import test from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { nullLogger } from '../../base/log.ts';
import { newFlow, W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import { createInProcessDatapath } from './in-process.ts';

const clock: Clock = { now: () => 5000, wall: () => 0, after: () => ({ cancel() {} }) };
const make = () => createInProcessDatapath({ clock, random: () => 0.5, log: nullLogger });
const frame = (last = 0): Uint8Array => {
  const f = new Uint8Array(60);
  f.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x90, 0x00]);
  f[59] = last;
  return f;
};

test('ports get the number in their name, as tests of Open vSwitch expect', () => {
  const dp = make();
  assert.equal(dp.portAdd({ name: 'p3', type: 'dummy' }), 3);
  assert.equal(dp.portAdd({ name: 'br0', type: 'dummy-internal' }), 100);
  assert.equal(dp.portAdd({ name: 'eth3', type: 'dummy' }), 1);
  assert.equal(dp.portAdd({ name: 'x', type: 'dummy' }, 9), 9);
  assert.throws(() => dp.portAdd({ name: 'x', type: 'dummy' }), { code: 'port-exists' });
  assert.deepEqual(
    dp.ports().map((p) => `${p.port}:${p.name}`),
    ['0:ovs-dummy', '1:eth3', '3:p3', '9:x', '100:br0'],
  );
});

test('ports wired into a loop by their hooks end', () => {
  const dp = make();
  dp.portAdd({ name: 'p1', type: 'dummy' });
  dp.portAdd({ name: 'p2', type: 'dummy' });
  const mask = newFlow();
  mask[W_IN_PORT] = 0xffffffff;
  for (const [from, to] of [
    [1, 2],
    [2, 1],
  ]) {
    const key = newFlow();
    key[W_IN_PORT] = from;
    dp.flowPut({ key, mask, actions: [{ type: 'output', port: to }] });
  }
  // What leaves p2 comes back into p2, and so on for ever.
  dp.dummyPort('p2').onTransmit((p) => dp.dummyPort('p2').receive(p));
  dp.dummyPort('p1').onTransmit((p) => dp.dummyPort('p1').receive(p));
  dp.dummyPort('p1').receive(frame());
  assert.ok(dp.stats().hits > 1000);
  dp.dummyPort('p2').onTransmit(null);
  dp.dummyPort('p1').onTransmit(null);
  const before = dp.stats().hits;
  dp.dummyPort('p1').receive(frame());
  assert.equal(dp.stats().hits, before + 1);
});

test('upcalls that a handler causes are handled after it, not inside it', () => {
  const dp = make();
  dp.portAdd({ name: 'p1', type: 'dummy' });
  const log: string[] = [];
  let depth = 0;
  dp.setUpcallHandler((upcall) => {
    depth++;
    log.push(`${upcall.kind} ${upcall.packet[59]} depth ${depth}`);
    if (upcall.packet[59] < 2 && upcall.flow[W_RECIRC_ID] === 0) {
      dp.dummyPort('p1').receive(frame(upcall.packet[59] + 2));
      dp.execute({
        packet: upcall.packet,
        flow: upcall.flow,
        actions: [{ type: 'recirc', id: 7 }],
      });
    }
    depth--;
  });
  dp.dummyPort('p1').receive(frame(1));
  assert.deepEqual(log, ['miss 1 depth 1', 'miss 1 depth 1', 'miss 3 depth 1']);
});

test('a port that is down neither receives nor sends', () => {
  const dp = make();
  dp.portAdd({ name: 'p1', type: 'dummy' });
  dp.dummyPort('p1').setUp(false);
  dp.dummyPort('p1').receive(frame());
  dp.execute({ packet: frame(), flow: newFlow(), actions: [{ type: 'output', port: 1 }] });
  const { rxDropped, txDropped, rxPackets, txPackets } = dp.portStats(1);
  assert.deepEqual(
    { rxDropped, txDropped, rxPackets, txPackets },
    { rxDropped: 1, txDropped: 1, rxPackets: 0, txPackets: 0 },
  );
});
