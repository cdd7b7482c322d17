import type { Span } from './diagnostics.ts';

/** What the parser gives: the program as written, names not yet resolved. */
export interface ColumnNode extends Span {
  readonly name: string;
  readonly type: TypeNode;
}

export interface TypeNode extends Span {
  /** `int`, `match`, `list<string>`, ... */
  readonly text: string;
}

export interface NameNode extends Span {
  readonly name: string;
}

export type TableKind = 'input' | 'output' | 'table';

export interface TableNode extends Span {
  readonly node: 'table';
  readonly kind: TableKind;
  readonly name: NameNode;
  readonly columns: readonly ColumnNode[];
  readonly key: readonly NameNode[];
}

export interface OpaqueNode extends Span {
  readonly node: 'type';
  readonly name: NameNode;
}

export interface FunctionNode extends Span {
  readonly node: 'function';
  readonly name: NameNode;
  readonly inputs: readonly ColumnNode[];
  readonly outputs: readonly ColumnNode[];
  /** May give any number of results for one input. */
  readonly each: boolean;
}

export interface IncludeNode extends Span {
  readonly node: 'include';
  readonly path: string;
}

export type ExprNode =
  | (Span & { readonly node: 'variable'; readonly name: string })
  | (Span & { readonly node: 'wildcard' })
  | (Span & { readonly node: 'int'; readonly value: number })
  | (Span & { readonly node: 'bigint'; readonly value: bigint })
  | (Span & { readonly node: 'string'; readonly value: string })
  | (Span & { readonly node: 'bool'; readonly value: boolean })
  | (Span & {
      readonly node: 'binary';
      readonly op: ArithmeticOp;
      readonly left: ExprNode;
      readonly right: ExprNode;
    })
  | (Span & { readonly node: 'aggregate'; readonly op: AggregateOp; readonly args: readonly ExprNode[] });

export const ARITHMETIC_OPS = ['+', '-', '*', '/', '%'] as const;
export type ArithmeticOp = (typeof ARITHMETIC_OPS)[number];
export const COMPARE_OPS = ['=', '!=', '<', '<=', '>', '>='] as const;
export type CompareOp = (typeof COMPARE_OPS)[number];
export const AGGREGATE_OPS = ['count', 'sum', 'min', 'max', 'set', 'list'] as const;
export type AggregateOp = (typeof AGGREGATE_OPS)[number];

export interface AtomNode extends Span {
  readonly node: 'atom';
  readonly name: NameNode;
  readonly args: readonly ExprNode[];
  readonly negated: boolean;
}

export interface CompareNode extends Span {
  readonly node: 'compare';
  readonly op: CompareOp;
  readonly left: ExprNode;
  readonly right: ExprNode;
}

export type LiteralNode = AtomNode | CompareNode;

export interface RuleNode extends Span {
  readonly node: 'rule';
  readonly head: AtomNode;
  readonly body: readonly LiteralNode[];
}

export type ItemNode = TableNode | OpaqueNode | FunctionNode | IncludeNode | RuleNode;
