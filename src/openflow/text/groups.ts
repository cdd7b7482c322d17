/** Texts of messages about groups and meters. */

import { formatFieldText } from '../../flow/field-text.ts';
import { formatPort } from '../../flow/port-text.ts';
import { formatActions } from '../actions/index.ts';
import {
  OFPG_ANY,
  OFPG_BUCKET_ALL,
  OFPG_BUCKET_FIRST,
  OFPG_BUCKET_LAST,
  OFPM_ALL,
  OFPM_CONTROLLER,
  OFPM_MAX,
  OFPM_SLOWPATH,
  OFPMF_BURST,
  OFPP_ANY,
  UINT32_MAX,
  UINT64_MAX,
} from '../constants.ts';
import type { Bucket, GroupCommand, GroupDesc, GroupDescReply, GroupMod } from '../messages/group.ts';
import type { GroupFeaturesReply, GroupStatsReply } from '../messages/group-stats.ts';
import type {
  MeterConfig,
  MeterConfigReply,
  MeterFeaturesReply,
  MeterMod,
  MeterStatsReply,
} from '../messages/meter.ts';
import type { ActionName } from '../messages/table-features.ts';
import { OF10, OF15 } from '../version.ts';
import { formatBits, formatDuration, type TextNames } from './common.ts';
import { bitNames } from './ports.ts';

const COMMANDS: Readonly<Record<GroupCommand, string>> = {
  add: 'ADD',
  modify: 'MOD',
  add_or_mod: 'ADD_OR_MOD',
  delete: 'DEL',
  insert_bucket: 'INSERT_BUCKET',
  remove_bucket: 'REMOVE_BUCKET',
};

function formatBucketId(label: string, id: number, version: number): string {
  if (version > OF10 && version < OF15) return '';
  const special = new Map([
    [OFPG_BUCKET_FIRST, 'first'],
    [OFPG_BUCKET_LAST, 'last'],
    [OFPG_BUCKET_ALL, 'all'],
  ]).get(id);
  return `${label}${special ?? id},`;
}

function formatBucket(b: Bucket, type: string, version: number, names: TextNames): string {
  let text = `bucket=${formatBucketId('bucket_id:', b.id, version)}`;
  if (b.weight !== (type === 'select' ? 1 : 0)) text += `weight:${b.weight},`;
  if (b.watchPort !== OFPP_ANY) text += `watch_port:${formatPort(b.watchPort, names.ports)},`;
  if (b.watchGroup !== OFPG_ANY) text += `watch_group:${b.watchGroup},`;
  return `${text}actions=${formatActions(b.actions, names)}`;
}

/** A group as `ovs-ofctl dump-groups` shows it, and `add-group` takes it. */
export function formatGroupDesc(g: GroupDesc, version: number, names: TextNames = {}, typed = true): string {
  let text = `group_id=${g.group}`;
  if (typed) text += `,type=${g.type}`;
  const { method, param, fields } = g.selection;
  if (method !== '') {
    text += `,selection_method=${method}`;
    if (param !== 0n) text += `,selection_method_param=${param}`;
    const list = fields.map(({ field, mask }) => {
      const all = mask === (1n << BigInt(field.bytes * 8)) - 1n;
      return field.name + (all ? '' : `=${formatFieldText(field, mask)}`);
    });
    if (list.length === 1) text += `,fields=${list[0]}`;
    else if (list.length > 1) text += `,fields(${list.join(',')})`;
  }
  return [text, ...g.buckets.map((b) => formatBucket(b, g.type, version, names))].join(',');
}

export function formatGroupMod(m: GroupMod, names: TextNames = {}): string {
  const ofBuckets = m.command === 'insert_bucket' || m.command === 'remove_bucket';
  const which = ofBuckets ? formatBucketId('command_bucket_id:', m.commandBucket, m.version) : '';
  return `\n ${COMMANDS[m.command]} ${which}${formatGroupDesc(m, m.version, names, !ofBuckets)}`;
}

export function formatGroupDescReply(m: GroupDescReply, names: TextNames = {}): string {
  return m.groups.map((g) => `\n ${formatGroupDesc(g, m.version, names)}`).join('');
}

export function formatGroupStatsReply(m: GroupStatsReply): string {
  return m.groups
    .map((g) => {
      const duration =
        g.durationSec === UINT32_MAX ? '' : `duration=${formatDuration(g.durationSec, g.durationNsec)},`;
      const buckets = g.buckets.map((b, i) =>
        b.packetCount === UINT64_MAX
          ? ''
          : `,bucket${i}:packet_count=${b.packetCount},byte_count=${b.byteCount}`,
      );
      return (
        `\n group_id=${g.group},${duration}ref_count=${g.refCount},` +
        `packet_count=${g.packetCount},byte_count=${g.byteCount}${buckets.join('')}`
      );
    })
    .join('');
}

export function formatActionNames(actions: readonly ActionName[]): string {
  return actions.length === 0 ? '<none>' : actions.join(' ');
}

const TYPE_TEXTS = ['all', 'select', 'indirect', 'fast failover'];

export function formatGroupFeatures(m: GroupFeaturesReply): string {
  let text =
    `\n Group table:\n    Types:  0x${m.types.toString(16)}\n` +
    `    Capabilities:  0x${m.capabilities.toString(16)}\n`;
  TYPE_TEXTS.forEach((type, i) => {
    if ((m.types & (1 << i)) === 0) return;
    const max = m.maxGroups[i] === 0 ? '0' : `0x${m.maxGroups[i].toString(16)}`;
    text += `    ${type} group:\n       max_groups=${max}\n       actions: ${formatActionNames(m.actions[i])}\n`;
  });
  return text;
}

const METER_FLAGS = bitNames('kbps', 'pktps', 'burst', 'stats');
const KNOWN_METER_FLAGS = 0xf;
const BAND_TYPES: ReadonlyMap<number, string> = new Map([
  [1 << 1, 'drop'],
  [1 << 2, 'dscp_remark'],
]);
const METER_NAMES: ReadonlyMap<number, string> = new Map([
  [OFPM_SLOWPATH, 'slowpath'],
  [OFPM_CONTROLLER, 'controller'],
  [OFPM_ALL, 'all'],
]);

export function formatMeterId(meter: number, separator: string): string {
  const id = meter <= OFPM_MAX ? String(meter) : (METER_NAMES.get(meter) ?? 'unknown');
  return `meter${separator}${id}`;
}

/** A meter as `ovs-ofctl dump-meters` shows it. */
export function formatMeterConfig(m: MeterConfig): string {
  let text = `${formatMeterId(m.meter, '=')} `;
  const known = m.flags & KNOWN_METER_FLAGS;
  if (known !== 0) text += `${formatBits(known, METER_FLAGS)} `;
  if (m.flags !== known) text += `flags:0x${(m.flags & ~KNOWN_METER_FLAGS).toString(16)} `;
  text += 'bands=';
  for (const band of m.bands) {
    text += `\ntype=${band.type} rate=${band.rate}`;
    if ((m.flags & OFPMF_BURST) !== 0) text += ` burst_size=${band.burstSize}`;
    if (band.type === 'dscp_remark') text += ` prec_level=${band.precLevel}`;
  }
  return `${text}\n`;
}

const METER_COMMANDS = { add: 'ADD', modify: 'MOD', delete: 'DEL' } as const;

export function formatMeterMod(m: MeterMod): string {
  return ` ${METER_COMMANDS[m.command]} ${formatMeterConfig(m)}`;
}

export function formatMeterConfigReply(m: MeterConfigReply): string {
  return m.meters.map((meter) => `\n${formatMeterConfig(meter)}`).join('');
}

export function formatMeterStatsReply(m: MeterStatsReply): string {
  return m.meters
    .map((s) => {
      const bands = s.bands.map((b, i) => `${i}: packet_count:${b.packetCount} byte_count:${b.byteCount}\n`);
      return (
        `\n${formatMeterId(s.meter, ':')} flow_count:${s.flowCount} packet_in_count:${s.packetInCount} ` +
        `byte_in_count:${s.byteInCount} duration:${formatDuration(s.durationSec, s.durationNsec)} ` +
        `bands:\n${bands.join('')}`
      );
    })
    .join('');
}

export function formatMeterFeatures(m: MeterFeaturesReply): string {
  return (
    `\nmax_meter:${m.maxMeters} max_bands:${m.maxBands} max_color:${m.maxColor}\n` +
    `band_types: ${formatBits(m.bandTypes, BAND_TYPES)}\n` +
    `capabilities: ${formatBits(m.capabilities, METER_FLAGS)}\n`
  );
}
