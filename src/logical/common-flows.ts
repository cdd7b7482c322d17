/**
 * What switches and routers do alike, whosever they are: flows without a datapath, which every agent installs
 * once. The rules of the controller only add what is particular to a datapath. None of these can change
 * `metadata`, so none leads from one datapath into another. Their priorities are apart from those of the rules wherever
 * both could match.
 *
 * Verdicts of ACLs stand in reg9: 0 nothing said or allowed, 1 drop, 2 reject, 3 allow what answers too.
 */
import type { StageFlow } from './compile.ts';
import type { Stage } from './layout.ts';

const GROUP_ADDRESS = '01:00:00:00:00:00/01:00:00:00:00:00';
const TAGGED = 'vlan_tci=0x1000/0x1000';
/** Types of ICMPv6 messages that neighbours find each other by (RFC 4861); connections know nothing of them. */
const DISCOVERY_TYPES = [133, 134, 135, 136, 137];
/** Of these, what a machine does not send: that it is a router, or that another way is better. */
const CHECKED_TYPES = [134, 135, 136, 137];

function flow(stage: Stage, priority: number, match: string, actions: string): StageFlow {
  return { stage, priority, match, actions };
}

/** Conntrack, verdict and commit; the two directions differ in how a packet is answered. */
function firewall(direction: 'in' | 'out'): StageFlow[] {
  const conntrack = `ls-${direction}-conntrack` as const;
  const acl = `ls-${direction}-acl` as const;
  const commit = `ls-${direction}-commit` as const;
  const past = direction === 'in' ? 'next(ls-in-qos)' : 'next(ls-out-security)';
  const reject =
    direction === 'in'
      ? 'outport(inport),loopback,answer(reject,output)'
      : 'inport(outport),answer(reject,ls-in-destination)';
  // Established, not yet blocked, and in the direction that the connection was opened in.
  const open = 'ct_state=+trk+est-rpl,ct_mark=0';
  return [
    ...DISCOVERY_TYPES.map((type) => flow(conntrack, 110, `icmp6,icmp_type=${type}`, 'next')),
    flow(conntrack, 0, '', 'next'),
    flow(acl, 65000, 'ct_state=+trk+est+rpl-inv,ct_mark=0', past),
    flow(acl, 65000, 'ct_state=+trk+rel-est-inv,ct_mark=0', past),
    flow(acl, 0, '', 'next'),
    // Conntrack takes IP only, and OpenFlow has a flow say so.
    ...['ip', 'ipv6'].flatMap((protocol) => [
      flow(commit, 120, `${protocol},reg9=3,ct_state=+trk+new-est-inv`, 'ct_commit,next'),
      flow(commit, 120, `${protocol},reg9=3,ct_state=+trk+est-rpl,ct_mark=1`, 'ct_commit,next'),
      flow(commit, 110, `${protocol},reg9=0,${open}`, 'ct_commit(blocked),next'),
      flow(commit, 110, `${protocol},reg9=1,${open}`, 'ct_commit(blocked)'),
      flow(commit, 110, `${protocol},reg9=2,${open}`, `ct_commit(blocked),${reject}`),
    ]),
    flow(commit, 100, 'reg9=1', 'drop'),
    flow(commit, 100, 'reg9=2', reject),
    flow(commit, 0, '', 'next'),
  ];
}

const SWITCH: readonly StageFlow[] = [
  flow('ls-in-security', 110, `dl_src=${GROUP_ADDRESS}`, 'drop'),
  // IP from addresses that the port does not list; what is no IP passes below if its MAC address is right.
  flow('ls-in-security', 80, 'ip', 'drop'),
  flow('ls-in-security', 80, 'ipv6', 'drop'),

  // Only ports with port security come by here; what none of them may say is left over.
  flow('ls-in-discovery', 85, 'icmp6,icmp_type=135,icmp_code=0,nd_sll=00:00:00:00:00:00', 'next'),
  flow('ls-in-discovery', 80, 'arp', 'drop'),
  ...CHECKED_TYPES.map((type) => flow('ls-in-discovery', 80, `icmp6,icmp_type=${type}`, 'drop')),
  flow('ls-in-discovery', 0, '', 'next'),

  ...firewall('in'),
  flow('ls-in-qos', 0, '', 'next'),

  // Questions of somebody who only wants to know whether an address is taken are for its holder to answer.
  flow('ls-in-answer', 110, TAGGED, 'next'),
  flow('ls-in-answer', 110, 'arp,arp_spa=0.0.0.0', 'next'),
  flow('ls-in-answer', 110, 'icmp6,icmp_type=135,icmp_code=0,nd_sll=00:00:00:00:00:00', 'next'),
  flow('ls-in-answer', 0, '', 'next'),

  // A neighbour advertisement that the stage before made of a solicitation; only now is there such a field to write.
  flow(
    'ls-in-destination',
    200,
    'loopback=1,icmp6,icmp_type=136,icmp_code=0',
    'move:eth_src->nd_tll,outport(inport),output',
  ),
  flow('ls-in-destination', 100, `dl_dst=${GROUP_ADDRESS}`, 'outport(datapath),output'),

  flow('ls-out-unknown', 110, 'loopback=1', 'next(ls-out-security)'),
  flow('ls-out-unknown', 110, `dl_dst=${GROUP_ADDRESS}`, 'next'),
  flow('ls-out-unknown', 0, '', 'next'),
  ...firewall('out'),
  flow('ls-out-security', 110, 'loopback=1', 'deliver'),
  flow('ls-out-security', 95, `dl_dst=${GROUP_ADDRESS}`, 'deliver'),
  flow('ls-out-security', 95, 'ip,nw_dst=224.0.0.0/3', 'deliver'),
  flow('ls-out-security', 95, 'ipv6,ipv6_dst=ff00::/8', 'deliver'),
  flow('ls-out-security', 80, 'ip', 'drop'),
  flow('ls-out-security', 80, 'ipv6', 'drop'),
  flow('ls-out-security', 0, '', 'deliver'),
];

/** Addresses that no router may forward from or to (RFC 1812, 5.3.7; RFC 4291, 2.5). */
const NEVER_ROUTED = [
  'ip,nw_src=0.0.0.0/8',
  'ip,nw_src=127.0.0.0/8',
  'ip,nw_src=224.0.0.0/3',
  'ip,nw_dst=0.0.0.0/8',
  'ip,nw_dst=127.0.0.0/8',
  'ip,nw_dst=224.0.0.0/3',
  'ipv6,ipv6_src=::/127',
  'ipv6,ipv6_src=ff00::/8',
  'ipv6,ipv6_dst=::/127',
  'ipv6,ipv6_dst=ff00::/8',
];

const ROUTER: readonly StageFlow[] = [
  flow('lr-in-admit', 120, TAGGED, 'drop'),
  ...NEVER_ROUTED.map((match) => flow('lr-in-admit', 110, match, 'drop')),

  // Link-local addresses end at the link; those of the router itself have been seen to before.
  flow('lr-in-local', 60, 'ipv6,ipv6_src=fe80::/10', 'drop'),
  flow('lr-in-local', 60, 'ipv6,ipv6_dst=fe80::/10', 'drop'),
  flow('lr-in-local', 0, '', 'next'),

  ...['ip', 'ipv6'].flatMap((protocol) => [
    flow('lr-in-ttl', 100, `${protocol},nw_ttl=0`, 'drop'),
    flow('lr-in-ttl', 100, `${protocol},nw_ttl=1`, 'answer(ttl-exceeded,lr-in-route)'),
  ]),
  flow('lr-in-ttl', 0, '', 'next'),
  flow('lr-in-route', 0, '', 'answer(no-route,lr-in-route)'),
  flow('lr-in-neighbor', 0, '', 'answer(no-neighbor,lr-in-route)'),
];

export const COMMON_FLOWS: readonly StageFlow[] = [...SWITCH, ...ROUTER];
