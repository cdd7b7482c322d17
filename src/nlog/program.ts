import type { AggregateOp, ArithmeticOp, CompareOp, TableKind } from './ast.ts';
import type { Diagnostic, Span } from './diagnostics.ts';
import type { TypeName, Value } from './types.ts';

/**
 * A checked program: names resolved, variables numbered and typed, aggregates and negation with
 * wildcards brought down to plain rules over helper tables, tables ordered into strata.
 */
export interface Program {
  readonly tables: readonly Table[];
  readonly functions: readonly FunctionDecl[];
  readonly opaqueTypes: readonly string[];
  readonly rules: readonly Rule[];
  readonly aggregates: readonly Aggregate[];
  /** In evaluation order: every stratum depends on earlier ones, and on itself only if recursive. */
  readonly strata: readonly Stratum[];
  readonly warnings: readonly Diagnostic[];
}

export interface Column {
  readonly name: string;
  readonly type: TypeName;
}

export interface Table {
  readonly id: number;
  readonly name: string;
  /** A helper holds the groups of an aggregate or a projection for a negation; no program names it. */
  readonly kind: TableKind | 'helper';
  readonly columns: readonly Column[];
  /** Column numbers; at most one row for each combination of their values. Empty: no key. */
  readonly key: readonly number[];
  readonly span: Span;
}

export interface FunctionDecl {
  readonly name: string;
  readonly inputs: readonly Column[];
  readonly outputs: readonly Column[];
  readonly each: boolean;
  readonly builtin: boolean;
  readonly span: Span | undefined;
}

export interface Stratum {
  readonly tables: readonly Table[];
  readonly recursive: boolean;
}

export interface Variable {
  readonly name: string;
  readonly type: TypeName;
}

export interface VarArg {
  readonly kind: 'var';
  readonly var: number;
}

export interface ConstArg {
  readonly kind: 'const';
  readonly value: Value;
  readonly type: TypeName;
}

export type Arg = VarArg | ConstArg | { readonly kind: 'any' };

export type Expr =
  | VarArg
  | ConstArg
  | { readonly kind: 'binary'; readonly op: ArithmeticOp; readonly left: Expr; readonly right: Expr };

export interface Atom {
  readonly kind: 'atom';
  readonly table: Table;
  readonly args: readonly Arg[];
  /** Negated atoms hold no wildcards. */
  readonly negated: boolean;
  readonly span: Span;
}

export interface Call {
  readonly kind: 'call';
  readonly fn: FunctionDecl;
  readonly inputs: readonly Arg[];
  readonly outputs: readonly Arg[];
  readonly negated: boolean;
  readonly span: Span;
}

export interface Compare {
  readonly kind: 'compare';
  readonly op: CompareOp;
  readonly left: Expr;
  readonly right: Expr;
  readonly type: TypeName;
  readonly span: Span;
}

export type Literal = Atom | Call | Compare;

export interface Rule {
  readonly id: number;
  readonly head: Table;
  /** Variables and constants only. */
  readonly args: readonly Arg[];
  readonly body: readonly Literal[];
  readonly vars: readonly Variable[];
  readonly span: Span;
}

/** `head` gets one row for each group of `source`, whose first `groups` columns are the group. */
export interface Aggregate {
  readonly op: AggregateOp;
  readonly source: Table;
  readonly head: Table;
  readonly groups: number;
  /** The column of `head` that takes the result; the group fills the others, in order. */
  readonly at: number;
  readonly span: Span;
}

/** Variables of an expression. */
export function exprVars(expr: Expr, into: Set<number> = new Set()): Set<number> {
  if (expr.kind === 'var') into.add(expr.var);
  else if (expr.kind === 'binary') {
    exprVars(expr.left, into);
    exprVars(expr.right, into);
  }
  return into;
}
