import {
  FLOW_WORDS,
  N_REGS,
  PT_ETH,
  W_ACTSET_OUTPUT,
  W_IN_PORT,
  W_METADATA,
  W_NW,
  W_PACKET_TYPE,
  W_PKT_MARK,
  W_REG,
  W_SKB_PRIORITY,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
  W_TUN_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { OFPP_UNSET, PC_NO_FLOOD, PC_NO_FWD, PC_NO_RECV } from '../../openflow/constants.ts';
import type { OfPort } from '../ofproto/port.ts';
import { runActionSet } from './action-set.ts';
import { setTos } from './bits.ts';
import { cloneActions } from './clone.ts';
import type { XlateContext } from './context.ts';
import { finishFreezing } from './freeze.ts';
import { takenByMonitor } from './special.ts';
import { tableAction } from './table.ts';
import { tunnelOutput } from './tunnel.ts';

const DSCP_MASK = 0xfc;

/** Sends the packet as it is now out of a port. */
export function outputToPort(ctx: XlateContext, ofPort: number, last: boolean, truncate = false): void {
  const port = ctx.port(ofPort);
  if (port === undefined) {
    ctx.report('warn', 'Nonexistent output port');
    return;
  }
  if ((port.config & PC_NO_FWD) !== 0) {
    ctx.report('detail', 'OFPPC_NO_FWD set, skipping output');
    return;
  }
  const inBundle = ctx.port(ctx.inPort)?.bundle;
  if (inBundle?.settings.protected && port.bundle?.settings.protected) {
    ctx.report('warn', 'Flow is between protected ports, skipping output.');
    return;
  }
  if (ctx.flow[W_PACKET_TYPE] !== PT_ETH) {
    ctx.report('warn', 'Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.');
    return;
  }
  if (port.peer !== null) {
    if (ctx.mirrorSnaplen !== 0) {
      ctx.report('warn', 'Mirror truncate to ODPP_NONE, skipping output');
      return;
    }
    if (truncate) ctx.reportError('Cannot truncate output to patch port');
    patchOutput(ctx, port, port.peer, last);
    return;
  }
  if (port.dpPort === null) return;

  const vlans = ctx.flow.slice(W_VLAN, W_VLAN + 2);
  const nw = ctx.flow[W_NW];
  const mark = ctx.flow[W_PKT_MARK];
  if (port.dscpByPriority.size > 0) markDscp(ctx, port);
  if (port.tunnel === null || tunnelOutput(ctx, port, port.tunnel)) {
    ctx.commit();
    const { mirrorSnaplen } = ctx;
    if (mirrorSnaplen > 0 && mirrorSnaplen < 0xffff)
      ctx.actions.push({ type: 'trunc', maxLen: mirrorSnaplen });
    ctx.actions.push({ type: 'output', port: port.dpPort });
    ctx.outputs++;
    if (port.bundle !== null) ctx.mirrorEgress(ctx, port.bundle);
  }
  ctx.flow.set(vlans, W_VLAN);
  ctx.flow[W_NW] = nw;
  ctx.flow[W_PKT_MARK] = mark;
}

/** The queue that a packet leaves through may have a DSCP of its own. */
function markDscp(ctx: XlateContext, port: OfPort): void {
  ctx.wc[W_SKB_PRIORITY] = 0xffffffff;
  const tos = port.dscpByPriority.get(ctx.flow[W_SKB_PRIORITY]);
  if (tos === undefined) return;
  ctx.wc[W_NW] |= DSCP_MASK << 16;
  setTos(ctx.flow, tos, DSCP_MASK);
}

/** Sends the packet out of all ports but that by which it came; `all` goes even where flooding is off. */
export function flood(ctx: XlateContext, all: boolean, last: boolean): void {
  const targets: OfPort[] = [];
  for (const port of ctx.ports()) {
    if (port.ofPort === ctx.inPort) continue;
    if (all || (port.config & PC_NO_FLOOD) === 0) targets.push(port);
  }
  targets.forEach((port, i) => {
    outputToPort(ctx, port.ofPort, last && i === targets.length - 1);
  });
}

/** Whether a port takes packets in. */
export function mayReceive(port: OfPort): boolean {
  return (port.config & PC_NO_RECV) === 0;
}

/**
 * The packet goes on in the bridge at a patch port's other end. What that bridge does to it, and its
 * registers, metadata and action set, are not seen by what follows here.
 */
function patchOutput(ctx: XlateContext, from: OfPort, to: OfPort, last: boolean): void {
  const oldFlow = ctx.flow;
  const oldTunnelWc = ctx.wc.slice(W_TUN_ID, W_TUN_TP + 1);
  const oldMetadataWc = ctx.wc.slice(W_TUN_METADATA_PRESENT, FLOW_WORDS);
  const saved = {
    conntracked: ctx.conntracked,
    wasMpls: ctx.wasMpls,
    version: ctx.version,
    stack: ctx.stack,
    stackBytes: ctx.stackBytes,
    actionSet: ctx.actionSet,
    ofproto: ctx.ofproto,
    mirrored: ctx.mirrored,
  };

  ctx.flow = ctx.copy(oldFlow);
  ctx.flow[W_IN_PORT] = to.ofPort;
  ctx.flow.fill(0, W_METADATA, W_REG + N_REGS);
  ctx.flow.fill(0, W_TUN_ID, W_TUN_TP + 1);
  ctx.flow.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  ctx.flow[W_ACTSET_OUTPUT] = OFPP_UNSET;
  ctx.wc.fill(0, W_TUN_ID, W_TUN_TP + 1);
  ctx.wc.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  ctx.clearConntrack();
  ctx.stack = [];
  ctx.stackBytes = 0;
  ctx.actionSet = [];
  ctx.ofproto = to.ofproto;
  // Each bridge has mirrors of its own.
  if (to.ofproto !== saved.ofproto) ctx.mirrored = 0;
  ctx.version = to.ofproto.version;

  ctx.enterBridge();
  const node = ctx.report('bridge', () => `bridge("${to.ofproto.name}")`);
  ctx.below(node, () => {
    if (takenByMonitor(ctx) || !mayReceive(to)) return;
    tableAction(ctx, {
      inPort: to.ofPort,
      table: 0,
      mayPacketIn: true,
      honorTableMiss: true,
      last,
      runner: cloneActions,
    });
    if (!ctx.freezing) runActionSet(ctx);
    if (ctx.freezing) finishFreezing(ctx);
  });

  ctx.flow = oldFlow;
  ctx.wc.set(oldTunnelWc, W_TUN_ID);
  ctx.wc.set(oldMetadataWc, W_TUN_METADATA_PRESENT);
  if (ctx.ofproto !== saved.ofproto) ctx.mirrored = saved.mirrored;
  ctx.ofproto = saved.ofproto;
  ctx.actionSet = saved.actionSet;
  ctx.stack = saved.stack;
  ctx.stackBytes = saved.stackBytes;
  ctx.version = saved.version;
  ctx.wasMpls = saved.wasMpls;
  ctx.conntracked = saved.conntracked;
  // The other bridge's end or errors are not this one's.
  ctx.exit = false;
  ctx.error = 'ok';

  const stats = ctx.stats;
  if (stats !== undefined) {
    from.counters.txPackets += stats.packets;
    from.counters.txBytes += stats.bytes;
    to.counters.rxPackets += stats.packets;
    to.counters.rxBytes += stats.bytes;
    to.monitor?.traffic();
  }
  ctx.remember({ type: 'port', port: from, direction: 'tx' });
  ctx.remember({ type: 'port', port: to, direction: 'rx' });
}
