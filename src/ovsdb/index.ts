/** RFC 7047: schemas with row types, a database engine, its log file, a server, and a replicating client. */
export type * from './client/api.ts';
export { OvsdbClient, type OvsdbClientOptions } from './client/client.ts';
export { Database } from './engine/database.ts';
export { OvsdbError } from './error.ts';
export type { FileAccess } from './file/log.ts';
export { DatabaseFile } from './file/storage.ts';
export type { Json, JsonArray, JsonObject } from './json.ts';
export type * from './rpc/channel.ts';
export { directConnector, directPair } from './rpc/direct.ts';
export { StreamChannel } from './rpc/stream.ts';
export { type OpenVSwitchSchema, openVSwitchSchema } from './schema/open_vswitch.ts';
export type { ColumnName, RowOf, TableName, ValueOf, ValuesOf } from './schema/rows.ts';
export { type DatabaseSchema, parseSchema, schemaToJson } from './schema/schema.ts';
export { type ServerSchema, serverSchema } from './schema/server.ts';
export type { SchemaSpec } from './schema/spec.ts';
export { Remotes, type Transports } from './server/remotes.ts';
export { Server, type ServerOptions, type SessionOptions } from './server/server.ts';
