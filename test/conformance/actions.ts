import type { RandomMatch } from './matches.ts';
import { hasPorts, IP6S, IPS, isIp4, isIp6, MACS, PORTS, VLANS } from './packets.ts';
import type { Random } from './random.ts';

/** Tables 0 to 5 are used; a resubmit may go to any of them, a goto only further on. */
export const TABLES = 6;

export interface ActionOptions {
  readonly match: RandomMatch;
  readonly table: number;
  readonly groups: readonly number[];
  /** How many more may nest in a clone or an action set. */
  readonly depth: number;
}

type Maker = (r: Random, o: ActionOptions) => string;

/** A flow's actions. */
export function randomActions(r: Random, o: ActionOptions): string {
  const list = r.many(1, 4, () => randomAction(r, o));
  if (r.oneIn(12)) list.push('exit');
  // What OpenFlow calls instructions has an order of its own.
  if (r.oneIn(12)) list.push('clear_actions');
  if (r.oneIn(6)) list.push(`write_actions(${r.many(1, 3, () => setAction(r, o)).join(',')})`);
  if (r.oneIn(8)) list.push(`write_metadata:${r.int(4)}${r.pick(['', '/0x3', '/0x1'])}`);
  if (o.table + 1 < TABLES && r.oneIn(5))
    list.push(`goto_table:${o.table + 1 + r.int(TABLES - o.table - 1)}`);
  return list.join(',');
}

function randomAction(r: Random, o: ActionOptions): string {
  const { kind } = o.match;
  const makers: Maker[][] = [output, output, flow, flow, fields, fields, vlan, stack];
  if (isIp4(kind) || isIp6(kind)) makers.push(ip, ip);
  if (isIp4(kind)) makers.push(ip4);
  if (isIp6(kind)) makers.push(ip6);
  if (hasPorts(kind)) makers.push(ports, ports);
  if (kind === 'tcp' || kind === 'tcp6') makers.push([() => 'fin_timeout(idle_timeout=10,hard_timeout=20)']);
  if (kind === 'arp') makers.push(arp, arp);
  if (kind === 'nd') makers.push(nd, nd);
  if (kind === 'mpls') makers.push(mpls, mpls);
  if (r.oneIn(4)) makers.push(rare, rare, rare);
  if (o.depth > 0) makers.push([nested]);
  if (o.groups.length > 0) makers.push([(r2, o2) => `group:${r2.pick(o2.groups)}`]);
  return r.pick(r.pick(makers))(r, o);
}

const nested: Maker = (r, o) => {
  const inner = { ...o, depth: o.depth - 1 };
  return `clone(${r.many(1, 3, () => randomAction(r, inner)).join(',')})`;
};

const output: Maker[] = [
  (r) => `output:${r.pick([1, 2, 3, 4, 5, 6, 6, 9])}`,
  (r) => `output:${r.pick([1, 2, 3, 4, 5, 6])}`,
  () => 'NORMAL',
  () => 'NORMAL',
  (r) => r.pick(['IN_PORT', 'FLOOD', 'ALL', 'LOCAL']),
  (r) =>
    `output:${r.pick(['NXM_NX_REG0[]', 'NXM_NX_REG0[0..2]', 'NXM_NX_REG1[0..15]', 'NXM_OF_IN_PORT[]', 'NXM_OF_ETH_SRC[0..2]'])}`,
  (r) =>
    `controller(${r.pick(['max_len=0', 'max_len=128,reason=action', 'max_len=65535,id=7', 'userdata=01.02', 'reason=invalid_ttl,max_len=65535'])})`,
  (r) => `output(port=${r.pick([1, 2, 3])},max_len=${r.pick([64, 100])})`,
  (r) => `enqueue:${r.pick([1, 2])}:${r.int(2)}`,
];

const flow: Maker[] = [
  (r) => `resubmit(,${r.int(TABLES)})`,
  (r) => `resubmit(,${r.int(TABLES)})`,
  (r) => `resubmit(,${r.int(TABLES)})`,
  (r) => `resubmit(${r.pick([1, 2, 3])},${r.int(TABLES)})`,
  (r) => `resubmit:${r.pick([1, 2, 3])}`,
  (r) => `set_queue:${r.int(3)}`,
  () => 'pop_queue',
  () => 'note:01.02.03',
];

const fields: Maker[] = [
  (r) => `set_field:${r.int(6)}->reg${r.int(3)}`,
  (r) => `set_field:${r.int(8)}/0x${r.pick(['1', '3', '6'])}->reg${r.int(2)}`,
  (r) => `load:${r.int(4)}->NXM_NX_REG${r.int(2)}[${r.pick(['0..1', '1..2', '8..15', ''])}]`,
  (r) => `set_field:${r.int(4)}->metadata`,
  (r) => `set_field:0x10000000${r.int(4)}->xreg${r.int(2)}`,
  (r) => `set_field:${r.int(3)}->pkt_mark`,
  (r) => `set_tunnel:${r.int(3)}`,
  (r) => `set_tunnel64:0x1${r.int(3)}00000000`,
  (r) => `mod_dl_src:${r.pick(MACS)}`,
  (r) => `mod_dl_dst:${r.pick(MACS)}`,
  (r) =>
    `set_field:${r.pick(MACS)}/${r.pick(['ff:ff:ff:00:00:00', '00:00:00:00:00:ff'])}->${r.pick(['eth_src', 'eth_dst'])}`,
  (r) => `load:${r.int(4)}->NXM_OF_ETH_DST[0..${r.pick([1, 7])}]`,
  (r) =>
    `move:${r.pick(['NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]', 'NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[]', 'NXM_OF_ETH_SRC[0..15]->NXM_NX_REG1[0..15]', 'NXM_NX_REG0[0..7]->NXM_OF_ETH_DST[8..15]'])}`,
  (r) =>
    `move:${r.pick(['NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]', 'NXM_NX_REG0[]->NXM_NX_REG1[]', 'NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[]', 'OXM_OF_METADATA[0..7]->NXM_NX_REG1[0..7]', 'NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG0[0..11]', 'NXM_NX_PKT_MARK[]->NXM_NX_REG0[]'])}`,
  (r) => `load:${r.pick([1, 2, 0xffff])}->NXM_OF_IN_PORT[]`,
];

const vlan: Maker[] = [
  (r) => `mod_vlan_vid:${r.pick(VLANS)}`,
  (r) => `mod_vlan_pcp:${r.int(8)}`,
  () => 'strip_vlan',
  (r) => `push_vlan:${r.pick(['0x8100', '0x88a8'])}`,
  (r) => `push_vlan:0x8100,set_field:${4096 + r.pick(VLANS)}->vlan_vid`,
  (r, o) =>
    o.match.tagged
      ? `set_field:${4096 + r.pick(VLANS)}->vlan_vid`
      : `load:${r.pick(['0', '0x100a', '0x7014'])}->NXM_OF_VLAN_TCI[]`,
  (r, o) =>
    o.match.tagged ? `set_vlan_vid:${r.pick(VLANS)}` : `load:${r.pick(VLANS)}->NXM_OF_VLAN_TCI[0..11]`,
];

const stack: Maker[] = [
  (r) =>
    `push:${r.pick(['NXM_NX_REG0[]', 'NXM_OF_ETH_SRC[]', 'NXM_OF_ETH_DST[0..15]', 'NXM_OF_IN_PORT[]', 'NXM_OF_VLAN_TCI[]'])}`,
  (r) => `pop:${r.pick(['NXM_NX_REG0[]', 'NXM_NX_REG1[0..7]', 'NXM_OF_ETH_DST[]', 'NXM_OF_ETH_SRC[0..15]'])}`,
];

const ip: Maker[] = [
  () => 'dec_ttl',
  () => 'dec_ttl(1,2)',
  (r) => `mod_nw_tos:${r.pick([0, 32, 184])}`,
  (r) => `mod_nw_ecn:${r.int(4)}`,
  (r) => `mod_nw_ttl:${r.pick([1, 64])}`,
  (r) => `set_field:${r.int(64)}->ip_dscp`,
  (r) => `load:${r.int(4)}->NXM_NX_IP_TTL[0..1]`,
  () => 'move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7]',
];

const ip4: Maker[] = [
  (r) => `mod_nw_src:${r.pick(IPS)}`,
  (r) => `mod_nw_dst:${r.pick(IPS)}`,
  (r) => `set_field:${r.pick(IPS)}/${r.pick(['255.255.0.0', '0.0.0.255'])}->${r.pick(['ip_src', 'ip_dst'])}`,
  () => 'move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]',
  () => 'move:NXM_OF_IP_DST[0..7]->NXM_NX_REG0[0..7]',
  (r) => `load:${r.int(256)}->NXM_OF_IP_DST[0..7]`,
];

const ip6: Maker[] = [
  (r) => `set_field:${r.pick(IP6S)}->${r.pick(['ipv6_src', 'ipv6_dst'])}`,
  (r) => `set_field:${r.pick(IP6S)}/ffff::->ipv6_dst`,
  (r) => `set_field:${r.int(16)}->ipv6_label`,
  () => 'move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]',
  () => 'move:NXM_NX_IPV6_DST[0..31]->NXM_NX_REG1[]',
];

const proto = (o: ActionOptions): string => o.match.kind.replace('6', '');
const ports: Maker[] = [
  (r) => `mod_tp_src:${r.pick(PORTS)}`,
  (r) => `mod_tp_dst:${r.pick(PORTS)}`,
  (r, o) => `set_field:${r.pick(PORTS)}->${proto(o)}_${r.pick(['src', 'dst'])}`,
  (r, o) => `set_field:${r.int(16)}/0xf->${proto(o)}_dst`,
  (_r, o) =>
    o.match.kind === 'sctp' ? 'note:07' : `move:NXM_OF_${proto(o).toUpperCase()}_SRC[]->NXM_NX_REG0[0..15]`,
  (_r, o) =>
    o.match.kind === 'sctp'
      ? 'note:08'
      : `move:NXM_OF_${proto(o).toUpperCase()}_SRC[]->NXM_OF_${proto(o).toUpperCase()}_DST[]`,
];

const arp: Maker[] = [
  (r) => `set_field:${r.pick([1, 2])}->arp_op`,
  (r) => `set_field:${r.pick(IPS)}->${r.pick(['arp_spa', 'arp_tpa'])}`,
  (r) => `set_field:${r.pick(MACS)}->${r.pick(['arp_sha', 'arp_tha'])}`,
  () => 'move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]',
  () => 'move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]',
];

/** An answer made of a question is the second of these. */
const nd: Maker[] = [
  (r) => `set_field:${r.pick(IP6S)}->nd_target`,
  (r) =>
    `set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:${r.pick([0, 0x60000000])}->nd_reserved,set_field:${r.pick(MACS)}->nd_tll`,
  (r) => `set_field:${r.pick(MACS)}->nd_sll`,
];

const mpls: Maker[] = [
  (r) => `pop_mpls:${r.pick(['0x0800', '0x86dd', '0x8847', '0x1234'])}`,
  (r) => `set_field:${r.pick([0, 7, 1000])}->mpls_label`,
  (r) => `set_field:${r.int(8)}->mpls_tc`,
  () => 'dec_mpls_ttl',
  (r) => `set_mpls_ttl:${r.pick([1, 64])}`,
];

const HASHES = [
  'eth_src',
  'symmetric_l4',
  'symmetric_l3l4',
  'symmetric_l3l4+udp',
  'nw_src',
  'nw_dst',
  'symmetric_l3',
];
const rare: Maker[] = [
  (r) =>
    `multipath(${r.pick(HASHES)},${r.int(60)},${r.pick(['modulo_n', 'hash_threshold', 'hrw', 'iter_hash'])},${r.pick([1, 2, 3, 7])},${r.int(3)},NXM_NX_REG${r.int(2)}[${r.pick(['0..3', '', '8..15'])}])`,
  (r) =>
    `bundle(${r.pick(HASHES)},${r.int(60)},${r.pick(['hrw', 'active_backup'])},ofport,members:${r.pick(['1,2,3', '9,2', '9', '4,5'])})`,
  (r) =>
    `bundle_load(${r.pick(HASHES)},${r.int(60)},${r.pick(['hrw', 'active_backup'])},ofport,NXM_NX_REG0[0..15],members:${r.pick(['1,2,3', '9,2', '4,5'])})`,
  (r) => `check_pkt_larger(${r.pick([60, 100, 1500])})->NXM_NX_REG0[${r.int(3)}]`,
  (r) => `push_mpls:${r.pick(['0x8847', '0x8848'])}`,
  (r) =>
    `learn(table=${1 + r.int(TABLES - 1)},priority=${r.pick([5, 50])},NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])`,
  (r) => `learn(table=${1 + r.int(TABLES - 1)},NXM_OF_VLAN_TCI[0..11],load:${r.int(4)}->NXM_NX_REG0[0..7])`,
  (r) =>
    `learn(table=${1 + r.int(TABLES - 1)},hard_timeout=60,cookie=0x77,in_port=2,load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15],output:NXM_NX_REG0[0..15])`,
  (r) =>
    `learn(table=${1 + r.int(TABLES - 1)},limit=2,NXM_OF_ETH_SRC[],load:NXM_OF_ETH_DST[0..15]->NXM_NX_REG0[16..31])`,
  () => 'dec_nsh_ttl,note:01',
  (r) => `delete_field:tun_metadata${r.int(2)}`,
  () => 'debug_slow',
  (r) => `sample(probability=${r.pick([65535, 100])},collector_set_id=1,obs_domain_id=2,obs_point_id=3)`,
  () => 'debug_recirc',
];

/** What `write_actions` gathers: in an action set, one of each. */
function setAction(r: Random, o: ActionOptions): string {
  const choices = [
    `output:${r.pick([1, 2, 3, 4])}`,
    `output:${r.pick([1, 5, 6])}`,
    `mod_dl_dst:${r.pick(MACS)}`,
    `set_field:${r.int(4)}->reg0`,
    `load:1->NXM_NX_REG0[2]`,
    'push_vlan:0x8100',
    'strip_vlan',
    'resubmit(,3)',
    'set_queue:1',
  ];
  if (isIp4(o.match.kind)) choices.push(`mod_nw_src:${r.pick(IPS)}`, 'dec_ttl');
  if (o.groups.length > 0) choices.push(`group:${r.pick(o.groups)}`);
  return r.pick(choices);
}
