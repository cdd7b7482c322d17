import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import { followCertificates } from './certificates.ts';

test('files that changed are read anew, also after they were of no use, until it ends', () => {
  const clock = new ManualClock();
  const errors: string[] = [];
  const log = {
    ...nullLogger.module('api'),
    err: (text: string | (() => string)) => void errors.push(String(text)),
  };
  let files = 'first';
  const read: string[] = [];
  const stop = followCertificates(
    clock,
    log,
    () => files,
    () => {
      if (files === 'broken') throw new Error('no PEM');
      read.push(files);
    },
  );
  clock.advance(30_000);
  assert.deepEqual(read, []);
  files = 'second';
  clock.advance(10_000);
  files = 'broken';
  clock.advance(10_000);
  clock.advance(10_000);
  files = 'third';
  clock.advance(10_000);
  assert.deepEqual(read, ['second', 'third']);
  assert.deepEqual(errors, ['the key and certificate of the API cannot be read anew: no PEM']);
  stop();
  files = 'fourth';
  clock.advance(60_000);
  assert.equal(read.length, 2);
});
