import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import { DAEMON_OPTIONS, formatOptions, type OptionSpec, parseArguments } from './options.ts';

const SPECS: readonly OptionSpec[] = [
  ...DAEMON_OPTIONS,
  { name: 'remote', value: 'required', help: '' },
  { name: 'run', value: 'required', help: '' },
];

const parse = (line: string): [string, string | undefined][] =>
  parseArguments(line.split(' '), SPECS).options.map((o) => [o.name, o.value]);

test('options and words in any order', () => {
  const { options, positional } = parseArguments(
    ['db', '--pidfile', '--remote=punix:a', '--remote', 'ptcp:0', '-vconsole:off', '-v', '--', '--detach'],
    SPECS,
  );
  assert.deepEqual(positional, ['db', '--detach']);
  assert.deepEqual(
    options.map((o) => [o.name, o.value]),
    [
      ['pidfile', undefined],
      ['remote', 'punix:a'],
      ['remote', 'ptcp:0'],
      ['verbose', 'console:off'],
      ['verbose', undefined],
    ],
  );
});

test('an optional value must be attached', () => {
  assert.deepEqual(parse('--log-file=a=b --log-file x'), [
    ['log-file', 'a=b'],
    ['log-file', undefined],
  ]);
});

test('abbreviations and clusters', () => {
  assert.deepEqual(parse('--det --rem x -Vh'), [
    ['detach', undefined],
    ['remote', 'x'],
    ['version', undefined],
    ['help', undefined],
  ]);
  assert.throws(
    () => parse('--syslog x'),
    /option '--syslog' is ambiguous; possibilities: '--syslog-method' '--syslog-target'/,
  );
});

test('wrong options say which', () => {
  assert.throws(() => parse('--frob'), /unrecognized option '--frob'/);
  assert.throws(() => parse('--detach=1'), /'--detach' doesn't allow an argument/);
  assert.throws(() => parse('--remote'), /'--remote' requires an argument/);
  assert.throws(() => parse('-q'), /invalid option -- 'q'/);
});

test('no command line does more than throw bad-option', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('--', '-', '--r', '-v', '--remote', '--pidfile=')), {
        maxLength: 8,
      }),
      (argv) => {
        try {
          parseArguments(argv, SPECS);
        } catch (error) {
          assert.ok(error instanceof WeftError && error.code === 'bad-option', String(error));
        }
      },
    ),
  );
});

test('every option is in the usage text', () => {
  const text = formatOptions(DAEMON_OPTIONS);
  for (const o of DAEMON_OPTIONS) assert.ok(text.includes(`--${o.name}`));
});
