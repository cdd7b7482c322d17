import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import { nullLogger } from '../../base/log.ts';
import { newFlow } from '../../flow/layout.ts';
import { newFlowStatsRows } from '../batch.ts';
import type { Datapath } from '../types.ts';
import { createInProcessDatapath, type InProcessDatapath } from './in-process.ts';
import { RestartingDatapath } from './restarting.ts';

/** A clock whose timers fire when told. */
function handClock(): { clock: Clock; advance(ms: number): void } {
  let now = 0;
  const timers: { at: number; fn: () => void }[] = [];
  return {
    clock: {
      now: () => now,
      wall: () => now,
      after(ms, fn) {
        const timer = { at: now + ms, fn };
        timers.push(timer);
        return { cancel: () => void timers.splice(timers.indexOf(timer), 1) };
      },
    },
    advance(ms) {
      now += ms;
      for (const timer of timers.filter((t) => t.at <= now)) {
        timers.splice(timers.indexOf(timer), 1);
        timer.fn();
      }
    },
  };
}

/** The datapath under test over in-process ones that `fail` makes as dead as a worker that threw. */
function setUp() {
  const { clock, advance } = handClock();
  const made: { inner: InProcessDatapath; fail: () => void }[] = [];
  const datapath = new RestartingDatapath({
    clock,
    log: nullLogger.module('test'),
    make(onFailure) {
      const inner = createInProcessDatapath({ clock, random: () => 0, log: nullLogger });
      let dead = false;
      const guarded = new Proxy(inner, {
        get(target, name) {
          const value = Reflect.get(target, name, target) as unknown;
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (dead && name !== 'close') throw new WeftError('datapath-dead', 'gone');
            return (value as (...a: unknown[]) => unknown).apply(target, args);
          };
        },
      });
      const fail = () => {
        dead = true;
        onFailure(new Error('thread ended'));
      };
      made.push({ inner, fail });
      return guarded as Datapath;
    },
  });
  return { datapath, made, advance };
}

test('after a failure the ports are back under their numbers, and upcalls come again', () => {
  const { datapath, made, advance } = setUp();
  let resets = 0;
  const upcalls: number[] = [];
  datapath.setResetHandler(() => resets++);
  datapath.setUpcallHandler((upcall) => upcalls.push(upcall.packet.length));
  const a = datapath.portAdd({ name: 'a', type: 'dummy' });
  const b = datapath.portAdd({ name: 'b', type: 'dummy' }, 77);
  made[0].fail();
  assert.equal(resets, 1);
  advance(100);
  assert.equal(made.length, 2);
  assert.deepEqual(
    datapath
      .ports()
      .map(({ port, name }) => ({ port, name }))
      .filter(({ name }) => name === 'a' || name === 'b'),
    [
      { port: a, name: 'a' },
      { port: b, name: 'b' },
    ],
  );
  made[1].inner.dummyPort('a').receive(new Uint8Array(60));
  assert.deepEqual(upcalls, [60]);
});

test('while it is down, reading gives nothing, removing is remembered, adding is refused', () => {
  const { datapath, made, advance } = setUp();
  const a = datapath.portAdd({ name: 'a', type: 'dummy' });
  made[0].fail();
  assert.equal(datapath.portStats(a).rxPackets, 0);
  assert.equal(datapath.flowStats(0).packets, 0);
  const rows = newFlowStatsRows(2);
  rows.packets.fill(7);
  datapath.flowStatsAll(Int32Array.of(0), rows);
  assert.deepEqual([...rows.packets], [0, 7]);
  datapath.execute({ packet: new Uint8Array(60), flow: newFlow(), actions: [] });
  assert.throws(() => datapath.portAdd({ name: 'c', type: 'dummy' }), { code: 'datapath-dead' });
  datapath.portDelete(a);
  advance(100);
  assert.equal(
    datapath.ports().some((port) => port.name === 'a'),
    false,
  );
});

test('repeated failures make the pauses longer', () => {
  const { made, advance } = setUp();
  made[0].fail();
  advance(100);
  made[1].fail();
  advance(100);
  assert.equal(made.length, 2);
  advance(100);
  assert.equal(made.length, 3);
});
