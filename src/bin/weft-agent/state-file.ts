/** The agent's state in a file: written beside it and renamed, so that it is whole or the one before. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { parseRows } from '../../agent/session/rows.ts';
import type { AgentState, StateStore } from '../../agent/session/state.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { Json } from '../../ovsdb/json.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

const FORMAT = 'weft-agent-1';
/** Many updates in a row are saved as one. */
const DELAY_MS = 500;

export class StateFile implements StateStore {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  #state: (() => AgentState) | undefined;
  #timer: Timer | undefined;

  constructor(path: string, clock: Clock, log: ModuleLog) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
  }

  async load(): Promise<AgentState | undefined> {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#path}: cannot be read: ${reasonOf(error)}`);
      return undefined;
    }
    try {
      return parse(text);
    } catch (error) {
      this.#log.warn(
        `${this.#path}: is no state of an agent (${error instanceof Error ? error.message : String(error)}); waiting for the controller`,
      );
      return undefined;
    }
  }

  save(state: () => AgentState): void {
    this.#state = state;
    this.#timer ??= this.#clock.after(DELAY_MS, () => this.flush());
  }

  /** Saves now what is to be saved. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const state = this.#state;
    this.#state = undefined;
    if (state === undefined) return;
    const next = `${this.#path}.next`;
    try {
      writeFileSync(next, JSON.stringify({ format: FORMAT, ...state() }), { mode: 0o600 });
      renameSync(next, this.#path);
    } catch (error) {
      this.#log.warn(`${this.#path}: cannot be written: ${reasonOf(error)}`);
      rmSync(next, { force: true });
    }
  }
}

/** @throws where it is no state */
function parse(text: string): AgentState {
  const value = JSON.parse(text) as { readonly [name: string]: Json } | null;
  const { format, systemId, epoch, revision, rows } = value ?? {};
  if (format !== FORMAT) throw new WeftError('bad-agent-state', `format ${String(format)}, not ${FORMAT}`);
  if (typeof systemId !== 'string' || typeof epoch !== 'string' || typeof revision !== 'number')
    throw new WeftError('bad-agent-state', 'systemId, epoch or revision are missing');
  return { systemId, epoch, revision, rows: parseRows(rows, 'rows') };
}
