import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPP_NONE } from '../../../openflow/constants.ts';
import type { XlateContext } from '../context.ts';
import type { Outcome } from './translator.ts';

/** sample: to a collector set of IPFIX, where the bridge has one of that number; else nothing. */
export function translateSample(ctx: XlateContext, action: ActionOf<'sample'>): Outcome {
  if (!ctx.ofproto.hasFlowCollector(action.collectorSet)) return 'next';
  let outputPort = 0xffffffff;
  if (action.samplingPort !== OFPP_NONE && action.samplingPort !== ctx.inPort) {
    const dpPort = ctx.port(action.samplingPort)?.dpPort ?? null;
    if (dpPort === null) {
      ctx.reportError(`can't use unknown port ${action.samplingPort} in flow sample action`);
      return 'next';
    }
    outputPort = dpPort;
  }
  ctx.commit();
  ctx.actions.push({
    type: 'sample',
    // 16 bits spread over 32, so that 65535 means always.
    probability: (action.probability * 0x10001) >>> 0,
    actions: [
      {
        type: 'userspace',
        pid: 0,
        cookie: {
          type: 'flow_sample',
          collectorSet: action.collectorSet,
          obsDomain: action.obsDomain,
          obsPoint: action.obsPoint,
          outputPort,
        },
      },
    ],
  });
  return 'next';
}
