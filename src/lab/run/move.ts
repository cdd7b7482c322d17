/** A live migration under traffic, and what it cost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WeftError } from '../../base/errors.ts';
import { isIpv6 } from '../file/address.ts';
import type { MachinePlan, MovePlan } from '../file/plan.ts';
import type { SeriesOutcome, TalkOutcome } from '../guest/protocol.ts';
import type { Site } from './site.ts';

const PING_MS = 1;
const CONNECT_MS = 10_000;
/** Traffic before and after. */
const BEFORE_MS = 300;
const AFTER_MS = 1500;

export interface MoveResult {
  readonly move: MovePlan;
  /** Host. */
  readonly from: string;
  /** Until both hosts' switches had done their part. */
  readonly switchMs: number;
  readonly series: SeriesOutcome;
  readonly talk: TalkOutcome;
}

/** The connection held, and pings go through again. */
export const heldMove = ({ move, series, talk }: MoveResult): boolean =>
  talk.reason === '' && talk.received > 0 && talk.peer === move.vm.name && series.sent > series.lost;

function commonAddress(from: MachinePlan, to: MachinePlan): string {
  const found = to.addresses.find(({ address }) =>
    from.addresses.some((mine) => isIpv6(mine.address) === isIpv6(address)),
  );
  if (found === undefined)
    throw new WeftError('bad-lab-file', `${from.name} and ${to.name} have no family of addresses in common`);
  return found.address;
}

export interface Traffic {
  readonly series: SeriesOutcome;
  readonly talk: TalkOutcome;
}

/** Has one machine ping another every millisecond and talk to it by TCP while `work` is done. */
export async function underTraffic(
  site: Site,
  from: MachinePlan,
  to: MachinePlan,
  tcp: number,
  work: () => Promise<void>,
): Promise<Traffic> {
  const guest = site.guest(from.name);
  const address = commonAddress(from, to);
  await guest.ask('startTalk', { address, port: tcp, connectMs: CONNECT_MS });
  await guest.ask('startSeries', { address, intervalMs: PING_MS });
  await sleep(BEFORE_MS);
  await work();
  await sleep(AFTER_MS);
  const [series, talk] = await Promise.all([guest.ask('stopSeries', null), guest.ask('stopTalk', null)]);
  return { series, talk };
}

/** Moves a machine while its peer talks to it. */
export async function moveUnderTraffic(site: Site, move: MovePlan): Promise<MoveResult> {
  const from = site.placeOf(move.vm.name);
  let switchMs = 0;
  const traffic = await underTraffic(site, move.peer, move.vm, move.tcp, async () => {
    const started = performance.now();
    await site.move(move.vm, move.to);
    switchMs = performance.now() - started;
  });
  return { move, from, switchMs, ...traffic };
}
