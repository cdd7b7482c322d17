import type { CommandIo } from '../../cli/command.ts';
import { launch } from '../daemon/launch.ts';

export async function run(args: readonly string[], _io: CommandIo): Promise<number> {
  await launch('weft-agent', () => import('./agent_daemon.ts'), args);
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
