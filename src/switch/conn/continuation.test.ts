import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OfMessageOf } from '../../openflow/message.ts';
import type { OfVersion } from '../../openflow/version.ts';
import { OpenFlowWorld, type TestController } from './testing/openflow-world.ts';

const PACKET = Uint8Array.from({ length: 60 }, (_, i) => i * 2);

/** A controller that hears of packets in Nicira's second form, and what the packet became. */
function paused(world: OpenFlowWorld, version: OfVersion): [TestController, OfMessageOf<'packet_in'>] {
  const client = world.client(version);
  client.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  client.send<'set_packet_in_format'>({ kind: 'set_packet_in_format', format: 'nxt_packet_in2' });
  client.addFlow('in_port=1,actions=set_field:5->reg3,push:NXM_NX_REG3[],resubmit(,1),output:2');
  client.addFlow('table=1,actions=controller(pause,userdata=01.02),pop:NXM_NX_REG4[],resubmit(,2)');
  client.addFlow('table=2,reg3=5,reg4=5,actions=output:3');
  const before = client.take();
  assert.deepEqual(before, []);
  world.datapath.dummyPort('p1').receive(PACKET);
  return [client, client.one('packet_in')];
}

for (const version of [4, 5, 6] as OfVersion[]) {
  test(`OpenFlow version ${version}: a paused packet goes on where it was, when its controller says so`, () => {
    const world = new OpenFlowWorld();
    const [, two, three] = [1, 2, 3].map((n) => world.addPort(n));
    const sent = [world.sniff(two), world.sniff(three)];
    const [client, packetIn] = paused(world, version);
    assert.deepEqual(packetIn.userdata, Uint8Array.of(1, 2));
    assert.deepEqual(
      sent.map((packets) => packets.length),
      [0, 0],
    );
    const changed = PACKET.slice();
    changed[20] = 0xff;
    client.send<'resume'>({ ...packetIn, variant: undefined, kind: 'resume', packet: changed });
    assert.deepEqual(client.errors(), []);
    assert.deepEqual(sent, [[changed], [changed]]);
    world.close();
  });
}

for (const version of [1, 4, 5, 6] as OfVersion[]) {
  test(`OpenFlow version ${version}: instructions after a pause are carried out when the packet goes on`, () => {
    const world = new OpenFlowWorld();
    const sent = [1, 2, 3, 4].map((n) => world.sniff(world.addPort(n)));
    const adder = world.client(5);
    adder.addFlow('in_port=1,actions=write_actions(output:4),goto_table:1');
    adder.addFlow(
      'table=1,actions=controller(pause),clear_actions,write_actions(output:3),write_metadata:5,goto_table:2',
    );
    adder.addFlow('table=2,metadata=5,actions=controller(pause),output:2');
    const client = world.client(version);
    client.send<'set_config'>({
      kind: 'set_config',
      config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
    });
    client.send<'set_packet_in_format'>({ kind: 'set_packet_in_format', format: 'nxt_packet_in2' });
    client.take();
    world.datapath.dummyPort('p1').receive(PACKET);
    for (let pauses = 0; pauses < 2; pauses++) {
      const packetIn = client.one('packet_in');
      client.send<'resume'>({ ...packetIn, variant: undefined, kind: 'resume' });
    }
    assert.deepEqual(client.errors(), []);
    assert.deepEqual(sent, [[], [PACKET], [PACKET], []]);
    world.close();
  });
}

test('a packet of another bridge, or bytes that nobody gave, are refused', () => {
  const world = new OpenFlowWorld();
  for (const n of [1, 2, 3]) world.addPort(n);
  const [client, packetIn] = paused(world, 5);
  const continuation = packetIn.continuation.slice();
  continuation[8] ^= 0xff;
  client.send<'resume'>({ ...packetIn, variant: undefined, kind: 'resume', continuation });
  client.send<'resume'>({
    ...packetIn,
    variant: undefined,
    kind: 'resume',
    continuation: packetIn.continuation.slice(0, 9),
  });
  const errors = client.errors();
  assert.equal(errors[0], 'NXR_STALE');
  assert.equal(errors.length, 2);
  world.close();
});
