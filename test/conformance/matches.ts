import {
  hasPorts,
  IN_PORTS,
  IP6S,
  IPS,
  isIp4,
  isIp6,
  KIND_WORDS,
  KINDS,
  type Kind,
  MACS,
  PORTS,
  VLANS,
} from './packets.ts';
import type { Random } from './random.ts';

/** A match and what it says of the packets that it takes, so that actions can keep to their prerequisites. */
export interface RandomMatch {
  readonly text: string;
  readonly kind: Kind;
  /** Whether it says that there is a VLAN tag. */
  readonly tagged: boolean;
}

const MAC_MASKS = ['ff:ff:ff:00:00:00', '01:00:00:00:00:00', 'ff:ff:ff:ff:ff:fe', '00:00:00:00:01:01'];

export function randomMatch(r: Random): RandomMatch {
  const kind = r.oneIn(3) ? 'eth' : r.pick(KINDS);
  const vlan = r.oneIn(4) ? vlanWord(r) : '';
  const words = [KIND_WORDS[kind], vlan, ...r.some(general(r), 2), ...r.some(ofKind(r, kind), 3)];
  const tagged = /^dl_vlan=\d|^vlan_tci=0x1...(\/0x1...)?$/.test(vlan);
  return { text: words.filter((word) => word !== '').join(','), kind, tagged };
}

function vlanWord(r: Random): string {
  return r.pick([
    `dl_vlan=${r.pick(VLANS)}`,
    `dl_vlan=${r.pick(VLANS)},dl_vlan_pcp=${r.pick([0, 3])}`,
    'vlan_tci=0x0000',
    'vlan_tci=0x0000/0x1000',
    'vlan_tci=0x1000/0x1000',
    'vlan_tci=0x100a/0x1fff',
    'vlan_tci=0x1002/0x1002',
    'vlan_tci=0x000a/0x0fff',
    'dl_vlan=0xffff',
  ]);
}

function macWord(r: Random, field: string): string {
  return `${field}=${r.pick(MACS)}${r.oneIn(3) ? `/${r.pick(MAC_MASKS)}` : ''}`;
}

function ipWord(r: Random, field: string): string {
  const masks = ['', '', '/8', '/16', '/24', '/30', '/31', '/255.0.255.0', '/0.0.0.3'];
  return `${field}=${r.pick(IPS)}${r.pick(masks)}`;
}

function ip6Word(r: Random, field: string): string {
  return `${field}=${r.pick(IP6S)}${r.pick(['', '', '/16', '/64', '/127', '/ffff::ff'])}`;
}

const masked = (r: Random, value: number, mask: string): string =>
  r.oneIn(3) ? `${value}/${mask}` : `${value}`;

function general(r: Random): string[] {
  return [
    `in_port=${r.pick(IN_PORTS)}`,
    macWord(r, 'dl_src'),
    macWord(r, 'dl_dst'),
    `reg0=${masked(r, r.int(4), '0x3')}`,
    `reg1=${masked(r, r.int(8), '0x5')}`,
    `xreg1=${r.int(4)}`,
    `metadata=${masked(r, r.int(4), '0x2')}`,
    `tun_id=${masked(r, r.int(3), '0x1')}`,
    `pkt_mark=${masked(r, r.int(3), '0x1')}`,
    `skb_priority=${r.int(2)}`,
    'ct_state=-trk',
    'recirc_id=0',
    'packet_type=(0,0)',
  ];
}

function ofKind(r: Random, kind: Kind): string[] {
  const words: string[] = [];
  if (isIp4(kind)) words.push(ipWord(r, 'nw_src'), ipWord(r, 'nw_dst'));
  if (isIp6(kind))
    words.push(ip6Word(r, 'ipv6_src'), ip6Word(r, 'ipv6_dst'), `ipv6_label=${masked(r, 5, '0x7')}`);
  if (isIp4(kind) || isIp6(kind)) {
    words.push(
      `nw_tos=${r.pick([0, 32, 184])}`,
      `nw_ecn=${r.int(4)}`,
      `nw_ttl=${r.pick([0, 1, 64])}`,
      `ip_frag=${r.pick(['no', 'yes', 'first', 'later', 'not_later'])}`,
    );
  }
  if (kind === 'ip') words.push(`nw_proto=${r.pick([1, 2, 6, 17, 50])}`);
  if (kind === 'ipv6') words.push(`nw_proto=${r.pick([6, 17, 58])}`);
  if (hasPorts(kind)) words.push(portWord(r, 'tp_src'), portWord(r, 'tp_dst'));
  if (kind === 'tcp' || kind === 'tcp6')
    words.push(`tcp_flags=${r.pick(['+syn', '-ack', '+fin-syn', '0x12/0x12', '0'])}`);
  if (kind === 'icmp') words.push(`icmp_type=${r.pick([0, 3, 8])}`, `icmp_code=${r.int(2)}`);
  if (kind === 'icmp6') words.push(`icmp_type=${r.pick([1, 128, 129, 135])}`, `icmp_code=${r.int(2)}`);
  if (kind === 'nd') words.push(ip6Word(r, 'nd_target'), macWord(r, 'nd_sll'));
  if (kind === 'arp') {
    words.push(`arp_op=${r.pick([1, 2, 3])}`, ipWord(r, 'arp_spa'), ipWord(r, 'arp_tpa'));
    words.push(macWord(r, 'arp_sha'), macWord(r, 'arp_tha'));
  }
  if (kind === 'mpls')
    words.push(
      `mpls_label=${r.pick([0, 7, 100])}`,
      `mpls_tc=${r.int(8)}`,
      `mpls_bos=${r.int(2)}`,
      `mpls_ttl=${r.pick([1, 64])}`,
    );
  return words;
}

function portWord(r: Random, field: string): string {
  return `${field}=${r.pick(PORTS)}${r.pick(['', '', '/0xfff0', '/0x1', '/0xff00'])}`;
}
