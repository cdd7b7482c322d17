import { DEFAULT_AGENT_PORT } from '../../logical/protocol.ts';
import type { OptionSpec } from '../daemon/options.ts';

export const DEFAULT_AGENTS = `ptcp:${DEFAULT_AGENT_PORT}:127.0.0.1`;

export const DEFAULT_AUDIT_S = '3600';

/** The options of `weft controller` beside those of every daemon. */
export const CONTROLLER_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'dir',
    value: 'required',
    valueName: 'DIR',
    help: 'keep store, token, sockets, pidfile and log in DIR; made if it is not there',
  },
  {
    name: 'api',
    value: 'required',
    valueName: 'HOST:PORT',
    help: 'serve the API there (default: 127.0.0.1:6680); beyond this machine only with TLS',
  },
  {
    name: 'agents',
    value: 'required',
    valueName: 'REMOTE',
    help: `take agents at REMOTE, such as pssl:${DEFAULT_AGENT_PORT}:0.0.0.0 (default: ${DEFAULT_AGENTS}; repeatable)`,
  },
  {
    name: 'token-file',
    value: 'required',
    valueName: 'FILE',
    help: "the operator's token; made if it is not there (default: operator.token beside the store)",
  },
  {
    name: 'max-objects',
    value: 'required',
    valueName: 'N',
    help: 'objects that one tenant may have (default: 100000)',
  },
  { name: 'private-key', value: 'required', valueName: 'FILE', help: 'key for TLS (PEM)' },
  { name: 'certificate', value: 'required', valueName: 'FILE', help: 'certificate for TLS (PEM)' },
  {
    name: 'ca-cert',
    value: 'required',
    valueName: 'FILE',
    help: 'who signed the certificates of agents; "none": their tokens are enough',
  },
  {
    name: 'audit',
    value: 'required',
    valueName: 'SECONDS',
    help: `hold what was computed against a computation from scratch so often (default: ${DEFAULT_AUDIT_S}; 0: never)`,
  },
  {
    name: 'insecure',
    value: 'none',
    help: 'serve the API beyond this machine without TLS, where tokens can be read on their way',
  },
];
