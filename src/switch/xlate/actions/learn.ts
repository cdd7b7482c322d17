import type { Subfield } from '../../../flow/field.ts';
import { maskField, maskSubfield, readSubfield, setFieldMasked } from '../../../flow/field-access.ts';
import { newFlow } from '../../../flow/layout.ts';
import { prerequisitesMet } from '../../../flow/prerequisites.ts';
import type { Action, ActionOf, LearnAction } from '../../../openflow/actions/types.ts';
import type { LearnedFlow } from '../../ofproto/ofproto.ts';
import { IPPROTO_TCP, nwProto, seeProto } from '../bits.ts';
import type { XlateContext } from '../context.ts';
import { loadSubfield, reportSubfield } from './field.ts';
import type { Outcome } from './translator.ts';

/** learn: makes a flow out of the packet's fields, and keeps it alive while packets come. */
export function translateLearn(ctx: XlateContext, action: ActionOf<'learn'>): Outcome {
  for (const spec of action.specs) {
    if (typeof spec.src !== 'bigint') {
      prerequisitesMet(spec.src.field, ctx.flow, ctx.wc);
      maskSubfield(ctx.wc, spec.src);
    }
  }
  if (!ctx.input.effects && ctx.input.cache === undefined) {
    ctx.report('warn', 'suppressing side effects, so learn action ignored');
    return 'next';
  }
  const learned = learnedFlow(ctx, action);
  ctx.report('detail', () => ctx.ofproto.describeLearned(learned));
  const { ofproto } = ctx;
  let success = true;
  if (ctx.input.effects) success = ofproto.learn(learned);
  ctx.remember({ type: 'learn', apply: () => void ofproto.learn(learned) });
  if (action.resultDst !== null) {
    loadSubfield(ctx, action.resultDst, success ? 1n : 0n);
    reportSubfield(ctx, action.resultDst);
  }
  if (!success) ctx.report('detail', 'Limit exceeded, learn failed');
  return 'next';
}

function learnedFlow(ctx: XlateContext, action: LearnAction): LearnedFlow {
  const flow = newFlow();
  const mask = newFlow();
  const actions: Action[] = [];
  for (const spec of action.specs) {
    const value = typeof spec.src === 'bigint' ? spec.src : readSubfield(ctx.flow, spec.src);
    switch (spec.kind) {
      case 'match':
        setMatch(flow, mask, spec.dst, value);
        break;
      case 'load':
        actions.push({
          type: 'set_field',
          form: 'reg_load',
          field: spec.dst.field,
          value: value << BigInt(spec.dst.ofs),
          mask: ((1n << BigInt(spec.dst.bits)) - 1n) << BigInt(spec.dst.ofs),
        });
        break;
      case 'output': {
        const port = Number(value & 0xffffffffn);
        const wide = spec.src.bits <= 16 && port >= 0xff00 ? (port | 0xffff0000) >>> 0 : port;
        actions.push({ type: 'output', port: wide, maxLen: 0xffff });
        break;
      }
    }
  }
  if (action.finIdleTimeout !== 0 || action.finHardTimeout !== 0) {
    actions.unshift({ type: 'fin_timeout', idle: action.finIdleTimeout, hard: action.finHardTimeout });
  }
  return {
    table: action.table,
    priority: action.priority,
    flow,
    mask,
    cookie: action.cookie,
    idleTimeout: action.idleTimeout,
    hardTimeout: action.hardTimeout,
    flags: action.flags,
    actions,
    limit: action.limit,
  };
}

function setMatch(flow: Uint32Array, mask: Uint32Array, dst: Subfield, value: bigint): void {
  const bits = ((1n << BigInt(dst.bits)) - 1n) << BigInt(dst.ofs);
  setFieldMasked(flow, dst.field, value << BigInt(dst.ofs), bits);
  maskField(mask, dst.field, bits);
}

/** fin_timeout: a TCP connection that ends shortens the life of the flow that carried it. */
export function translateFinTimeout(ctx: XlateContext, action: ActionOf<'fin_timeout'>): Outcome {
  seeProto(ctx.wc);
  const { rule } = ctx;
  if (nwProto(ctx.flow) !== IPPROTO_TCP || rule === null) return 'next';
  const { ofproto } = ctx;
  const entry = { type: 'fin-timeout', ofproto, rule, idle: action.idle, hard: action.hard } as const;
  if (ctx.stats !== undefined) ofproto.finTimeout(entry, ctx.input.tcpFlags);
  ctx.remember(entry);
  return 'next';
}
