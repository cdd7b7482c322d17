/**
 * The daemons' log, as Open vSwitch's users know it ("vlog"): every module has a level for each of the
 * three destinations console, syslog and file; each destination has a pattern for its lines.
 *
 *     2026-01-02T03:04:05.678Z|00042|bridge|INFO|bridge br0: added interface p1 on port 1
 *
 * Lines are written synchronously: the line that explains a crash must be in the file.
 */
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import { LOG_LEVELS, type Logger, type LogLevel, type ModuleLog } from '../../base/log.ts';
import { compilePattern, type LogRecord, SYSLOG_SEVERITY } from './vlog-pattern.ts';
import type { LogFile, LogSink } from './vlog-sinks.ts';

/** Where a message can go, in the order of `vlog/list-pattern`. */
export const DESTINATIONS = ['syslog', 'console', 'file'] as const;
export type Destination = (typeof DESTINATIONS)[number];

const DEFAULT_PATTERN: Readonly<Record<Destination, string>> = {
  syslog: 'ovs|%05N|%c%T|%p|%m',
  console: '%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m',
  file: '%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m',
};

/** The line that `--syslog-target` sends (RFC 5424; the byte order mark says that the text is UTF-8). */
const RFC5424_PATTERN = '<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - \ufeff%m';

/** Syslog facilities by name (RFC 5424, table 1), shifted. */
const FACILITIES: Readonly<Record<string, number>> = Object.fromEntries(
  [
    'kern',
    'user',
    'mail',
    'daemon',
    'auth',
    'syslog',
    'lpr',
    'news',
    'uucp',
    'clock',
    'authpriv',
    'ftp',
    'ntp',
    'audit',
    'alert',
    'clock2',
    'local0',
    'local1',
    'local2',
    'local3',
    'local4',
    'local5',
    'local6',
    'local7',
  ].map((name, i) => [name, i << 3]),
);

const FACILITY_DAEMON = FACILITIES.daemon;
const rank = (level: LogLevel): number => LOG_LEVELS.indexOf(level);

interface Module {
  readonly name: string;
  readonly levels: Record<Destination, LogLevel>;
  /** The highest rank that any destination takes: the one comparison of a message that nobody wants. */
  ceiling: number;
  limited: boolean;
}

/** What a log takes from its surroundings. */
export interface VlogOptions {
  readonly program: string;
  readonly clock: Clock;
  readonly pid: number;
  readonly host: string;
  readonly console: LogSink;
  readonly syslog: LogSink;
  readonly file: LogFile;
  /** Modules to know from the start, so that their levels can be set before they first speak. */
  readonly modules?: readonly string[];
}

const invalid = (message: string): WeftError => new WeftError('bad-log-spec', message);

export class Vlog implements Logger {
  private readonly options: VlogOptions;
  private readonly modules = new Map<string, Module>();
  private readonly patterns = new Map<Destination, { text: string; format: (r: LogRecord) => string }>();
  private readonly rfc5424 = compilePattern(RFC5424_PATTERN);
  private readonly sequences = new Map<string, number>();
  private readonly started: number;
  /** Levels that modules which appear later start with. */
  private readonly defaults: Record<Destination, LogLevel> = {
    syslog: 'info',
    console: 'info',
    file: 'info',
  };
  private facility = 0;
  private syslogTarget: LogSink | undefined;
  private readonly own: ModuleLog;

  constructor(options: VlogOptions) {
    this.options = options;
    this.started = options.clock.now();
    for (const d of DESTINATIONS) this.setPattern(d, DEFAULT_PATTERN[d]);
    for (const name of options.modules ?? []) this.find(name);
    this.own = this.module('vlog');
  }

  module(name: string): ModuleLog {
    return this.moduleOf(name, '');
  }

  /** A logger whose lines carry a thread's name, as in `|ofproto_dpif_upcall(handler1)|`. */
  thread(thread: string): Logger {
    return { module: (name) => this.moduleOf(name, thread) };
  }

  private moduleOf(name: string, thread: string): ModuleLog {
    const module = this.find(name);
    return moduleLog(
      (level, message) => {
        if (module.ceiling >= rank(level)) this.write(module, thread, level, message());
      },
      module,
      this.options.clock,
    );
  }

  private find(name: string): Module {
    const key = name.toLowerCase();
    let module = this.modules.get(key);
    if (module === undefined) {
      module = { name, levels: { ...this.defaults }, ceiling: 0, limited: true };
      this.modules.set(key, module);
      this.updateCeiling(module);
    }
    return module;
  }

  private updateCeiling(module: Module): void {
    module.ceiling = Math.max(
      ...DESTINATIONS.map((d) => (d === 'file' && !this.options.file.isOpen ? 0 : rank(module.levels[d]))),
    );
  }

  private updateCeilings(): void {
    for (const module of this.modules.values()) this.updateCeiling(module);
  }

  private write(module: Module, thread: string, level: LogLevel, message: string): void {
    const { options } = this;
    const sequence = (this.sequences.get(thread) ?? 0) + 1;
    this.sequences.set(thread, sequence);
    const record: LogRecord = {
      program: options.program,
      thread,
      module: module.name,
      level,
      message,
      sequence,
      wall: options.clock.wall(),
      uptime: options.clock.now() - this.started,
      pid: options.pid,
      host: options.host,
      facility: this.facility,
    };
    const wanted = (d: Destination): boolean => rank(module.levels[d]) >= rank(level);
    const line = (d: Destination): string => this.patterns.get(d)!.format(record);
    if (wanted('console')) options.console.write(`${line('console')}\n`, 0);
    if (wanted('syslog')) {
      const priority = (this.facility || FACILITY_DAEMON) | SYSLOG_SEVERITY[level];
      for (const part of line('syslog').split('\n')) if (part !== '') options.syslog.write(part, priority);
      this.syslogTarget?.write(this.rfc5424(record), priority);
    }
    if (options.file.isOpen && wanted('file')) options.file.write(`${line('file')}\n`);
  }

  /** Sends a copy of what goes to syslog to `sink`, in RFC 5424 form. */
  setSyslogTarget(sink: LogSink): void {
    this.syslogTarget = sink;
  }

  /** Stops the console, as a daemon does when it leaves its terminal. */
  silenceConsole(): void {
    this.setLevels(undefined, 'console', 'off');
  }

  private setPattern(destination: Destination, text: string): void {
    this.patterns.set(destination, { text, format: compilePattern(text) });
  }

  /** Sets the level of a module (undefined: every one) for a destination (undefined: all). */
  setLevels(module: Module | undefined, destination: Destination | undefined, level: LogLevel): void {
    for (const d of destination === undefined ? DESTINATIONS : [destination]) {
      if (module === undefined) {
        this.defaults[d] = level;
        for (const m of this.modules.values()) m.levels[d] = level;
      } else module.levels[d] = level;
    }
    this.updateCeilings();
  }

  /**
   * Obeys one specification of `-v` or `vlog/set`: `[MODULE][:DESTINATION][:LEVEL]` in any order,
   * `PATTERN:DESTINATION:pattern`, `FACILITY:name`; undefined: everything to `dbg`. Throws
   * `bad-log-spec`, with the message that the stock programs give.
   */
  set(spec: string | undefined): void {
    if (spec === undefined) {
      this.setLevels(undefined, undefined, 'dbg');
      return;
    }
    const separator = /[ ,:\t]+/y;
    let at = 0;
    const next = (): string | undefined => {
      separator.lastIndex = at;
      if (separator.test(spec)) at = separator.lastIndex;
      const start = at;
      while (at < spec.length && !' ,:\t'.includes(spec[at])) at++;
      return at > start ? spec.slice(start, at) : undefined;
    };
    let word = next();
    const upper = word?.toUpperCase();
    if (upper === 'PATTERN') {
      const where = next();
      if (where === undefined) throw invalid('missing destination');
      const targets =
        where.toUpperCase() === 'ANY' ? DESTINATIONS : DESTINATIONS.filter((d) => d === where.toLowerCase());
      if (targets.length === 0) throw invalid(`unknown destination "${where}"`);
      for (const d of targets) this.setPattern(d, spec.slice(at + 1));
      return;
    }
    if (upper === 'FACILITY') {
      const facility = spec.slice(at + 1).toLowerCase();
      if (!Object.hasOwn(FACILITIES, facility)) throw invalid('invalid facility');
      this.facility = FACILITIES[facility];
      return;
    }
    let module: Module | undefined;
    let level: LogLevel | undefined;
    let destination: Destination | undefined;
    for (; word !== undefined; word = next()) {
      const lower = word.toLowerCase();
      if (lower === 'any') continue;
      const asDestination = DESTINATIONS.find((d) => d === lower);
      const asLevel = LOG_LEVELS.find((l) => l === lower);
      const asModule = this.modules.get(lower);
      if (asDestination !== undefined) {
        if (destination !== undefined) throw invalid('cannot specify multiple destinations');
        destination = asDestination;
      } else if (asLevel !== undefined) {
        if (level !== undefined) throw invalid('cannot specify multiple levels');
        level = asLevel;
      } else if (asModule !== undefined) {
        if (module !== undefined) throw invalid('cannot specify multiple modules');
        module = asModule;
      } else throw invalid(`no destination, level, or module "${word}"`);
    }
    this.setLevels(module, destination, level ?? 'dbg');
  }

  /** Starts to log to `path`, or, undefined, to the file used last. Throws the system's error. */
  openFile(path?: string): void {
    const { file } = this.options;
    const target = path ?? file.path;
    if (target === undefined) throw new WeftError('no-log-file', 'Logging to file not configured');
    let opened: { same: boolean; install(): void };
    try {
      opened = file.prepare(target);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.own.warn(`failed to open ${target} for logging: ${reason}`);
      throw new WeftError('log-file', reason, { cause: error });
    }
    if (opened.same) return;
    if (file.isOpen) this.own.info('closing log file');
    opened.install();
    this.updateCeilings();
    this.own.info(`opened log file ${target}`);
  }

  /** Stops logging to the file; `openFile()` goes on with it. */
  closeFile(): void {
    this.options.file.close();
    this.updateCeilings();
  }

  /** Whether `limited` logs of a module (undefined: of all) keep to their limits. */
  setRateLimit(name: string | undefined, on: boolean): void {
    if (name === undefined || name.toUpperCase() === 'ANY') {
      for (const m of this.modules.values()) m.limited = on;
      return;
    }
    const module = this.modules.get(name.toLowerCase());
    if (module === undefined) throw invalid('unknown module');
    module.limited = on;
  }

  /** The table of `vlog/list`. */
  list(): string {
    const rows = [...this.modules.values()].map((m) => {
      const level = (d: Destination): string => m.levels[d].toUpperCase().padStart(4);
      const note = m.limited ? '' : '    (rate limiting disabled)';
      return `${m.name.padEnd(16)}  ${level('console')}       ${level('syslog')}       ${level('file')}${note}\n`;
    });
    rows.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    return `                 console    syslog    file\n                 -------    ------    ------\n${rows.join('')}`;
  }

  /** The table of `vlog/list-pattern`. */
  listPatterns(): string {
    const rows = DESTINATIONS.map((d) => {
      const prefix = d === 'syslog' ? this.options.syslog.prefix : 'none';
      return `${d.toUpperCase().padEnd(7)}  ${prefix.padEnd(32)}  ${this.patterns.get(d)!.text}\n`;
    });
    const title = (a: string, b: string): string => `         ${a}                            ${b}\n`;
    return `${title('prefix', 'format')}${title('------', '------')}${rows.join('')}`;
  }
}

type Emit = (level: LogLevel, message: () => string) => void;

function moduleLog(emit: Emit, module: Module, clock: Clock): ModuleLog {
  const at = (level: LogLevel) => (message: string | (() => string)) =>
    emit(level, typeof message === 'string' ? () => message : message);
  return {
    emer: at('emer'),
    err: at('err'),
    warn: at('warn'),
    info: at('info'),
    dbg: at('dbg'),
    enabled: (level) => module.ceiling >= rank(level),
    limited: (perMinute, burst) => moduleLog(limit(emit, module, clock, perMinute, burst), module, clock),
  };
}

/** Lets a message through while a bucket of `burst` tokens, refilled with `perMinute` a minute, has one. */
function limit(emit: Emit, module: Module, clock: Clock, perMinute: number, burst: number): Emit {
  let tokens = burst;
  let filled = clock.now();
  let dropped = 0;
  let firstDropped = 0;
  let lastDropped = 0;
  return (level, message) => {
    if (!module.limited) return emit(level, message);
    if (module.ceiling < rank(level)) return;
    const now = clock.now();
    tokens = Math.min(burst, tokens + ((now - filled) * perMinute) / 60_000);
    filled = now;
    if (tokens < 1) {
      if (dropped === 0) firstDropped = now;
      lastDropped = now;
      dropped++;
      return;
    }
    tokens--;
    if (dropped > 0) {
      const seconds = (since: number): number => Math.floor((now - since) / 1000);
      const note =
        `Dropped ${dropped} log messages in last ${seconds(firstDropped)} seconds ` +
        `(most recently, ${seconds(lastDropped)} seconds ago) due to excessive rate`;
      dropped = 0;
      emit(level, () => note);
    }
    emit(level, message);
  };
}
