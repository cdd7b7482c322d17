/**
 * The flows that the switch should have. Several rows may ask for a flow of the same table, priority and match; a switch has
 * one, so one of them counts: always the same, whatever the order in which they came.
 */
import { WeftError } from '../../base/errors.ts';
import type { Difference } from '../physical.ts';
import type { PhysicalFlow } from '../physical-flows.ts';
import { type TableFlow, tableFlow } from './flow-key.ts';

/** Flows read in one go. */
const SLICE = 100;

export interface WantedFlow extends TableFlow {
  readonly origin: string | undefined;
}

interface Candidate extends WantedFlow {
  count: number;
}

const order = (a: WantedFlow, b: WantedFlow): number =>
  a.actions < b.actions
    ? -1
    : a.actions > b.actions
      ? 1
      : (a.origin ?? '') < (b.origin ?? '')
        ? -1
        : a.origin === b.origin
          ? 0
          : 1;

export class WantedFlows {
  readonly #candidates = new Map<string, Candidate[]>();
  /** What each text was read as. */
  readonly #read = new Map<string, { readonly flow: TableFlow | WeftError; uses: number }>();
  readonly #bad = new Map<string, WeftError>();
  #touched = new Set<string>();

  get size(): number {
    return this.#candidates.size;
  }

  /** Flows that no switch would understand, and why. */
  get bad(): Iterable<WeftError> {
    return this.#bad.values();
  }

  get(key: string): WantedFlow | undefined {
    return this.#candidates.get(key)?.[0];
  }

  keys(): Iterable<string> {
    return this.#candidates.keys();
  }

  /** The keys whose flow may have changed since the last call. */
  takeTouched(): Set<string> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  /** What was taken did not get done. */
  giveBack(touched: Iterable<string>): void {
    for (const key of touched) this.#touched.add(key);
  }

  insert(flow: PhysicalFlow): void {
    const text = textOf(flow);
    let read = this.#read.get(text);
    if (read === undefined) {
      read = { flow: this.#parse(text, flow), uses: 0 };
      this.#read.set(text, read);
    }
    read.uses++;
    if (read.flow instanceof WeftError) return;
    const { key, actions } = read.flow;
    const candidates = this.#candidates.get(key) ?? [];
    const same = candidates.find((c) => c.actions === actions && c.origin === flow.origin);
    if (same !== undefined) {
      same.count++;
      return;
    }
    candidates.push({ key, actions, origin: flow.origin, count: 1 });
    candidates.sort(order);
    this.#candidates.set(key, candidates);
    this.#touched.add(key);
  }

  delete(flow: PhysicalFlow): void {
    const text = textOf(flow);
    const read = this.#read.get(text);
    if (read === undefined) return;
    if (--read.uses === 0) this.#read.delete(text);
    if (read.flow instanceof WeftError) {
      if (read.uses === 0) this.#bad.delete(text);
      return;
    }
    const { key, actions } = read.flow;
    const candidates = this.#candidates.get(key) ?? [];
    const at = candidates.findIndex((c) => c.actions === actions && c.origin === flow.origin);
    if (at < 0 || --candidates[at].count > 0) return;
    candidates.splice(at, 1);
    if (candidates.length === 0) this.#candidates.delete(key);
    this.#touched.add(key);
  }

  /** All of a difference, with a pause now and then: reading a flow's text takes its time. */
  async apply({ inserted, deleted }: Difference<PhysicalFlow>, pause: () => Promise<void>): Promise<void> {
    let n = 0;
    for (const flow of deleted) {
      if (++n % SLICE === 0) await pause();
      this.delete(flow);
    }
    for (const flow of inserted) {
      if (++n % SLICE === 0) await pause();
      this.insert(flow);
    }
  }

  #parse(text: string, flow: PhysicalFlow): TableFlow | WeftError {
    try {
      return tableFlow(flow);
    } catch (cause) {
      if (!(cause instanceof WeftError)) throw cause;
      const error = new WeftError('flow-refused', `${text}: ${cause.message}`, { cause });
      this.#bad.set(text, error);
      return error;
    }
  }
}

function textOf({ table, priority, match, actions }: PhysicalFlow): string {
  return `${table} ${priority} ${match} ${actions}`;
}
