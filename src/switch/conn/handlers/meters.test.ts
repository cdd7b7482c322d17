import assert from 'node:assert/strict';
import test from 'node:test';
import { frame } from '../../../datapath/conformance/frames.ts';
import { OFPM_CONTROLLER, OFPM_SLOWPATH, OFPMF_PKTPS } from '../../../openflow/constants.ts';
import type { MeterMod } from '../../../openflow/messages/meter.ts';
import { OpenFlowWorld, type TestController } from '../testing/openflow-world.ts';

const ARP_REQUEST = Uint8Array.from(
  Buffer.from(
    'ffffffffffff02000000000108060001080006040001020000000001 0a000001 000000000000 0a000002'.replaceAll(
      ' ',
      '',
    ),
    'hex',
  ),
);

function meterMod(client: TestController, command: MeterMod['command'], meter: number, burst = 0): void {
  const bands =
    command === 'delete' ? [] : ([{ type: 'drop', rate: 1, burstSize: burst, precLevel: 0 }] as const);
  client.send<'meter_mod'>({ kind: 'meter_mod', command, meter, flags: bands.length && OFPMF_PKTPS, bands });
}

function counts(client: TestController, meter: number): [came: bigint, dropped: bigint] {
  client.send<'meter_stats_request'>({ kind: 'meter_stats_request', meter });
  const [stats] = client.one('meter_stats_reply').meters;
  return [stats.packetInCount, stats.bands[0].packetCount];
}

function setUp(): {
  world: OpenFlowWorld;
  client: TestController;
  receive: (n: number, packet?: Uint8Array) => Promise<void>;
} {
  const world = new OpenFlowWorld();
  const [p1] = [world.addPort(1), world.addPort(2)];
  const client = world.client(4);
  client.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  const receive = async (n: number, packet = frame()): Promise<void> => {
    for (let i = 0; i < n; i++) world.datapath.dummyPort(p1.name).receive(packet);
    await new Promise((resolve) => setImmediate(resolve));
  };
  client.take();
  return { world, client, receive };
}

test('the meter of controllers limits what goes to them, and nothing else', async () => {
  const { world, client, receive } = setUp();
  client.addFlow('in_port=1,actions=controller,output:2');
  await receive(1);
  meterMod(client, 'add', OFPM_CONTROLLER, 2);
  // The megaflow is looked at again.
  world.clock.advance(1000);
  await receive(0);
  await receive(5);
  client.take();
  assert.deepEqual(counts(client, OFPM_CONTROLLER), [5n, 3n]);
  assert.equal(world.datapath.portStats(2).txPackets, 6);
  meterMod(client, 'delete', OFPM_CONTROLLER);
  assert.equal(world.side.ofproto.controllerMeter, null);
  world.close();
});

test('a meter that a controller action names takes the place of that of all controllers', async () => {
  const { world, client, receive } = setUp();
  meterMod(client, 'add', OFPM_CONTROLLER, 1);
  meterMod(client, 'add', 9, 4);
  client.addFlow('in_port=1,actions=controller(meter_id=9)');
  await receive(6);
  client.take();
  assert.deepEqual(counts(client, 9), [6n, 2n]);
  assert.deepEqual(counts(client, OFPM_CONTROLLER), [0n, 0n]);
  world.close();
});

test('the meter of the slow path limits what only that can do', async () => {
  const { world, client, receive } = setUp();
  meterMod(client, 'add', OFPM_SLOWPATH, 2);
  // No datapath writes to ARP's fields.
  client.addFlow('in_port=1,arp,actions=set_field:10.0.0.9->arp_spa,output:2');
  client.addFlow('in_port=1,actions=output:2');
  // The packet that finds that out has been translated already: the meter never meets it.
  await receive(6, ARP_REQUEST);
  await receive(6);
  assert.deepEqual(counts(client, OFPM_SLOWPATH), [5n, 3n]);
  assert.equal(world.datapath.portStats(2).txPackets, 9);
  world.close();
});

test('a bridge that goes gives back its meters', () => {
  const { world, client } = setUp();
  meterMod(client, 'add', 1, 1);
  meterMod(client, 'add', 2, 1);
  assert.equal(world.slowPath.meters.size, 2);
  world.close();
  assert.equal(world.slowPath.meters.size, 0);
});
