import type { Daemon } from '../daemon/daemon.ts';
import type { OptionSpec } from '../daemon/options.ts';
import type { TlsNames } from '../tls/files.ts';
import { TLS_OPTIONS, tlsNamesFrom } from '../tls/options.ts';

/** How an agent is told of its controller; `weft agent` and `weft switch` take them alike. */
export const AGENT_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'controller',
    value: 'required',
    valueName: 'REMOTE',
    help: 'the controller of the logical networks: tcp:HOST:PORT, ssl:HOST:PORT or unix:FILE',
  },
  {
    name: 'token-file',
    value: 'required',
    valueName: 'FILE',
    help: "file with this host's token, as the controller gave it",
  },
  {
    name: 'system-id',
    value: 'required',
    valueName: 'ID',
    help: 'what the host calls itself if its database does not say (default: a new UUID)',
  },
  {
    name: 'encap-ip',
    value: 'required',
    valueName: 'IP',
    help: "this host's own address in tunnels (default: external_ids:weft-encap-ip, else the routing's choice)",
  },
  {
    name: 'bridge',
    value: 'required',
    valueName: 'BRIDGE',
    help: 'the bridge that the agent keeps (default: br-int); made if it is not there',
  },
  {
    name: 'bridge-datapath-type',
    value: 'required',
    valueName: 'TYPE',
    help: 'datapath_type of a bridge that has to be made',
  },
  {
    name: 'agent-state',
    value: 'required',
    valueName: 'FILE',
    help: 'where to keep what the controller said, for a restart without it (default: weft-agent.json beside the database)',
  },
  ...TLS_OPTIONS,
];

/** The TLS settings that the options name. An agent says who it is by its token, so it needs no certificate. */
export function agentTls(daemon: Daemon): TlsNames {
  return { ...tlsNamesFrom((option) => daemon.value(option)), anonymous: true };
}
