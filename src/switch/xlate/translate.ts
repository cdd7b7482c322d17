import type { DpAction, SlowPathReason } from '../../datapath/types.ts';
import { CS_TRACKED, W_ACTSET_OUTPUT, W_CT_STATE, W_RECIRC_ID } from '../../flow/layout.ts';
import { OFPP_UNSET } from '../../openflow/constants.ts';
import type { OfPort } from '../ofproto/port.ts';
import { runActionSet, writeActions } from './action-set.ts';
import { finishWildcards, startWildcards, XlateContext } from './context.ts';
import { describeRule } from './describe.ts';
import { finishFreezing } from './freeze.ts';
import { restoreMetadata } from './frozen.ts';
import { mirrorEgress, mirrorIngress } from './mirror.ts';
import { reportMirrorOutput } from './normal.ts';
import { mayReceive } from './output.ts';
import { runActions } from './run-actions.ts';
import { takenByMonitor } from './special.ts';
import { creditRule } from './table.ts';
import { countTunnel, receiveEcn } from './tunnel.ts';
import { MAX_OUTPUTS, type XlateInput, type XlateOutput } from './types.ts';

/**
 * Translates a packet's key through a bridge's OpenFlow pipeline into datapath actions, and the mask of
 * the bits that they depend on. Every packet that equals this one on those bits gets the same actions
 * as long as the tables, the ports and what was learned stay as they are: that is what makes the result
 * a megaflow. On an error the packet is dropped.
 */
export function translate(input: XlateInput): XlateOutput {
  const ctx = new XlateContext(input, { run: runActions, mirrorEgress });
  startWildcards(ctx);
  ctx.enterBridge();
  const node = ctx.report('bridge', () => `bridge("${ctx.ofproto.name}")`);
  ctx.below(node, () => run(ctx));
  if (ctx.error === 'ok') countOutputs(ctx);
  finishWildcards(ctx);

  const failed = ctx.error !== 'ok';
  const slow = new Set<SlowPathReason>(failed ? [] : ctx.slowReasons);
  return {
    actions: failed ? [] : withoutTrailingClone(ctx.actions),
    wc: ctx.wc,
    slow,
    error: ctx.error,
    recircs: ctx.recircs,
    finalFlow: ctx.flow,
    outputs: ctx.outputs,
  };
}

function run(ctx: XlateContext): void {
  const { input, flow } = ctx;
  let actions = input.actions;
  if (input.frozen !== undefined) {
    const state = input.frozen;
    if (actions !== undefined || ctx.rule !== null) {
      ctx.reportError(`Recirculation conflict (${actions === undefined ? 'rule' : 'actions'})!`);
      ctx.error = 'recirculation-conflict';
      return;
    }
    const thaw = ctx.report('thaw', 'thaw');
    ctx.below(thaw, () => {
      ctx.ofproto = state.ofproto;
      ctx.enterBridge();
      ctx.version = state.ofproto.version;
      ctx.table = state.table;
      ctx.report('thaw', `Resuming from table ${state.table}`);
      ctx.conntracked = state.conntracked;
      ctx.mirrored = state.mirrored;
      if (!state.conntracked) ctx.clearConntrack();
      restoreMetadata(state.metadata, flow);
      ctx.stack = [...state.stack];
      if (state.actionSet.length > 0) {
        ctx.report('thaw', () => `Restoring action set: ${ctx.ofproto.formatActions(state.actionSet)}`);
        flow[W_ACTSET_OUTPUT] = OFPP_UNSET;
        writeActions(ctx, state.actionSet);
      }
      if (state.actions.length > 0) {
        actions = state.actions;
        ctx.report('thaw', () => `Restoring actions: ${ctx.ofproto.formatActions(state.actions)}`);
      }
    });
  } else if (flow[W_RECIRC_ID] !== 0) {
    ctx.reportError(`Recirculation context not found for ID ${flow[W_RECIRC_ID].toString(16)}`);
    ctx.error = 'no-recirculation-context';
    return;
  } else if ((flow[W_CT_STATE] >>> 24) & CS_TRACKED) {
    ctx.conntracked = true;
  }

  if (ctx.badOptions !== null) {
    ctx.reportError(`Invalid Geneve tunnel metadata (${OPTIONS_ERROR_TEXT[ctx.badOptions]})`);
    ctx.error = 'invalid-tunnel-metadata';
    return;
  }

  const inPort = ctx.port(ctx.inPort);
  if (inPort !== undefined && inPort.tunnel !== null && input.frozen === undefined) {
    countTunnel(ctx, inPort, 'rx');
  }
  if (actions === undefined && ctx.rule === null) {
    const table = ctx.table;
    ctx.rule = ctx.ofproto.lookup(ctx, {
      inPort: ctx.inPort,
      table,
      mayPacketIn: true,
      honorTableMiss: true,
    });
    if (ctx.rule !== null) {
      creditRule(ctx, ctx.rule);
      const rule = ctx.rule;
      const node = ctx.report('table', () => describeRule(ctx, rule, ctx.table));
      ctx.below(node, () => runRoot(ctx, accepts(ctx, inPort), rule.actions));
      return;
    }
  }
  const list = actions ?? ctx.rule?.actions ?? [];
  runRoot(ctx, accepts(ctx, inPort), list);
}

/** Whether the bridge gets to see the packet. What was looked at once is not looked at again when it comes back. */
function accepts(ctx: XlateContext, inPort: OfPort | undefined): boolean {
  if (ctx.input.frozen === undefined && takenByMonitor(ctx)) return false;
  return inPort === undefined || mayReceive(inPort);
}

const OPTIONS_ERROR_TEXT = {
  malformed: 'options that exceed their length',
  length: 'an option that is not as long as the table of options says',
  critical: 'a critical option that the table of options lacks',
} as const;

function runRoot(ctx: XlateContext, accepted: boolean, actions: Parameters<typeof runActions>[1]): void {
  if (!receiveEcn(ctx) || !accepted) return;
  if (ctx.input.frozen === undefined) {
    const bundle = ctx.port(ctx.inPort)?.bundle;
    if (bundle?.isMirrorOutput) {
      reportMirrorOutput(ctx, bundle);
      return;
    }
    mirrorIngress(ctx);
  }
  if (ctx.rule !== null && ctx.input.actions === undefined) ctx.ruleCookie = ctx.rule.cookie;
  runActions(ctx, actions, true, false);
  if (ctx.error !== 'ok') return;
  if (!ctx.freezing) runActionSet(ctx);
  if (ctx.freezing) finishFreezing(ctx);
}

function countOutputs(ctx: XlateContext): void {
  if (ctx.outputs > MAX_OUTPUTS) ctx.needSlow('action');
}

/** A clone that nothing follows is its actions. */
function withoutTrailingClone(actions: DpAction[]): DpAction[] {
  const last = actions.at(-1);
  if (last?.type !== 'clone') return actions;
  return [...actions.slice(0, -1), ...last.actions];
}
