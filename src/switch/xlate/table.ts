import {
  type Flow,
  W_CT_IPV6_DST,
  W_CT_IPV6_SRC,
  W_CT_NW_DST,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
} from '../../flow/layout.ts';
import type { Action } from '../../openflow/actions/types.ts';
import type { Rule } from '../ofproto/rule.ts';
import * as b from './bits.ts';
import type { XlateContext } from './context.ts';
import { describeRule } from './describe.ts';
import { MAX_DEPTH, MAX_DP_ACTIONS, MAX_RESUBMITS, MAX_STACK } from './types.ts';

/** What runs the actions of the rule that a lookup found: in place, or as a clone. */
export type RuleRunner = (ctx: XlateContext, actions: readonly Action[], last: boolean) => void;

export interface TableOptions {
  readonly inPort: number;
  readonly table: number;
  /** A miss may be sent to the controllers. */
  readonly mayPacketIn: boolean;
  /** A miss does what the table's configuration says; else the packet just goes on. */
  readonly honorTableMiss: boolean;
  readonly withCt?: boolean;
  readonly last: boolean;
  readonly runner?: RuleRunner;
}

const runInPlace: RuleRunner = (ctx, actions, last) => ctx.run(ctx, actions, last, false);

/** Looks the packet up in a table and runs what is found (resubmit, goto_table, output:TABLE, patch ports). */
export function tableAction(ctx: XlateContext, options: TableOptions): void {
  if (ctx.wasMpls) {
    // Labels were popped: only the datapath can tell what stands below them.
    ctx.triggerFreeze();
    return;
  }
  if (!withinBudget(ctx)) return;
  const oldTable = ctx.table;
  ctx.table = options.table;
  if (options.withCt) {
    if (b.nwProto(ctx.flow) === 0 || ctNwProto(ctx.flow) === 0 || !b.isIpAny(ctx.flow)) {
      ctx.reportError('resubmit(ct) with non-tracked or non-IP packet!');
      ctx.table = oldTable;
      return;
    }
    swapCtTuple(ctx.flow, b.isIpv4(ctx.flow));
    swapCtTuple(ctx.wc, b.isIpv4(ctx.flow));
    // The connection's tuple stands there, which for other packets may differ though it's the same for this one.
    for (const word of CT_SWAPPED) ctx.dependencies?.noteRewritten(word);
  }
  const found = ctx.ofproto.lookup(ctx, options);
  if (options.withCt) {
    swapCtTuple(ctx.flow, b.isIpv4(ctx.flow));
    swapCtTuple(ctx.wc, b.isIpv4(ctx.flow));
  }
  if (found !== null) {
    const node = ctx.report('table', () => describeRule(ctx, found, options.table));
    ctx.below(node, () => {
      runRule(ctx, found, options.table <= oldTable, options.last, options.runner ?? runInPlace);
    });
  }
  ctx.table = oldTable;
}

function runRule(ctx: XlateContext, rule: Rule, deepens: boolean, last: boolean, runner: RuleRunner): void {
  const oldRule = ctx.rule;
  const oldCookie = ctx.ruleCookie;
  creditRule(ctx, rule);
  ctx.resubmits++;
  if (deepens) ctx.depth++;
  ctx.rule = rule;
  ctx.ruleCookie = rule.cookie;
  runner(ctx, rule.actions, last);
  ctx.ruleCookie = oldCookie;
  ctx.rule = oldRule;
  if (deepens) ctx.depth--;
}

/** Counts the packet for the rule now, and remembers to count those that follow. */
export function creditRule(ctx: XlateContext, rule: Rule): void {
  const stats = ctx.stats;
  if (stats !== undefined) ctx.ofproto.creditRule(rule, stats);
  ctx.remember({ type: 'rule', rule, ofproto: ctx.ofproto });
}

/** Whether the translation may go deeper; else reports what it has used up. */
export function withinBudget(ctx: XlateContext): boolean {
  if (ctx.depth >= MAX_DEPTH) {
    ctx.reportError(`over max translation depth ${MAX_DEPTH}`);
    ctx.error = 'recursion-too-deep';
  } else if (ctx.resubmits >= MAX_RESUBMITS) {
    ctx.reportError(`over ${MAX_RESUBMITS} resubmit actions`);
    ctx.error = 'too-many-resubmits';
  } else if (ctx.actions.length > MAX_DP_ACTIONS) {
    ctx.reportError('resubmits yielded over 64 kB of actions');
    ctx.exit = true;
  } else if (ctx.stackBytes >= MAX_STACK) {
    ctx.reportError('resubmits yielded over 64 kB of stack');
    ctx.error = 'stack-too-deep';
  } else {
    return true;
  }
  return false;
}

const ctNwProto = (flow: Flow): number => (flow[W_CT_STATE] >>> 16) & 0xff;

/** Words that `swapCtTuple` puts others into. */
const CT_SWAPPED: readonly number[] = [
  W_NW,
  W_CT_STATE,
  W_NW_SRC,
  W_NW_DST,
  W_TP,
  ...[0, 1, 2, 3].flatMap((i) => [W_IPV6_SRC + i, W_IPV6_DST + i]),
];

/** Exchanges the packet's 5-tuple with that of its connection's original direction. */
function swapCtTuple(flow: Flow, ipv4: boolean): void {
  const proto = flow[W_NW] & 0xff;
  const ctProto = (flow[W_CT_STATE] >>> 16) & 0xff;
  flow[W_NW] = ((flow[W_NW] & ~0xff) | ctProto) >>> 0;
  flow[W_CT_STATE] = ((flow[W_CT_STATE] & ~0xff0000) | (proto << 16)) >>> 0;
  if (ipv4) {
    swapWords(flow, W_NW_SRC, W_CT_NW_SRC, 1);
    swapWords(flow, W_NW_DST, W_CT_NW_DST, 1);
  } else {
    swapWords(flow, W_IPV6_SRC, W_CT_IPV6_SRC, 4);
    swapWords(flow, W_IPV6_DST, W_CT_IPV6_DST, 4);
  }
  swapWords(flow, W_TP, W_CT_TP, 1);
}

function swapWords(flow: Flow, first: number, second: number, n: number): void {
  for (let i = 0; i < n; i++) {
    const word = flow[first + i];
    flow[first + i] = flow[second + i];
    flow[second + i] = word;
  }
}
