/** RFC 7047: schemas with row types, a database engine, its log file, a server, and a replicating client. */

export type * from './client/api.ts';
export type { Json, JsonArray, JsonObject } from './json.ts';
export type * from './rpc/channel.ts';
export type { OpenVSwitchSchema } from './schema/open_vswitch.ts';
export { openVSwitchSchema } from './schema/open_vswitch.ts';
export type { ColumnName, RowOf, TableName, ValueOf, ValuesOf } from './schema/rows.ts';
export type { ServerSchema } from './schema/server.ts';
export { serverSchema } from './schema/server.ts';
export type { SchemaSpec } from './schema/spec.ts';
