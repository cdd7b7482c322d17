import type { Functions } from './functions.ts';
import type { Access, Plan, Step } from './plan.ts';
import type { Arg, Atom, Call, Compare, Expr, Table } from './program.ts';
import {
  BATCH,
  CHUNK_BITS,
  CHUNK_MASK,
  type Layout,
  Scratch,
  type StoreCode,
  type StoreIndex,
  type StoreState,
  VISIBLE,
} from './store.ts';
import { rowWidth } from './store-code.ts';
import { NO_CODE, type Values } from './values.ts';

/**
 * Runs one plan over the changed rows `refs[from..to)`, each with the weight +1 (came) or -1 (went),
 * and returns the number of derivations found. Plans without a start ignore the rows.
 */
export type RuleFunction = (refs: Int32Array, from: number, to: number, weight: number) => number;

/** What the code of a rule needs to know about a table. */
export interface CodeTable {
  readonly table: Table;
  readonly layout: Layout;
  readonly code: StoreCode;
  readonly state: StoreState;
}

/** Atoms (by their place in the body) that must not see the rows of the batch at hand. */
export type Hidden = ReadonlySet<number>;

/** More bits than any bigint of a program may have: arithmetic beyond has no value. */
const BIG_BITS = 4096;

export function compileRule(
  plan: Plan,
  hidden: Hidden,
  tables: (t: Table) => CodeTable,
  values: Values,
  functions: Functions,
): RuleFunction {
  return new RuleWriter(plan, hidden, tables, values, functions).compile();
}

/**
 * Writes one rule as nested loops. Numbers, and names of the writer's own, are all that goes into the
 * text; constants of programs go in as codes.
 */
class RuleWriter {
  readonly #plan: Plan;
  readonly #hidden: Hidden;
  readonly #tables: (t: Table) => CodeTable;
  readonly #values: Values;
  readonly #functions: Functions;
  readonly #bound = new Set<number>();
  readonly #given: unknown[] = [];
  readonly #names: string[] = [];
  readonly #ranks: string[] = [];
  #fresh = 0;
  /** Counts what is left in the scratch buffer. */
  #finish = '';

  constructor(
    plan: Plan,
    hidden: Hidden,
    tables: (t: Table) => CodeTable,
    values: Values,
    functions: Functions,
  ) {
    this.#plan = plan;
    this.#hidden = hidden;
    this.#tables = tables;
    this.#values = values;
    this.#functions = functions;
  }

  compile(): RuleFunction {
    const { rule, start } = this.#plan;
    let inner: string;
    if (start < 0) inner = this.#steps(0);
    else {
      const atom = rule.body[start] as Atom;
      const t = this.#tables(atom.table);
      const ch = this.#give('ch', t.state.chunks);
      const row = this.#row(atom, t, 'c', 'o', true);
      const head = `const r = refs[i], c = ${ch}[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};`;
      const ahead = this.#readAhead(atom);
      const body = `for (let i = at; i < end; i++) {
${head}
${row.open}${this.#steps(0)}${row.close}
}`;
      inner = `for (let at = from; at < to; at += ${Scratch.ROWS}) {
const end = Math.min(to, at + ${Scratch.ROWS});
${ahead === '' ? '' : `let sum = 0;\nfor (let i = at; i < end; i++) {\n${head}\n${ahead}\n}\n${this.#give('scratch', t.state.scratch)}.sink = sum;`}
${body}
}`;
    }
    // A row that comes to a negated atom takes derivations away.
    const negated = start >= 0 && (rule.body[start] as Atom).negated;
    const body = `'use strict';
return (refs, from, to, weight) => {
const w = ${negated ? '-weight' : 'weight'};
let n = 0, p = 0;
${inner}
${this.#finish}
return n;
};`;
    return new Function(...this.#names, body)(...this.#given) as RuleFunction;
  }

  /**
   * Reads ahead for the probes whose values all stand in the changed row: those of a block of rows are begun
   * together, so that their waits for memory overlap.
   */
  #readAhead(start: Atom): string {
    const place = new Map<number, number>();
    start.args.forEach((a, i) => {
      if (a.kind === 'var' && !place.has(a.var)) place.set(a.var, i);
    });
    const lines: string[] = [];
    for (const step of this.#plan.steps) {
      if (step.kind !== 'atom' || step.access.kind === 'scan') continue;
      const { atom, access } = step;
      const columns = access.kind === 'index' ? access.columns : atom.args.map((_, i) => i);
      const keys = columns.map((k) => atom.args[k]);
      if (
        columns.length === 0 ||
        !keys.every((a) => a.kind === 'const' || (a.kind === 'var' && place.has(a.var)))
      )
        continue;
      const t = this.#tables(atom.table);
      const touch = this.#give(
        'touch',
        access.kind === 'index' ? this.#indexOf(t, access.columns).touch : t.code.touch,
      );
      lines.push(
        `sum ^= ${touch}(${keys.map((a) => (a.kind === 'var' ? `c[o + ${place.get(a.var)}]` : this.#arg(a))).join(', ')});`,
      );
    }
    return lines.join('\n');
  }

  #indexOf(t: CodeTable, columns: readonly number[]): StoreIndex {
    return t.code.indexes.find((i) => i.columns.join() === columns.join())!;
  }

  #give(prefix: string, value: unknown): string {
    const known = this.#given.indexOf(value);
    if (known >= 0) return this.#names[known];
    const name = `${prefix}${this.#names.length}_`;
    this.#names.push(name);
    this.#given.push(value);
    return name;
  }

  #arg(arg: Arg): string {
    if (arg.kind === 'var') return `v${arg.var}`;
    if (arg.kind === 'const') return String(this.#values.constant(arg.type, arg.value));
    throw new Error('a wildcard has no value');
  }

  #known(arg: Arg): boolean {
    return arg.kind === 'const' || (arg.kind === 'var' && this.#bound.has(arg.var));
  }

  /** Binds the variables of an atom to the row at c[o...], and tests what is known already. */
  #row(
    atom: Atom,
    t: CodeTable,
    c: string,
    o: string,
    ranked: boolean,
    skip: readonly number[] = [],
  ): { open: string; close: string } {
    const lines: string[] = [];
    const tests: string[] = [];
    atom.args.forEach((a, i) => {
      if (a.kind === 'any' || skip.includes(i)) return;
      if (this.#known(a)) tests.push(`${c}[${o} + ${i}] === ${this.#arg(a)}`);
      else if (a.kind === 'var') {
        lines.push(`const v${a.var} = ${c}[${o} + ${i}];`);
        this.#bound.add(a.var);
      }
    });
    if (ranked) this.#rank(atom, t, c, o, lines);
    const text = lines.length === 0 ? '' : `${lines.join(' ')}\n`;
    return tests.length === 0
      ? { open: text, close: '' }
      : { open: `${text}if (${tests.join(' && ')}) {\n`, close: '\n}' };
  }

  /** The rank of a row of the head's own stratum counts for the derivation. */
  #rank(atom: Atom, t: CodeTable, c: string, o: string, lines: string[]): void {
    const head = this.#tables(this.#plan.rule.head);
    if (atom.negated || !t.layout.recursive || !head.layout.recursive || !this.#sameStratum(atom.table))
      return;
    const k = `k${this.#fresh++}`;
    lines.push(`const ${k} = ${c}[${o} + ${t.layout.rank}];`);
    this.#ranks.push(k);
  }

  #sameStratum(table: Table): boolean {
    return this.#tables(table).state.stratum === this.#tables(this.#plan.rule.head).state.stratum;
  }

  #steps(at: number): string {
    if (at === this.#plan.steps.length) return this.#derive();
    const step = this.#plan.steps[at];
    switch (step.kind) {
      case 'atom':
        return this.#atom(step, at);
      case 'call':
        return this.#call(step.call, at);
      case 'test':
        return this.#test(step.compare, at);
      case 'assign':
        return this.#assign(step, at);
    }
  }

  #derive(): string {
    const { head, args } = this.#plan.rule;
    const t = this.#tables(head);
    const rank = t.layout.recursive
      ? [this.#ranks.reduce((a, b) => (a === '0' ? b : `Math.max(${a}, ${b})`), '0')]
      : [];
    const words = [...args.map((a) => this.#arg(a)), ...rank];
    if (words.length === 0) return `${this.#give('upd', t.code.upd)}(w); n++;`;
    if (args.length === 0) return `${this.#give('upd', t.code.upd)}(w, ${rank[0]}); n++;`;
    const buffer = this.#give('buf', t.state.scratch.rows);
    const all = this.#give('all', t.code.updAll);
    const width = rowWidth(t.layout);
    this.#finish = `if (p > 0) ${all}(p / ${width}, w);`;
    const write = words.map((word, i) => `${buffer}[p + ${i}] = ${word};`).join(' ');
    return `${write} p += ${width}; n++;\nif (p === ${width * Scratch.ROWS}) { ${all}(${Scratch.ROWS}, w); p = 0; }`;
  }

  #atom(step: Step & { kind: 'atom' }, at: number): string {
    const { atom, access } = step;
    const t = this.#tables(atom.table);
    const hidden = this.#hidden.has(step.at);
    const id = this.#fresh++;
    const [r, c, o] = [`r${id}`, `c${id}`, `o${id}`];
    const ch = this.#give('ch', t.state.chunks);
    const state = `${c}[${o} + ${t.layout.state}]`;
    const at2 = `const ${c} = ${ch}[${r} >>> ${CHUNK_BITS}], ${o} = ${r} & ${CHUNK_MASK};`;
    if (access.kind === 'all') {
      const vis = this.#give('vis', t.code.vis);
      const probe = `${vis}(${atom.args.map((a) => this.#arg(a)).join(', ')})`;
      if (atom.negated) {
        const test = hidden
          ? `${r} === 0 || (${ch}[${r} >>> ${CHUNK_BITS}][(${r} & ${CHUNK_MASK}) + ${t.layout.state}] & ${BATCH}) !== 0`
          : `${r} === 0`;
        return `const ${r} = ${probe};\nif (${test}) {\n${this.#steps(at + 1)}\n}`;
      }
      const lines: string[] = [];
      this.#rank(atom, t, c, o, lines);
      const inner = `${lines.join(' ')}\n${this.#steps(at + 1)}`;
      const guarded = hidden ? `if ((${state} & ${BATCH}) === 0) {\n${inner}\n}` : inner;
      return `const ${r} = ${probe};\nif (${r} !== 0) {\n${at2}\n${guarded}\n}`;
    }
    if (atom.negated) throw new Error('a negated atom has all its columns known');
    const row = this.#row(atom, t, c, o, true, access.kind === 'index' ? access.columns : []);
    const seen = hidden ? [`if ((${state} & ${BATCH}) === 0) {\n`, '\n}'] : ['', ''];
    const inner = (): string => `${seen[0]}${row.open}${this.#steps(at + 1)}${row.close}${seen[1]}`;
    return access.kind === 'index'
      ? this.#probe(atom, access, t, r, at2, c, o, inner)
      : this.#scan(t, ch, id, state, inner);
  }

  #probe(
    atom: Atom,
    access: Access & { kind: 'index' },
    t: CodeTable,
    r: string,
    at: string,
    c: string,
    o: string,
    inner: () => string,
  ): string {
    const i = t.layout.indexes.findIndex((columns) => columns.join() === access.columns.join());
    const first = this.#give('first', t.code.indexes[i].first);
    return `let ${r} = ${first}(${access.columns.map((k) => this.#arg(atom.args[k])).join(', ')});
while (${r} !== 0) {
${at}
${inner()}
${r} = ${c}[${o} + ${t.layout.indexAt(i)}];
}`;
  }

  #scan(t: CodeTable, ch: string, id: number, state: string, inner: () => string): string {
    const s = this.#give('t', t.state);
    const { stride } = t.layout;
    return `for (let h${id} = 0; h${id} < ${ch}.length; h${id}++) {
const c${id} = ${ch}[h${id}], e${id} = h${id} === ${ch}.length - 1 ? ${s}.top - ${stride} : c${id}.length - ${stride};
for (let o${id} = h${id} === 0 ? ${stride} : 0; o${id} <= e${id}; o${id} += ${stride}) {
if ((${state} & ${VISIBLE}) !== 0) {
${inner()}
}
}
}`;
  }

  #call(call: Call, at: number): string {
    if (call.fn.builtin && call.fn.name === 'not_equal')
      return `if (${this.#arg(call.inputs[0])} ${call.negated ? '===' : '!=='} ${this.#arg(call.inputs[1])}) {\n${this.#steps(at + 1)}\n}`;
    const compiled = this.#functions.of(call, this.#plan.rule.vars);
    const f = this.#give('f', compiled);
    const id = this.#fresh++;
    const y = `y${id}`;
    const invoke = `const ${y} = ${f}.call(${call.inputs.map((a) => this.#arg(a)).join(', ')});`;
    const width = call.outputs.length;
    if (call.fn.each) {
      const out = `const u${id} = ${f}.out;`;
      const result = (i: number): string => `u${id}[j${id} * ${width} + ${i}]`;
      const head = `${invoke} ${out}\n`;
      if (call.negated) {
        const same = call.outputs.map((a, i) => `${result(i)} === ${this.#arg(a)}`).join(' && ');
        return `${head}let z${id} = true;\nfor (let j${id} = 0; j${id} < ${y}; j${id}++) if (${same || 'true'}) z${id} = false;\nif (z${id}) {\n${this.#steps(at + 1)}\n}`;
      }
      const bind = this.#results(call.outputs, result);
      return `${head}for (let j${id} = 0; j${id} < ${y}; j${id}++) {\n${bind.open}${this.#steps(at + 1)}${bind.close}\n}`;
    }
    const result = (i: number): string => (width === 1 ? y : `u${id}[${i}]`);
    const out = width > 1 ? ` const u${id} = ${f}.out;` : '';
    const holds = width === 1 ? `${y} !== ${NO_CODE}` : `${y} === 1`;
    if (call.negated) {
      const same = call.outputs.map((a, i) => ` && ${result(i)} === ${this.#arg(a)}`).join('');
      return `${invoke}${out}\nif (!(${holds}${same})) {\n${this.#steps(at + 1)}\n}`;
    }
    const bind = this.#results(call.outputs, result);
    return `${invoke}${out}\nif (${holds}) {\n${bind.open}${this.#steps(at + 1)}${bind.close}\n}`;
  }

  #results(outputs: readonly Arg[], result: (i: number) => string): { open: string; close: string } {
    const tests: string[] = [];
    let lines = '';
    outputs.forEach((a, i) => {
      if (a.kind === 'any') return;
      if (this.#known(a)) tests.push(`${result(i)} === ${this.#arg(a)}`);
      else if (a.kind === 'var') {
        lines += `const v${a.var} = ${result(i)};\n`;
        this.#bound.add(a.var);
      }
    });
    return tests.length === 0
      ? { open: lines, close: '' }
      : { open: `${lines}if (${tests.join(' && ')}) {\n`, close: '\n}' };
  }

  #test(compare: Compare, at: number): string {
    const { op, left, right, type } = compare;
    const js = op === '=' ? '===' : op === '!=' ? '!==' : op;
    // Equality of values is equality of codes; the rest needs the values.
    if ((op === '=' || op === '!=') && left.kind !== 'binary' && right.kind !== 'binary')
      return `if (${this.#arg(left)} ${js} ${this.#arg(right)}) {\n${this.#steps(at + 1)}\n}`;
    const lines: string[] = [];
    const guards: string[] = [];
    const [l, r] = [this.#value(left, type, lines, guards), this.#value(right, type, lines, guards)];
    const test = this.#nest(lines, guards, `if (${l} ${js} ${r}) {\n${this.#steps(at + 1)}\n}`);
    return test;
  }

  #assign(step: Step & { kind: 'assign' }, at: number): string {
    const { expr, type } = step;
    if (expr.kind !== 'binary') {
      const value = this.#arg(expr);
      this.#bound.add(step.var);
      return `const v${step.var} = ${value};\n${this.#steps(at + 1)}`;
    }
    const lines: string[] = [];
    const guards: string[] = [];
    const value = this.#value(expr, type, lines, guards);
    const encode = this.#give(
      'encode',
      type === 'int' ? this.#values.codeOfInt : this.#values.codec(type).encode,
    );
    this.#bound.add(step.var);
    return this.#nest(lines, guards, `const v${step.var} = ${encode}(${value});\n${this.#steps(at + 1)}`);
  }

  /** Each line is guarded by the test that stands at its place; a value that is not there ends the branch. */
  #nest(lines: readonly string[], guards: readonly string[], inner: string): string {
    let text = inner;
    for (let i = lines.length - 1; i >= 0; i--)
      text = `${lines[i]}${guards[i] === '' ? '\n' : `\nif (${guards[i]}) `}{\n${text}\n}`;
    return text;
  }

  /** A JavaScript expression for the value (not the code) of an expression. */
  #value(expr: Expr, type: string, lines: string[], guards: string[]): string {
    if (expr.kind === 'const') {
      if (type === 'int') return `(${String(expr.value)})`;
      if (type === 'bigint') return `(${String(expr.value)}n)`;
      return this.#give('text', expr.value);
    }
    if (expr.kind === 'var') {
      const decode = this.#give(
        'decode',
        type === 'int' ? this.#values.int : this.#values.codec(type).decode,
      );
      return `${decode}(v${expr.var})`;
    }
    const left = this.#value(expr.left, type, lines, guards);
    const right = this.#value(expr.right, type, lines, guards);
    const id = this.#fresh++;
    const [a, b, e] = [`a${id}`, `b${id}`, `e${id}`];
    const divides = expr.op === '/' || expr.op === '%';
    const zero = type === 'bigint' ? '0n' : '0';
    lines.push(`const ${a} = ${left}, ${b} = ${right};`);
    guards.push(divides ? `${b} !== ${zero}` : '');
    // (a - a % b) / b is exact where a / b would round.
    const op = expr.op === '/' && type === 'int' ? `(${a} - ${a} % ${b}) / ${b}` : `${a} ${expr.op} ${b}`;
    lines.push(`const ${e} = ${op};`);
    guards.push(
      type === 'bigint'
        ? `BigInt.asIntN(${BIG_BITS}, ${e}) === ${e}`
        : `${e} >= -9007199254740991 && ${e} <= 9007199254740991`,
    );
    return e;
  }
}
