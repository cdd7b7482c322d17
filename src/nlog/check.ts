import type { FunctionNode, ItemNode, NameNode, TableNode, TypeNode } from './ast.ts';
import { builtins } from './builtins.ts';
import { RuleChecker } from './check-rule.ts';
import { didYouMean, Report, type Source, type Span, where } from './diagnostics.ts';
import { parse } from './parser.ts';
import type { Aggregate, Column, FunctionDecl, Program, Rule, Table } from './program.ts';
import { stratify } from './stratify.ts';
import { elementType, PRIMITIVE_TYPES, type TypeName } from './types.ts';
import { warnings } from './warnings.ts';

/** Reads what `include` names. `from` is the name of the including source. `undefined`: no such file. */
export type Loader = (path: string, from: string) => Source | undefined;

/** A table has at most so many columns. */
export const MAX_COLUMNS = 64;

/**
 * Checks a program and its includes.
 *
 * @throws NlogProgramError with all errors found, each with its place, its line and what to do
 */
export function check(source: Source, load: Loader = () => undefined): Program {
  const { program, report } = checkAll(source, load);
  report.throwIfFailed();
  return program!;
}

/** As `check`, but gives errors and warnings instead of throwing; no program if there are errors. */
export function checkAll(
  source: Source,
  load: Loader = () => undefined,
): { program: Program | undefined; report: Report } {
  const report = new Report();
  const items = withIncludes(source, load, report);
  const scope = new Scope(report);
  scope.declare(items);
  const checker = new RuleChecker(scope, report);
  for (const item of items) if (item.node === 'rule') checker.check(item);
  const program = {
    tables: scope.tables,
    functions: [...scope.functions.values()],
    opaqueTypes: [...scope.opaque.keys()],
    rules: checker.rules,
    aggregates: checker.aggregates,
  };
  const strata = report.failed ? undefined : stratify(program, report);
  if (strata !== undefined && !report.failed) warnings(program, report);
  report.sort();
  if (strata === undefined || report.failed) return { program: undefined, report };
  return {
    program: { ...program, strata, warnings: report.diagnostics.filter((d) => d.severity === 'warning') },
    report,
  };
}

/** The items of a source with those of its includes in place; every file is read once. */
function withIncludes(source: Source, load: Loader, report: Report): ItemNode[] {
  const seen = new Set([source.name]);
  const expand = (from: Source): ItemNode[] =>
    parse(from, report).flatMap((item) => {
      if (item.node !== 'include') return [item];
      const included = load(item.path, from.name);
      if (included === undefined) {
        report.error(
          'include',
          item,
          `cannot read "${item.path}"`,
          'paths are relative to the file that includes',
        );
        return [];
      }
      if (seen.has(included.name)) return [];
      seen.add(included.name);
      return expand(included);
    });
  return expand(source);
}

/** What the declarations of a program name. */
export class Scope {
  readonly tables: Table[] = [];
  readonly byName = new Map<string, Table>();
  readonly functions = new Map<string, FunctionDecl>();
  readonly opaque = new Map<string, NameNode>();
  readonly #report: Report;
  readonly #declared = new Map<string, Span>();

  constructor(report: Report) {
    this.#report = report;
  }

  declare(items: readonly ItemNode[]): void {
    for (const item of items) if (item.node === 'type') this.#type(item.name);
    for (const f of builtins.values()) {
      const column = (type: TypeName, i: number): Column => ({ name: `column ${i + 1}`, type });
      this.functions.set(f.name, {
        name: f.name,
        inputs: f.inputs.map(column),
        outputs: f.outputs.map(column),
        each: f.each === true,
        builtin: true,
        span: undefined,
      });
    }
    for (const item of items) {
      if (item.node === 'table') this.#table(item);
      else if (item.node === 'function') this.#function(item);
    }
  }

  /** A table of the checker's own; its name cannot be written in a program. */
  helper(name: string, columns: readonly Column[], span: Span): Table {
    const table: Table = { id: this.tables.length, name, kind: 'helper', columns, key: [], span };
    this.tables.push(table);
    this.byName.set(name, table);
    return table;
  }

  /** Names that an atom may use. */
  names(): string[] {
    const all = [...this.byName.values()].filter((t) => t.kind !== 'helper').map((t) => t.name);
    return [...all, ...this.functions.keys()];
  }

  #claim(name: NameNode, what: string): boolean {
    const before = this.#declared.get(name.name);
    if (before !== undefined) {
      this.#report.error(
        'duplicate',
        name,
        `"${name.name}" is declared twice`,
        `the other declaration is at ${where(before)}`,
      );
      return false;
    }
    if (builtins.has(name.name)) {
      this.#report.error(
        'duplicate',
        name,
        `"${name.name}" is a function of the language`,
        `give the ${what} another name`,
      );
      return false;
    }
    this.#declared.set(name.name, name);
    return true;
  }

  #type(name: NameNode): void {
    if (
      (PRIMITIVE_TYPES as readonly string[]).includes(name.name) ||
      name.name === 'list' ||
      name.name === 'set'
    )
      this.#report.error(
        'duplicate',
        name,
        `"${name.name}" is a type of the language`,
        'give the type another name',
      );
    else if (this.opaque.has(name.name))
      this.#report.error(
        'duplicate',
        name,
        `the type "${name.name}" is declared twice`,
        `the other declaration is at ${where(this.opaque.get(name.name)!)}`,
      );
    else this.opaque.set(name.name, name);
  }

  #columns(
    nodes: readonly { name: string; type: TypeNode; source: Source; offset: number; end: number }[],
  ): Column[] {
    const seen = new Set<string>();
    return nodes.map((node) => {
      if (seen.has(node.name))
        this.#report.error(
          'duplicate',
          node,
          `the column "${node.name}" is declared twice`,
          'columns of one table have different names',
        );
      seen.add(node.name);
      this.#knownType(node.type.text, node.type);
      return { name: node.name, type: node.type.text };
    });
  }

  #knownType(type: TypeName, span: Span): void {
    const element = elementType(type);
    if (element !== undefined) {
      this.#knownType(element, span);
      return;
    }
    if ((PRIMITIVE_TYPES as readonly string[]).includes(type) || this.opaque.has(type)) return;
    const known = [...PRIMITIVE_TYPES, ...this.opaque.keys()];
    this.#report.error(
      'unknown-type',
      span,
      `unknown type "${type}"`,
      didYouMean(
        type,
        known,
        `the types are ${known.join(', ')}, list<...> and set<...>; declare another with: type ${/^\w+$/.test(type) ? type : 'name'};`,
      ),
    );
  }

  #table(node: TableNode): void {
    if (!this.#claim(node.name, 'table')) return;
    const columns = this.#columns(node.columns);
    if (columns.length > MAX_COLUMNS)
      this.#report.error(
        'too-many-columns',
        node.name,
        `the table has ${columns.length} columns`,
        `a table has at most ${MAX_COLUMNS}`,
      );
    const key = node.key.map((name) => {
      const at = columns.findIndex((c) => c.name === name.name);
      if (at < 0)
        this.#report.error(
          'unknown-column',
          name,
          `"${node.name.name}" has no column "${name.name}"`,
          didYouMean(
            name.name,
            columns.map((c) => c.name),
            `its columns are ${columns.map((c) => c.name).join(', ')}`,
          ),
        );
      return at;
    });
    const sorted = [...new Set(key)].filter((k) => k >= 0).sort((a, b) => a - b);
    const table: Table = {
      id: this.tables.length,
      name: node.name.name,
      kind: node.kind,
      columns,
      key: sorted,
      span: node.name,
    };
    this.tables.push(table);
    this.byName.set(table.name, table);
  }

  #function(node: FunctionNode): void {
    if (!this.#claim(node.name, 'function')) return;
    this.functions.set(node.name.name, {
      name: node.name.name,
      inputs: this.#columns(node.inputs),
      outputs: this.#columns(node.outputs),
      each: node.each,
      builtin: false,
      span: node.name,
    });
  }
}

export interface Unordered {
  readonly tables: readonly Table[];
  readonly rules: readonly Rule[];
  readonly aggregates: readonly Aggregate[];
}
