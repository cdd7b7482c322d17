/** The `vlog/*` management commands (ovs-appctl(8), "LOGGING COMMANDS"). */
import type { CommandRegistry } from '../../base/command.ts';
import type { Vlog } from './vlog.ts';

/** Lets `ovs-appctl` list and change what `log` writes. */
export function registerLogCommands(log: Vlog, commands: CommandRegistry): void {
  commands.register('vlog/set', '{spec | PATTERN:destination:pattern}', 0, Infinity, (args) => {
    if (args.length === 0) log.set(undefined);
    for (const spec of args) log.set(spec);
    return undefined;
  });
  commands.register('vlog/list', '', 0, 0, () => log.list());
  commands.register('vlog/list-pattern', '', 0, 0, () => log.listPatterns());
  for (const [verb, on] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    commands.register(`vlog/${verb}-rate-limit`, '[module]...', 0, Infinity, (args) => {
      for (const module of args.length === 0 ? [undefined] : args) log.setRateLimit(module, on);
      return undefined;
    });
  }
  commands.register('vlog/reopen', '', 0, 0, () => {
    log.openFile();
    return undefined;
  });
  commands.register('vlog/close', '', 0, 0, () => {
    log.closeFile();
    return undefined;
  });
}
