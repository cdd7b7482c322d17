import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { inNewNetns } from '../netns.ts';
import { Links } from './link.ts';
import { type PathQuery, RouteFollower, RouteLookup } from './route.ts';
import { NetlinkSocket } from './socket.ts';

const skip = process.getuid?.() !== 0 && 'needs root';
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

const address = (text: string): Uint8Array => {
  if (!text.includes(':')) return Uint8Array.from(text.split('.'), Number);
  const [head, tail] = text.split('::').map((part) => part.split(':').filter((word) => word !== ''));
  const words = [...head, ...new Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return Uint8Array.from(
    words.flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]),
  );
};
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : bytes.length === 4 ? bytes.join('.') : Buffer.from(bytes).toString('hex');

/** Two devices with addresses and a few routes, in a namespace of their own. */
function makeHost(): void {
  ip('link', 'add', 'weftA', 'type', 'veth', 'peer', 'name', 'weftB');
  for (const device of ['lo', 'weftA', 'weftB']) ip('link', 'set', device, 'up');
  ip('addr', 'add', '10.0.0.1/24', 'dev', 'weftA');
  ip('addr', 'add', '10.1.0.1/24', 'dev', 'weftB');
  ip('-6', 'addr', 'add', 'fd00::1/64', 'dev', 'weftA', 'nodad');
  ip('route', 'add', '192.0.2.0/24', 'via', '10.0.0.254');
  ip('route', 'add', '198.51.100.0/24', 'via', '10.0.0.254', 'src', '10.1.0.1');
  ip('-6', 'route', 'add', 'fd01::/64', 'via', 'fd00::fe');
  ip('route', 'add', 'blackhole', '203.0.113.0/24');
  ip('route', 'add', '192.0.2.0/24', 'dev', 'weftB', 'table', '77');
  ip('rule', 'add', 'fwmark', '7', 'table', '77');
}

test('the way to an address is the one that the host takes', { skip }, () => {
  inNewNetns(() => {
    makeHost();
    const netlink = new NetlinkSocket();
    try {
      const links = new Links(netlink);
      const routes = new RouteLookup(netlink);
      const way = (to: string, query: PathQuery = {}): unknown[] | undefined => {
        const path = routes.lookup(address(to), query);
        if (path === undefined) return undefined;
        return [links.get(path.ifindex)?.name, text(path.source), text(path.gateway), path.local];
      };
      assert.deepEqual(way('10.0.0.9'), ['weftA', '10.0.0.1', undefined, false]);
      assert.deepEqual(way('192.0.2.5'), ['weftA', '10.0.0.1', '10.0.0.254', false]);
      assert.deepEqual(way('198.51.100.5'), ['weftA', '10.1.0.1', '10.0.0.254', false]);
      assert.deepEqual(way('192.0.2.5', { mark: 7 }), ['weftB', '10.1.0.1', undefined, false]);
      assert.deepEqual(way('10.1.0.1'), ['lo', '10.1.0.1', undefined, true]);
      assert.equal(way('203.0.113.1'), undefined);
      assert.equal(way('8.8.8.8'), undefined);
      assert.equal(way('10.0.0.9', { source: address('9.9.9.9') }), undefined);
      assert.deepEqual(way('fd01::5'), [
        'weftA',
        Buffer.from(address('fd00::1')).toString('hex'),
        Buffer.from(address('fd00::fe')).toString('hex'),
        false,
      ]);
      assert.equal(way('fd02::1'), undefined);
      assert.throws(() => routes.lookup(new Uint8Array(5)), { code: 'bad-address' });
    } finally {
      netlink.close();
    }
  });
});

test('what was asked is asked again when routes change', { skip }, async () => {
  let changes = 0;
  const told = (): Promise<void> =>
    new Promise((resolve) => {
      const before = changes;
      const look = (): void => void (changes > before ? resolve() : setTimeout(look, 5));
      look();
    });
  // The descriptors stay in the namespace when this thread has left it.
  const { netlink, follower, run } = inNewNetns(() => {
    makeHost();
    const hold = new NetlinkSocket();
    return {
      netlink: hold,
      follower: new RouteFollower(hold, () => changes++),
      run: new Links(hold),
    };
  });
  try {
    const destination = address('192.0.2.5');
    const path = follower.path(destination);
    assert.equal(text(path?.gateway), '10.0.0.254');
    assert.equal(follower.path(destination), path, 'kept');
    assert.equal(follower.path(address('8.8.8.8')), null);
    const change = told();
    // A device without carrier takes its routes along.
    run.set(path?.ifindex ?? 0, { up: false });
    await change;
    assert.equal(follower.path(destination), null);
  } finally {
    await follower.close();
    netlink.close();
  }
});
