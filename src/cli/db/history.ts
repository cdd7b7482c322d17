/** A database file then and now. */
import { WeftError } from '../../base/errors.ts';
import type { FileAccess } from '../../ovsdb/file/log.ts';
import { EXIT } from '../command.ts';
import { printable } from './cell.ts';
import { type ColumnChoice, differences, isVisible } from './changes.ts';
import { watchedColumns } from './columns.ts';
import { Labels } from './labels.ts';
import { shorten } from './layout.ts';
import { formatTime, parseMoment } from './moment.ts';
import { type Context, timelineOf } from './source.ts';
import { printJson, tell } from './tell.ts';
import { type Found, statesAt } from './timeline.ts';

const COMMENT_WIDTH = 80;

/** What differs between two moments of a file. Exit code 0 whether or not something does. */
export function diff(access: FileAccess, [from, to, ...more]: readonly string[], context: Context): number {
  const { clock, options, io } = context;
  if (from === undefined || more.length > 0)
    throw new WeftError('bad-option', 'weft db diff takes a file and one or two moments', {
      remedy: 'as in "weft db diff conf.db 5m" or "weft db diff conf.db 2 7"',
    });
  const moments = [from, to ?? 'end'].map((text) => parseMoment(text, clock.wall()));
  const [a, b] = statesAt(timelineOf(access, context), moments);
  const columns: ColumnChoice = (table) =>
    watchedColumns(
      table,
      options.columns.names === undefined ? { ...options.columns, all: true } : options.columns,
    );
  const changes = differences(a.snapshot, b.snapshot).filter((c) => isVisible(c, columns(c.table)));
  if (!options.json) {
    const label = ({ record: { number, date } }: Found): string =>
      `record ${number}${date === undefined ? '' : ` (${formatTime(date)})`}`;
    io.out(
      `${label(a)} to ${label(b)}: ${changes.length === 0 ? 'no difference' : `${changes.length} ${changes.length === 1 ? 'row differs' : 'rows differ'}`}\n`,
    );
  }
  tell(changes, { columns, old: new Labels(a.snapshot), now: new Labels(b.snapshot) }, undefined, context);
  return EXIT.ok;
}

/** The records of a file. */
export function log(access: FileAccess, context: Context): number {
  const { io, options } = context;
  const timeline = timelineOf(access, context);
  for (; timeline.next !== undefined; timeline.step()) {
    const { number, date, comment } = timeline.next;
    if (options.json) {
      printJson(io, {
        record: number,
        date: date === undefined ? null : new Date(date).toISOString(),
        comment,
      });
    } else {
      const when = date === undefined ? '-'.padEnd(23) : formatTime(date);
      io.out(
        `${String(number).padStart(5)}  ${when}  ${printable(options.wide ? comment : shorten(comment, COMMENT_WIDTH))}\n`.replace(
          / +\n$/,
          '\n',
        ),
      );
    }
  }
  return EXIT.ok;
}
