import { entryOf } from './maps.ts';
import {
  type Arg,
  type Atom,
  type Call,
  type Compare,
  type Expr,
  exprVars,
  type Literal,
  type Rule,
  type Table,
} from './program.ts';

/*
 * In which order a rule joins.
 *
 * A plan starts from the rows that changed in one atom (or from nothing) and adds one literal after the
 * other. Whatever only filters or computes goes first as soon as its variables are known. Among the
 * atoms, the one that can be answered with the fewest rows goes next, judged by what the declarations
 * say and never by how many rows there are now, so that a plan depends on the program alone:
 *
 *   all columns known         a look-up of one row
 *   a key known               at most one row
 *   otherwise                 the fewer unknown columns the better
 *   no column known           last: a scan
 *
 * and the text decides between equals.
 */

/** How an atom finds its rows: by these columns; `all` is the primary hash, an empty list a scan. */
export type Access =
  | { readonly kind: 'all' }
  | { readonly kind: 'index'; readonly columns: readonly number[] }
  | { readonly kind: 'scan' };

export type Step =
  | { readonly kind: 'atom'; readonly atom: Atom; readonly at: number; readonly access: Access }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'test'; readonly compare: Compare }
  | { readonly kind: 'assign'; readonly var: number; readonly expr: Expr; readonly type: string };

export interface Plan {
  readonly rule: Rule;
  /** The literal whose changed rows drive the plan; -1: none. */
  readonly start: number;
  readonly steps: readonly Step[];
}

/** `given`: variables that have values before the first step. */
export function planRule(rule: Rule, start: number, given: Iterable<number> = []): Plan {
  const bound = new Set<number>(given);
  const bindArgs = (args: readonly Arg[]): void => {
    for (const a of args) if (a.kind === 'var') bound.add(a.var);
  };
  const known = (a: Arg): boolean => a.kind === 'const' || (a.kind === 'var' && bound.has(a.var));
  const allKnown = (e: Expr): boolean => [...exprVars(e)].every((v) => bound.has(v));
  const steps: Step[] = [];
  const left = new Map<number, Literal>(rule.body.map((l, i) => [i, l]));
  if (start >= 0) {
    bindArgs((rule.body[start] as Atom).args);
    left.delete(start);
  }

  /** The step for a literal that needs no join, if what it needs is known. */
  const cheap = (l: Literal): Step | undefined => {
    if (l.kind === 'compare') {
      const [leftKnown, rightKnown] = [allKnown(l.left), allKnown(l.right)];
      if (leftKnown && rightKnown) return { kind: 'test', compare: l };
      if (l.op !== '=') return undefined;
      if (rightKnown && l.left.kind === 'var')
        return { kind: 'assign', var: l.left.var, expr: l.right, type: l.type };
      if (leftKnown && l.right.kind === 'var')
        return { kind: 'assign', var: l.right.var, expr: l.left, type: l.type };
      return undefined;
    }
    if (l.kind === 'call')
      return l.inputs.every(known) && (!l.negated || l.outputs.every(known))
        ? { kind: 'call', call: l }
        : undefined;
    return undefined;
  };
  const takeCheap = (): boolean => {
    // Comparisons before calls of functions: they cost nothing and may spare the call.
    for (const wanted of ['compare', 'call'] as const)
      for (const [i, l] of left) {
        const step = l.kind === wanted ? cheap(l) : undefined;
        if (step === undefined) continue;
        left.delete(i);
        steps.push(step);
        if (step.kind === 'assign') bound.add(step.var);
        else if (step.kind === 'call') bindArgs(step.call.outputs);
        return true;
      }
    return false;
  };
  const cost = (atom: Atom): number => {
    const unknown = atom.args.filter((a) => !known(a)).length;
    if (unknown === 0) return 0;
    if (atom.negated) return Number.POSITIVE_INFINITY;
    const { key } = atom.table;
    if (key.length > 0 && key.every((c) => known(atom.args[c]))) return 1;
    if (unknown === atom.args.length) return 1000 + unknown;
    return 1 + unknown;
  };

  while (left.size > 0) {
    if (takeCheap()) continue;
    let best = -1;
    let bestCost = Number.POSITIVE_INFINITY;
    for (const [i, l] of left) {
      if (l.kind !== 'atom') continue;
      const c = cost(l);
      if (c < bestCost) [best, bestCost] = [i, c];
    }
    if (best < 0)
      throw new Error(`rule of "${rule.head.name}" has no plan; the checker let an unbound variable pass`);
    const atom = left.get(best) as Atom;
    left.delete(best);
    steps.push({ kind: 'atom', atom, at: best, access: accessOf(atom, known) });
    bindArgs(atom.args);
  }
  return { rule, start, steps };
}

function accessOf(atom: Atom, known: (a: Arg) => boolean): Access {
  const columns = atom.args.flatMap((a, i) => (known(a) ? [i] : []));
  if (columns.length === atom.args.length) return { kind: 'all' };
  if (columns.length === 0) return { kind: 'scan' };
  const { key } = atom.table;
  return { kind: 'index', columns: key.length > 0 && key.every((c) => columns.includes(c)) ? key : columns };
}

/** The values that a step looks rows up with; `undefined` if it does not. */
export function probeKeys(step: Step): readonly Arg[] | undefined {
  if (step.kind !== 'atom' || step.access.kind === 'scan') return undefined;
  const { atom, access } = step;
  const keys = access.kind === 'index' ? access.columns.map((k) => atom.args[k]) : atom.args;
  return keys.length === 0 ? undefined : keys;
}

/** The one function that is code of its own. */
export function isNotEqual(call: Call): boolean {
  return call.fn.builtin && call.fn.name === 'not_equal';
}

/** Whether a step needs a variable. */
export function uses(step: Step, v: number): boolean {
  const has = (args: readonly Arg[]): boolean => args.some((a) => a.kind === 'var' && a.var === v);
  const inside = (e: Expr): boolean => new Set(exprVars(e)).has(v);
  switch (step.kind) {
    case 'atom':
      return has(step.atom.args);
    case 'call':
      return has(step.call.inputs) || has(step.call.outputs);
    case 'test':
      return inside(step.compare.left) || inside(step.compare.right);
    case 'assign':
      return inside(step.expr);
  }
}

/** The columns of every index that the plans probe, per table, each once, in a fixed order. */
export class IndexCatalogue {
  readonly #byTable = new Map<Table, (readonly number[])[]>();

  add(table: Table, columns: readonly number[]): void {
    const list = this.of(table);
    if (!list.some((c) => c.join() === columns.join())) list.push(columns);
  }

  addPlan(plan: Plan): void {
    for (const s of plan.steps)
      if (s.kind === 'atom' && s.access.kind === 'index') this.add(s.atom.table, s.access.columns);
  }

  of(table: Table): (readonly number[])[] {
    return entryOf(this.#byTable, table, () => []);
  }
}
