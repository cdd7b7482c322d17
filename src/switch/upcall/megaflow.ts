import type { DpAction, MegaflowId } from '../../datapath/types.ts';
import type { Flow } from '../../flow/layout.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { CacheEntry, XlateOutput } from '../xlate/types.ts';

/**
 * The slow path's record of one megaflow: what it came from, so that it can be translated again, and
 * whom to credit for the packets that it carries.
 */
export interface Megaflow {
  id: MegaflowId;
  readonly ofproto: Ofproto;
  /** The datapath's key, masked. */
  readonly key: Flow;
  readonly mask: Flow;
  /** Key of the packet that it was made for, all bits: what dumps show. */
  readonly packetKey: Flow;
  /** The key with OpenFlow ports, as it is translated. */
  readonly flow: Flow;
  actions: readonly DpAction[];
  /** Actions before a slow path took their place; the same array where none did. */
  translated: readonly DpAction[];
  cache: readonly CacheEntry[];
  recircs: readonly number[];
  /** Clock.now() ms. */
  readonly created: number;
  /** Counters as of the last push. */
  packets: number;
  bytes: number;
  used: number;
  tcpFlags: number;
}

/** The record of what a translation says of a packet; not installed yet. `now`: Clock.now() ms. */
export function recordMegaflow(made: {
  readonly ofproto: Ofproto;
  readonly dpKey: Flow;
  readonly mask: Flow;
  readonly flow: Flow;
  readonly out: XlateOutput;
  readonly cache: readonly CacheEntry[];
  readonly now: number;
}): Megaflow {
  const { ofproto, dpKey, mask, flow, out, cache, now } = made;
  return {
    id: -1,
    ofproto,
    key: maskedKey(dpKey, mask),
    mask,
    packetKey: dpKey.slice(),
    flow,
    actions: withSlowPath(out),
    translated: out.actions,
    cache,
    recircs: out.recircs,
    created: now,
    packets: 0,
    bytes: 0,
    used: 0,
    tcpFlags: 0,
  };
}

export function maskedKey(dpKey: Flow, mask: Flow): Flow {
  const key = dpKey.slice();
  for (let i = 0; i < key.length; i++) key[i] &= mask[i];
  return key;
}

/** What goes into the datapath: the actions, or the order to ask each time. */
export function withSlowPath(out: XlateOutput): readonly DpAction[] {
  if (out.slow.size === 0) return out.actions;
  const [reason] = out.slow;
  return [{ type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason } }];
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
