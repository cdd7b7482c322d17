import type { Expr } from './program.ts';
import type { Values } from './values.ts';

/** More bits than any bigint of a program may have: arithmetic beyond has no value. */
const BIG_BITS = 4096;

/** Writes expressions of a rule as JavaScript over the codes v0, v1, ... of its variables. */
export class ExpressionWriter {
  readonly #values: Values;
  readonly #give: (prefix: string, value: unknown) => string;
  readonly #fresh: () => number;

  /** `give`: the name under which the code gets a value of ours; `fresh`: a number for new names. */
  constructor(values: Values, give: (prefix: string, value: unknown) => string, fresh: () => number) {
    this.#values = values;
    this.#give = give;
    this.#fresh = fresh;
  }

  /** `lines`, then `inner`. Each line is guarded by the test that stands at its place; a value that is not there ends the branch. */
  nest(lines: readonly string[], guards: readonly string[], inner: string): string {
    let text = inner;
    for (let i = lines.length - 1; i >= 0; i--)
      text = `${lines[i]}${guards[i] === '' ? '\n' : `\nif (${guards[i]}) `}{\n${text}\n}`;
    return text;
  }

  /** A JavaScript expression for the value (not the code) of an expression. */
  value(expr: Expr, type: string, lines: string[], guards: string[]): string {
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
    const left = this.value(expr.left, type, lines, guards);
    const right = this.value(expr.right, type, lines, guards);
    const id = this.#fresh();
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
