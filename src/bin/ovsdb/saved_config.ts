/**
 * What `ovs-appctl` changed about a running server, for the process that `--monitor` starts in its
 * place after a crash. It is kept in a file that names the monitoring process, so that no other
 * server takes it for its own, and removed when the server ends on purpose.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface BackupConfig {
  /** The active server, if one was ever named. */
  readonly source: string | undefined;
  /** Tables that are not replicated, as "DB:TABLE,DB:TABLE". */
  readonly excluded: string | undefined;
  /** This server takes writes and replicates nothing. */
  readonly active: boolean;
}

export interface SavedConfig {
  readonly remotes: readonly string[];
  readonly databases: readonly string[];
  readonly backup: BackupConfig;
}

/** When a process was started, in ticks since the machine was (`proc(5)`, field 22 of `stat`). */
function startTime(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

export class ConfigStore {
  readonly #path: string;

  constructor(runDir: string) {
    this.#path = join(runDir, `.ovsdb-server.${process.ppid}.${startTime(process.ppid)}.json`);
  }

  load(): SavedConfig | undefined {
    return existsSync(this.#path) ? (JSON.parse(readFileSync(this.#path, 'utf8')) as SavedConfig) : undefined;
  }

  save(config: SavedConfig): void {
    writeFileSync(`${this.#path}.tmp`, JSON.stringify(config), { mode: 0o600 });
    renameSync(`${this.#path}.tmp`, this.#path);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}
