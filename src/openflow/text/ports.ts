/** Texts of messages about ports and queues. */
import { formatPort } from '../../flow/port-text.ts';
import { OFPQ_ALL, PS_STP_FORWARD, PS_STP_LEARN, PS_STP_MASK, UINT32_MAX } from '../constants.ts';
import type { PortDesc, PortMod, PortStatus } from '../messages/port.ts';
import type { PortStats, PortStatsReply, Rfc2819Stats } from '../messages/port-stats.ts';
import type {
  QueueGetConfigReply,
  QueueGetConfigRequest,
  QueueStatsReply,
  QueueStatsRequest,
} from '../messages/queue.ts';
import { formatBits, formatCount, formatDuration, formatMac, formatQueue, type TextNames } from './common.ts';

/** Names for bits 0, 1, 2, ... */
export function bitNames(...names: readonly string[]): ReadonlyMap<number, string> {
  return new Map(names.map((name, i) => [(1 << i) >>> 0, name]));
}

const CONFIG = bitNames(
  'PORT_DOWN',
  'NO_STP',
  'NO_RECV',
  'NO_RECV_STP',
  'NO_FLOOD',
  'NO_FWD',
  'NO_PACKET_IN',
);
const STATE = bitNames('LINK_DOWN', 'BLOCKED', 'LIVE');
const FEATURES = bitNames(
  '10MB-HD',
  '10MB-FD',
  '100MB-HD',
  '100MB-FD',
  '1GB-HD',
  '1GB-FD',
  '10GB-FD',
  '40GB-FD',
  '100GB-FD',
  '1TB-FD',
  'OTHER',
  'COPPER',
  'FIBER',
  'AUTO_NEG',
  'AUTO_PAUSE',
  'AUTO_PAUSE_ASYM',
);

export function formatPortConfig(config: number): string {
  return formatBits(config, CONFIG);
}

export function formatPortState(state: number): string {
  const stp = state & PS_STP_MASK;
  if (stp === 0) return formatBits(state, STATE);
  const rest = state & ~PS_STP_MASK;
  const word = stp === PS_STP_LEARN ? 'STP_LEARN' : stp === PS_STP_FORWARD ? 'STP_FORWARD' : 'STP_BLOCK';
  return rest === 0 ? word : word + formatBits(rest, STATE);
}

export function formatPortFeatures(features: number): string {
  return formatBits(features, FEATURES);
}

const KBPS_PER_MBPS = 1000;

export function formatPortDesc(p: PortDesc): string {
  const name = /^[\x20-\x7e]*/.exec(p.name)?.[0] ?? '';
  const lines = [
    ` ${formatPort(p.port)}(${name}): addr:${formatMac(p.hwAddr)}`,
    `     config:     ${formatPortConfig(p.config)}`,
    `     state:      ${formatPortState(p.state)}`,
  ];
  if (p.curr !== 0) lines.push(`     current:    ${formatPortFeatures(p.curr)}`);
  if (p.advertised !== 0) lines.push(`     advertised: ${formatPortFeatures(p.advertised)}`);
  if (p.supported !== 0) lines.push(`     supported:  ${formatPortFeatures(p.supported)}`);
  if (p.peer !== 0) lines.push(`     peer:       ${formatPortFeatures(p.peer)}`);
  const now = Math.floor(p.currSpeed / KBPS_PER_MBPS);
  const max = Math.floor(p.maxSpeed / KBPS_PER_MBPS);
  lines.push(`     speed: ${now} Mbps now, ${max} Mbps max`);
  return `${lines.join('\n')}\n`;
}

/** Ports in the order of their numbers. */
export function formatPortDescs(ports: readonly PortDesc[]): string {
  return ports
    .toSorted((a, b) => a.port - b.port)
    .map(formatPortDesc)
    .join('');
}

export function formatPortMod(m: PortMod, names: TextNames = {}): string {
  const advertise = m.advertise === 0 ? 'UNCHANGED' : formatPortFeatures(m.advertise);
  return (
    ` port: ${formatPort(m.port, names.ports)}: addr:${formatMac(m.hwAddr)}\n` +
    `     config: ${formatPortConfig(m.config)}\n` +
    `     mask:   ${formatPortConfig(m.mask)}\n` +
    `     advertise: ${advertise}\n`
  );
}

const PORT_REASONS = ['ADD', 'DEL', 'MOD'];

export function formatPortStatus(m: PortStatus): string {
  return ` ${PORT_REASONS[m.reason] ?? m.reason}:${formatPortDesc(m.desc)}`;
}

const RX_RFC2819: readonly (readonly [string, keyof Rfc2819Stats])[] = [
  ['1_to_64_packets', 'rx1To64'],
  ['65_to_127_packets', 'rx65To127'],
  ['128_to_255_packets', 'rx128To255'],
  ['256_to_511_packets', 'rx256To511'],
  ['512_to_1023_packets', 'rx512To1023'],
  ['1024_to_1522_packets', 'rx1024To1522'],
  ['1523_to_max_packets', 'rx1523ToMax'],
  ['broadcast_packets', 'rxBroadcast'],
  ['undersized_errors', 'rxUndersized'],
  ['oversize_errors', 'rxOversized'],
  ['rx_fragmented_errors', 'rxFragmented'],
  ['rx_jabber_errors', 'rxJabber'],
];
const TX_RFC2819: readonly (readonly [string, keyof Rfc2819Stats])[] = [
  ['1_to_64_packets', 'tx1To64'],
  ['65_to_127_packets', 'tx65To127'],
  ['128_to_255_packets', 'tx128To255'],
  ['256_to_511_packets', 'tx256To511'],
  ['512_to_1023_packets', 'tx512To1023'],
  ['1024_to_1522_packets', 'tx1024To1522'],
  ['1523_to_max_packets', 'tx1523ToMax'],
  ['multicast_packets', 'txMulticast'],
  ['broadcast_packets', 'txBroadcast'],
];

function formatRfc2819(stats: Rfc2819Stats, which: 'rx' | 'tx'): string {
  const parts = (which === 'rx' ? RX_RFC2819 : TX_RFC2819)
    .map(([name, key]) => [name, formatCount(stats[key])] as const)
    .filter(([, count]) => count !== '?')
    .map(([name, count]) => `${name}=${count}, `);
  return parts.length === 0 ? '' : `           ${which} rfc2819 ${parts.join('')}\n`;
}

const CUSTOM_PER_LINE = 3;

function formatPortStats(s: PortStats, names: TextNames): string {
  const n = formatCount;
  const port = formatPort(s.port, names.ports);
  let text =
    `  port ${s.port < 10 ? ' ' : ''}${port}: rx pkts=${n(s.rxPackets)}, bytes=${n(s.rxBytes)}, ` +
    `drop=${n(s.rxDropped)}, errs=${n(s.rxErrors)}, frame=${n(s.rxFrameErr)}, ` +
    `over=${n(s.rxOverErr)}, crc=${n(s.rxCrcErr)}\n` +
    `           tx pkts=${n(s.txPackets)}, bytes=${n(s.txBytes)}, drop=${n(s.txDropped)}, ` +
    `errs=${n(s.txErrors)}, coll=${n(s.collisions)}\n`;
  if (s.durationSec !== UINT32_MAX) {
    text += `           duration=${formatDuration(s.durationSec, s.durationNsec)}\n`;
  }
  if (s.rfc2819 !== null) text += formatRfc2819(s.rfc2819, 'rx') + formatRfc2819(s.rfc2819, 'tx');
  if (s.custom.length > 0) {
    text += '           CUSTOM Statistics';
    s.custom.forEach(({ name, value }, i) => {
      if (name === '') return;
      text += `${i % CUSTOM_PER_LINE === 0 ? `\n${' '.repeat(22)}` : ' '}${name}=${value},`;
    });
    text += '\n';
  }
  return text;
}

export function formatPortStatsReply(m: PortStatsReply, verbosity: number, names: TextNames = {}): string {
  const ports = verbosity < 1 ? '' : m.ports.map((s) => formatPortStats(s, names)).join('');
  return ` ${m.ports.length} ports\n${ports}`;
}

export function formatQueueStatsRequest(m: QueueStatsRequest, names: TextNames = {}): string {
  return ` port=${formatPort(m.port, names.ports)} queue=${formatQueue(m.queue)}`;
}

export function formatQueueStatsReply(m: QueueStatsReply, verbosity: number, names: TextNames = {}): string {
  const n = formatCount;
  let text = ` ${m.queues.length} queues\n`;
  if (verbosity < 1) return text;
  for (const q of m.queues) {
    const duration = q.durationSec === UINT32_MAX ? '?' : formatDuration(q.durationSec, q.durationNsec);
    text +=
      `  port ${formatPort(q.port, names.ports)} queue ${formatQueue(q.queue)}: bytes=${n(q.txBytes)}, ` +
      `pkts=${n(q.txPackets)}, errors=${n(q.txErrors)}, duration=${duration}\n`;
  }
  return text;
}

export function formatQueueConfigRequest(m: QueueGetConfigRequest, names: TextNames = {}): string {
  const queue = m.queue === OFPQ_ALL ? '' : ` queue=${formatQueue(m.queue)}`;
  return ` port=${formatPort(m.port, names.ports)}${queue}`;
}

function formatRate(name: string, rate: number | null): string {
  if (rate === null) return '';
  if (rate > 1000) return ` ${name}:(disabled)`;
  return ` ${name}:${Math.floor(rate / 10)}.${rate % 10}%`;
}

/** Queues by port, in the order of their numbers. */
export function formatQueueConfigReply(m: QueueGetConfigReply, names: TextNames = {}): string {
  const queues = m.queues.toSorted((a, b) => a.port - b.port || a.queue - b.queue);
  let text = ' ';
  let port = 0;
  for (const q of queues) {
    if (q.port !== port) {
      port = q.port;
      text += `port=${formatPort(port, names.ports)}\n`;
    }
    text += `queue ${q.queue}:${formatRate('min_rate', q.minRate)}${formatRate('max_rate', q.maxRate)}\n`;
  }
  return text;
}
