import { MAX_METER_BANDS, MAX_METERS } from '../../../datapath/userspace/meter-counters.ts';
import {
  OFPM_ALL,
  OFPM_CONTROLLER,
  OFPM_SLOWPATH,
  OFPMBT_DROP,
  OFPRFR_METER_MOD,
  OFPRR_METER_DELETE,
} from '../../../openflow/constants.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { METER_FLAGS } from '../../ofproto/meter-table.ts';
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
  followSpecial(side);
  forwardRequest(side, connection, OFPRFR_METER_MOD, (version) => ({
    ...message,
    version,
    variant: undefined,
  }));
}

/** Takes away a meter, or all (OFPM_ALL), and the flows that use them. */
export function deleteMeters(side: OpenFlowSwitch, meter: number): void {
  const gone = side.meters.delete(meter);
  if (gone.length === 0) return;
  const rules = gone.flatMap(({ config }) => [...side.flows.usersOfMeter(config.meter)]);
  side.flows.remove(rules, OFPRR_METER_DELETE);
  followSpecial(side);
  // Flows may send to controllers through it, and a later meter may get its number.
  side.ofproto.tablesChanged();
  side.meters.release(gone);
}

/** Has what goes to controllers, and to the slow path, pass the meters for it. */
function followSpecial(side: OpenFlowSwitch): void {
  const { ofproto } = side;
  const controller = side.datapathMeter(OFPM_CONTROLLER);
  const slowPath = side.datapathMeter(OFPM_SLOWPATH);
  if (controller === ofproto.controllerMeter && slowPath === ofproto.slowPathMeter) return;
  ofproto.controllerMeter = controller;
  ofproto.slowPathMeter = slowPath;
  ofproto.tablesChanged();
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
  const meters = side.meters.select(message.meter === 0 ? OFPM_ALL : message.meter).map((entry) => {
    const { config, created } = entry;
    const counts = side.meters.counts(entry);
    const age = Math.max(0, now - created);
    return {
      meter: config.meter,
      flowCount: side.flows.usersOfMeter(config.meter).size,
      packetInCount: BigInt(counts.packets),
      byteInCount: BigInt(counts.bytes),
      durationSec: Math.floor(age / 1000),
      durationNsec: Math.floor((age % 1000) * 1e6),
      bands: counts.bands.map(({ packets, bytes }) => ({
        packetCount: BigInt(packets),
        byteCount: BigInt(bytes),
      })),
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
    capabilities: METER_FLAGS,
    maxBands: MAX_METER_BANDS,
    maxColor: 0,
  });
}
