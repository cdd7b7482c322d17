import type { Clock } from '../../base/clock.ts';
import { nullLogger } from '../../base/log.ts';
import { createInProcessDatapath } from '../userspace/in-process.ts';
import { differentialSuite } from './differential.ts';
import type { Harness, HarnessOptions } from './harness.ts';
import { conformanceSuite } from './suite.ts';

const clock: Clock = { now: () => 1000, wall: () => 0, after: () => ({ cancel() {} }) };

function harness(options: HarnessOptions = {}): Harness {
  const datapath = createInProcessDatapath({ clock, random: () => 0.25, log: nullLogger, ...options });
  const names = new Map<number, string>();
  const out = new Map<number, Uint8Array[]>();
  let next = 1;
  return {
    datapath,
    addPort(wanted) {
      const name = `w${String.fromCharCode(96 + next++)}`;
      const port = datapath.portAdd({ name, type: 'dummy' }, wanted);
      names.set(port, name);
      out.set(port, []);
      datapath.dummyPort(name).onTransmit((packet) => out.get(port)?.push(packet));
      return port;
    },
    deletePort: (port) => datapath.portDelete(port),
    send: (port, frame) => datapath.dummyPort(names.get(port) as string).receive(frame),
    take(port) {
      const frames = out.get(port) ?? [];
      out.set(port, []);
      return frames;
    },
    settle: () => datapath.flush(),
    close: () => datapath.close(),
  };
}

conformanceSuite('in process', harness);
differentialSuite('in process', harness, { scenarios: 150, steps: 60 });
