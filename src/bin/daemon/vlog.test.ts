import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../base/clock.ts';
import type { LogLevel } from '../../base/log.ts';
import { Vlog } from './vlog.ts';
import { registerLogCommands } from './vlog-commands.ts';
import { compilePattern, formatTime, type LogRecord } from './vlog-pattern.ts';
import { LogFile, type LogSink } from './vlog-sinks.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-vlog-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function setup(modules: string[] = ['daemon', 'test_unixctl']) {
  const time = { ms: 0 };
  const clock: Clock = {
    now: () => time.ms,
    wall: () => Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    after: () => ({ cancel() {} }),
  };
  const lines: Record<'console' | 'syslog', string[]> = { console: [], syslog: [] };
  const sink = (name: 'console' | 'syslog'): LogSink => ({
    prefix: 'none',
    write: (line, p) => void lines[name].push(p === 0 ? line : `<${p}>${line}`),
  });
  const file = new LogFile();
  const log = new Vlog({
    program: 'ovsdb-server',
    clock,
    pid: 7,
    host: 'h',
    console: sink('console'),
    syslog: sink('syslog'),
    file,
    modules,
  });
  const commands = new Map<string, (args: readonly string[]) => unknown>();
  registerLogCommands(log, { register: (name, _u, _min, _max, handler) => void commands.set(name, handler) });
  return { log, lines, time, call: (name: string, ...args: string[]) => commands.get(name)!(args) };
}

const rows = (text: unknown): string[] =>
  String(text)
    .split('\n')
    .filter((l) => /^(daemon|test_unixctl) /.test(l));

test('lines look as the stock daemons write them', () => {
  const { log, lines } = setup();
  log.openFile(join(dir, 'log'));
  log.module('bridge').info('hello\n');
  log
    .thread('handler1')
    .module('upcall')
    .warn(() => 'late');
  assert.deepEqual(readFileSync(join(dir, 'log'), 'utf8').split('\n'), [
    `2026-01-02T03:04:05.067Z|00001|vlog|INFO|opened log file ${join(dir, 'log')}`,
    '2026-01-02T03:04:05.067Z|00002|bridge|INFO|hello',
    '2026-01-02T03:04:05.067Z|00001|upcall(handler1)|WARN|late',
    '',
  ]);
  assert.equal(lines.console[1], '2026-01-02T03:04:05Z|00002|bridge|INFO|hello\n');
  assert.equal(lines.syslog[1], '<29>ovs|00002|bridge|INFO|hello');
});

test('levels are set by module and destination, and listed', () => {
  const { log, lines, call } = setup();
  log.silenceConsole();
  assert.equal(String(call('vlog/list')).split('\n')[1], '                 -------    ------    ------');
  assert.deepEqual(rows(call('vlog/list')), [
    'daemon             OFF       INFO       INFO',
    'test_unixctl       OFF       INFO       INFO',
  ]);
  call('vlog/set', 'daemon:syslog:err');
  call('vlog/set', 'file:dbg');
  assert.throws(
    () => call('vlog/set', 'nonexistent'),
    /^WeftError: no destination, level, or module "nonexistent"$/,
  );
  assert.deepEqual(rows(call('vlog/list')), [
    'daemon             OFF        ERR        DBG',
    'test_unixctl       OFF       INFO        DBG',
  ]);
  log.module('daemon').warn('x');
  assert.deepEqual(lines.syslog, []);
  call('vlog/set');
  log.module('daemon').dbg('y');
  assert.equal(lines.syslog.length, 1);
  assert.equal(lines.console.length, 1);
});

test('a module that appears later has the levels that were set for all', () => {
  const { log, lines } = setup();
  log.set('console:off');
  log.set('syslog:dbg');
  const late = log.module('late');
  assert.equal(late.enabled('dbg'), true);
  late.dbg('x');
  assert.deepEqual([lines.console.length, lines.syslog.length], [0, 1]);
});

test('a message nobody wants is never made', () => {
  const { log } = setup();
  log.module('daemon').dbg(() => assert.fail('made'));
});

test('wrong specifications get the stock answers', () => {
  const { call } = setup();
  for (const [spec, message] of [
    ['pattern', 'missing destination'],
    ['pattern:nonexistent', 'unknown destination "nonexistent"'],
    ['FACILITY:invalid', 'invalid facility'],
    ['file:console', 'cannot specify multiple destinations'],
    ['dbg:warn', 'cannot specify multiple levels'],
    ['daemon:test_unixctl', 'cannot specify multiple modules'],
  ]) {
    assert.throws(() => call('vlog/set', spec), { code: 'bad-log-spec', message });
  }
  assert.throws(() => call('vlog/reopen'), /Logging to file not configured/);
  assert.throws(() => call('vlog/enable-rate-limit', 'nope'), /unknown module/);
});

test('facility and severity reach %B', () => {
  const { log, lines } = setup();
  log.set('PATTERN:console:<%B>1 %A %m');
  log.module('daemon').info('x');
  log.set('FACILITY:daemon');
  log.module('daemon').info('x');
  log.set('FACILITY:local7');
  log.set('ANY:console:DBG');
  log.module('daemon').dbg('x');
  assert.deepEqual(lines.console, [
    '<133>1 ovsdb-server x\n',
    '<29>1 ovsdb-server x\n',
    '<191>1 ovsdb-server x\n',
  ]);
});

test('a moved log file is reopened, a closed one stays silent', () => {
  const { log, call } = setup();
  const path = join(dir, 'log');
  const text = (file: string): string[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => l.replace(/.*\|/, ''));
  const out = log.module('m');
  log.openFile(path);
  out.info('1');
  renameSync(path, `${path}.old`);
  out.info('2');
  call('vlog/reopen');
  out.info('3');
  assert.deepEqual(text(`${path}.old`).slice(1), ['1', '2', 'closing log file']);
  assert.deepEqual(text(path).slice(1), ['3']);
  call('vlog/close');
  call('vlog/close');
  out.info('4');
  call('vlog/reopen');
  out.info('5');
  assert.deepEqual(
    text(path).filter((l) => l.length === 1),
    ['3', '5'],
  );
  assert.throws(() => log.openFile(join(dir, 'no', 'where')), {
    code: 'log-file',
    message: 'No such file or directory',
  });
});

test('limited logs drop what exceeds their rate, and say so', () => {
  const { log, lines, time, call } = setup();
  const out = log.module('daemon').limited(60, 2);
  for (let i = 0; i < 5; i++) out.warn(`a${i}`);
  time.ms = 1500;
  out.warn('b');
  const said = lines.console.map((l) => l.replace(/.*\|/, '').trim());
  assert.deepEqual(said, [
    'a0',
    'a1',
    'Dropped 3 log messages in last 1 seconds (most recently, 1 seconds ago) due to excessive rate',
    'b',
  ]);
  call('vlog/disable-rate-limit', 'daemon');
  for (let i = 0; i < 5; i++) out.warn(`c${i}`);
  assert.equal(lines.console.length, 9);
  assert.match(rows(call('vlog/list'))[0], / {4}\(rate limiting disabled\)$/);
});

test('patterns are listed', () => {
  const { call } = setup();
  call('vlog/set', 'PATTERN:file:I<3OVS|%m');
  const lines = String(call('vlog/list-pattern')).split('\n');
  assert.equal(lines[2], 'SYSLOG   none                              ovs|%05N|%c%T|%p|%m');
  assert.equal(lines[4], 'FILE     none                              I<3OVS|%m');
});

const RECORD: LogRecord = {
  program: 'p',
  thread: '',
  module: 'mod',
  level: 'warn',
  message: 'msg\n',
  sequence: 42,
  wall: Date.UTC(2026, 10, 20, 1, 2, 3, 4),
  uptime: 1234.5,
  pid: 99,
  host: 'box',
  facility: 0,
};

test('conversions, widths and braces', () => {
  const format = (p: string): string => compilePattern(p)(RECORD);
  assert.equal(format('%-6c|%6c|%06N|%-06p|%%|%q|%'), 'mod   |   mod|000042|WARN00|%|q|');
  assert.equal(
    format('%D{%d %b %e %j %a %I%p .##}|%D|%c{ignored}x'),
    '20 Nov 20 324 Fri 01AM .00|2026-11-20 01:02:03.004|modx',
  );
  assert.equal(format('%t%T%P %r %E %A%n%D{%Y'), 'main99 1234 box p\n2026');
  assert.equal(formatTime('%S.######', 5006, true), '05.006000');
});

test('no pattern and no specification does more than throw bad-log-spec', () => {
  const levels: LogLevel[] = ['emer', 'dbg'];
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const level of levels) compilePattern(text)({ ...RECORD, level });
      const { log } = setup();
      try {
        log.set(text);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'bad-log-spec');
      }
    }),
  );
});
