import { WeftError } from '../base/errors.ts';
import type { Datapath, FlowStatsRows, MegaflowId, MegaflowSpec } from './types.ts';

/** Room for the counters of `rows` megaflows. */
export function newFlowStatsRows(rows: number): FlowStatsRows {
  return {
    packets: new Float64Array(rows),
    bytes: new Float64Array(rows),
    used: new Float64Array(rows),
    tcpFlags: new Uint16Array(rows),
  };
}

/**
 * Writes the counters of `ids[i]` to row i, in one exchange where the datapath can.
 * @throws WeftError `no-such-flow`
 */
export function readFlowStats(datapath: Datapath, ids: Int32Array, rows: FlowStatsRows): void {
  if (datapath.flowStatsAll !== undefined) {
    datapath.flowStatsAll(ids, rows);
    return;
  }
  for (let i = 0; i < ids.length; i++) {
    const { packets, bytes, used, tcpFlags } = datapath.flowStats(ids[i]);
    rows.packets[i] = packets;
    rows.bytes[i] = bytes;
    rows.used[i] = used;
    rows.tcpFlags[i] = tcpFlags;
  }
}

/** Installs megaflows, in one exchange where the datapath can: ids, or why one was refused. */
export function putFlows(datapath: Datapath, flows: readonly MegaflowSpec[]): (MegaflowId | WeftError)[] {
  if (datapath.flowPutAll !== undefined) return datapath.flowPutAll(flows);
  return flows.map((flow) => {
    try {
      return datapath.flowPut(flow);
    } catch (error) {
      if (error instanceof WeftError) return error;
      throw error;
    }
  });
}
