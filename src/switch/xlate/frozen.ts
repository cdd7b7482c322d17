import type { Clock, Timer } from '../../base/clock.ts';
import {
  FLOW_WORDS,
  type Flow,
  N_REGS,
  W_IN_PORT,
  W_METADATA,
  W_REG,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
} from '../../flow/layout.ts';
import type { Action } from '../../openflow/actions/types.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';

/**
 * A translation that was interrupted: the datapath must parse the packet anew (MPLS popped, conntrack
 * done) before the rest can be translated, or a controller paused it.
 */
export interface FrozenState {
  readonly ofproto: Ofproto;
  readonly table: number;
  /** Metadata words of the key: tunnel, metadata, registers, in_port. */
  readonly metadata: Uint32Array;
  readonly stack: readonly StackValue[];
  readonly conntracked: boolean;
  readonly wasMpls: boolean;
  /** Mirrors that have had their copies, a bit each. */
  readonly mirrored: number;
  readonly actions: readonly Action[];
  readonly actionSet: readonly Action[];
  /** Of a `controller` action: what is handed to the controller with the packet. */
  readonly userdata: Uint8Array;
}

/** What `push` put on the stack: a value and how many bits it has. */
export interface StackValue {
  readonly value: bigint;
  readonly bits: number;
}

const METADATA_END = W_REG + N_REGS;

/** The words of a key that a frozen translation keeps: all up to the registers, the port, tunnel options. */
export function saveMetadata(flow: Flow): Uint32Array {
  const saved = new Uint32Array(METADATA_END + 1 + (FLOW_WORDS - W_TUN_METADATA_PRESENT));
  saved.set(flow.subarray(W_TUN_ID, METADATA_END), 0);
  saved[METADATA_END] = flow[W_IN_PORT];
  saved.set(flow.subarray(W_TUN_METADATA_PRESENT, FLOW_WORDS), METADATA_END + 1);
  return saved;
}

export function restoreMetadata(saved: Uint32Array, flow: Flow): void {
  flow.set(saved.subarray(0, METADATA_END), W_TUN_ID);
  flow[W_IN_PORT] = saved[METADATA_END];
  flow.set(saved.subarray(METADATA_END + 1), W_TUN_METADATA_PRESENT);
}

/** The OpenFlow port by which the packet came. */
export function savedInPort(saved: Uint32Array): number {
  return saved[METADATA_END];
}

/** OpenFlow metadata of a saved state. */
export function savedMetadata(saved: Uint32Array): bigint {
  return (BigInt(saved[W_METADATA]) << 32n) | BigInt(saved[W_METADATA + 1]);
}

interface RecircEntry {
  readonly id: number;
  readonly key: string;
  readonly state: FrozenState;
  refs: number;
  /** Clock.now() when `refs` became 0. */
  released: number;
}

/** A packet that carries the number may still be on its way when its megaflow is gone. */
const GRACE_MS = 1000;

/**
 * Gives each frozen translation a number that the datapath carries with the packet. Equal states share
 * a number, so that the megaflows behind them are shared too; a number is given back some time
 * after the last megaflow that refers to it is gone.
 */
export class RecircIds {
  readonly #byId = new Map<number, RecircEntry>();
  readonly #byKey = new Map<string, RecircEntry>();
  readonly #actionIds = new WeakMap<object, number>();
  #next = 1;
  #nextActionId = 1;
  readonly #limit: number;
  readonly #clock: Clock;
  /** Nobody refers to them any more; they go when their time has come. */
  readonly #dying = new Set<RecircEntry>();
  #timer: Timer | null = null;
  /** Told of each number that stands for nothing any more. */
  onForgotten: (id: number) => void = () => {};

  constructor(clock: Clock, limit = 1 << 20) {
    this.#clock = clock;
    this.#limit = limit;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** A number for `state`, with one reference that the caller must release; 0 if there is none left. */
  allocate(state: FrozenState): number {
    const key = this.#keyOf(state);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.refs++;
      this.#dying.delete(known);
      return known.id;
    }
    if (this.#byId.size >= this.#limit) {
      const [oldest] = this.#dying;
      if (oldest === undefined) return 0;
      this.#forget(oldest);
    }
    while (this.#byId.has(this.#next) || this.#next === 0) this.#next = (this.#next + 1) >>> 0;
    const entry: RecircEntry = { id: this.#next, key, state, refs: 1, released: 0 };
    this.#next = (this.#next + 1) >>> 0;
    this.#byId.set(entry.id, entry);
    this.#byKey.set(key, entry);
    return entry.id;
  }

  get(id: number): FrozenState | undefined {
    return this.#byId.get(id)?.state;
  }

  reference(id: number): void {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    entry.refs++;
    this.#dying.delete(entry);
  }

  release(id: number): void {
    const entry = this.#byId.get(id);
    if (entry === undefined || entry.refs === 0) return;
    if (--entry.refs > 0) return;
    entry.released = this.#clock.now();
    this.#dying.add(entry);
    this.#arm();
  }

  #arm(): void {
    const [oldest] = this.#dying;
    if (this.#timer !== null || oldest === undefined) return;
    this.#timer = this.#clock.after(oldest.released + GRACE_MS - this.#clock.now(), () => {
      this.#timer = null;
      const now = this.#clock.now();
      for (const entry of this.#dying) {
        if (entry.released + GRACE_MS > now) break;
        this.#forget(entry);
      }
      this.#arm();
    });
  }

  #forget(entry: RecircEntry): void {
    this.#dying.delete(entry);
    this.#byId.delete(entry.id);
    this.#byKey.delete(entry.key);
    this.onForgotten(entry.id);
  }

  /**
   * States are equal where all they hold is. Rules' action objects are immutable, so identity serves for them;
   * freezing makes its own anew each time.
   */
  #keyOf(state: FrozenState): string {
    const { metadata } = state;
    const exact = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.byteLength).toString('latin1');
    const rest = [
      state.ofproto.uuid,
      state.table,
      state.conntracked,
      state.wasMpls,
      state.mirrored,
      state.stack.map((s) => `${s.value}/${s.bits}`).join(),
      state.actions.map((a) => this.#nameOf(a)).join(),
      state.actionSet.map((a) => this.#nameOf(a)).join(),
    ].join('|');
    return `${rest}|${Buffer.from(state.userdata).toString('latin1')}|${exact}`;
  }

  #nameOf(action: Action): string {
    return action.type === 'unroll_xlate' ? `u${action.table}/${action.cookie}` : String(this.#idOf(action));
  }

  #idOf(action: Action): number {
    let id = this.#actionIds.get(action);
    if (id === undefined) {
      id = this.#nextActionId++;
      this.#actionIds.set(action, id);
    }
    return id;
  }
}
