import type { DpAction, MegaflowId } from '../../datapath/types.ts';
import type { Flow } from '../../flow/layout.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { CacheEntry } from '../xlate/types.ts';

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
