import type { ModuleLog } from '../../base/log.ts';
import type { FlowModCommand } from '../../openflow/messages/flow-mod.ts';

/** At most so often a connection's flow mods are told in the log. */
const INTERVAL_MS = 60_000;

/** Tells in the log how many flow mods a connection sent: once a minute, and at its end. */
export class FlowModLog {
  readonly #log: ModuleLog;
  readonly #name: string;
  #adds = 0;
  #deletes = 0;
  #modifications = 0;
  #first = 0;
  #last = 0;

  constructor(log: ModuleLog, name: string) {
    this.#log = log;
    this.#name = name;
  }

  /** `now`: Clock.now() ms, here and below. */
  count(command: FlowModCommand, now: number): void {
    if (this.#total === 0) this.#first = now;
    this.#last = now;
    if (command === 'add') this.#adds++;
    else if (command === 'delete' || command === 'delete_strict') this.#deletes++;
    else this.#modifications++;
  }

  get #total(): number {
    return this.#adds + this.#deletes + this.#modifications;
  }

  /** Tells what a minute has brought. */
  tick(now: number): void {
    if (this.#total > 0 && now - this.#first >= INTERVAL_MS) this.flush(now);
  }

  /** Tells what there is to tell. */
  flush(now: number): void {
    if (this.#total === 0) return;
    const seconds = (ms: number): number => Math.floor(ms / 1000);
    const ago = seconds(now - this.#first);
    const lasted = seconds(this.#last - this.#first);
    const when = ago >= 60 ? `${lasted} s starting ${ago} s ago` : `the last ${lasted} s`;
    const kinds = [
      this.#adds > 0 ? `${this.#adds} adds` : '',
      this.#deletes > 0 ? `${this.#deletes} deletes` : '',
      this.#modifications > 0 ? `${this.#modifications} modifications` : '',
    ].filter((text) => text !== '');
    this.#log.info(`${this.#name}: ${this.#total} flow_mods in ${when} (${kinds.join(', ')})`);
    this.#adds = 0;
    this.#deletes = 0;
    this.#modifications = 0;
  }
}
