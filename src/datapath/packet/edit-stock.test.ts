import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as L from '../../flow/layout.ts';
import { fromHex, toHex } from '../../wire/bytes.ts';
import { arp, eth, icmp, icmpv6, ipv4, ipv6, mpls, nd, sctp, tcp, udp, vlan } from '../../wire/make.ts';
import { buildPacket } from '../../wire/packet.ts';
import { StockSwitch, stockMissing } from '../conformance/stock-switch.ts';
import type { DpAction, SetGroup } from '../types.ts';
import { applyEdit } from './edit.ts';
import { extractFlow } from './extract.ts';
import { Packet } from './packet.ts';

/**
 * The same packets go through a stock switch with dummy ports, which applies an OpenFlow action to each
 * and writes what comes out into a pcap file; and through ours.
 */

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const V4 = ipv4('10.0.0.1', '10.0.0.2', { tos: 0x14, ttl: 9 });
const V6 = ipv6('fe80::1', 'fe80::2', { label: 0x12345 });
const DATA = fromHex('0102030405')!;
const frame = (...layers: Parameters<typeof buildPacket>[0]): Uint8Array =>
  buildPacket([eth(A, B), ...layers], DATA);
const set = (group: SetGroup, word: number, value: number, mask = 0xffffffff): DpAction => ({
  type: 'set',
  group,
  words: [{ word, value, mask }],
});

interface Case {
  readonly matches: readonly string[];
  readonly openflow: string;
  readonly actions: readonly DpAction[];
  readonly packets: readonly Uint8Array[];
}

const IPV4 = [
  frame(V4, tcp(80, 81)),
  frame(V4, udp(53, 54)),
  frame(V4, udp(53, 54, { checksum: 0 })),
  frame(V4, sctp(7, 8)),
  frame(V4, icmp(8)),
  frame(vlan(5), V4, tcp(1, 2)),
];
const IPV6 = [frame(V6, tcp(80, 81)), frame(V6, udp(53, 54)), frame(V6, icmpv6(128))];

const CASES: readonly Case[] = [
  {
    matches: ['ip'],
    openflow: 'mod_nw_src:1.2.3.4',
    actions: [set('ipv4', L.W_NW_SRC, 0x01020304)],
    packets: IPV4,
  },
  {
    matches: ['ip'],
    openflow: 'mod_nw_dst:255.255.255.255',
    actions: [set('ipv4', L.W_NW_DST, 0xffffffff)],
    packets: IPV4,
  },
  {
    matches: ['ip'],
    openflow: 'mod_nw_tos:252',
    actions: [set('ipv4', L.W_NW, 0xfc0000, 0xfc0000)],
    packets: IPV4,
  },
  { matches: ['ip'], openflow: 'dec_ttl', actions: [set('ipv4', L.W_NW, 8 << 8, 0xff00)], packets: IPV4 },
  {
    matches: ['ipv6'],
    openflow: 'set_field:2001:db8::7->ipv6_src',
    actions: [
      {
        type: 'set',
        group: 'ipv6',
        words: [0x20010db8, 0, 0, 7].map((value, i) => ({ word: L.W_IPV6_SRC + i, value, mask: 0xffffffff })),
      },
    ],
    packets: IPV6,
  },
  {
    matches: ['ipv6'],
    openflow: 'set_field:0x54321->ipv6_label',
    actions: [set('ipv6', L.W_IPV6_LABEL, 0x54321, 0xfffff)],
    packets: IPV6,
  },
  {
    matches: ['tcp', 'tcp6'],
    openflow: 'mod_tp_src:4660',
    actions: [set('tcp', L.W_TP, 0x12340000, 0xffff0000)],
    packets: [IPV4[0], IPV4[5], IPV6[0]],
  },
  {
    matches: ['udp', 'udp6'],
    openflow: 'mod_tp_dst:4660',
    actions: [set('udp', L.W_TP, 0x1234, 0xffff)],
    packets: [IPV4[1], IPV4[2], IPV6[1]],
  },
  {
    matches: ['sctp'],
    openflow: 'mod_tp_dst:4660',
    actions: [set('sctp', L.W_TP, 0x1234, 0xffff)],
    packets: [IPV4[3]],
  },
  {
    matches: ['icmp'],
    openflow: 'set_field:3->icmp_type',
    actions: [set('icmp', L.W_TP, 3 << 16, 0xff0000)],
    packets: [IPV4[4]],
  },
  {
    matches: ['icmp6,icmp_type=135,icmp_code=0'],
    openflow: 'set_field:0a:0b:0c:0d:0e:0f->nd_sll',
    actions: [
      {
        type: 'set',
        group: 'nd',
        words: [
          { word: L.W_ARP_HA, value: 0x0a0b0c0d, mask: 0xffffffff },
          { word: L.W_ARP_HA + 1, value: 0x0e0f0000, mask: 0xffff0000 },
        ],
      },
    ],
    packets: [buildPacket([eth(A, B), V6, icmpv6(135), nd('fe80::3', { source: A })])],
  },
  {
    matches: ['arp'],
    openflow: 'set_field:2->arp_op',
    actions: [set('arp', L.W_NW, 2, 0xff)],
    packets: [buildPacket([eth(A, B), arp(1, A, '10.0.0.1', B, '10.0.0.2')])],
  },
  {
    matches: ['arp'],
    openflow: 'set_field:9.9.9.9->arp_tpa',
    actions: [set('arp', L.W_NW_DST, 0x09090909)],
    packets: [buildPacket([eth(A, B), arp(1, A, '10.0.0.1', B, '10.0.0.2')])],
  },
  {
    matches: ['ip', 'ipv6'],
    openflow: 'push_vlan:0x88a8,set_field:4103->vlan_vid',
    actions: [{ type: 'push_vlan', tpid: 0x88a8, tci: 0x1007 }],
    packets: [IPV4[0], IPV6[0]],
  },
  { matches: ['dl_vlan=5'], openflow: 'strip_vlan', actions: [{ type: 'pop_vlan' }], packets: [IPV4[5]] },
  {
    matches: ['ip'],
    openflow: 'push_mpls:0x8847,set_field:77->mpls_label',
    actions: [{ type: 'push_mpls', ethertype: 0x8847, lse: ((77 << 12) | (5 << 9) | 0x100 | 9) >>> 0 }],
    packets: [IPV4[0], IPV4[5]],
  },
  {
    matches: ['mpls'],
    openflow: 'push_mpls:0x8847,set_field:77->mpls_label',
    actions: [{ type: 'push_mpls', ethertype: 0x8847, lse: ((77 << 12) | 64) >>> 0 }],
    packets: [frame(mpls(5), V4, udp(1, 2))],
  },
  {
    matches: ['mpls'],
    openflow: 'pop_mpls:0x0800',
    actions: [{ type: 'pop_mpls', ethertype: 0x0800 }],
    packets: [frame(mpls(5), V4, udp(1, 2)), frame(vlan(3), mpls(5), V4, udp(1, 2))],
  },
];

test('edited packets are byte for byte those of stock Open vSwitch', { skip: stockMissing() }, async () => {
  const stock = new StockSwitch();
  try {
    await stock.start();
    let count = 0;
    for (const { matches, openflow, actions, packets } of CASES) {
      stock.run('ovs-ofctl', 'del-flows', 'br0');
      for (const match of matches) {
        const flow = `priority=${match.length},in_port=1,${match},actions=${openflow},output:2`;
        stock.run('ovs-ofctl', '-O', 'OpenFlow13', 'add-flow', 'br0', flow);
      }
      const before = count;
      for (const packet of packets) stock.run('ovs-appctl', 'netdev-dummy/receive', 'p1', toHex(packet));
      count += packets.length;
      const sent = (await stock.sent('p2', count)).slice(before);
      assert.equal(sent.length, packets.length, `packets sent with ${openflow}`);
      packets.forEach((bytes, i) => {
        const packet = Packet.copyOf(bytes);
        extractFlow(packet, L.newFlow());
        for (const action of actions) assert.ok(applyEdit(packet, action));
        assert.equal(toHex(packet.bytes()), toHex(sent[i]), `${openflow}, packet ${i}`);
      });
    }
  } finally {
    stock.stop();
  }
});
