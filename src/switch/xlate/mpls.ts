import { type Flow, N_MPLS, W_IPV6_LABEL, W_MPLS, W_ND_OPTIONS, W_NW, W_NW_SRC } from '../../flow/layout.ts';
import * as b from './bits.ts';

/*
 * Pushing and popping label stack entries on a key (RFC 3032). An entry is label (20 bits), traffic
 * class (3), bottom of stack (1), TTL (8).
 */

export const lseLabel = (lse: number): number => lse >>> 12;
export const lseTc = (lse: number): number => (lse >>> 9) & 7;
export const lseBos = (lse: number): number => (lse >>> 8) & 1;
export const lseTtl = (lse: number): number => lse & 0xff;

export const setLseLabel = (lse: number, label: number): number => ((lse & 0xfff) | (label << 12)) >>> 0;
export const setLseTc = (lse: number, tc: number): number => ((lse & ~0xe00) | ((tc & 7) << 9)) >>> 0;
export const setLseTtl = (lse: number, ttl: number): number => ((lse & ~0xff) | (ttl & 0xff)) >>> 0;

/**
 * Adds an entry above the `n` that the key has. Its TTL and class come from the entry or the IP header
 * below, as RFC 3443 has it, which `wc` notes. With `clearL3` the fields above L2 are forgotten, since
 * the packet's headers there can't be matched any more.
 */
export function pushMpls(flow: Flow, n: number, ethertype: number, wc: Flow | null, clearL3: boolean): void {
  if (wc !== null) for (let i = 0; i < n; i++) wc[W_MPLS + i] = 0xffffffff;
  let lse: number;
  if (n > 0) {
    lse = (flow[W_MPLS] & ~0x100) >>> 0;
    for (let i = n; i >= 1; i--) flow[W_MPLS + i] = flow[W_MPLS + i - 1];
  } else {
    let tc = 0;
    let ttl = 64;
    let label = 0;
    if (b.isIpAny(flow)) {
      label = b.isIpv6(flow) ? 2 : 0;
      tc = (b.nwTos(flow) & 0xfc) >> 2;
      ttl = b.nwTtl(flow) || 64;
      if (wc !== null) wc[W_NW] |= 0x00fcff00;
    }
    lse = ((label << 12) | ((tc & 7) << 9) | 0x100 | ttl) >>> 0;
    if (clearL3) forgetL3(flow);
  }
  flow[W_MPLS] = lse;
  b.setEthType(flow, ethertype);
}

/** Entries of the label stack up to the bottom-of-stack bit, which `wc` notes for each entry looked at. */
export function countMpls(flow: Flow, wc: Flow | null): number {
  if (!b.isMplsType(b.ethType(flow))) return 0;
  for (let i = 0; i < N_MPLS; i++) {
    if (wc !== null) wc[W_MPLS + i] |= 0x100;
    if ((flow[W_MPLS + i] & 0x100) !== 0) return i + 1;
  }
  // No bottom in sight: entries that hold nothing aren't there, and which do is looked at.
  wc?.fill(0xffffffff, W_MPLS, W_MPLS + N_MPLS);
  let n = 0;
  for (let i = 0; i < N_MPLS; i++) if (flow[W_MPLS + i] !== 0) n++;
  return n;
}

/**
 * Takes the topmost of `n` entries off. False if there is none, or if the stack goes on below what the
 * key holds, so that nobody knows what would come up.
 */
export function popMpls(flow: Flow, n: number, ethertype: number, wc: Flow | null): boolean {
  if (n === 0) return false;
  if (n === N_MPLS) {
    if (wc !== null) wc[W_MPLS + n - 1] |= 0x100;
    if ((flow[W_MPLS + n - 1] & 0x100) === 0) return false;
  }
  for (let i = 1; i < n; i++) {
    if (wc !== null) wc[W_MPLS + i] = 0xffffffff;
    flow[W_MPLS + i - 1] = flow[W_MPLS + i];
  }
  flow[W_MPLS + n - 1] = 0;
  b.setEthType(flow, ethertype);
  return true;
}

function forgetL3(flow: Flow): void {
  flow.fill(0, W_NW_SRC, W_IPV6_LABEL + 1);
  flow.fill(0, W_NW, W_ND_OPTIONS + 1);
}
