import { KeyedHeap } from '../../base/keyed-heap.ts';
import type { Rule } from './rule.ts';

/** When a flow's hard timeout ends it, Clock.now() ms; Infinity: never. */
export function hardDeadline(rule: Rule): number {
  return rule.hardTimeout > 0 ? rule.modified + rule.hardTimeout * 1000 : Number.POSITIVE_INFINITY;
}

/** When its idle timeout does, were no packet to come any more. */
export function idleDeadline(rule: Rule): number {
  return rule.idleTimeout > 0
    ? Math.max(rule.used, rule.modified) + rule.idleTimeout * 1000
    : Number.POSITIVE_INFINITY;
}

const deadline = (rule: Rule): number => Math.min(hardDeadline(rule), idleDeadline(rule));

/**
 * Flows that end by themselves, by when they do. Packets put deadlines off all the time, which nobody tells
 * here: what stands in the heap is when a flow could have ended at the earliest, and when that has come, the
 * flow is looked at. So a flow in use is looked at once in each of its timeouts.
 */
export class FlowTimeouts {
  readonly #heap = new KeyedHeap<Rule>();

  get size(): number {
    return this.#heap.size;
  }

  /** A flow is in the tables, or its timeouts were changed. */
  add(rule: Rule): void {
    const at = deadline(rule);
    if (at === Number.POSITIVE_INFINITY) this.#heap.delete(rule);
    else this.#heap.set(rule, at);
  }

  remove(rule: Rule): void {
    this.#heap.delete(rule);
  }

  /**
   * Those whose time is up, by the timeout that it was: more than up, to the millisecond, as with Open vSwitch. They stay
   * until they are removed.
   */
  due(now: number): { readonly hard: Rule[]; readonly idle: Rule[] } {
    const hard: Rule[] = [];
    const idle: Rule[] = [];
    for (let rule = this.#heap.top; rule !== undefined && this.#heap.topKey < now; rule = this.#heap.top) {
      const at = deadline(rule);
      if (at < now) {
        if (hardDeadline(rule) < now) hard.push(rule);
        else idle.push(rule);
        // Behind the others, so that these come to the top.
        this.#heap.set(rule, Number.POSITIVE_INFINITY);
      } else {
        this.#heap.set(rule, at);
      }
    }
    for (const rule of [...hard, ...idle]) this.add(rule);
    return { hard, idle };
  }
}
