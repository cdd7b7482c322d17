import { builtins } from '../../src/nlog/builtins.ts';
import type { Aggregate, Arg, Expr, Program, Rule, Table } from '../../src/nlog/program.ts';
import type { HostFunction, Row, Value } from '../../src/nlog/types.ts';

/*
 * The naive evaluator: what a program means, in as few words as possible. Every stratum is evaluated
 * from nothing, rule by rule, by trying the literals one after the other in the order of the text
 * (those that are not ready wait), until nothing new is derived. No index, no increments, no codes.
 */

export type Database = Map<string, Map<string, Row>>;

export function keyOf(row: Row): string {
  return JSON.stringify(row, (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v));
}

export function evaluate(
  program: Program,
  inputs: Database,
  functions: readonly HostFunction[] = [],
): Database {
  const all: Database = new Map(program.tables.map((t) => [t.name, new Map(inputs.get(t.name))]));
  const host = new Map([...builtins, ...functions.map((f) => [f.name, f] as const)]);
  for (const stratum of program.strata) {
    const here = new Set(stratum.tables);
    for (const a of program.aggregates) if (here.has(a.head)) aggregate(a, all);
    const rules = program.rules.filter((r) => here.has(r.head));
    for (let again = true; again; ) {
      again = false;
      for (const rule of rules) {
        const out = all.get(rule.head.name)!;
        solve(rule, all, host, (row) => {
          const key = keyOf(row);
          if (out.has(key)) return;
          out.set(key, row);
          again = true;
        });
      }
    }
  }
  return all;
}

function compute(expr: Expr, vars: readonly (Value | undefined)[]): Value | undefined {
  if (expr.kind === 'const') return expr.value;
  if (expr.kind === 'var') return vars[expr.var]!;
  const a = compute(expr.left, vars);
  const b = compute(expr.right, vars);
  if (a === undefined || b === undefined) return undefined;
  // Everything in bigint: exact, whatever the engine does.
  const [x, y] = [BigInt(a as number), BigInt(b as number)];
  if ((expr.op === '/' || expr.op === '%') && y === 0n) return undefined;
  const result = { '+': () => x + y, '-': () => x - y, '*': () => x * y, '/': () => x / y, '%': () => x % y }[
    expr.op
  ]();
  if (typeof a === 'bigint') return result;
  return Number.isSafeInteger(Number(result)) ? Number(result) : undefined;
}

function ready(expr: Expr, vars: readonly (Value | undefined)[]): boolean {
  if (expr.kind === 'binary') return ready(expr.left, vars) && ready(expr.right, vars);
  return expr.kind === 'const' || vars[expr.var] !== undefined;
}

function solve(
  rule: Rule,
  all: Database,
  host: ReadonlyMap<string, HostFunction>,
  found: (row: Row) => void,
): void {
  const vars: (Value | undefined)[] = rule.vars.map(() => undefined);
  const value = (a: Arg): Value | undefined =>
    a.kind === 'const' ? a.value : a.kind === 'var' ? vars[a.var] : undefined;

  const unify = (args: readonly Arg[], row: Row, then: () => void): void => {
    const set: number[] = [];
    let ok = true;
    for (let i = 0; i < args.length && ok; i++) {
      const a = args[i];
      if (a.kind === 'any') continue;
      const v = value(a);
      if (v === undefined && a.kind === 'var') {
        vars[a.var] = row[i];
        set.push(a.var);
      } else ok = v === row[i] || (typeof v === 'object' && keyOf([v]) === keyOf([row[i]]));
    }
    if (ok) then();
    for (const v of set) vars[v] = undefined;
  };

  const step = (left: readonly number[]): void => {
    if (left.length === 0) {
      found(rule.args.map((a) => value(a)!));
      return;
    }
    for (const i of left) {
      const l = rule.body[i];
      const next = (): void => step(left.filter((k) => k !== i));
      if (l.kind === 'atom') {
        const rows = all.get(l.table.name)!;
        if (!l.negated) {
          for (const row of [...rows.values()]) unify(l.args, row, next);
          return;
        }
        if (l.args.some((a) => value(a) === undefined)) continue;
        if (!rows.has(keyOf(l.args.map((a) => value(a)!)))) next();
        return;
      }
      if (l.kind === 'call') {
        if (l.inputs.some((a) => value(a) === undefined)) continue;
        if (l.negated && l.outputs.some((a) => value(a) === undefined)) continue;
        const result = host.get(l.fn.name)!.call(...l.inputs.map((a) => value(a)!));
        const n = l.outputs.length;
        const wrap = (r: Value): Row => (n === 1 ? [r] : (r as Row));
        let results: Row[];
        if (l.fn.each) results = ((result ?? []) as Value[]).map(wrap);
        else if (n === 0) results = result === true ? [[]] : [];
        else results = result === undefined ? [] : [wrap(result)];
        if (l.negated) {
          if (!results.some((r) => keyOf(r) === keyOf(l.outputs.map((a) => value(a)!)))) next();
        } else for (const r of results) unify(l.outputs, r, next);
        return;
      }
      const [a, b] = [ready(l.left, vars), ready(l.right, vars)];
      if (a && b) {
        const [x, y] = [compute(l.left, vars), compute(l.right, vars)];
        if (x === undefined || y === undefined) return;
        const holds = { '=': x === y, '!=': x !== y, '<': x < y, '<=': x <= y, '>': x > y, '>=': x >= y }[
          l.op
        ];
        if (holds) next();
        return;
      }
      if (l.op !== '=') continue;
      const [target, source] = a ? [l.right, l.left] : [l.left, l.right];
      if (target.kind !== 'var' || !(a || b)) continue;
      const v = compute(source, vars);
      if (v === undefined) return;
      vars[target.var] = v;
      next();
      vars[target.var] = undefined;
      return;
    }
    throw new Error('the rule cannot be evaluated');
  };
  step(rule.body.map((_, i) => i));
}

const order = (a: Value, b: Value): number => (a < b ? -1 : a > b ? 1 : 0);

function aggregate(a: Aggregate, all: Database): void {
  const source = all.get(a.source.name)!;
  const groups = new Map<string, Row[]>();
  for (const row of source.values()) {
    const key = keyOf(row.slice(0, a.groups));
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  for (const rows of groups.values()) {
    const result = [...rows[0].slice(0, a.groups)];
    const value = aggregated(a, rows);
    if (value === undefined) continue;
    result.splice(a.at, 0, value);
    all.get(a.head.name)!.set(keyOf(result), result);
  }
}

function aggregated(a: Aggregate, rows: readonly Row[]): Value | undefined {
  const values = rows.map((r) => r[a.groups]);
  switch (a.op) {
    case 'count':
      return rows.length;
    case 'min':
      return [...values].sort(order)[0];
    case 'max':
      return [...values].sort(order).at(-1)!;
    case 'set':
      return [...values].sort(order);
    case 'list': {
      const by = (x: Row, y: Row): number => {
        for (let k = a.groups + 1; k < x.length; k++) if (order(x[k], y[k]) !== 0) return order(x[k], y[k]);
        return order(x[a.groups], y[a.groups]);
      };
      return [...rows].sort(by).map((r) => r[a.groups]);
    }
    case 'sum': {
      const sum = values.reduce((s: bigint, v) => s + BigInt(v as number), 0n);
      if (typeof values[0] === 'bigint') return sum;
      return Number.isSafeInteger(Number(sum)) ? Number(sum) : undefined;
    }
  }
}

/** The rows of a table in the order that the engine promises. */
export function sorted(rows: Iterable<Row>): Row[] {
  const compare = (a: Value, b: Value): number => {
    if (!Array.isArray(a) || !Array.isArray(b)) return order(a, b);
    for (let i = 0; i < a.length && i < b.length; i++) {
      const d = compare(a[i] as Value, b[i] as Value);
      if (d !== 0) return d;
    }
    return a.length - b.length;
  };
  return [...rows].sort((a, b) => {
    for (let i = 0; i < a.length; i++) {
      const d = compare(a[i], b[i]);
      if (d !== 0) return d;
    }
    return 0;
  });
}

export function namedTables(program: Program): Table[] {
  return program.tables.filter((t) => t.kind !== 'helper');
}
