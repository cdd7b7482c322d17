import { WeftError } from '../base/errors.ts';
import { bindHole, builtins } from './builtins.ts';
import type { Arg, Call, FunctionDecl, Variable } from './program.ts';
import type { HostFunction, TypeName, Value } from './types.ts';
import { NO_CODE, type Values } from './values.ts';

/**
 * A function as compiled rules call it: codes in, codes out.
 *
 * - no output: 1 if it holds, else 0
 * - one output: its code, or NO_CODE where the function has no value
 * - several outputs: 1 with the codes in `out`, or 0
 * - `each`: how many results, with their codes one after the other in `out`
 */
export interface CompiledFunction {
  call: (...codes: number[]) => number;
  out: Int32Array;
  /** Reads ahead for `call`: what it gives means nothing. */
  touch: (...codes: number[]) => number;
  /** Forgets remembered results: values were swept. */
  forget: () => void;
}

const FIRST_CACHE = 256;
const MAX_CACHE = 1 << 19;

/**
 * All functions of one engine, specialised by the types they are called with. Each remembers its
 * last results in a small table: in a join the same arguments come again and again.
 */
export class Functions {
  readonly #host = new Map<string, HostFunction>();
  readonly #values: Values;
  readonly #compiled = new Map<string, CompiledFunction>();

  constructor(values: Values, host: Iterable<HostFunction>) {
    this.#values = values;
    for (const f of host) this.#host.set(f.name, f);
  }

  /** @throws WeftError `nlog-unknown-function` or `nlog-function-type` when the host's does not fit the declaration */
  of(call: Call, vars: readonly Variable[]): CompiledFunction {
    const { fn } = call;
    const host = fn.builtin ? builtins.get(fn.name) : this.#host.get(fn.name);
    if (host === undefined)
      throw new WeftError('nlog-unknown-function', `the host has registered no function "${fn.name}"`, {
        remedy: 'give it to the engine in `functions`',
      });
    const declared = [...fn.inputs, ...fn.outputs].map((c) => c.type);
    if (!fn.builtin) checkSignature(fn, host);
    const args = [...call.inputs, ...call.outputs];
    const hole = declared
      .map((t, i) => bindHole(t, typeOf(args[i], vars) ?? ''))
      .find((t) => t !== undefined);
    const types = declared.map((t) => (t.includes('?') ? t.replace('?', hole ?? 'int') : t));
    const key = `${fn.name}(${types.join()})`;
    let compiled = this.#compiled.get(key);
    if (compiled === undefined) {
      compiled = compile(host, fn, types, this.#values);
      this.#compiled.set(key, compiled);
    }
    return compiled;
  }

  forget(): void {
    for (const f of this.#compiled.values()) f.forget();
  }
}

function typeOf(arg: Arg, vars: readonly Variable[]): TypeName | undefined {
  return arg.kind === 'var' ? vars[arg.var].type : arg.kind === 'const' ? arg.type : undefined;
}

function checkSignature(fn: FunctionDecl, host: HostFunction): void {
  const text = (inputs: readonly TypeName[], outputs: readonly TypeName[], each: boolean): string =>
    `(${inputs.join(', ')}) -> ${each ? 'each ' : ''}(${outputs.join(', ')})`;
  const declared = text(
    fn.inputs.map((c) => c.type),
    fn.outputs.map((c) => c.type),
    fn.each,
  );
  const registered = text(host.inputs, host.outputs, host.each === true);
  if (declared !== registered)
    throw new WeftError(
      'nlog-function-type',
      `the program declares ${fn.name}${declared}, but the host registered ${fn.name}${registered}`,
      {
        remedy: 'make the declaration and the function agree',
      },
    );
}

/** Calls the host's function, and says which function and arguments failed if it throws. */
export function callHost(host: HostFunction, args: readonly Value[]): Value | undefined {
  try {
    return host.call(...args);
  } catch (cause) {
    const shown = args
      .map((a) => (typeof a === 'object' ? '...' : typeof a === 'bigint' ? `${a}n` : JSON.stringify(a)))
      .join(', ');
    throw new WeftError(
      'nlog-function',
      `the function ${host.name}(${shown}) failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
        remedy: 'let it return undefined where it has no value',
      },
    );
  }
}

function compile(
  host: HostFunction,
  fn: FunctionDecl,
  types: readonly TypeName[],
  values: Values,
): CompiledFunction {
  const inputs = types.slice(0, fn.inputs.length).map((t) => values.codec(t));
  const outputs = types.slice(fn.inputs.length).map((t) => values.codec(t));
  const n = inputs.length;
  const width = outputs.length;
  const encodeTuple = (result: Value, into: Int32Array, at: number): void => {
    const tuple = width === 1 ? [result] : (result as readonly Value[]);
    if (!Array.isArray(tuple) || tuple.length !== width)
      throw new WeftError('nlog-function', `the function ${fn.name} must return an array of ${width} values`);
    for (let i = 0; i < width; i++) into[at + i] = outputs[i].encode(tuple[i] as Value);
  };
  const evaluate = (...codes: readonly number[]): number => {
    const result = callHost(
      host,
      codes.map((c, i) => inputs[i].decode(c)),
    );
    if (fn.each) {
      const list = (result ?? []) as readonly Value[];
      if (!Array.isArray(list))
        throw new WeftError('nlog-function', `the function ${fn.name} must return an array of results`);
      compiled.out = new Int32Array(list.length * width);
      for (let i = 0; i < list.length; i++) encodeTuple(list[i], compiled.out, i * width);
      return list.length;
    }
    if (width === 0) return result === true ? 1 : 0;
    if (result === undefined) return width === 1 ? NO_CODE : 0;
    if (width === 1) return outputs[0].encode(result);
    compiled.out = new Int32Array(width);
    encodeTuple(result, compiled.out, 0);
    return 1;
  };
  const compiled: CompiledFunction = {
    out: new Int32Array(0),
    forget: () => {},
    touch: () => 0,
    call: () => 0,
  };
  const cached = new Function('compiled', 'evaluate', cacheSource(n, fn.each || width > 1))(
    compiled,
    evaluate,
  ) as Pick<CompiledFunction, 'call' | 'touch' | 'forget'>;
  compiled.call = cached.call;
  compiled.touch = cached.touch;
  compiled.forget = cached.forget;
  return compiled;
}

/**
 * What calls with `n` codes gave, in a hash with open addressing: [filled, arguments..., answer] for each slot.
 * At most half of the slots are filled; it starts small, doubles, and when it may not grow further
 * forgets everything.
 */
function cacheSource(n: number, keepsOut: boolean): string {
  const words = n + 2;
  const args = Array.from({ length: n }, (_, i) => `a${i}`);
  const slotOf = (at: (i: number) => string): string =>
    `slotOf(${args.reduce((h, _, i) => `Math.imul(${h} ^ ${at(i)}, 0x9e3779b1)`, '0')})`;
  const noOuts = keepsOut ? 'outs = new Array(size)' : 'outs = []';
  return `'use strict';
let size = ${FIRST_CACHE}, used = 0, slots = new Int32Array(size * ${words}), ${noOuts};
const slotOf = (h) => (h ^ (h >>> 15)) & (size - 1);
const forget = () => { used = 0; slots.fill(0); ${noOuts}; };
const free = (slot) => {
  while (slots[slot * ${words}] !== 0) slot = (slot + 1) & (size - 1);
  return slot;
};
const grow = () => {
  const old = slots, oldOuts = outs;
  size *= 2; slots = new Int32Array(size * ${words}); ${noOuts};
  for (let base = 0; base < old.length; base += ${words}) {
    if (old[base] === 0) continue;
    const slot = free(${slotOf((i) => `old[base + ${1 + i}]`)});
    for (let i = 0; i < ${words}; i++) slots[slot * ${words} + i] = old[base + i];
    ${keepsOut ? `outs[slot] = oldOuts[base / ${words}];` : ''}
  }
};
return {
  forget,
  touch: (${args.join(', ')}) => slots[${slotOf((i) => `a${i}`)} * ${words}],
  call: (${args.join(', ')}) => {
    let slot = ${slotOf((i) => `a${i}`)}, base = slot * ${words};
    while (slots[base] === 1) {
      if (${args.map((_, i) => `slots[base + ${1 + i}] === a${i}`).join(' && ') || 'true'}) {
        ${keepsOut ? 'compiled.out = outs[slot];' : ''}
        return slots[base + ${n + 1}];
      }
      slot = (slot + 1) & (size - 1); base = slot * ${words};
    }
    const answer = evaluate(${args.join(', ')});
    if (++used * 2 > size) {
      if (size < ${MAX_CACHE}) grow();
      else { forget(); used = 1; }
    }
    // Growing has moved what is there.
    slot = free(${slotOf((i) => `a${i}`)}); base = slot * ${words};
    slots[base] = 1;
    ${args.map((a, i) => `slots[base + ${1 + i}] = ${a};`).join(' ')}
    slots[base + ${n + 1}] = answer;
    ${keepsOut ? 'outs[slot] = compiled.out;' : ''}
    return answer;
  },
};`;
}
