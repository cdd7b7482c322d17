/** What universal flows may name: fields of the packet, scratch registers, results of conntrack, kinds of answers. */

/** Fields that a match may name. Those of the packet, of conntrack, and the scratch registers; nothing that a host gives a meaning. */
export const MATCH_FIELDS: ReadonlySet<string> = new Set(
  [
    'dl_src dl_dst dl_type eth_src eth_dst eth_type vlan_tci dl_vlan dl_vlan_pcp vlan_vid vlan_pcp',
    'nw_src nw_dst ip_src ip_dst ipv6_src ipv6_dst nw_proto ip_proto nw_tos ip_dscp nw_ecn nw_ttl ip_frag nw_frag',
    'arp_op arp_spa arp_tpa arp_sha arp_tha nd_target nd_sll nd_tll nd_options_type nd_reserved',
    'tp_src tp_dst tcp_src tcp_dst tcp_flags udp_src udp_dst sctp_src sctp_dst',
    'icmp_type icmp_code icmpv6_type icmpv6_code',
    'ct_state ct_mark ct_nw_proto ct_nw_src ct_nw_dst ct_ipv6_src ct_ipv6_dst ct_tp_src ct_tp_dst',
    'reg0 reg1 reg2 reg3 reg4 reg5 reg6 reg7 reg8 reg9 xxreg0 xxreg1',
  ].flatMap((line) => line.split(' ')),
);

/** Words that stand for a protocol and take no value. */
export const MATCH_PROTOCOLS: ReadonlySet<string> = new Set(
  'ip ipv6 arp rarp icmp icmp6 tcp udp sctp tcp6 udp6 sctp6'.split(' '),
);

/** Fields that actions may write. Tags are not among them: what a tenant's frames carry behind the addresses is theirs. */
export const WRITABLE_FIELDS: ReadonlySet<string> = new Set(
  [
    'eth_src eth_dst ip_src ip_dst ipv6_src ipv6_dst nw_tos ip_dscp nw_ecn nw_ttl',
    'arp_op arp_spa arp_tpa arp_sha arp_tha nd_target nd_sll nd_tll nd_options_type nd_reserved',
    'tcp_src tcp_dst udp_src udp_dst sctp_src sctp_dst icmp_type icmp_code icmpv6_type icmpv6_code',
    'reg0 reg1 reg2 reg3 reg4 reg5 reg6 reg7 reg8 reg9 xxreg0 xxreg1',
  ].flatMap((line) => line.split(' ')),
);

/**
 * Answers that need a packet made anew. All have the question's Ethernet and IP addresses swapped, and TTL or hop limit 255
 * (`reject`) or 64 (the errors). `reject` answers TCP with a reset (RFC 9293, 3.10.7) from the question's destination, and all else with an
 * ICMP error "administratively prohibited" (type 3 code 10, RFC 1122; ICMPv6 type 1 code 1, RFC 4443), from there too.
 * The others are ICMP errors of a router: time exceeded (11/0; 3/0), no route (3/0; 1/0), no neighbour (3/1; 1/3). Their source is
 * in reg4 (IPv4) or xxreg1 (IPv6); zero there: the router has no such address, and does not answer. No error
 * is about another ICMP error, a fragment but the first, or from or to a multicast or broadcast address (RFC 1122, 3.2.2).
 */
export const ANSWERS = {
  reject: 1,
  'ttl-exceeded': 2,
  'no-route': 3,
  'no-neighbor': 4,
} as const;
export type AnswerKind = keyof typeof ANSWERS;

/** The userdata of packet-ins that ask for an answer: these two bytes, then the kind's number. */
export const ANSWER_USERDATA: readonly [number, number] = [0x77, 0x66];

/** The kind of answer that a packet-in's userdata asks for; undefined if it asks for none. */
export function answerKind(userdata: Uint8Array): AnswerKind | undefined {
  if (userdata.length !== 3 || userdata[0] !== ANSWER_USERDATA[0] || userdata[1] !== ANSWER_USERDATA[1]) {
    return undefined;
  }
  for (const [kind, number] of Object.entries(ANSWERS)) {
    if (number === userdata[2] && kind in ANSWERS) return kind as AnswerKind;
  }
  return undefined;
}
