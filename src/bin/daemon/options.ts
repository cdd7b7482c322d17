/**
 * Command lines as GNU `getopt_long` reads them: options and other words in any order, `--name=value`,
 * `--name value` where a value is required, unambiguous abbreviations, clustered short options, `--`.
 */
import { WeftError } from '../../base/errors.ts';

/** One option that a program takes. */
export interface OptionSpec {
  readonly name: string;
  /** One letter, without its dash. */
  readonly short?: string;
  /** Whether a value follows; an optional one must be attached (`--pidfile=F`, `-vSPEC`). */
  readonly value: 'none' | 'required' | 'optional';
  /** How the usage text names the value. */
  readonly valueName?: string;
  /** What the usage text says of the option. */
  readonly help: string;
}

/** One option as it was given. */
export interface GivenOption {
  readonly name: string;
  readonly value: string | undefined;
}

export interface ParsedArguments {
  /** In the order given: later ones may override earlier ones, or add to them. */
  readonly options: readonly GivenOption[];
  readonly positional: readonly string[];
}

const bad = (message: string): WeftError =>
  new WeftError('bad-option', message, { remedy: 'use --help for usage' });

function findLong(name: string, specs: readonly OptionSpec[]): OptionSpec {
  const exact = specs.find((s) => s.name === name);
  if (exact !== undefined) return exact;
  const matches = specs.filter((s) => s.name.startsWith(name));
  if (matches.length === 1) return matches[0];
  if (matches.length === 0) throw bad(`unrecognized option '--${name}'`);
  throw bad(
    `option '--${name}' is ambiguous; possibilities: ${matches.map((s) => `'--${s.name}'`).join(' ')}`,
  );
}

/** Reads `argv` (without the program's name). Throws `bad-option` with the message that getopt would print. */
export function parseArguments(argv: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const options: GivenOption[] = [];
  const positional: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === '--') {
      positional.push(...argv.slice(i + 1));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const spec = findLong(equals < 0 ? word.slice(2) : word.slice(2, equals), specs);
      let value = equals < 0 ? undefined : word.slice(equals + 1);
      if (value !== undefined && spec.value === 'none') {
        throw bad(`option '--${spec.name}' doesn't allow an argument`);
      }
      if (value === undefined && spec.value === 'required') {
        if (i + 1 >= argv.length) throw bad(`option '--${spec.name}' requires an argument`);
        value = argv[++i];
      }
      options.push({ name: spec.name, value });
    } else if (word.startsWith('-') && word.length > 1) {
      for (let at = 1; at < word.length; at++) {
        const spec = specs.find((s) => s.short === word[at]);
        if (spec === undefined) throw bad(`invalid option -- '${word[at]}'`);
        if (spec.value === 'none') {
          options.push({ name: spec.name, value: undefined });
          continue;
        }
        let value: string | undefined = word.slice(at + 1);
        if (value === '') {
          value = undefined;
          if (spec.value === 'required') {
            if (i + 1 >= argv.length) throw bad(`option requires an argument -- '${word[at]}'`);
            value = argv[++i];
          }
        }
        options.push({ name: spec.name, value });
        break;
      }
    } else positional.push(word);
  }
  return { options, positional };
}

/** The options that every daemon takes, in the order in which usage prints them. */
export const DAEMON_OPTIONS: readonly OptionSpec[] = [
  { name: 'detach', value: 'none', help: 'run in background as daemon' },
  { name: 'monitor', value: 'none', help: 'keep a process that restarts this daemon when it crashes' },
  { name: 'no-chdir', value: 'none', help: "with --detach, do not change to '/'" },
  { name: 'pidfile', value: 'optional', valueName: 'FILE', help: 'write the process id to FILE' },
  { name: 'overwrite-pidfile', value: 'none', help: 'with --pidfile, start even if already running' },
  { name: 'user', value: 'required', valueName: 'USER[:GROUP]', help: 'run as that user' },
  { name: 'no-self-confinement', value: 'none', help: 'accepted for compatibility' },
  { name: 'verbose', short: 'v', value: 'optional', valueName: 'SPEC', help: 'set logging levels' },
  { name: 'log-file', value: 'optional', valueName: 'FILE', help: 'log to FILE as well' },
  {
    name: 'syslog-method',
    value: 'required',
    valueName: '(null|libc|unix:FILE|udp:IP:PORT)',
    help: 'how to reach the syslog daemon',
  },
  {
    name: 'syslog-target',
    value: 'required',
    valueName: 'IP:PORT',
    help: 'also send syslog messages by UDP',
  },
  {
    name: 'unixctl',
    value: 'required',
    valueName: 'SOCKET',
    help: 'override the control socket; "none" for none',
  },
  { name: 'help', short: 'h', value: 'none', help: 'display this help message' },
  { name: 'version', short: 'V', value: 'none', help: 'display version information' },
];

/** One usage line an option: flags, then what it does. */
export function formatOptions(specs: readonly OptionSpec[]): string {
  const rows = specs.map((s) => {
    const value = s.valueName ?? 'VALUE';
    const long = `--${s.name}${s.value === 'none' ? '' : s.value === 'required' ? `=${value}` : `[=${value}]`}`;
    return [`  ${s.short === undefined ? '' : `-${s.short}, `}${long}`, s.help] as const;
  });
  return rows
    .map(([flags, help]) =>
      flags.length > 28 ? `${flags}\n${' '.repeat(30)}${help}` : flags.padEnd(30) + help,
    )
    .join('\n');
}
