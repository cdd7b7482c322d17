import type { CompareNode, ExprNode } from './ast.ts';
import { type Report, type Span, where } from './diagnostics.ts';
import type { Arg, Compare, Expr } from './program.ts';
import { type TypeName, UUID } from './types.ts';

export const ANY: Arg = { kind: 'any' };

export interface Var {
  readonly name: string;
  readonly first: Span;
  type: TypeName | undefined;
  uses: number;
}

/** The variables of one rule, their types, and the expressions made of them. */
export class Expressions {
  readonly vars: Var[] = [];
  readonly #report: Report;
  readonly #byName = new Map<string, number>();

  constructor(report: Report) {
    this.#report = report;
  }

  variable(node: ExprNode & { node: 'variable' }): Var {
    return this.vars[this.#number(node)];
  }

  #number(node: ExprNode & { node: 'variable' }): number {
    let n = this.#byName.get(node.name);
    if (n === undefined) {
      n = this.vars.length;
      this.vars.push({ name: node.name, first: node, type: undefined, uses: 0 });
      this.#byName.set(node.name, n);
    }
    return n;
  }

  /** A variable at a place of this type (`undefined`: of any). */
  use(node: ExprNode & { node: 'variable' }, type: TypeName | undefined, what: string): Arg | undefined {
    const n = this.#number(node);
    const v = this.vars[n];
    v.uses++;
    if (type !== undefined) {
      v.type ??= type;
      if (v.type !== type) {
        this.#report.error(
          'type',
          node,
          `"${node.name}" is ${v.type} (since ${where(v.first)}), but ${what} is ${type}`,
          'use another variable, or a function that converts',
        );
        return undefined;
      }
    }
    return { kind: 'var', var: n };
  }

  /** An argument of a table or a function. `what`: the place, for messages. */
  arg(node: ExprNode, type: TypeName, what: string): Arg | undefined {
    switch (node.node) {
      case 'wildcard':
        return ANY;
      case 'variable':
        return this.use(node, type, what);
      case 'binary':
        this.#report.error(
          'expression',
          node,
          'arithmetic cannot stand in a table or a function',
          'give the result a name first: x = a + b',
        );
        return undefined;
      case 'aggregate':
        this.#report.error('expression', node, 'an aggregate cannot stand here', 'aggregates stand in heads');
        return undefined;
      default:
        return this.#constant(node, type, what);
    }
  }

  #constant(node: ExprNode, type: TypeName, what: string): Arg | undefined {
    if (node.node === 'int' && type === 'bigint') return { kind: 'const', value: BigInt(node.value), type };
    if (node.node === 'string' && type === 'uuid') {
      if (UUID.test(node.value.toLowerCase()))
        return { kind: 'const', value: node.value.toLowerCase(), type };
      this.#report.error(
        'type',
        node,
        `${JSON.stringify(node.value)} is no uuid`,
        'a uuid is written "550e8400-e29b-41d4-a716-446655440000"',
      );
      return undefined;
    }
    if (node.node === type && 'value' in node) return { kind: 'const', value: node.value, type };
    this.#report.error(
      'type',
      node,
      `${what} is ${type}, but this is ${node.node === 'int' ? 'an' : 'a'} ${node.node}`,
      `write a value of the type ${type}`,
    );
    return undefined;
  }

  /** The type of an expression as far as it is known by now. */
  typeOfNode(node: ExprNode): TypeName | undefined {
    switch (node.node) {
      case 'variable':
        return this.vars[this.#byName.get(node.name) ?? -1]?.type;
      case 'int':
      case 'bigint':
      case 'string':
      case 'bool':
        return node.node;
      case 'binary': {
        const [l, r] = [this.typeOfNode(node.left), this.typeOfNode(node.right)];
        return l === 'bigint' || r === 'bigint' ? 'bigint' : (l ?? r);
      }
      default:
        return undefined;
    }
  }

  /** `x = a + 1` gives x the type of the other side; goes round until nothing new is learnt. */
  inferEqualities(nodes: readonly CompareNode[]): void {
    for (let again = true; again; ) {
      again = false;
      for (const { op, left, right } of nodes) {
        if (op !== '=') continue;
        for (const [a, b] of [
          [left, right],
          [right, left],
        ]) {
          if (a.node !== 'variable') continue;
          const v = this.variable(a);
          const type = this.typeOfNode(b);
          if (v.type !== undefined || type === undefined) continue;
          v.type = type;
          again = true;
        }
      }
    }
  }

  /** `undefined` if it is wrong; that is reported then. */
  compare(node: CompareNode): Compare | undefined {
    const sides = [this.typeOfNode(node.left), this.typeOfNode(node.right)];
    const literal = (n: ExprNode): boolean => n.node === 'int' || n.node === 'string';
    // A literal takes the type of the other side: 5 may be a bigint, "..." a uuid.
    const type = literal(node.left) ? (sides[1] ?? sides[0]) : (sides[0] ?? sides[1]);
    if (type === undefined) {
      for (const side of [node.left, node.right]) this.#unboundIn(side);
      return undefined;
    }
    const ordered = node.op !== '=' && node.op !== '!=';
    if (ordered && !['int', 'bigint', 'string'].includes(type)) {
      this.#report.error(
        'type',
        node,
        `values of the type ${type} have no order`,
        'compare them with = or !=',
      );
      return undefined;
    }
    const left = this.expr(node.left, type);
    const right = this.expr(node.right, type);
    if (left === undefined || right === undefined) return undefined;
    return { kind: 'compare', op: node.op, left, right, type, span: node };
  }

  #unboundIn(node: ExprNode): void {
    if (node.node === 'binary') {
      this.#unboundIn(node.left);
      this.#unboundIn(node.right);
    } else if (node.node === 'variable') {
      this.variable(node).uses += 2;
      this.unboundVariable(node, node.name);
    } else if (node.node === 'wildcard')
      this.#report.error('unbound', node, '"_" has no value to compare', 'use a variable that a table gives');
  }

  /** Reports that a variable has no value. */
  unboundVariable(span: Span, name: string): void {
    // One mistake, one message: that it stands only here follows.
    const known = this.#byName.get(name);
    if (known !== undefined) this.vars[known].uses += 2;
    this.#report.error(
      'unbound',
      span,
      `nothing in the body gives "${name}" a value`,
      `let a table that is not negated, the result of a function or ${name} = ... give it`,
    );
  }

  /** The value of an expression of this type; `undefined` if it is wrong, which is reported then. */
  expr(node: ExprNode, type: TypeName): Expr | undefined {
    switch (node.node) {
      case 'binary': {
        if (type !== 'int' && type !== 'bigint') {
          this.#report.error(
            'type',
            node,
            `arithmetic gives int or bigint, but ${type} is needed`,
            'compare values of one type',
          );
          return undefined;
        }
        const [left, right] = [this.expr(node.left, type), this.expr(node.right, type)];
        return left === undefined || right === undefined
          ? undefined
          : { kind: 'binary', op: node.op, left, right };
      }
      case 'variable':
        return this.use(node, type, 'the other side') as Expr | undefined;
      case 'wildcard':
        this.#report.error(
          'unbound',
          node,
          '"_" has no value to compute with',
          'use a variable that a table gives',
        );
        return undefined;
      case 'aggregate':
        this.#report.error('expression', node, 'an aggregate cannot stand here', 'aggregates stand in heads');
        return undefined;
      default:
        return this.#constant(node, type, 'the other side') as Expr | undefined;
    }
  }

  /** Reports variables that stand only once. */
  singletons(): void {
    for (const v of this.vars)
      if (v.uses === 1)
        this.#report.error(
          'unused-variable',
          v.first,
          `"${v.name}" stands only here`,
          `write _ (or _${v.name}) for a column that does not matter`,
        );
  }
}
