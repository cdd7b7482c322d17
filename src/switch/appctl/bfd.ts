import { WeftError } from '../../base/errors.ts';
import type { BfdMonitors } from '../bfd/monitors.ts';
import { diagText, flagsText, stateText } from '../bfd/names.ts';
import type { BfdSession } from '../bfd/session.ts';

/** `bfd/show [INTERFACE]`. */
export function bfdShow(monitors: BfdMonitors, name: string | undefined): string {
  if (name === undefined) {
    return monitors
      .sessions()
      .map((session) => `---- ${session.name} ----\n${details(session)}`)
      .join('');
  }
  const session = monitors.session(name);
  if (session === undefined) throw new WeftError('no-such-bfd', 'no such bfd object');
  return details(session);
}

/** `bfd/set-forwarding [INTERFACE] normal|false|true`. */
export function bfdSetForwarding(monitors: BfdMonitors, args: readonly string[]): string {
  const wanted = FORWARDING.get((args.at(-1) ?? '').toLowerCase());
  if (wanted === undefined) throw new WeftError('bad-forwarding', 'unknown fault string');
  const named = args.length > 1 ? monitors.session(args[0]) : null;
  if (named === undefined) throw new WeftError('no-such-bfd', 'no such BFD object');
  for (const session of named === null ? monitors.sessions() : [named]) session.override(wanted);
  return 'OK';
}

const FORWARDING: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['normal', null],
]);

function details(session: BfdSession): string {
  const s = session.snapshot;
  const { remote } = s;
  const away = (time: number): string => {
    if (!Number.isFinite(time)) return 'never';
    const ms = time - s.now;
    return `now ${ms < 0 ? '' : '+'}${ms}ms`;
  };
  const lines = [
    `Forwarding: ${s.forwarding}`,
    `Detect Multiplier: ${s.mult}`,
    `Concatenated Path Down: ${s.cpathDown}`,
    `TX Interval: Approx ${s.txInterval}ms`,
    `RX Interval: Approx ${s.rxInterval}ms`,
    `Detect Time: ${away(s.detectAt)}`,
    `Next TX Time: ${away(s.nextTx)}`,
    `Last TX Time: ${away(s.lastTx)}`,
    '',
    `Local Flags: ${flagsText(s.flags)}`,
    `Local Session State: ${stateText(s.state)}`,
    `Local Diagnostic: ${diagText(s.diagnostic)}`,
    `Local Discriminator: 0x${s.discriminator.toString(16)}`,
    `Local Minimum TX Interval: ${s.minTx}ms`,
    `Local Minimum RX Interval: ${s.minRx}ms`,
    '',
    `Remote Flags: ${flagsText(remote.flags)}`,
    `Remote Session State: ${stateText(remote.state)}`,
    `Remote Diagnostic: ${diagText(remote.diagnostic)}`,
    `Remote Discriminator: 0x${remote.discriminator.toString(16)}`,
    `Remote Minimum TX Interval: ${remote.minTx}ms`,
    `Remote Minimum RX Interval: ${remote.minRx}ms`,
    `Remote Detect Multiplier: ${remote.mult}`,
  ];
  return lines.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');
}
