/** Changes on a terminal, or for a program. */
import { type Json, stringify } from '../../ovsdb/json.ts';
import type { CommandIo } from '../command.ts';
import { changeJson, changeLine, kindOf, type RowChange, type Telling } from './changes.ts';
import { formatTime } from './moment.ts';
import type { Context } from './source.ts';

const COLOURS = { insert: 32, modify: 33, delete: 31 } as const;

export function printJson(io: CommandIo, json: Json): void {
  io.out(`${stringify(json)}\n`);
}

/** `time`: when it happened, in milliseconds since the Unix epoch, where that is to be told. */
export function tell(
  changes: readonly RowChange[],
  telling: Telling,
  time: number | undefined,
  { io, options }: Context,
): void {
  for (const change of changes) {
    if (options.json) {
      const json = changeJson(change, telling);
      printJson(io, time === undefined ? json : { time: new Date(time).toISOString(), ...json });
      continue;
    }
    const line = changeLine(change, telling);
    const dated = time === undefined ? line : `${formatTime(time).slice(11)} ${line}`;
    io.out(options.colour ? `\x1b[${COLOURS[kindOf(change)]}m${dated}\x1b[0m\n` : `${dated}\n`);
  }
}
