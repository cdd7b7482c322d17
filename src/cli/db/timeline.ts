/** A database file as what it is: every transaction since it was last compacted, with its time. */
import { WeftError } from '../../base/errors.ts';
import { Database } from '../../ovsdb/engine/database.ts';
import { OvsdbError } from '../../ovsdb/error.ts';
import { type FileAccess, Log } from '../../ovsdb/file/log.ts';
import { applyRecord } from '../../ovsdb/file/record.ts';
import { type JsonObject, member } from '../../ovsdb/json.ts';
import { parseSchema } from '../../ovsdb/schema/schema.ts';
import type { Moment } from './moment.ts';
import type { Fields, Snapshot } from './snapshot.ts';

/** One record of a file. */
export interface TimelineRecord {
  /** As `ovsdb-tool show-log` counts: 0 is the schema. */
  readonly number: number;
  /** Milliseconds since the Unix epoch; undefined where the record does not say. */
  readonly date: number | undefined;
  readonly comment: string;
}

/** Dates below are seconds, as old files have them; above, milliseconds. */
const LAST_SECONDS = 2 ** 33;

function describe(number: number, json: JsonObject): TimelineRecord {
  const date = member(json, '_date');
  const comment = member(json, '_comment');
  return {
    number,
    date: typeof date !== 'number' ? undefined : date < LAST_SECONDS ? date * 1000 : date,
    comment: typeof comment === 'string' ? comment : '',
  };
}

export interface TimelineOptions {
  readonly newUuid: () => string;
  /** Told of damage, which ends the file. */
  readonly warn: (text: string) => void;
}

/** Walks through a file, from the empty database on. */
export class Timeline {
  readonly state: Database;
  readonly #log: Log;
  readonly #options: TimelineOptions;
  #current: TimelineRecord = { number: 0, date: undefined, comment: '' };
  #next: { readonly record: TimelineRecord; readonly json: JsonObject } | undefined;

  /** Throws `OvsdbError` where there is no schema, `WeftError` where the file is the log of a cluster. */
  constructor(access: FileAccess, options: TimelineOptions) {
    this.#options = options;
    this.#log = new Log(access);
    if (this.#log.identify() !== 'JSON')
      throw new WeftError('clustered-file', `${access.name}: this is the log of a cluster's member`, {
        remedy: '"ovsdb-tool cluster-to-standalone" makes a file of it that can be read',
      });
    const schema = this.#log.read();
    if (schema === null) throw new OvsdbError('ovsdb error', `${access.name}: file holds no schema`);
    this.state = new Database(parseSchema(schema), { newUuid: options.newUuid });
    this.#read();
  }

  /** The record that made the state as it is. */
  get current(): TimelineRecord {
    return this.#current;
  }

  /** The record that comes; undefined at the end. */
  get next(): TimelineRecord | undefined {
    return this.#next?.record;
  }

  #read(): void {
    const number = this.#current.number + 1;
    this.#next = undefined;
    this.#guard(number, () => {
      const json = this.#log.read();
      if (json !== null) this.#next = { record: describe(number, json), json };
    });
  }

  #guard(number: number, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#next = undefined;
      this.#options.warn(`record ${number} is damaged, and all behind it is lost: ${error.message}`);
    }
  }

  /** Applies the record that comes. */
  step(): void {
    const next = this.#next;
    if (next === undefined) return;
    this.#guard(next.record.number, () => {
      applyRecord(this.state, next.json);
      this.#current = next.record;
      this.#read();
    });
  }
}

/** A state as of now; it does not change any more. */
export function freeze(state: Database): Snapshot {
  const tables = [...state.tables].map(([name, { rows }]) => {
    const fields = [...rows].map(([uuid, row]) => [uuid, row.fields as Fields] as const);
    return [name, new Map(fields)] as const;
  });
  return { schema: state.schema, tables: new Map(tables) };
}

/** The state of a file at one moment. */
export interface Found {
  readonly record: TimelineRecord;
  readonly snapshot: Snapshot;
}

function isLater({ number, date }: TimelineRecord, moment: Moment): boolean {
  if (moment.kind === 'end') return false;
  if (moment.kind === 'record') return number > moment.number;
  return date !== undefined && date > moment.time;
}

/**
 * The states at some moments: each after the last record that is not later. Throws `WeftError` "no-such-record"
 * where a number is too large.
 */
export function statesAt(timeline: Timeline, moments: readonly Moment[]): Found[] {
  const found = new Map<Moment, Found>();
  for (;;) {
    const { current: record, next } = timeline;
    const due = moments.filter(
      (moment) => !found.has(moment) && (next === undefined || isLater(next, moment)),
    );
    if (due.length > 0) {
      const here: Found = { record, snapshot: freeze(timeline.state) };
      for (const moment of due) {
        if (moment.kind === 'record' && moment.number > record.number)
          throw new WeftError(
            'no-such-record',
            `there is no record ${moment.number}; the last is ${record.number}`,
            {
              remedy: '"weft db log FILE" lists them; compaction makes one of all that came before it',
            },
          );
        found.set(moment, here);
      }
    }
    if (next === undefined) return moments.map((moment) => found.get(moment)!);
    timeline.step();
  }
}
