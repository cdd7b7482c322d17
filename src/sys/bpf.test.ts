import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BpfLoadError, createMap, loadProgram, MAP_TYPE, PROGRAM_TYPE, testRun } from './bpf.ts';
import { close } from './libc.ts';

const skip = process.getuid?.() !== 0 && 'needs root';
/** r0 = 5; exit. */
const FIVE = Uint8Array.of(0xb7, 0, 0, 0, 5, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
const load = (instructions: Uint8Array): number =>
  loadProgram({ type: PROGRAM_TYPE.schedCls, name: 'weft_test', instructions });

test('a program is loaded and run', { skip }, () => {
  const fd = load(FIVE);
  assert.equal(testRun(fd, new Uint8Array(64)), 5);
  close(fd);
});

test("a refused program comes with the verifier's reason", { skip }, () => {
  // exit, without a value in r0.
  assert.throws(
    () => load(FIVE.subarray(8)),
    (error) =>
      error instanceof BpfLoadError && error.errnoName === 'EACCES' && /R0 !read_ok/.test(error.verifierLog),
  );
});

test('a map that cannot be says so', { skip }, () => {
  const options = { type: MAP_TYPE.hash, name: 'weft_test', keySize: 4, valueSize: 8, maxEntries: 16 };
  close(createMap(options));
  assert.throws(() => createMap({ ...options, keySize: 0 }), {
    code: 'system-call',
    errnoName: 'EINVAL',
    message: /create map weft_test/,
  });
});
