import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OFPG_BUCKET_ALL } from '../../../openflow/constants.ts';
import type { GroupSelection } from '../../../openflow/messages/group.ts';
import { bucket, OpenFlowWorld } from '../testing/openflow-world.ts';

interface End {
  readonly mac: number;
  readonly ip: number;
  readonly port: number;
}

/** A TCP segment without data from one end to the other. */
function segment(from: End, to: End): Uint8Array {
  const frame = Buffer.alloc(54);
  frame.writeUIntBE(0x020000000000 + to.mac, 0, 6);
  frame.writeUIntBE(0x020000000000 + from.mac, 6, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6], 14);
  frame.writeUInt32BE(0x0a000000 + from.ip, 26);
  frame.writeUInt32BE(0x0a000000 + to.ip, 30);
  frame.writeUInt16BE(from.port, 34);
  frame.writeUInt16BE(to.port, 36);
  frame[46] = 0x50;
  return new Uint8Array(frame);
}

const end: fc.Arbitrary<End> = fc.record({
  mac: fc.nat(0xffff),
  ip: fc.nat(0xffff),
  port: fc.integer({ min: 1, max: 0xffff }),
});

/** Ports to which a group of two buckets sends each of these packets; whether the datapath had to hash any. */
function spread(
  selection: GroupSelection,
  weights: readonly [number, number],
  packets: readonly Uint8Array[],
): { readonly to: number[]; readonly recirculated: boolean } {
  const world = new OpenFlowWorld();
  const sent = [1, 2, 3].map((n) => world.sniff(world.addPort(n)));
  const client = world.client(6);
  client.send<'group_mod'>({
    kind: 'group_mod',
    command: 'add',
    type: 'select',
    group: 1,
    commandBucket: OFPG_BUCKET_ALL,
    buckets: weights.map((weight, i) => ({ ...bucket(i, `output:${i + 2}`), weight })),
    selection,
  });
  client.addFlow('in_port=1,actions=group:1');
  assert.deepEqual(client.take(), []);
  const to = packets.map((packet) => {
    world.datapath.dummyPort('p1').receive(packet);
    const by = sent.findIndex((all) => all.splice(0).length > 0);
    return by + 1;
  });
  const recirculated = world.ofproto.recircIds.size > 0;
  world.close();
  return { to, recirculated };
}

for (const [what, selection, weights] of [
  ['the method "hash" without fields', { method: 'hash', param: 0n, fields: [] }, [1, 1]],
  ['weights that need too many slots', { method: 'dp_hash', param: 0n, fields: [] }, [1, 300]],
  ['weights that need too many slots, and no method', { method: '', param: 0n, fields: [] }, [300, 1]],
] as const) {
  test(`${what}: the switch hashes itself, so that both directions of a connection meet in one bucket`, () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(end, end), { minLength: 1, maxLength: 8 }), (connections) => {
        const { to, recirculated } = spread(
          selection,
          weights,
          connections.flatMap(([a, b]) => [segment(a, b), segment(b, a)]),
        );
        assert.equal(recirculated, false);
        for (let i = 0; i < to.length; i += 2) {
          assert.ok(to[i] === 2 || to[i] === 3);
          assert.equal(to[i], to[i + 1]);
        }
      }),
      { numRuns: 30 },
    );
  });
}

test('the switch shares connections out among buckets by weight', () => {
  const connections = Array.from({ length: 400 }, (_, i) =>
    segment({ mac: i, ip: i, port: 1000 }, { mac: 1, ip: 0xffff, port: 80 }),
  );
  const { to } = spread({ method: 'hash', param: 0n, fields: [] }, [1, 3], connections);
  const first = to.filter((port) => port === 2).length;
  assert.ok(first > 60 && first < 140, `${first} of 400 in the bucket of a quarter`);
});
