/** A stateful rule and one connection, step by step, between two hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpecOf } from '../../src/api-schema/kinds.ts';
import { Cloud } from './cloud.ts';
import { build, type Frame } from './frame.ts';

const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const IPS = ['10.0.0.1', '10.0.0.2'];

/** A datagram from one machine to the other, of the conversation between ports 1000 and 2000 or of another. */
function datagram(from: 0 | 1, port = 1000): Uint8Array {
  const to = 1 - from;
  const [sport, dport] = from === 0 ? [port, 2000] : [2000, port];
  const frame: Frame = {
    src: MACS[from],
    dst: MACS[to],
    vid: 0,
    body: {
      kind: 'ip',
      family: 4,
      src: IPS[from],
      dst: IPS[to],
      ttl: 64,
      dscp: 0,
      l4: { proto: 'udp', sport, dport, flags: 0 },
    },
  };
  return build(frame);
}

test('who stops allowing a connection cuts it, both ways, and who allows it again mends it', async () => {
  const cloud = new Cloud();
  const hosts = [await cloud.addHost('h1', '192.0.2.1'), await cloud.addHost('h2', '192.0.2.2')];
  const tenant = cloud.create('tenant', { name: 't' });
  const on = cloud.create('logical-switch', { name: 's', tenant });
  const ports = hosts.map((host, i) => {
    host.plug(`v${i}`);
    return cloud.create('logical-port', {
      name: `p${i}`,
      switch: on,
      vif: `v${i}`,
      addresses: [{ mac: MACS[i], ips: [IPS[i]] }],
    });
  });
  const open = {
    port: ports[0],
    direction: 'from-port',
    priority: 10,
    match: { protocol: 'udp' },
    action: 'allow-stateful',
  } satisfies SpecOf<'acl'>;
  const acl = cloud.create('acl', open);
  cloud.create('acl', {
    port: ports[0],
    direction: 'to-port',
    priority: 0,
    match: { etherType: 'ipv4' },
    action: 'drop',
  });
  const settle = async (): Promise<void> => {
    await cloud.settle();
    await cloud.settle();
  };
  await settle();
  const passes = (from: 0 | 1, port?: number): boolean =>
    cloud.send(`v${from}`, datagram(from, port)).length === 1;

  assert.equal(passes(1), false, 'nobody has asked yet');
  assert.equal(passes(0), true);
  assert.equal(passes(1), true, 'an answer');
  assert.equal(passes(1, 1001), false, 'no answer to anything');

  cloud.controller.model.update('acl', acl, { ...open, action: 'drop' });
  // A stateful rule on something else keeps the port's connections looked at.
  const other = cloud.create('acl', { ...open, priority: 9, match: { protocol: 'tcp' } });
  await settle();
  assert.equal(passes(0), false);
  assert.equal(passes(1), false, 'answers to what may no longer be asked');

  cloud.controller.model.update('acl', acl, open);
  await settle();
  assert.equal(passes(0), true);
  assert.equal(passes(1), true);

  // Without any stateful rule the port is not tracked, and its other rules hold for each packet.
  cloud.controller.model.delete('acl', other, acl);
  await settle();
  assert.equal(passes(0), true);
  assert.equal(passes(1), false);
});

test("a router's answer is one to the machine that asks through a stateful rule", async () => {
  const cloud = new Cloud();
  const host = await cloud.addHost('h1', '192.0.2.1');
  const tenant = cloud.create('tenant', { name: 't' });
  const on = cloud.create('logical-switch', { name: 's', tenant });
  const router = cloud.create('logical-router', { name: 'r', tenant });
  const gateway = '02:00:00:00:0f:01';
  cloud.create('router-port', { name: 'rp', router, switch: on, mac: gateway, networks: ['10.0.0.254/24'] });
  host.plug('v0');
  const port = cloud.create('logical-port', {
    name: 'p',
    switch: on,
    vif: 'v0',
    addresses: [{ mac: MACS[0], ips: [IPS[0]] }],
  });
  const all = { port, match: { etherType: 'ipv4' as const } };
  cloud.create('acl', { ...all, direction: 'from-port', priority: 1, action: 'allow-stateful' });
  cloud.create('acl', { ...all, direction: 'to-port', priority: 0, action: 'drop' });
  await cloud.settle();
  await cloud.settle();

  const l4 = { proto: 'icmp', type: 8, code: 0, rest: 0x0001_0001 } as const;
  const body = { kind: 'ip', family: 4, src: IPS[0], dst: '10.0.0.254', ttl: 64, dscp: 0, l4 } as const;
  const ping = build({ src: MACS[0], dst: gateway, vid: 0, body });
  // The packet that begins the connection, and one of it.
  for (const turn of [1, 2]) assert.equal(cloud.send('v0', ping).length, 1, `ping ${turn}`);
});
