/** Moments of a database file as people name them. */
import { WeftError } from '../../base/errors.ts';

/** A record by its number, a time in milliseconds since the Unix epoch, or where the file ends. */
export type Moment =
  | { readonly kind: 'record'; readonly number: number }
  | { readonly kind: 'time'; readonly time: number }
  | { readonly kind: 'end' };

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const RECORD = /^#?([0-9]{1,15})$/;
const AGO = /^([0-9]{1,9})([smhd])(?: ago)?$/;
const CLOCK = /^([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?$/;
const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}.*)?$/;

function timeOf(text: string, now: number): number {
  const [, amount, unit] = AGO.exec(text) ?? [];
  if (amount !== undefined) return now - Number(amount) * UNITS[unit];
  const [, hours, minutes, seconds] = CLOCK.exec(text) ?? [];
  if (hours !== undefined)
    return new Date(now).setHours(Number(hours), Number(minutes), Number(seconds ?? 0), 999);
  // Without a zone it is local time, a date alone as well.
  return DATE.test(text)
    ? Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T'))
    : Number.NaN;
}

/**
 * "3" or "#3" (a record), "5m" (ago; s, m, h, d), "17:30" (today), "2026-11-28 17:30" (local time, or with a zone),
 * "start", "end". Throws `WeftError` "bad-moment".
 *
 * @param now milliseconds since the Unix epoch
 */
export function parseMoment(text: string, now: number): Moment {
  if (text === 'start') return { kind: 'record', number: 0 };
  if (text === 'end' || text === 'now') return { kind: 'end' };
  const number = RECORD.exec(text)?.[1];
  if (number !== undefined) return { kind: 'record', number: Number(number) };
  const time = timeOf(text, now);
  if (!Number.isNaN(time)) return { kind: 'time', time };
  throw new WeftError('bad-moment', `"${text}" is no moment`, {
    remedy:
      'write a record number, a time ("2026-11-28 17:30", "17:30"), how long ago ("90s", "5m", "2h", "1d"), start or end',
  });
}

/** Local time to the millisecond, "2026-11-28 17:30:01.250". */
export function formatTime(time: number): string {
  const date = new Date(time);
  const two = (n: number): string => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${day} ${clock}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
