/** The schema of the API: one table of kinds, from which validation, OpenAPI, commands and types come. */
export * from './common.ts';
export * from './kinds.ts';
export * from './network.ts';
export * from './platform.ts';
