/** The examples of the documentation, run as they stand. */
import assert from 'node:assert/strict';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Network } from '../network.ts';
import { matches, readExamples } from './doc-blocks.ts';
import { ROOT, systemMissing } from './host.ts';

const MARK = '@@ example';

/** Ends what an example that failed half-way has left running: its pidfiles lie in `dir`. */
function endLeftOvers(dir: string): void {
  for (const file of globSync(join(dir, '**/*.pid'))) {
    try {
      const pid = Number.parseInt(readFileSync(file, 'latin1'), 10);
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      if (command.includes(ROOT)) process.kill(pid, 'SIGKILL');
    } catch {
      // The process is gone, and so perhaps its pidfile.
    }
  }
}

for (const page of ['README.md', ...globSync('docs/*.md', { cwd: ROOT }).sort()]) {
  const examples = readExamples(readFileSync(join(ROOT, page), 'utf8'));
  if (examples.length === 0) continue;
  test(`the examples of ${page}`, { skip: systemMissing('bash') }, async () => {
    const network = new Network();
    const dir = mkdtempSync(join(tmpdir(), 'weft-docs-'));
    // The lab that was started last is the example's, whatever else runs on this machine.
    const env = { TMPDIR: dir, WEFT_LAB_DIR: join(dir, 'labs') };
    const namespace = network.namespace('docs');
    const shell = (script: string) => network.run(namespace, 'bash', ['-c', script], env);
    try {
      const script = [
        'set -e',
        `cd ${ROOT}`,
        ...examples.map(({ line, script: text }) => `echo '${MARK} ${line}'\n${text}`),
        `echo '${MARK} end'`,
      ].join('\n');
      const done = await shell(script);
      const printed = done.stdout.split(new RegExp(`^${MARK} .*\n`, 'm')).slice(1);
      for (const [i, { line, output }] of examples.entries()) {
        assert.ok(
          printed[i + 1] !== undefined,
          `${page}:${line}: failed, having printed:\n${printed[i]}${done.stderr}`,
        );
        if (output !== undefined)
          assert.ok(
            matches(output, printed[i]),
            `${page}:${line}: expected\n${output}\nprinted\n${printed[i]}`,
          );
      }
      assert.equal(done.status, 0);
    } finally {
      if (existsSync(env.WEFT_LAB_DIR)) await shell(`cd ${ROOT}; bin/weft lab down`);
      endLeftOvers(dir);
      network.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

test('an example must print what its page says', () => {
  const [first, second] = readExamples(
    'a\n```sh run\necho 1\n```\n```text output\n1\n```\n```sh\nno\n```\n```sh run\nx\n```\n',
  );
  assert.deepEqual(first, { line: 2, script: 'echo 1', output: '1' });
  assert.deepEqual(second, { line: 11, script: 'x', output: undefined });
  assert.throws(() => readExamples('```sh run\n'), /line 1: this fence is never closed/);
  assert.throws(() => readExamples('```text output\n```\n'), /output without an example/);
  assert.ok(matches('id: ...\n  a b\n', 'id: 4711\n  a b  \n\n'));
  assert.ok(matches('...\nlast', 'one\ntwo\nlast'));
  assert.ok(!matches('id: ...', 'no'));
  assert.ok(!matches('a', 'a\nb'));
});
