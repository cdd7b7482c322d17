import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../base/errors.ts';
import { type CommandEntry, editDistance, nearest, runCommand } from './command.ts';

function harness() {
  const said = { out: '', err: '' };
  const io = {
    out: (t: string) => {
      said.out += t;
    },
    err: (t: string) => {
      said.err += t;
    },
  };
  const entry = (name: string, run: (args: readonly string[]) => Promise<number>): CommandEntry => ({
    name,
    summary: `does ${name}`,
    load: async () => ({ run }),
  });
  const commands = [
    entry('doctor', async (args) => {
      io.out(`doctor ${args.join('+')}\n`);
      return 3;
    }),
    entry('switch', async () => {
      throw new WeftError('no-root', 'not root', { remedy: 'become root' });
    }),
    entry('broken', async () => {
      throw new TypeError('oops');
    }),
  ];
  return {
    said,
    run: (...args: string[]) => runCommand(commands, args, io, (json) => (json ? '{}\n' : 'weft 1\n')),
  };
}

test('a command gets its arguments and gives the exit code', async () => {
  const { said, run } = harness();
  assert.equal(await run('doctor', 'a', '--json'), 3);
  assert.equal(said.out, 'doctor a+--json\n');
  assert.equal(await run('help', 'doctor'), 3);
  assert.match(said.out, /doctor --help\n$/);
});

test('help and version', async () => {
  const { said, run } = harness();
  assert.equal(await run('--help'), 0);
  assert.match(said.out, /^usage: weft COMMAND/);
  assert.match(said.out, /\n {2}doctor {3}does doctor\n/);
  assert.equal(await run('version', '--json'), 0);
  assert.match(said.out, /\{\}\n$/);
  assert.equal(await run(), 2);
  assert.match(said.err, /^usage/);
});

test('an unknown command suggests the near name', async () => {
  const { said, run } = harness();
  assert.equal(await run('docotr'), 2);
  assert.equal(
    said.err,
    'weft: no command "docotr"; did you mean "doctor"?\nweft: "weft --help" lists the commands\n',
  );
  assert.equal(nearest('swi', ['doctor', 'switch']), 'switch');
  assert.equal(nearest('xyzzy', ['doctor', 'switch']), undefined);
  assert.equal(nearest('x'.repeat(1e6), ['doctor']), undefined);
});

test('errors tell what to do; bugs say that they are', async () => {
  const { said, run } = harness();
  assert.equal(await run('switch'), 1);
  assert.equal(said.err, 'weft switch: not root\nweft switch: become root\n');
  assert.equal(await run('broken'), 70);
  assert.match(said.err, /weft broken: unexpected error, this is a bug: TypeError: oops/);
});

test('the edit distance is a metric', () => {
  assert.deepEqual(
    [editDistance('', 'abc'), editDistance('ab', 'ba'), editDistance('kitten', 'sitting')],
    [3, 1, 3],
  );
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.equal(editDistance(a, b) === 0, a === b);
      assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    }),
  );
});
