import type { OptionSpec } from '../daemon/options.ts';
import { AGENT_OPTIONS } from '../weft-agent/options.ts';

/** The options of `weft switch` beside those of every daemon. */
export const COMBINED_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'dir',
    value: 'required',
    valueName: 'DIR',
    help: 'keep sockets, pidfiles, log and database in DIR; made if it is not there',
  },
  {
    name: 'remote',
    value: 'required',
    valueName: 'REMOTE',
    help: 'also serve the database at REMOTE, such as ptcp:6640:127.0.0.1 (repeatable)',
  },
  { name: 'enable-dummy', value: 'optional', valueName: 'ARG', help: 'offer dummy datapaths and devices' },
  { name: 'disable-system', value: 'none', help: 'leave the devices of the host alone' },
  ...AGENT_OPTIONS,
];
