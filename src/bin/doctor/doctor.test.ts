import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WeftError } from '../../base/errors.ts';
import { run } from './command.ts';
import { examine, type Finding, formatFindings, type Probe } from './probe.ts';
import { PROBES } from './probes.ts';

const probe = (name: string, group: Probe['group'], fail?: Error): Probe => ({
  name,
  group,
  remedy: `fix ${name}`,
  run() {
    if (fail !== undefined) throw fail;
    return 'seen';
  },
});

function harness() {
  const said = { out: '', err: '' };
  return {
    said,
    io: {
      out: (t: string) => {
        said.out += t;
      },
      err: (t: string) => {
        said.err += t;
      },
    },
  };
}

test('a failing probe tells why and what to do; its own advice wins', async () => {
  const findings = await examine([
    probe('a', 'switch'),
    probe('b', 'fast path', new Error('no b here')),
    probe('c', 'peers', new WeftError('x', 'no c', { remedy: 'buy one' })),
  ]);
  assert.equal(
    formatFindings(findings),
    'Every switch needs:\n  ok       a  seen\n\n' +
      'The fast path in the kernel needs:\n  MISSING  b  no b here\n              -> fix b\n\n' +
      'Tests and comparisons use:\n  MISSING  c  no c\n              -> buy one\n\n' +
      'This machine can run a switch; without: b, c.\n',
  );
});

test('the exit code says whether a switch can run', async () => {
  const { io, said } = harness();
  assert.equal(await run([], io, [probe('a', 'switch'), probe('b', 'tunnels', new Error('x'))]), 0);
  assert.equal(await run([], io, [probe('a', 'switch', new Error('x'))]), 1);
  assert.match(said.out, /cannot run a switch yet: a\.\n$/);
  assert.equal(await run(['--help'], io), 0);
  assert.equal(await run(['extra'], io), 2);
  await assert.rejects(run(['--jsom'], io), { code: 'bad-option' });
});

test('the probes really run, find the same twice, and leave nothing behind', async () => {
  const before = Object.keys(networkInterfaces()).sort();
  const ask = async (): Promise<Finding[]> => {
    const { io, said } = harness();
    await run(['--json'], io);
    return JSON.parse(said.out) as Finding[];
  };
  const findings = await ask();
  assert.deepEqual(
    findings.map((f) => f.name),
    PROBES.map((p) => p.name),
  );
  assert.deepEqual(
    (await ask()).map((f) => f.ok),
    findings.map((f) => f.ok),
  );
  assert.deepEqual(Object.keys(networkInterfaces()).sort(), before);
  for (const f of findings) assert.equal(f.ok, f.remedy === '', f.name);
});

test('bin/weft works from anywhere, through a link', () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-bin-'));
  try {
    const link = join(dir, 'weft');
    symlinkSync(join(import.meta.dirname, '../../../bin/weft'), link);
    const weft = (...args: string[]) => spawnSync(link, args, { cwd: dir, encoding: 'utf8' });
    assert.match(weft('--version').stdout, /^weft \d+\.\d+\.\d+\nnode \d+/);
    assert.match(weft('--help').stdout, /\n {2}doctor {3}/);
    const wrong = weft('docter');
    assert.deepEqual(
      [wrong.status, wrong.stderr.split('\n')[0]],
      [2, 'weft: no command "docter"; did you mean "doctor"?'],
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
