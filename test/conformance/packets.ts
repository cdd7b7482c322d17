import type { Random } from './random.ts';

/** Values that matches, actions and packets share, few enough that they meet. */
export const MACS = [
  '02:00:00:00:00:01',
  '02:00:00:00:00:02',
  '02:00:00:00:00:03',
  '02:00:00:00:01:03',
  'ff:ff:ff:ff:ff:ff',
  '01:00:5e:01:02:03',
  '01:80:c2:00:00:00',
];
export const IPS = ['10.0.0.1', '10.0.0.2', '10.0.1.1', '10.1.0.1', '192.168.0.1', '224.0.0.5'];
export const IP6S = ['fe80::1', 'fe80::2', '2001:db8::1', '2001:db8:0:1::1', 'ff02::1'];
export const PORTS = [0, 1, 53, 80, 81, 443, 8080, 65535];
export const VLANS = [0, 10, 20, 30];
export const IN_PORTS = [1, 2, 3, 4, 5, 6];

/** What a packet is: which fields its flow has, and so its match may have. */
export const KINDS = [
  'eth',
  'other',
  'arp',
  'ip',
  'tcp',
  'udp',
  'sctp',
  'icmp',
  'igmp',
  'ipv6',
  'tcp6',
  'udp6',
  'icmp6',
  'nd',
  'mpls',
] as const;
export type Kind = (typeof KINDS)[number];

/** Words for a kind that stand before its fields. */
export const KIND_WORDS: Readonly<Record<Kind, string>> = {
  eth: '',
  other: 'dl_type=0x1234',
  arp: 'arp',
  ip: 'ip',
  tcp: 'tcp',
  udp: 'udp',
  sctp: 'sctp',
  icmp: 'icmp',
  igmp: 'ip,nw_proto=2',
  ipv6: 'ipv6',
  tcp6: 'tcp6',
  udp6: 'udp6',
  icmp6: 'icmp6',
  nd: 'icmp6,icmpv6_type=135,icmpv6_code=0',
  mpls: 'mpls',
};

export const isIp4 = (kind: Kind): boolean => ['ip', 'tcp', 'udp', 'sctp', 'icmp', 'igmp'].includes(kind);
export const isIp6 = (kind: Kind): boolean => ['ipv6', 'tcp6', 'udp6', 'icmp6', 'nd'].includes(kind);
export const hasPorts = (kind: Kind): boolean => ['tcp', 'udp', 'sctp', 'tcp6', 'udp6'].includes(kind);

/** A packet as the flow text that `ofproto/trace BRIDGE FLOW` takes. */
export function randomPacket(r: Random): string {
  const kind = r.pick(KINDS.filter((k) => k !== 'eth'));
  const words = [`in_port=${r.pick(IN_PORTS)}`, KIND_WORDS[kind]];
  words.push(`dl_src=${r.pick(MACS.slice(0, 4))}`, `dl_dst=${r.pick(MACS)}`);
  const tags = r.pick([0, 0, 0, 1, 1, 1, 2]);
  if (tags > 0) {
    const vid = r.pick(VLANS);
    words.push(`dl_vlan=${vid}`, `dl_vlan_pcp=${r.pick(vid === 0 ? [3, 7] : [0, 0, 3, 7])}`);
  }
  if (isIp4(kind) || isIp6(kind)) {
    words.push(
      `nw_tos=${r.pick([0, 32, 184])}`,
      `nw_ecn=${r.int(4)}`,
      `nw_ttl=${r.pick([0, 1, 2, 64, 255])}`,
    );
    words.push(...addresses(r, kind));
    if (r.oneIn(8)) words.push(`ip_frag=${r.pick(['first', 'later'])}`);
  }
  const later = words.includes('ip_frag=later');
  // Stock takes the fields of a whole flow by their exact names only.
  const proto = kind.replace('6', '');
  if (hasPorts(kind) && !later) words.push(`${proto}_src=${r.pick(PORTS)}`, `${proto}_dst=${r.pick(PORTS)}`);
  if (proto === 'tcp' && !later) words.push(`tcp_flags=${r.pick([1, 2, 4, 16, 17, 18])}`);
  if (kind === 'icmp' && !later) words.push(`icmp_type=${r.pick([0, 3, 8])}`, `icmp_code=${r.pick([0, 1])}`);
  if (kind === 'icmp6' && !later)
    words.push(`icmpv6_type=${r.pick([1, 128, 129])}`, `icmpv6_code=${r.pick([0, 1])}`);
  if (kind === 'nd' && !later) words.push(`nd_target=${r.pick(IP6S)}`, `nd_sll=${r.pick(MACS)}`);
  if (kind === 'arp') {
    words.push(`arp_op=${r.pick([1, 2])}`, `arp_spa=${r.pick(IPS)}`, `arp_tpa=${r.pick(IPS)}`);
    words.push(`arp_sha=${r.pick(MACS)}`, `arp_tha=${r.pick(MACS)}`);
  }
  if (kind === 'mpls')
    words.push(
      `mpls_label=${r.pick([0, 7, 100])}`,
      `mpls_tc=${r.int(8)}`,
      `mpls_bos=${r.int(2)}`,
      `mpls_ttl=${r.pick([1, 64])}`,
    );
  return words.join(',');
}

/** Words that only `ofproto/trace` can give a packet: what no wire carries. */
export function randomMetadata(r: Random): string {
  const all = [
    `metadata=${r.int(4)}`,
    `reg0=${r.int(4)}`,
    `reg1=${r.int(8)}`,
    `tun_id=${r.int(3)}`,
    `pkt_mark=${r.int(3)}`,
    `skb_priority=${r.int(3)}`,
  ];
  return r
    .some(all, 2)
    .map((word) => `,${word}`)
    .join('');
}

function addresses(r: Random, kind: Kind): string[] {
  return isIp4(kind)
    ? [`nw_src=${r.pick(IPS)}`, `nw_dst=${r.pick(IPS)}`]
    : [`ipv6_src=${r.pick(IP6S)}`, `ipv6_dst=${r.pick(IP6S)}`, `ipv6_label=${r.pick([0, 5, 0xfffff])}`];
}
