/** Random OVSDB transactions and monitors over a schema that has every sort of column, sense and nonsense alike. */
import type { Json, JsonObject } from '../../src/ovsdb/json.ts';
import type { Random } from './random.ts';

const uuidColumn = (
  refTable: string,
  refType: 'strong' | 'weak',
  min: number,
  max: number | 'unlimited',
): Json => ({
  type: { key: { type: 'uuid', refTable, refType }, min, max },
});
const set = (key: Json, min: number, max: number | 'unlimited'): Json => ({ type: { key, min, max } });

export const SCHEMA: Json = {
  name: 'duel',
  version: '1.0.0',
  tables: {
    root: {
      isRoot: true,
      maxRows: 6,
      indexes: [['name'], ['n', 'flag']],
      columns: {
        name: { type: 'string' },
        n: { type: { key: { type: 'integer', minInteger: -2, maxInteger: 5 } } },
        flag: { type: 'boolean' },
        real: { type: { key: { type: 'real', minReal: -10, maxReal: 10 } } },
        fixed: { type: 'integer', mutable: false },
        state: { type: { key: { type: 'string', enum: ['set', ['up', 'down', '']] } } },
        ints: set('integer', 0, 4),
        reals: set('real', 0, 3),
        words: set({ type: 'string', maxLength: 3 }, 0, 3),
        map: { type: { key: 'string', value: 'integer', min: 0, max: 3 } },
        names: {
          type: { key: 'integer', value: { type: 'string', minLength: 1 }, min: 0, max: 'unlimited' },
        },
        leaves: uuidColumn('leaf', 'strong', 0, 'unlimited'),
        other: uuidColumn('root', 'weak', 0, 'unlimited'),
        need: uuidColumn('leaf', 'weak', 0, 1),
        seen: { type: 'integer', ephemeral: true },
      },
    },
    leaf: {
      columns: {
        n: { type: 'integer' },
        next: uuidColumn('leaf', 'strong', 0, 1),
        back: {
          type: {
            key: 'string',
            value: { type: 'uuid', refTable: 'root', refType: 'weak' },
            min: 0,
            max: 'unlimited',
          },
        },
      },
    },
  },
};

const uuids = (first: number): readonly string[] =>
  Array.from({ length: 5 }, (_, i) => `00000000-0000-4000-8000-00000000000${first + i}`);

/** By table. The stock server takes rows of two tables for one another if they have one uuid. */
const UUIDS: Readonly<Record<string, readonly string[]>> = { root: uuids(0), leaf: uuids(5) };

/** References are named by their tables. */
type Kind = 'integer' | 'real' | 'boolean' | 'string' | 'root' | 'leaf';
interface Shape {
  readonly key: Kind;
  readonly value?: Kind;
  readonly scalar?: true;
}

const SHAPES: Readonly<Record<string, Readonly<Record<string, Shape>>>> = {
  root: {
    name: { key: 'string', scalar: true },
    n: { key: 'integer', scalar: true },
    flag: { key: 'boolean', scalar: true },
    real: { key: 'real', scalar: true },
    fixed: { key: 'integer', scalar: true },
    state: { key: 'string', scalar: true },
    ints: { key: 'integer' },
    reals: { key: 'real' },
    words: { key: 'string' },
    map: { key: 'string', value: 'integer' },
    names: { key: 'integer', value: 'string' },
    leaves: { key: 'leaf' },
    other: { key: 'root' },
    need: { key: 'leaf' },
    seen: { key: 'integer', scalar: true },
  },
  leaf: {
    n: { key: 'integer', scalar: true },
    next: { key: 'leaf' },
    back: { key: 'string', value: 'root' },
  },
};

export const COLUMNS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries(SHAPES).map(([table, columns]) => [table, Object.keys(columns)]),
);

const INTEGERS: readonly Json[] = [0, 1, 2, 3, -1, 5, 6, 2n ** 62n, -(2n ** 63n)];
const REALS: readonly Json[] = [0, 0.5, -1.25, 4, 1e9, 2.5];
const WORDS: readonly Json[] = ['', 'a', 'up', 'down', 'long word', 'ü', 'b"c'];
const FUNCTIONS = ['==', '!=', '<', '<=', '>', '>=', 'includes', 'excludes'];
const MUTATORS = ['+=', '-=', '*=', '/=', '%=', 'insert', 'delete'];
/** One in so many choices makes no sense. */
const NONSENSE = 40;
const NONSENSE_VALUES: readonly Json[] = [
  null,
  {},
  [],
  ['set'],
  ['map', [[1]]],
  ['uuid', 'x'],
  ['set', [1, 1]],
  'x',
  1.5,
];

/** Makes up transactions; the same seed makes the same ones. */
export class Transactions {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  #table(): string {
    return this.#random.oneIn(NONSENSE * 2) ? 'nowhere' : this.#random.pick(['root', 'root', 'leaf']);
  }

  #uuid(table: string): string {
    return this.#random.pick(UUIDS[table] ?? UUIDS.root);
  }

  #column(table: string): string {
    if (this.#random.oneIn(NONSENSE)) return this.#random.pick(['_uuid', '_version', 'missing']);
    return this.#random.pick(COLUMNS[table] ?? ['n']);
  }

  #atom(kind: Kind): Json {
    if (this.#random.oneIn(NONSENSE)) return this.#random.pick(NONSENSE_VALUES);
    if (kind === 'integer') return this.#random.pick(this.#random.oneIn(3) ? INTEGERS : INTEGERS.slice(0, 4));
    if (kind === 'real') return this.#random.pick(REALS);
    if (kind === 'boolean') return this.#random.oneIn(2);
    if (kind === 'string') return this.#random.pick(WORDS);
    if (this.#random.oneIn(6)) return ['named-uuid', this.#random.pick([`${kind}0`, `${kind}1`])];
    return ['uuid', this.#uuid(kind)];
  }

  #value(table: string, column: string): Json {
    const shape = SHAPES[table]?.[column];
    if (shape === undefined) return this.#random.pick(NONSENSE_VALUES);
    if (shape.scalar) return this.#atom(shape.key);
    const n = this.#random.int(4);
    const { key, value } = shape;
    if (value !== undefined)
      return ['map', Array.from({ length: n }, () => [this.#atom(key), this.#atom(value)])];
    if (n === 1 && this.#random.oneIn(2)) return this.#atom(key);
    return ['set', Array.from({ length: n }, () => this.#atom(key))];
  }

  #where(table: string): Json {
    const clause = (): Json => {
      if (this.#random.oneIn(2)) return ['_uuid', '==', ['uuid', this.#uuid(table)]];
      const column = this.#column(table);
      return [column, this.#random.pick(FUNCTIONS), this.#value(table, column)];
    };
    return this.#random.oneIn(5) ? [] : this.#random.many(1, 2, clause);
  }

  #row(table: string): Json {
    const columns = this.#random.some(COLUMNS[table] ?? ['n'], 4);
    if (this.#random.oneIn(NONSENSE)) columns.push(this.#column(table));
    return Object.fromEntries(columns.map((column) => [column, this.#value(table, column)]));
  }

  #mutation(table: string): Json {
    const column = this.#column(table);
    const mutator = this.#random.pick(MUTATORS);
    const shape = SHAPES[table]?.[column];
    // Arithmetic takes one number; a map's pairs are deleted by their keys as well.
    if (shape !== undefined && !['insert', 'delete'].includes(mutator))
      return [column, mutator, this.#atom(shape.key)];
    if (shape?.value !== undefined && mutator === 'delete' && this.#random.oneIn(2))
      return [column, mutator, ['set', this.#random.many(0, 2, () => this.#atom(shape.key))]];
    return [column, mutator, this.#value(table, column)];
  }

  #operation(): Json {
    const table = this.#table();
    const where = this.#where(table);
    switch (this.#random.int(12)) {
      case 0:
      case 1:
      case 2: {
        const named: JsonObject = this.#random.oneIn(3)
          ? { 'uuid-name': this.#random.pick([`${table}0`, `${table}1`]) }
          : {};
        // Without a uuid of its own each server would give the row another.
        return { op: 'insert', table, row: this.#row(table), uuid: this.#uuid(table), ...named };
      }
      case 3:
      case 4:
        return { op: 'select', table, where, columns: ['_uuid', ...(COLUMNS[table] ?? [])] };
      case 5:
      case 6:
        return { op: 'update', table, where, row: this.#row(table) };
      case 7:
      case 8:
        return {
          op: 'mutate',
          table,
          where,
          mutations: this.#random.many(1, 2, () => this.#mutation(table)),
        };
      case 9:
        return { op: 'delete', table, where };
      case 10: {
        const columns = this.#random.some(COLUMNS[table] ?? ['n'], 2);
        const rows = this.#random.many(0, 2, () =>
          Object.fromEntries(columns.map((c) => [c, this.#value(table, c)])),
        );
        return {
          op: 'wait',
          table,
          where,
          columns,
          until: this.#random.pick(['==', '!=']),
          rows,
          timeout: 0,
        };
      }
      default:
        return this.#random.pick<Json>([
          { op: 'comment', comment: 'x' },
          { op: 'abort' },
          { op: 'assert', lock: 'mine' },
          { op: 'nonsense' },
          { op: 'commit', durable: false },
          { op: 'select', table },
          { op: 'insert', table, row: {}, more: 1 },
        ]);
    }
  }

  /** The operations of one transaction. */
  next(): Json[] {
    const n = 1 + this.#random.int(this.#random.oneIn(4) ? 5 : 2);
    return Array.from({ length: n }, () => this.#operation());
  }

  /** The parameters of one `monitor` or `monitor_cond`, after the name and the id. */
  monitor(conditional: boolean): Json {
    const request = (table: string): Json => ({
      columns: this.#random.some(COLUMNS[table], 8),
      ...(this.#random.oneIn(3)
        ? { select: { [this.#random.pick(['initial', 'insert', 'delete', 'modify'])]: false } }
        : {}),
      ...(conditional && this.#random.oneIn(2) ? { where: this.condition(table) } : {}),
    });
    return Object.fromEntries(
      this.#random.pick([['root'], ['leaf'], ['root', 'leaf']]).map((t) => [t, [request(t)]]),
    );
  }

  /** A condition of a monitor, which makes sense. */
  condition(table: string): Json {
    const clause = (): Json => {
      if (this.#random.oneIn(8)) return this.#random.oneIn(2);
      const column = this.#random.pick(Object.keys(SHAPES[table]).filter((c) => SHAPES[table][c].scalar));
      return [
        column,
        this.#random.pick(['==', '!=', 'includes', 'excludes']),
        this.#plain(SHAPES[table][column].key),
      ];
    };
    return this.#random.many(0, 2, clause);
  }

  #plain(kind: Kind): Json {
    if (kind === 'integer') return this.#random.int(3);
    return kind === 'string' ? this.#random.pick(['a', 'up', '']) : kind === 'boolean' ? true : 0.5;
  }
}
