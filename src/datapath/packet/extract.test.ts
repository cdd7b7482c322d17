import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import * as L from '../../flow/layout.ts';
import { formatIpv4Word, formatIpv6, formatMac } from '../../wire/address.ts';
import { fromHex, put32 } from '../../wire/bytes.ts';
import { writePcap } from '../../wire/pcap.ts';
import { composePacket } from './compose.ts';
import { DIRTY_ALL, extractFlow, extractReused } from './extract.ts';
import { ABSENT, Packet } from './packet.ts';

function keyOf(bytes: Uint8Array, maxVlanHeaders = 2, packetType: number = L.PT_ETH): L.Flow {
  const packet = Packet.copyOf(bytes);
  packet.packetType = packetType;
  const flow = L.newFlow();
  extractFlow(packet, flow, maxVlanHeaders);
  return flow;
}

const hex = (text: string): Uint8Array => fromHex(text)!;
const MACS = '0200000000aa 0200000000bb';
const TCP4 = `${MACS} 0800 45000028 00010000 40060000 0a000001 0a000002 04d20050 00000001 00000002 5012ffff 00000000`;

// --- Packets that are compared with what stock Open vSwitch makes of them -------------------------

const word = fc.integer({ min: 0, max: 0xffffffff });
const TYPES = [0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x05ff, 0x1234];
const ND_NS = 135 << 16;

/** A random key of a packet that composePacket can make. */
const anyFlow = fc
  .record({
    words: fc.array(word, { minLength: L.FLOW_WORDS, maxLength: L.FLOW_WORDS }),
    type: fc.constantFrom(...TYPES),
    vlans: fc.integer({ min: 0, max: 2 }),
    fragment: fc.constantFrom(0, 0, 0, 1, 3),
    protocol: fc.constantFrom(6, 6, 17, 132, 1, 2, 58, 58, 58, 0, 43, 44, 51, 60, 99),
    icmp: fc.constantFrom(ND_NS, 136 << 16, 128 << 16, 1 << 16, (135 << 16) | 1),
  })
  .map(({ words, type, vlans, fragment, protocol, icmp }) => {
    const flow = L.newFlow();
    for (let i = L.W_ETH; i < L.W_ETH + 3; i++) flow[i] = words[i];
    flow[L.W_ETH_TYPE] = type << 16;
    for (let i = 0; i < vlans; i++) {
      flow[L.W_VLAN + i] =
        ((i === 0 && vlans === 2 ? 0x88a8 : 0x8100) << 16) | L.VLAN_CFI | (words[i] & 0xffff);
    }
    for (let i = L.W_MPLS; i < L.W_TCP_FLAGS; i++) flow[i] = words[i];
    flow[L.W_IPV6_LABEL] &= 0xfffff;
    flow[L.W_NW] = (fragment << 24) | (words[L.W_NW] & 0xffff00) | protocol;
    if (type === 0x0806 || type === 0x8035) flow[L.W_NW] &= 0xff;
    flow[L.W_TCP_FLAGS] = words[L.W_TCP_FLAGS] & 0x0fff0000;
    flow[L.W_TP] = protocol === 58 ? icmp : protocol < 3 ? words[L.W_TP] & 0xff00ff : words[L.W_TP];
    flow[L.W_IGMP_GROUP] = words[L.W_IGMP_GROUP];
    return flow;
  });

type Damage = { kind: 'none' | 'cut' | 'poke' | 'grow' | 'extend'; at: number; value: number };
const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('none', 'cut', 'poke', 'poke', 'grow', 'extend'),
  at: fc.nat(200),
  value: fc.nat(255),
});

/** IPv6 extension headers in front of L4: next header values chained from a list. */
function withExtensions(bytes: Uint8Array, seed: number): Uint8Array {
  const ip = 14;
  if (bytes.length < 54 || bytes[12] !== 0x86 || bytes[13] !== 0xdd) return bytes;
  const chain = [0, 43, 60, 51, 44, 0].slice(seed % 4, (seed % 4) + 1 + (seed % 3));
  let extensions = new Uint8Array(0);
  const upper = bytes[ip + 6];
  chain.forEach((header, i) => {
    const length = header === 44 ? 8 : header === 51 ? 12 : 8 + 8 * (seed % 2);
    const part = new Uint8Array(length);
    part[0] = i + 1 < chain.length ? chain[i + 1] : upper;
    part[1] = header === 51 ? 1 : header === 44 ? 0 : length / 8 - 1;
    if (header === 44) part[3] = [0, 1, 2, 8, 9][seed % 5];
    extensions = new Uint8Array([...extensions, ...part]);
  });
  const out = new Uint8Array([...bytes.subarray(0, ip + 40), ...extensions, ...bytes.subarray(ip + 40)]);
  out[ip + 6] = chain[0];
  const length = out.length - ip - 40;
  out[ip + 4] = length >> 8;
  out[ip + 5] = length;
  return out;
}

const anyPacket = fc.tuple(anyFlow, damage, damage, fc.nat(30)).map(([flow, first, second, payload]) => {
  let bytes = composePacket(flow, { payload })!;
  for (const { kind, at, value } of [first, second]) {
    if (kind === 'cut') bytes = bytes.slice(0, Math.min(at, bytes.length));
    else if (kind === 'grow') bytes = new Uint8Array([...bytes, ...new Uint8Array(at % 20)]);
    else if (kind === 'poke' && bytes.length > 0) bytes[at % bytes.length] = value;
    else if (kind === 'extend') bytes = withExtensions(bytes, value);
  }
  return bytes;
});

// --- Literal packets -----------------------------------------------------------------------------

test('TCP over IPv4', () => {
  const packet = Packet.copyOf(hex(TCP4));
  const flow = L.newFlow();
  extractFlow(packet, flow);
  assert.deepEqual([packet.l25, packet.l3, packet.l4, packet.l2Pad], [ABSENT, 14, 34, 0]);
  assert.deepEqual([...flow.subarray(L.W_ETH, L.W_ETH + 3)], [0x02000000, 0x00aa0200, 0x000000bb]);
  assert.equal(flow[L.W_ETH_TYPE], 0x08000000);
  assert.equal(flow[L.W_NW_SRC], 0x0a000001);
  assert.equal(flow[L.W_NW_DST], 0x0a000002);
  assert.equal(flow[L.W_NW], 0x00004006);
  assert.equal(flow[L.W_TP], 0x04d20050);
  assert.equal(flow[L.W_TCP_FLAGS], 0x00120000);
});

test('an opcode that does not fit into the key leaves nw_proto 0', () => {
  const arp = (op: string): L.Flow =>
    keyOf(hex(`${MACS} 0806 0001 0800 06 04 ${op} 0200000000bb 0a000001 000000000000 0a000002`));
  assert.equal(arp('0002')[L.W_NW], 2);
  assert.equal(arp('0102')[L.W_NW], 0);
  assert.equal(arp('0102')[L.W_NW_SRC], 0x0a000001);
  assert.deepEqual([...arp('0102').subarray(L.W_ARP_HA, L.W_ARP_HA + 3)], [0x02000000, 0x00bb0000, 0]);
});

test('no more VLAN tags than wanted are looked into', () => {
  const tagged = hex(`${MACS} 88a8 0005 8100 0006 8100 0007 0800 ${TCP4.slice(TCP4.indexOf('45'))}`);
  const key = (max: number): number[] => [...keyOf(tagged, max).subarray(L.W_ETH_TYPE, L.W_VLAN + 2)];
  assert.deepEqual(key(0), [0x88a80000, 0, 0]);
  assert.deepEqual(key(1), [0x81000000, 0x88a81005, 0]);
  assert.deepEqual(key(2), [0x81000000, 0x88a81005, 0x81001006]);
});

test('a packet without Ethernet header takes its type from the packet type', () => {
  const flow = keyOf(hex(TCP4).subarray(14), 2, 0x10800);
  assert.equal(flow[L.W_PACKET_TYPE], 0x10800);
  assert.equal(flow[L.W_ETH_TYPE], 0x08000000);
  assert.equal(flow[L.W_TP], 0x04d20050);
});

test('a link-layer address option that comes twice voids target and addresses', () => {
  const option = '0101 020000000001';
  const nd = (options: string): L.Flow => {
    const icmp = `87000000 e0000000 fe800000000000000000000000000009 ${options}`;
    const length = (hex(icmp).length + 0x10000).toString(16).slice(1);
    return keyOf(hex(`${MACS} 86dd 60000000 ${length} 3aff ${'00'.repeat(32)} ${icmp}`));
  };
  const once = nd(option);
  assert.equal(once[L.W_ND_TARGET], 0xfe800000);
  assert.equal(once[L.W_IGMP_GROUP], 0xe0000000);
  assert.equal(once[L.W_ND_OPTIONS], 0x01000000);
  assert.deepEqual([...once.subarray(L.W_ARP_HA, L.W_ARP_HA + 3)], [0x02000000, 0x00010000, 0]);
  const twice = nd(option + option);
  assert.equal(twice[L.W_ND_TARGET], 0);
  assert.equal(twice[L.W_ARP_HA], 0);
  assert.equal(twice[L.W_TP], ND_NS);
});

test('MPLS: three labels stand in the key, all are skipped', () => {
  const packet = Packet.copyOf(hex(`${MACS} 8847 00001040 00002040 00003040 00004140 45000000`));
  const flow = L.newFlow();
  extractFlow(packet, flow);
  assert.deepEqual([...flow.subarray(L.W_MPLS, L.W_MPLS + 3)], [0x1040, 0x2040, 0x3040]);
  assert.deepEqual([packet.l25, packet.l3, packet.l4], [14, 30, ABSENT]);
});

test('NSH with fixed context', () => {
  const flow = keyOf(hex(`${MACS} 894f 0fc6 01 03 00010203 11111111 22222222 33333333 44444444 00`));
  assert.deepEqual(
    [...flow.subarray(L.W_NSH, L.W_NSH_CONTEXT + 4)],
    [0x0001033f, 0x00010203, 0x11111111, 0x22222222, 0x33333333, 0x44444444],
  );
});

// --- Properties ----------------------------------------------------------------------------------

test('a key that is used again holds nothing of the packet before', () => {
  const reused = L.newFlow();
  let dirty = DIRTY_ALL;
  fc.assert(
    fc.property(anyPacket, fc.integer({ min: 0, max: 2 }), (bytes, maxVlans) => {
      dirty = extractReused(Packet.copyOf(bytes), reused, dirty, maxVlans);
      assert.deepEqual(reused, keyOf(bytes, maxVlans));
    }),
    { numRuns: 2000 },
  );
});

test('metadata and conntrack words are the caller’s, all others the packet’s', () => {
  const flow = L.newFlow().fill(7);
  extractFlow(Packet.copyOf(hex(TCP4)), flow);
  const bare = keyOf(hex(TCP4));
  const conntrack = new Set([L.W_CT_NW_SRC, L.W_CT_NW_DST, L.W_CT_TP]);
  for (let i = 0; i < 4; i++) conntrack.add(L.W_CT_IPV6_SRC + i).add(L.W_CT_IPV6_DST + i);
  for (let i = 0; i < L.FLOW_WORDS; i++) {
    const metadata = (i < L.W_ETH && i !== L.W_PACKET_TYPE) || i >= L.FLOW_BASE_WORDS;
    assert.equal(flow[i], metadata || conntrack.has(i) ? 7 : bare[i], `word ${i}`);
  }
});

test('any bytes, cut anywhere: no throw, and layers stand in order within the packet', () => {
  fc.assert(
    fc.property(fc.oneof(anyPacket, fc.uint8Array({ maxLength: 80 })), (bytes) => {
      for (let end = 0; end <= bytes.length; end++) {
        const packet = Packet.copyOf(bytes.subarray(0, end));
        extractFlow(packet, L.newFlow());
        let last = 0;
        for (const layer of [packet.l25, packet.l3, packet.l4]) {
          if (layer === ABSENT) continue;
          assert.ok(
            layer >= last && layer <= end,
            `layers ${packet.l25} ${packet.l3} ${packet.l4} of ${end}`,
          );
          last = layer;
        }
        assert.ok(packet.l2Pad >= 0 && packet.l2Pad <= end);
      }
    }),
  );
});

// --- Stock Open vSwitch as the judge -------------------------------------------------------------

/** How `ovs-ofctl parse-pcap` writes each field, from our key. */
function describe(flow: L.Flow): Map<string, string> {
  const bytes = new Uint8Array(4 * L.FLOW_WORDS);
  flow.forEach((w, i) => {
    put32(bytes, 4 * i, w);
  });
  const type = flow[L.W_ETH_TYPE] >>> 16;
  const proto = flow[L.W_NW] & 0xff;
  const out = new Map<string, string>([
    ['dl_dst', formatMac(bytes, 4 * L.W_ETH)],
    ['dl_src', formatMac(bytes, 4 * L.W_ETH + 6)],
    ['dl_type', `0x${type.toString(16).padStart(4, '0')}`],
    ['nw_tos', `${(flow[L.W_NW] >>> 16) & 0xfc}`],
    ['nw_ecn', `${(flow[L.W_NW] >>> 16) & 3}`],
    ['nw_ttl', `${(flow[L.W_NW] >>> 8) & 0xff}`],
    ['nw_proto', `${proto}`],
    ['arp_op', `${proto}`],
    ['nw_frag', ['no', 'first', '', 'later'][flow[L.W_NW] >>> 24]],
    ['nw_src', formatIpv4Word(flow[L.W_NW_SRC])],
    ['nw_dst', formatIpv4Word(flow[L.W_NW_DST])],
    ['arp_spa', formatIpv4Word(flow[L.W_NW_SRC])],
    ['arp_tpa', formatIpv4Word(flow[L.W_NW_DST])],
    ['ipv6_src', formatIpv6(bytes, 4 * L.W_IPV6_SRC)],
    ['ipv6_dst', formatIpv6(bytes, 4 * L.W_IPV6_DST)],
    ['ipv6_label', `0x${flow[L.W_IPV6_LABEL].toString(16).padStart(5, '0')}`],
    ['tp_src', `${flow[L.W_TP] >>> 16}`],
    ['tp_dst', `${flow[L.W_TP] & 0xffff}`],
    ['icmp_type', `${flow[L.W_TP] >>> 16}`],
    ['icmp_code', `${flow[L.W_TP] & 0xffff}`],
    ['nd_target', formatIpv6(bytes, 4 * L.W_ND_TARGET)],
    ['nd_sll', formatMac(bytes, 4 * L.W_ARP_HA)],
    ['nd_tll', formatMac(bytes, 4 * L.W_ARP_HA + 6)],
    ['arp_sha', formatMac(bytes, 4 * L.W_ARP_HA)],
    ['arp_tha', formatMac(bytes, 4 * L.W_ARP_HA + 6)],
    ['nd_reserved', `${flow[L.W_IGMP_GROUP]}`],
    ['nd_options_type', `${flow[L.W_ND_OPTIONS] >>> 24}`],
    ['mpls_label', `${flow[L.W_MPLS] >>> 12}`],
    ['mpls_tc', `${(flow[L.W_MPLS] >>> 9) & 7}`],
    ['mpls_bos', `${(flow[L.W_MPLS] >>> 8) & 1}`],
    ['mpls_ttl', `${flow[L.W_MPLS] & 0xff}`],
    ['mpls_lse1', `${flow[L.W_MPLS + 1]}`],
    ['mpls_lse2', `${flow[L.W_MPLS + 2]}`],
    ['vlan_tci', '0x0000'],
    ['vlan_tci1', '0x0000'],
  ]);
  [0, 1].forEach((i) => {
    const suffix = i === 0 ? '' : '1';
    const tag = flow[L.W_VLAN + i];
    if (i === 0 || flow[L.W_VLAN + 1] === 0) {
      out.set(`dl_vlan${suffix}`, `${tag & 0xfff}`);
      out.set(`dl_vlan_pcp${suffix}`, `${(tag >>> 13) & 7}`);
    }
    if (tag !== 0) out.delete(`vlan_tci${suffix}`);
  });
  out.set('dl_vlan1', `${flow[L.W_VLAN + 1] & 0xfff}`);
  out.set('dl_vlan_pcp1', `${(flow[L.W_VLAN + 1] >>> 13) & 7}`);
  return out;
}

const TCP_FLAG_NAMES = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns'];

/** `fin|syn|[200]` (bits without a name in hexadecimal), or a number. */
function tcpFlags(text: string): number {
  if (/^(0x[0-9a-f]+|\d+)$/.test(text)) return Number(text);
  return text
    .split('|')
    .reduce(
      (sum, name) =>
        sum | (name[0] === '[' ? Number.parseInt(name.slice(1), 16) : 1 << TCP_FLAG_NAMES.indexOf(name)),
      0,
    );
}

const PROTOCOLS: Record<string, readonly [number, number]> = {
  ip: [0x0800, -1],
  ipv6: [0x86dd, -1],
  icmp: [0x0800, 1],
  tcp: [0x0800, 6],
  udp: [0x0800, 17],
  sctp: [0x0800, 132],
  icmp6: [0x86dd, 58],
  tcp6: [0x86dd, 6],
  udp6: [0x86dd, 17],
  sctp6: [0x86dd, 132],
  arp: [0x0806, -1],
  rarp: [0x8035, -1],
  mpls: [0x8847, -1],
  mplsm: [0x8848, -1],
};

function compareWithStock(line: string, flow: L.Flow): void {
  const ours = describe(flow);
  for (const token of line.split(',')) {
    const equals = token.indexOf('=');
    if (equals < 0) {
      const protocol = PROTOCOLS[token];
      assert.ok(protocol, `unknown word "${token}" in "${line}"`);
      assert.equal(flow[L.W_ETH_TYPE] >>> 16, protocol[0], line);
      if (protocol[1] >= 0) assert.equal(flow[L.W_NW] & 0xff, protocol[1], line);
      continue;
    }
    const name = token.slice(0, equals);
    const value = token.slice(equals + 1);
    if (name === 'in_port') continue;
    if (name === 'tcp_flags') assert.equal(flow[L.W_TCP_FLAGS] >>> 16, tcpFlags(value), line);
    else if (name.startsWith('nsh_')) assert.equal(Number(value), 0, line);
    else if (name === 'igmp_group') assert.equal(formatIpv4Word(flow[L.W_IGMP_GROUP]), value, line);
    else assert.equal(ours.get(name), value, `${name} of "${line}"`);
  }
}

const noOfctl = spawnSync('ovs-ofctl', ['--version']).status === 0 ? false : 'ovs-ofctl is not installed';

test('the key is what stock Open vSwitch extracts', { skip: noOfctl }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-extract-'));
  try {
    const packets = fc.sample(anyPacket, 3000).filter((bytes) => bytes.length >= 14);
    const file = join(dir, 'packets.pcap');
    writeFileSync(file, writePcap(packets));
    const result = spawnSync('ovs-ofctl', ['parse-pcap', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
    const lines = result.stdout.split('\n').filter((line) => line !== '');
    assert.equal(lines.length, packets.length, result.stderr);
    lines.forEach((line, i) => {
      compareWithStock(line, keyOf(packets[i]));
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
