/** Severities, most severe first, as Open vSwitch names them. */
export const LOG_LEVELS = ['off', 'emer', 'err', 'warn', 'info', 'dbg'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * What one module writes its log lines to. Expensive messages are given as functions, called only
 * if somebody listens. A message is one line: what happened, where, which value, what to do.
 */
export interface ModuleLog {
  emer(message: string | (() => string)): void;
  err(message: string | (() => string)): void;
  warn(message: string | (() => string)): void;
  info(message: string | (() => string)): void;
  dbg(message: string | (() => string)): void;
  enabled(level: LogLevel): boolean;
  /**
   * The same log, but at most `burst` lines at once and `perMinute` a minute; what is dropped is
   * counted and told with the next line. For messages that a stranger's packet can provoke.
   */
  limited(perMinute: number, burst: number): ModuleLog;
}

/** Gives each module its own named log ("bridge", "ofproto_dpif", "vconn", ...). */
export interface Logger {
  module(name: string): ModuleLog;
}

const silent: ModuleLog = {
  emer() {},
  err() {},
  warn() {},
  info() {},
  dbg() {},
  enabled: () => false,
  limited: () => silent,
};

/** A logger that drops everything. */
export const nullLogger: Logger = { module: () => silent };
