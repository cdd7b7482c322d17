import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import * as L from '../../flow/layout.ts';
import { get16, toHex } from '../../wire/bytes.ts';
import { addBytes, fold, pseudoHeader } from '../../wire/checksum.ts';
import { composePacket } from './compose.ts';
import { extractFlow } from './extract.ts';
import { Packet } from './packet.ts';

type Words = readonly (readonly [word: number, value: number])[];

function flowOf(words: Words): L.Flow {
  const flow = L.newFlow();
  flow.set([0x66778899, 0xaabb0011, 0x22334455], L.W_ETH);
  for (const [word, value] of words) flow[word] = value;
  return flow;
}

const IPV4: Words = [
  [L.W_ETH_TYPE, 0x08000000],
  [L.W_NW_SRC, 0x0a000001],
  [L.W_NW_DST, 0x0a000002],
];
const IPV6: Words = [
  [L.W_ETH_TYPE, 0x86dd0000],
  [L.W_IPV6_SRC, 0xfe800000],
  [L.W_IPV6_SRC + 3, 1],
  [L.W_IPV6_DST, 0xfe800000],
  [L.W_IPV6_DST + 3, 2],
  [L.W_IPV6_LABEL, 0x12345],
];

/** The same flow as OpenFlow text for stock tools, and as words of a key. */
const CASES: readonly (readonly [string, Words])[] = [
  [
    'tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=4,nw_ttl=64,tcp_src=80,tcp_dst=1000,tcp_flags=ack',
    [...IPV4, [L.W_NW, 0x00044006], [L.W_TP, (80 << 16) | 1000], [L.W_TCP_FLAGS, 0x100000]],
  ],
  [
    'tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tcp_src=80,tcp_dst=1000,tcp_flags=syn',
    [...IPV4, [L.W_NW, 0x4006], [L.W_TP, (80 << 16) | 1000], [L.W_TCP_FLAGS, 0x20000]],
  ],
  [
    'dl_vlan=5,dl_vlan_pcp=3,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=1,udp_src=53,udp_dst=54',
    [...IPV4, [L.W_VLAN, 0x81007005], [L.W_NW, 0x111], [L.W_TP, (53 << 16) | 54]],
  ],
  ['udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=later', [...IPV4, [L.W_NW, 0x03000011]]],
  ['sctp,nw_src=10.0.0.1,nw_dst=10.0.0.2,sctp_src=1,sctp_dst=2', [...IPV4, [L.W_NW, 132], [L.W_TP, 0x10002]]],
  ['icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=8', [...IPV4, [L.W_NW, 1], [L.W_TP, 8 << 16]]],
  [
    'icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=3,icmp_code=1',
    [...IPV4, [L.W_NW, 1], [L.W_TP, (3 << 16) | 1]],
  ],
  [
    'tcp6,ipv6_src=fe80::1,ipv6_dst=fe80::2,ipv6_label=0x12345,nw_tos=8,tcp_src=1,tcp_dst=2',
    [...IPV6, [L.W_NW, 0x00080006], [L.W_TP, 0x10002]],
  ],
  [
    'icmp6,ipv6_src=fe80::1,ipv6_dst=fe80::2,ipv6_label=0x12345,icmpv6_type=128',
    [...IPV6, [L.W_NW, 58], [L.W_TP, 128 << 16]],
  ],
  [
    'icmp6,ipv6_src=fe80::1,ipv6_dst=fe80::2,ipv6_label=0x12345,icmpv6_type=135,icmpv6_code=0,nd_target=::7,nd_sll=02:00:00:00:00:01',
    [
      ...IPV6,
      [L.W_NW, 58],
      [L.W_TP, 135 << 16],
      [L.W_ND_TARGET + 3, 7],
      [L.W_ARP_HA, 0x02000000],
      [L.W_ARP_HA + 1, 0x10000],
      [L.W_ND_OPTIONS, 0x01000000],
    ],
  ],
  [
    'arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1,arp_sha=02:00:00:00:00:01',
    [...IPV4, [L.W_ETH_TYPE, 0x08060000], [L.W_NW, 1], [L.W_ARP_HA, 0x02000000], [L.W_ARP_HA + 1, 0x10000]],
  ],
  [
    'mpls,mpls_label=100,mpls_tc=3,mpls_ttl=64,mpls_bos=1',
    [
      [L.W_ETH_TYPE, 0x88470000],
      [L.W_MPLS, (100 << 12) | (3 << 9) | 0x100 | 64],
    ],
  ],
  ['dl_type=0x1234', [[L.W_ETH_TYPE, 0x12340000]]],
];

const noOfctl = spawnSync('ovs-ofctl', ['--version']).status === 0 ? false : 'ovs-ofctl is not installed';

test('packets are byte for byte those that stock Open vSwitch composes', { skip: noOfctl }, () => {
  for (const [text, words] of CASES) {
    const flow = `dl_src=00:11:22:33:44:55,dl_dst=66:77:88:99:aa:bb,${text}`;
    const result = spawnSync('ovs-ofctl', ['compose-packet', flow], { encoding: 'utf8' });
    assert.notEqual(result.stdout, '', `${flow}: ${result.stderr}`);
    const stock = result.stdout
      .split('\n')
      .map((line) => line.slice(8, 57).replace(/[^0-9a-f]/g, ''))
      .join('');
    assert.equal(toHex(composePacket(flowOf(words))!), stock, text);
  }
});

test('extraction gives the key back, IPv6 fragments and VLAN tags included', () => {
  const more: Words[] = [
    [...IPV6, [L.W_NW, 0x01004006], [L.W_TP, 0x10002]],
    [...IPV6, [L.W_NW, 0x0300402c]],
    [...IPV4, [L.W_VLAN, 0x88a81001], [L.W_VLAN + 1, 0x8100f002], [L.W_NW, 17], [L.W_TP, 0x10002]],
    [...IPV4, [L.W_NW, 2], [L.W_TP, (0x16 << 16) | 3], [L.W_IGMP_GROUP, 0xe0000001]],
  ];
  for (const words of [...CASES.map(([, w]) => w), ...more]) {
    const flow = flowOf(words);
    const back = L.newFlow();
    extractFlow(new Packet(composePacket(flow)!), back);
    assert.deepEqual(back, flow);
  }
});

test('a given length is filled up, and lengths and checksums cover the filling', () => {
  const flow = flowOf(CASES[2][1]);
  const bytes = composePacket(flow, { length: 100 })!;
  assert.equal(bytes.length, 100);
  assert.equal(get16(bytes, 18 + 2), 82);
  assert.equal(get16(bytes, 38 + 4), 62);
  assert.equal(fold(addBytes(pseudoHeader(bytes, 18, 17, 62), bytes, 38, 100)), 0xffff);
  assert.equal(composePacket(flow, { length: 40 }), null);
});
