import { compareDatums, datumEquals, datumToText } from '../data/datum.ts';
import { constraintViolation, type OvsdbError } from '../error.ts';
import { byCodePoint } from '../json.ts';
import { type Column, UUID_COLUMN, VERSION_COLUMN } from '../schema/schema.ts';
import type { Fields, Row } from './table.ts';

/** "a", "a and b", "a, b, and c". */
function englishList(parts: readonly string[]): string {
  if (parts.length < 3) return parts.join(' and ');
  return `${parts.slice(0, -1).join(', ')}, and ${parts.at(-1)}`;
}

function columnsText(fields: Fields, columns: readonly Column[]): string {
  return englishList(columns.map((c) => datumToText(fields[c.index], c.type)));
}

function story(title: string, row: Row, index: readonly Column[]): string {
  const start = `${title} row, with UUID ${row.uuid}, `;
  const change = row.pending;
  if (change === null || (change.old !== null && !change.columns.some((c) => c))) {
    return `${start}existed in the database before this transaction and was not modified by the transaction.`;
  }
  const { old } = change;
  if (old === null) return `${start}was inserted by this transaction.`;
  if (index.every((c) => datumEquals(old.fields[c.index], row.fields[c.index]))) {
    return `${start}existed in the database before this transaction, which modified some of the row's columns but not any columns in this index.`;
  }
  return `${start}had the following index values before the transaction: ${columnsText(old.fields, index)}.`;
}

/** Orders two rows by their contents, for messages that do not depend on chance. */
function compareRows(a: Row, b: Row): number {
  const columns = a.table.schema.list.slice(VERSION_COLUMN + 1).sort((x, y) => byCodePoint(x.name, y.name));
  for (const column of [...columns, a.table.schema.list[UUID_COLUMN]]) {
    const c = compareDatums(a.fields[column.index], b.fields[column.index]);
    if (c !== 0) return c;
  }
  return 0;
}

/** Two rows would share the values of a unique index. */
export function duplicateIndexError(index: readonly Column[], a: Row, b: Row): OvsdbError {
  const [first, second] = compareRows(a, b) < 0 ? [b, a] : [a, b];
  const names = `column${index.length > 1 ? 's' : ''} ${englishList(index.map((c) => `"${c.name}"`))}`;
  return constraintViolation(
    `Transaction causes multiple rows in "${first.table.name}" table to have identical values (${columnsText(first.fields, index)}) for index on ${names}.  ${story('First', first, index)}  ${story('Second', second, index)}`,
  );
}
