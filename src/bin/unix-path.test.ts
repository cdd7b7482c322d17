import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { shortUnixPath } from './unix-path.ts';

test('a socket with a long name is made and reached', async () => {
  const root = mkdtempSync(join(tmpdir(), 'weft-path-'));
  try {
    const dir = join(root, 'd'.repeat(120));
    mkdirSync(dir);
    const long = join(dir, 'sock');
    const at = shortUnixPath(long);
    assert.notEqual(at.path, long);
    const server = createServer((s) => s.end('hello'));
    await new Promise<void>((resolve) => server.listen(at.path, resolve));
    assert.deepEqual(readdirSync(dir), ['sock']);
    const to = shortUnixPath(long);
    const text = await new Promise<string>((resolve) =>
      connect(to.path).once('data', (b) => resolve(String(b))),
    );
    assert.equal(text, 'hello');
    to.release();
    await new Promise((resolve) => server.close(resolve));
    at.release();
    assert.deepEqual(readdirSync(dir), []);
    assert.equal(shortUnixPath('/short').path, '/short');
    assert.throws(() => shortUnixPath(join(root, 'x'.repeat(150), 's')), { code: 'ENOENT' });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
