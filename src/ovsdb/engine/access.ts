/**
 * Role-based access control (ovsdb-server(7), "Role-Based Access Control"): a client that comes over a
 * remote with a role may write only what the role's rows in the tables `RBAC_Role` and
 * `RBAC_Permission` of the same database allow, row by row, judged by the name in its certificate.
 */
import { OvsdbError } from '../error.ts';
import type { Column } from '../schema/schema.ts';
import type { Condition } from './condition.ts';
import type { Database } from './database.ts';
import type { Fields, Table } from './table.ts';

/** Who a client is. */
export interface Principal {
  /** Empty for a client that may do everything. */
  readonly role: string;
  /** The common name in its certificate; undefined if it showed none. */
  readonly id: string | undefined;
}

interface Permission {
  /** Columns, or `column:key` of maps, one of which must hold the client's id; "" lets everybody. */
  readonly authorization: readonly string[];
  readonly insertDelete: boolean;
  readonly update: ReadonlySet<string>;
}

function strings(table: Table, fields: Fields, name: string): readonly string[] {
  const column = table.schema.columns.get(name);
  if (column === undefined || column.type.key.type !== 'string') return [];
  return fields[column.index].keys as readonly string[];
}

/** What one client may do with one database. */
export class Access {
  readonly #db: Database;
  readonly #principal: Principal;

  /** Undefined if the client is not restricted: it has no role, or the database knows no roles. */
  static of(db: Database, principal: Principal | undefined): Access | undefined {
    if (principal === undefined || principal.role === '' || !db.tables.has('RBAC_Role')) return undefined;
    return new Access(db, principal);
  }

  private constructor(db: Database, principal: Principal) {
    this.#db = db;
    this.#principal = principal;
  }

  #denied(what: string, table: Table): OvsdbError {
    const { id, role } = this.#principal;
    return new OvsdbError(
      'permission error',
      `RBAC rules for client "${id ?? ''}" role "${role}" prohibit ${what} table "${table.name}".`,
    );
  }

  #permission(table: Table): Permission | undefined {
    const roles = this.#db.table('RBAC_Role');
    const column = roles.schema.columns.get('permissions');
    const target = this.#db.tables.get('RBAC_Permission');
    if (column === undefined || target === undefined) return undefined;
    for (const { fields } of roles.rows.values()) {
      if (!strings(roles, fields, 'name').includes(this.#principal.role)) continue;
      const datum = fields[column.index];
      const at = datum.find(table.name);
      const row = at < 0 ? undefined : target.rows.get(String(datum.values?.[at]));
      if (row === undefined) return undefined;
      const insertDelete = target.schema.columns.get('insert_delete');
      return {
        authorization: strings(target, row.fields, 'authorization'),
        insertDelete: insertDelete !== undefined && row.fields[insertDelete.index].keys[0] === true,
        update: new Set(strings(target, row.fields, 'update')),
      };
    }
    return undefined;
  }

  #authorized({ authorization }: Permission, table: Table, fields: Fields): boolean {
    const { id } = this.#principal;
    if (id === undefined) return false;
    return authorization.some((name) => {
      if (name === '') return true;
      const [columnName, key] = name.split(':');
      const column = table.schema.columns.get(columnName);
      if (column === undefined) return false;
      const datum = fields[column.index];
      if (key === undefined) return datum.keys[0] === id;
      const at = datum.find(key);
      return at >= 0 && datum.values?.[at] === id;
    });
  }

  checkInsert(table: Table, fields: Fields): void {
    const permission = this.#permission(table);
    if (permission?.insertDelete && this.#authorized(permission, table, fields)) return;
    throw this.#denied('row insertion into', table);
  }

  checkDelete(table: Table, condition: Condition): void {
    const permission = this.#permission(table);
    const allowed = (fields: Fields): boolean =>
      permission?.insertDelete === true && this.#authorized(permission, table, fields);
    this.#checkRows(table, condition, permission !== undefined, allowed, 'row deletion from');
  }

  /** @param what how the error names the operation: "modification of" or "mutate operation on" */
  checkChange(table: Table, condition: Condition, columns: readonly Column[], what: string): void {
    const permission = this.#permission(table);
    const allowed = (fields: Fields): boolean =>
      permission !== undefined &&
      columns.every((c) => permission.update.has(c.name)) &&
      this.#authorized(permission, table, fields);
    this.#checkRows(table, condition, permission !== undefined, allowed, what);
  }

  #checkRows(
    table: Table,
    condition: Condition,
    known: boolean,
    allowed: (fields: Fields) => boolean,
    what: string,
  ): void {
    let good = known;
    condition.select(table, (row) => {
      good &&= allowed(row.fields);
      return good;
    });
    if (!good) throw this.#denied(what, table);
  }
}
