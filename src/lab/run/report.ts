/** Rounds and moves as text for people. */
import { type LabPlan, type MachinePlan, probeText } from '../file/plan.ts';
import type { MoveResult } from './move.ts';
import { type RoundResult, wrongOf } from './round.ts';

/** One letter for each probe: p for pings, then digits and letters. */
const letterOf = (probe: string, index: number): string => (probe === 'ping' ? 'p' : index.toString(36));

function tableText(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    `  ${row.map((value, column) => value.padEnd(widths[column])).join('  ')}`.trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}

/** Who reached whom with what: one row a sender, one column a receiver. */
export function matrixText(plan: LabPlan, result: RoundResult): string {
  const probes = plan.probes.map(probeText);
  const letters = probes.map((probe, i) => letterOf(probe, i));
  const cell = (from: MachinePlan, to: MachinePlan): string => {
    if (from === to) return '';
    const found = result.findings.filter((f) => f.pair.from === from && f.pair.to === to);
    if (found.length === 0) return '=';
    return probes
      .map((probe, i) => {
        const of = found.filter((f) => f.probe === probe);
        if (of.some((f) => f.reached !== f.expected)) return '!';
        return of.some((f) => f.reached) ? letters[i] : '.';
      })
      .join('');
  };
  const { machines } = plan;
  const rows = machines.map((from) => [from.name, ...machines.map((to) => cell(from, to))]);
  const legend = probes.map((probe, i) => `${letters[i]} ${probe}`).join(', ');
  const same = rows.some((row) => row.includes('=')) ? '; = the very same addresses' : '';
  return (
    tableText([['from \\ to', ...machines.map(({ name }) => name)], ...rows]) +
    `  ${legend}; . refused, as it should be; ! not as expected${same}\n`
  );
}

/** Each deviation in a line of its own. */
export function wrongText(result: RoundResult): string {
  const wrong = wrongOf(result).map(({ pair: { from, to }, probe, address, expected, other }) => {
    const instead = other === undefined ? '' : `; ${other} answered`;
    return `  wrong: ${from.name} ${expected ? 'does not reach' : 'reaches'} ${to.name} by ${probe} at ${address}${instead}\n`;
  });
  const strays = result.strays.map(
    ({ from, at, frames, first }) =>
      `  wrong: ${frames} frames of ${from.name} turned up at ${at.name}, such as ${first}\n`,
  );
  return [...wrong, ...strays].join('');
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;

export function moveText({ move, from, series, talk, switchMs }: MoveResult): string {
  const { vm, to, peer, tcp } = move;
  const lines = [
    `${vm.name} moved from ${from} to ${to} in ${ms(switchMs)}, under a ping every millisecond and a TCP connection from ${peer.name}`,
    `  pings: ${series.sent} sent, ${series.lost} lost, ${series.duplicates} twice; longest gap ${ms(series.gapMs)}; median round trip ${ms(series.medianMs)}`,
    talk.reason === ''
      ? `  TCP ${tcp}: the connection held: ${talk.received} lines went and came back, none lost; longest wait ${ms(talk.gapMs)}`
      : `  TCP ${tcp}: wrong: ${talk.reason} (${talk.received} of ${talk.sent} lines came back)`,
  ];
  return `${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
