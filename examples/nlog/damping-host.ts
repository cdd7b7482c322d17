import type { Clock, Timer } from '../../src/base/clock.ts';
import type { Engine } from '../../src/nlog/index.ts';

/**
 * Hysteresis between an output and an input table: a port that changes is unsteady at once, and steady
 * again `holdMs` after its last change. State and time live here, outside of the rules.
 */
export function damp(engine: Engine, clock: Clock, holdMs: number): void {
  const timers = new Map<string, Timer>();
  engine.subscribe((changes) => {
    const { inserted, deleted } = changes.of('port_status');
    const touched = new Set([...inserted, ...deleted].map((row) => row[0] as string));
    engine.transaction((tx) => {
      for (const port of touched) tx.delete('steady', [port]);
    });
    for (const port of touched) {
      timers.get(port)?.cancel();
      timers.set(
        port,
        clock.after(holdMs, () => {
          timers.delete(port);
          engine.transaction((tx) => tx.insert('steady', [port]));
        }),
      );
    }
  }, 'port_status');
}
