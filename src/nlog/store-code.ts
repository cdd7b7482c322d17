import { CHUNK, CHUNK_BITS, CHUNK_MASK, MAX_CHUNKS } from './chunks.ts';
import { FULL, SEGMENT_BASE, Segments, UNIT_BITS } from './segments.ts';
import {
  BATCH,
  COUNT_ONE,
  COUNT_SHIFT,
  type Layout,
  type StoreCode,
  type StoreState,
  TOUCHED,
  VISIBLE,
} from './store.ts';

/*
 * The functions of one table, specialised for its columns and indexes. Only numbers go into the text
 * of the code: nothing that a program names.
 *
 * Tables of one layout have the same text, and so has every engine that runs the program: the JavaScript
 * engine then keeps what it has learnt. For that, loops must hold their bodies: a call from here to another
 * generated function would be learnt for one table, be wrong for the next, and be learnt anew. And functions
 * take at most Scratch.ROWS rows and have no loops around loops: what is called often is compiled as a whole,
 * whereas a loop that is compiled while it runs is thrown away when it ends.
 */

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Statements that leave the hash of values, mixed to 32 bits, in a new variable. */
export function hashText(name: string, values: readonly string[]): string {
  if (values.length === 0) return `const ${name} = 0;`;
  const folded = values
    .slice(1)
    .reduce((h, v, i) => `(Math.imul(${h}, ${i % 2 === 0 ? 0x9e3779b1 : 0x85ebca77}) ^ ${v})`, values[0]);
  return `let ${name} = ${folded};
${name} = Math.imul(${name} ^ (${name} >>> 16), 0x85ebca6b);
${name} = Math.imul(${name} ^ (${name} >>> 13), 0xc2b2ae35);
${name} ^= ${name} >>> 16;`;
}

/** What a look-up leaves: the variables' names, each ending in `id`. */
export interface LookUp {
  /** The name of the `Segments`. */
  readonly hash: string;
  /** The variable that holds the hash value. */
  readonly of: string;
  readonly chunks: string;
  /** Whether the row at c[o...] is the one: an expression. */
  same(c: string, o: string): string;
}

/**
 * Statements that look a row up, and declare with the suffix `id`: `r` its ref (0: there is none), and, if it
 * is there, `c` its chunk and `o` its place in it. The other names that they declare are d, s, a, m, i.
 */
export function lookUpText({ hash, of, chunks, same }: LookUp, id = ''): string {
  const [d, s, a, m, i, r, c, o] = [...'dsamirco'].map((name) => name + id);
  return `const ${d} = ${hash}.dir[${of} >>> ${hash}.shift], ${s} = ${hash}.slabs[${d} >>> ${CHUNK_BITS}];
const ${a} = ${d} & ${SEGMENT_BASE}, ${m} = (2 << ${d}) - 1;
let ${i} = (${of} << 1) & ${m}, ${r} = 0, ${c}, ${o} = 0;
while ((${r} = ${s}[${a} + ${i} + 1]) !== 0) {
  if (${s}[${a} + ${i}] === ${of}) {
    ${c} = ${chunks}[${r} >>> ${CHUNK_BITS}]; ${o} = ${r} & ${CHUNK_MASK};
    if (${same(c, o)}) break;
  }
  ${i} = (${i} + 2) & ${m};
}`;
}

/**
 * Statements that find the place `e` in the slab `s` where a look-up begins, so that reading it begins too;
 * `before` stands before the loop over the rows.
 */
export function aheadText(hash: string, of: string, id = ''): { before: string; inside: string } {
  const [d, s, e] = [...'dse'].map((name) => name + id);
  return {
    before: `const dir${id} = ${hash}.dir, shift${id} = ${hash}.shift, slabs${id} = ${hash}.slabs;`,
    inside: `const ${d} = dir${id}[${of} >>> shift${id}], ${s} = slabs${id}[${d} >>> ${CHUNK_BITS}];
const ${e} = (${d} & ${SEGMENT_BASE}) + ((${of} << 1) & ((2 << ${d}) - 1));`,
  };
}

/** Statements that enter the ref `ref` where the look-up with the names of `lookUpText` found nothing. */
function enterText(hash: string, ref: string): string {
  return `const full = ${hash}.counts[d >>> ${CHUNK_BITS}], unit = (d & ${CHUNK_MASK}) >>> ${UNIT_BITS};
if (full[unit] < (${FULL} << d) >> 4) {
  full[unit]++;
  ${hash}.size++;
  s[a + i] = h;
  s[a + i + 1] = ${ref};
} else ${hash}.add(h, ${ref});`;
}

const ROWS_AHEAD = `let sum = 0;
for (let k = 0; k < count; k++) {
  const r = ahead[k];
  if (r !== 0) sum ^= ch[r >>> ${CHUNK_BITS}][r & ${CHUNK_MASK}];
}
scratch.sink = sum;`;

function indexCode(layout: Layout, i: number): string {
  const x = `x${i}`;
  const columns = layout.indexes[i];
  const next = layout.indexAt(i);
  const prev = next + 1;
  const keys = columns.map((_, k) => `k${k}`);
  const search: LookUp = {
    hash: x,
    of: 'h',
    chunks: 'ch',
    same: (c, o) => columns.map((column, k) => `${c}[${o} + ${column}] === k${k}`).join(' && '),
  };
  const begin = aheadText(x, 'h');
  return `
const ${x}first = (${keys.join(', ')}) => {
  ${hashText('h', keys)}
  ${lookUpText(search)}
  return r;
};
const ${x}add = (refs, from, count) => {
  ${begin.before}
  for (let k = 0; k < count; k++) {
    const q = refs[from + k], b = ch[q >>> ${CHUNK_BITS}], p = q & ${CHUNK_MASK};
    ${hashText(
      'h',
      columns.map((c) => `b[p + ${c}]`),
    )}
    hashes[k] = h;
    ${begin.inside}
    ahead[k] = s[e] === h ? s[e + 1] : 0;
  }
  ${ROWS_AHEAD}
  for (let k = 0; k < count; k++) {
    const q = refs[from + k], b = ch[q >>> ${CHUNK_BITS}], p = q & ${CHUNK_MASK}, h = hashes[k];
    ${columns.map((c, k) => `const k${k} = b[p + ${c}];`).join(' ')}
    ${lookUpText(search)}
    b[p + ${next}] = r;
    b[p + ${prev}] = 0;
    if (r === 0) {
      ${enterText(x, 'q')}
    } else {
      ${i === layout.unique ? 'conflicts.push(r); conflicts.push(q);' : ''}
      c[o + ${prev}] = q;
      s[a + i + 1] = q;
    }
  }
};
const ${x}remove = (refs, from, count) => {
  ${begin.before}
  let sum = 0;
  for (let k = 0; k < count; k++) {
    const q = refs[from + k], b = ch[q >>> ${CHUNK_BITS}], p = q & ${CHUNK_MASK};
    const n = b[p + ${next}], v = b[p + ${prev}];
    if (n !== 0) sum ^= ch[n >>> ${CHUNK_BITS}][(n & ${CHUNK_MASK}) + ${prev}];
    if (v !== 0) sum ^= ch[v >>> ${CHUNK_BITS}][(v & ${CHUNK_MASK}) + ${next}];
    ${hashText(
      'h',
      columns.map((c) => `b[p + ${c}]`),
    )}
    hashes[k] = h;
    if (v === 0) {
      ${begin.inside}
      sum ^= s[e];
    }
  }
  scratch.sink = sum;
  for (let k = 0; k < count; k++) {
    const q = refs[from + k], b = ch[q >>> ${CHUNK_BITS}], p = q & ${CHUNK_MASK};
    const n = b[p + ${next}], v = b[p + ${prev}];
    if (n !== 0) ch[n >>> ${CHUNK_BITS}][(n & ${CHUNK_MASK}) + ${prev}] = v;
    if (v !== 0) {
      ch[v >>> ${CHUNK_BITS}][(v & ${CHUNK_MASK}) + ${next}] = n;
      continue;
    }
    // The first of its group: the next takes its place, or the group goes.
    if (n !== 0) ${x}.replace(hashes[k], q, n); else ${x}.remove(hashes[k], q);
  }
};`;
}

/** Words of a row in the scratch buffer. */
export function rowWidth(layout: Layout): number {
  return layout.arity + (layout.recursive ? 1 : 0);
}

/** The text of the factory: a function of the state, the primary hash and those of the indexes that returns the StoreCode. */
export function storeSource(layout: Layout): string {
  const { arity, state, link, support, rank, stride, recursive } = layout;
  const cols = range(arity);
  const vs = cols.map((i) => `v${i}`);
  const params = vs.join(', ');
  const comma = arity > 0 ? `${params}, ` : '';
  const search: LookUp = {
    hash: 'rows',
    of: 'h',
    chunks: 'ch',
    same: (c, o) => cols.map((i) => `${c}[${o} + ${i}] === v${i}`).join(' && ') || 'true',
  };
  const indexes = range(layout.indexes.length);
  const logged = recursive
    ? `log.push2(r, x); log.push2(c[o + ${support}], c[o + ${rank}]);`
    : 'log.push2(r, x);';
  const width = rowWidth(layout);
  const small = Math.min(CHUNK, 16 * stride);
  const stride2 = recursive ? 4 : 2;
  /** Makes a record for the row that a look-up did not find. */
  const create = `r = t.free;
    if (r !== 0) t.free = ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${link}];
    else {
      if (t.top > t.limit) more();
      r = ((ch.length - 1) << ${CHUNK_BITS}) | t.top;
      t.top += ${stride};
    }
    c = ch[r >>> ${CHUNK_BITS}]; o = r & ${CHUNK_MASK};
    ${cols.map((i) => `c[o + ${i}] = v${i};`).join(' ')}
    c[o + ${state}] = 0;
    ${recursive ? `c[o + ${support}] = 0; c[o + ${rank}] = 0;` : ''}
    ${enterText('rows', 'r')}`;
  /** Adds w derivations (of rank k) to the row of the v with the hash h. */
  const count1 = `${lookUpText(search)}
  if (r === 0) {
    ${create}
  }
  const x = c[o + ${state}];
  if ((x & ${TOUCHED}) === 0) { ${logged} }
  const y = (x | ${TOUCHED}) + w * ${COUNT_ONE};
  if (y !== (y | 0) || y < 0) t.miscount(w);
  c[o + ${state}] = y;${
    recursive
      ? `
  if ((x & ${VISIBLE}) !== 0) {
    if (rankOf < c[o + ${rank}]) {
      const left = (c[o + ${support}] += w);
      if (left === 0 && w < 0) unsupported.push(r);
    }
  } else if (w > 0 && (x >> ${COUNT_SHIFT}) === 0) derived.push(r);`
      : ''
  }`;
  const input1 = `${lookUpText(search)}
  if (r === 0) {
    if (present === 0) continue;
    ${create}
  }
  const x = c[o + ${state}];
  if ((x >> ${COUNT_SHIFT}) === present) continue;
  if ((x & ${TOUCHED}) === 0) log.push2(r, x);
  c[o + ${state}] = (x & ${COUNT_ONE - 1}) | ${TOUCHED} | (present << ${COUNT_SHIFT});`;
  const begin = aheadText('rows', 'h');
  /** Goes through rows that stand in a buffer, with look-ups begun ahead. */
  const each = (buffer: string, words: number, body: string): string => `
  ${begin.before}
  for (let k = 0, p = 0; k < count; k++, p += ${words}) {
    ${cols.map((i) => `const v${i} = ${buffer}[p + ${i}];`).join(' ')}
    ${hashText('h', vs)}
    hashes[k] = h;
    ${begin.inside}
    ahead[k] = s[e] === h ? s[e + 1] : 0;
  }
  ${ROWS_AHEAD}
  for (let k = 0, p = 0; k < count; k++, p += ${words}) {
    ${cols.map((i) => `const v${i} = ${buffer}[p + ${i}];`).join(' ')}
    const h = hashes[k];
    ${body}
  }`;
  /** Gives the record r at c[o...] back, which is in no hash any more. */
  const free = `c[o + ${state}] = 0;
    c[o + ${link}] = t.free;
    t.free = r;`;
  return `'use strict';
const { scratch } = t, { rows: buf, hashes, refs: ahead } = scratch;
const { chunks: ch, log, unsupported, derived, conflicts } = t;
${indexes.map((i) => indexCode(layout, i)).join('\n')}
const more = () => {
  const last = ch.length - 1;
  const used = last < 0 ? 0 : ch[last].length;
  if (last === 0 && used < ${CHUNK}) {
    const words = Math.min(${CHUNK}, used * 4);
    t.memory.reserve((words - used) * 4);
    const grown = new Int32Array(words);
    grown.set(ch[0]);
    ch[0] = grown;
    t.limit = words - ${stride};
    return;
  }
  if (ch.length === ${MAX_CHUNKS}) t.full();
  const words = last < 0 ? ${small} : ${CHUNK};
  t.memory.reserve(words * 4);
  ch.push(new Int32Array(words));
  // Ref 0 is no row: the first record of the first chunk stays unused.
  t.top = last < 0 ? ${stride} : 0;
  t.limit = words - ${stride};
  if (last < 0 && t.top > t.limit) more();
};
const find = (${params}) => {
  ${hashText('h', vs)}
  ${lookUpText(search)}
  return r;
};
const vis = (${params}) => {
  ${hashText('h', vs)}
  ${lookUpText(search)}
  return r !== 0 && (c[o + ${state}] & ${VISIBLE}) !== 0 ? r : 0;
};
const make = (${params}) => {
  ${hashText('h', vs)}
  ${lookUpText(search)}
  if (r === 0) {
    ${create}
  }
  return r;
};
const upd = (${comma}w${recursive ? ', rankOf' : ''}) => {
  ${hashText('h', vs)}
  ${count1}
};
const updAll = (count, w) => {${each('buf', width, `${recursive ? `const rankOf = buf[p + ${arity}];` : ''}\n    ${count1}`)}
};
const inputAll = (inputs, count, present) => {${each('inputs', arity, input1)}
};
const showAll = (refs, from, count) => {
  for (let k = from; k < from + count; k++) {
    const r = refs[k];
    ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] |= ${VISIBLE};
  }
  ${indexes.map((i) => `x${i}add(refs, from, count);`).join('\n  ')}
};
const hideAll = (refs, from, count) => {
  for (let k = from; k < from + count; k++) {
    const r = refs[k];
    ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] &= ~${VISIBLE};
  }
  ${indexes.map((i) => `x${i}remove(refs, from, count);`).join('\n  ')}
};
const changed = (byCount, came, went, h) => {
  const shift = byCount ? ${COUNT_SHIFT} : 0, mask = byCount ? -1 : ${VISIBLE};
  const entries = log.chunks[h], used = log.used(h);
  for (let k = 0; k < used; k += ${stride2}) {
    const r = entries[k];
    const before = (entries[k + 1] & ${VISIBLE}) !== 0;
    const now = ((ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] >> shift) & mask) !== 0;
    if (now !== before) { if (now) came.push(r); else went.push(r); }
  }
};
const copy = (refs, count, codes, at) => {
  for (let k = 0, p = at; k < count; k++, p += ${arity}) {
    const r = refs[k], c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    ${cols.map((i) => `codes[p + ${i}] = c[o + ${i}];`).join(' ')}
  }
};
const settle = (h, from, count) => {
  const entries = log.chunks[h];
  ${begin.before}
  let gone = 0, sum = 0;
  for (let k = 0, p = from; k < count; k++, p += ${stride2}) {
    const r = entries[p], c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    const x = c[o + ${state}] & ~${TOUCHED | BATCH};
    c[o + ${state}] = x;
    if (x !== 0) continue;
    ${hashText(
      'h',
      cols.map((i) => `c[o + ${i}]`),
    )}
    ${begin.inside}
    sum ^= s[e];
    hashes[gone] = h;
    ahead[gone++] = r;
  }
  scratch.sink = sum;
  for (let k = 0; k < gone; k++) {
    const r = ahead[k], c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    rows.remove(hashes[k], r);
    ${free}
  }
};
const release = (r) => {
  const c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
  ${hashText(
    'h',
    cols.map((i) => `c[o + ${i}]`),
  )}
  rows.remove(h, r);
  ${free}
};
return {
  upd, updAll, find, vis, make, inputAll, showAll, hideAll, changed, copy, settle, release,
  hash: rows,
  indexes: [${indexes.map((i) => `{ columns: ${JSON.stringify(layout.indexes[i])}, hash: x${i}, first: x${i}first }`).join(', ')}],
};
// BATCH is bit ${BATCH}, kept by whoever runs batches.
`;
}

export function compileStore(layout: Layout, state: StoreState): StoreCode {
  const hash = (): Segments =>
    new Segments(state.scratch.segment, (bytes) => state.memory.note(bytes), state.full);
  const indexes = layout.indexes.map(hash);
  return new Function('t', 'rows', ...indexes.map((_, i) => `x${i}`), storeSource(layout))(
    state,
    hash(),
    ...indexes,
  ) as StoreCode;
}
