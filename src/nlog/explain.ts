import { WeftError } from '../base/errors.ts';
import { where } from './diagnostics.ts';
import type { Engine } from './engine.ts';
import type { Aggregate, Arg, Literal, Rule, Table } from './program.ts';
import type { Relation } from './relation.ts';
import { candidates, type Parts, Solver } from './solve.ts';
import type { Row } from './types.ts';
import { NO_CODE } from './values.ts';

/** Why something holds. */
export type Reason =
  | { readonly kind: 'row'; readonly derivation: Derivation }
  /** A negated atom: no such row. `pattern` as in the rule, with the values put in. */
  | { readonly kind: 'absent'; readonly text: string }
  /** A function or a comparison. */
  | { readonly kind: 'computed'; readonly text: string };

/** One row and what it follows from, down to rows of input tables. */
export interface Derivation {
  readonly table: string;
  readonly row: Row;
  /** As programs write it. */
  readonly text: string;
  readonly kind: 'input' | 'rule' | 'aggregate' | 'repeated' | 'cut';
  /** Where the rule stands: `file:line:column`. */
  readonly rule: string | undefined;
  /** In how many ways the row is derived, over all rules. */
  readonly derivations: number;
  readonly because: readonly Reason[];
  /** Aggregates: rows of the group that are not shown. */
  readonly more: number;
}

/** So many rows of a group are shown for an aggregate. */
const MAX_GROUP = 10;
/** A tree has at most so many rows; what would follow is cut. */
const MAX_ROWS = 10_000;
const MAX_DEPTH = 500;

/**
 * Why a row is there: one derivation, down to the inputs. Of several derivations it is the one by the
 * first rule of the text, with the first rows by value; in a recursive table, one that does not
 * need the row itself.
 *
 * @throws WeftError `nlog-absent` if there is no such row: ask `whyNot`
 */
export function explain(engine: Engine, table: string, row: Row): Derivation {
  const { parts } = engine;
  const relation = parts.relation(table);
  const codes = relation.encode(row, false);
  const ref = codes === undefined ? 0 : relation.code.vis(...codes);
  if (ref === 0) throw new WeftError('nlog-absent', `"${table}" has no such row`, { remedy: 'ask why not' });
  return new Explainer(engine, parts).derive(relation, ref, 0);
}

class Explainer {
  readonly #engine: Engine;
  readonly #parts: Parts;
  readonly #seen = new Set<string>();

  constructor(engine: Engine, parts: Parts) {
    this.#engine = engine;
    this.#parts = parts;
  }

  derive(relation: Relation, ref: number, depth: number): Derivation {
    const { table } = relation;
    const base = {
      table: table.name,
      row: relation.decode(relation.codesOf(ref)),
      text: rowText(relation, ref),
      rule: undefined,
      derivations: relation.derivations(ref),
      because: [],
      more: 0,
    };
    if (table.kind === 'input') return { ...base, kind: 'input', derivations: 1 };
    const id = `${table.id}:${ref}`;
    if (this.#seen.has(id)) return { ...base, kind: 'repeated' };
    if (this.#seen.size >= MAX_ROWS || depth >= MAX_DEPTH) return { ...base, kind: 'cut' };
    this.#seen.add(id);
    for (const rule of this.#engine.program.rules) {
      if (rule.head !== table) continue;
      const because = this.#byRule(rule, relation, ref, depth);
      if (because !== undefined) return { ...base, kind: 'rule', rule: where(rule.span), because };
    }
    for (const a of this.#engine.program.aggregates) {
      if (a.head !== table) continue;
      const group = this.#byAggregate(a, relation, ref, depth);
      if (group !== undefined) return { ...base, kind: 'aggregate', rule: where(a.span), ...group };
    }
    throw new WeftError('nlog-impure-function', `${base.text} is there, but no rule derives it now`, {
      remedy:
        'a function that its rules call gives different results for the same arguments; make it stateless',
    });
  }

  #byRule(rule: Rule, relation: Relation, ref: number, depth: number): Reason[] | undefined {
    const given = unifyHead(rule, this.#parts, (i) => relation.word(ref, i));
    if (given === undefined) return undefined;
    const solver = new Solver(this.#parts, rule, given);
    const { layout } = relation;
    const rank = layout.recursive ? relation.word(ref, layout.rank) : 0;
    // In a recursive table only rows of lower rank can stand under this one: else it might stand on itself.
    const lower = (table: Table, r: number): boolean => {
      const other = this.#parts.schedule.relations.get(table)!;
      return (
        !layout.recursive ||
        other.state.stratum !== relation.state.stratum ||
        other.word(r, other.layout.rank) < rank
      );
    };
    if (!solver.first((atom, r) => lower(atom.table, r))) return undefined;
    return this.#reasons(rule, solver, depth);
  }

  #reasons(rule: Rule, solver: Solver, depth: number): Reason[] {
    return rule.body.map((l, i): Reason => {
      if (l.kind === 'atom' && !l.negated)
        return {
          kind: 'row',
          derivation: this.derive(this.#parts.schedule.relations.get(l.table)!, solver.refs[i], depth + 1),
        };
      return {
        kind: l.kind === 'atom' ? 'absent' : 'computed',
        text: literalText(l, rule, solver.vars, this.#parts),
      };
    });
  }

  #byAggregate(
    a: Aggregate,
    head: Relation,
    ref: number,
    depth: number,
  ): { because: Reason[]; more: number } | undefined {
    const source = this.#parts.schedule.relations.get(a.source)!;
    const codes = [...head.codesOf(ref)];
    const [result] = codes.splice(a.at, 1);
    let rows = candidates(
      source,
      codes.map((_, i) => i),
      [...codes, ...new Array<number>(source.layout.arity - codes.length).fill(NO_CODE)],
    );
    if (rows.length === 0) return undefined;
    if (a.op === 'min' || a.op === 'max') rows = rows.filter((r) => source.word(r, a.groups) === result);
    const shown = rows.slice(0, MAX_GROUP);
    const rule = this.#engine.program.rules.find((r) => r.head === a.source)!;
    const because = shown.flatMap((r) => this.#byRule(rule, source, r, depth) ?? []);
    return { because, more: rows.length - shown.length };
  }
}

/** Codes of a rule's variables where its head is a given row; `undefined` where the head cannot be it. */
export function unifyHead(
  rule: Rule,
  parts: Parts,
  codeAt: (column: number) => number,
): number[] | undefined {
  const vars = rule.vars.map(() => NO_CODE);
  for (let i = 0; i < rule.args.length; i++) {
    const a = rule.args[i];
    const code = codeAt(i);
    if (code === NO_CODE || a.kind === 'any') continue;
    if (a.kind === 'const') {
      if (parts.values.codec(a.type).find(a.value) !== code) return undefined;
    } else if (vars[a.var] === NO_CODE) vars[a.var] = code;
    else if (vars[a.var] !== code) return undefined;
  }
  return vars;
}

export function rowText(relation: Relation, ref: number): string {
  return `${relation.table.name}(${relation.codecs.map((c, i) => c.format(relation.word(ref, i))).join(', ')})`;
}

/** A literal as in the text, with the values of its variables put in. */
export function literalText(l: Literal, rule: Rule, vars: readonly number[], parts: Parts): string {
  const arg = (a: Arg): string => {
    if (a.kind === 'any') return '_';
    if (a.kind === 'const')
      return parts.values.codec(a.type).format(parts.values.codec(a.type).encode(a.value));
    const code = vars[a.var];
    return code === NO_CODE ? rule.vars[a.var].name : parts.values.codec(rule.vars[a.var].type).format(code);
  };
  if (l.kind === 'call')
    return `${l.negated ? 'not ' : ''}${l.fn.name}(${[...l.inputs, ...l.outputs].map(arg).join(', ')})`;
  if (l.kind === 'atom') {
    // A projection made for a negation is shown as the table it stands for.
    const [name, kept] = l.table.name.split('/');
    const args = l.args.map(arg);
    if (l.table.kind === 'helper' && kept !== undefined) {
      const full = parts.relation(name).table.columns.map(() => '_');
      kept.split('.').forEach((k, i) => {
        full[Number(k)] = args[i];
      });
      return `${l.negated ? 'not ' : ''}${name}(${full.join(', ')})`;
    }
    return `${l.negated ? 'not ' : ''}${name}(${args.join(', ')})`;
  }
  const text = (e: typeof l.left): string =>
    e.kind === 'binary' ? `(${text(e.left)} ${e.op} ${text(e.right)})` : arg(e);
  return `${text(l.left)} ${l.op} ${text(l.right)}`;
}

/** A derivation as an indented tree. */
export function formatDerivation(d: Derivation, indent = ''): string {
  const ways = d.derivations > 1 ? `, one of ${d.derivations} derivations` : '';
  const how =
    d.kind === 'input'
      ? 'input'
      : d.kind === 'repeated'
        ? 'see above'
        : d.kind === 'cut'
          ? 'not followed further'
          : `${d.kind === 'aggregate' ? 'aggregate' : 'rule'} ${d.rule}${ways}`;
  const lines = [`${indent}${d.text}  [${how}]`];
  for (const r of d.because) {
    if (r.kind === 'row') lines.push(formatDerivation(r.derivation, `${indent}  `));
    else lines.push(`${indent}  ${r.text}`);
  }
  if (d.more > 0) lines.push(`${indent}  and ${d.more} more rows of the group`);
  return lines.join('\n');
}
