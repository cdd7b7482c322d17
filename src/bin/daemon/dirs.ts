/** The directories that Open vSwitch programs share; each follows its environment variable. */
export interface Directories {
  /** Sockets and pidfiles (`OVS_RUNDIR`). */
  readonly run: string;
  /** Log files (`OVS_LOGDIR`). */
  readonly log: string;
  /** Databases (`OVS_DBDIR`, else `OVS_SYSCONFDIR`/openvswitch). */
  readonly db: string;
  /** Configuration (`OVS_SYSCONFDIR`). */
  readonly sysconf: string;
  /** Schemas and other read-only data (`OVS_PKGDATADIR`). */
  readonly pkgdata: string;
}

/** Reads the directories from an environment; an empty variable counts as unset, as in the stock programs. */
export function directories(env: Readonly<Record<string, string | undefined>>): Directories {
  const pick = (name: string, otherwise: string): string => env[name] || otherwise;
  const sysconf = pick('OVS_SYSCONFDIR', '/etc');
  return {
    run: pick('OVS_RUNDIR', '/var/run/openvswitch'),
    log: pick('OVS_LOGDIR', '/var/log/openvswitch'),
    db: pick('OVS_DBDIR', env.OVS_SYSCONFDIR === undefined ? '/etc/openvswitch' : `${sysconf}/openvswitch`),
    sysconf,
    pkgdata: pick('OVS_PKGDATADIR', '/usr/share/openvswitch'),
  };
}
