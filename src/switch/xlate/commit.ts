import type { DpAction, SetGroup, SetWord } from '../../datapath/types.ts';
import {
  type Flow,
  N_VLANS,
  PT_ETH,
  W_ARP_HA,
  W_ETH,
  W_IGMP_GROUP,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_MPLS,
  W_ND_OPTIONS,
  W_ND_TARGET,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_PKT_MARK,
  W_SKB_PRIORITY,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import * as b from './bits.ts';
import { countMpls, popMpls, pushMpls } from './mpls.ts';

/**
 * Translation changes a copy of the packet's key at will; only where the packet leaves do the changes
 * become datapath actions: the difference between `flow` (what it should look like) and `base` (what
 * the datapath has made of it so far). Afterwards `base` equals `flow`.
 */

/** One header field as pieces of words: [word, bits]. */
type Piece = readonly [word: number, bits: number];
type HeaderField = readonly Piece[];

const whole = (first: number, n: number): HeaderField =>
  Array.from({ length: n }, (_, i) => [first + i, 0xffffffff] as const);

const ETH_FIELDS: readonly HeaderField[] = [
  [
    [W_ETH, 0xffffffff],
    [W_ETH + 1, 0xffff0000],
  ],
  [
    [W_ETH + 1, 0x0000ffff],
    [W_ETH + 2, 0xffffffff],
  ],
];
const TOS: HeaderField = [[W_NW, 0x00ff0000]];
const TTL: HeaderField = [[W_NW, 0x0000ff00]];
const IPV4_FIELDS: readonly HeaderField[] = [whole(W_NW_SRC, 1), whole(W_NW_DST, 1), TOS, TTL];
const IPV6_FIELDS: readonly HeaderField[] = [
  whole(W_IPV6_SRC, 4),
  whole(W_IPV6_DST, 4),
  [[W_IPV6_LABEL, 0x000fffff]],
  TOS,
  TTL,
];
const MAC_PAIR: readonly HeaderField[] = [
  [
    [W_ARP_HA, 0xffffffff],
    [W_ARP_HA + 1, 0xffff0000],
  ],
  [
    [W_ARP_HA + 1, 0x0000ffff],
    [W_ARP_HA + 2, 0xffffffff],
  ],
];
const ARP_FIELDS: readonly HeaderField[] = [
  whole(W_NW_SRC, 1),
  whole(W_NW_DST, 1),
  [[W_NW, 0x000000ff]],
  ...MAC_PAIR,
];
/** The type of the first option decides which of the addresses behind it there is: it is set before them. */
const ND_EXTENSION_FIELDS: readonly HeaderField[] = [
  [[W_IGMP_GROUP, 0xffffffff]],
  [[W_ND_OPTIONS, 0xff000000]],
];
const ND_FIELDS: readonly HeaderField[] = [whole(W_ND_TARGET, 4), ...MAC_PAIR];
const PORT_FIELDS: readonly HeaderField[] = [[[W_TP, 0xffff0000]], [[W_TP, 0x0000ffff]]];

/**
 * Appends `set(group(...))` for the fields of the group that differ. Only bits that the mask already
 * has are written: they are the ones that were read or set, and bits that were set but did not change
 * need no action because the megaflow matches them exactly.
 */
function commitGroup(
  group: SetGroup,
  fields: readonly HeaderField[],
  flow: Flow,
  base: Flow,
  wc: Flow,
  actions: DpAction[],
): boolean {
  // Mostly nothing differs, and then this is all that is done.
  let first = 0;
  while (first < fields.length && !differs(fields[first], flow, base)) first++;
  if (first === fields.length) return false;
  const words = new Map<number, number>();
  for (const field of fields.slice(first)) {
    if (!differs(field, flow, base)) continue;
    for (const [word, bits] of field) {
      const mask = wc[word] & bits;
      if (mask !== 0) words.set(word, (words.get(word) ?? 0) | mask);
    }
  }
  if (words.size === 0) return false;
  const set: SetWord[] = [];
  for (const [word, mask] of words) {
    set.push({ word, value: (flow[word] & mask) >>> 0, mask: mask >>> 0 });
    base[word] = ((base[word] & ~mask) | (flow[word] & mask)) >>> 0;
  }
  actions.push({ type: 'set', group, words: set });
  return true;
}

function differs(field: HeaderField, flow: Flow, base: Flow): boolean {
  for (let i = 0; i < field.length; i++) {
    const word = field[i][0];
    if (((flow[word] ^ base[word]) & field[i][1]) !== 0) return true;
  }
  return false;
}

function commitVlan(flow: Flow, base: Flow, wc: Flow, actions: DpAction[]): void {
  let baseN = countVlans(base);
  let flowN = countVlans(flow);
  // Tags that both have at the bottom of the stack stay as they are.
  while (baseN > 0 && flowN > 0 && base[W_VLAN + baseN - 1] === flow[W_VLAN + flowN - 1]) {
    baseN--;
    flowN--;
  }
  for (; baseN > 0; baseN--) {
    actions.push({ type: 'pop_vlan' });
    wc[W_VLAN + baseN - 1] = 0xffffffff;
  }
  for (; flowN > 0; flowN--) {
    actions.push({
      type: 'push_vlan',
      tpid: b.vlanTpid(flow, flowN - 1),
      tci: b.vlanTci(flow, flowN - 1),
    });
  }
  for (let i = 0; i < N_VLANS; i++) base[W_VLAN + i] = flow[W_VLAN + i];
}

function countVlans(flow: Flow): number {
  let n = 0;
  while (n < N_VLANS && b.hasTag(flow, n)) n++;
  return n;
}

function commitMpls(flow: Flow, base: Flow, actions: DpAction[]): void {
  let baseN = countMpls(base, null);
  const flowN = countMpls(flow, null);
  let common = 0;
  while (
    common < baseN &&
    common < flowN &&
    base[W_MPLS + baseN - 1 - common] === flow[W_MPLS + flowN - 1 - common]
  ) {
    common++;
  }
  const type = b.ethType(flow);
  while (baseN > common) {
    if (baseN - 1 === common && flowN > common) {
      // The topmost entry changes in place.
      const lse = flow[W_MPLS + flowN - baseN];
      actions.push({ type: 'set', group: 'mpls', words: [{ word: W_MPLS, value: lse, mask: 0xffffffff }] });
      base[W_MPLS] = lse;
      common++;
    } else {
      // All but the last entry are popped to an MPLS packet still.
      const ethertype = !b.isMplsType(type) && baseN > 1 ? b.ETH_TYPE_MPLS : type;
      actions.push({ type: 'pop_mpls', ethertype });
      popMpls(base, baseN, type, null);
      baseN--;
    }
  }
  while (baseN < flowN) {
    const lse = flow[W_MPLS + flowN - baseN - 1];
    actions.push({ type: 'push_mpls', ethertype: type, lse });
    pushMpls(base, baseN, type, null, false);
    base[W_MPLS] = lse;
    baseN++;
  }
}

/** What commit says of a change that only the slow path can make. */
export type CommitResult = 'fast' | 'slow';

/**
 * Appends the actions that turn `base` into `flow`. `hidden`: what stands behind the EtherType of `flow`
 * is not known, as labels were popped.
 */
export function commitActions(
  flow: Flow,
  base: Flow,
  wc: Flow,
  actions: DpAction[],
  hidden: boolean,
): CommitResult {
  let slow = false;
  if (base[W_PACKET_TYPE] === PT_ETH && flow[W_PACKET_TYPE] === PT_ETH) {
    commitGroup('eth', ETH_FIELDS, flow, base, wc, actions);
  }
  // L3 and L4 of a packet whose labels go away can only be set once they are gone.
  let mplsDone = false;
  if (b.isMplsType(b.ethType(base)) && !b.isMplsType(b.ethType(flow))) {
    commitMpls(flow, base, actions);
    mplsDone = true;
  }
  // Labels that came or went have taken the headers behind them out of `flow`: it no longer tells them.
  if (!hidden && b.ethType(flow) === b.ethType(base)) slow = commitNetwork(flow, base, wc, actions);
  if (!mplsDone) commitMpls(flow, base, actions);
  commitVlan(flow, base, wc, actions);
  commitMark('skb_priority', W_SKB_PRIORITY, flow, base, wc, actions);
  commitMark('skb_mark', W_PKT_MARK, flow, base, wc, actions);
  return slow ? 'slow' : 'fast';
}

function commitMark(
  group: SetGroup,
  word: number,
  flow: Flow,
  base: Flow,
  wc: Flow,
  actions: DpAction[],
): void {
  if (flow[word] === base[word]) return;
  // Marks are always read whole: a masked write would need the datapath to know the old bits.
  const mask = group === 'skb_priority' ? 0xffffffff : wc[word] || 0xffffffff;
  wc[word] |= mask;
  actions.push({ type: 'set', group, words: [{ word, value: (flow[word] & mask) >>> 0, mask: mask >>> 0 }] });
  base[word] = flow[word];
}

function isNd(flow: Flow): boolean {
  if (b.nwProto(flow) !== b.IPPROTO_ICMPV6) return false;
  const type = flow[W_TP] >>> 16;
  return (type === 135 || type === 136) && (flow[W_TP] & 0xffff) === 0;
}

/** Headers behind the EtherType; true if only the slow path can set them. */
function commitNetwork(flow: Flow, base: Flow, wc: Flow, actions: DpAction[]): boolean {
  let slow = false;
  // What decides here must be in the mask already. A protocol or port of 0 says nothing: a megaflow
  // that doesn't look at it stands for others too.
  switch (b.ethType(base)) {
    case b.ETH_TYPE_IP:
      commitGroup('ipv4', IPV4_FIELDS, flow, base, wc, actions);
      break;
    case b.ETH_TYPE_IPV6:
      commitGroup('ipv6', IPV6_FIELDS, flow, base, wc, actions);
      if (isNd(flow)) {
        if (commitGroup('nd_ext', ND_EXTENSION_FIELDS, flow, base, wc, actions)) slow = true;
        if (commitGroup('nd', ND_FIELDS, flow, base, wc, actions)) slow = true;
      }
      break;
    case b.ETH_TYPE_ARP:
      if (commitGroup('arp', ARP_FIELDS, flow, base, wc, actions)) slow = true;
      break;
  }
  if (b.isIpAny(base)) {
    switch (b.nwProto(flow)) {
      case b.IPPROTO_TCP:
        commitGroup('tcp', PORT_FIELDS, flow, base, wc, actions);
        break;
      case b.IPPROTO_UDP:
        commitGroup('udp', PORT_FIELDS, flow, base, wc, actions);
        break;
      case b.IPPROTO_SCTP:
        commitGroup('sctp', PORT_FIELDS, flow, base, wc, actions);
        break;
    }
  }
  if (b.isIpv4(base) && b.nwProto(flow) === b.IPPROTO_ICMP) {
    if (commitGroup('icmp', PORT_FIELDS, flow, base, wc, actions)) slow = true;
  } else if (b.isIpv6(base) && b.nwProto(flow) === b.IPPROTO_ICMPV6) {
    if (commitGroup('icmpv6', PORT_FIELDS, flow, base, wc, actions)) slow = true;
  }
  return slow;
}
