import { CHUNK_BITS, CHUNK_MASK } from './chunks.ts';
import { ExpressionWriter } from './expr-code.ts';
import type { Functions } from './functions.ts';
import { type Access, isNotEqual, type Plan, probeKeys, type Step, uses } from './plan.ts';
import type { Arg, Atom, Call, Compare, Table } from './program.ts';
import type { Segments } from './segments.ts';
import {
  BATCH,
  type Layout,
  Scratch,
  type StoreCode,
  type StoreIndex,
  type StoreState,
  VISIBLE,
} from './store.ts';
import { aheadText, hashText, lookUpText, rowWidth } from './store-code.ts';
import { NO_CODE, type Values } from './values.ts';

/**
 * Runs one plan over the changed rows `refs[from..to)`, at most Scratch.ROWS, each with the weight +1 (came) or -1 (went),
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
  readonly #expressions: ExpressionWriter;
  readonly #bound = new Set<number>();
  readonly #given: unknown[] = [];
  readonly #names: string[] = [];
  readonly #ranks: string[] = [];
  #fresh = 0;
  /** Works through what is left in the buffer at the end of the text at hand. */
  #finish = '';
  /** Functions that go on with what a step has gathered; see `#stage`. */
  readonly #stages: string[] = [];
  /** The positions in buffers that the text at hand uses, as further declarations. */
  #declared = '';
  /** Variables whose probes have been read ahead. */
  readonly #ahead = new Set<number>();

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
    this.#expressions = new ExpressionWriter(
      values,
      (prefix, value) => this.#give(prefix, value),
      () => this.#fresh++,
    );
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
      const places = new Map<number, string>();
      atom.args.forEach((a, i) => {
        if (a.kind === 'var' && !places.has(a.var)) places.set(a.var, `c[o + ${i}]`);
      });
      for (const v of places.keys()) this.#ahead.add(v);
      const ahead = this.#readAhead(places, 0);
      const text = `${row.open}${this.#steps(0)}${row.close}`;
      inner = `${ahead.inside === '' ? '' : `let sum = 0;\n${ahead.before}\nfor (let i = from; i < to; i++) {\n${head}\n${ahead.inside}\n}\n${this.#give('scratch', t.state.scratch)}.sink = sum;`}
for (let i = from; i < to; i++) {
${head}
${text}
}`;
    }
    // A row that comes to a negated atom takes derivations away.
    const negated = start >= 0 && (rule.body[start] as Atom).negated;
    const body = `'use strict';
${this.#stages.toReversed().join('\n')}
return (refs, from, to, weight) => {
const w = ${negated ? '-weight' : 'weight'};
let n = 0${this.#declared};
${inner}
${this.#finish}
return n;
};`;
    return new Function(...this.#names, body)(...this.#given) as RuleFunction;
  }

  /**
   * Reads ahead for the probes from step `first` on whose values are all at hand, as `places` says where: those
   * of a block of rows are begun together, so that their waits for memory overlap.
   */
  #readAhead(
    places: ReadonlyMap<number, string>,
    first: number,
  ): { readonly before: string; readonly inside: string } {
    const before: string[] = [];
    const lines: string[] = [];
    const atHand = (args: readonly Arg[]): boolean =>
      args.every((a) => a.kind !== 'var' || places.has(a.var));
    const value = (a: Arg): string => (a.kind === 'var' ? places.get(a.var)! : this.#arg(a));
    for (const step of this.#plan.steps.slice(first)) {
      if (step.kind === 'call' && !isNotEqual(step.call) && atHand(step.call.inputs)) {
        const f = this.#give('f', this.#functions.of(step.call, this.#plan.rule.vars));
        lines.push(`sum ^= ${f}.touch(${step.call.inputs.map(value).join(', ')});`);
      }
      const keys = probeKeys(step);
      if (keys === undefined || !atHand(keys)) continue;
      const { atom, access } = step as Step & { kind: 'atom' };
      const t = this.#tables(atom.table);
      const id = this.#fresh++;
      const values = keys.map(value);
      const hash = this.#give(
        'hash',
        access.kind === 'index' ? this.#indexOf(t, access.columns).hash : t.code.hash,
      );
      const begin = aheadText(hash, `h${id}`, String(id));
      before.push(begin.before);
      lines.push(`${hashText(`h${id}`, values)}
${begin.inside}
const g${id} = s${id}[e${id}] === h${id} ? s${id}[e${id} + 1] : 0;
if (g${id} !== 0) sum ^= ${this.#give('ch', t.state.chunks)}[g${id} >>> ${CHUNK_BITS}][g${id} & ${CHUNK_MASK}];`);
    }
    return { before: before.join('\n'), inside: lines.join('\n') };
  }

  /** Whether a probe follows here that could not be read ahead before: its values have only now been found. */
  #isStage(at: number): boolean {
    const keys = probeKeys(this.#plan.steps[at]);
    if (keys === undefined || this.#plan.start < 0) return false;
    return keys.some((a) => a.kind === 'var' && !this.#ahead.has(a.var));
  }

  /**
   * Gathers what has been found so far, and goes on with the steps from `at` when a block of it is there, so
   * that their probes can be read ahead too.
   */
  #stage(at: number): string {
    const { rule, steps } = this.#plan;
    const vars = [...this.#bound].filter(
      (v) =>
        rule.args.some((a) => a.kind === 'var' && a.var === v) || steps.slice(at).some((s) => uses(s, v)),
    );
    const rank = this.#rankText();
    const words = [...vars.map((v) => `v${v}`), ...(this.#ranks.length > 0 ? [rank] : [])];
    const width = Math.max(1, words.length);
    const depth = this.#stages.length;
    const scratch = this.#give('scratch', this.#tables(rule.head).state.scratch);
    const [buffer, stage, q] = [`stage${depth}`, `go${depth}`, `q${depth}`];
    // What comes after is written first: its own stages come before this one in the text.
    this.#stages.push('');
    this.#bound.clear();
    for (const v of vars) {
      this.#bound.add(v);
      this.#ahead.add(v);
    }
    if (this.#ranks.length > 0) this.#ranks.splice(0, this.#ranks.length, `k${depth}_`);
    const names = [...vars.map((v) => `v${v}`), ...this.#ranks];
    const open = names.map((name, i) => `const ${name} = ${buffer}[q + ${i}];`).join(' ');
    const ahead = this.#readAhead(new Map(vars.map((v, i) => [v, `${buffer}[q + ${i}]`])), at);
    const text = this.#step(at);
    this.#stages[depth] = `const ${buffer} = ${scratch}.stage(${depth}, ${width});
const ${stage} = (count, w) => {
let n = 0${this.#declared}, sum = 0;
${ahead.before}
for (let j = 0, q = 0; j < count; j++, q += ${width}) {
${ahead.inside}
}
${scratch}.sink = sum;
for (let j = 0, q = 0; j < count; j++, q += ${width}) {
${open}
${text}
}
${this.#finish}
return n;
};`;
    this.#declared = `, ${q} = 0`;
    this.#finish = `if (${q} > 0) n += ${stage}(${q} / ${width}, w);`;
    const write = words.map((word, i) => `${buffer}[${q} + ${i}] = ${word};`).join(' ');
    return `${write} ${q} += ${width};
if (${q} === ${width * Scratch.ROWS}) { n += ${stage}(${Scratch.ROWS}, w); ${q} = 0; }`;
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
    return this.#isStage(at) ? this.#stage(at) : this.#step(at);
  }

  #step(at: number): string {
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

  /** The highest rank of the rows so far. */
  #rankText(): string {
    return this.#ranks.reduce((a, b) => (a === '0' ? b : `Math.max(${a}, ${b})`), '0');
  }

  #derive(): string {
    const { head, args } = this.#plan.rule;
    const t = this.#tables(head);
    const rank = t.layout.recursive ? [this.#rankText()] : [];
    const words = [...args.map((a) => this.#arg(a)), ...rank];
    if (words.length === 0) return `${this.#give('upd', t.code.upd)}(w); n++;`;
    if (args.length === 0) return `${this.#give('upd', t.code.upd)}(w, ${rank[0]}); n++;`;
    const buffer = this.#give('buf', t.state.scratch.rows);
    const all = this.#give('all', t.code.updAll);
    const width = rowWidth(t.layout);
    this.#declared = ', p = 0';
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
    if (access.kind === 'all') {
      const found = this.#lookUp(
        t.code.hash,
        ch,
        atom.args.map((a) => this.#arg(a)),
        atom.args.map((_, i) => i),
        id,
      );
      if (atom.negated) {
        const batch = hidden ? ` || (${state} & ${BATCH}) !== 0` : '';
        return `${found}\nif (${r} === 0 || (${state} & ${VISIBLE}) === 0${batch}) {\n${this.#steps(at + 1)}\n}`;
      }
      const lines: string[] = [];
      this.#rank(atom, t, c, o, lines);
      const inner = `${lines.join(' ')}\n${this.#steps(at + 1)}`;
      const wanted = hidden
        ? `(${state} & ${VISIBLE | BATCH}) === ${VISIBLE}`
        : `(${state} & ${VISIBLE}) !== 0`;
      return `${found}\nif (${r} !== 0 && ${wanted}) {\n${inner}\n}`;
    }
    if (atom.negated) throw new Error('a negated atom has all its columns known');
    const row = this.#row(atom, t, c, o, true, access.kind === 'index' ? access.columns : []);
    const seen = hidden ? [`if ((${state} & ${BATCH}) === 0) {\n`, '\n}'] : ['', ''];
    const inner = (): string => `${seen[0]}${row.open}${this.#steps(at + 1)}${row.close}${seen[1]}`;
    return access.kind === 'index'
      ? this.#probe(atom, access, t, ch, id, inner)
      : this.#scan(t, ch, id, state, inner);
  }

  /** Looks up the row with these values in these columns; see `lookUpText`. */
  #lookUp(
    hash: Segments,
    chunks: string,
    values: readonly string[],
    columns: readonly number[],
    id: number,
  ): string {
    return `${hashText(`h${id}`, values)}
${lookUpText(
  {
    hash: this.#give('hash', hash),
    of: `h${id}`,
    chunks,
    same: (c, o) =>
      columns.map((column, k) => `${c}[${o} + ${column}] === ${values[k]}`).join(' && ') || 'true',
  },
  String(id),
)}`;
  }

  #probe(
    atom: Atom,
    access: Access & { kind: 'index' },
    t: CodeTable,
    ch: string,
    id: number,
    inner: () => string,
  ): string {
    const i = t.layout.indexes.findIndex((columns) => columns.join() === access.columns.join());
    const found = this.#lookUp(
      t.code.indexes[i].hash,
      ch,
      access.columns.map((k) => this.#arg(atom.args[k])),
      access.columns,
      id,
    );
    return `${found}
while (r${id} !== 0) {
${inner()}
r${id} = c${id}[o${id} + ${t.layout.indexAt(i)}];
if (r${id} === 0) break;
c${id} = ${ch}[r${id} >>> ${CHUNK_BITS}]; o${id} = r${id} & ${CHUNK_MASK};
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
    if (isNotEqual(call))
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
    const [l, r] = [
      this.#expressions.value(left, type, lines, guards),
      this.#expressions.value(right, type, lines, guards),
    ];
    const test = this.#expressions.nest(lines, guards, `if (${l} ${js} ${r}) {\n${this.#steps(at + 1)}\n}`);
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
    const value = this.#expressions.value(expr, type, lines, guards);
    const encode = this.#give(
      'encode',
      type === 'int' ? this.#values.codeOfInt : this.#values.codec(type).encode,
    );
    this.#bound.add(step.var);
    return this.#expressions.nest(
      lines,
      guards,
      `const v${step.var} = ${encode}(${value});\n${this.#steps(at + 1)}`,
    );
  }
}
