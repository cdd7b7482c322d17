/** The demonstration of the plain switch, and how labs are cleaned up. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ROOT, until } from './host.ts';

const skip = process.getuid?.() !== 0 && 'needs root, to make network namespaces';
const weft = join(ROOT, 'bin/weft');

const namespaces = (id: string): string[] => {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(id));
  } catch {
    return [];
  }
};

/** The name of the lab that a report is of. */
const labOf = (report: string): string => /== Lab (weft[0-9a-f]+)/.exec(report)?.[1] ?? assert.fail(report);

/** Starts the demonstration and waits until it stays up, however long that takes. */
async function standing(): Promise<{ child: ChildProcess; report: () => string }> {
  const child = spawn(weft, ['lab', 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let report = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on('data', (text: Buffer) => {
      report += text.toString();
      if (report.includes('In another terminal')) resolve();
    });
    child.on('close', () => reject(new Error(`the lab ended: ${report}`)));
  });
  return { child, report: () => report };
}

const exited = (child: ChildProcess) =>
  until('the lab is down', () => child.exitCode !== null || child.signalCode !== null);

test('the demonstration: every expectation holds, and nothing is left', { skip }, () => {
  const done = spawnSync(weft, ['lab', 'demo', '--once'], { encoding: 'utf8', timeout: 120_000 });
  assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
  assert.match(done.stdout, /All 8 expectations held/);
  assert.match(done.stdout, /vm1 -> vm3: \d+ MB in/);
  assert.match(
    done.stdout,
    /host2 forwards in (the kernel, by eBPF|user space, as the kernel datapath can't run: .)/,
  );
  assert.doesNotMatch(done.stdout, /WRONG/);
  assert.deepEqual(namespaces(labOf(done.stdout)), []);
});

test('the lab stays up for commands until a signal, and is removed then', { skip }, async () => {
  const { child, report } = await standing();
  try {
    const exec = (...args: string[]) => spawnSync(weft, ['lab', 'exec', ...args], { encoding: 'utf8' });
    assert.match(exec('vm1', 'cat', '/proc/net/dev').stdout, /eth0:/);
    assert.match(exec('host1', 'cat', '/proc/net/dev').stdout, /trunk:/);
    assert.match(exec('host2', 'sh', '-c', 'ls $OVS_RUNDIR').stdout, /^db\.sock$/m);
    assert.equal(exec('vm1', 'sh', '-c', 'exit 7').status, 7);
    assert.match(exec('vm9', 'true').stderr, /vm9: not in lab weft[0-9a-f]+/);
    child.kill('SIGINT');
    await exited(child);
    assert.equal(child.exitCode, 0);
    assert.deepEqual(namespaces(labOf(report())), []);
  } finally {
    child.kill('SIGTERM');
  }
});

/** What is pinned for the namespaces of a lab, as long as they are there. */
function pinsOf(id: string): string[] {
  const numbers = namespaces(id).map((name) => `-${statSync(`/run/netns/${name}`).ino}`);
  const pinned = readdirSync('/sys/fs/bpf');
  return pinned.filter((name) => numbers.some((number) => name.endsWith(number)));
}

test('it forwards in user space where that is asked for', { skip }, () => {
  const done = spawnSync(weft, ['lab', 'demo', '--once', '--datapath=netdev'], { encoding: 'utf8' });
  assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
  assert.match(done.stdout, /host1 forwards in user space\n/);
  assert.match(
    spawnSync(weft, ['lab', 'demo', '--datapath=dummy'], { encoding: 'utf8' }).stderr,
    /use system or netdev/,
  );
});

/** As root of a user namespace one may make network namespaces, and load no programs. */
const ROOTLESS = ['-Urmn', 'sh', '-c', 'mount -t tmpfs none /run && exec "$0" "$@"'];

test('without the right to BPF it forwards in user space, and says why', {
  skip: skip || (spawnSync('unshare', [...ROOTLESS, 'true']).status !== 0 && 'kernel lacks user namespaces'),
}, () => {
  const done = spawnSync('unshare', [...ROOTLESS, weft, 'lab', 'demo', '--once'], { encoding: 'utf8' });
  assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
  assert.match(done.stdout, /host1 forwards in user space, as the kernel datapath can't run: .*EPERM/);
  assert.match(done.stdout, /All 8 expectations held/);
});

test('a lab that was killed is cleaned up by the next one', { skip }, async () => {
  const { child, report } = await standing();
  child.kill('SIGKILL');
  await exited(child);
  const id = labOf(report());
  assert.notDeepEqual(namespaces(id), []);
  const pins = pinsOf(id);
  if (/host1 forwards in the kernel/.test(report())) assert.equal(pins.length, 2);
  const clean = spawnSync(weft, ['lab', 'clean'], { encoding: 'utf8' });
  assert.match(clean.stdout, new RegExp(`^${id}: removed$`, 'm'));
  assert.deepEqual(namespaces(id), []);
  const left = readdirSync('/sys/fs/bpf').filter((name) => pins.includes(name));
  assert.deepEqual(left, []);
});

test('without root it says what to do, and exits with 2', { skip }, () => {
  const done = spawnSync(weft, ['lab', 'demo'], { encoding: 'utf8', uid: 65534, gid: 65534 });
  assert.equal(done.status, 2, done.stderr);
  assert.match(done.stderr, /takes root\n.*sudo npm start/);
});
