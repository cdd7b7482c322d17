import type { AtomNode, ExprNode, RuleNode } from './ast.ts';
import { bindHole } from './builtins.ts';
import type { Scope } from './check.ts';
import { ANY, Expressions } from './check-expr.ts';
import { didYouMean, type Report, type Span } from './diagnostics.ts';
import {
  type Aggregate,
  type Arg,
  type Atom,
  type Column,
  type Compare,
  type Expr,
  exprVars,
  type FunctionDecl,
  type Literal,
  type Rule,
  type Table,
  type Variable,
} from './program.ts';
import type { TypeName } from './types.ts';

/** Checks rules one by one and brings them to the form of `program.ts`. */
export class RuleChecker {
  readonly rules: Rule[] = [];
  readonly aggregates: Aggregate[] = [];
  readonly #scope: Scope;
  readonly #report: Report;
  readonly #projections = new Map<string, Table>();

  constructor(scope: Scope, report: Report) {
    this.#scope = scope;
    this.#report = report;
  }

  check(node: RuleNode): void {
    const before = this.#report.diagnostics.length;
    const one = new OneRule(this.#scope, this.#report);
    const checked = one.check(node);
    if (checked === undefined || this.#report.diagnostics.length > before) return;
    const body = checked.body.map((l) => (l.kind === 'atom' && l.negated ? this.#withoutWildcards(l) : l));
    const common = { body, vars: checked.vars, span: node };
    const { aggregate } = checked;
    if (aggregate === undefined) {
      this.#add({ head: checked.head, args: checked.args, ...common });
      return;
    }
    const groups = checked.args.filter((_, i) => i !== aggregate.at);
    const columns: Column[] = [
      ...checked.head.columns.filter((_, i) => i !== aggregate.at),
      ...aggregate.args.map((a, i): Column => ({ name: `argument ${i + 1}`, type: checked.typeOf(a) })),
    ];
    const source = this.#scope.helper(
      `${checked.head.name}/${aggregate.op}${this.aggregates.length}`,
      columns,
      node,
    );
    this.#add({ head: source, args: [...groups, ...aggregate.args], ...common });
    this.aggregates.push({
      op: aggregate.op,
      source,
      head: checked.head,
      groups: groups.length,
      at: aggregate.at,
      span: node,
    });
  }

  #add(rule: Omit<Rule, 'id'>): void {
    this.rules.push({ id: this.rules.length, ...rule });
  }

  /** `not t(x, _)` asks whether any row has x: a projection of t, shared by all rules that need it. */
  #withoutWildcards(atom: Atom): Atom {
    const kept = atom.args.flatMap((a, i) => (a.kind === 'any' ? [] : [i]));
    if (kept.length === atom.args.length) return atom;
    const name = `${atom.table.name}/${kept.join('.')}`;
    let table = this.#projections.get(name);
    if (table === undefined) {
      const columns = kept.map((i) => atom.table.columns[i]);
      table = this.#scope.helper(name, columns, atom.span);
      this.#projections.set(name, table);
      const args = atom.args.map(
        (a, i): Arg => (a.kind === 'any' ? ANY : { kind: 'var', var: kept.indexOf(i) }),
      );
      this.#add({
        head: table,
        args: kept.map((_, i): Arg => ({ kind: 'var', var: i })),
        body: [{ ...atom, args, negated: false }],
        vars: columns,
        span: atom.span,
      });
    }
    return { ...atom, table, args: kept.map((i) => atom.args[i]) };
  }
}

interface CheckedRule {
  readonly head: Table;
  readonly args: readonly Arg[];
  readonly body: readonly Literal[];
  readonly vars: readonly Variable[];
  readonly aggregate:
    | { readonly op: Aggregate['op']; readonly at: number; readonly args: readonly Arg[] }
    | undefined;
  typeOf(arg: Arg): TypeName;
}

class OneRule {
  readonly #scope: Scope;
  readonly #report: Report;
  readonly #expressions: Expressions;
  /** Comparisons made of expressions in heads. */
  readonly #extra: Compare[] = [];

  constructor(scope: Scope, report: Report) {
    this.#scope = scope;
    this.#report = report;
    this.#expressions = new Expressions(report);
  }

  check(node: RuleNode): CheckedRule | undefined {
    const head = this.#headTable(node.head);
    // Columns give variables their types; comparisons and arithmetic only check and pass them on.
    const literals = node.body.map((l) => (l.node === 'atom' ? this.#atom(l) : undefined));
    this.#expressions.inferEqualities(node.body.filter((l) => l.node === 'compare'));
    const body = node.body.map((l, i) => (l.node === 'compare' ? this.#expressions.compare(l) : literals[i]));
    if (head === undefined) return undefined;
    const { args, aggregate } = this.#head(node.head, head);
    const complete = [...body.filter((l) => l !== undefined), ...this.#extra];
    if (body.every((l) => l !== undefined)) {
      this.#bound(node, complete, args, aggregate?.args ?? []);
      this.#expressions.singletons();
    }
    return {
      head,
      args,
      body: complete,
      vars: this.#expressions.vars.map((v) => ({ name: v.name, type: v.type ?? 'int' })),
      aggregate,
      typeOf: (a) =>
        a.kind === 'var' ? this.#expressions.vars[a.var].type! : a.kind === 'const' ? a.type : 'int',
    };
  }

  #headTable(node: AtomNode): Table | undefined {
    const { name } = node.name;
    const table = this.#scope.byName.get(name);
    if (table === undefined) {
      if (this.#scope.functions.has(name))
        this.#report.error(
          'head',
          node.name,
          `"${name}" is a function, not a table`,
          'a rule derives rows of a table',
        );
      else this.#unknown(node);
      return undefined;
    }
    if (table.kind === 'input') {
      this.#report.error(
        'head',
        node.name,
        `"${name}" is an input table, and rules cannot derive its rows`,
        `declare it as output or table, or derive another table`,
      );
      return undefined;
    }
    return this.#arity(node, table.columns.length, 'table') ? table : undefined;
  }

  #unknown(node: AtomNode): void {
    this.#report.error(
      'unknown-table',
      node.name,
      `"${node.name.name}" is not declared`,
      didYouMean(
        node.name.name,
        this.#scope.names(),
        `declare it: table ${node.name.name}(column: type, ...);`,
      ),
    );
  }

  #arity(node: AtomNode, want: number, what: string): boolean {
    if (node.args.length === want) return true;
    const decl = this.#scope.byName.get(node.name.name) ?? this.#scope.functions.get(node.name.name);
    const names =
      decl === undefined
        ? ''
        : 'columns' in decl
          ? decl.columns.map((c) => c.name).join(', ')
          : [...decl.inputs, ...decl.outputs].map((c) => c.name).join(', ');
    this.#report.error(
      'arity',
      node,
      `the ${what} "${node.name.name}" has ${want} column${want === 1 ? '' : 's'}, not ${node.args.length}`,
      `its columns are (${names}); write _ for those that do not matter`,
    );
    return false;
  }

  #atom(node: AtomNode): Literal | undefined {
    const { name } = node.name;
    const table = this.#scope.byName.get(name);
    if (table !== undefined) {
      if (!this.#arity(node, table.columns.length, 'table')) return this.#visit(node);
      const args = node.args.map((a, i) =>
        this.#expressions.arg(a, table.columns[i].type, `column "${table.columns[i].name}" of "${name}"`),
      );
      return args.includes(undefined)
        ? undefined
        : { kind: 'atom', table, args: args as Arg[], negated: node.negated, span: node };
    }
    const fn = this.#scope.functions.get(name);
    if (fn === undefined) {
      this.#unknown(node);
      return this.#visit(node);
    }
    return this.#call(node, fn);
  }

  /** Counts the variables of an atom that is wrong, so that no error follows from an error. */
  #visit(node: AtomNode): undefined {
    for (const arg of node.args) if (arg.node === 'variable') this.#expressions.variable(arg).uses += 2;
    return undefined;
  }

  #call(node: AtomNode, fn: FunctionDecl): Literal | undefined {
    const columns = [...fn.inputs, ...fn.outputs];
    if (!this.#arity(node, columns.length, 'function')) return this.#visit(node);
    let hole: TypeName | undefined;
    for (let i = 0; i < columns.length && hole === undefined; i++) {
      const type = this.#expressions.typeOfNode(node.args[i]);
      if (type !== undefined) hole = bindHole(columns[i].type, type);
    }
    const args = node.args.map((a, i) => {
      const pattern = columns[i].type;
      const type = pattern.includes('?')
        ? hole === undefined
          ? undefined
          : pattern.replace('?', hole)
        : pattern;
      if (type === undefined) {
        this.#visit(node);
        this.#report.error(
          'type',
          a,
          `the type of this argument of "${fn.name}" is not known here`,
          'let a table give the variable before, or change the order of the literals',
        );
        return undefined;
      }
      return this.#expressions.arg(a, type, `${columns[i].name} of the function "${fn.name}"`);
    });
    if (args.includes(undefined)) return undefined;
    const inputs = args.slice(0, fn.inputs.length) as Arg[];
    inputs.forEach((a, i) => {
      if (a.kind === 'any')
        this.#report.error(
          'unbound',
          node.args[i],
          `the function "${fn.name}" needs a value for ${columns[i].name}`,
          'write a variable that a table gives, or a constant',
        );
    });
    return {
      kind: 'call',
      fn,
      inputs,
      outputs: args.slice(fn.inputs.length) as Arg[],
      negated: node.negated,
      span: node,
    };
  }

  #head(node: AtomNode, table: Table): { args: Arg[]; aggregate: CheckedRule['aggregate'] } {
    let aggregate: CheckedRule['aggregate'];
    const args = node.args.map((a, i): Arg => {
      const { type, name } = table.columns[i];
      const what = `column "${name}" of "${table.name}"`;
      switch (a.node) {
        case 'wildcard':
          this.#report.error(
            'unbound',
            a,
            `the head needs a value for ${what}`,
            'write a variable that the body gives, or a constant',
          );
          return ANY;
        case 'binary': {
          const value = this.#expressions.expr(a, type);
          if (value === undefined) return ANY;
          const n = this.#expressions.vars.length;
          this.#expressions.vars.push({ name: `column ${name}`, first: a, type, uses: 2 });
          this.#extra.push({
            kind: 'compare',
            op: '=',
            left: { kind: 'var', var: n },
            right: value,
            type,
            span: a,
          });
          return { kind: 'var', var: n };
        }
        case 'aggregate':
          if (aggregate !== undefined) {
            this.#report.error(
              'aggregate',
              a,
              'a head has at most one aggregate',
              'derive each into a table of its own, and join them',
            );
            return ANY;
          }
          aggregate = { op: a.op, at: i, args: this.#aggregateArgs(a, type, what) };
          return ANY;
        default:
          return this.#expressions.arg(a, type, what) ?? ANY;
      }
    });
    return { args, aggregate };
  }

  #aggregateArgs(node: ExprNode & { node: 'aggregate' }, type: TypeName, what: string): Arg[] {
    const types = node.args.map((a) => this.#expressions.typeOfNode(a));
    const value = types[0];
    const wrong = (needs: string): void =>
      this.#report.error(
        'type',
        node,
        `${what} is ${type}, but ${node.op}(...) of ${value ?? 'nothing'} gives ${needs}`,
        `declare the column as ${needs}`,
      );
    if (value !== undefined) {
      if (node.op === 'count' && type !== 'int') wrong('int');
      if ((node.op === 'min' || node.op === 'max') && type !== value) wrong(value);
      if ((node.op === 'set' || node.op === 'list') && type !== `${node.op}<${value}>`)
        wrong(`${node.op}<${value}>`);
      if (node.op === 'sum' && value !== 'int' && value !== 'bigint')
        this.#report.error(
          'type',
          node,
          `sum(...) adds ints or bigints, not ${value}`,
          'use count for the number of values',
        );
      else if (node.op === 'sum' && type !== value) wrong(value);
    }
    if ((node.op === 'min' || node.op === 'max' || node.op === 'set') && node.args.length > 1)
      this.#report.error(
        'aggregate',
        node.args[1],
        `${node.op}(...) takes one variable`,
        'further variables would change nothing',
      );
    return node.args.map((a, i): Arg => {
      if (a.node === 'variable') return this.#expressions.use(a, types[i], what) ?? ANY;
      this.#report.error(
        'aggregate',
        a,
        'aggregates take variables',
        'give the value a name in the body: x = ...',
      );
      return ANY;
    });
  }

  /** Every variable needs a literal that gives it a value; goes round as far as values reach. */
  #bound(node: RuleNode, body: readonly Literal[], args: readonly Arg[], aggregated: readonly Arg[]): void {
    const bound = new Set<number>();
    const isBound = (e: Expr): boolean => [...exprVars(e)].every((v) => bound.has(v));
    const argBound = (a: Arg): boolean => a.kind !== 'var' || bound.has(a.var);
    const bindAll = (list: readonly Arg[]): void => {
      for (const a of list) if (a.kind === 'var') bound.add(a.var);
    };
    for (let before = -1; before !== bound.size; ) {
      before = bound.size;
      for (const l of body) {
        if (l.kind === 'atom' && !l.negated) bindAll(l.args);
        else if (l.kind === 'call' && !l.negated && l.inputs.every(argBound)) bindAll(l.outputs);
        else if (l.kind === 'compare' && l.op === '=') {
          if (l.left.kind === 'var' && isBound(l.right)) bound.add(l.left.var);
          if (l.right.kind === 'var' && isBound(l.left)) bound.add(l.right.var);
        }
      }
    }
    const need = (a: Arg | Expr): void => {
      const vars = a.kind === 'any' ? [] : exprVars(a);
      for (const v of vars)
        if (!bound.has(v))
          this.#expressions.unboundVariable(this.#expressions.vars[v].first, this.#expressions.vars[v].name);
    };
    for (const l of body) {
      if (l.kind === 'compare') {
        need(l.left);
        need(l.right);
      } else if (l.kind === 'call') {
        for (const a of [...l.inputs, ...(l.negated ? l.outputs : [])]) need(a);
        if (l.negated && l.outputs.some((o) => o.kind === 'any'))
          this.#report.error(
            'unbound',
            l.span,
            'a negated function needs a value for each column',
            'write variables that tables give',
          );
      } else if (l.negated) for (const a of l.args) need(a);
    }
    for (const a of [...args, ...aggregated])
      if (a.kind === 'var' && !bound.has(a.var))
        this.#expressions.unboundVariable(
          this.#headUse(node, this.#expressions.vars[a.var].name),
          this.#expressions.vars[a.var].name,
        );
  }

  #headUse(node: RuleNode, name: string): Span {
    const flat = node.head.args.flatMap((a) => (a.node === 'aggregate' ? a.args : [a]));
    return flat.find((a) => a.node === 'variable' && a.name === name) ?? node.head;
  }
}
