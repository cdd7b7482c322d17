import type { HostFunction, TypeName, Value } from './types.ts';
import { UUID } from './types.ts';

/** In the types of a builtin, `?` stands for one type, the same wherever it stands. */
const BUILTINS: readonly HostFunction[] = [
  { name: 'not_equal', inputs: ['?', '?'], outputs: [], call: (a, b) => a !== b },
  { name: 'member', inputs: ['list<?>'], outputs: ['?'], each: true, call: (list) => list },
  { name: 'element', inputs: ['set<?>'], outputs: ['?'], each: true, call: (set) => set },
  { name: 'size', inputs: ['list<?>'], outputs: ['int'], call: (list) => (list as readonly Value[]).length },
  { name: 'set_size', inputs: ['set<?>'], outputs: ['int'], call: (set) => (set as readonly Value[]).length },
  {
    name: 'concat',
    inputs: ['string', 'string'],
    outputs: ['string'],
    call: (a, b) => concat(a as string, b as string),
  },
  { name: 'length', inputs: ['string'], outputs: ['int'], call: (s) => (s as string).length },
  {
    name: 'starts_with',
    inputs: ['string', 'string'],
    outputs: [],
    call: (s, p) => (s as string).startsWith(p as string),
  },
  { name: 'int_to_string', inputs: ['int'], outputs: ['string'], call: (n) => String(n) },
  { name: 'string_to_int', inputs: ['string'], outputs: ['int'], call: (s) => parseInteger(s as string) },
  { name: 'int_to_bigint', inputs: ['int'], outputs: ['bigint'], call: (n) => BigInt(n as number) },
  {
    name: 'bigint_to_int',
    inputs: ['bigint'],
    outputs: ['int'],
    call: (n) => (Number.isSafeInteger(Number(n)) ? Number(n) : undefined),
  },
  { name: 'bigint_to_string', inputs: ['bigint'], outputs: ['string'], call: (n) => String(n) },
  { name: 'uuid_to_string', inputs: ['uuid'], outputs: ['string'], call: (u) => u },
  {
    name: 'string_to_uuid',
    inputs: ['string'],
    outputs: ['uuid'],
    call: (s) => (UUID.test((s as string).toLowerCase()) ? (s as string).toLowerCase() : undefined),
  },
  {
    name: 'range',
    inputs: ['int', 'int'],
    outputs: ['int'],
    each: true,
    call: (from, to) => range(from as number, to as number),
  },
];

/** Longer text than that `concat` does not make: a recursive rule must not eat all memory in a few steps. */
const MAX_TEXT = 1 << 16;

function concat(a: string, b: string): string | undefined {
  return a.length + b.length > MAX_TEXT ? undefined : a + b;
}

/** More numbers than one `range` may give: beyond it has no value, rather than no end. */
const MAX_RANGE = 1 << 20;

function parseInteger(text: string): number | undefined {
  if (!/^-?[0-9]{1,16}$/.test(text)) return undefined;
  const n = Number(text);
  return Number.isSafeInteger(n) ? (n === 0 ? 0 : n) : undefined;
}

function range(from: number, to: number): Value | undefined {
  if (to - from > MAX_RANGE) return undefined;
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}

/** The functions that every program has without declaring them. */
export const builtins: ReadonlyMap<string, HostFunction> = new Map(BUILTINS.map((f) => [f.name, f]));

/** `list<?>` against `list<int>` gives `int`; `undefined` where the type has no hole or does not fit. */
export function bindHole(pattern: TypeName, type: TypeName): TypeName | undefined {
  const hole = pattern.indexOf('?');
  if (hole < 0) return undefined;
  const [before, after] = [pattern.slice(0, hole), pattern.slice(hole + 1)];
  if (type.length <= before.length + after.length || !type.startsWith(before) || !type.endsWith(after))
    return undefined;
  return type.slice(before.length, type.length - after.length);
}
