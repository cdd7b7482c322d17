/**
 * The patterns that say how a log line looks (ovs-appctl(8), "vlog/set PATTERN"): `%` conversions with
 * optional `-` (left-justified), `0` (zero-padded) and a minimum width, for example `%05N`.
 */
import type { LogLevel } from '../../base/log.ts';

/** Everything that a pattern can show of one message. */
export interface LogRecord {
  readonly program: string;
  /** Name of the thread in parentheses' stead; empty for the main one. */
  readonly thread: string;
  readonly module: string;
  readonly level: LogLevel;
  readonly message: string;
  /** Counts the messages of the thread, from 1. */
  readonly sequence: number;
  /** Milliseconds since the Unix epoch. */
  readonly wall: number;
  /** Milliseconds since the program started. */
  readonly uptime: number;
  readonly pid: number;
  readonly host: string;
  /** The syslog facility, already shifted (RFC 5424, 6.2.1: facility times 8); 0 if none was chosen. */
  readonly facility: number;
}

/** Syslog severities (RFC 5424, table 2) of our levels; `off` never reaches a line. */
export const SYSLOG_SEVERITY: Readonly<Record<LogLevel, number>> = {
  off: 1,
  emer: 1,
  err: 3,
  warn: 4,
  info: 5,
  dbg: 7,
};

/** What `%B` shows as long as nobody chose a facility. */
const FACILITY_LOCAL0 = 16 << 3;
const DEFAULT_TIME = '%Y-%m-%d %H:%M:%S.###';
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const two = (n: number): string => String(n).padStart(2, '0');

/**
 * `strftime` of the C locale for the conversions that log lines use, with `#` for digits of the
 * subsecond (`%S.###` gives milliseconds). What it does not know it leaves as it stands.
 */
export function formatTime(format: string, ms: number, utc: boolean): string {
  // In local time, a date shifted by the zone's offset, read as UTC, has the local fields.
  const d = new Date(utc ? ms : ms - new Date(ms).getTimezoneOffset() * 60_000);
  const hour = d.getUTCHours();
  const text = format.replace(/%(.)/g, (whole, c: string) => {
    switch (c) {
      case 'Y':
        return String(d.getUTCFullYear());
      case 'y':
        return two(d.getUTCFullYear() % 100);
      case 'm':
        return two(d.getUTCMonth() + 1);
      case 'd':
        return two(d.getUTCDate());
      case 'e':
        return String(d.getUTCDate()).padStart(2, ' ');
      case 'H':
        return two(hour);
      case 'I':
        return two(hour % 12 || 12);
      case 'p':
        return hour < 12 ? 'AM' : 'PM';
      case 'M':
        return two(d.getUTCMinutes());
      case 'S':
        return two(d.getUTCSeconds());
      case 'F':
        return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
      case 'T':
        return `${two(hour)}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
      case 'j':
        return String(Math.floor((d.getTime() - Date.UTC(d.getUTCFullYear(), 0)) / 86_400_000) + 1).padStart(
          3,
          '0',
        );
      case 'a':
        return WEEKDAYS[d.getUTCDay()].slice(0, 3);
      case 'A':
        return WEEKDAYS[d.getUTCDay()];
      case 'b':
        return MONTHS[d.getUTCMonth()].slice(0, 3);
      case 'B':
        return MONTHS[d.getUTCMonth()];
      case 's':
        return String(Math.floor(ms / 1000));
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case '%':
        return '%';
      default:
        return whole;
    }
  });
  const subsecond = String(((Math.floor(ms) % 1000) + 1000) % 1000).padStart(3, '0');
  return text.replace(/#+/g, (run) => subsecond.padEnd(run.length, '0').slice(0, run.length));
}

/** The conversions that may be followed by an argument in braces. */
const TAKES_BRACES = 'cdD';

function convert(letter: string, argument: string | undefined, r: LogRecord): string {
  switch (letter) {
    case 'A':
      return r.program;
    case 'B':
      return String((r.facility || FACILITY_LOCAL0) + SYSLOG_SEVERITY[r.level]);
    case 'c':
      return r.module;
    case 'd':
      return formatTime(argument ?? DEFAULT_TIME, r.wall, false);
    case 'D':
      return formatTime(argument ?? DEFAULT_TIME, r.wall, true);
    case 'E':
      return r.host;
    case 'm':
      return r.message.replace(/\n+$/, '');
    case 'N':
      return String(r.sequence);
    case 'n':
      return '\n';
    case 'p':
      return r.level.toUpperCase();
    case 'P':
      return String(r.pid);
    case 'r':
      return String(Math.floor(r.uptime));
    case 't':
      return r.thread || 'main';
    case 'T':
      return r.thread && `(${r.thread})`;
    default:
      return letter;
  }
}

/** A pattern that is read once and applied to many records. */
export function compilePattern(pattern: string): (record: LogRecord) => string {
  const parts: ((r: LogRecord) => string)[] = [];
  const conversion = /%(-?)(0?)(\d*)([\s\S]?)/y;
  let at = 0;
  while (at < pattern.length) {
    const percent = pattern.indexOf('%', at);
    const literal = pattern.slice(at, percent < 0 ? pattern.length : percent);
    if (literal !== '') parts.push(() => literal);
    if (percent < 0) break;
    conversion.lastIndex = percent;
    const [whole, left, zero, digits, letter] = conversion.exec(pattern)!;
    at = percent + whole.length;
    let argument: string | undefined;
    if (TAKES_BRACES.includes(letter) && letter !== '' && pattern[at] === '{') {
      const close = pattern.indexOf('}', at);
      argument = pattern.slice(at + 1, close < 0 ? pattern.length : close);
      at = close < 0 ? pattern.length : close + 1;
    }
    // Nobody wants lines of gigabytes: the width is bounded, as the line is.
    const width = Math.min(Number(digits || 0), 1024);
    const pad = zero === '' ? ' ' : '0';
    parts.push((r) => {
      const text = convert(letter, argument, r);
      return left === '' ? text.padStart(width, pad) : text.padEnd(width, pad);
    });
  }
  return (record) => parts.map((p) => p(record)).join('');
}
