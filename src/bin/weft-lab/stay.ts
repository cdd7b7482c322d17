/** A lab's life as a process: cleaned up before it, taken down after it, however it ends. */
import { nullLogger } from '../../base/log.ts';
import { type CommandIo, EXIT } from '../../cli/command.ts';
import { Lab } from '../../lab/lab.ts';
import { cleanUp } from '../../lab/record.ts';
import type { LabServices } from '../../lab/switch-process.ts';
import { DaemonClock } from '../daemon/clock.ts';
import { SocketTransports } from '../ovsdb/socket.ts';

/** What the work of a lab is given. */
export interface LabWork {
  readonly lab: Lab;
  readonly services: LabServices;
  readonly report: { write(text: string): void };
  /** Resolves when the lab is to end. */
  readonly signalled: Promise<void>;
}

function services(lab: Lab): LabServices {
  const transports = new SocketTransports(lab.dir, nullLogger.module('lab'));
  return {
    clock: new DaemonClock(),
    weft: [process.execPath, ...process.execArgv, process.argv[1]],
    connector: (target) => transports.connector(target),
  };
}

/** Runs `work` with a lab, which is gone afterwards; the exit code says whether the work succeeded. */
export async function withLab(io: CommandIo, work: (work: LabWork) => Promise<boolean>): Promise<number> {
  const cleaned = cleanUp();
  if (cleaned.length > 0) io.out(`Cleaned up after ${cleaned.join(', ')}.\n`);
  const lab = new Lab();
  let interrupt: () => void = () => {};
  let interrupted = false;
  const signalled = new Promise<void>((resolve) => {
    interrupt = resolve;
  });
  const onSignal = (): void => {
    interrupted = true;
    interrupt();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const lastResort = (): void => lab.closeNow();
  process.on('exit', lastResort);
  try {
    const running = work({
      lab,
      services: services(lab),
      report: { write: (text) => void (interrupted || io.out(text)) },
      signalled,
    });
    // Taken down under its hands, the work fails somewhere: nobody is interested where.
    running.catch(() => {});
    const ok = await Promise.race([running, signalled.then(() => undefined)]);
    if (interrupted) io.out('\nTaking the lab down.\n');
    if (ok === undefined && !interrupted) return EXIT.failed;
    return (ok ?? (await finished(running))) ? EXIT.ok : EXIT.failed;
  } finally {
    await lab.close();
    for (const signal of signals) process.removeListener(signal, onSignal);
    process.removeListener('exit', lastResort);
  }
}

/** What the work found, if it had come to its end when it was interrupted. */
function finished(work: Promise<boolean>): Promise<boolean> {
  const notYet = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50));
  return Promise.race([work.catch(() => false), notYet]);
}
