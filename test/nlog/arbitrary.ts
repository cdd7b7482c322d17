import fc from 'fast-check';
import type { HostFunction, Row, Value } from '../../src/nlog/types.ts';

/*
 * Random programs. They are drawn as plain numbers and turned into text by `render`, which leaves out or
 * repairs what would make no program: so every drawing is a valid program, and a smaller drawing is a
 * smaller program, which is what shrinking needs.
 */

const TYPES = ['int', 'string', 'int', 'bigint'] as const;
type Type = 'int' | 'string' | 'bigint';

interface DrawnTable {
  readonly columns: readonly number[];
  readonly level: number;
  readonly kind: number;
}

interface DrawnLiteral {
  readonly what: number;
  readonly table: number;
  readonly args: readonly number[];
}

interface DrawnRule {
  readonly head: number;
  readonly args: readonly number[];
  readonly body: readonly DrawnLiteral[];
  readonly aggregate: number;
}

interface DrawnOp {
  readonly table: number;
  readonly values: readonly number[];
  readonly insert: boolean;
}

export interface DrawnTransaction {
  readonly ops: readonly DrawnOp[];
  /** 0-9: plain; 10: fails at its end; 11: sliced; 12: cancelled; 13: swept after. */
  readonly mode: number;
}

export interface Drawn {
  readonly inputs: readonly (readonly number[])[];
  readonly tables: readonly DrawnTable[];
  readonly rules: readonly DrawnRule[];
  readonly transactions: readonly DrawnTransaction[];
}

const nat = (max: number): fc.Arbitrary<number> => fc.nat({ max });

const literal = fc.record({
  what: nat(15),
  table: nat(11),
  args: fc.array(nat(23), { minLength: 4, maxLength: 4 }),
});
const rule = fc.record({
  head: nat(5),
  args: fc.array(nat(11), { minLength: 3, maxLength: 3 }),
  body: fc.array(literal, { minLength: 1, maxLength: 4 }),
  aggregate: nat(17),
});

export const drawn = (transactions: number): fc.Arbitrary<Drawn> =>
  fc.record({
    inputs: fc.array(fc.array(nat(3), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
    tables: fc.array(
      fc.record({ columns: fc.array(nat(3), { minLength: 0, maxLength: 3 }), level: nat(2), kind: nat(1) }),
      { minLength: 1, maxLength: 5 },
    ),
    rules: fc.array(rule, { minLength: 1, maxLength: 9 }),
    transactions: fc.array(
      fc.record({
        ops: fc.array(
          fc.record({
            table: nat(2),
            values: fc.array(nat(3), { minLength: 3, maxLength: 3 }),
            insert: fc.boolean(),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        mode: nat(13),
      }),
      { minLength: 1, maxLength: transactions, size: 'max' },
    ),
  });

export const functions: readonly HostFunction[] = [
  { name: 'next', inputs: ['int'], outputs: ['int'], call: (n) => ((n as number) + 1) % 5 },
  { name: 'even', inputs: ['int'], outputs: [], call: (n) => (n as number) % 2 === 0 },
  {
    name: 'pair',
    inputs: ['int', 'int'],
    outputs: ['int', 'string'],
    call: (a, b) => (a === b ? undefined : [Math.max(a as number, b as number), `s${a as number}`]),
  },
  {
    name: 'below',
    inputs: ['int'],
    outputs: ['int'],
    each: true,
    call: (n) => Array.from({ length: Math.max(0, n as number) }, (_, i) => i),
  },
];

const DECLARED = `function next(n: int) -> (m: int);
function even(n: int) -> ();
function pair(a: int, b: int) -> (m: int, s: string);
function below(n: int) -> each (m: int);
`;

interface Declared {
  readonly name: string;
  readonly types: readonly Type[];
  readonly level: number;
  readonly aggregate: number | undefined;
}

/** The value that a drawn number stands for. */
export function valueFor(type: Type, n: number): Value {
  return type === 'int' ? n : type === 'bigint' ? BigInt(n) : `s${n}`;
}

function constant(type: Type, n: number): string {
  return type === 'int' ? String(n % 4) : type === 'bigint' ? `${n % 4}n` : `"s${n % 4}"`;
}

const AGGREGATES = ['count', 'sum', 'min', 'max', 'set', 'list'] as const;

/** The text of a drawn program, and its input tables. */
export function render(d: Drawn): { text: string; inputs: { name: string; types: Type[] }[] } {
  const inputs = d.inputs.map((columns, i) => ({
    name: `in${i}`,
    types: columns.map((c): Type => TYPES[c]),
  }));
  let text = DECLARED;
  for (const t of inputs)
    text += `input ${t.name}(${t.types.map((type, i) => `c${i}: ${type}`).join(', ')});\n`;
  const tables: Declared[] = inputs.map((t) => ({ ...t, level: -1, aggregate: undefined }));
  const derived: Declared[] = d.tables.map((t, i) => ({
    name: `t${i}`,
    types: t.columns.map((c): Type => TYPES[c]),
    level: t.level,
    aggregate: undefined,
  }));
  const rules: string[] = [];
  const extra: string[] = [];
  d.rules.forEach((r, i) => {
    const head = derived[r.head % derived.length];
    const written = renderRule(r, head, [...tables, ...derived], `a${i}`);
    rules.push(written.rule);
    if (written.declaration !== '') extra.push(written.declaration);
  });
  derived.forEach((t, i) => {
    text += `${d.tables[i].kind === 0 ? 'output' : 'table'} ${t.name}(${t.types.map((type, k) => `c${k}: ${type}`).join(', ')});\n`;
  });
  return { text: `${text}${extra.join('')}${rules.join('')}`, inputs };
}

class Names {
  readonly uses = new Map<string, number>();
  variable(type: Type, n: number): string {
    return `${type[0]}${n % 3}`;
  }
}

function renderRule(
  r: DrawnRule,
  head: Declared,
  tables: readonly Declared[],
  aggregateName: string,
): { rule: string; declaration: string } {
  const aggregates = r.aggregate >= 12 && head.level > 0;
  const usable = tables.filter((t) => (aggregates ? t.level < head.level : t.level <= head.level));
  const lower = tables.filter((t) => t.level < head.level);
  const names = new Names();
  const bound = new Map<string, Type>();
  const positive: string[][] = [];
  const later: DrawnLiteral[] = [];
  for (const l of r.body) {
    if (l.what >= 9) {
      later.push(l);
      continue;
    }
    const t = usable[l.table % usable.length];
    positive.push([
      t.name,
      ...t.types.map((type, i) => {
        const n = l.args[i];
        if (n >= 22) return '_';
        if (n >= 20) return constant(type, n);
        const v = names.variable(type, n);
        bound.set(v, type);
        return v;
      }),
    ]);
  }
  const pick = (type: Type, n: number): string => {
    const candidates = [...bound].flatMap(([v, t]) => (t === type ? [v] : []));
    return candidates.length === 0 || n >= 21 ? constant(type, n) : candidates[n % candidates.length];
  };
  const rest: string[] = [];
  for (const l of later) {
    const [a, b, c] = l.args;
    const fresh = `x${rest.length}`;
    switch (l.what) {
      case 9:
      case 10:
      case 11: {
        if (lower.length === 0) break;
        const t = lower[l.table % lower.length];
        rest.push(
          `not ${t.name}(${t.types.map((type, i) => (l.args[i] >= 18 && l.what === 11 ? '_' : pick(type, l.args[i]))).join(', ')})`,
        );
        break;
      }
      case 12:
        rest.push(
          `${pick('int', a)} ${['<', '!=', '>=', '='][c % 4]} ${pick('int', b)}${c > 12 ? ' + 1' : ''}`,
        );
        break;
      case 13:
        rest.push(
          `${fresh} != 4, ${fresh} = (${pick('int', a)} ${['+', '*', '-', '/', '%'][c % 5]} ${pick('int', b)}) % 5`,
        );
        bound.set(fresh, 'int');
        break;
      case 14:
        if (c % 3 === 0) rest.push(`${c % 2 === 0 ? '' : 'not '}even(${pick('int', a)})`);
        else if (c % 3 === 1) {
          rest.push(`next(${pick('int', a)}, ${fresh})`);
          bound.set(fresh, 'int');
        } else {
          rest.push(`below(${pick('int', a)}, ${fresh})`);
          bound.set(fresh, 'int');
        }
        break;
      default:
        rest.push(`pair(${pick('int', a)}, ${pick('int', b)}, ${fresh}, ${fresh}s)`);
        bound.set(fresh, 'int');
        bound.set(`${fresh}s`, 'string');
    }
  }
  let name = head.name;
  let declaration = '';
  const args = head.types.map((type, i) => pick(type, r.args[i]));
  if (aggregates && bound.size > 0) {
    // An aggregate derives a table of its own, whose columns are the head's and the result.
    const op = AGGREGATES[r.aggregate % AGGREGATES.length];
    const vars = [...bound.keys()];
    const value = vars[r.args[0] % vars.length];
    const type = bound.get(value)!;
    const more = op === 'count' || op === 'sum' || op === 'list' ? `, ${vars[r.args[1] % vars.length]}` : '';
    if (op !== 'sum' || type !== 'string') {
      const result = op === 'count' ? 'int' : op === 'set' || op === 'list' ? `${op}<${type}>` : type;
      name = aggregateName;
      declaration = `output ${name}(${head.types.map((t, k) => `c${k}: ${t}, `).join('')}result: ${result});\n`;
      args.push(`${op}(${value}${more})`);
    }
  }
  let rule = `${name}(${args.join(', ')})`;
  const atoms = positive.map(([t, ...a]) => `${t}(${a.join(', ')})`);
  const body = [...atoms, ...rest];
  rule += body.length === 0 ? ';\n' : ` :- ${body.join(', ')};\n`;
  return { rule: withoutSingletons(rule), declaration };
}

/** A variable that stands only once is written `_`: outside of heads that is always right. */
function withoutSingletons(rule: string): string {
  const names = rule.match(/\b[isbx][0-9]s?\b(?!")/g) ?? [];
  return names.reduce(
    (text, name) =>
      names.filter((n) => n === name).length === 1
        ? text.replace(new RegExp(`\\b${name}\\b(?!")`), '_')
        : text,
    rule,
  );
}

/** The rows that an operation is about. */
export function rowOf(types: readonly Type[], op: { readonly values: readonly number[] }): Row {
  return types.map((t, i) => valueFor(t, op.values[i]));
}
