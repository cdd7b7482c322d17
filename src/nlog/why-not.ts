import { where } from './diagnostics.ts';
import type { Engine } from './engine.ts';
import { literalText, unifyHead } from './explain.ts';
import type { Arg, Atom, Rule, Table } from './program.ts';
import { candidates, type Parts, Solver } from './solve.ts';
import type { Value } from './types.ts';
import { NO_CODE } from './values.ts';

/** Why one rule does not derive a row. */
export interface RuleRefusal {
  /** Where the rule stands: `file:line:column`. */
  readonly rule: string;
  /** The literal at which the search got stuck, with the values known there put in. */
  readonly literal: string;
  readonly reason: 'head' | 'no row' | 'row present' | 'no value' | 'does not hold';
  /** Variables that had values, as programs write them. */
  readonly bindings: readonly { readonly name: string; readonly value: string }[];
  /** If the literal is an atom of a derived table: why that row is absent. */
  readonly below: WhyNot | undefined;
}

/** Why no row of a table fits. */
export interface WhyNot {
  readonly table: string;
  /** The row asked for; `_` for columns that may be anything. */
  readonly text: string;
  /** It is there after all: ask `explain`. */
  readonly present: boolean;
  /** One for each rule that could derive it; none for input tables. */
  readonly rules: readonly RuleRefusal[];
}

/**
 * Why no row of a table fits a pattern (`undefined`: any value): for each rule that could derive it, the
 * first literal that found nothing, where the search got furthest, and with which values; followed
 * down through derived tables to `depth`.
 */
export function whyNot(
  engine: Engine,
  table: string,
  pattern: readonly (Value | undefined)[],
  depth = 8,
): WhyNot {
  const { parts } = engine;
  const relation = parts.relation(table);
  const codes = relation.codecs.map((c, i) => (pattern[i] === undefined ? NO_CODE : c.find(pattern[i])));
  // A value that was never seen has no code: it is enough to know that no row has it.
  const unseen = codes.findIndex((c, i) => c === NO_CODE && pattern[i] !== undefined);
  if (unseen >= 0 && relation.table.kind === 'input')
    return { table, text: patternText(parts, relation.table, codes, pattern), present: false, rules: [] };
  const interned = relation.codecs.map((c, i) => (pattern[i] === undefined ? NO_CODE : c.encode(pattern[i])));
  return new Refuser(engine, parts).why(relation.table, interned, depth);
}

function patternText(
  parts: Parts,
  table: Table,
  codes: readonly number[],
  pattern: readonly (Value | undefined)[] = [],
): string {
  const args = table.columns.map((c, i) => {
    if (codes[i] !== NO_CODE) return parts.values.codec(c.type).format(codes[i]);
    return pattern[i] === undefined
      ? '_'
      : JSON.stringify(pattern[i], (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v));
  });
  return `${table.name}(${args.join(', ')})`;
}

class Refuser {
  readonly #engine: Engine;
  readonly #parts: Parts;
  readonly #asked = new Set<string>();

  constructor(engine: Engine, parts: Parts) {
    this.#engine = engine;
    this.#parts = parts;
  }

  why(table: Table, codes: readonly number[], depth: number): WhyNot {
    const relation = this.#parts.schedule.relations.get(table)!;
    const text = patternText(this.#parts, table, codes);
    const known = codes.flatMap((c, i) => (c === NO_CODE ? [] : [i]));
    const present = candidates(relation, known, codes).length > 0;
    this.#asked.add(text);
    const rules = present || table.kind === 'input' ? [] : this.#rules(table, codes, depth);
    return { table: table.name, text, present, rules };
  }

  #rules(table: Table, codes: readonly number[], depth: number): RuleRefusal[] {
    const { rules, aggregates } = this.#engine.program;
    const out: RuleRefusal[] = [];
    for (const rule of rules) if (rule.head === table) out.push(this.#rule(rule, codes, depth));
    for (const a of aggregates) {
      if (a.head !== table) continue;
      // The group must have a row; what its result should have been is another question.
      const group = codes.filter((_, i) => i !== a.at);
      const rule = rules.find((r) => r.head === a.source)!;
      const all = a.source.columns.map((_, i) => (i < group.length ? group[i] : NO_CODE));
      const refusal = this.#rule(rule, all, depth);
      out.push(
        refusal.reason === 'head'
          ? { ...refusal, literal: `the ${a.op} of the group is another value`, reason: 'does not hold' }
          : refusal,
      );
    }
    return out;
  }

  #rule(rule: Rule, codes: readonly number[], depth: number): RuleRefusal {
    const base = { rule: where(rule.span), bindings: [], below: undefined };
    const given = unifyHead(rule, this.#parts, (i) => codes[i]);
    if (given === undefined) {
      const arg = (a: Arg): string =>
        a.kind === 'const'
          ? this.#parts.values.codec(a.type).format(this.#parts.values.codec(a.type).encode(a.value))
          : a.kind === 'var'
            ? rule.vars[a.var].name
            : '_';
      return { ...base, literal: `${rule.head.name}(${rule.args.map(arg).join(', ')})`, reason: 'head' };
    }
    const solver = new Solver(this.#parts, rule, given);
    const found = solver.first();
    if (found || solver.stuck === undefined) return { ...base, literal: rule.head.name, reason: 'head' };
    const { step, vars } = solver.stuck;
    const literal =
      step.kind === 'atom'
        ? step.atom
        : step.kind === 'call'
          ? step.call
          : step.kind === 'test'
            ? step.compare
            : undefined;
    const bindings = rule.vars.flatMap((v, i) =>
      vars[i] === NO_CODE ? [] : [{ name: v.name, value: this.#parts.values.codec(v.type).format(vars[i]) }],
    );
    if (literal === undefined)
      return {
        ...base,
        bindings,
        literal: `${rule.vars[(step as { var: number }).var].name} = ...`,
        reason: 'no value',
      };
    const text = literalText(literal, rule, vars, this.#parts);
    if (literal.kind === 'atom')
      return {
        ...base,
        bindings,
        literal: text,
        reason: literal.negated ? 'row present' : 'no row',
        below: literal.negated ? undefined : this.#below(literal, vars, depth),
      };
    const computes = literal.kind === 'call' && literal.outputs.length > 0;
    return { ...base, bindings, literal: text, reason: computes ? 'no value' : 'does not hold' };
  }

  #below(atom: Atom, vars: readonly number[], depth: number): WhyNot | undefined {
    if (depth <= 0 || atom.table.kind === 'input') return undefined;
    const codes = atom.args.map((a) =>
      a.kind === 'const'
        ? this.#parts.values.codec(a.type).encode(a.value)
        : a.kind === 'var'
          ? vars[a.var]
          : NO_CODE,
    );
    if (this.#asked.has(patternText(this.#parts, atom.table, codes))) return undefined;
    return this.why(atom.table, codes, depth - 1);
  }
}

/** As an indented text. */
export function formatWhyNot(w: WhyNot, indent = ''): string {
  if (w.present) return `${indent}${w.text} is there`;
  const lines = [`${indent}${w.text} is not there${w.rules.length === 0 ? ': no such input row' : ''}`];
  for (const r of w.rules) {
    const what = {
      head: `derives only ${r.literal}`,
      'no row': `finds no ${r.literal}`,
      'row present': `needs ${r.literal}, but there is one`,
      'no value': `finds no value: ${r.literal}`,
      'does not hold': `fails: ${r.literal}`,
    }[r.reason];
    lines.push(`${indent}  rule ${r.rule} ${what}`);
    if (r.bindings.length > 0)
      lines.push(`${indent}    with ${r.bindings.map((b) => `${b.name} = ${b.value}`).join(', ')}`);
    if (r.below !== undefined) lines.push(formatWhyNot(r.below, `${indent}    `));
  }
  return lines.join('\n');
}
