/** `?wait=applied&timeout=SECONDS`: an answer that waits until a revision is live. */
import Type from 'typebox';
import type { RealizationSource, RevisionRealization } from '../controller/realization.ts';
import { badRequest } from './problem-details.ts';
import type { Parameter } from './route.ts';

const DEFAULT_SECONDS = 30;
const MAX_SECONDS = 300;

export const WAIT_PARAMETERS: readonly Parameter[] = [
  {
    name: 'wait',
    description: 'Answer only when every host has confirmed it, or the timeout is over: see "realized"',
    schema: Type.Literal('applied'),
  },
  {
    name: 'timeout',
    description: `Seconds to wait at most; default ${DEFAULT_SECONDS}`,
    schema: Type.Number({ minimum: 0, maximum: MAX_SECONDS }),
  },
];

/** The milliseconds to wait; undefined: not at all. Throws `bad-request`. */
export function waitOf(query: Readonly<Record<string, string>>): number | undefined {
  const { wait, timeout } = query;
  if (wait !== undefined && wait !== 'applied')
    throw badRequest(`wait ${JSON.stringify(wait)} is unknown`, 'give "applied", or leave it out');
  if (timeout !== undefined && wait === undefined)
    throw badRequest('a timeout without anything to wait for', 'give wait=applied too');
  const seconds = timeout === undefined ? DEFAULT_SECONDS : Number(timeout);
  if (timeout === '' || !(seconds >= 0 && seconds <= MAX_SECONDS))
    throw badRequest(
      `timeout ${JSON.stringify(timeout)} is not from 0 to ${MAX_SECONDS} seconds`,
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
