import { CHUNK_BITS, CHUNK_MASK } from './chunks.ts';
import type { Engine } from './engine.ts';
import type { Step } from './plan.ts';
import { planRule } from './plan.ts';
import type { Arg, Atom, Call, Compare, Expr, Rule } from './program.ts';
import type { Relation } from './relation.ts';

import { NO_CODE } from './values.ts';

/*
 * Finds the solutions of one body by interpretation, in the order of values: for `explain` and `why not`,
 * which ask about one row and must give the same answer whatever happened before. Uses the
 * indexes that the compiled rules have; without one it scans.
 */

export type Parts = Engine['parts'];

/** Where the search for a body got stuck. */
export interface Stuck {
  /** How many steps succeeded before. */
  readonly depth: number;
  readonly step: Step;
  /** Codes of the variables; NO_CODE: none yet. */
  readonly vars: readonly number[];
}

/** So many rows are looked at before a search for the reason of an absence gives up. */
const MAX_LOOKS = 200_000;

export class Solver {
  readonly #parts: Parts;
  readonly #rule: Rule;
  readonly #steps: readonly Step[];
  readonly vars: number[];
  /** The row found for each atom of the body, by its place; 0: none. */
  readonly refs: number[];
  stuck: Stuck | undefined;
  #looks = 0;

  /** `given`: codes of variables that are known, NO_CODE for the others. */
  constructor(parts: Parts, rule: Rule, given: readonly number[]) {
    this.#parts = parts;
    this.#rule = rule;
    this.vars = [...given];
    this.refs = rule.body.map(() => 0);
    this.#steps = planRule(
      rule,
      -1,
      given.flatMap((c, i) => (c === NO_CODE ? [] : [i])),
    ).steps;
  }

  /** Whether there is a solution whose rows all satisfy `accept`; it stays in `vars` and `refs`. */
  first(accept: (atom: Atom, ref: number) => boolean = () => true): boolean {
    return this.#from(0, accept);
  }

  #from(at: number, accept: (atom: Atom, ref: number) => boolean): boolean {
    if (at === this.#steps.length) return true;
    const step = this.#steps[at];
    const before = [...this.vars];
    let tried = false;
    for (const _ of this.#solutions(step, accept)) {
      tried = true;
      if (this.#from(at + 1, accept)) return true;
      if (this.#looks > MAX_LOOKS) return false;
    }
    this.vars.splice(0, this.vars.length, ...before);
    if (!tried) this.#note({ depth: at, step, vars: before });
    return false;
  }

  /** Keeps the deepest place; a table without a row tells more than a test that failed. */
  #note(stuck: Stuck): void {
    const old = this.stuck;
    const better = (s: Stuck): number => (s.step.kind === 'atom' ? 1_000_000 : 0) + s.depth;
    if (old === undefined || better(stuck) > better(old)) this.stuck = stuck;
  }

  code(arg: Arg): number {
    if (arg.kind === 'const') return this.#parts.values.codec(arg.type).find(arg.value);
    return arg.kind === 'var' ? this.vars[arg.var] : NO_CODE;
  }

  /** Sets the variables to one solution of the step after the other. */
  *#solutions(step: Step, accept: (atom: Atom, ref: number) => boolean): Generator<void, void, void> {
    switch (step.kind) {
      case 'atom':
        yield* this.#rows(step, accept);
        return;
      case 'call':
        yield* this.#call(step.call);
        return;
      case 'test':
        if (this.#holds(step.compare)) yield;
        return;
      case 'assign': {
        const value = this.#value(step.expr, step.type);
        if (value === undefined) return;
        this.vars[step.var] = this.#parts.values.codec(step.type).encode(value);
        yield;
      }
    }
  }

  *#rows(
    step: Step & { kind: 'atom' },
    accept: (atom: Atom, ref: number) => boolean,
  ): Generator<void, void, void> {
    const { atom, at } = step;
    const relation = this.#parts.schedule.relations.get(atom.table)!;
    const codes = atom.args.map((a) => this.code(a));
    if (atom.negated) {
      if (relation.code.vis(...codes) === 0) yield;
      return;
    }
    const known = atom.args.flatMap((a, i) =>
      a.kind === 'const' || (a.kind === 'var' && codes[i] !== NO_CODE) ? [i] : [],
    );
    for (const ref of candidates(relation, known, codes)) {
      this.#looks++;
      if (!accept(atom, ref)) continue;
      const set: number[] = [];
      let fits = true;
      for (let i = 0; i < atom.args.length && fits; i++) {
        const a = atom.args[i];
        if (a.kind !== 'var') continue;
        const code = relation.word(ref, i);
        if (this.vars[a.var] === NO_CODE) {
          this.vars[a.var] = code;
          set.push(a.var);
        } else fits = this.vars[a.var] === code;
      }
      if (fits) {
        this.refs[at] = ref;
        yield;
      }
      for (const v of set) this.vars[v] = NO_CODE;
    }
  }

  *#call(call: Call): Generator<void, void, void> {
    const inputs = call.inputs.map((a) => this.code(a));
    let results: number[][] = [];
    if (call.fn.builtin && call.fn.name === 'not_equal') results = inputs[0] === inputs[1] ? [] : [[]];
    else {
      const f = this.#parts.functions.of(call, this.#rule.vars);
      const answer = f.call(...inputs);
      const width = call.outputs.length;
      if (call.fn.each)
        results = Array.from({ length: answer }, (_, i) => [...f.out.subarray(i * width, (i + 1) * width)]);
      else if (width === 1) results = answer === NO_CODE ? [] : [[answer]];
      else results = answer === 1 ? [[...f.out.subarray(0, width)]] : [];
    }
    const same = (r: readonly number[]): boolean =>
      call.outputs.every((a, i) => a.kind === 'any' || this.code(a) === NO_CODE || this.code(a) === r[i]);
    if (call.negated) {
      if (!results.some(same)) yield;
      return;
    }
    for (const r of results) {
      if (!same(r)) continue;
      const before = [...this.vars];
      call.outputs.forEach((a, i) => {
        if (a.kind === 'var') this.vars[a.var] = r[i];
      });
      yield;
      this.vars.splice(0, this.vars.length, ...before);
    }
  }

  #holds({ op, left, right, type }: Compare): boolean {
    const [a, b] = [this.#value(left, type), this.#value(right, type)];
    if (a === undefined || b === undefined) return false;
    switch (op) {
      case '=':
        return a === b || this.#sameCode(left, right);
      case '!=':
        return a !== b && !this.#sameCode(left, right);
      case '<':
        return a < b;
      case '<=':
        return a <= b;
      case '>':
        return a > b;
      case '>=':
        return a >= b;
    }
  }

  #sameCode(left: Expr, right: Expr): boolean {
    return left.kind !== 'binary' && right.kind !== 'binary' && this.code(left) === this.code(right);
  }

  #value(expr: Expr, type: string): number | bigint | string | undefined {
    if (expr.kind !== 'binary') {
      if (expr.kind === 'const') return expr.value as number | bigint | string;
      return this.#parts.values.codec(type).decode(this.vars[expr.var]) as number | bigint | string;
    }
    const [a, b] = [this.#value(expr.left, type), this.#value(expr.right, type)];
    if (a === undefined || b === undefined) return undefined;
    const [x, y] = [BigInt(a), BigInt(b)];
    if (y === 0n && (expr.op === '/' || expr.op === '%')) return undefined;
    const result = {
      '+': () => x + y,
      '-': () => x - y,
      '*': () => x * y,
      '/': () => x / y,
      '%': () => x % y,
    }[expr.op]();
    if (type === 'bigint') return result;
    return Number.isSafeInteger(Number(result)) ? Number(result) : undefined;
  }
}

/** Visible rows that have these codes in the known columns, ordered by value. */
export function candidates(relation: Relation, known: readonly number[], codes: readonly number[]): number[] {
  if (known.some((i) => codes[i] === NO_CODE)) return [];
  if (known.length === relation.layout.arity) {
    const ref = relation.code.vis(...codes);
    return ref === 0 ? [] : [ref];
  }
  const fits = (ref: number): boolean => known.every((i) => relation.word(ref, i) === codes[i]);
  const refs: number[] = [];
  // The index that knows most.
  let best = -1;
  relation.layout.indexes.forEach((columns, i) => {
    if (
      columns.every((c) => known.includes(c)) &&
      (best < 0 || columns.length > relation.layout.indexes[best].length)
    )
      best = i;
  });
  if (best < 0)
    relation.forEach((ref) => {
      if (fits(ref)) refs.push(ref);
    });
  else {
    const next = relation.layout.indexAt(best);
    const columns = relation.layout.indexes[best];
    for (
      let ref = relation.code.indexes[best].first(...columns.map((c) => codes[c]));
      ref !== 0;
      ref = relation.state.chunks[ref >>> CHUNK_BITS][(ref & CHUNK_MASK) + next]
    )
      if (fits(ref)) refs.push(ref);
  }
  return refs.sort((a, b) => {
    for (let i = 0; i < relation.layout.arity; i++) {
      const [x, y] = [relation.word(a, i), relation.word(b, i)];
      if (x === y) continue;
      const d = relation.codecs[i].compare(x, y);
      if (d !== 0) return d;
    }
    return 0;
  });
}
