import {
  C_ARP_MATCH_IP,
  C_BUNDLES,
  C_FLOW_STATS,
  C_GROUP_STATS,
  C_PORT_STATS,
  C_QUEUE_STATS,
  C_TABLE_STATS,
  OFPR_INVALID_TTL,
} from '../../../openflow/constants.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { OF10, OF13 } from '../../../openflow/version.ts';
import { asyncConfig } from '../async.ts';
import type { Connection } from '../connection.ts';
import { portDesc } from '../messages/port-desc.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** Action types 0 to 11 of OpenFlow 1.0. */
const OF10_ACTIONS = 0xfff;
const N_TABLES_TOLD = 254;

export function handleFeatures(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'features_request'>,
): void {
  const capabilities =
    C_FLOW_STATS | C_TABLE_STATS | C_PORT_STATS | C_QUEUE_STATS | C_ARP_MATCH_IP | C_GROUP_STATS | C_BUNDLES;
  connection.send({
    kind: 'features_reply',
    ...connection.replyHeader(message),
    datapathId: side.config?.datapathId ?? 0n,
    nBuffers: 0,
    nTables: N_TABLES_TOLD,
    auxiliaryId: 0,
    capabilities,
    actions: connection.version === OF10 ? OF10_ACTIONS : 0,
    ports: connection.version < OF13 ? side.ofproto.ports().map(portDesc) : null,
  });
}

/** The flag of OpenFlow 1.0 to 1.2 is one of the reasons for which a primary hears of packets. */
function wantsInvalidTtl(connection: Connection): boolean {
  return (asyncConfig(connection).packet_in.primary & (1 << OFPR_INVALID_TTL)) !== 0;
}

function setInvalidTtl(connection: Connection, on: boolean): void {
  if (on === wantsInvalidTtl(connection)) return;
  const config = asyncConfig(connection);
  const primary = config.packet_in.primary ^ (1 << OFPR_INVALID_TTL);
  connection.state.asyncConfig = { ...config, packet_in: { ...config.packet_in, primary } };
}

export function handleGetConfig(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'get_config_request'>,
): void {
  connection.send({
    kind: 'get_config_reply',
    ...connection.replyHeader(message),
    config: {
      frag: side.ofproto.fragHandling,
      invalidTtlToController: connection.version < OF13 ? wantsInvalidTtl(connection) : null,
      missSendLen: connection.state.missSendLen,
    },
  });
}

export function handleConfig(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_config'>,
): void {
  const { frag, invalidTtlToController, missSendLen } = message.config;
  if (connection.state.role !== 'secondary' && frag !== side.ofproto.fragHandling) {
    // Fragments are never put together here: what can't be done stays as it was.
    if (frag !== 'reassemble') {
      side.ofproto.fragHandling = frag;
      side.ofproto.tablesChanged();
    }
  }
  if (invalidTtlToController !== null) setInvalidTtl(connection, invalidTtlToController);
  connection.state.missSendLen = missSendLen;
}

/** Requests are carried out as they come, one after the other: a barrier has nothing to wait for. */
export function handleBarrier(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'barrier_request'>,
): void {
  connection.send({ kind: 'barrier_reply', ...connection.replyHeader(message) });
}

export function handleDesc(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'desc_request'>,
): void {
  const d = side.config?.description;
  connection.send({
    kind: 'desc_reply',
    ...connection.replyHeader(message),
    more: false,
    mfrDesc: d?.mfr ?? '',
    hwDesc: d?.hw ?? '',
    swDesc: d?.sw ?? '',
    serialNum: d?.serial ?? '',
    dpDesc: d?.dp ?? '',
  });
}
