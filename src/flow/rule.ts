/** What a classifier keeps: a match with a priority, visible in some versions. */
import type { Match } from './match.ts';
import type { MiniMask, MiniMatch } from './minimatch.ts';
import type { TunnelMetadataMap } from './tun-metadata.ts';

/** A rule is clause `clause` (from 0) of the `nClauses` of conjunction `id`. */
export interface Conjunction {
  readonly id: number;
  readonly clause: number;
  readonly nClauses: number;
}

/** Where a rule that is in a classifier has its values. For the classifier's own use. */
export interface RuleHome {
  readonly mask: MiniMask;
  /** Copies a row's values into a compact match. */
  matchOf(row: number): MiniMatch;
}

/**
 * The base of rules; users add what they want. A rule is in at most one classifier, and its match is
 * known from its first insertion on.
 */
export class Rule {
  /** 0 to 65535 for OpenFlow flows; any integer that fits in 31 bits is fine. */
  readonly priority: number;
  /** Clauses of conjunctive matches that it is part of; null: it is a match of its own. */
  readonly conjunctions: readonly Conjunction[] | null;
  /** First version in which it is visible. */
  addVersion = 0;
  /** First version in which it no longer is; 0: none. */
  removeVersion = 0;

  // The classifier's own: the subtable and row, and the next rule with the same match, which has a lower
  // priority, or the same and other versions.
  /** @internal */
  home: RuleHome | null = null;
  /** @internal */
  row = -1;
  /** @internal */
  next: Rule | null = null;
  #match: MiniMatch | null = null;

  constructor(priority: number, conjunctions: readonly Conjunction[] | null = null) {
    this.priority = priority;
    this.conjunctions = conjunctions !== null && conjunctions.length > 0 ? conjunctions : null;
  }

  /** Whether it is in a classifier. */
  get inserted(): boolean {
    return this.home !== null;
  }

  isVisibleIn(version: number): boolean {
    return this.addVersion <= version && (this.removeVersion === 0 || version < this.removeVersion);
  }

  /** Its match, in compact form. */
  get miniMatch(): MiniMatch {
    const match = this.home?.matchOf(this.row) ?? this.#match;
    if (match === null) throw new TypeError('rule: its match is unknown until it is put into a classifier');
    return match;
  }

  /** Its match, in full. */
  expandMatch(tun: TunnelMetadataMap | null = null): Match {
    return this.miniMatch.expand(tun);
  }

  /** @internal Keeps the match of a rule that leaves its classifier. */
  keepMatch(match: MiniMatch): void {
    this.#match = match;
  }
}
