/** `?wait=applied&timeout=SECONDS`: an answer that waits until a revision is live. */
import Type from 'typebox';
import type { Clock } from '../base/clock.ts';
import type { RealizationSource, RevisionRealization } from '../controller/realization.ts';
import { badRequest } from './problem-details.ts';
import type { Parameter } from './route.ts';

const DEFAULT_SECONDS = 30;
export const MAX_WAIT_S = 300;

/** How often an object is looked at that should become realized. */
const LOOK_MS = 50;

const TIMEOUT: Parameter = {
  name: 'timeout',
  description: `Seconds to wait at most; default ${DEFAULT_SECONDS}`,
  schema: Type.Number({ minimum: 0, maximum: MAX_WAIT_S }),
};

/** Of writes. */
export const WAIT_PARAMETERS: readonly Parameter[] = [
  {
    name: 'wait',
    description: 'Answer only when every host has confirmed it, or the timeout is over: see "realized"',
    schema: Type.Literal('applied'),
  },
  TIMEOUT,
];

/** Of an object that is read. */
export const REALIZED_PARAMETERS: readonly Parameter[] = [
  {
    name: 'wait',
    description: 'Answer only when the object is realized, or the timeout is over',
    schema: Type.Literal('realized'),
  },
  TIMEOUT,
];

/** The milliseconds to wait; undefined: not at all. Throws `bad-request`. */
export function waitOf(
  query: Readonly<Record<string, string>>,
  known: 'applied' | 'realized' = 'applied',
): number | undefined {
  const { wait, timeout } = query;
  if (wait !== undefined && wait !== known)
    throw badRequest(`wait ${JSON.stringify(wait)} is unknown`, `give "${known}", or leave it out`);
  if (timeout !== undefined && wait === undefined)
    throw badRequest('a timeout without anything to wait for', `give wait=${known} too`);
  const seconds = timeout === undefined ? DEFAULT_SECONDS : Number(timeout);
  if (timeout === '' || !(seconds >= 0 && seconds <= MAX_WAIT_S))
    throw badRequest(
      `timeout ${JSON.stringify(timeout)} is not from 0 to ${MAX_WAIT_S} seconds`,
      'give less, and ask for the revision again',
    );
  return wait === undefined ? undefined : seconds * 1000;
}

/** Waits for a revision if the query says so. */
export async function settle(
  source: RealizationSource,
  revision: number,
  query: Readonly<Record<string, string>>,
): Promise<RevisionRealization> {
  const ms = waitOf(query);
  return ms === undefined ? source.revision(revision) : source.settled(revision, ms);
}

/** Resolves when `done` says so, or after `ms`: what makes an object realized (a VIF that appears) is no write. */
export async function until(clock: Clock, ms: number, done: () => boolean): Promise<void> {
  const end = clock.now() + ms;
  while (!done()) {
    const left = end - clock.now();
    if (left <= 0) return;
    await new Promise<void>((resolve) => {
      clock.after(Math.min(LOOK_MS, left), resolve);
    });
  }
}
