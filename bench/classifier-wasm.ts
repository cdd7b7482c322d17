/**
 * `npm run bench -- classifier-wasm [--json]`: what WebAssembly would bring the classifier. One tuple of
 * the exact mask of thirteen fields, looked up by the code that subtable-code.ts generates and by the same
 * code assembled as a WebAssembly function. The packet is in the module's memory already ("in place"),
 * or is copied there first, which is what a caller with keys of its own would have to do.
 */
import type { Flow } from '../src/flow/layout.ts';
import { FLOW_WORDS } from '../src/flow/layout.ts';
import { MiniMask } from '../src/flow/minimatch.ts';
import { Rule } from '../src/flow/rule.ts';
import { Subtable } from '../src/flow/subtable.ts';
import { compileFinder, hashMultiplier } from '../src/flow/subtable-code.ts';
import { exactMask, Random, randomPackets } from './classifier-workload.ts';

/** As much of the WebAssembly interface as is used; the compiler's own types for it come with the DOM's. */
declare const WebAssembly: {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> };
};

const LOOKUPS = 5_000_000;
const ROUNDS = 5;

/** Opcodes and types of the WebAssembly binary format, as far as they are needed. */
const I32 = 0x7f;
const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  const: 0x41,
  eqz: 0x45,
  eq: 0x46,
  add: 0x6a,
  sub: 0x6b,
  mul: 0x6c,
  and: 0x71,
  or: 0x72,
  xor: 0x73,
  shl: 0x74,
  shrU: 0x76,
} as const;

function unsigned(n: number): number[] {
  const bytes: number[] = [];
  let rest = n >>> 0;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest !== 0);
  return bytes;
}

function signed(n: number): number[] {
  const bytes: number[] = [];
  let rest = n | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

const get = (local: number) => [OP.get, local];
const set = (local: number) => [OP.set, local];
const constant = (n: number) => [OP.const, ...signed(n)];
const load = (offset: number) => [OP.load, 2, ...unsigned(offset)];

/** (flow, values, slots, hashes, slot mask) -> row or -1; the twin of compileFinder. */
function assembleFinder(mask: MiniMask): Uint8Array {
  const [FLOW, VALUES, SLOTS, HASHES, SLOT_MASK, SUM, W, H, I, ROW, BASE] = Array.from(
    { length: 11 },
    (_, i) => i,
  );
  const n = mask.length;
  const code: number[] = [];
  const masked = (i: number) => (mask.masks[i] === 0xffffffff ? [] : [...constant(mask.masks[i]), OP.and]);
  for (let i = 0; i < n; i++) {
    code.push(
      ...get(FLOW),
      ...load(mask.words[i] * 4),
      ...masked(i),
      OP.tee,
      W,
      ...get(W),
      ...constant(16),
      OP.shrU,
    );
    code.push(OP.xor, ...constant(hashMultiplier(i)), OP.mul, ...get(SUM), OP.add, ...set(SUM));
  }
  code.push(
    ...get(SUM),
    ...get(SUM),
    ...constant(15),
    OP.shrU,
    OP.xor,
    ...constant(0x85ebca77),
    OP.mul,
    OP.tee,
    H,
  );
  code.push(...get(H), ...constant(13), OP.shrU, OP.xor, OP.tee, H, ...get(SLOT_MASK), OP.and, ...set(I));
  code.push(OP.block, 0x40, OP.loop, 0x40);
  code.push(
    ...get(SLOTS),
    ...get(I),
    ...constant(2),
    OP.shl,
    OP.add,
    ...load(0),
    OP.tee,
    ROW,
    OP.eqz,
    OP.brIf,
    1,
  );
  code.push(
    ...get(ROW),
    ...constant(1),
    OP.sub,
    OP.tee,
    ROW,
    ...constant(2),
    OP.shl,
    ...get(HASHES),
    OP.add,
    ...load(0),
  );
  code.push(...get(H), OP.eq, OP.if, 0x40);
  code.push(...get(VALUES), ...get(ROW), ...constant(4 * n), OP.mul, OP.add, ...set(BASE), ...constant(0));
  for (let i = 0; i < n; i++) {
    code.push(
      ...get(FLOW),
      ...load(mask.words[i] * 4),
      ...get(BASE),
      ...load(i * 4),
      OP.xor,
      ...masked(i),
      OP.or,
    );
  }
  code.push(OP.eqz, OP.if, 0x40, ...get(ROW), OP.return, OP.end, OP.end);
  code.push(
    ...get(I),
    ...constant(1),
    OP.add,
    ...get(SLOT_MASK),
    OP.and,
    ...set(I),
    OP.br,
    0,
    OP.end,
    OP.end,
  );
  code.push(...constant(-1), OP.end);

  const section = (id: number, body: number[]) => [id, ...unsigned(body.length), ...body];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const body = [1, 6, I32, ...code];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 5, I32, I32, I32, I32, I32, 1, I32]),
    ...section(2, [1, ...name('e'), ...name('m'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('find'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

type WasmFind = (flow: number, values: number, slots: number, hashes: number, mask: number) => number;

const mask = MiniMask.of(exactMask());
const subtable = new Subtable<Rule>(mask);
const packets: Flow[] = randomPackets();
for (const packet of packets) subtable.insert(new Rule(1), packet);

const memory = new WebAssembly.Memory({ initial: 256 });
const words = new Uint32Array(memory.buffer);
let used = 0;
const place = (data: Uint32Array | Int32Array): number => {
  words.set(data, used);
  used += data.length;
  return (used - data.length) * 4;
};
const [values, slots, hashes] = [subtable.values, subtable.slots, subtable.hashes].map(place);
const scratch = place(new Uint32Array(FLOW_WORDS));
const inPlace = packets.map(place);
const bytes = assembleFinder(mask);
const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
  e: { m: memory },
});
const wasmFind = instance.exports.find as WasmFind;
const slotMask = subtable.slots.length - 1;
const jsFind = compileFinder(mask);
const maskWords = [...mask.words];

for (const [i, packet] of packets.entries()) {
  const row = jsFind(packet, subtable.values, subtable.slots, subtable.hashes);
  if (row < 0 || wasmFind(inPlace[i], values, slots, hashes, slotMask) !== row) {
    throw new Error(`packet ${i}: JavaScript and WebAssembly disagree`);
  }
}

const variants: Record<string, (i: number) => number> = {
  javascript: (i) => jsFind(packets[i], subtable.values, subtable.slots, subtable.hashes),
  'wasm, packet in place': (i) => wasmFind(inPlace[i], values, slots, hashes, slotMask),
  'wasm, packet copied': (i) => {
    const packet = packets[i];
    const base = scratch >>> 2;
    for (let k = 0; k < maskWords.length; k++) words[base + maskWords[k]] = packet[maskWords[k]];
    return wasmFind(scratch, values, slots, hashes, slotMask);
  },
};

/** Nanoseconds a lookup, with the time of choosing a packet taken off. */
function measure(fn: (i: number) => number): number {
  const run = new Function(
    'fn',
    'random',
    'n',
    'lookups',
    'let sum=0;for(let i=0;i<lookups;i++)sum+=fn(random.below(n));return sum;',
  ) as (fn: (i: number) => number, random: Random, n: number, lookups: number) => number;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    run(fn, new Random(), packets.length, LOOKUPS);
    best = Math.min(best, ((performance.now() - start) * 1e6) / LOOKUPS);
  }
  return best;
}

const overhead = measure((i) => i);
const results = Object.entries(variants).map(([name, fn]) => ({ name, ns: measure(fn) - overhead }));
console.log(`One tuple of ${mask.length} words, ${packets.length} rows, all hits; nanoseconds a lookup.\n`);
for (const { name, ns } of results) console.log(`${name.padEnd(24)}${ns.toFixed(1).padStart(8)}`);
if (process.argv.includes('--json')) {
  console.log(
    JSON.stringify({
      bench: 'classifier-wasm',
      unit: 'ns a lookup; theirs: WebAssembly, packet in place',
      ours: results[0].ns,
      theirs: results[1].ns,
      ratio: results[1].ns / results[0].ns,
      results,
    }),
  );
}
