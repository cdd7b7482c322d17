import {
  OFPM_ALL,
  OFPMBT_DROP,
  OFPMF_BURST,
  OFPMF_KBPS,
  OFPMF_PKTPS,
  OFPMF_STATS,
  OFPRFR_METER_MOD,
  OFPRR_METER_DELETE,
} from '../../../openflow/constants.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { MAX_BANDS, MAX_METERS } from '../../ofproto/meter-table.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { forwardRequest } from './forward.ts';
import { rejectIfSecondary } from './role.ts';

export function handleMeterMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'meter_mod'>,
): void {
  rejectIfSecondary(connection);
  const { command, meter, flags, bands } = message;
  switch (command) {
    case 'add':
      side.meters.add({ meter, flags, bands }, side.clock.now());
      break;
    case 'modify':
      side.meters.modify({ meter, flags, bands });
      break;
    case 'delete':
      deleteMeters(side, meter);
      break;
  }
  forwardRequest(side, connection, OFPRFR_METER_MOD, (version) => ({
    ...message,
    version,
    variant: undefined,
  }));
}

/** Takes away a meter, or all (OFPM_ALL), and the flows that use them. */
export function deleteMeters(side: OpenFlowSwitch, meter: number): void {
  const gone = side.meters.delete(meter);
  const rules = gone.flatMap(({ config }) => [...side.flows.usersOfMeter(config.meter)]);
  side.flows.remove(rules, OFPRR_METER_DELETE);
}

export function handleMeterConfig(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'meter_config_request'>,
): void {
  const meters = side.meters
    .select(message.meter === 0 ? OFPM_ALL : message.meter)
    .map(({ config }) => config);
  connection.send({ kind: 'meter_config_reply', ...connection.replyHeader(message), more: false, meters });
}

export function handleMeterStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'meter_stats_request'>,
): void {
  const now = side.clock.now();
  const meters = side.meters
    .select(message.meter === 0 ? OFPM_ALL : message.meter)
    .map(({ config, created }) => {
      const age = Math.max(0, now - created);
      return {
        meter: config.meter,
        flowCount: side.flows.usersOfMeter(config.meter).size,
        packetInCount: 0n,
        byteInCount: 0n,
        durationSec: Math.floor(age / 1000),
        durationNsec: Math.floor((age % 1000) * 1e6),
        bands: config.bands.map(() => ({ packetCount: 0n, byteCount: 0n })),
      };
    });
  connection.send({ kind: 'meter_stats_reply', ...connection.replyHeader(message), more: false, meters });
}

export function handleMeterFeatures(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'meter_features_request'>,
): void {
  connection.send({
    kind: 'meter_features_reply',
    ...connection.replyHeader(message),
    more: false,
    maxMeters: MAX_METERS,
    bandTypes: 1 << OFPMBT_DROP,
    capabilities: OFPMF_KBPS | OFPMF_PKTPS | OFPMF_BURST | OFPMF_STATS,
    maxBands: MAX_BANDS,
    maxColor: 0,
  });
}
