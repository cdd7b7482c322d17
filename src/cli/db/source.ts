/** Where the rows come from: a server, or a file. */
import type { Clock } from '../../base/clock.ts';
import type { FileAccess } from '../../ovsdb/file/log.ts';
import type { Connector } from '../../ovsdb/rpc/channel.ts';
import type { DatabaseSchema } from '../../ovsdb/schema/schema.ts';
import type { CommandIo } from '../command.ts';
import type { ColumnRequest } from './columns.ts';
import { readSchema, readTables, type Wanted } from './server.ts';
import { Session } from './session.ts';
import type { Snapshot } from './snapshot.ts';
import { statesAt, Timeline } from './timeline.ts';

/** Where a database is. */
export type Source =
  | { readonly kind: 'server'; readonly connector: Connector }
  | { readonly kind: 'file'; readonly access: FileAccess };

export interface Options {
  readonly json: boolean;
  /** Cells are not cut. */
  readonly wide: boolean;
  readonly columns: ColumnRequest;
  /** Which of a server's databases. */
  readonly database: string | undefined;
  /** How long a server may take to answer, in milliseconds. */
  readonly patience: number;
  /** Updates after which `watch` ends. */
  readonly count: number;
  /** Whether `watch` first tells what there is. */
  readonly initial: boolean;
  readonly colour: boolean;
}

export interface Context {
  readonly io: CommandIo;
  readonly clock: Clock;
  readonly newUuid: () => string;
  readonly options: Options;
  /** Resolves when the user has had enough. */
  readonly interrupted: Promise<void>;
}

export function timelineOf(access: FileAccess, { io, newUuid }: Context): Timeline {
  return new Timeline(access, { newUuid, warn: (text) => io.err(`weft db: ${access.name}: ${text}\n`) });
}

function endOf(access: FileAccess, context: Context): Snapshot {
  return statesAt(timelineOf(access, context), [{ kind: 'end' }])[0].snapshot;
}

/** Reads what `wanted` asks for, of a file all. */
export async function read(
  source: Source,
  context: Context,
  wanted: (schema: DatabaseSchema) => Wanted,
): Promise<Snapshot> {
  if (source.kind === 'file') return endOf(source.access, context);
  const session = await openSession(source.connector, context);
  try {
    const schema = await readSchema(session, context.options.database);
    return await readTables(session, schema, wanted(schema));
  } finally {
    session.close();
  }
}

export function openSession(connector: Connector, { clock, options }: Context): Promise<Session> {
  return Session.open({ connector, clock, patience: options.patience });
}

export const everything = (schema: DatabaseSchema): Wanted =>
  new Map([...schema.tables.values()].map((table) => [table.name, table.list]));
