/** Packets to trace, in the text of `ovs-ofctl`: what the asker left out is filled in from the ports. */
import type { SpecOf } from '../../api-schema/kinds.ts';

/** Fields that say the same under several names. */
const ALIASES: readonly (readonly string[])[] = [
  ['dl_src', 'eth_src'],
  ['dl_dst', 'eth_dst'],
  ['nw_src', 'ip_src', 'ipv6_src', 'arp_spa'],
  ['nw_dst', 'ip_dst', 'ipv6_dst', 'arp_tpa'],
  ['nw_ttl'],
];
const V6 = /(?:^|,)\s*(?:ipv6|tcp6|udp6|sctp6|icmp6|ipv6_src=|ipv6_dst=|dl_type=0x86dd|eth_type=0x86dd)/;
const V4 = /(?:^|,)\s*(?:ip|tcp|udp|sctp|icmp|nw_src=|nw_dst=|dl_type=0x0?800|eth_type=0x0?800)(?:,|$|=)?/;
const NO_IP = /(?:^|,)\s*(?:arp|rarp|dl_type=|eth_type=)/;

/** What is of the switch that the packet left, and not of the packet. */
const NOT_OF_PACKET =
  /^(?:recirc_id|dp_hash|skb_priority|skb_mark|pkt_mark|in_port|metadata|actset_output|conj_id|packet_type|tun_\w+|tunnel\w*|ct_\w+|x{0,2}reg\d+|vlan_tci=0x0000(?:\/.*)?$|vlan_tci1=.*)/;

export interface Ends {
  readonly from: SpecOf<'logical-port'>;
  readonly to?: SpecOf<'logical-port'>;
  /** The MAC address that `from` sends to where `to` is behind a router. */
  readonly gateway?: string;
}

const fieldsOf = (flow: string): string[] =>
  flow
    .split(',')
    .map((f) => f.trim())
    .filter((f) => f !== '');

/** The packet with its addresses. */
export function completePacket(flow: string, { from, to, gateway }: Ends): string {
  const fields = fieldsOf(flow);
  const given = new Set(fields.map((f) => f.split('=', 1)[0]));
  const has = (name: string): boolean =>
    ALIASES.find((names) => names[0] === name)!.some((alias) => given.has(alias));
  const ips = (port: SpecOf<'logical-port'> | undefined): readonly string[] =>
    port?.addresses?.flatMap((a) => a.ips ?? []) ?? [];
  let v6 = V6.test(flow);
  let v4 = !v6 && V4.test(flow);
  if (!v4 && !v6 && !NO_IP.test(flow)) {
    // Nothing is said: an echo request, in the family that both ends have.
    const both4 = [from, to].every((p) => p === undefined || ips(p).some((ip) => !ip.includes(':')));
    v6 = !both4 && ips(from).some((ip) => ip.includes(':'));
    v4 = !v6;
    fields.unshift(...(v6 ? ['icmp6', 'icmp_type=128'] : ['icmp', 'icmp_type=8']));
  }
  const ip = (port: SpecOf<'logical-port'> | undefined): string | undefined =>
    ips(port).find((a) => a.includes(':') === v6);
  const add = (name: string, text: string, value: string | undefined): void => {
    if (value !== undefined && !has(name)) fields.push(`${text}=${value}`);
  };
  add('dl_src', 'dl_src', from.addresses?.[0]?.mac);
  add('dl_dst', 'dl_dst', gateway ?? to?.addresses?.[0]?.mac);
  if (v4 || v6) {
    add('nw_src', v6 ? 'ipv6_src' : 'nw_src', ip(from));
    add('nw_dst', v6 ? 'ipv6_dst' : 'nw_dst', ip(to));
    add('nw_ttl', 'nw_ttl', '64');
  }
  return fields.join(',');
}

/** The packet as it left a switch, by the words of `ofproto/trace`; `flow` where it was not changed. */
export function packetAfter(text: string, flow: string): string {
  // A packet that is resumed, after conntrack, is told of again; "unchanged" is then as it was resumed.
  const last = [...text.matchAll(/^Final flow: (.*)$/gm)]
    .map(([, found]) => found.trim())
    .findLast((found) => found !== 'unchanged');
  if (last === undefined) return flow;
  const fields = fieldsOf(last).filter((f) => !NOT_OF_PACKET.test(f));
  return fields.length === 0 ? flow : fields.join(',');
}
