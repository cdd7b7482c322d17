/**
 * Keeps the claims of VIFs in a store of their own, so that a controller that starts again knows where everything is
 * before the agents have called. Written soon, not at once: an agent that was heard but not recorded says it again.
 */
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { commitLatest } from '../store/latest.ts';
import type { ConfigStore, StoreOperation } from '../store/store.ts';
import type { Claim, ClaimRecords } from './locations.ts';

const PREFIX = 'claim/';

/** Names of nodes and VIFs may have slashes. */
const keyOf = ({ node, vif }: Claim): string =>
  `${PREFIX}${encodeURIComponent(node)}/${encodeURIComponent(vif)}`;

function parse(key: string, value: string): Claim | undefined {
  try {
    const [node, vif] = key.slice(PREFIX.length).split('/').map(decodeURIComponent);
    const { sequence, name } = JSON.parse(value) as Partial<Claim>;
    return typeof vif === 'string' && Number.isSafeInteger(sequence) && typeof name === 'string'
      ? { node, vif, sequence: sequence!, name }
      : undefined;
  } catch {
    return undefined;
  }
}

export class ClaimKeeper implements ClaimRecords {
  readonly #store: ConfigStore;
  readonly #log: ModuleLog;
  /** What is not written yet, by key: at most one operation for each VIF of each node. */
  #pending = new Map<string, StoreOperation>();
  #writing: Promise<void> | undefined;

  constructor(store: ConfigStore, log: ModuleLog) {
    this.#store = store;
    this.#log = log;
  }

  /** What was kept. A record that makes no sense is left out. */
  async load(): Promise<Claim[]> {
    return (await this.#store.load()).flatMap(({ key, value }) => {
      const claim = key.startsWith(PREFIX) ? parse(key, value) : undefined;
      if (claim === undefined) this.#log.warn(`the record ${key} is no claim of a VIF, and is left out`);
      return claim === undefined ? [] : [claim];
    });
  }

  changed(made: readonly Claim[], ended: readonly Claim[]): void {
    for (const claim of ended) this.#pending.set(keyOf(claim), { op: 'delete', key: keyOf(claim) });
    for (const claim of made) {
      const { sequence, name } = claim;
      this.#pending.set(keyOf(claim), {
        op: 'put',
        key: keyOf(claim),
        value: JSON.stringify({ sequence, name }),
      });
    }
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    // What else this turn of the event loop brings goes along.
    await Promise.resolve();
    while (this.#pending.size > 0) {
      const operations = [...this.#pending.values()];
      this.#pending = new Map();
      try {
        await commitLatest(this.#store, () => operations);
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        this.#log.warn(
          `where ${operations.length} VIFs are could not be recorded: ${error.message} (${error.code})`,
        );
      }
    }
    this.#writing = undefined;
  }
}
