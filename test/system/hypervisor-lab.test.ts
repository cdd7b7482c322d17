/** Labs of files: networks of tenants over hosts whose switches are ours, in the kernel and in user space, or stock. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ROOT, systemMissing } from './host.ts';

const skip = process.getuid?.() !== 0 && 'needs root, to make network namespaces';
const weft = join(ROOT, 'bin/weft');
const LABS = join(ROOT, 'examples/labs');

interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
function run(command: string, args: readonly string[]): Promise<Done> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => {
    stdout += text.toString();
  });
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}

const lab = (...args: readonly string[]): Promise<Done> => run(weft, ['lab', ...args]);

const labOf = (report: string): string => /== Lab (weft[0-9a-f]+)/.exec(report)?.[1] ?? assert.fail(report);

function assertGone(report: string): void {
  const id = labOf(report);
  assert.deepEqual(
    readdirSync('/run/netns').filter((name) => name.startsWith(id)),
    [],
  );
}

function assertHeld({ status, stdout, stderr }: Done): void {
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /All \d+ expectations held/);
  assert.doesNotMatch(stdout, /WRONG|wrong/);
  assertGone(stdout);
}

/** What only the reference lab shows. */
function assertStory(stdout: string): void {
  assert.match(stdout, /red-web1 moved from host1 to host3/);
  assert.match(stdout, /the connection held: \d+ lines went and came back, none lost/);
  assert.match(stdout, /without it everything is as before/);
}

const REFERENCE = join(LABS, 'reference.yaml');

test('npm start -- --once: the reference lab, forwarding in the kernel', { skip }, async () => {
  const done = await run('npm', ['start', '--', '--once']);
  assertHeld(done);
  assertStory(done.stdout);
});

test('the reference lab, forwarding in user space', { skip }, async () => {
  const done = await lab('run', REFERENCE, '--once', '--datapath=netdev');
  assertHeld(done);
  assertStory(done.stdout);
  assert.match(done.stdout, /host1 +172\.31\.0\.1 +forwards in user space;/);
});

test("the reference lab, on Open vSwitch's own daemons", {
  skip: skip || systemMissing('ovs-vswitchd'),
}, async () => {
  const done = await lab('run', REFERENCE, '--once', '--switch=stock');
  assertHeld(done);
  assertStory(done.stdout);
  assert.match(done.stdout, /host1 +172\.31\.0\.1 +forwards by Open vSwitch in user space;/);
});

for (const file of globSync('*.{yaml,ts}', { cwd: LABS }).sort()) {
  if (file === 'reference.yaml') continue;
  test(`examples/labs/${file}`, { skip: skip || systemMissing('ovs-vswitchd') }, async () => {
    assertHeld(await lab('test', join(LABS, file)));
  });
}

test('a lab in the background: up, test, move, shell, down', { skip }, async () => {
  const up = await lab('up', '--detach', join(LABS, 'two-hosts.yaml'));
  assert.equal(up.status, 0, `${up.stdout}${up.stderr}`);
  try {
    assert.match(up.stdout, /every host has confirmed the networks/);
    const tested = await lab('test');
    assert.equal(tested.status, 0, `${tested.stdout}${tested.stderr}`);
    const moved = await lab('move', 'vm1', 'host2');
    assert.equal(moved.status, 0, `${moved.stdout}${moved.stderr}`);
    assert.match(moved.stdout, /vm1 is on host2 now/);
    assert.equal((await lab('test')).status, 0);
    assert.match((await lab('move', 'vm1', 'host7')).stderr, /host7: no host of this lab\n.*host1, host2/);
    assert.match((await lab('move', 'vm7', 'host1')).stderr, /vm7: no machine of this lab/);
    const shell = spawnSync(weft, ['lab', 'shell', 'vm2'], {
      env: { ...process.env, SHELL: '/bin/sh' },
      input: 'cat /proc/net/dev\n',
      encoding: 'utf8',
    });
    assert.match(shell.stdout, /eth0:/);
  } finally {
    const down = await lab('down');
    assert.equal(down.status, 0, down.stderr);
  }
  assertGone(up.stdout);
});

test('a lab file that is wrong is refused before anything is built', { skip }, async () => {
  const { status, stdout, stderr } = await lab('test', join(ROOT, 'package.json'));
  assert.deepEqual([status, stdout], [1, '']);
  assert.match(stderr, /package\.json:\d+:\d+: /);
});
