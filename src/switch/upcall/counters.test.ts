import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { composePacket } from '../../datapath/packet/compose.ts';
import { extractFlow } from '../../datapath/packet/extract.ts';
import { Packet } from '../../datapath/packet/packet.ts';
import { newFlow, W_IN_PORT } from '../../flow/layout.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import type { Rule } from '../ofproto/rule.ts';
import { type TestBridge, World } from '../testing/world.ts';
import { translate } from '../xlate/translate.ts';
import type { CacheEntry } from '../xlate/types.ts';

/* Whatever way a packet takes (upcall, megaflow, microflow), each flow that it meets counts it once. */

type Step =
  | { readonly do: 'send'; readonly port: number; readonly packet: string }
  | { readonly do: 'add'; readonly flow: string }
  | { readonly do: 'delete'; readonly nth: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'push' };

const flows = [
  'priority=0,actions=NORMAL',
  'priority=5,tcp,actions=resubmit(,1),output:2',
  'priority=5,in_port=1,actions=resubmit(,1)',
  'priority=7,udp,nw_src=10.0.0.0/8,actions=output:9',
  'priority=9,dl_vlan=10,actions=strip_vlan,output:3',
  'table=1,priority=1,actions=output:3',
  'table=1,priority=3,tcp,tp_dst=80,actions=clone(resubmit(,2)),output:1',
  'table=2,priority=1,actions=drop',
];
const packets = [
  'dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_src=10.0.0.1,nw_ttl=9,tp_dst=80',
  'dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01,tcp,nw_src=10.0.0.1,nw_ttl=9,tp_dst=443',
  'dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:03,udp,nw_src=10.0.0.7,nw_ttl=9,tp_dst=53',
  'dl_src=02:00:00:00:00:03,dl_dst=ff:ff:ff:ff:ff:ff,vlan_tci=0x100a,dl_type=0x1234',
];

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      port: fc.constantFrom(1, 2, 3),
      packet: fc.constantFrom(...packets),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('add' as const), flow: fc.constantFrom(...flows) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), nth: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(600, 11_000) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'push' as const }) },
);

class Ledger {
  readonly rules = new Map<Rule, { packets: number; bytes: number }>();
  readonly misses = new Map<string, number>();
  sent = 0;

  /** Counts what the pipeline as it is now says of the packet. */
  expect(bridge: TestBridge, port: number, packet: Uint8Array): void {
    const flow = newFlow();
    extractFlow(new Packet(packet.slice()), flow);
    flow[W_IN_PORT] = port;
    const cache: CacheEntry[] = [];
    translate({ ofproto: bridge.ofproto, flow, packet: null, tcpFlags: 0, effects: false, cache });
    this.sent++;
    for (const entry of cache) {
      if (entry.type === 'rule') {
        const counts = this.rules.get(entry.rule) ?? { packets: 0, bytes: 0 };
        counts.packets++;
        counts.bytes += packet.length;
        this.rules.set(entry.rule, counts);
      } else if (entry.type === 'table' && !entry.matched) {
        const key = `${entry.ofproto.name}/${entry.table}`;
        this.misses.set(key, (this.misses.get(key) ?? 0) + 1);
      }
    }
  }
}

test('flows count each packet once, through upcalls, megaflows, changes and expiry', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const world = new World();
      const bridge = world.bridge('br0');
      const peer = world.bridge('br1');
      for (const n of [1, 2, 3]) bridge.addPort(n);
      peer.addPort(1);
      const [near, far] = [bridge.addPatch(9), peer.addPatch(2)];
      world.join(near, far);
      peer.addFlow('priority=0,actions=NORMAL');
      const ledger = new Ledger();
      const all = new Set<Rule>(peer.rules);
      for (const item of steps) {
        switch (item.do) {
          case 'send': {
            const packet = composePacket(parseMatch(item.packet).flow.slice());
            const port = bridge.ofproto.port(item.port);
            assert.ok(packet !== null && port !== undefined);
            ledger.expect(bridge, item.port, packet);
            world.send(port, packet);
            break;
          }
          case 'add':
            all.add(bridge.addFlow(item.flow));
            break;
          case 'delete':
            if (bridge.rules[item.nth] !== undefined) bridge.remove(bridge.rules[item.nth]);
            break;
          case 'wait':
            world.clock.advance(item.ms);
            break;
          case 'push':
            await world.slowPath.pushAll();
            break;
        }
        // What packets learned and controllers changed is true for the next packet.
        world.settle();
      }
      await world.slowPath.pushAll();
      for (const rule of all) {
        const expected = ledger.rules.get(rule) ?? { packets: 0, bytes: 0 };
        assert.deepEqual({ packets: rule.packets, bytes: rule.bytes }, expected);
      }
      for (const each of [bridge, peer]) {
        assert.equal(each.table(0).missed, ledger.misses.get(`${each.ofproto.name}/0`) ?? 0);
      }
      const { hits, missed } = world.datapath.stats();
      assert.equal(hits + missed, ledger.sent);
      assert.equal(near.counters.txPackets, far.counters.rxPackets);
    }),
    { numRuns: 150 },
  );
});
