import type { XlateContext } from '../context.ts';
import type { Outcome } from './translator.ts';

/**
 * encap, decap and dec_nsh_ttl: this switch forwards Ethernet packets only. A flow that would make
 * another type of packet drops it, which traces and the log say.
 */
export function translatePacketType(ctx: XlateContext, action: { readonly type: string }): Outcome {
  ctx.reportError(`${action.type} is not supported: the datapath carries Ethernet packets only, dropping`);
  ctx.error = 'unsupported-packet-type';
  return 'stop';
}
