import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';

const ENTRY = join(import.meta.dirname, 'fixture', 'entry.ts');
const NAME = 'weft-fixture';
let dir = '';
let env: NodeJS.ProcessEnv = {};
/** Processes that a test made, ended afterwards whatever happens. */
const made = new Set<number>();

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-daemon-'));
  env = { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_SYSLOG_METHOD: 'null' };
});
afterEach(async () => {
  if (existsSync(pidfile())) made.add(pidOf());
  for (const pid of made) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already, as it should be.
    }
  }
  made.clear();
  rmSync(dir, { recursive: true, force: true });
});

const pidfile = (): string => join(dir, `${NAME}.pid`);
const pidOf = (): number => Number(readFileSync(pidfile(), 'utf8'));
const run = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [ENTRY, ...args], { cwd: dir, env, encoding: 'utf8', timeout: 20_000 });

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never happened: ${what}`);
}

interface Reply {
  id: number;
  result: string | null;
  error: string | null;
}

/** Sends requests down one connection and collects as many replies. */
async function call(...requests: [method: string, ...params: unknown[]][]): Promise<Reply[]> {
  const socket = createConnection(join(dir, `${NAME}.${pidOf()}.ctl`));
  const replies: Reply[] = [];
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => resolve(replies));
    let text = '';
    socket.on('data', (bytes) => {
      text += String(bytes);
      const lines = text.split(/(?<=\})(?=\{)/);
      if (text.endsWith('}') && lines.length === requests.length) {
        replies.push(...lines.map((l) => JSON.parse(l) as Reply));
        socket.end();
      }
    });
    socket.write(requests.map(([method, ...params], id) => JSON.stringify({ id, method, params })).join(''));
  });
}

test('--detach returns when the daemon answers, and prints nothing but log lines', async () => {
  const started = run('-vconsole:off', '--detach', '--no-chdir', '--pidfile', '--log-file');
  assert.deepEqual([started.status, started.stdout, started.stderr], [0, '', '']);
  const pid = pidOf();
  assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), `${NAME}\n`);
  assert.equal(readlinkSync(`/proc/${pid}/cwd`), dir);
  for (const fd of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), '/dev/null');
  assert.match(readFileSync(join(dir, `${NAME}.log`), 'utf8'), /\|00001\|vlog\|INFO\|opened log file /);
  const [echo, version] = await call(['echo', 'a', 'b'], ['version']);
  assert.deepEqual(echo, { id: 0, result: 'a b\n', error: null });
  assert.equal(version.result, 'weft-fixture 1.2.3\n');
  await call(['exit']);
  await until('the daemon ends', () => !alive(pid));
  assert.deepEqual(readdirSync(dir), [`${NAME}.log`]);
});

test('without --no-chdir the daemon goes to /', async () => {
  assert.equal(run('--detach', '--pidfile').status, 0);
  assert.equal((await call(['cwd']))[0].result, '/\n');
});

test('a second daemon on one pidfile is refused, and the first stays reachable', async () => {
  assert.equal(run('--detach', '--pidfile').status, 0);
  const pid = pidOf();
  const second = run('--detach', '--pidfile', '-vconsole:off');
  assert.deepEqual(
    [second.status, second.stderr],
    [1, `${NAME}: ${pidfile()}: already running as pid ${pid}, aborting\n`],
  );
  assert.equal(pidOf(), pid);
  assert.equal(run('--detach', '--pidfile', '--overwrite-pidfile').status, 0);
  made.add(pid);
  assert.notEqual(pidOf(), pid);
});

test('a stale pidfile is replaced', () => {
  writeFileSync(pidfile(), '1\n');
  assert.equal(run('--detach', '--pidfile').status, 0);
  assert.notEqual(pidOf(), 1);
});

test('start-up errors reach the caller, and leave nothing behind', () => {
  for (const extra of [[], ['--monitor']]) {
    const socket = run('--detach', '--pidfile', '-vconsole:off', '--unixctl=nonexistent/unixctl', ...extra);
    assert.equal(socket.status, 1);
    assert.match(socket.stderr, /could not initialize control socket \(No such file or directory\)/);
    const own = run('--detach', '--pidfile', '--fail', '-vconsole:off', ...extra);
    assert.deepEqual([own.status, own.stderr], [1, `${NAME}: failing as asked\n`]);
  }
  assert.deepEqual(readdirSync(dir), []);
  assert.deepEqual(
    [run('--frob').status, run('--frob').stderr],
    [1, `${NAME}: unrecognized option '--frob'\n`],
  );
  assert.equal(run('-vfrob').stderr, `${NAME}: processing "frob": no destination, level, or module "frob"\n`);
});

test('--version and --help answer and end, also with --detach', () => {
  assert.equal(run('--version', '--detach').stdout, 'weft-fixture 1.2.3\nsecond line\n');
  assert.match(run('--help').stdout, /--pidfile\[=FILE\]/);
});

test('SIGTERM removes the files and is told to the parent', async () => {
  const child = spawn(process.execPath, [ENTRY, '--pidfile', '-vconsole:off'], {
    cwd: dir,
    env,
    stdio: 'ignore',
  });
  made.add(child.pid!);
  const ended = new Promise((resolve) => child.on('exit', (_code, signal) => resolve(signal)));
  await until('the control socket exists', () => existsSync(join(dir, `${NAME}.${child.pid}.ctl`)));
  assert.equal(pidOf(), child.pid);
  // The handlers stand before the socket does, so the signal cannot come too early.
  child.kill('SIGTERM');
  assert.equal(await ended, 'SIGTERM');
  assert.deepEqual(readdirSync(dir), []);
});

test('--monitor starts a crashed daemon again, and ends with one that was told to', async () => {
  assert.equal(
    run('--detach', '--no-chdir', '--pidfile', '--log-file', '--monitor', '-vconsole:off').status,
    0,
  );
  const first = pidOf();
  const monitor = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${first}/status`, 'utf8'))![1]);
  made.add(monitor);
  process.kill(first, 'SIGSEGV');
  await until('another daemon runs', () => existsSync(pidfile()) && pidOf() !== first && pidOf() > 0);
  const second = pidOf();
  assert.match(readFileSync(`/proc/${second}/status`, 'utf8'), new RegExp(`^PPid:\\s+${monitor}$`, 'm'));
  await until('it listens', () => existsSync(join(dir, `${NAME}.${second}.ctl`)));
  assert.match(
    readFileSync(join(dir, `${NAME}.log`), 'utf8'),
    new RegExp(`\\|ERR\\|1 crashes: pid ${first} died, killed \\(SIGSEGV\\), restarting`),
  );
  process.kill(second, 'SIGTERM');
  await until('both are gone', () => !alive(second) && !alive(monitor));
  assert.equal(existsSync(pidfile()), false);
});

test('replies come in order, one at a time, whatever the command does', async () => {
  assert.equal(run('--detach', '--no-chdir', '--pidfile', '--log-file').status, 0);
  const replies = await call(
    ['sleep', '50'],
    ['echo', 'x'],
    ['refuse'],
    ['nope'],
    ['echo'],
    ['version', 'x'],
    ['echo', 7],
    ['bug'],
    ['coverage/read-counter', 'nope'],
    ['coverage/read-counter', 'fixture_started'],
    ['memory/show'],
  );
  assert.deepEqual(
    replies.map((r) => r.id),
    replies.map((_, i) => i),
  );
  assert.deepEqual(
    replies.map((r) => r.result ?? r.error),
    [
      'slept 50\n',
      'x\n',
      'refused\n',
      '"nope" is not a valid command (use "list-commands" to see a list of valid commands)\n',
      '"echo" command requires at least 1 arguments\n',
      '"version" command takes at most 0 arguments\n',
      '"echo" command has non-string argument\n',
      'a bug\n',
      'No such counter\n',
      '1\n',
      'things:3\n',
    ],
  );
  assert.match(
    readFileSync(join(dir, `${NAME}.log`), 'utf8'),
    /\|unixctl\|ERR\|command "bug" failed unexpectedly: TypeError: a bug/,
  );
});

test('garbage on the control socket costs its connection and nothing else', async () => {
  assert.equal(run('--detach', '--no-chdir', '--pidfile', '--log-file').status, 0);
  for (const garbage of [
    'hello',
    '{"id":1}',
    '{]}',
    '{"id":null,"method":"version","params":[]}',
    '"x"',
    '{"\xff',
  ]) {
    const socket = createConnection(join(dir, `${NAME}.${pidOf()}.ctl`));
    const closed = new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (b) => {
        text += String(b);
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(text));
    });
    socket.write(Buffer.from(garbage, 'latin1'));
    if (garbage.endsWith('\xff')) socket.end('"}');
    assert.equal(await closed, '', garbage);
  }
  assert.equal((await call(['echo', 'alive']))[0].result, 'alive\n');
});

const appctl = spawnSync('ovs-appctl', ['--version']).error === undefined;
test('the stock ovs-appctl finds the daemon by its pidfile', {
  skip: !appctl && 'needs ovs-appctl (scripts/setup.sh --peers)',
}, () => {
  assert.equal(run('--detach', '--no-chdir', '--pidfile').status, 0);
  const ask = (...args: string[]): string[] => {
    const done = spawnSync('ovs-appctl', ['-t', NAME, ...args], { env, encoding: 'utf8', timeout: 10_000 });
    return [done.stdout, done.stderr];
  };
  assert.deepEqual(ask('echo', 'a', 'b'), ['a b\n', '']);
  assert.deepEqual(ask('refuse'), ['', `refused\novs-appctl: ${NAME}: server returned an error\n`]);
  assert.deepEqual(ask('time/stop'), ['', '']);
  assert.deepEqual(ask('time/warp', '1000', '100'), ['warped\n', '']);
  assert.match(ask('list-commands')[0], /^The available commands are:\n {2}bug {21}\n/);
});
