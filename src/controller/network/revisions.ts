/** Which hosts each revision of the configuration concerned, and which of them have confirmed it. */

/** So many revisions are remembered one by one. */
const MAX_RECORDS = 4096;
/** So many unconfirmed revisions are remembered for one host. */
const MAX_OPEN = 4096;

export interface RevisionRecord {
  readonly revision: number;
  /** The published state that has it. */
  readonly state: number;
  /** The hosts that it changes anything for. */
  readonly nodes: ReadonlySet<string>;
  /** Those of them that have not confirmed it. */
  readonly missing: Set<string>;
  /** Milliseconds of the clock. */
  readonly at: number;
  doneAt: number | undefined;
}

/** The first place where `late` holds, which from there on holds for all. */
function firstFrom(records: readonly RevisionRecord[], late: (record: RevisionRecord) => boolean): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (late(records[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

export class Revisions {
  readonly #records = new Map<number, RevisionRecord>();
  /** By node, oldest first. */
  readonly #open = new Map<string, RevisionRecord[]>();
  #latest = 0;

  get latest(): number {
    return this.#latest;
  }

  record(revision: number, state: number, nodes: ReadonlySet<string>, at: number): void {
    this.#latest = Math.max(this.#latest, revision);
    const record: RevisionRecord = {
      revision,
      state,
      nodes,
      missing: new Set(nodes),
      at,
      doneAt: nodes.size === 0 ? at : undefined,
    };
    this.#records.set(revision, record);
    for (const node of nodes) {
      const open = this.#open.get(node);
      if (open === undefined) this.#open.set(node, [record]);
      else {
        open.push(record);
        if (open.length > MAX_OPEN) open.shift();
      }
    }
    for (const [old] of this.#records) {
      if (this.#records.size <= MAX_RECORDS) break;
      this.#records.delete(old);
    }
  }

  get(revision: number): RevisionRecord | undefined {
    return this.#records.get(revision);
  }

  /**
   * The published state that has a revision: that of the last one up to it which the network knows. What is older than
   * memory goes by the oldest that is remembered.
   */
  stateOf(revision: number): number {
    const record = this.#records.get(revision);
    if (record !== undefined) return record.state;
    const records = [...this.#records.values()];
    const at = firstFrom(records, (r) => r.revision > revision);
    return records[Math.max(0, at - 1)]?.state ?? 0;
  }

  /** The last revision whose state satisfies `has`, which is so for all before it; 0 if none does. */
  lastWith(has: (state: number) => boolean): number {
    const records = [...this.#records.values()];
    const at = firstFrom(records, (r) => !has(r.state));
    return at === 0 ? 0 : records[at - 1].revision;
  }

  /** A host has everything up to a state. */
  confirmed(node: string, has: (state: number) => boolean, at: number): void {
    const open = this.#open.get(node);
    if (open === undefined) return;
    let done = 0;
    for (const record of open) {
      if (!has(record.state)) break;
      done++;
      record.missing.delete(node);
      if (record.missing.size === 0) record.doneAt ??= at;
    }
    if (done === open.length) this.#open.delete(node);
    else if (done > 0) this.#open.set(node, open.slice(done));
  }

  /** A host no longer exists: nobody waits for it. */
  forget(node: string, at: number): void {
    this.confirmed(node, () => true, at);
  }
}
