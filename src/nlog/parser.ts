import {
  AGGREGATE_OPS,
  type AggregateOp,
  type ArithmeticOp,
  type AtomNode,
  COMPARE_OPS,
  type ColumnNode,
  type CompareOp,
  type ExprNode,
  type ItemNode,
  type LiteralNode,
  type NameNode,
  type TableKind,
  type TypeNode,
} from './ast.ts';
import { nearest, type Report, type Source, type Span } from './diagnostics.ts';
import { lex, type Token } from './lexer.ts';

/** Deeper nesting of parentheses than any person writes is refused, not recursed into. */
const MAX_DEPTH = 100;

/** A rule with more literals, or an expression with more terms, was not written by a person. */
const MAX_LITERALS = 256;

/** Unwinds to the end of the declaration at hand, so that one mistake hides no other. */
class Recover extends Error {}

const DECLARATIONS = ['input', 'output', 'table', 'type', 'function', 'include'] as const;

/** Parses one source. Mistakes go to the report; what could be read is returned. */
export function parse(source: Source, report: Report): ItemNode[] {
  return new Parser(source, report).items();
}

class Parser {
  readonly #report: Report;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(source: Source, report: Report) {
    this.#report = report;
    this.#tokens = lex(source, report);
  }

  items(): ItemNode[] {
    const items: ItemNode[] = [];
    while (this.#peek().kind !== 'end') {
      try {
        items.push(this.#item());
      } catch (error) {
        if (!(error instanceof Recover)) throw error;
        this.#skipToSemicolon();
      }
    }
    return items;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)];
  }

  #next(): Token {
    const token = this.#peek();
    if (token.kind !== 'end') this.#at++;
    return token;
  }

  #is(text: string, ahead = 0): boolean {
    const token = this.#peek(ahead);
    return token.text === text && (token.kind === 'punct' || token.kind === 'name');
  }

  #fail(token: Token, expected: string, advice = ''): never {
    const found =
      token.kind === 'end'
        ? 'the file ends'
        : `found ${token.kind === 'string' ? JSON.stringify(token.text) : `"${token.text}"`}`;
    // Where the file ends, the place is behind what was read last.
    const last = this.#tokens[Math.max(0, this.#at - 1)];
    const at =
      token.kind === 'end'
        ? { source: token.source, offset: Math.max(last.offset, last.end - 1), end: last.end }
        : token;
    this.#report.error('syntax', at, `expected ${expected}, but ${found}`, advice);
    throw new Recover();
  }

  #expect(text: string, advice = ''): Token {
    if (!this.#is(text)) this.#fail(this.#peek(), `"${text}"`, advice);
    return this.#next();
  }

  #skipToSemicolon(): void {
    this.#depth = 0;
    for (let t = this.#next(); t.kind !== 'end' && !(t.kind === 'punct' && t.text === ';'); t = this.#next());
  }

  #name(what: string): NameNode {
    const token = this.#peek();
    if (token.kind !== 'name') this.#fail(token, what);
    this.#next();
    return { name: token.text, source: token.source, offset: token.offset, end: token.end };
  }

  #spanFrom(start: Span): Span {
    const end = this.#tokens[Math.max(0, this.#at - 1)].end;
    return { source: start.source, offset: start.offset, end: Math.max(end, start.offset) };
  }

  #item(): ItemNode {
    const start = this.#peek();
    // A keyword begins a declaration unless it stands as the name of a head: `input(x) :- ...`.
    if (start.kind === 'name' && !this.#is('(', 1)) {
      switch (start.text) {
        case 'input':
        case 'output':
        case 'table':
          return this.#table(start, start.text);
        case 'type': {
          this.#next();
          const name = this.#name('the name of a type');
          this.#expect(';');
          return { node: 'type', name, ...this.#spanFrom(start) };
        }
        case 'function':
          return this.#function(start);
        case 'include': {
          this.#next();
          const path = this.#peek();
          if (path.kind !== 'string') this.#fail(path, 'a file name in quotes');
          this.#next();
          this.#expect(';');
          return { node: 'include', path: path.text, ...this.#spanFrom(start) };
        }
      }
    }
    if (start.kind !== 'name' || this.#peek(1).kind === 'name' || this.#peek(1).kind === 'string') {
      const near = start.kind === 'name' ? nearest(start.text, DECLARATIONS) : undefined;
      this.#fail(
        start,
        'a declaration or a rule',
        near !== undefined
          ? `did you mean "${near}"?`
          : `declarations begin with ${DECLARATIONS.slice(0, -1).join(', ')} or ${DECLARATIONS.at(-1)}; rules with the head table`,
      );
    }
    return this.#rule(start);
  }

  #table(start: Token, kind: TableKind): ItemNode {
    this.#next();
    const name = this.#name('the name of the table');
    const columns = this.#columns();
    const key: NameNode[] = [];
    if (this.#is('key')) {
      this.#next();
      this.#expect('(');
      do key.push(this.#name('the name of a key column'));
      while (this.#comma());
      this.#expect(')');
    }
    this.#expect(';', 'a declaration ends with ";"');
    return { node: 'table', kind, name, columns, key, ...this.#spanFrom(start) };
  }

  #comma(): boolean {
    if (!this.#is(',')) return false;
    this.#next();
    return true;
  }

  #columns(): ColumnNode[] {
    const columns: ColumnNode[] = [];
    this.#expect('(');
    if (!this.#is(')')) {
      do {
        const name = this.#name('the name of a column');
        this.#expect(':', 'a column is written name: type');
        columns.push({ ...name, type: this.#type() });
      } while (this.#comma());
    }
    this.#expect(')', 'columns are separated by ","');
    return columns;
  }

  #type(): TypeNode {
    const start = this.#peek();
    const name = this.#name('a type').name;
    if (!this.#is('<')) return { text: name, ...this.#spanFrom(start) };
    this.#next();
    if (++this.#depth > MAX_DEPTH) this.#fail(this.#peek(), 'a shallower type');
    const inner = this.#type();
    this.#depth--;
    this.#expect('>');
    return { text: `${name}<${inner.text}>`, ...this.#spanFrom(start) };
  }

  #function(start: Token): ItemNode {
    this.#next();
    const name = this.#name('the name of the function');
    const inputs = this.#columns();
    this.#expect('->', 'a function is written function f(in: type) -> (out: type);');
    const each = this.#is('each');
    if (each) this.#next();
    const outputs = this.#columns();
    this.#expect(';', 'a declaration ends with ";"');
    return { node: 'function', name, inputs, outputs, each, ...this.#spanFrom(start) };
  }

  #rule(start: Token): ItemNode {
    const head = this.#atom(false, true);
    const body: LiteralNode[] = [];
    if (this.#is(':-')) {
      this.#next();
      do {
        if (body.length === MAX_LITERALS)
          this.#fail(this.#peek(), `at most ${MAX_LITERALS} literals`, 'derive a table from a part of them');
        body.push(this.#literal());
      } while (this.#comma());
    }
    this.#expect(
      ';',
      body.length === 0
        ? 'a fact ends with ";", a rule goes on with ":-"'
        : 'literals are separated by ",", and a rule ends with ";"',
    );
    return { node: 'rule', head, body, ...this.#spanFrom(start) };
  }

  #literal(): LiteralNode {
    if (this.#is('not') && this.#peek(1).kind === 'name') {
      this.#next();
      return this.#atom(true, false);
    }
    if (this.#is('!')) this.#fail(this.#peek(), 'a literal', 'negation is written not');
    if (this.#peek().kind === 'name' && this.#is('(', 1)) return this.#atom(false, false);
    const start = this.#peek();
    const left = this.#expr();
    const op = this.#peek();
    if (op.kind === 'punct' && op.text === '==') this.#fail(op, 'a comparison', 'equality is written =');
    if (op.kind !== 'punct' || !(COMPARE_OPS as readonly string[]).includes(op.text))
      this.#fail(
        op,
        'one of = != < <= > >=',
        'a literal is table(...), not table(...), function(...), or a comparison',
      );
    this.#next();
    const right = this.#expr();
    return { node: 'compare', op: op.text as CompareOp, left, right, ...this.#spanFrom(start) };
  }

  #atom(negated: boolean, head: boolean): AtomNode {
    const start = this.#peek();
    const name = this.#name('a table');
    const args: ExprNode[] = [];
    this.#expect('(', 'the columns of a table follow in parentheses');
    if (!this.#is(')')) {
      do args.push(head ? this.#headArg() : this.#expr());
      while (this.#comma());
    }
    this.#expect(')', 'columns are separated by ","');
    return { node: 'atom', name, args, negated, ...this.#spanFrom(start) };
  }

  #headArg(): ExprNode {
    const start = this.#peek();
    if (start.kind !== 'name' || !this.#is('(', 1)) return this.#expr();
    if (!(AGGREGATE_OPS as readonly string[]).includes(start.text))
      this.#fail(
        start,
        'an aggregate',
        `the aggregates are ${AGGREGATE_OPS.join(', ')}; a function goes into the body`,
      );
    this.#next();
    this.#next();
    const args: ExprNode[] = [];
    do args.push(this.#expr());
    while (this.#comma());
    this.#expect(')');
    return { node: 'aggregate', op: start.text as AggregateOp, args, ...this.#spanFrom(start) };
  }

  #expr(): ExprNode {
    return this.#binary(['+', '-'], () => this.#binary(['*', '/', '%'], () => this.#unary()));
  }

  #binary(ops: readonly string[], operand: () => ExprNode): ExprNode {
    const start = this.#peek();
    let left = operand();
    let terms = 1;
    while (this.#peek().kind === 'punct' && ops.includes(this.#peek().text)) {
      if (++terms > MAX_LITERALS)
        this.#fail(this.#peek(), `at most ${MAX_LITERALS} terms`, 'give parts of the expression names');
      const op = this.#next().text as ArithmeticOp;
      const right = operand();
      left = { node: 'binary', op, left, right, ...this.#spanFrom(start) };
    }
    return left;
  }

  #unary(): ExprNode {
    const start = this.#peek();
    if (this.#is('-')) {
      this.#next();
      const inner = this.#guarded(() => this.#unary());
      const span = this.#spanFrom(start);
      if (inner.node === 'int') return { node: 'int', value: inner.value === 0 ? 0 : -inner.value, ...span };
      if (inner.node === 'bigint') return { node: 'bigint', value: -inner.value, ...span };
      return { node: 'binary', op: '-', left: { node: 'int', value: 0, ...span }, right: inner, ...span };
    }
    if (this.#is('(')) {
      this.#next();
      const inner = this.#guarded(() => this.#expr());
      this.#expect(')');
      return inner;
    }
    return this.#primary();
  }

  #guarded(read: () => ExprNode): ExprNode {
    if (++this.#depth > MAX_DEPTH) this.#fail(this.#peek(), 'an expression that is less deep');
    const result = read();
    this.#depth--;
    return result;
  }

  #primary(): ExprNode {
    const token = this.#next();
    const span: Span = { source: token.source, offset: token.offset, end: token.end };
    switch (token.kind) {
      case 'int': {
        const value = Number(token.text);
        if (!Number.isSafeInteger(value))
          this.#report.error(
            'int-range',
            span,
            `${token.text} is too large for an int`,
            'ints go up to 9007199254740991; write a bigint with the suffix n',
          );
        return { node: 'int', value, ...span };
      }
      case 'bigint':
        return { node: 'bigint', value: BigInt(token.text), ...span };
      case 'string':
        return { node: 'string', value: token.text, ...span };
      case 'name':
        if (token.text === 'true' || token.text === 'false')
          return { node: 'bool', value: token.text === 'true', ...span };
        if (this.#is('('))
          this.#fail(
            token,
            'a variable or a constant',
            'a function is a literal of its own: f(in, out), then use out',
          );
        if (token.text.startsWith('_')) return { node: 'wildcard', ...span };
        return { node: 'variable', name: token.text, ...span };
      default:
        this.#at = Math.max(0, this.#at - (token.kind === 'end' ? 0 : 1));
        return this.#fail(token, 'a variable, a constant or "_"');
    }
  }
}
