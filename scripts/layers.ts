/**
 * The layer table: which folder of `src/` may import which. `npm run check` holds every import
 * statement and every layer's tsconfig against it (scripts/check.ts).
 */
export const LAYERS: Record<string, readonly string[]> = {
  base: [],
  wire: ['base'],
  flow: ['base', 'wire'],
  openflow: ['base', 'wire', 'flow'],
  ovsdb: ['base'],
  sys: ['base'],
  ebpf: ['base', 'sys'],
  datapath: ['base', 'wire', 'flow', 'sys', 'ebpf'],
  switch: ['base', 'wire', 'flow', 'openflow', 'ovsdb', 'sys', 'datapath'],
  nlog: ['base'],
  logical: ['base', 'flow', 'openflow'],
  controller: ['base', 'wire', 'flow', 'openflow', 'ovsdb', 'nlog', 'logical'],
  agent: ['base', 'wire', 'flow', 'openflow', 'ovsdb', 'nlog', 'logical'],
  'api-schema': ['base'],
  api: ['base', 'controller', 'api-schema'],
  cli: ['base', 'flow', 'openflow', 'ovsdb', 'nlog', 'api-schema'],
  lab: ['base', 'wire', 'flow', 'openflow', 'ovsdb', 'sys', 'ebpf', 'datapath', 'switch', 'nlog', 'logical', 'controller', 'agent', 'api-schema', 'api', 'cli'],
  web: ['api-schema'],
  bin: ['base', 'wire', 'flow', 'openflow', 'ovsdb', 'sys', 'ebpf', 'datapath', 'switch', 'nlog', 'logical', 'controller', 'agent', 'api-schema', 'api', 'cli', 'lab', 'web'],
};
