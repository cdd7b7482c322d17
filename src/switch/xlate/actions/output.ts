import { maskSubfield, readSubfield32 } from '../../../flow/field-access.ts';
import { W_SKB_PRIORITY } from '../../../flow/layout.ts';
import { formatPort } from '../../../flow/port-text.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import {
  OFPP_ALL,
  OFPP_CONTROLLER,
  OFPP_FLOOD,
  OFPP_IN_PORT,
  OFPP_NONE,
  OFPP_NORMAL,
  OFPP_TABLE,
  OFPR_ACTION,
  OFPR_ACTION_SET,
  OFPR_GROUP,
  OFPR_PACKET_OUT,
} from '../../../openflow/constants.ts';
import type { XlateContext } from '../context.ts';
import { plainController, sendToController } from '../controller.ts';
import { normal } from '../normal.ts';
import { flood, outputToPort } from '../output.ts';
import { tableAction } from '../table.ts';
import type { ActionPlace, Outcome } from './translator.ts';

/** output:PORT for real and reserved ports. */
export function translateOutput(ctx: XlateContext, action: ActionOf<'output'>, place: ActionPlace): Outcome {
  outputTo(ctx, action.port, action.maxLen, place, true);
  return 'next';
}

export function outputTo(
  ctx: XlateContext,
  port: number,
  maxLen: number,
  place: ActionPlace,
  mayPacketIn: boolean,
  truncate = false,
): void {
  switch (port) {
    case OFPP_IN_PORT:
      outputToPort(ctx, ctx.inPort, place.last, truncate);
      break;
    case OFPP_TABLE:
      tableAction(ctx, { inPort: ctx.inPort, table: 0, mayPacketIn, honorTableMiss: true, last: false });
      break;
    case OFPP_NORMAL:
      normal(ctx);
      break;
    case OFPP_FLOOD:
      flood(ctx, false, place.last);
      break;
    case OFPP_ALL:
      flood(ctx, true, place.last);
      break;
    case OFPP_CONTROLLER:
      sendToController(ctx, plainController(maxLen, outputReason(ctx, place), 0));
      break;
    case OFPP_NONE:
      break;
    default:
      if (port !== ctx.inPort) outputToPort(ctx, port, place.last, truncate);
      else ctx.report('warn', 'skipping output to input port');
  }
}

function outputReason(ctx: XlateContext, place: ActionPlace): number {
  if (ctx.input.inPacketOut) return OFPR_PACKET_OUT;
  if (place.bucket) return OFPR_GROUP;
  return ctx.inActionSet ? OFPR_ACTION_SET : OFPR_ACTION;
}

/** output:FIELD[..]: the port's number stands in the packet or a register. */
export function translateOutputReg(
  ctx: XlateContext,
  action: ActionOf<'output_reg'>,
  place: ActionPlace,
): Outcome {
  const port = readSubfield32(ctx.flow, action.src);
  maskSubfield(ctx.wc, action.src);
  ctx.report('detail', () => `output port is ${port}`);
  outputTo(
    ctx,
    action.src.bits <= 16 && port >= 0xff00 ? (port | 0xffff0000) >>> 0 : port,
    action.maxLen,
    place,
    false,
  );
  return 'next';
}

/** output(port=PORT,max_len=N): a copy of at most N bytes. */
export function translateOutputTrunc(
  ctx: XlateContext,
  action: ActionOf<'output_trunc'>,
  place: ActionPlace,
): Outcome {
  const { port, maxLen } = action;
  switch (port) {
    case OFPP_TABLE:
    case OFPP_NORMAL:
    case OFPP_FLOOD:
    case OFPP_ALL:
    case OFPP_CONTROLLER:
    case OFPP_NONE:
      ctx.report('warn', () => `output_trunc does not support port: ${formatPort(port)}`);
      return 'next';
  }
  const target = port === OFPP_IN_PORT ? ctx.inPort : port;
  if (port !== OFPP_IN_PORT && target === ctx.inPort) {
    ctx.report('warn', 'skipping output to input port');
    return 'next';
  }
  // The device cuts what the next output sends; behind a patch port nobody knows which that is.
  if ((ctx.port(port)?.dpPort ?? null) === null) {
    ctx.reportError(`output_trunc does not support patch port ${formatPort(port)}`);
    return 'next';
  }
  ctx.actions.push({ type: 'trunc', maxLen });
  outputToPort(ctx, target, place.last, true);
  return 'next';
}

/** enqueue:PORT:QUEUE. */
export function translateEnqueue(
  ctx: XlateContext,
  action: ActionOf<'enqueue'>,
  place: ActionPlace,
): Outcome {
  ctx.wc[W_SKB_PRIORITY] = 0xffffffff;
  const priority = ctx.ofproto.queuePriority(action.port, action.queue);
  if (priority === null) {
    // A queue that isn't there: the packet goes out all the same, in no queue.
    outputTo(ctx, action.port, 0, place, false);
    return 'next';
  }
  const target = action.port === OFPP_IN_PORT ? ctx.inPort : action.port;
  if (action.port !== OFPP_IN_PORT && target === ctx.inPort) return 'next';
  const old = ctx.flow[W_SKB_PRIORITY];
  ctx.flow[W_SKB_PRIORITY] = priority;
  outputToPort(ctx, target, place.last);
  ctx.flow[W_SKB_PRIORITY] = old;
  return 'next';
}

export function translateSetQueue(ctx: XlateContext, action: ActionOf<'set_queue'>): Outcome {
  ctx.wc[W_SKB_PRIORITY] = 0xffffffff;
  const priority = ctx.ofproto.queuePriority(OFPP_NONE, action.queue);
  if (priority !== null) ctx.flow[W_SKB_PRIORITY] = priority;
  return 'next';
}

export function translatePopQueue(ctx: XlateContext): Outcome {
  ctx.wc[W_SKB_PRIORITY] = 0xffffffff;
  const priority = ctx.origSkbPriority;
  if (ctx.flow[W_SKB_PRIORITY] === priority) return 'next';
  ctx.flow[W_SKB_PRIORITY] = priority;
  // Text as C's `%#x` gives it: zero has no prefix.
  ctx.report('detail', () => `queue = ${priority === 0 ? '0' : `0x${priority.toString(16)}`}`);
  return 'next';
}
