import type { FlowArena } from '../../flow/flow-arena.ts';
import { maskForPacket } from '../../flow/flow-text.ts';
import {
  type Flow,
  N_VLANS,
  VLAN_CFI,
  W_CT_NW_SRC,
  W_CT_TP,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IN_PORT,
  W_MPLS,
  W_ND_TARGET,
  W_TUN_METADATA_PRESENT,
  W_VLAN,
} from '../../flow/layout.ts';

/*
 * The same packet's key has two forms: the datapath's, and the pipeline's. These are the ways between
 * them.
 */

const VID_MASK = 0x0fff;

/** A copy of the datapath's key as the pipeline sees it: an OpenFlow port, no more tags than `vlanLimit`. */
export function toPipelineKey(dpKey: Flow, ofPort: number, vlanLimit: number, arena: FlowArena): Flow {
  const flow = limitVlans(arena.copy(dpKey), vlanLimit);
  flow[W_IN_PORT] = ofPort;
  return flow;
}

/** Leaves no more tags than `vlanLimit` in the key, and returns it. */
export function limitVlans(key: Flow, vlanLimit: number): Flow {
  if (vlanLimit < N_VLANS) hideTags(key, vlanLimit);
  return key;
}

/**
 * The mask as the datapath needs it: ports whole, and always whether tags are there and of which
 * type, because the EtherType that translation always looks at stands behind them. A VLAN that nobody
 * looked at is matched too, as Open vSwitch's userspace datapath has it, so that a megaflow's
 * counters are those of one VLAN. `exact`: with every bit that a packet of this key can have.
 */
export function toDatapathMask(dpKey: Flow, wc: Flow, exact: boolean, arena: FlowArena): Flow {
  const mask = arena.copy(wc);
  if (exact) addExact(dpKey, mask);
  mask[W_IN_PORT] = 0xffffffff;
  mask[W_VLAN] |= 0xffff0000 | VLAN_CFI | ((mask[W_VLAN] & 0xffff) === 0 ? VID_MASK : 0);
  mask[W_VLAN + 1] |= 0xffff0000 | VLAN_CFI;
  return mask;
}

function addExact(key: Flow, mask: Flow): void {
  const exact = maskForPacket(key);
  for (let i = 0; i < mask.length; i++) mask[i] |= exact[i];
}

/** Words of what stands behind the EtherType. */
const NETWORK_WORDS: readonly (readonly [first: number, end: number])[] = [
  [W_MPLS, W_CT_NW_SRC],
  [W_ND_TARGET, W_CT_TP],
  [W_IGMP_GROUP, W_TUN_METADATA_PRESENT],
];

/** Takes tags from the `limit`th on for what a packet without VLAN support has there: an EtherType. */
function hideTags(flow: Flow, limit: number): void {
  if ((flow[W_VLAN + limit] & VLAN_CFI) === 0) return;
  flow[W_ETH_TYPE] = flow[W_VLAN + limit] & 0xffff0000;
  flow.fill(0, W_VLAN + limit, W_VLAN + N_VLANS);
  for (const [first, end] of NETWORK_WORDS) flow.fill(0, first, end);
}
