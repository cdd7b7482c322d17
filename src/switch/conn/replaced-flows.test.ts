import assert from 'node:assert/strict';
import test from 'node:test';
import { OFPG_ANY, OFPP_ANY, OFPTT_ALL } from '../../openflow/constants.ts';
import type { OfVersion } from '../../openflow/version.ts';
import { OpenFlowWorld, type TestController } from './testing/openflow-world.ts';

/** "PACKETS duration=SECONDS idle=SECONDS" of the one flow, as Nicira's statistics tell it. */
function told(client: TestController): string {
  client.send<'flow_stats_request'>({
    kind: 'flow_stats_request',
    variant: 'nx',
    match: client.flow('actions=drop').match,
    table: OFPTT_ALL,
    outPort: OFPP_ANY,
    outGroup: OFPG_ANY,
    cookie: 0n,
    cookieMask: 0n,
  });
  const [flow, ...others] = client.one('flow_stats_reply').flows;
  assert.deepEqual(others, []);
  return `${flow.packetCount} duration=${flow.durationSec} idle=${flow.idleAge}`;
}

/** A flow used and then replaced, a second apart each, by a controller of `version`; what a third one tells then. */
function replaced(version: OfVersion, line: string): string {
  const world = new OpenFlowWorld();
  const client = world.client(version);
  const asker = world.client(1);
  client.addFlow('reg0=0,actions=drop');
  world.clock.advance(1000);
  for (const table of world.side.flows.tables()) {
    for (const rule of table.rules(world.ofproto.version)) {
      rule.packets = 3;
      rule.used = world.clock.now();
    }
  }
  world.clock.advance(1000);
  client.addFlow(line);
  world.clock.advance(1000);
  const text = told(asker);
  world.close();
  return text;
}

test('a flow that replaces another is new, counts on or anew as its version says, and was last used when that was', () => {
  assert.deepEqual(
    ([1, 2, 3, 6] as OfVersion[]).map((version) => replaced(version, 'reg0=0,actions=output:1')),
    ['0 duration=1 idle=2', '0 duration=1 idle=2', '3 duration=1 idle=2', '3 duration=1 idle=2'],
  );
  assert.equal(replaced(6, 'reset_counts,reg0=0,actions=output:1'), '0 duration=1 idle=2');
});
