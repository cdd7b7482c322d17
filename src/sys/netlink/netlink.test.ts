import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import { driverInfo, linkSettings, offloadOf, setOffload } from '../ethtool.ts';
import { inNewNetns } from '../netns.ts';
import { IpConfiguration, NUD_PERMANENT, parseAddress, parseNeighbour, parseRoute } from './ip.ts';
import { type Link, Links, parseLink } from './link.ts';
import { Attributes, encodeMessage, PayloadBuilder, parseMessages } from './message.ts';
import { type HostChange, HostMonitor, parseChange } from './monitor.ts';
import { NetlinkSocket } from './socket.ts';

const skip = process.getuid?.() !== 0 && 'needs root';
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);

function inLab(run: (links: Links, config: IpConfiguration) => void): void {
  inNewNetns(() => {
    const netlink = new NetlinkSocket();
    try {
      run(new Links(netlink), new IpConfiguration(netlink));
    } finally {
      netlink.close();
    }
  });
}

test('attributes come out as they went in', () => {
  const payload = new PayloadBuilder()
    .raw(Uint8Array.of(1, 2))
    .u32(5, 0xdeadbeef)
    .text(6, 'abc')
    .nested(7, (inner) => inner.u8(1, 9).nested(2, (deep) => deep.text(3, 'x')))
    .attribute(8, new Uint8Array(300).fill(4));
  const [message] = parseMessages(encodeMessage(16, 3, 77, payload.finish()));
  assert.deepEqual([message.type, message.flags, message.sequence], [16, 3, 77]);
  const a = new Attributes(message.payload, 4);
  assert.equal(a.u32(5), 0xdeadbeef);
  assert.equal(a.text(6), 'abc');
  assert.equal(a.nested(7)!.u8(1), 9);
  assert.equal(a.nested(7)!.nested(2)!.text(3), 'x');
  assert.equal(a.bytes(8)!.length, 300);
  assert.deepEqual(
    [a.u32(99), a.text(99), a.nested(99), a.u32(6)],
    [undefined, undefined, undefined, 0x00636261],
  );
});

test('hostile bytes are refused or read, nothing else', () => {
  const start = (type: number): Uint8Array => encodeMessage(type, 0, 1, new Uint8Array(16));
  fc.assert(
    fc.property(fc.constantFrom(16, 17, 20, 24, 28), fc.uint8Array({ maxLength: 120 }), (type, tail) => {
      try {
        for (const m of parseMessages(Uint8Array.of(...start(type), ...tail))) parseChange(m);
        const message = {
          type,
          flags: 0,
          sequence: 1,
          payload: Uint8Array.of(...new Uint8Array(16), ...tail),
        };
        for (const parse of [parseLink, parseAddress, parseRoute, parseNeighbour]) parse(message);
      } catch (error) {
        assert.ok(
          (error instanceof WeftError && error.code === 'bad-netlink') || error instanceof RangeError,
          String(error),
        );
      }
    }),
  );
});

test('devices are made, changed, listed and removed', { skip }, () => {
  inLab((links) => {
    links.createVeth('weftA', 'weftB', { mtu: 1400 }, { mac: MAC });
    const a = links.get('weftA')!;
    const b = links.get('weftB')!;
    assert.deepEqual([a.kind, a.mtu, a.up, a.lower], ['veth', 1400, false, b.ifindex]);
    assert.deepEqual(b.mac, MAC);
    links.set(a.ifindex, { up: true, mtu: 1300, mac: Uint8Array.of(2, 0, 0, 0, 0, 8) });
    links.set(b.ifindex, { up: true });
    const now = links.get(a.ifindex)!;
    assert.deepEqual([now.up, now.carrier, now.running, now.mtu, now.mac[5]], [true, true, true, 1300, 8]);
    assert.equal(typeof now.statistics!.rxPackets, 'bigint');
    assert.match(ip('link', 'show', 'weftA'), /mtu 1300 .*state UP/);
    assert.deepEqual(
      links
        .list()
        .map((l) => l.name)
        .sort(),
      ['lo', 'weftA', 'weftB'],
    );
    links.create('bridge', 'weftbr');
    links.set(a.ifindex, { master: links.get('weftbr')!.ifindex });
    assert.equal(links.get('weftA')!.master, links.get('weftbr')!.ifindex);
    links.remove(a.ifindex);
    assert.equal(links.get('weftA'), undefined);
    assert.equal(links.get('weftB'), undefined);
    assert.equal(links.get(9999), undefined);
    assert.equal(links.get('a-name-that-is-much-too-long'), undefined);
  });
});

test('the kernel says why it refuses', { skip }, () => {
  inLab((links) => {
    links.create('bridge', 'weftbr');
    assert.throws(() => links.create('bridge', 'weftbr'), {
      code: 'system-call',
      errnoName: 'EEXIST',
      message: /^create bridge weftbr/,
    });
    assert.throws(() => links.create('no-such-kind', 'weftx'), /Unknown device type.*EOPNOTSUPP/);
    const { ifindex } = links.get('weftbr')!;
    assert.throws(() => links.set(ifindex, { mtu: 1_000_000 }), /mtu greater than device maximum.*EINVAL/);
  });
});

test('a device moves to another namespace', { skip }, () => {
  inLab((links) => {
    links.createVeth('weftA', 'weftB');
    const fd = inNewNetns(() => openSync('/proc/thread-self/ns/net', 'r'));
    try {
      links.set(links.get('weftB')!.ifindex, { netnsFd: fd });
      assert.equal(links.get('weftB'), undefined);
      const a = links.get('weftA')!;
      assert.deepEqual([a.lower, a.lowerElsewhere], [0, true]);
    } finally {
      closeSync(fd);
    }
  });
});

test('addresses, routes and neighbours', { skip }, () => {
  inLab((links, config) => {
    const v4 = (...b: number[]): Uint8Array => Uint8Array.from(b);
    const v6 = (last: number): Uint8Array => new Uint8Array(16).with(0, 0xfd).with(15, last);
    links.createVeth('weftA', 'weftB', { up: true }, { up: true });
    const { ifindex } = links.get('weftA')!;
    config.addAddress(ifindex, v4(10, 9, 8, 1), 24);
    config.addAddress(ifindex, v6(1), 64);
    const mine = config.addresses().filter((a) => a.ifindex === ifindex && a.scope === 0);
    assert.deepEqual(
      mine.map((a) => [...a.address.slice(0, 4), a.prefix]),
      [
        [10, 9, 8, 1, 24],
        [0xfd, 0, 0, 0, 64],
      ],
    );
    config.addRoute(v4(10, 7, 0, 0), 16, { gateway: v4(10, 9, 8, 2), metric: 5 });
    config.addRoute(v4(0, 0, 0, 0), 0, { ifindex });
    config.addRoute(v6(0).with(1, 7), 32, { ifindex });
    assert.match(ip('route'), /10\.7\.0\.0\/16 via 10\.9\.8\.2 dev weftA .*metric 5/);
    const routes = config.routes();
    const viaGateway = routes.find((r) => r.prefix === 16)!;
    assert.deepEqual(
      [...viaGateway.gateway!, viaGateway.ifindex, viaGateway.metric, viaGateway.table],
      [10, 9, 8, 2, ifindex, 5, 254],
    );
    const connected = routes.find((r) => r.prefix === 24)!;
    assert.deepEqual([connected.gateway, [...connected.source!]], [undefined, [10, 9, 8, 1]]);
    assert.ok(routes.some((r) => r.family === 'ipv4' && r.prefix === 0 && r.ifindex === ifindex));
    assert.ok(routes.some((r) => r.family === 'ipv6' && r.prefix === 32));
    assert.ok(routes.some((r) => r.local && r.table === 255 && r.destination[3] === 1));
    config.removeRoute(v4(0, 0, 0, 0), 0);
    assert.ok(!config.routes().some((r) => r.family === 'ipv4' && r.prefix === 0));
    config.addNeighbour(ifindex, v4(10, 9, 8, 3), MAC);
    const [neighbour] = config.neighbours().filter((n) => n.address[3] === 3);
    assert.deepEqual([neighbour.mac, neighbour.state, neighbour.ifindex], [MAC, NUD_PERMANENT, ifindex]);
    config.removeNeighbour(ifindex, v4(10, 9, 8, 3));
    config.removeAddress(ifindex, v4(10, 9, 8, 1), 24);
    assert.ok(!config.addresses().some((a) => a.address.length === 4 && a.ifindex === ifindex));
    assert.throws(() => config.addAddress(ifindex, v4(1, 2, 3), 8), { code: 'bad-address' });
  });
});

test('ethtool: driver, speed and offloads', { skip }, () => {
  inLab((links) => {
    links.createVeth('weftA', 'weftB', { up: true }, { up: true });
    assert.equal(driverInfo('weftA')!.driver, 'veth');
    assert.deepEqual(linkSettings('weftA'), { speedMbps: 10_000, duplex: 'full', autonegotiation: false });
    assert.equal(offloadOf('weftA', 'txChecksum'), true);
    assert.equal(setOffload('weftA', 'txChecksum', false), true);
    assert.equal(offloadOf('weftA', 'txChecksum'), false);
    assert.equal(offloadOf('weftA', 'tso'), false);
    assert.equal(linkSettings('lo')?.speedMbps, undefined);
    assert.throws(() => driverInfo('weft-none'), { errnoName: 'ENODEV' });
  });
});

test('changes are told as they happen', { skip }, async () => {
  const changes: HostChange[] = [];
  let wake = (): void => {};
  const { monitor, netlink } = inNewNetns(() => ({
    monitor: new HostMonitor(['link', 'address', 'route', 'neighbour'], (change) => {
      changes.push(change);
      wake();
    }),
    netlink: new NetlinkSocket(),
  }));
  const seen = async (what: string, matches: (c: HostChange) => boolean): Promise<void> => {
    const deadline = setTimeout(() => wake(), 10_000);
    for (let i = 0; i < 200 && !changes.some(matches); i++)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    clearTimeout(deadline);
    assert.ok(changes.some(matches), `${what}: saw ${changes.map((c) => c.topic).join()}`);
  };
  try {
    const links = new Links(netlink);
    const config = new IpConfiguration(netlink);
    links.createVeth('weftA', 'weftB', { up: true }, { up: true });
    const named =
      (name: string, test: (l: Link) => boolean) =>
      (c: HostChange): boolean =>
        c.topic === 'link' && c.present && c.link.name === name && test(c.link);
    await seen(
      'weftA with carrier',
      named('weftA', (l) => l.carrier),
    );
    const { ifindex } = links.get('weftA')!;
    config.addAddress(ifindex, Uint8Array.of(10, 1, 1, 1), 24);
    await seen('address', (c) => c.topic === 'address' && c.present && c.address.address[0] === 10);
    await seen('route', (c) => c.topic === 'route' && c.present && c.route.prefix === 24);
    config.addNeighbour(ifindex, Uint8Array.of(10, 1, 1, 2), MAC);
    await seen('neighbour', (c) => c.topic === 'neighbour' && c.present && c.neighbour.address[3] === 2);
    links.set(ifindex, { up: false });
    await seen(
      'weftA down',
      named('weftA', (l) => !l.up),
    );
    links.remove(ifindex);
    await seen('weftB gone', (c) => c.topic === 'link' && !c.present && c.link.name === 'weftB');
  } finally {
    await monitor.close();
    netlink.close();
  }
});

test('a process that has nothing else to do sees the end of a watch', () => {
  const module = JSON.stringify(new URL('./monitor.ts', import.meta.url).href);
  const script = `import(${module}).then(async ({ HostMonitor }) => {
    await new HostMonitor(['link'], () => {}).close();
    console.log('closed');
  });`;
  const said = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(said, 'closed\n');
});
