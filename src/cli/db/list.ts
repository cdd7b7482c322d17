/** What a database holds: as a tree, by tables, by rows. */
import {
  type Column,
  type DatabaseSchema,
  type TableSchema,
  UUID_COLUMN,
} from '../../ovsdb/schema/schema.ts';
import { EXIT } from '../command.ts';
import { cellJson, cellText } from './cell.ts';
import { listColumns, namedColumns, recordColumns } from './columns.ts';
import { findRows, Labels, labelOf, namingColumns } from './labels.ts';
import { recordText, shorten, tableText } from './layout.ts';
import { joinWanted, type Wanted } from './server.ts';
import { findTable, NO_ROWS, type Rows, tablesOf } from './snapshot.ts';
import { type Context, everything, type Options, read, type Source } from './source.ts';
import { printJson } from './tell.ts';
import { Tree } from './tree.ts';

/** The tree of a database. */
export async function show(source: Source, context: Context): Promise<number> {
  const tree = new Tree(await read(source, context, everything));
  if (context.options.json) printJson(context.io, tree.json());
  else context.io.out(tree.text());
  return EXIT.ok;
}

/** How many rows each table has. */
async function listTables(source: Source, context: Context): Promise<number> {
  const counted = (schema: DatabaseSchema): Wanted =>
    new Map([...schema.tables.values()].map(({ name, list }) => [name, [list[UUID_COLUMN]]]));
  const { schema, tables } = await read(source, context, counted);
  const counts = tablesOf(schema).map(({ name }) => [name, (tables.get(name) ?? NO_ROWS).size] as const);
  if (context.options.json) for (const [table, rows] of counts) printJson(context.io, { table, rows });
  else
    context.io.out(
      tableText(
        ['table', 'rows'],
        counts.map(([name, rows]) => [name, String(rows)]),
      ),
    );
  return EXIT.ok;
}

/** A table, or some rows of it, each by itself. */
export async function list(
  source: Source,
  [word, ...rowWords]: readonly string[],
  context: Context,
): Promise<number> {
  if (word === undefined) return listTables(source, context);
  const { options, io } = context;
  const snapshot = await read(source, context, (schema) => {
    const table = findTable(schema, word);
    return joinWanted(namingColumns(schema, [table], table.list), new Map([[table.name, table.list]]));
  });
  const table = findTable(snapshot.schema, word);
  const labels = new Labels(snapshot);
  const rows = new Map(
    findRows(snapshot, table, rowWords).map((uuid) => [uuid, snapshot.tables.get(table.name)!.get(uuid)!]),
  );
  if (options.json) {
    const all = options.columns.names === undefined ? table.list : namedColumns(table, options.columns.names);
    for (const fields of sorted(table, rows).values())
      printJson(
        io,
        Object.fromEntries(
          all.flatMap(({ name, index, type }) =>
            name === '_version' ? [] : [[name, cellJson(fields[index], type, labels)]],
          ),
        ),
      );
    return EXIT.ok;
  }
  if (rowWords.length > 0) io.out(records(table, rows, options, labels));
  else if (rows.size === 0) io.out(`${table.name}: no rows\n`);
  else {
    const columns = listColumns(table, rows, options.columns);
    const text = (uuid: string, { index, type }: Column): string =>
      cellText(rows.get(uuid)![index], type, labels);
    const cells = [...sorted(table, rows).keys()].map((uuid) =>
      columns.map((column) =>
        options.wide || column.index === UUID_COLUMN ? text(uuid, column) : shorten(text(uuid, column)),
      ),
    );
    io.out(
      tableText(
        columns.map((c) => c.name),
        cells,
      ),
    );
  }
  return EXIT.ok;
}

/** By name, numbers in names by their value. */
function sorted(table: TableSchema, rows: Rows): Rows {
  const order = new Intl.Collator('en', { numeric: true });
  return new Map(
    [...rows].sort(
      ([a, fa], [b, fb]) => order.compare(labelOf(table, a, fa), labelOf(table, b, fb)) || (a < b ? -1 : 1),
    ),
  );
}

function records(table: TableSchema, rows: Rows, options: Options, labels: Labels): string {
  return [...rows]
    .map(([uuid, fields]) => {
      const columns = recordColumns(table, new Map([[uuid, fields]]), options.columns);
      return recordText(
        columns.map(({ name, index, type }) => [name, cellText(fields[index], type, labels)]),
      );
    })
    .join('\n');
}
