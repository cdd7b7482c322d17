import type { Flow } from '../../flow/layout.ts';
import { fromHex, toHex } from '../../wire/bytes.ts';
import type { DpAction, FlowStats } from '../types.ts';
import { formatActions } from './format-actions.ts';
import { type FormatKeyOptions, formatKey } from './format-key.ts';

/** "ufid:" and 16 bytes in the form of a UUID. */
export function formatUfid(ufid: Uint8Array): string {
  const hex = toHex(ufid);
  const groups = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)];
  return `ufid:${groups.join('-')}`;
}

/** Reads "ufid:..." at the start of a text, and what follows it. Null: there is none, or a bad one. */
export function parseUfid(text: string): { ufid: Uint8Array; rest: string } | null {
  const found = /^ufid:([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/.exec(text);
  if (found === null) return null;
  const ufid = fromHex(found[1].replaceAll('-', ''));
  return ufid === null ? null : { ufid, rest: text.slice(found[0].length).replace(/^[, ]+/, '') };
}

const TCP_FLAG_LETTERS: readonly (readonly [bit: number, text: string])[] = [
  [0x002, 'S'],
  [0x001, 'F'],
  [0x008, 'P'],
  [0x004, 'R'],
  [0x020, 'U'],
  [0x010, '.'],
  [0x040, 'E'],
  [0x080, 'C'],
  [0x100, 'N'],
  [0x200, '[200]'],
  [0x400, '[400]'],
  [0x800, '[800]'],
];

/** "SFP." as tcpdump writes flags; "none" for none. */
export function formatTcpFlags(flags: number): string {
  const text = TCP_FLAG_LETTERS.map(([bit, letter]) => ((flags & bit) !== 0 ? letter : '')).join('');
  return text === '' ? 'none' : text;
}

/**
 * "packets:3, bytes:180, used:0.120s, flags:S."
 * @param now of the clock that `used` was taken from, in milliseconds
 */
export function formatFlowStats(stats: FlowStats, now: number): string {
  const used = stats.used === 0 ? 'never' : `${((now - stats.used) / 1000).toFixed(3)}s`;
  const flags = stats.tcpFlags === 0 ? '' : `, flags:${formatTcpFlags(stats.tcpFlags)}`;
  return `packets:${stats.packets}, bytes:${stats.bytes}, used:${used}${flags}`;
}

/** A flow as one line of dump-flows. */
export interface DumpedFlow {
  readonly key: Flow;
  readonly mask: Flow;
  readonly actions: readonly DpAction[];
  readonly stats: FlowStats;
  /** 16 bytes; shown only if verbose. */
  readonly ufid?: Uint8Array;
  /** Which layer forwards it ("ovs", "tc"); shown only if verbose. */
  readonly layer?: string;
  /** What a datapath adds about its own workings; shown last, only if verbose. */
  readonly extra?: string;
}

export function formatFlow(flow: DumpedFlow, now: number, options: FormatKeyOptions = {}): string {
  const verbose = options.verbose ?? false;
  const ufid = verbose && flow.ufid !== undefined ? `${formatUfid(flow.ufid)}, ` : '';
  const key = formatKey(flow.key, flow.mask, { ...options, verbose });
  const layer = verbose && flow.layer !== undefined ? `, dp:${flow.layer}` : '';
  const extra = verbose && flow.extra !== undefined ? `, dp-extra-info:${flow.extra}` : '';
  return `${ufid}${key}, ${formatFlowStats(flow.stats, now)}${layer}, actions:${formatActions(flow.actions, options)}${extra}`;
}
