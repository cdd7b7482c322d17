import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { nullLogger } from '../../base/log.ts';
import { NO_OFFLOAD, RxFrame } from '../../sys/frame.ts';
import { inNetns } from '../../sys/netns.ts';
import { TapPort } from '../../sys/tap.ts';
import { createKernelDatapath } from '../kernel/kernel-datapath.ts';
import type { Harness, HarnessOptions } from './harness.ts';

/**
 * The wire of a port is a tap device in a namespace of its own. What is written to its descriptor has gone through the
 * programs when the call returns.
 */
export const kernelMissing =
  process.getuid?.() !== 0
    ? 'needs root, to load programs and make devices'
    : existsSync('/dev/net/tun')
      ? false
      : 'kernel lacks /dev/net/tun';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

interface Wire {
  readonly tap: TapPort;
  readonly out: Uint8Array[];
}

/** A kernel datapath whose ports have taps for wires. */
export function kernelHarness(options: HarnessOptions = {}): Harness {
  const netns = `weft${process.pid}-${Math.floor(Math.random() * 1e9)}`;
  ip('netns', 'add', netns);
  const datapath = createKernelDatapath({
    clock,
    random: Math.random,
    log: nullLogger,
    netns: `/run/netns/${netns}`,
    rings: 4,
    ...options,
  });
  const wires = new Map<number, Wire>();
  const frame = new RxFrame();
  let next = 1;
  const unsent: [number, Uint8Array][] = [];

  const drain = (wire: Wire): void => {
    while (wire.tap.receive(frame)) {
      wire.out.push(frame.bytes.slice(frame.start, frame.end));
      wire.tap.release();
    }
  };

  return {
    datapath,
    addPort(wanted) {
      const name = `weftw${next++}`;
      const tap = inNetns(netns, () => new TapPort({ name }));
      ip('-n', netns, 'link', 'set', name, 'addrgenmode', 'none');
      ip('-n', netns, 'link', 'set', name, 'up');
      const port = datapath.portAdd({ name, type: 'system', netns: `/run/netns/${netns}` }, wanted);
      wires.set(port, { tap, out: [] });
      return port;
    },
    deletePort(port) {
      datapath.portDelete(port);
      wires.get(port)?.tap.close();
      wires.delete(port);
    },
    send(port, bytes) {
      unsent.push([port, bytes]);
    },
    take(port) {
      const wire = wires.get(port) as Wire;
      drain(wire);
      return wire.out.splice(0);
    },
    async settle() {
      await datapath.flush();
      for (const [port, bytes] of unsent.splice(0)) {
        const { tap } = wires.get(port) as Wire;
        if (!tap.send(bytes, 0, bytes.length, NO_OFFLOAD)) throw new Error('the tap device takes no frame');
      }
      await datapath.flush();
    },
    async close() {
      for (const { tap } of wires.values()) tap.close();
      await datapath.close();
      ip('netns', 'del', netns);
    },
  };
}
