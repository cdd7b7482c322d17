import type { DpAction, MegaflowId } from '../../datapath/types.ts';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import type { Noted } from '../ofproto/dependencies.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { CacheEntry, XlateOutput } from '../xlate/types.ts';
import type { FlowPool, PackedFlow } from './packed-flow.ts';

/** A translation as megaflows keep it. */
export interface Translation {
  readonly out: XlateOutput;
  readonly cache: readonly CacheEntry[];
  readonly dependencies: Noted;
  /** Number of the last change that it knows of. */
  readonly seq: number;
}

/**
 * The slow path's record of one megaflow: what it came from, so that it can be translated again, and
 * whom to credit for the packets that it carries.
 */
export class Megaflow {
  id: MegaflowId = -1;
  /** Its place in the store. */
  index = -1;
  readonly ofproto: Ofproto;
  /** Shared with others: not to be changed. */
  readonly mask: Flow;
  readonly #flow: PackedFlow;
  readonly dpPort: number;
  /** The datapath's key of that packet, where it differs in more than the port; null: it doesn't. */
  readonly #dpKey: PackedFlow | null;
  actions: readonly DpAction[];
  /** Actions before a slow path took their place; the same array where none did. */
  translated: readonly DpAction[];
  cache: readonly CacheEntry[] = [];
  recircs: readonly number[] = [];
  /** What it depends on; null: unknown, so that it is translated again whenever it is looked at. */
  dependencies: Noted | null = null;
  /** Number of the last change that it is known to be right after. */
  validatedAt = -1;
  /** Clock.now() ms. */
  readonly created: number;
  /** Counters as of the last push. */
  packets = 0;
  bytes = 0;
  used = 0;
  tcpFlags = 0;

  /** @param now Clock.now() ms */
  constructor(made: {
    readonly ofproto: Ofproto;
    /** Of the packet, as the datapath and as the pipeline have it. */
    readonly dpKey: Flow;
    readonly flow: Flow;
    readonly mask: Flow;
    /** Null: an operator's, who says which actions. */
    readonly translation: Translation | null;
    readonly actions?: readonly DpAction[];
    readonly now: number;
    readonly pool: FlowPool;
  }) {
    const { dpKey, flow, translation, actions = [] } = made;
    this.ofproto = made.ofproto;
    const { pool } = made;
    this.mask = pool.share(made.mask);
    this.#flow = pool.pack(flow);
    this.dpPort = dpKey[W_IN_PORT];
    this.#dpKey = differ(dpKey, flow) ? pool.pack(dpKey) : null;
    this.actions = translation === null ? actions : withSlowPath(translation.out, made.ofproto);
    this.translated = actions;
    if (translation !== null) this.renew(translation, pool);
    this.created = made.now;
  }

  /** Keeps what a translation says, but for the actions that the datapath has. */
  renew({ out, cache, dependencies, seq }: Translation, pool: FlowPool): void {
    this.translated = out.actions;
    this.cache = cache.slice();
    this.recircs = out.recircs;
    this.dependencies = pool.keep(dependencies);
    this.validatedAt = seq;
  }

  /** Key of the packet that it was made for, all bits, as it is translated: with OpenFlow ports. */
  get flow(): Flow {
    return this.#flow.unpack();
  }

  /** One word of that. */
  word(word: number): number {
    return this.#flow.word(word);
  }

  /** The same as the datapath has it: what dumps show. */
  get packetKey(): Flow {
    if (this.#dpKey !== null) return this.#dpKey.unpack();
    const key = this.#flow.unpack();
    key[W_IN_PORT] = this.dpPort;
    return key;
  }

  /** Both, written to keys of zeros. */
  unpack(flow: Flow, dpKey: Flow): void {
    this.#flow.unpack(flow);
    if (this.#dpKey !== null) this.#dpKey.unpack(dpKey);
    else {
      dpKey.set(flow);
      dpKey[W_IN_PORT] = this.dpPort;
    }
  }

  /** The datapath's key, masked. */
  get key(): Flow {
    const key = this.packetKey;
    const { mask } = this;
    for (let i = 0; i < key.length; i++) key[i] &= mask[i];
    return key;
  }
}

/** Whether they differ in more than the port. */
function differ(dpKey: Flow, flow: Flow): boolean {
  for (let i = 0; i < flow.length; i++) if (dpKey[i] !== flow[i] && i !== W_IN_PORT) return true;
  return false;
}

/** What goes into the datapath: the actions, or the order to ask each time. */
export function withSlowPath(
  out: XlateOutput,
  { slowPathMeter }: Pick<Ofproto, 'slowPathMeter'>,
): readonly DpAction[] {
  if (out.slow.size === 0) return out.actions;
  const [reason] = out.slow;
  const ask: DpAction = { type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason } };
  if (slowPathMeter === null) return [ask];
  const actions: DpAction[] = [{ type: 'meter', meter: slowPathMeter }, ask];
  return [{ type: 'sample', probability: 0xffffffff, actions }];
}
/** Whether two lists of datapath actions do the same. */
export function sameActions(a: readonly DpAction[], b: readonly DpAction[]): boolean {
  return a === b || (a.length === b.length && a.every((action, i) => sameValue(action, b[i])));
}

function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, i) => byte === b[i]);
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => sameValue(item, b[i]));
  }
  const left = Object.entries(a);
  const right = b as Record<string, unknown>;
  return (
    left.length === Object.keys(right).length && left.every(([key, value]) => sameValue(value, right[key]))
  );
}

/** Whether every bit of `inner` is in `outer` as well. */
export function isSubsetMask(inner: Flow, outer: Flow): boolean {
  for (let i = 0; i < inner.length; i++) if ((inner[i] & ~outer[i]) !== 0) return false;
  return true;
}

/** 16 bytes that name a megaflow while it is installed. */
export function ufidOf(megaflow: Megaflow): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, megaflow.created);
  view.setUint32(12, megaflow.id);
  return bytes;
}

/** A megaflow as dumps show it: with the packet's own values where bits are wildcarded. */
export function described(megaflow: Megaflow): { key: Flow; mask: Flow; actions: readonly DpAction[] } {
  const { packetKey, mask, actions } = megaflow;
  return { key: packetKey, mask, actions };
}
