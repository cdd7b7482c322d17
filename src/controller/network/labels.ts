/**
 * Labels of logical datapaths and ports: one space of 24 bits, since a label must fit into a tunnel's key.
 *
 * A label is an object's for as long as the object lives, over restarts too: it is written in the transaction that makes
 * the object. After the object's end it is held back, for packets may be under way with it and hosts that were away may
 * still have flows with it: until the quarantine is over, and every agent is known to hold a later state. Only then
 * it goes to another object. So labels stay few without ever meaning two things.
 */
import type { Stored } from '../../api-schema/kinds.ts';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import { MAX_LABEL } from '../../logical/layout.ts';
import type { StoreOperation, StoreRecord } from '../store/store.ts';
import type { Companion, ObjectChange, Prepared } from './change.ts';

const PREFIX = 'label/';
/** Longer than packets live in any network, and longer than a host needs to take an update. */
export const QUARANTINE_MS = 10 * 60 * 1000;

/** A router port has two labels: as its switch sees it, and as its router does. */
export type Side = 'switch' | 'router';

export interface LabelOptions {
  readonly clock: Pick<Clock, 'wall'>;
  /** Whether every agent that there may be holds the published state of this number, or a later one. */
  readonly passed: (state: number) => boolean;
  /** Milliseconds. */
  readonly quarantine?: number;
  /** The highest label; for tests. */
  readonly highest?: number;
}

interface LabelJson {
  readonly id: string;
  readonly side?: Side;
  /** Milliseconds since 1970, when its object ended. */
  readonly released?: number;
}

interface Released {
  readonly label: number;
  readonly at: number;
  /** The published state in which it is gone. */
  readonly state: number;
}

/** Which labels an object takes. */
function sides(object: Stored): readonly (Side | undefined)[] {
  switch (object.kind) {
    case 'logical-switch':
    case 'logical-port':
    case 'logical-router':
      return [undefined];
    case 'router-port':
      return ['switch', 'router'];
    default:
      return [];
  }
}

const nameOf = (id: string, side: Side | undefined): string => (side === undefined ? id : `${id}/${side}`);
/** Keys sort as the labels do. */
const keyOf = (label: number): string => PREFIX + label.toString(16).padStart(6, '0');
const put = (label: number, json: LabelJson): StoreOperation => ({
  op: 'put',
  key: keyOf(label),
  value: JSON.stringify(json),
});

function damaged(record: StoreRecord): WeftError {
  return new WeftError('store-damaged', `record ${record.key} is no label: ${record.value.slice(0, 100)}`, {
    remedy: 'restore the store from a backup',
  });
}

function parse(record: StoreRecord): { label: number; json: LabelJson } {
  let json: Partial<LabelJson> | null;
  try {
    json = JSON.parse(record.value) as Partial<LabelJson> | null;
  } catch {
    throw damaged(record);
  }
  const text = record.key.slice(PREFIX.length);
  const label = Number.parseInt(text, 16);
  if (!/^[0-9a-f]{6}$/.test(text) || label === 0 || typeof json?.id !== 'string') throw damaged(record);
  return { label, json: json as LabelJson };
}

export class Labels implements Companion {
  readonly #clock: Pick<Clock, 'wall'>;
  readonly #passed: (state: number) => boolean;
  readonly #quarantine: number;
  readonly #highest: number;
  readonly #labels = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Oldest first. */
  #released: Released[] = [];
  #next = 1;

  constructor(options: LabelOptions) {
    this.#clock = options.clock;
    this.#passed = options.passed;
    this.#quarantine = options.quarantine ?? QUARANTINE_MS;
    this.#highest = options.highest ?? MAX_LABEL;
  }

  load(records: readonly StoreRecord[]): void {
    for (const record of records) {
      if (!record.key.startsWith(PREFIX)) continue;
      const { label, json } = parse(record);
      this.#next = Math.max(this.#next, label + 1);
      if (json.released === undefined) this.#give(label, nameOf(json.id, json.side));
      // State 0: every agent has to show up first, since nobody knows what it holds.
      else this.#released.push({ label, at: json.released, state: 0 });
    }
    this.#released.sort((a, b) => a.at - b.at);
  }

  /**
   * The label of a switch, port or router; of a router port, by its side.
   *
   * @throws WeftError `no-label` where the object has none
   */
  of(id: string, side?: Side): number {
    const label = this.#labels.get(nameOf(id, side));
    if (label === undefined)
      throw new WeftError('no-label', `object ${id} has no label`, {
        remedy: 'the store lacks its record; restore it from a backup',
      });
    return label;
  }

  has(id: string): boolean {
    return this.#labels.has(id);
  }

  /** The UUID of the object that has the label. */
  owner(label: number): string | undefined {
    return this.#names.get(label)?.slice(0, 36);
  }

  /** Labels in use, and those that wait for their next owner. */
  get counts(): { readonly used: number; readonly quarantined: number } {
    return { used: this.#names.size, quarantined: this.#released.length };
  }

  prepare(changes: readonly ObjectChange[]): Prepared {
    const operations: StoreOperation[] = [];
    const given: string[] = [];
    const taken: Released[] = [];
    const now = this.#clock.wall();
    const next = this.#next;
    // One transaction is prepared at a time, so nobody else has taken any meanwhile.
    const undo = (): void => {
      for (const name of given) this.#take(name);
      this.#next = next;
      this.#released = [...taken, ...this.#released];
    };
    for (const { before, after } of changes) {
      if (before !== undefined && after === undefined) {
        for (const side of sides(before)) {
          const label = this.#labels.get(nameOf(before.id, side));
          if (label === undefined) continue;
          operations.push(
            put(label, { id: before.id, ...(side === undefined ? {} : { side }), released: now }),
          );
        }
      } else if (before === undefined && after !== undefined) {
        for (const side of sides(after)) {
          const name = nameOf(after.id, side);
          if (this.#labels.has(name)) {
            undo();
            throw new WeftError('label-held', `object ${after.id} is being deleted at this moment`, {
              remedy: 'try again, or let the server choose another id',
            });
          }
          const reused = this.#reuse(now);
          if (reused !== undefined) taken.push(reused);
          else if (this.#next > this.#highest) {
            undo();
            throw new WeftError('labels-exhausted', `all ${this.#highest} labels are in use or held back`, {
              remedy:
                'delete networks; if transport nodes are gone for good, delete them too: labels wait for every node',
            });
          }
          const label = reused?.label ?? this.#next++;
          this.#give(label, name);
          given.push(name);
          operations.push(put(label, { id: after.id, ...(side === undefined ? {} : { side }) }));
        }
      }
    }
    return {
      operations,
      settle: (written) => {
        if (!written) undo();
      },
    };
  }

  /**
   * Takes the labels of deleted objects back, once nothing asks for them any more.
   *
   * @param state the published state in which they are gone
   */
  release(changes: readonly ObjectChange[], state: number): void {
    for (const { before, after } of changes) {
      if (before === undefined || after !== undefined) continue;
      for (const side of sides(before)) {
        const label = this.#labels.get(nameOf(before.id, side));
        if (label === undefined) continue;
        this.#take(nameOf(before.id, side));
        this.#released.push({ label, at: this.#clock.wall(), state });
      }
    }
  }

  /** The label that was released first, if its time has come. */
  #reuse(now: number): Released | undefined {
    const first = this.#released.at(0);
    if (first === undefined || now - first.at < this.#quarantine || !this.#passed(first.state))
      return undefined;
    return this.#released.shift();
  }

  #give(label: number, name: string): void {
    this.#labels.set(name, label);
    this.#names.set(label, name);
  }

  #take(name: string): void {
    const label = this.#labels.get(name);
    this.#labels.delete(name);
    if (label !== undefined) this.#names.delete(label);
  }
}
