import type { Table } from './program.ts';
import type { Row } from './types.ts';
import type { Codec } from './values.ts';

/** What a transaction cost, in rows: what "proportional to the change" can be held against. */
export interface Work {
  /** Changed rows given to rules. */
  readonly rowsIn: number;
  /** Derivations found, each adding to or taking from the count of one row. */
  readonly derivations: number;
  /** Rows of all tables whose presence changed. */
  readonly rowsChanged: number;
}

export interface TableChange {
  readonly table: string;
  /** Rows that are there now and were not before; ordered by value. */
  readonly inserted: readonly Row[];
  readonly deleted: readonly Row[];
}

/** Rows as codes, one after the other. */
export interface RawChange {
  readonly table: Table;
  readonly codecs: readonly Pick<Codec, 'decode' | 'compare'>[];
  readonly inserted: Int32Array;
  readonly deleted: Int32Array;
}

/**
 * The net changes of the output tables by one transaction. Decoded and ordered when asked for; stays
 * valid whatever happens to the engine later.
 */
export class Changes {
  readonly work: Work;
  readonly #raw: readonly RawChange[];
  readonly #made = new Map<string, TableChange>();

  constructor(raw: readonly RawChange[], work: Work) {
    this.#raw = raw.filter((r) => r.inserted.length > 0 || r.deleted.length > 0);
    this.work = work;
  }

  /** Names of the output tables that changed, in the order of their declarations. */
  get tables(): string[] {
    return this.#raw.map((r) => r.table.name);
  }

  get empty(): boolean {
    return this.#raw.length === 0;
  }

  /** Number of rows inserted and deleted. */
  get size(): number {
    return this.#raw.reduce((sum, r) => sum + (r.inserted.length + r.deleted.length) / width(r), 0);
  }

  /** The changes of one output table; empty lists if it did not change. */
  of(table: string): TableChange {
    let made = this.#made.get(table);
    if (made !== undefined) return made;
    const raw = this.#raw.find((r) => r.table.name === table);
    made = {
      table,
      inserted: raw === undefined ? [] : rows(raw, raw.inserted),
      deleted: raw === undefined ? [] : rows(raw, raw.deleted),
    };
    this.#made.set(table, made);
    return made;
  }

  *[Symbol.iterator](): Iterator<TableChange> {
    for (const name of this.tables) yield this.of(name);
  }
}

/** Words a row takes; a row without columns takes one. */
function width(raw: RawChange): number {
  return Math.max(1, raw.table.columns.length);
}

function rows(raw: RawChange, codes: Int32Array): Row[] {
  const n = width(raw);
  const order = sortedOffsets(codes, n, raw.codecs);
  return order.map((at) => raw.codecs.map((c, k) => c.decode(codes[at + k])));
}

/** Offsets of the rows in `codes`, ordered by value, column by column. */
export function sortedOffsets(
  codes: Int32Array,
  width: number,
  codecs: readonly Pick<Codec, 'compare'>[],
): number[] {
  const offsets = Array.from({ length: codes.length / width }, (_, i) => i * width);
  return offsets.sort((a, b) => {
    for (let k = 0; k < codecs.length; k++) {
      const [x, y] = [codes[a + k], codes[b + k]];
      if (x === y) continue;
      const d = codecs[k].compare(x, y);
      if (d !== 0) return d;
    }
    return 0;
  });
}
