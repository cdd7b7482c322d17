/**
 * The `_Server` database, by which a client learns what databases a server has and in what state they
 * are (ovsdb-server(7), "Server-specific Databases"). It lives in memory only.
 */
import { column, one, oneOf, optional, table } from './spec.ts';

const Database = table(
  {
    name: column('string'),
    model: column(one(oneOf('standalone', 'clustered', 'relay'))),
    connected: column('boolean'),
    leader: column('boolean'),
    schema: column(optional('string')),
    cid: column(optional('uuid')),
    sid: column(optional('uuid')),
    index: column(optional('integer')),
  },
  { isRoot: true },
);

export const serverSchema = {
  name: '_Server',
  version: '1.2.0',
  cksum: '3009684573 744',
  tables: { Database },
} as const;

export type ServerSchema = typeof serverSchema;
