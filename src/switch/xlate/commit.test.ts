import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eth, icmpv6, ipv6, nd } from '../../wire/make.ts';
import { buildPacket } from '../../wire/packet.ts';
import { World } from '../testing/world.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';

test('flows can make a neighbor advertisement of a solicitation, its option and flags with it', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  const [from, to] = [bridge.addPort(1), bridge.addPort(2)];
  bridge.addFlow(
    'table=0,icmp6,icmp_type=135,icmp_code=0,actions=set_field:136->icmpv6_type,set_field:2->nd_options_type,' +
      'set_field:1610612736->nd_reserved,resubmit(,1)',
  );
  bridge.addFlow(`table=1,icmp6,icmp_type=136,icmp_code=0,actions=set_field:${B}->nd_tll,output:2`);
  const sniffed = world.sniff(to);
  const ip = ipv6('fd00::a', 'ff02::1:ff00:b', { hopLimit: 255 });
  const bytes = buildPacket([eth(A, '33:33:ff:00:00:0b'), ip, icmpv6(135), nd('fd00::b', { source: A })]);
  // The first goes through the slow path's own hands, the second finds the megaflow.
  for (let n = 0; n < 2; n++) {
    world.send(from, bytes);
    world.settle();
  }
  const answer = buildPacket([
    eth(A, '33:33:ff:00:00:0b'),
    ip,
    icmpv6(136, 0, 0x6000_0000),
    nd('fd00::b', { target: B }),
  ]);
  assert.deepEqual(sniffed, [answer, answer]);
});
