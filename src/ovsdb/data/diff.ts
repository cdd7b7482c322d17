/** Differences between datums, and what is made of datums by applying them. */
import { OvsdbError } from '../error.ts';
import type { Atom } from './atom.ts';
import { Datum } from './datum.ts';
import { type ColumnType, isComposite } from './type.ts';

/** Builds a datum from elements that come in order. */
class Builder {
  readonly keys: Atom[] = [];
  readonly values: Atom[] | null;

  constructor(type: ColumnType) {
    this.values = type.value === null ? null : [];
  }

  take(from: Datum, i: number): void {
    this.keys.push(from.keys[i]);
    if (this.values !== null) this.values.push(from.values![i]);
  }

  datum(): Datum {
    return new Datum(this.keys, this.values);
  }
}

/** What must leave `old` and what must come to it to get `now`; a changed map value is in both. */
export function addedRemoved(old: Datum, now: Datum, type: ColumnType): { added: Datum; removed: Datum } {
  if (!isComposite(type)) return { added: now, removed: old };
  const added = new Builder(type);
  const removed = new Builder(type);
  merge(
    old,
    now,
    (i) => removed.take(old, i),
    (j) => added.take(now, j),
    (i, j) => {
      removed.take(old, i);
      added.take(now, j);
    },
  );
  return { added: added.datum(), removed: removed.datum() };
}

/**
 * The difference of `old` and `now`: for a set the elements in only one of both, for a map also the
 * new value of each changed pair; for a scalar simply `now`. `applyDiff(old, diff)` gives `now` back.
 */
export function diffDatums(old: Datum, now: Datum, type: ColumnType): Datum {
  if (!isComposite(type)) return now;
  const diff = new Builder(type);
  merge(
    old,
    now,
    (i) => diff.take(old, i),
    (j) => diff.take(now, j),
    (_i, j) => diff.take(now, j),
  );
  return diff.datum();
}

/** One place where a datum changes: takes the element at `at` out, puts that of `from` in, or both. */
interface Edit {
  readonly at: number;
  readonly remove: boolean;
  /** Position in the other datum of what comes in, or -1. */
  readonly insert: number;
}

/** A few changes to a large datum are best made in a copy of it; many, by going through all. */
function fewChanges(large: Datum, small: Datum): boolean {
  return large.n > 16 && small.n * 16 < large.n;
}

/** A copy with the edits made, which are in ascending order. */
function edited(datum: Datum, from: Datum, edits: readonly Edit[]): Datum {
  const keys = datum.keys.slice();
  const values = datum.values === null ? null : datum.values.slice();
  for (let i = edits.length - 1; i >= 0; i--) {
    const { at, remove, insert } = edits[i];
    const n = remove ? 1 : 0;
    if (insert < 0) {
      keys.splice(at, n);
      values?.splice(at, n);
    } else {
      keys.splice(at, n, from.keys[insert]);
      values?.splice(at, n, from.values![insert]);
    }
  }
  return new Datum(keys, values);
}

function diffEdits(old: Datum, diff: Datum): Edit[] {
  return diff.keys.map((key, insert) => {
    const at = old.find(key);
    if (at < 0) return { at: ~at, remove: false, insert };
    const changes = old.values !== null && old.values[at] !== diff.values![insert];
    return { at, remove: true, insert: changes ? insert : -1 };
  });
}

/** Throws `ovsdb error` if the result would have too many or too few elements. */
export function applyDiff(old: Datum, diff: Datum, type: ColumnType): Datum {
  if (!isComposite(type)) return diff;
  const result = fewChanges(old, diff)
    ? edited(old, diff, diffEdits(old, diff))
    : mergedDiff(old, diff, type);
  if (result.n < type.min || result.n > type.max) {
    throw new OvsdbError(
      'ovsdb error',
      `difference leads to ${result.n} elements where ${type.min} to ${type.max} are allowed`,
    );
  }
  return result;
}

function mergedDiff(old: Datum, diff: Datum, type: ColumnType): Datum {
  const result = new Builder(type);
  let i = 0;
  for (let j = 0; j < diff.n; j++) {
    const key = diff.keys[j];
    while (i < old.n && old.keys[i] < key) result.take(old, i++);
    if (i < old.n && old.keys[i] === key) {
      if (old.values !== null && old.values[i] !== diff.values![j]) result.take(diff, j);
      i++;
    } else {
      result.take(diff, j);
    }
  }
  while (i < old.n) result.take(old, i++);
  return result.datum();
}

/** Walks two sorted datums side by side; elements that are the same in both are not reported. */
function merge(
  old: Datum,
  now: Datum,
  onlyOld: (i: number) => void,
  onlyNow: (j: number) => void,
  changed: (i: number, j: number) => void,
): void {
  let i = 0;
  let j = 0;
  while (i < old.n && j < now.n) {
    const a = old.keys[i];
    const b = now.keys[j];
    if (a === b) {
      if (old.values !== null && old.values[i] !== now.values![j]) changed(i, j);
      i++;
      j++;
    } else if (a < b) onlyOld(i++);
    else onlyNow(j++);
  }
  while (i < old.n) onlyOld(i++);
  while (j < now.n) onlyNow(j++);
}

/** `a` and those elements of `b` whose keys it lacks. */
export function unionDatums(a: Datum, b: Datum, type: ColumnType): Datum {
  if (b.n === 0) return a;
  if (fewChanges(a, b)) {
    const edits = diffEdits(a, b).filter((edit) => !edit.remove);
    return edits.length === 0 ? a : edited(a, b, edits);
  }
  const result = new Builder(type);
  let grew = false;
  let i = 0;
  for (let j = 0; j < b.n; j++) {
    const key = b.keys[j];
    while (i < a.n && a.keys[i] < key) result.take(a, i++);
    if (i < a.n && a.keys[i] === key) continue;
    result.take(b, j);
    grew = true;
  }
  if (!grew) return a;
  while (i < a.n) result.take(a, i++);
  return result.datum();
}

/** `a` without the elements of `b`: by key if `b` has no values, otherwise where key and value agree. */
export function subtractDatums(a: Datum, b: Datum, type: ColumnType): Datum {
  if (b.n === 0 || a.n === 0) return a;
  if (fewChanges(a, b)) {
    const edits: Edit[] = [];
    for (let j = 0; j < b.n; j++) {
      const at = a.find(b.keys[j]);
      const matches = at >= 0 && (b.values === null || a.values === null || b.values[j] === a.values[at]);
      if (matches) edits.push({ at, remove: true, insert: -1 });
    }
    return edits.length === 0 ? a : edited(a, b, edits);
  }
  const result = new Builder(type);
  for (let i = 0; i < a.n; i++) {
    const j = b.find(a.keys[i]);
    const matches = j >= 0 && (b.values === null || a.values === null || b.values[j] === a.values[i]);
    if (!matches) result.take(a, i);
  }
  return result.keys.length === a.n ? a : result.datum();
}
