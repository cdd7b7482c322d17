import fc from 'fast-check';
import { nullLogger } from '../../base/log.ts';
import { composePacket } from '../../datapath/packet/compose.ts';
import { extractFlow } from '../../datapath/packet/extract.ts';
import { Packet } from '../../datapath/packet/packet.ts';
import { type Flow, newFlow, VLAN_CFI, W_IN_PORT, W_VLAN } from '../../flow/layout.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import { PortBfd } from '../bfd/port-bfd.ts';
import { BfdSession } from '../bfd/session.ts';
import { readBfdSettings } from '../bfd/settings.ts';
import type { BundleSettings, OfPort } from '../ofproto/port.ts';
import type { TestBridge, World } from '../testing/world.ts';
import type { Megaflow } from './megaflow.ts';

/* Random pipelines, ports and packets, for the properties that megaflows must have. */

export const pick = <T>(...items: T[]): fc.Arbitrary<T> => fc.constantFrom(...items);

const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:03'];
const mac = pick(...MACS);
const group = pick(...MACS, 'ff:ff:ff:ff:ff:ff', '01:80:c2:00:00:02');

/** Words of a match that any packet may have. */
const general = fc.oneof(
  pick(1, 2, 3, 4).map((n) => `in_port=${n}`),
  mac.map((m) => `dl_src=${m}`),
  group.map((m) => `dl_dst=${m}`),
  pick('dl_dst=01:00:00:00:00:00/01:00:00:00:00:00', 'dl_src=02:00:00:00:00:00/ff:ff:ff:ff:ff:fd'),
  pick('dl_vlan=10', 'dl_vlan=20', 'vlan_tci=0', 'vlan_tci=0x1000/0x1000', 'dl_vlan=10,dl_vlan_pcp=3'),
  pick('vlan_tci=0x1002/0x1002', 'reg0=1', 'reg0=2/3', 'metadata=5', 'skb_priority=1'),
);
const ip = fc.oneof(
  pick('nw_src=10.0.0.0/8', 'nw_src=10.0.0.1', 'nw_src=10.1.0.0/16', 'nw_dst=10.0.0.2', 'nw_dst=10.0.0.0/30'),
  pick('nw_tos=32', 'nw_ttl=1', 'nw_ttl=64', 'ip_frag=no', 'ip_frag=first', 'ip_frag=later', 'nw_ecn=1'),
);
const ports = pick('tp_src=80', 'tp_dst=80', 'tp_dst=0x10/0xfff0', 'tp_src=1000', 'tp_dst=443');
const kind = fc.oneof(
  fc.constant(''),
  fc.oneof(
    fc.constant('ip'),
    ip.map((f) => `ip,${f}`),
  ),
  fc.tuple(pick('tcp', 'udp', 'sctp'), fc.oneof(ports, ip)).map(([proto, f]) => `${proto},${f}`),
  pick('tcp,tcp_flags=+syn', 'tcp,tcp_flags=-ack+fin', 'icmp,icmp_type=8', 'icmp,icmp_code=0'),
  pick('ipv6', 'tcp6,tp_dst=80', 'ipv6,ipv6_src=fe80::/16', 'udp6,ipv6_dst=fe80::2', 'ipv6,ipv6_label=5'),
  pick('icmp6,icmpv6_type=135,nd_target=fe80::1', 'icmp6,icmp_type=135'),
  pick('arp', 'arp,arp_op=1', 'arp,arp_spa=10.0.0.1', 'arp,arp_tpa=10.0.0.0/24', 'dl_type=0x1234'),
  pick('mpls,mpls_label=7', 'mpls,mpls_bos=1'),
);
const match = fc
  .tuple(kind, fc.uniqueArray(general, { maxLength: 2, selector: (word) => word.split(/[=,]/)[0] }))
  .map(([first, more]) => [first, ...more].filter((word) => word !== '').join(','));

const simple = fc.oneof(
  {
    weight: 4,
    arbitrary: pick('output:1', 'output:2', 'output:3', 'output:9', 'IN_PORT', 'FLOOD', 'ALL', 'LOCAL'),
  },
  { weight: 4, arbitrary: fc.constant('NORMAL') },
  { weight: 3, arbitrary: pick('resubmit(,1)', 'resubmit(,2)', 'resubmit(2,1)', 'resubmit(,3)') },
  { weight: 2, arbitrary: pick('set_field:1->reg0', 'set_field:2/3->reg0', 'set_field:5->metadata') },
  pick('move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]', 'move:NXM_OF_ETH_SRC[0..7]->NXM_NX_REG0[0..7]'),
  pick('move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG0[0..11]', 'move:NXM_NX_REG0[0..7]->NXM_OF_ETH_DST[0..7]'),
  pick('output:NXM_NX_REG0[0..7]', 'output:NXM_OF_ETH_SRC[0..1]'),
  {
    weight: 3,
    arbitrary: pick(
      'mod_vlan_vid:10',
      'mod_vlan_pcp:3',
      'strip_vlan',
      'push_vlan:0x8100',
      'push_vlan:0x88a8',
    ),
  },
  pick('set_field:4116->vlan_vid', `mod_dl_dst:${MACS[1]}`, `mod_dl_src:${MACS[2]}`),
  pick(
    'push:NXM_OF_ETH_DST[0..15]',
    'pop:NXM_NX_REG0[0..15]',
    'push:NXM_NX_REG0[]',
    'exit',
    'set_queue:1',
    'pop_queue',
  ),
  pick(
    'multipath(eth_src,50,modulo_n,3,0,NXM_NX_REG0[0..1])',
    'multipath(symmetric_l4,7,hrw,4,0,NXM_NX_REG0[0..1])',
    'multipath(nw_src,7,modulo_n,4,0,NXM_OF_ETH_DST[0..1])',
  ),
  pick(
    'bundle(symmetric_l4,0,hrw,ofport,members:1,2,3)',
    'bundle(nw_src,0,active_backup,ofport,members:3,9)',
  ),
  pick(
    'learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])',
    'learn(table=2,NXM_OF_VLAN_TCI[0..11],load:1->NXM_NX_REG0[])',
  ),
  pick('write_actions(output:2)', 'clear_actions', 'debug_slow'),
);
const onIp = pick(
  'mod_nw_src:10.9.9.9',
  'mod_nw_dst:10.0.0.2',
  'mod_nw_tos:32',
  'dec_ttl',
  'mod_nw_ttl:7',
  'move:NXM_OF_IP_SRC[0..7]->NXM_NX_REG0[0..7]',
);
const onTcp = pick('mod_tp_dst:80', 'mod_tp_src:1000', 'move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15]');
const list = (item: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(item, { minLength: 1, maxLength: 4 }).map((actions) => actions.join(','));

export const rule = fc
  .tuple(pick(0, 0, 0, 1, 1, 2, 3), pick(1, 5, 5, 9), match, pick(true, false, false))
  .chain(([table, priority, text, clone]) => {
    const action = text.startsWith('ip') || text.startsWith('tcp') ? fc.oneof(simple, onIp) : simple;
    const wider = text.startsWith('tcp,') ? fc.oneof(action, onTcp) : action;
    return list(wider).map((actions) => {
      const body = clone ? `clone(${actions}),output:1` : actions;
      return `table=${table},priority=${priority}${text === '' ? '' : `,${text}`},actions=${body}`;
    });
  });

const bits = (...vlans: number[]): Uint8Array => {
  const set = new Uint8Array(512);
  for (const vlan of vlans) set[vlan >> 3] |= 1 << (vlan & 7);
  return set;
};
export const settings: fc.Arbitrary<Partial<BundleSettings>> = fc.oneof(
  pick<Partial<BundleSettings>>(
    {},
    { trunks: bits(10, 20) },
    { trunks: bits(0, 10) },
    { vlanMode: 'access', vlan: 10 },
    { vlanMode: 'access', vlan: 20, priorityTags: 'always' },
    { vlanMode: 'native-untagged', vlan: 10, trunks: bits(10, 20), priorityTags: 'if-nonzero' },
    { vlanMode: 'native-tagged', vlan: 20, trunks: bits(20) },
    { vlanMode: 'dot1q-tunnel', vlan: 10, qinqEthertype: 0x8100, cvlans: bits(20) },
    { vlanMode: 'dot1q-tunnel', vlan: 10 },
    { protected: true },
  ),
);

/** A packet as a match text: exact, so its key is its flow. */
const tag = pick(
  '',
  '',
  'vlan_tci=0x100a',
  'vlan_tci=0x1014',
  'vlan_tci=0x700a',
  'vlan_tci=0x1000',
  'vlan_tci=0x7000',
  'vlan_tci=0x100a+0x1014',
  'vlan_tci=0x100a+0x100a',
  'vlan_tci=0x1014+0x1000',
);
const l3 = fc.oneof(
  fc
    .tuple(
      pick('tcp', 'udp', 'sctp'),
      pick('10.0.0.1', '10.0.0.2', '10.1.0.1', '11.0.0.1'),
      pick('10.0.0.2', '10.0.0.9'),
      pick(80, 1000, 443, 20),
      pick(80, 443, 16, 17),
      pick(1, 2, 64),
      pick(0, 32),
      pick('', ',ip_frag=first', ',ip_frag=later'),
    )
    .map(([proto, src, dst, a, b, ttl, tos, frag]) => {
      const l4 = frag === ',ip_frag=later' ? '' : `,tp_src=${a},tp_dst=${b}`;
      return `${proto},nw_src=${src},nw_dst=${dst},nw_ttl=${ttl},nw_tos=${tos}${frag}${l4}`;
    }),
  pick('10.0.0.9,tp_dst=3784', '10.0.0.2,tp_dst=3784', '10.0.0.9,tp_dst=3785').map(
    (end) => `udp,nw_src=10.0.0.1,nw_ttl=255,tp_src=50000,nw_dst=${end}`,
  ),
  pick('tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=9,tcp_flags=syn', 'tcp,nw_ttl=9,tcp_flags=fin|psh'),
  pick('icmp,nw_src=10.0.0.1,nw_ttl=3,icmp_type=8,icmp_code=0', 'icmp,nw_ttl=3,icmp_type=3,icmp_code=1'),
  pick('arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.1', 'arp,arp_op=2,arp_spa=10.0.0.3,arp_tpa=10.0.0.2'),
  pick(
    'tcp6,ipv6_src=fe80::1,ipv6_dst=fe80::2,nw_ttl=5,tp_dst=80',
    'udp6,ipv6_src=fc00::1,ipv6_dst=fe80::2,nw_ttl=5',
  ),
  pick(
    'icmp6,ipv6_src=fe80::1,nw_ttl=255,icmpv6_type=135,nd_target=fe80::1',
    'icmp6,nw_ttl=9,icmpv6_type=128',
  ),
  pick('dl_type=0x1234', 'dl_type=0x4321', 'mpls,mpls_label=7,mpls_bos=1', 'mpls,mpls_label=8,mpls_bos=1'),
);
export const packetText = fc
  .tuple(mac, group, tag, l3)
  .map(([src, dst, vlan, rest]) =>
    [`dl_src=${src}`, `dl_dst=${dst}`, vlan, rest].filter((s) => s !== '').join(','),
  );

/** What a port's `bfd` column may say; null: nothing. */
export const bfdColumn = fc.oneof(
  fc.constant(null),
  pick<Record<string, string>>({}, { bfd_src_ip: '10.0.0.9' }, { bfd_remote_dst_mac: MACS[1] }),
);

/** Starts a session on a port that sends nothing. */
export function watch(port: OfPort, column: Readonly<Record<string, string>> | null): void {
  const read = new Map(Object.entries({ enable: 'true', ...column }));
  const settings = column === null ? null : readBfdSettings(read, () => {});
  if (settings === null) return;
  const session = new BfdSession({
    name: port.name,
    discriminator: port.ofPort,
    settings,
    clock: port.ofproto.clock,
    random: () => 0.5,
    send: () => {},
    rxPackets: () => 0,
    onChange: () => {},
    log: nullLogger.module('bfd'),
  });
  port.monitor = new PortBfd(session, settings, read);
}

export const inPort = pick(1, 2, 3);

/** A random list of actions may contradict itself or its match: then it would be refused. */
export function addIfValid(bridge: TestBridge, line: string): void {
  try {
    bridge.addFlow(line);
  } catch {
    // Not a flow.
  }
}

const TPID = 0x81000000;

export function keyOf(text: string): Flow {
  // "+0x1014" behind a tag is the one inside it.
  const flow = parseMatch(text.replace(/\+0x\w+/, '')).flow.slice();
  const inner = /\+(0x\w+)/.exec(text);
  if ((flow[W_VLAN] & VLAN_CFI) !== 0) flow[W_VLAN] = (TPID | (flow[W_VLAN] & 0xffff)) >>> 0;
  if (inner !== null) flow[W_VLAN + 1] = (TPID | Number(inner[1])) >>> 0;
  return flow;
}

export function send(world: World, bridge: TestBridge, [ofPort, text]: readonly [number, string]): void {
  const port = bridge.ofproto.port(ofPort);
  const packet = composePacket(keyOf(text));
  if (port !== undefined && packet !== null) world.send(port, packet);
}

/** The key of a real packet that agrees with the megaflow, and is like `other` elsewhere; null: none. */
export function covered(megaflow: Megaflow, other: Flow): Flow | null {
  const { packetKey, mask } = megaflow;
  const mixed = newFlow();
  for (let i = 0; i < mixed.length; i++) mixed[i] = (packetKey[i] & mask[i]) | (other[i] & ~mask[i]);
  const packet = composePacket(mixed);
  if (packet === null) return null;
  const key = newFlow();
  key[W_IN_PORT] = packetKey[W_IN_PORT];
  extractFlow(new Packet(packet), key);
  return key.every((word, i) => ((word ^ packetKey[i]) & mask[i]) === 0) ? key : null;
}
