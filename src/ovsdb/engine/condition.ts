import type { SymbolTable } from '../data/atom.ts';
import { compareAtoms } from '../data/atom.ts';
import {
  type Datum,
  datumEquals,
  datumFromJson,
  datumKey,
  datumToJson,
  excludesAll,
  includesAll,
} from '../data/datum.ts';
import { type ColumnType, describeType, isOptionalScalar, isScalar, UNLIMITED } from '../data/type.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { isJsonArray, type Json, stringifySorted } from '../json.ts';
import { type Column, type TableSchema, UUID_COLUMN } from '../schema/schema.ts';
import type { Fields, Row, Table } from './table.ts';

type Operator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'includes' | 'excludes';

const OPERATORS = new Set<string>(['==', '!=', '<', '<=', '>', '>=', 'includes', 'excludes']);

/** RFC 7047 `<condition>`, or the constant `true` or `false` that monitors know besides. */
type Clause =
  | { readonly column: Column; readonly operator: Operator; readonly argument: Datum }
  | { readonly constant: boolean };

function parseClause(table: TableSchema, json: Json, symbols: SymbolTable | undefined): Clause {
  if (typeof json === 'boolean') return { constant: json };
  if (!isJsonArray(json) || json.length !== 3 || typeof json[0] !== 'string' || typeof json[1] !== 'string') {
    throw syntaxError(json, 'Parse error in condition.');
  }
  const [name, operator, argument] = json;
  const column = table.columns.get(name);
  if (column === undefined) {
    throw syntaxError(json, `No column ${name} in table ${table.name}.`, 'unknown column');
  }
  if (!OPERATORS.has(operator)) throw new OvsdbError('unknown function', `No function named ${operator}.`);
  return {
    column,
    operator: operator as Operator,
    argument: datumFromJson(argumentType(json, column, operator as Operator), argument, symbols),
  };
}

/** What the operator compares the column with, which need not be a whole column value. */
function argumentType(json: Json, column: Column, operator: Operator): ColumnType {
  const { type } = column;
  switch (operator) {
    case '<':
    case '<=':
    case '>':
    case '>=':
      if (
        !(isScalar(type) || isOptionalScalar(type)) ||
        (type.key.type !== 'integer' && type.key.type !== 'real')
      ) {
        throw syntaxError(
          json,
          `Type mismatch: "${operator}" operator may not be applied to column ${column.name} of type ${describeType(type)}.`,
        );
      }
      return { ...type, min: 1 };
    case 'includes':
      return isScalar(type) ? type : { ...type, min: 0 };
    case 'excludes':
      return isScalar(type) ? type : { ...type, min: 0, max: UNLIMITED };
    default:
      return type;
  }
}

function holds(clause: Clause, fields: Fields): boolean {
  if ('constant' in clause) return clause.constant;
  const { column, operator, argument } = clause;
  const field = fields[column.index];
  switch (operator) {
    case '==':
      return datumEquals(field, argument);
    case '!=':
      return !datumEquals(field, argument);
    case 'includes':
      return includesAll(argument, field);
    case 'excludes':
      return excludesAll(argument, field);
  }
  if (field.n === 0) return false;
  const order = compareAtoms(field.keys[0], argument.keys[0]);
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

/** A list of clauses over one table: all must hold in a `where`, any in a monitor. */
export class Condition {
  readonly #clauses: readonly Clause[];
  /** For monitors of clauses that all are "==": column -> keys of accepted values. */
  #accepted: Map<Column, Set<string>> | null | undefined;

  private constructor(clauses: readonly Clause[]) {
    this.#clauses = clauses;
  }

  static parse(table: TableSchema, json: readonly Json[], symbols?: SymbolTable): Condition {
    return new Condition(json.map((clause) => parseClause(table, clause, symbols)));
  }

  static readonly always: Condition = new Condition([]);

  /** Every clause holds; true if there are none. */
  matchesAll(fields: Fields): boolean {
    for (const clause of this.#clauses) if (!holds(clause, fields)) return false;
    return true;
  }

  /** At least one clause holds, or there are none. */
  matchesAny(fields: Fields): boolean {
    if (this.#clauses.length === 0) return true;
    const accepted = this.#acceptedValues();
    if (accepted !== null) {
      for (const [column, keys] of accepted) if (keys.has(datumKey(fields[column.index]))) return true;
      return false;
    }
    for (const clause of this.#clauses) if (holds(clause, fields)) return true;
    return false;
  }

  /** With many "==" clauses, looking values up beats trying clause by clause. */
  #acceptedValues(): Map<Column, Set<string>> | null {
    if (this.#accepted === undefined) {
      this.#accepted = new Map();
      for (const clause of this.#clauses) {
        if ('constant' in clause || clause.operator !== '==') {
          this.#accepted = null;
          break;
        }
        let keys = this.#accepted.get(clause.column);
        if (keys === undefined) {
          keys = new Set();
          this.#accepted.set(clause.column, keys);
        }
        keys.add(datumKey(clause.argument));
      }
    }
    return this.#accepted;
  }

  /** True for every row, whatever it holds. */
  get isTrivial(): boolean {
    return this.#clauses.length === 0 || this.#clauses.some((c) => 'constant' in c && c.constant);
  }

  /** The columns that a monitor must watch to see rows come and go. */
  get columns(): readonly Column[] {
    return this.#clauses.flatMap((c) => ('constant' in c ? [] : [c.column]));
  }

  /** Two conditions with the same text select the same rows. */
  get text(): string {
    const parts = this.#clauses.map((c) =>
      'constant' in c
        ? String(c.constant)
        : stringifySorted([c.column.name, c.operator, datumToJson(c.argument, c.column.type)]),
    );
    return parts.sort().join('\n');
  }

  /**
   * Calls `fn` for each row of `table` that the condition selects, until `fn` says false. `fn` may
   * change or delete the row that it is given.
   */
  select(table: Table, fn: (row: Row) => unknown): void {
    for (const clause of this.#clauses) {
      if ('constant' in clause || clause.column.index !== UUID_COLUMN) continue;
      if (clause.operator !== '==' && clause.operator !== 'includes') continue;
      const row = table.rows.get(clause.argument.keys[0] as string);
      if (row !== undefined && this.matchesAll(row.fields)) fn(row);
      return;
    }
    for (const row of table.rows.values()) {
      if (this.matchesAll(row.fields) && fn(row) === false) return;
    }
  }
}
