/** A database as the tree that its references make. */
import { isDefaultDatum } from '../../ovsdb/data/datum.ts';
import type { Json, JsonObject } from '../../ovsdb/json.ts';
import { isStrongRef, type TableSchema } from '../../ovsdb/schema/schema.ts';
import { cellJson, cellText, printable } from './cell.ts';
import { treeColumns } from './columns.ts';
import { Labels, labelColumn, labelOf } from './labels.ts';
import { type Fields, NO_ROWS, type Snapshot, tablesOf } from './snapshot.ts';

interface Child {
  readonly table: TableSchema;
  readonly uuid: string;
  readonly fields: Fields;
}

export class Tree {
  readonly #snapshot: Snapshot;
  readonly #labels: Labels;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.#labels = new Labels(snapshot);
  }

  /** Rows that no other row owns, in the order of their tables. */
  #roots(): Child[] {
    const owned = new Set<string>();
    for (const row of this.#all()) for (const { uuid } of this.#children(row)) owned.add(uuid);
    return this.#all().filter(({ uuid, table }) => table.isRoot && !owned.has(uuid));
  }

  #all(): Child[] {
    return tablesOf(this.#snapshot.schema).flatMap((table) =>
      [...(this.#snapshot.tables.get(table.name) ?? NO_ROWS)].map(([uuid, fields]) => ({
        table,
        uuid,
        fields,
      })),
    );
  }

  /** The rows that a row owns, by table and name. */
  #children({ table, fields }: Child): Child[] {
    const found: Child[] = [];
    for (const { index, type } of table.list) {
      const { keys, values } = fields[index];
      for (const [base, uuids] of [
        [type.key, keys],
        [type.value, values],
      ] as const) {
        const target = isStrongRef(base) ? this.#snapshot.schema.tables.get(base?.refTable ?? '') : undefined;
        if (target === undefined) continue;
        for (const uuid of uuids ?? []) {
          const child = this.#snapshot.tables.get(target.name)?.get(String(uuid));
          if (child !== undefined) found.push({ table: target, uuid: String(uuid), fields: child });
        }
      }
    }
    const name = (row: Child): string => `${row.table.name} ${labelOf(row.table, row.uuid, row.fields)}`;
    return found.sort((a, b) => (name(a) < name(b) ? -1 : 1));
  }

  /** What is said of a row beside its name. */
  #facts({ table, fields }: Child): [string, number][] {
    const label = labelColumn(table);
    return treeColumns(table)
      .filter((column) => column !== label && !isDefaultDatum(fields[column.index], column.type))
      .map(({ name, index }) => [name, index]);
  }

  text(): string {
    const lines: string[] = [];
    const add = (row: Child, indent: string, above: ReadonlySet<string>): void => {
      const { table, uuid, fields } = row;
      const facts = this.#facts(row).map(
        ([name, index]) => `${name}=${cellText(fields[index], table.list[index].type, this.#labels)}`,
      );
      const name = printable(labelOf(table, uuid, fields));
      lines.push(`${indent}${table.name} ${[name, ...facts].join('  ')}`);
      // Rows may refer to each other in circles.
      if (above.has(uuid)) return;
      const path = new Set([...above, uuid]);
      for (const child of this.#children(row)) add(child, `${indent}    `, path);
    };
    for (const root of this.#roots()) add(root, '', new Set());
    return lines.map((line) => `${line}\n`).join('');
  }

  json(): Json {
    const node = (row: Child, above: ReadonlySet<string>): JsonObject => {
      const { table, uuid, fields } = row;
      const facts = this.#facts(row).map(
        ([name, index]) => [name, cellJson(fields[index], table.list[index].type, this.#labels)] as const,
      );
      const path = new Set([...above, uuid]);
      return {
        table: table.name,
        _uuid: uuid,
        name: labelOf(table, uuid, fields),
        columns: Object.fromEntries(facts),
        children: above.has(uuid) ? [] : this.#children(row).map((child) => node(child, path)),
      };
    };
    return this.#roots().map((root) => node(root, new Set()));
  }
}
