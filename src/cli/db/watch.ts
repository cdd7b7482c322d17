import { WeftError } from '../../base/errors.ts';
import type { Json } from '../../ovsdb/json.ts';
import { EXIT } from '../command.ts';
import { type ColumnChoice, isVisible, ordered, type RowChange } from './changes.ts';
import { watchedColumns } from './columns.ts';
import { Labels, namingColumns } from './labels.ts';
import { follow, joinWanted, Mirror, readSchema } from './server.ts';
import { findTable } from './snapshot.ts';
import { type Context, openSession, type Source } from './source.ts';
import { tell } from './tell.ts';

/** Tells changes as they come, until the user or the server has enough. */
export async function watch(source: Source, words: readonly string[], context: Context): Promise<number> {
  if (source.kind === 'file')
    throw new WeftError('bad-option', 'weft db watch takes a server, not a file', {
      remedy: '"weft db diff FILE TIME" compares a file with what it was',
    });
  const { options, interrupted, io, clock } = context;
  const session = await openSession(source.connector, context);
  try {
    const schema = await readSchema(session, options.database);
    const tables =
      words.length === 0 ? [...schema.tables.values()] : words.map((word) => findTable(schema, word));
    const choice = new Map(tables.map((table) => [table.name, watchedColumns(table, options.columns)]));
    const columns: ColumnChoice = (table) => choice.get(table.name) ?? [];
    const wanted = joinWanted(choice, namingColumns(schema, tables, tables.flatMap(columns)));
    const mirror = new Mirror(schema, wanted);
    const report = (all: readonly RowChange[], changes: readonly RowChange[]): void => {
      const names = { old: new Labels(mirror.snapshot, all), now: new Labels(mirror.snapshot) };
      tell(ordered(changes), { columns, ...names }, clock.wall(), context);
    };
    let left = options.count;
    const ended = new Promise<void>((resolve, reject) => {
      session.onLost = reject;
      const onUpdate = (updates: Json): void => {
        const all = mirror.apply(updates);
        const changes = all.filter((c) => choice.has(c.table.name) && isVisible(c, columns(c.table)));
        if (changes.length === 0 || left <= 0) return;
        report(all, changes);
        left--;
        if (left <= 0) resolve();
      };
      follow(session, schema, wanted, onUpdate).then((first) => {
        const all = mirror.apply(first);
        if (options.initial)
          report(
            all,
            all.filter((c) => choice.has(c.table.name)),
          );
        if (!options.json) io.err(`watching ${schema.name} at ${session.name}\n`);
      }, reject);
    });
    await Promise.race([ended, interrupted]);
    return EXIT.ok;
  } finally {
    session.close();
  }
}
