/**
 * A classifier: of all rules that a packet matches, find the one of the highest priority, fast, and say
 * which bits of the packet decided that.
 *
 * ## The shape
 *
 * Rules with one mask form a *subtable*: a hash table from the masked packet to the rules. A lookup
 * asks one subtable after the other, in descending order of the highest priority in each, and stops at
 * the first that can't hold anything better than what it has. The cost is one hash and one compare per
 * mask in use, whatever the number of rules.
 *
 * ## Which bits decided
 *
 * With a mask `wc` to fill, a lookup records in it every bit it looked at. The guarantee, which megaflows
 * rest on: *every packet that agrees with this one on the bits of `wc` gets the same rule*. Ones too many
 * make megaflows narrow; a one too few sends somebody's packet the wrong way. So every branch below
 * depends on recorded bits only. Three devices keep the record small:
 *
 * - **Stages.** A subtable's words are in the order metadata, L2, L3, L4. After each stage a set of hashes
 *   tells whether any rule agrees so far; if not, the later stages are neither looked at nor recorded.
 *   (Two prefixes with one hash make a lookup go on for nothing: slower, never wrong. All packets that
 *   agree on the recorded bits have the same hashes and go the same way.)
 * - **Prefix tries.** For chosen fields (IP addresses), one trie of all rules' prefixes tells how many
 *   leading bits of the packet's address show that no rule of a given prefix length can match; a subtable
 *   with that length is passed over at the price of these bits. One trie lookup serves all subtables.
 * - **The ports trie.** If all else agrees but no row does, the subtable's own trie of port values tells
 *   how many of their bits prove it.
 *
 * Early termination by priority needs no record: which subtable comes when depends on the rules alone,
 * and whether the search stops depends on the rule found, which the record determines.
 *
 * ## Conjunctive matches
 *
 * A rule with `conjunctions` is a *soft* match: clause k of n of conjunction `id`. If, among the soft
 * matches of the highest priority, some id has all its clauses, and it is higher than any ordinary
 * match, the packet is looked up again with `conj_id` = id, and what that finds is the answer. Otherwise
 * the next lower priority is tried. All bits that told the soft matches are in the record by then.
 *
 * ## Versions
 *
 * A rule is visible in versions [addVersion, removeVersion). A bundle inserts its rules for the next
 * version and marks others as removed in it; lookups in the current one see nothing of it until
 * the owner moves on to the next, in one step. Rules equal in match and priority may be in the table at the
 * same time as long as no version sees two of them. Invisible rules stay in subtables, tries and priorities: they make
 * the record larger than need be, for as long as they stay, never too small. `remove` takes them out.
 *
 * ## What changes cost
 *
 * Inserting and removing hashes the mask and the values once each; the order of subtables is restored
 * at the next lookup, so that a thousand changes in a row sort once. Removing the rule of the highest
 * priority takes O(log of the number of distinct priorities).
 *
 * ## Memory
 *
 * A rule is one object of about 100 bytes; a row takes 4 bytes a word of its mask, 4 for its hash, 8 to 16
 * for its slot, 8 to 16 per stage, and up to 40 in a ports trie.
 */

import { prefixLength } from './address-text.ts';
import { findConjunction } from './conjunction.ts';
import type { Field } from './field.ts';
import { getField } from './field-access.ts';
import { F } from './fields.ts';
import type { Flow } from './layout.ts';
import { newFlow, W_CONJ_ID } from './layout.ts';
import type { Match } from './match.ts';
import { hashMask, MiniMask } from './minimatch.ts';
import { PrefixTrie } from './prefix-trie.ts';
import type { Rule } from './rule.ts';
import { Subtable } from './subtable.ts';
import { finishHash } from './subtable-code.ts';

/** Fields that Open vSwitch 3.1 tracks prefixes of unless told otherwise. */
export const DEFAULT_PREFIX_FIELDS: readonly Field[] = [F.ipDst, F.ipSrc];

/** Fields whose prefixes can be tracked: those that start a word and fill it. */
export const PREFIX_FIELDS: readonly Field[] = [
  F.tunId,
  F.tunSrc,
  F.tunDst,
  F.tunIpv6Src,
  F.tunIpv6Dst,
  F.ipSrc,
  F.ipDst,
  F.ipv6Src,
  F.ipv6Dst,
  F.ctNwSrc,
  F.ctNwDst,
  F.ctIpv6Src,
  F.ctIpv6Dst,
];

/** A trie for one field, and what it said of the packet being looked up. */
interface FieldTrie {
  readonly field: Field;
  readonly word: number;
  readonly trie: PrefixTrie;
  /** Number of the lookup that `bits` and the trie's answer belong to. */
  lookup: number;
  bits: number;
}

export class Classifier<R extends Rule> {
  #subtables: Subtable<R>[] = [];
  readonly #byMask = new Map<number, Subtable<R>[]>();
  #sorted = true;
  /** Some subtables in the list are empty, and no longer in `#byMask`. */
  #dropped = false;
  #tries: FieldTrie[] = [];
  #lookup = 0;
  readonly #scratch = newFlow();
  #size = 0;

  constructor(prefixFields: readonly Field[] = DEFAULT_PREFIX_FIELDS) {
    this.setPrefixFields(prefixFields);
  }

  /** Rules in it, visible or not. */
  get size(): number {
    return this.#size;
  }

  /** Masks in use. */
  get subtables(): number {
    if (!this.#sorted) this.#sort();
    return this.#subtables.length;
  }

  /** Bytes that the subtables take; rules not counted. */
  get bytes(): number {
    return this.#subtables.reduce((sum, subtable) => sum + subtable.bytes, 0);
  }

  get prefixFields(): readonly Field[] {
    return this.#tries.map((t) => t.field);
  }

  /** Chooses the fields to track prefixes of. Takes time in proportion to the rules in the table. */
  setPrefixFields(fields: readonly Field[]): void {
    for (const field of fields) {
      if (!PREFIX_FIELDS.includes(field))
        throw new RangeError(`classifier: no prefixes of ${field.name} can be tracked`);
    }
    this.#tries = [...new Set(fields)].map((field) => ({
      field,
      word: field.offset / 32,
      trie: new PrefixTrie(field.bits),
      lookup: 0,
      bits: 0,
    }));
    for (const subtable of this.#subtables) {
      this.#setTrieLengths(subtable);
      for (const row of subtable.rows()) this.#addPrefixes(subtable, subtable.matchOf(row).expand().flow);
    }
  }

  /**
   * Puts a rule in, visible from `version` on. The caller sees to it that no version has two rules of
   * one match and priority.
   */
  insert(rule: R, match: Match, version = 0): void {
    if (rule.inserted) throw new TypeError('classifier: inserting a rule that is in a classifier already');
    let subtable = this.#subtableOf(match.mask);
    if (subtable === null) subtable = this.#addSubtable(match.mask);
    rule.addVersion = version;
    rule.removeVersion = 0;
    if (subtable.insert(rule, match.flow)) this.#addPrefixes(subtable, match.flow);
    if (rule.priority > subtable.maxPriority) this.#sorted = false;
    this.#size++;
  }

  /** Takes a rule out at once, for all versions. It must be in. */
  remove(rule: R): void {
    const subtable = rule.home as Subtable<R> | null;
    if (subtable === null) throw new TypeError('classifier: removing a rule that is not in it');
    if (subtable.remove(rule) && subtable.usesTries) {
      // Bits that stand in the scratch from others are beyond the prefixes' ends.
      const { mask, values } = rule.miniMatch;
      for (let i = 0; i < values.length; i++) this.#scratch[mask.words[i]] = values[i];
      for (let i = 0; i < this.#tries.length; i++) {
        const length = subtable.trieLengths[i];
        if (length > 0) this.#tries[i].trie.remove(this.#scratch, this.#tries[i].word, length);
      }
    }
    this.#size--;
    if (subtable.isEmpty) this.#dropSubtable(subtable);
    else if (rule.priority === subtable.maxPriority) this.#sorted = false;
  }

  /** Makes a rule invisible from `version` on; it stays in until it is removed. */
  removeInVersion(rule: R, version: number): void {
    rule.removeVersion = version;
  }

  /** Takes back {@link removeInVersion}. */
  restore(rule: R): void {
    rule.removeVersion = 0;
  }

  /**
   * The visible rule of the highest priority that matches `flow`, or null. Bits that decided it are
   * added to `wc`. `flow` is unchanged on return.
   */
  lookup(version: number, flow: Flow, wc: Flow | null = null): R | null {
    if (!this.#sorted) this.#sort();
    this.#lookup++;
    return this.#search(version, flow, wc, true);
  }

  #search(version: number, flow: Flow, wc: Flow | null, conjunctive: boolean): R | null {
    const subtables = this.#subtables;
    let hard: R | null = null;
    let hardPriority = Number.NEGATIVE_INFINITY;
    let soft: R[] | null = null;
    for (let i = 0; i < subtables.length; i++) {
      const subtable = subtables[i];
      if (subtable.maxPriority <= hardPriority) break;
      const row = wc === null ? subtable.find(flow) : this.#findTracked(subtable, flow, wc);
      if (row < 0) continue;
      let rule = subtable.visible(row, version);
      if (!conjunctive)
        while (rule !== null && rule.conjunctions !== null) rule = visibleAfter(rule, version);
      if (rule === null || rule.priority <= hardPriority) continue;
      if (rule.conjunctions === null) {
        hard = rule;
        hardPriority = rule.priority;
      } else {
        soft ??= [];
        soft.push(rule);
      }
    }
    return soft === null ? hard : this.#searchSoft(version, flow, wc, hard, soft);
  }

  /** Tries conjunctive matches above `hard`, from the highest priority down. */
  #searchSoft(version: number, flow: Flow, wc: Flow | null, hard: R | null, soft: R[]): R | null {
    let best = hard;
    let left: R[] = soft;
    for (;;) {
      const floor = best?.priority ?? Number.NEGATIVE_INFINITY;
      left = left.filter((rule) => rule.priority > floor);
      if (left.length === 0) return best;
      const top = left.reduce((max, rule) => Math.max(max, rule.priority), floor);
      const clauses = left.filter((rule) => rule.priority === top);
      for (const id of findConjunction(clauses)) {
        const saved = flow[W_CONJ_ID];
        flow[W_CONJ_ID] = id;
        this.#lookup++;
        const rule = this.#search(version, flow, wc, false);
        flow[W_CONJ_ID] = saved;
        if (rule !== null) return rule;
      }
      // None of them is whole. What is next in their rows may be soft or hard.
      const next: R[] = left.filter((rule) => rule.priority < top);
      for (const rule of clauses) {
        const below = visibleAfter(rule, version);
        if (below === null) continue;
        if (below.conjunctions !== null) next.push(below);
        else if (best === null || below.priority > best.priority) best = below;
      }
      left = next;
    }
  }

  /** {@link Subtable.find} that records what it looks at. */
  #findTracked(subtable: Subtable<R>, flow: Flow, wc: Flow): number {
    const { stages } = subtable;
    let sum = 0;
    let start = 0;
    for (let s = 0; s < stages.length; s++) {
      const { end, hashes } = stages[s];
      if (subtable.usesTries && this.#triesRuleOut(subtable, start, end, flow, wc)) {
        subtable.record(wc, start);
        return -1;
      }
      sum = subtable.addStage(flow, sum, s, start);
      if (hashes !== null && !hashes.has(finishHash(sum))) {
        subtable.record(wc, end);
        return -1;
      }
      if (hashes !== null) start = end;
    }
    const row = subtable.findHashed(flow, finishHash(sum));
    if (row >= 0 || !subtable.portsRuleOut(flow, wc)) subtable.record(wc, subtable.mask.length);
    else subtable.record(wc, start);
    return row;
  }

  /**
   * Whether a trie shows that no rule of a subtable matches, by its prefix length in a field among the
   * words from `start` to `end`. What shows it is recorded.
   */
  #triesRuleOut(subtable: Subtable<R>, start: number, end: number, flow: Flow, wc: Flow): boolean {
    const first = subtable.mask.words[start];
    const last = subtable.mask.words[end - 1];
    for (let i = 0; i < this.#tries.length; i++) {
      const length = subtable.trieLengths[i];
      const t = this.#tries[i];
      if (length === 0 || t.word < first || t.word > last) continue;
      if (t.lookup !== this.#lookup) {
        t.bits = t.trie.lookup(flow, t.word);
        t.lookup = this.#lookup;
      }
      if (t.trie.found(length)) continue;
      // A trie that must look further than the subtable's own mask would only narrow the record,
      // unless the bits are in it already.
      if (t.bits <= length) {
        for (let bit = t.bits, w = t.word; bit > 0; bit -= 32, w++) wc[w] |= prefixBits(bit);
        return true;
      }
      let recorded = true;
      for (let bit = t.bits, w = t.word; bit > 0; bit -= 32, w++) {
        recorded &&= (prefixBits(bit) & ~wc[w]) === 0;
      }
      if (recorded) return true;
    }
    return false;
  }

  /** The visible rule of exactly this match and priority, or null. */
  find(match: Match, priority: number, version: number): R | null {
    const subtable = this.#subtableOf(match.mask);
    const row = subtable?.find(match.flow) ?? -1;
    if (subtable === null || row < 0) return null;
    let rule: Rule | null = subtable.heads[row];
    while (rule !== null && (rule.priority !== priority || !rule.isVisibleIn(version))) rule = rule.next;
    return rule as R | null;
  }

  /** A visible rule of this priority that some packet of `match` matches, or null. */
  overlapping(match: Match, priority: number, version: number): R | null {
    if (!this.#sorted) this.#sort();
    for (const subtable of this.#subtables) {
      if (subtable.maxPriority < priority) continue;
      for (const row of subtable.rowsLike(match.flow, match.mask)) {
        for (let rule: Rule | null = subtable.heads[row]; rule !== null; rule = rule.next) {
          if (rule.priority === priority && rule.isVisibleIn(version)) return rule as R;
        }
      }
    }
    return null;
  }

  /**
   * Rules whose packets are all in `target` (default: any), visible in `version` (default: all, also those in
   * none), a subtable at a time and in no particular order. The rule that came last may be removed meanwhile;
   * ones that are inserted may or may not come.
   */
  *rules(target: Match | null = null, version: number | null = null): IterableIterator<R> {
    for (const subtable of [...this.#subtables]) {
      if (target !== null && !subtable.mask.includes(target.mask)) continue;
      const rows = target === null ? subtable.rows() : subtable.rowsWithin(target.flow, target.mask);
      for (const row of rows) {
        let rule: Rule | null = subtable.heads[row];
        while (rule !== null) {
          const { next } = rule;
          if (version === null || rule.isVisibleIn(version)) yield rule as R;
          rule = next;
        }
      }
    }
  }

  [Symbol.iterator](): IterableIterator<R> {
    return this.rules();
  }

  #subtableOf(mask: Flow): Subtable<R> | null {
    return this.#byMask.get(hashMask(mask))?.find((s) => s.mask.equalsFlow(mask)) ?? null;
  }

  #addSubtable(mask: Flow): Subtable<R> {
    const subtable = new Subtable<R>(MiniMask.of(mask));
    this.#setTrieLengths(subtable);
    const hash = hashMask(mask);
    const alike = this.#byMask.get(hash);
    if (alike === undefined) this.#byMask.set(hash, [subtable]);
    else alike.push(subtable);
    this.#subtables.push(subtable);
    this.#sorted = false;
    return subtable;
  }

  #dropSubtable(subtable: Subtable<R>): void {
    const mask = newFlow();
    subtable.mask.addTo(mask);
    const hash = hashMask(mask);
    const alike = this.#byMask.get(hash)?.filter((s) => s !== subtable) ?? [];
    if (alike.length === 0) this.#byMask.delete(hash);
    else this.#byMask.set(hash, alike);
    this.#dropped = true;
    this.#sorted = false;
  }

  #sort(): void {
    if (this.#dropped) this.#subtables = this.#subtables.filter((s) => !s.isEmpty);
    this.#dropped = false;
    for (const subtable of this.#subtables) subtable.refreshPriority();
    this.#subtables.sort((a, b) => b.maxPriority - a.maxPriority);
    this.#sorted = true;
  }

  #setTrieLengths(subtable: Subtable<R>): void {
    const mask = newFlow();
    subtable.mask.addTo(mask);
    subtable.setTrieLengths(
      this.#tries.map(({ field }) => Math.max(0, prefixLength(getField(mask, field), field.bits))),
    );
  }

  #addPrefixes(subtable: Subtable<R>, flow: Flow): void {
    for (let i = 0; i < this.#tries.length; i++) {
      const length = subtable.trieLengths[i];
      if (length > 0) this.#tries[i].trie.add(flow, this.#tries[i].word, length);
    }
  }
}

/** The next visible rule of the same match, or null. */
function visibleAfter<R extends Rule>(rule: R, version: number): R | null {
  let next: Rule | null = rule.next;
  while (next !== null && !next.isVisibleIn(version)) next = next.next;
  return next as R | null;
}

/** The first `bits` bits of a word. */
function prefixBits(bits: number): number {
  return bits >= 32 ? 0xffffffff : bits <= 0 ? 0 : -1 << (32 - bits);
}
