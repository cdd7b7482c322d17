/** Which columns of a table people want to see. */
import { isDefaultDatum } from '../../ovsdb/data/datum.ts';
import { type Column, type TableSchema, UUID_COLUMN, VERSION_COLUMN } from '../../ovsdb/schema/schema.ts';
import { labelColumn } from './labels.ts';
import { findColumn, type Rows } from './snapshot.ts';

/** What matters most in the tables of Open vSwitch and OVN; the others tell by their values. */
const CHOSEN: Readonly<Record<string, readonly string[]>> = {
  Open_vSwitch: ['ovs_version', 'bridges', 'manager_options', 'next_cfg', 'cur_cfg', 'external_ids'],
  Bridge: ['name', 'datapath_type', 'fail_mode', 'controller', 'protocols', 'ports'],
  Port: ['name', 'vlan_mode', 'tag', 'trunks', 'bond_mode', 'interfaces'],
  Interface: ['name', 'type', 'ofport', 'admin_state', 'link_state', 'mac_in_use', 'mtu', 'options', 'error'],
  Controller: ['target', 'is_connected', 'role', 'status'],
  Manager: ['target', 'is_connected', 'status'],
  Logical_Switch: ['name', 'ports', 'other_config', 'external_ids'],
  Logical_Switch_Port: ['name', 'type', 'addresses', 'up', 'options', 'tag'],
  Logical_Router: ['name', 'ports', 'options'],
  Logical_Router_Port: ['name', 'mac', 'networks', 'peer'],
  Chassis: ['name', 'hostname', 'encaps'],
  Port_Binding: ['logical_port', 'type', 'chassis', 'datapath', 'tunnel_key', 'mac', 'up'],
  Database: ['name', 'model', 'connected', 'leader'],
};

export interface ColumnRequest {
  /** By name; undefined: those that matter. */
  readonly names: readonly string[] | undefined;
  /** Every column there is. */
  readonly all: boolean;
}

/** Whether some row has something there. */
function isUsed(column: Column, rows: Rows): boolean {
  for (const fields of rows.values()) if (!isDefaultDatum(fields[column.index], column.type)) return true;
  return false;
}

/** In the order of their names: servers give them in any. */
const ownColumns = (table: TableSchema): readonly Column[] =>
  table.list.slice(VERSION_COLUMN + 1).sort((a, b) => (a.name < b.name ? -1 : 1));

/** The name of the rows stands first. */
function labelFirst(table: TableSchema, columns: readonly Column[]): readonly Column[] {
  const label = labelColumn(table);
  return label !== undefined && columns.includes(label)
    ? [label, ...columns.filter((c) => c !== label)]
    : columns;
}

/** The columns that were asked for by name. Throws `WeftError` "no-such-column". */
export function namedColumns(table: TableSchema, names: readonly string[]): readonly Column[] {
  return [...new Set(names.map((name) => findColumn(table, name)))];
}

/** For a table of rows. */
export function listColumns(
  table: TableSchema,
  rows: Rows,
  { names, all }: ColumnRequest,
): readonly Column[] {
  if (names !== undefined) return namedColumns(table, names);
  if (all) return [table.list[UUID_COLUMN], ...labelFirst(table, ownColumns(table))];
  const chosen = CHOSEN[table.name]?.flatMap((name) => table.columns.get(name) ?? []) ?? [];
  const candidates =
    chosen.length > 0
      ? chosen
      : labelFirst(
          table,
          ownColumns(table).filter((c) => c.persistent),
        );
  const used = candidates.filter((column) => isUsed(column, rows));
  if (used.length > 0) return used;
  return candidates.length > 0 ? candidates.slice(0, 1) : [table.list[UUID_COLUMN]];
}

/** For one row by itself: all that it has. */
export function recordColumns(table: TableSchema, rows: Rows, request: ColumnRequest): readonly Column[] {
  if (request.names !== undefined || request.all) return listColumns(table, rows, request);
  return [table.list[UUID_COLUMN], ...labelFirst(table, ownColumns(table)).filter((c) => isUsed(c, rows))];
}

/**
 * For changes: what is configured, and of what is merely reported that which matters. Statistics change every few
 * seconds, and nobody could see anything else.
 */
export function watchedColumns(table: TableSchema, { names, all }: ColumnRequest): readonly Column[] {
  if (names !== undefined) return namedColumns(table, names);
  const own = labelFirst(table, ownColumns(table));
  return all ? own : own.filter((c) => c.persistent || CHOSEN[table.name]?.includes(c.name));
}

/** For the tree: what matters and is no reference, beside the name. */
export function treeColumns(table: TableSchema): readonly Column[] {
  const chosen = CHOSEN[table.name]?.flatMap((name) => table.columns.get(name) ?? []);
  const candidates = chosen ?? ownColumns(table).filter((c) => c.persistent && c.type.max === 1);
  return candidates.filter(
    ({ type }) => type.key.refTable === null && (type.value?.refTable ?? null) === null,
  );
}
