import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import * as L from '../../flow/layout.ts';
import {
  formatActions,
  formatFlow,
  formatFlowStats,
  formatKey,
  formatUfid,
  parseActions,
  parseKey,
  parseUfid,
} from './index.ts';

const ETH = 'eth(src=00:01:02:03:04:05,dst=10:11:12:13:14:15)';
const META =
  'skb_priority(0),skb_mark(0),ct_state(0),ct_zone(0),ct_mark(0),ct_label(0),recirc_id(0),dp_hash(0),in_port(1),packet_type(ns=0,id=0)';

// --- Keys --------------------------------------------------------------------------------------------

/** What follows the Ethernet addresses in exact keys. */
const EXACT: readonly string[] = [
  'eth_type(0x1234)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x10,ttl=64,frag=no),tcp(src=80,dst=8080),tcp_flags(syn|ack)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=first),udp(src=1,dst=2)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=later)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)',
  'eth_type(0x86dd),ipv6(src=fe80::1,dst=::ffff:1.2.3.4,label=0x12345,proto=132,tclass=0x70,hlimit=64,frag=no),sctp(src=7,dst=8)',
  'eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=fe80::3,sll=00:05:06:07:08:09,tll=00:00:00:00:00:00)',
  'eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=1,sha=00:0f:10:11:12:13,tha=00:14:15:16:17:18)',
  'eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=0,label=200,tc=0,ttl=63,bos=1)',
  'eth_type(0x8100),vlan(vid=99,pcp=7),encap(eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=2,tos=0,ttl=1,frag=no))',
  'eth_type(0x88a8),vlan(vid=1,pcp=0),encap(eth_type(0x8100),vlan(vid=2,pcp=1),encap(eth_type(0x1234)))',
];

test('exact keys: what is read is written again', () => {
  for (const text of EXACT) {
    const parsed = parseKey(`${META},${ETH},${text}`);
    assert.equal(parsed.fitness, 'perfect', text);
    assert.equal(formatKey(parsed.key, null), `${META},${ETH},${text}`);
  }
});

test('tunnels', () => {
  for (const tunnel of [
    'tun_id=0x7f10354,src=10.10.10.10,dst=20.20.20.20,tos=0x8,ttl=64,tp_src=5,tp_dst=4789,flags(csum|key)',
    'src=10.10.10.10,dst=20.20.20.20,ttl=64,vxlan(gbp(id=10,flags=0xb)),flags(oam|df)',
    'ipv6_src=fe80::1,ipv6_dst=fe80::2,ttl=64,geneve({class=0xffff,type=0x80,len=4,0xa}{class=0,type=0,len=0}),flags(0)',
    'tun_id=0x0,src=1.1.1.1,dst=2.2.2.2,ttl=0,erspan(ver=2,dir=1,hwid=0x7),flags(key)',
    'src=1.1.1.1,dst=2.2.2.2,ttl=1,gtpu(flags=0x34,msgtype=255),flags(0)',
  ]) {
    const text = `skb_priority(0),tunnel(${tunnel}),skb_mark(0)`;
    const { key } = parseKey(`${text},in_port(1),${ETH},eth_type(0x1234)`);
    assert.ok(formatKey(key, null).startsWith(text), `${tunnel}: ${formatKey(key, null)}`);
  }
  assert.throws(
    () => parseKey(`tunnel(src=1.1.1.1,dst=2.2.2.2,flags(0)),${ETH}`),
    /tunnel options missing TTL/,
  );
});

test('masks: what is left out is not shown, unless verbosely', () => {
  const text =
    'recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(dst=10:11:12:13:14:15/ff:ff:ff:00:00:00),eth_type(0x0800),' +
    'ipv4(src=10.0.0.0/255.0.0.0,tos=0x3/0x3,frag=no),tcp(dst=80/0xff),tcp_flags(+syn-rst)';
  const proto = 'ipv4(src=10.0.0.0/255.0.0.0,proto=6,tos=0x3/0x3,frag=no)';
  const { key, mask } = parseKey(text.replace(/ipv4\([^)]*\)/, proto));
  const shown = formatKey(key, mask).replace('proto=6,', '');
  assert.equal(shown, text);
  const verbose = formatKey(key, mask, { verbose: true });
  assert.ok(verbose.includes('skb_mark(0/0)') && verbose.includes('dst=0.0.0.0/0.0.0.0'), verbose);
});

test('an Ethernet packet is recognizable also where no field of it matters', () => {
  const { key, mask } = parseKey('recirc_id(0),in_port(1),eth(),eth_type(0x0800/0)');
  assert.equal(formatKey(key, mask), 'recirc_id(0),in_port(1),eth()');
  mask[L.W_PACKET_TYPE] = 0xffffffff;
  assert.equal(formatKey(key, mask), 'recirc_id(0),in_port(1),packet_type(ns=0,id=0)');
});

test('frames without EtherType', () => {
  const { key } = parseKey(`in_port(1),${ETH}`);
  assert.equal(key[L.W_ETH_TYPE], 0x05ff0000);
  const mask = L.newFlow();
  mask[L.W_ETH_TYPE] = 0xffff0000;
  mask[L.W_IN_PORT] = 0xffffffff;
  assert.equal(formatKey(key, mask), 'in_port(1),eth(),eth_type(0/0xffff)');
});

test('what is missing, what is too much, what can’t be', () => {
  assert.equal(parseKey(`in_port(1),${ETH},eth_type(0x0800)`).fitness, 'too-little');
  assert.equal(parseKey(`in_port(1),${ETH},eth_type(0x1234),tcp(src=1,dst=2)`).fitness, 'too-much');
  assert.equal(parseKey(`${ETH},eth_type(0x8847),mpls(label=1,tc=0,ttl=1,bos=0)`).fitness, 'too-little');
  assert.equal(parseKey('eth_type(0x0800),ipv4(proto=99)').key[L.W_PACKET_TYPE], 0x10800);
  assert.equal(parseKey(ETH).key[L.W_IN_PORT], 0xffffffff);
  for (const [text, message] of [
    ['in_port(1),bogus(2)', 'syntax error at bogus(2)'],
    ['in_port(p1)', 'syntax error at in_port(p1)'],
    ['recirc_id(1/2)', 'syntax error at recirc_id(1/2)'],
    [`${ETH},${ETH}`, 'duplicate eth attribute in flow key'],
    [`${ETH},eth_type(0x05)`, 'invalid Ethertype 5 in flow key'],
    [`${ETH},eth_type(0x8847),mpls(label=1,bos=1,label=2,bos=1)`, 'MPLS BOS set in non-innermost label'],
    ['ufid:123,in_port(1)', 'syntax error at ufid:123,in_port(1)'],
  ]) {
    assert.throws(() => parseKey(text), { code: 'bad-flow-text', message }, text);
  }
});

test('ports by name', () => {
  const names = new Map([['eth0', 7]]);
  const { key } = parseKey(`in_port(eth0),${ETH}`, { portNumber: (name) => names.get(name) });
  assert.equal(key[L.W_IN_PORT], 7);
  const portName = (port: number): string | undefined => (port === 7 ? 'eth0' : undefined);
  assert.ok(formatKey(key, null, { portName }).includes('in_port(eth0)'));
  const actions = parseActions('eth0,8', { portNumber: (name) => names.get(name) });
  assert.equal(formatActions(actions, { portName }), 'eth0,8');
});

test('a text in front of a key may name the flow', () => {
  const ufid = 'ufid:12345678-1234-1234-1234-123456789abc';
  const parsed = parseUfid(`${ufid}, in_port(1)`)!;
  assert.equal(formatUfid(parsed.ufid), ufid);
  assert.equal(parsed.rest, 'in_port(1)');
  assert.equal(parseKey(`${ufid} in_port(1),${ETH}`).key[L.W_IN_PORT], 1);
  assert.equal(parseUfid('ufid:1'), null);
});

test('VLAN tags beyond the limit are EtherTypes', () => {
  const text = `in_port(1),${ETH},${EXACT[10]}`;
  const { key } = parseKey(text, { maxVlanHeaders: 1 });
  assert.deepEqual([...key.subarray(L.W_ETH_TYPE, L.W_VLAN + 2)], [0x81000000, 0x88a81001, 0]);
});

// --- Actions -----------------------------------------------------------------------------------------

const ACTIONS: readonly string[] = [
  'drop',
  '1,2,3',
  'userspace(pid=0,slow_path(0))',
  'userspace(pid=0,slow_path(action))',
  'userspace(pid=6633,sFlow(vid=9,pcp=7,output=10),actions,tunnel_out_port=10)',
  'userspace(pid=1,flow_sample(probability=123,collector_set_id=1,obs_domain_id=2,obs_point_id=3,output_port=10,egress))',
  'userspace(pid=1,ipfix(output_port=10))',
  'userspace(pid=1,controller(reason=1,dont_send=0,continuation=1,recirc_id=4,rule_cookie=0x5,controller_id=0,max_len=65535))',
  'set(eth(src=00:01:02:03:04:05,dst=10:11:12:13:14:15/ff:ff:ff:00:00:00)),1',
  'set(ipv4(src=10.0.0.1/255.255.255.0,tos=0x80/0xfc,ttl=63)),set(ipv4(frag=no))',
  'set(ipv6(src=::1,label=0/0xfff,tclass=0x70/0x70,hlimit=3))',
  'set(tcp(src=80/0xff00,dst=8080)),set(udp(src=1)),set(sctp(dst=2))',
  'set(icmp(type=1,code=2)),set(icmpv6(type=3))',
  'set(nd(target=fe80::1,sll=00:01:02:03:04:05))',
  'set(arp(sip=1.2.3.4,op=2,tha=00:01:02:03:04:05))',
  'set(mpls(label=100,tc=0,ttl=64,bos=1))',
  'set(skb_mark(0x5)),set(skb_priority(0xa)),set(skb_mark(0x1/0xf))',
  'set(in_port(2)),set(eth_type(0x1234)),set(vlan(vid=3,pcp=5)),set(vlan(vid=1/0x3))',
  'set(tunnel(tun_id=0xabcdef1234567890,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|csum|key)))',
  'set(nsh(flags=1,spi=0x5,c1=0x9))',
  'push_vlan(vid=12,pcp=0),push_vlan(tpid=0x88a8,vid=13,pcp=5,cfi=0),pop_vlan',
  'push_mpls(label=1,tc=2,ttl=3,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x800)',
  'push_eth(src=00:01:02:03:04:05,dst=10:11:12:13:14:15),pop_eth',
  'recirc(0x1),hash(l4(0)),hash(sym_l4(7)),meter(3),trunc(100)',
  'sample(sample=9.7%,actions(1,2,push_vlan(vid=1,pcp=2)))',
  'clone(clone(push_vlan(vid=12,pcp=0),2),1)',
  'check_pkt_len(size=200,gt(drop),le(ct(nat),5))',
  'ct,ct_clear,ct(commit),ct(force_commit,zone=5),ct(commit,mark=0xa/0xff)',
  'ct(commit,zone=1,label=0x1/0x3,helper=ftp,timeout=t1,nat(src))',
  'ct(commit,nat(src=10.0.0.240-10.0.0.254:32768-65535,persistent,hash))',
  'ct(commit,nat(dst=fe80::1-fe80::2,random)),ct(nat(src=[fe80::1]:80))',
];

test('actions: what is read is written again', () => {
  for (const text of ACTIONS) assert.equal(formatActions(parseActions(text)), text);
  assert.equal(formatActions([]), 'drop');
  assert.deepEqual(parseActions(''), []);
});

test('push_vlan leaves out what is 0 only where stock does', () => {
  assert.equal(formatActions([{ type: 'push_vlan', tpid: 0x8100, tci: 0x1000 }]), 'push_vlan(vid=0,pcp=0)');
});

test('bad actions say where', () => {
  for (const [text, rest] of [
    ['1,bogus', 'bogus'],
    ['1,push_vlan(vid=4096,pcp=0)', 'push_vlan(vid=4096,pcp=0)'],
    ['clone(1', 'clone(1'],
    ['ct(commit,force_commit)', 'ct(commit,force_commit)'],
    ['ct(nat(src=10.0.0.2-10.0.0.1))', 'ct(nat(src=10.0.0.2-10.0.0.1))'],
    ['set(bogus(1))', 'set(bogus(1))'],
    [`${'clone('.repeat(40)}1${')'.repeat(40)}`, 'clone('],
  ]) {
    assert.throws(
      () => parseActions(text),
      (error: WeftError) => error.code === 'bad-actions-text' && error.message.includes(`at ${rest}`),
      text,
    );
  }
});

// --- Lines -------------------------------------------------------------------------------------------

test('statistics', () => {
  assert.equal(
    formatFlowStats({ packets: 0, bytes: 0, used: 0, tcpFlags: 0 }, 5),
    'packets:0, bytes:0, used:never',
  );
  assert.equal(
    formatFlowStats({ packets: 3, bytes: 180, used: 1000, tcpFlags: 0x812 }, 1120),
    'packets:3, bytes:180, used:0.120s, flags:S.[800]',
  );
});

test('a line of dump-flows', () => {
  const { key, mask } = parseKey('recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x1234)');
  const flow = {
    key,
    mask,
    actions: parseActions('2'),
    stats: { packets: 1, bytes: 60, used: 500, tcpFlags: 0 },
    ufid: new Uint8Array(16),
    layer: 'ovs',
  };
  assert.equal(
    formatFlow(flow, 1500),
    'recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x1234), packets:1, bytes:60, used:1.000s, actions:2',
  );
  const verbose = formatFlow(flow, 1500, { verbose: true });
  assert.ok(verbose.startsWith('ufid:00000000-0000-0000-0000-000000000000, skb_priority(0/0),'));
  assert.ok(verbose.endsWith(', packets:1, bytes:60, used:1.000s, dp:ovs, actions:2'));
});

// --- Any text ----------------------------------------------------------------------------------------

test('damaged texts are refused or understood, never more', () => {
  const texts = [...EXACT.map((text) => `${META},${ETH},${text}`), ...ACTIONS];
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.nat(400),
      fc.nat(20),
      fc.string({ unit: fc.constantFrom(...'(),=/0x9af:.|+-{}[]stn'), maxLength: 6 }),
      (text, at, cut, inserted) => {
        const place = at % (text.length + 1);
        const damaged = text.slice(0, place) + inserted + text.slice(place + cut);
        for (const parse of [parseKey, parseActions]) {
          try {
            parse(damaged);
          } catch (error) {
            assert.ok(error instanceof WeftError, String(error));
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});
