/** Who may talk to whom: what is expected, what was seen, and the table of both. */
import type { PingOutcome } from './guest/protocol.ts';

/** One end of a conversation: a guest, or a guest's presence in one VLAN. */
export interface Station {
  readonly label: string;
  readonly guest: string;
  /** Where the guest is. */
  readonly host: string;
  readonly address: string;
  readonly vlan: number;
  /** The guest puts the VLAN's tag on by itself. */
  readonly tagged: boolean;
}

/** The outcome of one direction of one pair. */
export interface Cell {
  readonly from: Station;
  readonly to: Station;
  readonly expected: boolean;
  readonly outcome: PingOutcome;
}

/** Something that was to be shown, and whether it was. */
export interface Expectation {
  readonly text: string;
  readonly held: boolean;
}

/** Whether a pair is tried: a guest does not talk to itself. */
export const isPair = (from: Station, to: Station): boolean => from.guest !== to.guest;

/** Whether two stations can be reached by each other: in one VLAN they can, else not. */
export const mayTalk = (from: Station, to: Station): boolean => from.vlan === to.vlan;

export const held = ({ expected, outcome }: Cell): boolean => expected === outcome.received > 0;

/** A table with one row a sender and one column a receiver. */
export function formatMatrix(stations: readonly Station[], cells: readonly Cell[]): string {
  const text = (from: Station, to: Station): string => {
    const cell = cells.find((c) => c.from === from && c.to === to);
    if (cell === undefined) return '';
    const seen = cell.outcome.rttMs === undefined ? '-' : `${cell.outcome.rttMs.toFixed(2)} ms`;
    return held(cell) ? seen : `${seen} WRONG`;
  };
  const head = stations.map((s) => s.label);
  const rows = stations.map((from) => [from.label, ...stations.map((to) => text(from, to))]);
  const widths = ['from \\ to', ...head].map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((value, column) => (column === 0 ? value.padEnd(widths[column]) : value.padStart(widths[column])))
      .join('  ')
      .trimEnd();
  return `${[['from \\ to', ...head], ...rows].map(line).join('\n')}\n`;
}
