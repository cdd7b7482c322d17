import type { CommandRegistry } from '../../base/command.ts';
import type { Switch } from '../../switch/bridge/manager.ts';
import type { DaemonClock } from '../daemon/clock.ts';
import type { Datapaths } from './datapaths.ts';

/** What the management commands act on. */
export interface CommandTarget {
  readonly vswitch: Switch;
  readonly datapaths: Datapaths;
  readonly clock: DaemonClock;
}

export function registerSwitchCommands(commands: CommandRegistry, target: CommandTarget): void {
  commands.register('ofproto/list', '', 0, 0, () =>
    [...target.vswitch.bridges()].map((bridge) => `${bridge.name}\n`).join(''),
  );
}
