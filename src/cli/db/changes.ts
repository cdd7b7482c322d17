/** What differs between two states of a row or of a database, and how that is told. */
import type { Atom } from '../../ovsdb/data/atom.ts';
import { Datum, datumEquals, isDefaultDatum } from '../../ovsdb/data/datum.ts';
import { diffDatums } from '../../ovsdb/data/diff.ts';
import type { JsonObject } from '../../ovsdb/json.ts';
import type { Column, TableSchema } from '../../ovsdb/schema/schema.ts';
import { cellJson, cellText, elementTexts, printable } from './cell.ts';
import { type Labels, labelColumn, labelOf } from './labels.ts';
import { type Fields, NO_ROWS, type Snapshot, tablesOf } from './snapshot.ts';

/** A row that came (no `before`), went (no `after`), or changed. */
export interface RowChange {
  readonly table: TableSchema;
  readonly uuid: string;
  readonly before: Fields | undefined;
  readonly after: Fields | undefined;
}

export type ColumnChoice = (table: TableSchema) => readonly Column[];

/** The columns in which a change shows: of a row that comes or goes, those that hold something. */
function shown({ before, after }: RowChange, columns: readonly Column[]): readonly Column[] {
  return columns.filter(({ index, type }) => {
    if (before !== undefined && after !== undefined) return !datumEquals(before[index], after[index]);
    return !isDefaultDatum((after ?? before)![index], type);
  });
}

/** Whether anything of a change is to be seen in these columns. */
export function isVisible(change: RowChange, columns: readonly Column[]): boolean {
  return change.before === undefined || change.after === undefined || shown(change, columns).length > 0;
}

/** By table and name. */
export function ordered(changes: readonly RowChange[]): RowChange[] {
  const key = ({ table, uuid, before, after }: RowChange): string =>
    `${table.name} ${labelOf(table, uuid, after ?? before)}`;
  return changes
    .map((change) => ({ change, key: key(change) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ change }) => change);
}

/** All rows that differ, by table and name. */
export function differences(from: Snapshot, to: Snapshot): RowChange[] {
  const found: RowChange[] = [];
  for (const table of tablesOf(to.schema)) {
    const [old, now] = [from, to].map(({ tables }) => tables.get(table.name) ?? NO_ROWS);
    for (const uuid of new Set([...old.keys(), ...now.keys()])) {
      const [before, after] = [old.get(uuid), now.get(uuid)];
      if (before === after || (before !== undefined && after?.every((d, i) => datumEquals(d, before[i]))))
        continue;
      found.push({ table, uuid, before, after });
    }
  }
  return ordered(found);
}

/** Those elements of `datum` whose keys are in `keys`. */
function part(datum: Datum, keys: Datum): Datum {
  const at = datum.keys.flatMap((key, i) => (keys.find(key) >= 0 ? [i] : []));
  const pick = (atoms: readonly Atom[]): Atom[] => at.map((i) => atoms[i]);
  return new Datum(pick(datum.keys), datum.values === null ? null : pick(datum.values));
}

/** "a -> b"; of sets and maps only what came and went. */
function changeText(before: Datum, after: Datum, { type, name }: Column, old: Labels, now: Labels): string {
  if (type.max === 1) return `${name}: ${cellText(before, type, old)} -> ${cellText(after, type, now)}`;
  const keys = diffDatums(before, after, type);
  const gone = elementTexts(part(before, keys), type, old).map((element) => `-${element}`);
  const come = elementTexts(part(after, keys), type, now).map((element) => `+${element}`);
  return `${name}: ${[...gone, ...come].join(' ')}`;
}

/** Who tells changes, and how. */
export interface Telling {
  readonly columns: ColumnChoice;
  /** Names of rows before and after. */
  readonly old: Labels;
  readonly now: Labels;
}

const SIGNS = { insert: '+', modify: '~', delete: '-' } as const;

export type ChangeKind = keyof typeof SIGNS;

export function kindOf({ before, after }: RowChange): ChangeKind {
  return before === undefined ? 'insert' : after === undefined ? 'delete' : 'modify';
}

/** A change as one line: "+ Bridge br0  fail_mode=secure", "~ Interface p1  mtu: 1500 -> 9000", "- Port p2". */
export function changeLine(change: RowChange, { columns, old, now }: Telling): string {
  const { table, uuid, before, after } = change;
  const name = printable(labelOf(table, uuid, after ?? before));
  const head = `${SIGNS[kindOf(change)]} ${table.name} ${name}`;
  if (after === undefined) return head;
  const label = labelColumn(table);
  const parts = shown(change, columns(table)).flatMap((column) => {
    if (before !== undefined)
      return [changeText(before[column.index], after[column.index], column, old, now)];
    return column === label ? [] : [`${column.name}=${cellText(after[column.index], column.type, now)}`];
  });
  return [head, ...parts].join('  ');
}

export function changeJson(change: RowChange, { columns, old, now }: Telling): JsonObject {
  const { table, uuid, before, after } = change;
  const values = shown(change, columns(table)).map(({ name, index, type }) => {
    const from = before === undefined ? null : cellJson(before[index], type, old);
    const to = after === undefined ? null : cellJson(after[index], type, now);
    return [name, { old: from, new: to }] as const;
  });
  return {
    change: kindOf(change),
    table: table.name,
    _uuid: uuid,
    name: labelOf(table, uuid, after ?? before),
    columns: Object.fromEntries(values),
  };
}
