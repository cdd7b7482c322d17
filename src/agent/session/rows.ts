/** What the controller has told, row by row; checked as it comes in, since it came over a network. */
import { WeftError } from '../../base/errors.ts';
import { MAX_LABEL, STAGES, type Stage } from '../../logical/layout.ts';
import type { Update } from '../../logical/protocol.ts';
import {
  AGENT_TABLES,
  type AgentRows,
  type AgentTableName,
  type AgentTables,
  type TunnelTo,
} from '../../logical/universal.ts';
import type { Json } from '../../ovsdb/index.ts';

type Fields = { readonly [name: string]: Json };

function refuse(where: string, what: string): never {
  throw new WeftError('bad-controller-message', `${where}: ${what}`, {
    remedy: 'agent and controller must be of versions that fit together',
  });
}

function fieldsOf(value: Json | undefined, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(where, 'is no object');
  return value as Fields;
}

function text(fields: Fields, name: string, where: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (typeof value !== 'string') refuse(`${where}.${name}`, 'is no text');
  return value;
}

function integer(fields: Fields, name: string, where: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
    refuse(`${where}.${name}`, `is no integer from 0 to ${max}`);
  return value;
}

const STAGE_NAMES: ReadonlySet<string> = new Set(STAGES);
const ENCAPSULATIONS: ReadonlySet<string> = new Set(['geneve', 'vxlan', 'gre']);

/** Readers of one row each; the order of the members is the same in all rows of a table. */
const READERS: { readonly [T in AgentTableName]: (f: Fields, where: string) => AgentTables[T] } = {
  flow: (f, where) => {
    const stage = text(f, 'stage', where);
    if (!STAGE_NAMES.has(stage)) refuse(`${where}.stage`, `"${stage}" is no stage`);
    return {
      datapath: integer(f, 'datapath', where, MAX_LABEL),
      stage: stage as Stage,
      priority: integer(f, 'priority', where, 0xffff),
      match: text(f, 'match', where),
      actions: text(f, 'actions', where),
      origin: text(f, 'origin', where),
    };
  },
  placement: (f, where) => ({
    port: integer(f, 'port', where, MAX_LABEL),
    datapath: integer(f, 'datapath', where, MAX_LABEL),
    vif: text(f, 'vif', where),
    node: text(f, 'node', where),
  }),
  tunnel: (f, where) => {
    const encapsulation = text(f, 'encapsulation', where);
    if (!ENCAPSULATIONS.has(encapsulation)) refuse(`${where}.encapsulation`, `"${encapsulation}" is none`);
    return {
      node: text(f, 'node', where),
      encapsulation: encapsulation as TunnelTo['encapsulation'],
      address: text(f, 'address', where),
    };
  },
  rate: (f, where) => ({
    port: integer(f, 'port', where, MAX_LABEL),
    rate: integer(f, 'rate', where, 0xffff_ffff),
    burst: integer(f, 'burst', where, 0xffff_ffff),
  }),
};

function readTable<T extends AgentTableName>(
  table: T,
  value: Json | undefined,
  where: string,
): AgentTables[T][] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) refuse(where, 'is no list');
  return (value as readonly Json[]).map((row, i) =>
    READERS[table](fieldsOf(row, `${where}[${i}]`), `${where}[${i}]`),
  );
}

type Rows = { readonly [T in AgentTableName]: AgentTables[T][] };

/** @throws WeftError `bad-controller-message` */
export function parseRows(value: Json | undefined, where: string): Rows {
  const fields = fieldsOf(value, where);
  const of = <T extends AgentTableName>(table: T): AgentTables[T][] =>
    readTable(table, Object.hasOwn(fields, table) ? fields[table] : undefined, `${where}.${table}`);
  return { flow: of('flow'), placement: of('placement'), tunnel: of('tunnel'), rate: of('rate') };
}

/** @throws WeftError `bad-controller-message` */
export function parseUpdate(value: Json | undefined): Update {
  const fields = fieldsOf(value, 'update');
  return {
    revision: integer(fields, 'revision', 'update'),
    reset: fields.reset === true,
    insert: parseRows(fields.insert, 'update.insert'),
    delete: parseRows(fields.delete, 'update.delete'),
  };
}

/** The rows that the agent has, and what an update really changes of them. */
export class RowStore {
  readonly #tables: { readonly [T in AgentTableName]: Map<string, AgentTables[T]> } = {
    flow: new Map(),
    placement: new Map(),
    tunnel: new Map(),
    rate: new Map(),
  };

  table<T extends AgentTableName>(name: T): Iterable<AgentTables[T]> {
    return this.#tables[name].values();
  }

  /** All rows, as one update would bring them. */
  all(): Rows {
    return {
      flow: [...this.table('flow')],
      placement: [...this.table('placement')],
      tunnel: [...this.table('tunnel')],
      rate: [...this.table('rate')],
    };
  }

  /** Takes an update over. Rows that are there already, or are not there, count for nothing. */
  apply(update: Pick<Update, 'reset' | 'insert' | 'delete'>): { insert: AgentRows; delete: AgentRows } {
    const insert: { [T in AgentTableName]?: unknown[] } = {};
    const gone: { [T in AgentTableName]?: unknown[] } = {};
    for (const table of AGENT_TABLES) {
      const changed = this.#change(table, update);
      insert[table] = changed.insert;
      gone[table] = changed.delete;
    }
    return { insert: insert as AgentRows, delete: gone as AgentRows };
  }

  #change<T extends AgentTableName>(
    table: T,
    { reset, insert, delete: gone }: Pick<Update, 'reset' | 'insert' | 'delete'>,
  ): { insert: AgentTables[T][]; delete: AgentTables[T][] } {
    const rows = this.#tables[table];
    const news = new Map((insert[table] ?? []).map((row) => [JSON.stringify(row), row as AgentTables[T]]));
    const deleted: AgentTables[T][] = [];
    const ends: Iterable<string> = reset
      ? [...rows.keys()]
      : (gone[table] ?? []).map((row) => JSON.stringify(row));
    for (const key of ends) {
      const row = rows.get(key);
      if (row === undefined || news.has(key)) continue;
      rows.delete(key);
      deleted.push(row);
    }
    const inserted: AgentTables[T][] = [];
    for (const [key, row] of news) {
      if (rows.has(key)) continue;
      rows.set(key, row);
      inserted.push(row);
    }
    return { insert: inserted, delete: deleted };
  }
}
