/**
 * # Remotes
 *
 * Where a server listens and whom it connects to. A remote is a connection method such as
 * `ptcp:6640` or `unix:/run/other.sock`, or `db:DB,TABLE,COLUMN`: then the methods stand in a column of
 * the database, as strings, or as references to rows that have a `target` column and options, as the
 * `Manager` table has them. Those rows get the state of their connections written back.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { Datum, datumEquals, EMPTY, scalar, sortedDatum } from '../data/datum.ts';
import type { Row, Table } from '../engine/table.ts';
import { type CommittedChange, Transaction } from '../engine/transaction.ts';
import { OvsdbError } from '../error.ts';
import type { Column } from '../schema/schema.ts';
import { Remote, type RemoteOptions, type Transports } from './remote.ts';
import type { Server } from './server.ts';

const DEFAULT_PROBE_MS = 5000;
const DEFAULT_MAX_BACKOFF_MS = 8000;

interface DatabaseColumn {
  readonly table: Table;
  readonly column: Column;
}

/** All remotes of a server. `refresh` is called when the databases or the names may have changed. */
export class Remotes {
  readonly #server: Server;
  readonly #transports: Transports;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #log: ModuleLog;
  readonly #rareLog: ModuleLog;
  /** Failing attempts are repeated, their messages need not be. */
  readonly #openLog: ModuleLog;
  readonly #names = new Set<string>();
  readonly #remotes = new Map<string, Remote>();
  /** Targets that could not be opened, and why; they are tried again now and then. */
  readonly #failed = new Map<string, string>();
  /** Names of the tables that the remotes were last found in. */
  readonly #tables = new Set<string>();
  /** Some remote was in no table: that table may yet come. */
  #unresolved = false;
  #lastErrors = '';

  constructor(server: Server, transports: Transports, clock: Clock, log: Logger) {
    this.#server = server;
    this.#transports = transports;
    this.#clock = clock;
    this.#logger = log;
    this.#log = log.module('ovsdb_server');
    this.#rareLog = this.#log.limited(1, 1);
    this.#openLog = log.module('ovsdb_jsonrpc_server').limited(1, 5);
  }

  /** The names as configured, in order. */
  get names(): string[] {
    return [...this.#names].sort();
  }

  /** Adds a remote. Throws if it names a column that does not exist. */
  add(name: string): void {
    if (name.startsWith('db:')) this.#column(name);
    this.#names.add(name);
  }

  /** Adds a remote that need not make sense yet; `refresh` reports what does not. */
  addUnchecked(name: string): void {
    this.#names.add(name);
  }

  remove(name: string): boolean {
    return this.#names.delete(name);
  }

  /** Finds what `db:DB,TABLE,COLUMN` names. */
  #column(name: string): DatabaseColumn {
    const [dbName, tableName, columnName] = name.slice('db:'.length).split(',');
    const wrong = (what: string): OvsdbError => new OvsdbError('ovsdb error', `"${name}": ${what}`);
    if (!dbName || !tableName || !columnName) throw wrong('invalid syntax');
    const db = this.#server.databases.get(dbName);
    if (db === undefined) throw wrong(`no database named ${dbName}`);
    const table = db.tables.get(tableName);
    if (table === undefined) throw wrong(`no table named ${tableName}`);
    const column = table.schema.columns.get(columnName);
    if (column === undefined) throw wrong(`table "${tableName}" has no column "${columnName}"`);
    return { table, column };
  }

  /** The first string that is not empty in the column that `name` ("db:DB,TABLE,COLUMN") names. */
  firstString(name: string): string | undefined {
    const { table, column } = this.#column(name);
    for (const { fields } of table.rows.values()) {
      for (const key of fields[column.index].keys) if (typeof key === 'string' && key !== '') return key;
    }
    return undefined;
  }

  #defaults(target: string): RemoteOptions {
    return {
      probeInterval: this.#transports.needsProbes(target) ? DEFAULT_PROBE_MS : 0,
      maxBackoff: DEFAULT_MAX_BACKOFF_MS,
      readOnly: false,
      role: '',
      dscp: undefined,
    };
  }

  /** Whether these changes may be such that `refresh` finds something else. */
  concern(changes: readonly CommittedChange[]): boolean {
    if (this.#unresolved) return true;
    for (const { table } of changes) if (this.#tables.has(table.name)) return true;
    return false;
  }

  #resolve(errors: string[]): Map<string, RemoteOptions> {
    this.#tables.clear();
    const wanted = new Map<string, RemoteOptions>();
    for (const name of this.#names) {
      if (!name.startsWith('db:')) {
        wanted.set(name, this.#defaults(name));
        continue;
      }
      try {
        this.#resolveColumn(this.#column(name), wanted);
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error;
        errors.push(error.details ?? error.message);
      }
    }
    this.#unresolved = errors.length > 0;
    return wanted;
  }

  #resolveColumn({ table, column }: DatabaseColumn, wanted: Map<string, RemoteOptions>): void {
    this.#tables.add(table.name);
    if (column.type.value !== null) return;
    if (column.type.key.refTable !== null) this.#tables.add(column.type.key.refTable);
    if (column.type.key.type === 'string') {
      for (const { fields } of table.rows.values()) {
        for (const target of fields[column.index].keys as readonly string[]) {
          if (target !== '' && !wanted.has(target)) wanted.set(target, this.#defaults(target));
        }
      }
      return;
    }
    for (const row of this.#referenced(table, column)) {
      const target = readString(row, 'target');
      if (target === undefined || target === '') {
        this.#rareLog.info(`Table \`${row.table.name}' has missing or invalid \`target' column`);
        continue;
      }
      wanted.set(target, this.#rowOptions(row, target));
    }
  }

  #rowOptions(row: Row, target: string): RemoteOptions {
    const options = this.#defaults(target);
    options.maxBackoff = readInteger(row, 'max_backoff') ?? options.maxBackoff;
    options.probeInterval = readInteger(row, 'inactivity_probe') ?? options.probeInterval;
    options.readOnly = readBoolean(row, 'read_only') ?? options.readOnly;
    options.role = readString(row, 'role') ?? options.role;
    const dscp = Number(readMap(row, 'other_config', 'dscp') ?? Number.NaN);
    if (Number.isInteger(dscp) && dscp >= 0 && dscp <= 63) options.dscp = dscp;
    return options;
  }

  *#referenced(table: Table, column: Column): Iterable<Row> {
    const { refTable } = column.type.key;
    if (column.type.value !== null || refTable === null) return;
    const db = [...this.#server.databases.values()].find((d) => d.tables.get(table.name) === table);
    const target = db?.tables.get(refTable);
    if (target === undefined) return;
    for (const { fields } of table.rows.values()) {
      for (const uuid of fields[column.index].keys as readonly string[]) {
        const row = target.rows.get(uuid);
        if (row !== undefined) yield row;
      }
    }
  }

  /**
   * Brings the open connections in line with what is configured. Resolves, when all new listeners
   * listen, to what is wrong with the configuration, one line for each complaint.
   */
  async refresh(): Promise<string[]> {
    const errors: string[] = [];
    const wanted = this.#resolve(errors);
    for (const [target, remote] of this.#remotes) {
      const options = wanted.get(target);
      if (options === undefined) {
        this.#logger.module('ovsdb_jsonrpc_server').info(`${target}: remote deconfigured`);
        remote.close();
        this.#remotes.delete(target);
      } else if (options.dscp !== remote.options.dscp || options.role !== remote.options.role) {
        remote.close();
        this.#remotes.delete(target);
      } else {
        remote.options = options;
      }
    }
    for (const target of [...this.#failed.keys()]) if (!wanted.has(target)) this.#failed.delete(target);
    const opening: Promise<void>[] = [];
    for (const [target, options] of wanted) {
      if (!this.#remotes.has(target) && !this.#failed.has(target)) opening.push(this.#open(target, options));
    }
    await Promise.all(opening);
    return errors;
  }

  async #open(target: string, options: RemoteOptions): Promise<void> {
    if (this.#transports.kind(target) === 'unknown') {
      this.#failed.set(target, 'unknown connection method');
      this.#openLog.err(`${target}: listen failed: Address family not supported by protocol`);
      return;
    }
    const remote = new Remote(target, options, this.#server, this.#transports, this.#clock, this.#logger);
    this.#remotes.set(target, remote);
    const problem = await remote.ready;
    if (problem === undefined || this.#remotes.get(target) !== remote) return;
    this.#remotes.delete(target);
    this.#failed.set(target, problem);
    this.#openLog.err(`${target}: listen failed: ${problem}`);
  }

  /** Lets `refresh` try again what failed. */
  retryFailed(): void {
    this.#failed.clear();
  }

  /** Logs complaints of `refresh` once, not each time. */
  report(errors: readonly string[]): void {
    const text = errors.join('\n');
    if (text !== '' && text !== this.#lastErrors) for (const error of errors) this.#log.warn(error);
    this.#lastErrors = text;
  }

  /** Writes the state of connections into the rows that configured them. */
  writeStatus(): void {
    for (const name of this.#names) {
      if (!name.startsWith('db:')) continue;
      try {
        const { table, column } = this.#column(name);
        const rows = [...this.#referenced(table, column)];
        if (rows.length === 0) continue;
        const db = [...this.#server.databases.values()].find((d) => d.tables.get(table.name) === table);
        if (db === undefined) continue;
        const transaction = new Transaction(db);
        for (const row of rows) this.#writeRow(transaction, row);
        this.#server.commit(transaction);
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error;
        this.#rareLog.dbg(`remote status not updated: ${error.message}`);
      }
    }
  }

  #writeRow(transaction: Transaction, row: Row): void {
    const target = readString(row, 'target');
    if (target === undefined) return;
    const remote = this.#remotes.get(target);
    const write = (name: string, datum: Datum): void => {
      const column = row.table.schema.columns.get(name);
      if (column === undefined || datumEquals(row.fields[column.index], datum)) return;
      transaction.modify(row.table.rows.get(row.uuid) ?? row).fields[column.index] = datum;
    };
    write('is_connected', scalar(remote?.connected ?? false));
    const status = remote?.status() ?? new Map<string, string>();
    const column = row.table.schema.columns.get('status');
    if (column !== undefined && column.type.value !== null) {
      write(
        'status',
        status.size === 0 ? new Datum([], []) : sortedDatum([...status.keys()], [...status.values()]),
      );
    }
  }

  close(): void {
    for (const remote of this.#remotes.values()) remote.close();
    this.#remotes.clear();
  }
}

function read(row: Row, name: string): Datum {
  const column = row.table.schema.columns.get(name);
  return column === undefined ? EMPTY : row.fields[column.index];
}

function readString(row: Row, name: string): string | undefined {
  const [value] = read(row, name).keys;
  return typeof value === 'string' ? value : undefined;
}

function readInteger(row: Row, name: string): number | undefined {
  const [value] = read(row, name).keys;
  return typeof value === 'number' ? value : undefined;
}

function readBoolean(row: Row, name: string): boolean | undefined {
  const [value] = read(row, name).keys;
  return typeof value === 'boolean' ? value : undefined;
}

function readMap(row: Row, name: string, key: string): string | undefined {
  const datum = read(row, name);
  const at = datum.values === null ? -1 : datum.find(key);
  return at < 0 ? undefined : String(datum.values![at]);
}
