/** Where log lines end: the console, the log file, the syslog daemon. None of them ever throws at a writer. */
import { createSocket } from 'node:dgram';
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import { strerror } from '../../sys/libc.ts';
import { UnixDatagram } from '../../sys/unix-datagram.ts';
import { formatTime } from './vlog-pattern.ts';

/** Takes finished lines. */
export interface LogSink {
  /** What the sink puts before each line, as a pattern; for `vlog/list-pattern`. */
  readonly prefix: string;
  /** `priority`: syslog facility | severity; only syslog looks at it. */
  write(line: string, priority: number): void;
}

/** Drops everything. */
export const nullSink: LogSink = { prefix: '', write() {} };

/** Writes to standard error. Whoever reads it slowly, or left, does not stop the daemon. */
export const consoleSink: LogSink = {
  prefix: 'none',
  write(line) {
    writeAll(2, line);
  },
};

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  } catch {
    // A full disk or a closed pipe: there is nowhere left to complain to.
  }
}

/** The reason of a failed file operation in the C library's words ("No such file or directory"). */
export function reasonOf(error: unknown): string {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  if (typeof errno === 'number') return strerror(Math.abs(errno));
  return error instanceof Error ? error.message : String(error);
}

/** The log file: at most one at a time. */
export class LogFile {
  private fd: number | undefined;
  private current: string | undefined;

  get isOpen(): boolean {
    return this.fd !== undefined;
  }

  /** The file used last, open or not. */
  get path(): string | undefined {
    return this.current;
  }

  /**
   * Opens `path` for appending. `same` says that it is the file already in use; else `install()`
   * makes it the log file. Throws an Error whose message is the system's reason.
   */
  prepare(path: string): { same: boolean; install(): void } {
    let fd: number;
    try {
      fd = openSync(path, 'a', 0o660);
    } catch (error) {
      throw new Error(reasonOf(error), { cause: error });
    }
    if (this.fd !== undefined) {
      const [old, fresh] = [fstatSync(this.fd), fstatSync(fd)];
      if (old.dev === fresh.dev && old.ino === fresh.ino) {
        closeSync(fd);
        return { same: true, install() {} };
      }
    }
    return {
      same: false,
      install: () => {
        this.close();
        this.fd = fd;
        this.current = path;
      },
    };
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  write(line: string): void {
    if (this.fd !== undefined) writeAll(this.fd, line);
  }
}

/** How long a syslog daemon that did not answer is left alone. */
const RETRY_MS = 5000;

/** Sends `<priority>line` to a unix datagram socket; opens it at the first line, and again after a failure. */
class UnixSyslog implements LogSink {
  readonly prefix: string;
  private readonly path: string;
  private readonly clock: Clock;
  private readonly header: () => string;
  private socket: UnixDatagram | undefined;
  private notBefore = Number.NEGATIVE_INFINITY;

  constructor(path: string, clock: Clock, prefix: string, header: () => string) {
    this.path = path;
    this.clock = clock;
    this.prefix = prefix;
    this.header = header;
  }

  write(line: string, priority: number): void {
    if (this.socket === undefined && this.clock.now() < this.notBefore) return;
    try {
      this.socket ??= UnixDatagram.connect(this.path);
      this.socket.send(Buffer.from(`<${priority}>${this.header()}${line}`));
    } catch {
      this.socket?.close();
      this.socket = undefined;
      this.notBefore = this.clock.now() + RETRY_MS;
    }
  }
}

/** Splits `IP:PORT` (an IPv6 address in brackets). */
function ipPort(target: string, option: string): { host: string; port: number } {
  const m = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):(\d+)$/.exec(target);
  const port = Number(m?.[3]);
  if (m === null || !(port > 0 && port < 65536)) {
    throw new WeftError('bad-option', `${option}: "${target}" is not IP:PORT`);
  }
  return { host: m[1] ?? m[2], port };
}

/** Sends each line as one UDP datagram. The socket never keeps the process alive. */
export function udpSink(
  target: string,
  option: string,
  format: (line: string, priority: number) => string,
  prefix: string,
): LogSink {
  const { host, port } = ipPort(target, option);
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.unref();
  return { prefix, write: (line, priority) => socket.send(format(line, priority), port, host, () => {}) };
}

/** The syslog sink of `--syslog-method`: "null", "libc" (the local daemon), "unix:FILE", "udp:IP:PORT". */
export function syslogSink(method: string, program: string, clock: Clock): LogSink {
  if (method === 'null') return nullSink;
  if (method === 'libc') {
    const header = (): string => `${formatTime('%b %e %T', clock.wall(), false)} ${program}: `;
    return new UnixSyslog('/dev/log', clock, '<%B> %D{%h %e %T} %E %A:', header);
  }
  if (method.startsWith('unix:')) return new UnixSyslog(method.slice(5), clock, '<%B>', () => '');
  if (method.startsWith('udp:')) {
    return udpSink(method.slice(4), '--syslog-method', (line, priority) => `<${priority}>${line}`, '<%B>');
  }
  throw new WeftError('bad-option', `unsupported syslog method '${method}'`);
}
