import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { Coverage } from '../../base/coverage.ts';
import { nullLogger } from '../../base/log.ts';
import type { DpAction } from '../../datapath/types.ts';
import { createInProcessDatapath, type InProcessDatapath } from '../../datapath/userspace/in-process.ts';
import { newFlow } from '../../flow/layout.ts';
import { DropCounters } from './drop-counters.ts';

const clock: Clock = { now: () => 0, wall: () => 0, after: () => ({ cancel() {} }) };
const NOWHERE: DpAction[] = [{ type: 'output', port: 4000 }];

const datapath = (): InProcessDatapath =>
  createInProcessDatapath({ clock, random: () => 0.5, log: nullLogger });

function run(of: InProcessDatapath, actions: DpAction[]): void {
  of.execute({ packet: new Uint8Array(60), flow: newFlow(), actions });
}

test('what datapaths drop is read by the names of Open vSwitch, each packet once', () => {
  const [a, b] = [datapath(), datapath()];
  const coverage = new Coverage(clock);
  const drops = new DropCounters(coverage);
  coverage.collectFrom(() => drops.collect([a, b]));
  assert.equal(coverage.read('datapath_drop_invalid_port'), 0);
  run(a, NOWHERE);
  run(a, NOWHERE);
  run(b, NOWHERE);
  assert.equal(coverage.read('datapath_drop_invalid_port'), 3);
  assert.equal(coverage.read('datapath_drop_invalid_port'), 3);
  assert.match(coverage.show(), /datapath_drop_invalid_port .* total: 3\n/);
  run(b, [{ type: 'drop', reason: 'explicit' }]);
  assert.equal(coverage.read('drop_action_of_pipeline'), 1);
  assert.equal(coverage.read('datapath_drop_invalid_port'), 3);
});

test('a packet that nobody takes up, and a reason that Open vSwitch has not, are counted as well', () => {
  const a = datapath();
  const coverage = new Coverage(clock);
  const drops = new DropCounters(coverage);
  coverage.collectFrom(() => drops.collect([a]));
  a.portAdd({ name: 'p1', type: 'dummy' });
  a.dummyPort('p1').receive(new Uint8Array(60));
  assert.equal(coverage.read('datapath_drop_upcall_error'), 1);
  assert.equal(coverage.read('datapath_drop_conntrack_absent'), 0);
});

test('counts outlive the datapath, and one that counts from 0 again', () => {
  let [invalid, alive] = [5, true];
  const real = datapath();
  const restarted: InProcessDatapath = Object.create(real, {
    drops: { value: () => ({ 'no-such-port': invalid }) },
    stats: { value: () => real.stats() },
  });
  const coverage = new Coverage(clock);
  const drops = new DropCounters(coverage);
  coverage.collectFrom(() => drops.collect(alive ? [restarted] : []));
  assert.equal(coverage.read('datapath_drop_invalid_port'), 5);
  invalid = 2;
  assert.equal(coverage.read('datapath_drop_invalid_port'), 7);
  alive = false;
  assert.equal(coverage.read('datapath_drop_invalid_port'), 7);
});
