/** Conjunctive matches: which conjunctions have all their clauses among some rules. */
import type { Rule } from './rule.ts';

/** Clauses that a conjunction may have at most. */
export const MAX_CLAUSES = 64;

/**
 * The ids of the conjunctions all of whose clauses are among `rules`, in the order in which they become
 * whole. Clauses of one id that disagree about how many there are belong to different conjunctions.
 */
export function* findConjunction(rules: readonly Rule[]): IterableIterator<number> {
  const seen = new Map<number, { readonly nClauses: number; readonly clauses: Set<number> }[]>();
  for (const rule of rules) {
    for (const { id, clause, nClauses } of rule.conjunctions ?? []) {
      // A rule is no two clauses of one conjunction, so it takes as many rules as clauses.
      if (nClauses > rules.length) continue;
      const variants = seen.get(id) ?? [];
      seen.set(id, variants);
      let variant = variants.find((v) => v.nClauses === nClauses);
      if (variant === undefined) {
        variant = { nClauses, clauses: new Set() };
        variants.push(variant);
      }
      const before = variant.clauses.size;
      variant.clauses.add(clause);
      if (variant.clauses.size === nClauses && before < nClauses) yield id;
    }
  }
}
