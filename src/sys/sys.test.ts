import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { EventFd } from './event-fd.ts';
import { lockHolder, tryLock } from './file-lock.ts';
import { IcmpSocket } from './icmp-socket.ts';
import { check, close, errnoName, SystemError, strerror } from './libc.ts';
import { MemoryMap } from './memory-map.ts';
import { createNetns, inNetns, inNewNetns, netnsPath, removeNetns } from './netns.ts';
import { POLLIN, PollSet } from './poll.ts';
import { UnixDatagram } from './unix-datagram.ts';

const root = process.getuid?.() === 0;
const own = (): string => readlinkSync('/proc/thread-self/ns/net');

test('a failing call says which, on what, and why', () => {
  assert.throws(
    () => check(close(-1), 'close 7'),
    (error) => {
      assert.ok(error instanceof SystemError);
      assert.deepEqual([error.code, error.errnoName, error.call], ['system-call', 'EBADF', 'close 7']);
      return error.message === 'close 7: Bad file descriptor (EBADF)';
    },
  );
  assert.equal(errnoName(2), 'ENOENT');
  assert.equal(errnoName(9999), 'E9999');
  assert.equal(strerror(2), 'No such file or directory');
});

test('mapped memory is zeroed and writable', () => {
  const map = MemoryMap.anonymous(8192);
  assert.ok(map.bytes.every((b) => b === 0));
  map.bytes[8191] = 7;
  assert.equal(map.bytes[8191], 7);
  map.unmap();
  map.unmap();
});

test('poll sees what another thread signals', async () => {
  const event = EventFd.create();
  const poll = new PollSet(2);
  poll.set(1, event.fd, POLLIN);
  assert.equal(poll.wait(0), 0);
  event.signal();
  assert.equal(poll.wait(0), 1);
  assert.equal(poll.happened(1), POLLIN);
  event.drain();
  assert.equal(poll.wait(0), 0);
  const worker = new Worker(
    `import('${new URL('./event-fd.ts', import.meta.url)}').then(({ EventFd }) => EventFd.of(${event.fd}).signal())`,
    { eval: true },
  );
  assert.equal(poll.wait(10_000), 1);
  await worker.terminate();
  event.close();
  poll.close();
});

test('a lock is seen by other processes and ends with its holder', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-lock-'));
  try {
    const path = join(dir, 'file');
    const code =
      `import { openSync } from 'node:fs'; import { tryLock } from '${new URL('./file-lock.ts', import.meta.url)}';` +
      `console.log(tryLock(openSync(process.argv[1], 'w'))); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = await new Promise<string>((resolve) => child.stdout.once('data', (b) => resolve(String(b))));
    assert.equal(said, 'true\n');
    const fd = openSync(path, 'r+');
    assert.equal(lockHolder(fd), child.pid);
    assert.equal(tryLock(fd), false);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    assert.equal(lockHolder(fd), undefined);
    assert.equal(tryLock(fd), true);
    closeSync(fd);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('datagrams reach a unix socket; nobody there is an error', () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-dgram-'));
  try {
    const path = join(dir, 'log');
    assert.throws(() => UnixDatagram.connect(path), { code: 'system-call', errnoName: 'ENOENT' });
    const server = UnixDatagram.listen(path);
    const client = UnixDatagram.connect(path);
    client.send(new TextEncoder().encode('hello'));
    assert.equal(new TextDecoder().decode(server.receive()), 'hello');
    assert.equal(server.receive(), undefined);
    server.close();
    assert.throws(() => client.send(new Uint8Array(1)), { errnoName: 'ECONNREFUSED' });
    client.close();
    assert.throws(() => UnixDatagram.connect('x'.repeat(200)), RangeError);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a namespace is entered for the time of a call', { skip: !root && 'needs root' }, () => {
  const home = own();
  let inside = '';
  assert.equal(
    inNewNetns(() => {
      inside = own();
      return 42;
    }),
    42,
  );
  assert.notEqual(inside, home);
  assert.equal(own(), home);
  assert.throws(() => inNewNetns(() => assert.fail('work failed')), /work failed/);
  assert.equal(own(), home);
  assert.equal(inNetns('/proc/self/ns/net', own), home);
  assert.throws(() => inNetns('weft-no-such-namespace', own), { code: 'no-netns' });
  assert.equal(netnsPath('blue'), '/run/netns/blue');
});

test('a named namespace stays until it is removed', { skip: !root && 'needs root' }, () => {
  const name = `weft${Math.floor(Math.random() * 2 ** 32).toString(36)}`;
  createNetns(name);
  try {
    const inside = inNetns(name, own);
    assert.notEqual(inside, own());
    assert.equal(inNetns(name, own), inside);
    assert.throws(() => createNetns(name), { code: 'EEXIST' });
    assert.equal(inNetns(name, own), inside, 'the failed attempt took it away');
  } finally {
    removeNetns(name);
  }
  assert.ok(!existsSync(netnsPath(name)));
  removeNetns(name);
});

test('an ICMP socket tells where there is no way', { skip: !root && 'needs root' }, () => {
  inNewNetns(() => {
    const icmp = new IcmpSocket();
    try {
      assert.equal(icmp.send(Uint8Array.of(192, 0, 2, 1), new Uint8Array(8)), false);
      assert.equal(icmp.receive(), undefined);
    } finally {
      icmp.close();
    }
  });
});
