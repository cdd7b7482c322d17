import {
  BATCH,
  CHUNK,
  CHUNK_BITS,
  CHUNK_MASK,
  COUNT_ONE,
  COUNT_SHIFT,
  type Layout,
  MAX_CHUNKS,
  Scratch,
  type StoreCode,
  type StoreState,
  TOUCHED,
  VISIBLE,
} from './store.ts';

/*
 * The functions of one table, specialised for its columns and indexes. Only numbers go into the text
 * of the code: nothing that a program names.
 */

/** Buckets split at once: few enough that no insertion is slow. */
const SPLITS = 32;
/** A log of one word for so many records of the table makes a transaction one that touches much of it. */
const BULK_SHARE = 4;

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** An expression that mixes values to 32 bits. */
export function hashExpr(values: readonly string[]): string {
  if (values.length === 0) return '0';
  const folded = values
    .slice(1)
    .reduce((h, v, i) => `(Math.imul(${h}, ${i % 2 === 0 ? 0x9e3779b1 : 0x85ebca77}) ^ ${v})`, values[0]);
  return `mix(${folded})`;
}

const MIX = `
const mix = (h) => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
};`;

/** What a linear hash keeps: `hash` is an expression over the row at c[o...]. */
interface Hashed {
  /** Prefix of its names. */
  readonly p: string;
  readonly hash: string;
  /** Offset of the word that links a bucket, and whether it holds the complement of a ref. */
  readonly link: number;
  readonly complement: boolean;
  /** Whether the record at c[o...] stands in a bucket itself. */
  readonly listed: string;
  /** An expression: how many buckets the transaction is likely to need in the end. */
  readonly expected: string;
  /** Whether so many of the records do that going through all of them is worth it. */
  readonly dense: string;
  readonly stride: number;
}

/**
 * A growing array of buckets under linear hashing. It grows by splitting some buckets at a time, or, in a
 * transaction that touches much of the table and that nobody waits for in slices, by hashing all
 * records anew in the order of memory: much faster than following the links from bucket to bucket.
 */
function linearHash({ p, hash, link, complement, listed, expected, dense, stride }: Hashed): string {
  const not = complement ? '~' : '';
  return `
let ${p}m = 7, ${p}s = 0, ${p}n = 0;
const ${p}h = [new Int32Array(16)];
const ${p}bucket = (h) => {
  const b = h & ${p}m;
  return b < ${p}s ? h & (2 * ${p}m + 1) : b;
};
const ${p}set = (b, r) => { ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}] = r; };
const ${p}grow = () => {
  const from = ${p}s, to = ${p}m + 1 + ${p}s;
  const last = ${p}h[to >>> ${CHUNK_BITS}];
  if (last === undefined) ${p}h.push(new Int32Array(${CHUNK}));
  else if ((to & ${CHUNK_MASK}) >= last.length) {
    const grown = new Int32Array(Math.min(${CHUNK}, last.length * 2));
    grown.set(last);
    ${p}h[to >>> ${CHUNK_BITS}] = grown;
  }
  const mask = 2 * ${p}m + 1;
  let r = ${p}h[from >>> ${CHUNK_BITS}][from & ${CHUNK_MASK}], stay = 0, go = 0;
  while (r !== 0) {
    const c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    const after = ${not}c[o + ${link}];
    if ((${hash} & mask) === from) { c[o + ${link}] = ${not}stay; stay = r; } else { c[o + ${link}] = ${not}go; go = r; }
    r = after;
  }
  ${p}set(from, stay);
  ${p}set(to, go);
  if (++${p}s > ${p}m) { ${p}m = mask; ${p}s = 0; }
};
const ${p}enter = (c, ref, from, to) => {
  const buckets = ${p}h, low = ${p}m, high = 2 * ${p}m + 1, split = ${p}s;
  for (let o = from; o <= to; o += ${stride}) {
    if (!(${listed})) continue;
    const h = ${hash};
    let b = h & low;
    if (b < split) b = h & high;
    const chunk = buckets[b >>> ${CHUNK_BITS}], i = b & ${CHUNK_MASK};
    c[o + ${link}] = ${not}chunk[i];
    chunk[i] = ref | o;
  }
};
const ${p}rehash = () => {
  const now = ${p}m + 1 + ${p}s;
  const size = Math.ceil(Math.min(now * 8, Math.max(now * 1.25, ${expected})));
  let base = ${p}m + 1;
  while (base * 2 <= size) base *= 2;
  ${p}m = base - 1; ${p}s = size - base;
  for (let i = 0; i << ${CHUNK_BITS} < size; i++) {
    const left = size - (i << ${CHUNK_BITS});
    if (${p}h[i] === undefined || ${p}h[i].length < Math.min(${CHUNK}, left)) {
      let words = 16;
      while (words < left && words < ${CHUNK}) words *= 2;
      ${p}h[i] = new Int32Array(words);
    } else ${p}h[i].fill(0);
  }
  for (let at = 0; at < ch.length; at++)
    ${p}enter(ch[at], at << ${CHUNK_BITS}, at === 0 ? ${stride} : 0, (at === ch.length - 1 ? t.top : ch[at].length) - ${stride});
};
// Splits some buckets in a row, whose rows are read ahead.
const ${p}more = () => {
  if (scratch.bulk && log.length * ${BULK_SHARE} > pn${dense}) return ${p}rehash();
  const k = Math.min(${SPLITS}, ${p}m + 1 - ${p}s);
  let sum = 0;
  if (ch.length > 0)
    for (let b = ${p}s; b < ${p}s + k; b++) {
      const r = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
      sum ^= ch[r >>> ${CHUNK_BITS}][r & ${CHUNK_MASK}];
    }
  scratch.sink = sum;
  for (let i = 0; i < k; i++) ${p}grow();
};
const ${p}reset = () => { ${p}m = 7; ${p}s = 0; ${p}n = 0; ${p}h.length = 1; ${p}h[0] = new Int32Array(16); };`;
}

function indexCode(layout: Layout, i: number): string {
  const p = `x${i}`;
  const columns = layout.indexes[i];
  const unique = i === layout.unique;
  const next = layout.indexAt(i);
  const prev = next + 1;
  const keys = columns.map((_, k) => `k${k}`);
  const same = columns.map((c, k) => `c[o + ${c}] === k${k}`).join(' && ');
  const ofRow = columns.map((c) => `c[o + ${c}]`);
  return `
${linearHash({
  p,
  hash: hashExpr(ofRow),
  link: prev,
  complement: true,
  listed: `c[o + ${prev}] < 0`,
  // No more groups than rows.
  expected: `1.1 * Math.min(pn, ${p}n * scratch.ahead)`,
  dense: ` && ${p}n * 8 > pn`,
  stride: layout.stride,
})}
const ${p}first = (${keys.join(', ')}) => {
  const b = ${p}bucket(${hashExpr(keys)});
  let r = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  while (r !== 0) {
    const c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    if (${same}) return r;
    r = ~c[o + ${prev}];
  }
  return 0;
};
const ${p}touch = (${keys.join(', ')}) => {
  const b = ${p}bucket(${hashExpr(keys)});
  const r = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  return ch.length === 0 ? 0 : ch[r >>> ${CHUNK_BITS}][r & ${CHUNK_MASK}];
};
const ${p}add = (r) => {
  const d = ch[r >>> ${CHUNK_BITS}], q = r & ${CHUNK_MASK};
  ${columns.map((c, k) => `const k${k} = d[q + ${c}];`).join(' ')}
  const h = ${hashExpr(keys)};
  let b = ${p}bucket(h);
  let g = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}], c, o = 0;
  while (g !== 0) {
    c = ch[g >>> ${CHUNK_BITS}]; o = g & ${CHUNK_MASK};
    if (${same}) break;
    g = ~c[o + ${prev}];
  }
  if (g === 0) {
    if (++${p}n > ${p}m + 1 + ${p}s) { ${p}more(); b = ${p}bucket(h); }
    d[q + ${next}] = 0;
    d[q + ${prev}] = ~${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
    ${p}set(b, r);
    return;
  }
  ${unique ? 'conflicts.push(g); conflicts.push(r);' : ''}
  const n = c[o + ${next}];
  d[q + ${next}] = n;
  d[q + ${prev}] = g;
  c[o + ${next}] = r;
  if (n !== 0) ch[n >>> ${CHUNK_BITS}][(n & ${CHUNK_MASK}) + ${prev}] = r;
};
const ${p}addAll = (refs, from, to) => {
  for (let at = from; at < to; at += ${Scratch.ROWS}) {
    const n = Math.min(${Scratch.ROWS}, to - at);
    for (let i = 0; i < n; i++) {
      const r = refs[at + i], d = ch[r >>> ${CHUNK_BITS}], q = r & ${CHUNK_MASK};
      const b = ${p}bucket(${hashExpr(columns.map((c) => `d[q + ${c}]`))});
      ahead[i] = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
    }
    let sum = 0;
    for (let i = 0; i < n; i++) { const g = ahead[i]; sum ^= ch[g >>> ${CHUNK_BITS}][g & ${CHUNK_MASK}]; }
    scratch.sink = sum;
    for (let i = 0; i < n; i++) ${p}add(refs[at + i]);
  }
};
const ${p}remove = (r) => {
  const d = ch[r >>> ${CHUNK_BITS}], q = r & ${CHUNK_MASK};
  const n = d[q + ${next}], v = d[q + ${prev}];
  // Only the first rows of groups have a negative one.
  d[q + ${prev}] = 0;
  if (v > 0) {
    ch[v >>> ${CHUNK_BITS}][(v & ${CHUNK_MASK}) + ${next}] = n;
    if (n !== 0) ch[n >>> ${CHUNK_BITS}][(n & ${CHUNK_MASK}) + ${prev}] = v;
    return;
  }
  // The first of its group: the next takes its place in the bucket, or the group leaves it.
  let heir = ~v;
  if (n !== 0) { heir = n; ch[n >>> ${CHUNK_BITS}][(n & ${CHUNK_MASK}) + ${prev}] = v; } else ${p}n--;
  const b = ${p}bucket(${hashExpr(columns.map((c) => `d[q + ${c}]`))});
  let g = ${p}h[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  if (g === r) { ${p}set(b, heir); return; }
  for (;;) {
    const c = ch[g >>> ${CHUNK_BITS}], o = (g & ${CHUNK_MASK}) + ${prev};
    g = ~c[o];
    if (g === r) { c[o] = ~heir; return; }
  }
};`;
}

/** Words of a row in the scratch buffer. */
export function rowWidth(layout: Layout): number {
  return layout.arity + (layout.recursive ? 1 : 0);
}

/** The text of the factory: a function of the state that returns the StoreCode. */
export function storeSource(layout: Layout): string {
  const { arity, state, link, support, rank, stride, recursive } = layout;
  const cols = range(arity);
  const vs = cols.map((i) => `v${i}`);
  const params = vs.join(', ');
  const comma = arity > 0 ? `${params}, ` : '';
  const same = arity === 0 ? 'true' : cols.map((i) => `c[o + ${i}] === v${i}`).join(' && ');
  const indexes = range(layout.indexes.length);
  const log = recursive
    ? `log.push2(r, x); log.push2(c[o + ${support}], c[o + ${rank}]);`
    : 'log.push2(r, x);';
  const width = rowWidth(layout);
  const small = Math.min(CHUNK, 16 * stride);
  const after = recursive
    ? `
  if ((x & ${VISIBLE}) !== 0) {
    if (k < c[o + ${rank}]) {
      const left = (c[o + ${support}] += w);
      if (left === 0 && w < 0) unsupported.push(r);
    }
  } else if (w > 0 && (x >> ${COUNT_SHIFT}) === 0) derived.push(r);`
    : '';
  const readAhead = (
    rows: string,
    words: number,
  ): string => `for (let i = 0, p = 0; i < count; i++, p += ${words}) {
    ${cols.map((i) => `const v${i} = ${rows}[p + ${i}];`).join(' ')}
    const h = ${hashExpr(vs)};
    hashes[i] = h;
    const b = pbucket(h);
    ahead[i] = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  }
  if (ch.length > 0) {
    let sum = 0;
    for (let i = 0; i < count; i++) { const r = ahead[i]; sum ^= ch[r >>> ${CHUNK_BITS}][r & ${CHUNK_MASK}]; }
    scratch.sink = sum;
  }`;
  return `'use strict';
${MIX}
const { scratch } = t, { rows: buf, hashes, refs: ahead } = scratch;
const { chunks: ch, log, unsupported, derived, conflicts } = t;
${linearHash({
  p: 'p',
  hash: hashExpr(cols.map((i) => `c[o + ${i}]`)),
  link,
  complement: false,
  listed: `c[o + ${state}] !== 0`,
  expected: `2.2 * (pn + (log.length / ${recursive ? 4 : 2}) * (scratch.ahead - 1))`,
  dense: '',
  stride,
})}
${indexes.map((i) => indexCode(layout, i)).join('\n')}
const more = () => {
  const last = ch.length - 1;
  const used = last < 0 ? 0 : ch[last].length;
  if (last === 0 && used < ${CHUNK}) {
    const words = Math.min(${CHUNK}, used * 4);
    t.reserve((words - used) * 4);
    const grown = new Int32Array(words);
    grown.set(ch[0]);
    ch[0] = grown;
    t.limit = words - ${stride};
    return;
  }
  if (ch.length === ${MAX_CHUNKS}) t.full();
  const words = last < 0 ? ${small} : ${CHUNK};
  t.reserve(words * 4);
  ch.push(new Int32Array(words));
  // Ref 0 is no row: the first record of the first chunk stays unused.
  t.top = last < 0 ? ${stride} : 0;
  t.limit = words - ${stride};
  if (last < 0 && t.top > t.limit) more();
};
const create = (${comma}h) => {
  // Two buckets for each row: most look-ups for a row that is not there end at the bucket.
  if (++pn * 2 > pm + 1 + ps) pmore();
  let r = t.free;
  if (r !== 0) t.free = ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${link}];
  else {
    if (t.top > t.limit || ch.length === 0) { pn--; more(); pn++; }
    r = ((ch.length - 1) << ${CHUNK_BITS}) | t.top;
    t.top += ${stride};
  }
  const c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
  ${cols.map((i) => `c[o + ${i}] = v${i};`).join(' ')}
  c[o + ${state}] = 0;
  ${recursive ? `c[o + ${support}] = 0; c[o + ${rank}] = 0;` : ''}
  const b = pbucket(h);
  c[o + ${link}] = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  pset(b, r);
  return r;
};
const find = (${params}) => {
  const b = pbucket(${hashExpr(vs)});
  let r = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  while (r !== 0) {
    const c = ch[r >>> ${CHUNK_BITS}], o = r & ${CHUNK_MASK};
    if (${same}) return r;
    r = c[o + ${link}];
  }
  return 0;
};
const touch = (${params}) => {
  const b = pbucket(${hashExpr(vs)});
  const r = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  return ch.length === 0 ? 0 : ch[r >>> ${CHUNK_BITS}][r & ${CHUNK_MASK}];
};
const vis = (${params}) => {
  const r = find(${params});
  return r !== 0 && (ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] & ${VISIBLE}) !== 0 ? r : 0;
};
const make = (${params}) => {
  const r = find(${params});
  return r !== 0 ? r : create(${comma}${hashExpr(vs)});
};
const count1 = (${comma}w, ${recursive ? 'k, ' : ''}h) => {
  const b = pbucket(h);
  let r = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  let c, o = 0;
  while (r !== 0) {
    c = ch[r >>> ${CHUNK_BITS}]; o = r & ${CHUNK_MASK};
    if (${same}) break;
    r = c[o + ${link}];
  }
  if (r === 0) {
    r = create(${comma}h);
    c = ch[r >>> ${CHUNK_BITS}]; o = r & ${CHUNK_MASK};
  }
  const x = c[o + ${state}];
  if ((x & ${TOUCHED}) === 0) { ${log} }
  const y = (x | ${TOUCHED}) + w * ${COUNT_ONE};
  if (y !== (y | 0) || y < 0) t.miscount(w);
  c[o + ${state}] = y;${after}
};
const upd = (${comma}w${recursive ? ', k' : ''}) => count1(${comma}w, ${recursive ? 'k, ' : ''}${hashExpr(vs)});
const updAll = (count, w) => {
  ${readAhead('buf', width)}
  for (let i = 0, p = 0; i < count; i++, p += ${width})
    count1(${[...cols.map((i) => `buf[p + ${i}]`), 'w', ...(recursive ? [`buf[p + ${arity}]`] : []), 'hashes[i]'].join(', ')});
};
const input1 = (${comma}present, h) => {
  const b = pbucket(h);
  let r = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  let c, o = 0;
  while (r !== 0) {
    c = ch[r >>> ${CHUNK_BITS}]; o = r & ${CHUNK_MASK};
    if (${same}) break;
    r = c[o + ${link}];
  }
  if (r === 0) {
    if (present === 0) return;
    r = create(${comma}h);
    c = ch[r >>> ${CHUNK_BITS}]; o = r & ${CHUNK_MASK};
  }
  const x = c[o + ${state}];
  if ((x >> ${COUNT_SHIFT}) === present) return;
  if ((x & ${TOUCHED}) === 0) log.push2(r, x);
  c[o + ${state}] = (x & ${COUNT_ONE - 1}) | ${TOUCHED} | (present << ${COUNT_SHIFT});
};
const inputAll = (rows, count, present) => {
  ${readAhead('rows', arity)}
  for (let i = 0, p = 0; i < count; i++, p += ${arity})
    input1(${[...cols.map((i) => `rows[p + ${i}]`), 'present', 'hashes[i]'].join(', ')});
};
const show = (r) => {
  ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] |= ${VISIBLE};
  ${indexes.map((i) => `x${i}add(r);`).join(' ')}
};
const hide = (r) => {
  ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] &= ~${VISIBLE};
  ${indexes.map((i) => `x${i}remove(r);`).join(' ')}
};
const showAll = (refs, from, to) => {
  for (let i = from; i < to; i++) {
    const r = refs[i];
    ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] |= ${VISIBLE};
  }
  ${indexes.map((i) => `x${i}addAll(refs, from, to);`).join('\n  ')}
};
const hideAll = (refs, from, to) => {
  for (let i = from; i < to; i++) {
    const r = refs[i];
    ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] &= ~${VISIBLE};
  }
  ${indexes.map((i) => `for (let i = from; i < to; i++) x${i}remove(refs[i]);`).join('\n  ')}
};
const changed = (byCount, came, went, h) => {
  const shift = byCount ? ${COUNT_SHIFT} : 0, mask = byCount ? -1 : ${VISIBLE};
  const entries = log.chunks[h], used = log.used(h);
  for (let i = 0; i < used; i += ${recursive ? 4 : 2}) {
    const r = entries[i];
    const before = (entries[i + 1] & ${VISIBLE}) !== 0;
    const now = ((ch[r >>> ${CHUNK_BITS}][(r & ${CHUNK_MASK}) + ${state}] >> shift) & mask) !== 0;
    if (now !== before) { if (now) came.push(r); else went.push(r); }
  }
};
const settle = (h) => {
  const entries = log.chunks[h], used = log.used(h);
  for (let i = 0; i < used; i += ${recursive ? 4 : 2}) {
    const r = entries[i], c = ch[r >>> ${CHUNK_BITS}], o = (r & ${CHUNK_MASK}) + ${state};
    const x = c[o] & ~${TOUCHED | BATCH};
    c[o] = x;
    if (x === 0) release(r);
  }
};
const release = (r) => {
  const d = ch[r >>> ${CHUNK_BITS}], q = r & ${CHUNK_MASK};
  const after = d[q + ${link}];
  const b = pbucket(${hashExpr(cols.map((i) => `d[q + ${i}]`))});
  let g = ph[b >>> ${CHUNK_BITS}][b & ${CHUNK_MASK}];
  if (g === r) pset(b, after);
  else for (;;) {
    const c = ch[g >>> ${CHUNK_BITS}], o = (g & ${CHUNK_MASK}) + ${link};
    g = c[o];
    if (g === r) { c[o] = after; break; }
  }
  pn--;
  d[q + ${state}] = 0;
  d[q + ${link}] = t.free;
  t.free = r;
};
return {
  upd, updAll, find, vis, touch, make, inputAll, show, hide, showAll, hideAll, changed, settle, release,
  indexes: [${indexes.map((i) => `{ columns: ${JSON.stringify(layout.indexes[i])}, first: x${i}first, touch: x${i}touch }`).join(', ')}],
  bucketBytes: () => [ph${indexes.map((i) => `, x${i}h`).join('')}].reduce((sum, h) => sum + h.reduce((s, c) => s + c.byteLength, 0), 0),
  reset: () => { preset(); ${indexes.map((i) => `x${i}reset();`).join(' ')} },
  size: () => pn,
};
// BATCH is bit ${BATCH}, kept by whoever runs batches.
`;
}

export function compileStore(layout: Layout, state: StoreState): StoreCode {
  return new Function('t', storeSource(layout))(state) as StoreCode;
}
