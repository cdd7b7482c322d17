import {
  type Flow,
  W_CT_IPV6_DST,
  W_CT_IPV6_SRC,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_NW_DST,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
} from '../../flow/layout.ts';
import * as T from './tuple.ts';

/** Writes what tracking found to the ct_* words of a key: the tuple at `w[at..]` is the original direction's. */
export function writeVerdict(
  key: Flow,
  state: number,
  zone: number,
  mark: number,
  w: Uint32Array,
  at: number,
): void {
  clearTuple(key);
  key[W_CT_MARK] = mark;
  const rest = w[at + T.T_REST];
  const protocol = rest & 0xff;
  key[W_CT_STATE] = (state << 24) | (protocol << 16) | zone;
  const src = w[at + T.T_L4_SRC];
  // ICMP: type and code of the query.
  key[W_CT_TP] = T.isIcmp(protocol) ? (src & 0xff) << 16 : (src << 16) | w[at + T.T_L4_DST];
  if (((rest >>> 8) & 0xff) === 4) {
    key[W_CT_NW_SRC] = w[at + T.T_SRC];
    key[W_CT_NW_DST] = w[at + T.T_DST];
    return;
  }
  for (let i = 0; i < 4; i++) {
    key[W_CT_IPV6_SRC + i] = w[at + T.T_SRC + i];
    key[W_CT_IPV6_DST + i] = w[at + T.T_DST + i];
  }
}

/** The same for a packet that has no tuple. */
export function writeUntracked(key: Flow, state: number, zone: number): void {
  clearTuple(key);
  key[W_CT_STATE] = (state << 24) | zone;
  key[W_CT_MARK] = 0;
  clearLabel(key);
}

/** Copies what tracking found from one packet's key to another's. */
export function copyVerdict(from: Flow, to: Flow): void {
  to[W_CT_STATE] = from[W_CT_STATE];
  to[W_CT_MARK] = from[W_CT_MARK];
  to[W_CT_TP] = from[W_CT_TP];
  for (let w = W_CT_LABEL; w < W_CT_LABEL + 4; w++) to[w] = from[w];
  for (let w = W_CT_NW_SRC; w < W_CT_IPV6_DST + 4; w++) to[w] = from[w];
}

export function clearLabel(key: Flow): void {
  key.fill(0, W_CT_LABEL, W_CT_LABEL + 4);
}

function clearTuple(key: Flow): void {
  key.fill(0, W_CT_NW_SRC, W_CT_IPV6_DST + 4);
  key[W_CT_TP] = 0;
}

/** The original direction's tuple, as a key tells it; false: it tells none. `of` gives version, and ICMP's identifier. */
export function readOriginal(key: Flow, of: T.Tuple, t: T.Tuple): boolean {
  const protocol = (key[W_CT_STATE] >>> 16) & 0xff;
  if (protocol === 0) return false;
  const version = T.versionOf(of);
  t.fill(0);
  t[T.T_REST] = T.restOf(key[W_CT_STATE] & 0xffff, version, protocol);
  const tp = key[W_CT_TP];
  if (T.isIcmp(protocol)) {
    const type = tp >>> 16;
    const answer = protocol === T.ICMP ? T.reverseIcmpType(type) : T.reverseIcmp6Type(type);
    if (answer < 0) return false;
    const id = of[T.T_L4_SRC] & 0xffff0000;
    t[T.T_L4_SRC] = id | type;
    t[T.T_L4_DST] = id | answer;
  } else {
    t[T.T_L4_SRC] = tp >>> 16;
    t[T.T_L4_DST] = tp & 0xffff;
  }
  if (version === 4) {
    t[T.T_SRC] = key[W_CT_NW_SRC];
    t[T.T_DST] = key[W_CT_NW_DST];
  } else {
    for (let i = 0; i < 4; i++) {
      t[T.T_SRC + i] = key[W_CT_IPV6_SRC + i];
      t[T.T_DST + i] = key[W_CT_IPV6_DST + i];
    }
  }
  return true;
}
