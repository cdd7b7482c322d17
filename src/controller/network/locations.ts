/**
 * Where VIFs are, as agents say. While a VIF moves, two hosts may claim it: the newest claim counts. A claim begins
 * when a host first shows the VIF as active, and ends when the host no longer does; a host that cannot be heard keeps its
 * claims. Claims outlive the controller, so that a restart moves nothing: see `ClaimRecords`.
 */
import type { VifReport } from '../../logical/protocol.ts';
import type { InputRow } from './input-rows.ts';

export interface Claim {
  readonly vif: string;
  readonly node: string;
  readonly sequence: number;
  readonly name: string;
}

/** Where claims are kept over restarts; in its own time, since agents repeat what they know. */
export interface ClaimRecords {
  changed(made: readonly Claim[], ended: readonly Claim[]): void;
}

export interface LocationChange {
  readonly inserted: readonly InputRow[];
  readonly deleted: readonly InputRow[];
}

const rowOf = ({ vif, node, sequence }: Claim): InputRow => ({
  table: 'vif_location',
  row: [vif, node, sequence],
});

export class LocationBook {
  /** By node, then by VIF. */
  readonly #claims = new Map<string, Map<string, Claim>>();
  readonly #byVif = new Map<string, Claim[]>();
  readonly #reports = new Map<string, readonly VifReport[]>();
  readonly #records: ClaimRecords | undefined;
  #sequence = 0;

  constructor(records?: ClaimRecords) {
    this.#records = records;
  }

  /** Takes claims from before a restart over. */
  load(claims: Iterable<Claim>): LocationChange {
    const inserted: InputRow[] = [];
    for (const claim of claims) {
      this.#sequence = Math.max(this.#sequence, claim.sequence);
      this.#add(claim);
      inserted.push(rowOf(claim));
    }
    return { inserted, deleted: [] };
  }

  /** Takes all that a node says over. */
  report(node: string, vifs: readonly VifReport[]): LocationChange {
    this.#reports.set(node, vifs);
    // A VIF that two interfaces of one host carry is there once.
    const active = new Map(vifs.filter((v) => v.active).map((v) => [v.vif, v.name]));
    return this.#become(node, active);
  }

  /** The node no longer exists. */
  forget(node: string): LocationChange {
    this.#reports.delete(node);
    return this.#become(node, new Map());
  }

  /** What the node said last; empty if it was not heard since the start. */
  reported(node: string): readonly VifReport[] {
    return this.#reports.get(node) ?? [];
  }

  /** All claims, as input rows. */
  *rows(): Iterable<InputRow> {
    for (const claims of this.#claims.values()) for (const claim of claims.values()) yield rowOf(claim);
  }

  /** The node that counts as the VIF's place. */
  nodeOf(vif: string): string | undefined {
    return this.#byVif
      .get(vif)
      ?.reduce<Claim | undefined>(
        (best, c) => (best === undefined || c.sequence > best.sequence ? c : best),
        undefined,
      )?.node;
  }

  #become(node: string, active: ReadonlyMap<string, string>): LocationChange {
    const old = this.#claims.get(node) ?? new Map<string, Claim>();
    const ended = [...old.values()].filter((c) => !active.has(c.vif));
    const made: Claim[] = [];
    for (const [vif, name] of active)
      if (!old.has(vif)) made.push({ vif, node, sequence: ++this.#sequence, name });
    for (const claim of ended) this.#remove(claim);
    for (const claim of made) this.#add(claim);
    if (made.length > 0 || ended.length > 0) this.#records?.changed(made, ended);
    return { inserted: made.map(rowOf), deleted: ended.map(rowOf) };
  }

  #add(claim: Claim): void {
    const ofNode = this.#claims.get(claim.node);
    if (ofNode === undefined) this.#claims.set(claim.node, new Map([[claim.vif, claim]]));
    else ofNode.set(claim.vif, claim);
    const ofVif = this.#byVif.get(claim.vif);
    if (ofVif === undefined) this.#byVif.set(claim.vif, [claim]);
    else ofVif.push(claim);
  }

  #remove(claim: Claim): void {
    const ofNode = this.#claims.get(claim.node);
    ofNode?.delete(claim.vif);
    if (ofNode?.size === 0) this.#claims.delete(claim.node);
    const rest = this.#byVif.get(claim.vif)?.filter((c) => c !== claim) ?? [];
    if (rest.length === 0) this.#byVif.delete(claim.vif);
    else this.#byVif.set(claim.vif, rest);
  }
}
