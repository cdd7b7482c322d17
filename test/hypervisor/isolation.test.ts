/** Whatever a tenant's machine sends, no machine of another tenant gets. Both have the same addresses and MAC addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Stored } from '../../src/api-schema/kinds.ts';
import { newFlow, W_TUN_DST, W_TUN_ID, W_TUN_SRC } from '../../src/flow/layout.ts';
import { MAX_LABEL } from '../../src/logical/layout.ts';
import { eth, ipv4, udp, vlan } from '../../src/wire/make.ts';
import { buildPacket, type Layer } from '../../src/wire/packet.ts';
import { Chance } from './chance.ts';
import { build, show } from './frame.ts';
import { Trial } from './trial.ts';

const PACKETS = 1500;
const UNDERLAY = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];

/** A tunnel's packet, as hosts send it to each other, with any port's or datapath's label as key. */
function tunnelPacket(chance: Chance, inner: Uint8Array, outer: Layer): Uint8Array {
  const label = chance.once(3) ? chance.below(MAX_LABEL) : chance.below(64);
  const [port, header]: [number, Layer] = chance.once(2)
    ? [6081, { layer: 'geneve', oam: false, critical: false, vni: label, options: [] }]
    : [4789, { layer: 'vxlan', flags: 8, reserved: 0, vni: label }];
  return buildPacket(
    [outer, ipv4(chance.pick(UNDERLAY), chance.pick(UNDERLAY)), udp(50000, port), header],
    inner,
  );
}

/** A frame that its sender hopes will get where it must not. */
function forged(trial: Trial, chance: Chance, port: Stored<'logical-port'>): Uint8Array {
  const bytes = build(trial.traffic.frame(port));
  switch (chance.below(5)) {
    case 0: // any bytes behind the addresses
      return Uint8Array.from({ length: 14 + chance.below(100) }, (_, i) =>
        i < 12 ? bytes[i] : chance.below(256),
      );
    case 1: {
      // bits turned
      for (let n = 1 + chance.below(8); n > 0; n--) bytes[chance.below(bytes.length)] ^= 1 << chance.below(8);
      return bytes;
    }
    case 2: {
      // tags, one or several
      const { src, dst } = trial.traffic.frame(port);
      const tags = Array.from({ length: 1 + chance.below(3) }, () =>
        vlan(chance.below(4096), { pcp: chance.below(8) }),
      );
      return buildPacket([eth(src, dst), ...tags, ipv4('10.0.1.1', '10.0.2.1'), udp(1, 2)]);
    }
    case 3: {
      const { src, dst } = trial.traffic.frame(port);
      return tunnelPacket(chance, bytes, eth(src, dst));
    }
    default:
      return bytes;
  }
}

test('nothing that a machine sends reaches another tenant, forged as it may be', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const trial = new Trial(seed, true);
      const chance = new Chance(seed + 1);
      await trial.start();
      const { cloud, tenants } = trial;
      let arrived = 0;
      for (let i = 0; i < PACKETS; i++) {
        if (i % 100 === 99) await trial.change();
        const port = chance.some(tenants.of('logical-port'));
        if (port === undefined) continue;
        const packet = forged(trial, chance, port);
        for (const { vif, packet: got } of cloud.send(port.spec.vif ?? '', packet)) {
          arrived++;
          const receiver = tenants.of('logical-port').find((p) => p.spec.vif === vif);
          const message = (): string => `${port.spec.vif} sends ${show(packet)}; ${vif} gets ${show(got)}`;
          assert.ok(receiver !== undefined, message());
          assert.equal(tenants.ownerOf(receiver), tenants.ownerOf(port), message());
        }
      }
      assert.ok(arrived > 100, `only ${arrived} packets arrived at all`);
    }),
    { numRuns: 2, endOnFailure: true },
  );
});

test('tunnel packets are taken from hosts of the cloud only', async () => {
  const trial = new Trial(7, false);
  await trial.start();
  const { cloud } = trial;
  const chance = new Chance(8);
  const [first] = [...cloud.hosts.values()].filter((host) => host.vifs.size > 0);
  assert.ok(first !== undefined);
  const port = trial.tenants.of('logical-port').find((p) => first.vifs.has(p.spec.vif ?? ''));
  assert.ok(port !== undefined);
  const label = cloud.controller.labels.of(port.id);
  const word = (text: string): number =>
    text.split('.').reduce((n, part) => (n << 8) | Number(part), 0) >>> 0;
  const arrivals = (from: string): number => {
    const before = cloud.arrivals.length;
    const key = newFlow();
    key[W_TUN_SRC] = word(from);
    key[W_TUN_DST] = word(first.address);
    key[W_TUN_ID + 1] = label;
    for (let i = 0; i < 20; i++) first.fromUnderlay('geneve', build(trial.traffic.frame(port)), key);
    return cloud.arrivals.length - before;
  };
  const peers = [...cloud.hosts.values()].filter((host) => host !== first).map((host) => host.address);
  assert.ok(peers.some((peer) => arrivals(peer) > 0));
  for (let i = 0; i < 20; i++) assert.equal(arrivals(`198.51.100.${chance.below(256)}`), 0);
});
