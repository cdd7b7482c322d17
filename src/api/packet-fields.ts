/**
 * What a packet to be traced may say: fields of packets, and nothing of the switch. With `in_port`, `tun_id`, registers or
 * `metadata` in it, a trace could begin in somebody else's network.
 */
import { ModelError, show } from '../controller/model/problem.ts';

const KEYWORDS = 'ip,ipv6,icmp,icmp6,tcp,tcp6,udp,udp6,sctp,sctp6,arp,rarp';
const FIELDS =
  'dl_src,dl_dst,dl_type,dl_vlan,dl_vlan_pcp,eth_src,eth_dst,eth_type,vlan_tci,nw_src,nw_dst,nw_proto,nw_tos,nw_ecn,nw_ttl,nw_frag,' +
  'ip_src,ip_dst,ip_proto,ip_dscp,ip_ecn,ip_frag,ipv6_src,ipv6_dst,ipv6_label,tp_src,tp_dst,tcp_src,tcp_dst,tcp_flags,udp_src,udp_dst,' +
  'sctp_src,sctp_dst,icmp_type,icmp_code,icmpv4_type,icmpv4_code,icmpv6_type,icmpv6_code,arp_op,arp_spa,arp_tpa,arp_sha,arp_tha,' +
  'nd_target,nd_sll,nd_tll';
const KNOWN: ReadonlySet<string> = new Set([...KEYWORDS.split(','), ...FIELDS.split(',')]);
const WORD = /^([a-z][a-z0-9_]*)(?:=[0-9A-Za-z_:.+|/-]+)?$/;

/** Throws `bad-object` at "/flow" for anything but fields of packets. */
export function checkPacketFields(flow: string): void {
  for (const word of flow.split(',')) {
    const [, name] = WORD.exec(word.trim()) ?? [];
    if (word.trim() === '' || (name !== undefined && KNOWN.has(name))) continue;
    throw new ModelError('bad-object', [
      {
        member: '/flow',
        value: flow,
        message: `${show(word.trim())} is no field of a packet`,
        remedy: `give protocols (${KEYWORDS.replaceAll(',', ', ')}) and fields such as nw_dst=10.0.0.5 or tcp_dst=80`,
      },
    ]);
  }
}
