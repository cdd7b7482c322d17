import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import * as F from '../../flow/layout.ts';
import { formatMac } from '../../wire/address.ts';
import { get16, get32, put16 } from '../../wire/bytes.ts';
import { fillIpv4Checksum } from '../../wire/checksum.ts';
import type { GeneveOption } from '../../wire/geneve.ts';
import { eth, ip, ipv4, ipv6, tcp, udp } from '../../wire/make.ts';
import { buildPacket, type Layer } from '../../wire/packet.ts';
import { hex } from '../conformance/frames.ts';
import type { Packet } from '../packet/packet.ts';
import { TUN_F_RAW_OPTIONS } from '../text/tunnel.ts';
import type { PacketOffload } from '../types.ts';
import { packetOf } from '../userspace/core.ts';
import * as L from './layout.ts';
import { anyPacket } from './testing/arbitraries.ts';
import {
  ADDRESSES,
  GBP_PORT,
  GENEVE_PORT,
  REMOTE_MAC,
  TUNNEL_PORTS,
  type TunnelKind,
  TunnelRig,
  VXLAN_PORT,
} from './testing/tunnel-rig.ts';

const skip = needsRoot;
const RUNS = Number(process.env.WEFT_FUZZ_RUNS ?? 1500);

/** How a packet is to be sent. */
interface Tunnel {
  readonly kind: TunnelKind;
  readonly family: 4 | 6;
  readonly id: number;
  readonly hasKey: boolean;
  readonly oam: boolean;
  readonly dontFragment: boolean;
  readonly tos: number;
  readonly ttl: number;
  /** Whether the source address is left to the route. */
  readonly source: boolean;
  readonly policy: number;
  readonly options: readonly GeneveOption[];
}

const option: fc.Arbitrary<GeneveOption> = fc.record({
  optionClass: fc.nat({ max: 0xffff }),
  type: fc.nat({ max: 0xff }),
  data: fc.nat({ max: 4 }).chain((n) => fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n })),
});

const anyTunnel: fc.Arbitrary<Tunnel> = fc.record({
  kind: fc.constantFrom('vxlan', 'gbp', 'geneve', 'gre'),
  family: fc.constantFrom(4 as const, 6 as const),
  id: fc.nat({ max: 0xffffff }),
  hasKey: fc.boolean(),
  oam: fc.boolean(),
  dontFragment: fc.boolean(),
  tos: fc.nat({ max: 255 }),
  ttl: fc.integer({ min: 1, max: 255 }),
  source: fc.boolean(),
  policy: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffffff })),
  options: fc.oneof(fc.constant([]), fc.array(option, { maxLength: 12 })),
});

/** A key's words for it, as translation sets them; `received`: as they are of a packet that came in that way. */
function keyOf(tunnel: Tunnel, received: boolean): F.Flow {
  const { kind, family } = tunnel;
  const flow = F.newFlow();
  flow[F.W_TUN_ID + 1] = kind === 'gre' && !tunnel.hasKey ? 0 : tunnel.id;
  const { local, remote } = ADDRESSES[family];
  const put = (word4: number, word6: number, address: string): void => {
    const bytes = ip(address);
    if (family === 4) flow[word4] = get32(bytes, 0);
    else for (let i = 0; i < 4; i++) flow[word6 + i] = get32(bytes, 4 * i);
  };
  const [from, to] = received ? [remote, local] : [local, remote];
  put(F.W_TUN_DST, F.W_TUN_IPV6_DST, to);
  if (received || tunnel.source) put(F.W_TUN_SRC, F.W_TUN_IPV6_SRC, from);
  let flags = kind === 'gre' && !tunnel.hasKey ? 0 : F.TUN_F_KEY;
  if (kind === 'geneve' && tunnel.oam) flags |= F.TUN_F_OAM;
  if (tunnel.dontFragment && !received) flags |= F.TUN_F_DF;
  const options = optionBytes(tunnel);
  if (options.length > 0) {
    flags |= TUN_F_RAW_OPTIONS;
    flow[F.W_TUN_METADATA_PRESENT + 1] = options.length;
    for (let at = 0; at < options.length; at += 4) flow[F.W_TUN_METADATA + at / 4] = get32(options, at);
  }
  if (kind === 'gbp') flow[F.W_TUN_GBP] = policyWord(tunnel) << 8;
  flow[F.W_TUN_FLAGS] = (flags << 16) | (tunnel.tos << 8) | tunnel.ttl;
  return flow;
}

/** id (16 bits), and the bits D and A. */
const policyWord = ({ policy }: Tunnel): number => ((policy & 0xffff00) | (policy & 0x48)) >>> 0;

function optionBytes({ kind, options }: Tunnel): Uint8Array {
  if (kind !== 'geneve') return new Uint8Array(0);
  return Uint8Array.from(
    options.flatMap(({ optionClass, type, data }) => [
      optionClass >> 8,
      optionClass & 255,
      type,
      data.length / 4,
      ...data,
    ]),
  );
}

const tunnelLayers = (tunnel: Tunnel, sourcePort: number): readonly Layer[] => {
  const { kind, id } = tunnel;
  const port = { vxlan: VXLAN_PORT, gbp: GBP_PORT, geneve: GENEVE_PORT, gre: 0 }[kind];
  const datagram = udp(sourcePort, port, { checksum: 0 });
  switch (kind) {
    case 'vxlan':
      return [datagram, { layer: 'vxlan', flags: 8, reserved: 0, vni: id }];
    case 'gbp': {
      const policy = policyWord(tunnel);
      const reserved = ((policy & 0x48) << 16) | (policy >>> 8);
      return [datagram, { layer: 'vxlan', flags: policy === 0 ? 8 : 0x88, reserved, vni: id }];
    }
    case 'geneve': {
      const critical = tunnel.options.some(({ type }) => (type & 0x80) !== 0);
      const { oam, options } = tunnel;
      return [datagram, { layer: 'geneve', oam, critical, protocol: 0x6558, vni: id, options }];
    }
    case 'gre':
      return [{ layer: 'gre', protocol: 0x6558, key: tunnel.hasKey ? id : undefined }];
  }
};

/** The whole packet on the underlay. */
function outside(
  tunnel: Tunnel,
  inner: Uint8Array,
  from: string,
  to: string,
  out: boolean,
  port = 50000,
): Uint8Array {
  const { local, remote } = ADDRESSES[tunnel.family];
  const [source, destination] = out ? [local, remote] : [remote, local];
  const { tos, ttl, dontFragment } = tunnel;
  const network =
    tunnel.family === 4
      ? ipv4(source, destination, { tos, ttl, dontFragment })
      : ipv6(source, destination, { trafficClass: tos, hopLimit: ttl });
  return buildPacket([eth(from, to), network, ...tunnelLayers(tunnel, port)], inner);
}

const bytesOf = (packet: Packet): Uint8Array => packet.bytes().slice();

test('packets go into tunnels as another encoder writes them', { skip }, () => {
  using rig = new TunnelRig();
  const us = formatMac(rig.underMac);
  fc.assert(
    fc.property(anyTunnel, anyPacket, (tunnel, { packet, offload }) => {
      const { packets, up } = rig.send(tunnel.kind, packet, offload, keyOf(tunnel, false));
      assert.equal(up, false);
      if (offload !== null && offload.gsoType !== 0) {
        // The underlay's device cannot cut such packets, so the kernel did.
        assert.equal(packets.length, 3, 'segments');
        for (const p of packets) {
          const size = bytesOf(p).length - 14;
          const stated = tunnel.family === 4 ? get16(bytesOf(p), 16) : get16(bytesOf(p), 18) + 40;
          assert.equal(stated, size, 'length of a segment');
        }
        return;
      }
      assert.equal(packets.length, 1);
      const [got] = packets;
      got.finishChecksum();
      const inner = packetOf({ packet, offload });
      inner.finishChecksum();
      const bytes = bytesOf(got);
      const expected = outside(tunnel, bytesOf(inner), us, REMOTE_MAC, true);
      // What differs from flow to flow, and from packet to packet.
      if (tunnel.kind !== 'gre') {
        const at = tunnel.family === 4 ? 34 : 54;
        assert.ok(get16(bytes, at) >= 0xc000, 'source port');
        put16(expected, at, get16(bytes, at));
      }
      if (tunnel.family === 4) {
        put16(expected, 18, get16(bytes, 18));
        fillIpv4Checksum(expected, 14);
      }
      assert.equal(hex(bytes), hex(expected));
    }),
    { numRuns: RUNS },
  );
});

test('packets come out of tunnels as they were, with what the tunnel said', { skip }, () => {
  using rig = new TunnelRig();
  const us = formatMac(rig.underMac);
  fc.assert(
    fc.property(anyTunnel, anyPacket, fc.nat({ max: 20 }), (tunnel, { packet }, padding) => {
      const wire = outside(tunnel, packet, REMOTE_MAC, us, false);
      const { packets, key } = rig.receive(Uint8Array.from([...wire, ...new Uint8Array(padding)]));
      assert.ok(key !== undefined, 'taken');
      assert.equal(packets.length, 1);
      // Where the headers inside are broken, or the frame is shorter than any wire's, the kernel may refuse to cut padding off.
      const got = bytesOf(packets[0]);
      assert.equal(hex(got.subarray(0, packet.length)), hex(packet));
      assert.ok(got.length <= Math.max(packet.length + padding, 34), 'length');
      const expected = keyOf(tunnel, true);
      if (tunnel.kind !== 'gre') {
        const port = { vxlan: VXLAN_PORT, gbp: GBP_PORT, geneve: GENEVE_PORT }[tunnel.kind];
        expected[F.W_TUN_TP] = (50000 << 16) | port;
      }
      expected[F.W_IN_PORT] = TUNNEL_PORTS[tunnel.kind];
      for (let w = F.W_TUN_ID; w <= F.W_TUN_TP; w++) assert.equal(key[w], expected[w], `word ${w}`);
      for (let w = F.W_TUN_METADATA_PRESENT; w < F.FLOW_WORDS; w++)
        assert.equal(key[w], expected[w], `word ${w}`);
      for (const w of [F.W_IN_PORT, F.W_RECIRC_ID, F.W_DP_HASH, F.W_PKT_MARK, F.W_SKB_PRIORITY])
        assert.equal(key[w], expected[w], `word ${w}`);
    }),
    { numRuns: RUNS },
  );
});

const PLAIN: Tunnel = {
  kind: 'vxlan',
  family: 4,
  id: 42,
  hasKey: true,
  oam: false,
  dontFragment: true,
  tos: 0,
  ttl: 64,
  source: true,
  policy: 0,
  options: [],
};
const INNER = buildPacket(
  [eth('02:00:00:00:00:0a', '02:00:00:00:00:0b'), ipv4('10.0.0.1', '10.0.0.2'), udp(1, 2)],
  new Uint8Array(20),
);

test('what is not a whole packet of one of our tunnels is not taken', { skip }, () => {
  using rig = new TunnelRig();
  const us = formatMac(rig.underMac);
  const wire = (more: Partial<Tunnel> = {}): Uint8Array =>
    outside({ ...PLAIN, ...more }, INNER, REMOTE_MAC, us, false);
  const changed = (bytes: Uint8Array, change: (b: Uint8Array) => void): Uint8Array => {
    change(bytes);
    return bytes;
  };
  const poke = (at: number, to: (value: number) => number) => (b: Uint8Array) => {
    b[at] = to(b[at]);
  };
  const sums = (change: (b: Uint8Array) => void) => (b: Uint8Array) => {
    change(b);
    fillIpv4Checksum(b, 14);
  };
  assert.notEqual(rig.receive(wire()).key, undefined);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['another address', changed(wire(), sums(poke(33, () => 77)))],
    [
      'another IPv6 address',
      changed(
        wire({ family: 6 }),
        poke(53, () => 77),
      ),
    ],
    ['another port', changed(wire(), (b) => put16(b, 36, 4000))],
    [
      'a fragment',
      changed(
        wire(),
        sums((b) => put16(b, 20, 0x2000)),
      ),
    ],
    [
      'a later fragment',
      changed(
        wire(),
        sums((b) => put16(b, 20, 5)),
      ),
    ],
    ['IPv4 options', changed(wire(), sums(poke(14, () => 0x46)))],
    [
      'a wrong sum',
      changed(
        wire(),
        poke(24, (v) => v ^ 1),
      ),
    ],
    [
      'longer than it is',
      changed(
        wire(),
        sums((b) => put16(b, 16, get16(b, 16) + 1)),
      ),
    ],
    ['a datagram shorter than its packet', changed(wire(), (b) => put16(b, 38, get16(b, 38) - 1))],
    [
      'no network identifier',
      changed(
        wire(),
        poke(42, () => 0),
      ),
    ],
    [
      'a flag that nobody knows',
      changed(
        wire(),
        poke(42, () => 0x0c),
      ),
    ],
    [
      'a policy where none is expected',
      changed(
        wire(),
        poke(42, () => 0x88),
      ),
    ],
    [
      'Geneve of version 1',
      changed(
        wire({ kind: 'geneve' }),
        poke(42, () => 0x40),
      ),
    ],
    ['Geneve of IP', changed(wire({ kind: 'geneve' }), (b) => put16(b, 44, 0x0800))],
    [
      'Geneve options beyond the end',
      changed(
        wire({ kind: 'geneve' }),
        poke(42, () => 0x3f),
      ),
    ],
    ['GRE of IP', changed(wire({ kind: 'gre' }), (b) => put16(b, 36, 0x0800))],
    [
      'GRE with routing',
      changed(
        wire({ kind: 'gre' }),
        poke(34, (v) => v | 0x40),
      ),
    ],
    [
      'GRE of version 1',
      changed(
        wire({ kind: 'gre' }),
        poke(35, (v) => v | 1),
      ),
    ],
    ['no Ethernet header inside', outside(PLAIN, INNER.subarray(0, 13), REMOTE_MAC, us, false)],
    [
      'a tag outside',
      changed(Uint8Array.from([...wire().subarray(0, 12), 0x81, 0, 0, 5, ...wire().subarray(12)]), () => {}),
    ],
  ];
  for (const [what, packet] of cases) {
    const { packets, key } = rig.receive(packet);
    assert.equal(key, undefined, what);
    assert.deepEqual(packets, [], what);
  }
});

test('JavaScript is asked to send what cannot be sent here', { skip }, () => {
  using rig = new TunnelRig();
  const key = (word: number, to: (value: number) => number): F.Flow => {
    const flow = keyOf(PLAIN, false);
    flow[word] = to(flow[word]);
    return flow;
  };
  const cases: readonly (readonly [string, F.Flow, number?])[] = [
    ['no route', key(F.W_TUN_DST, (v) => v + 1)],
    ['no route from there', key(F.W_TUN_SRC, (v) => v + 1)],
    ['a checksum over all', key(F.W_TUN_FLAGS, (v) => v | (F.TUN_F_CSUM << 16))],
    ['from a tunnel', keyOf(PLAIN, false), TUNNEL_PORTS.geneve],
  ];
  const long = buildPacket(
    [eth('02:00:00:00:00:0a', '02:00:00:00:00:0b'), ipv4('10.0.0.1', '10.0.0.2'), tcp(1, 2)],
    new Uint8Array(1422),
  );
  const segments = (gsoSize: number): PacketOffload => ({
    csumStart: 34,
    csumOffset: 16,
    gsoType: 1,
    gsoSize,
  });
  const fit = rig.send('vxlan', long.subarray(0, 1464), null, keyOf(PLAIN, false));
  assert.deepEqual([fit.up, fit.packets.length], [false, 1]);
  const lengths: readonly (readonly [Uint8Array, PacketOffload | null, boolean])[] = [
    [long, null, true],
    [long, segments(1410), false],
    [long, segments(1411), true],
  ];
  for (const [packet, offload, up] of lengths)
    assert.equal(rig.send('vxlan', packet, offload, keyOf(PLAIN, false)).up, up, `${offload?.gsoSize}`);
  for (const [what, flow, from] of cases) {
    const { packets, up } = rig.send('vxlan', INNER, null, flow, from);
    assert.equal(up, true, what);
    assert.deepEqual(packets, [], what);
  }
});

test('the packets of a tunnel are counted as they are inside', { skip }, () => {
  using rig = new TunnelRig();
  const us = formatMac(rig.underMac);
  rig.send('vxlan', INNER, null, keyOf(PLAIN, false));
  rig.receive(outside(PLAIN, INNER, REMOTE_MAC, us, false));
  const broken = outside(PLAIN, INNER, REMOTE_MAC, us, false);
  broken[42] = 0;
  rig.receive(broken);
  rig.send('vxlan', INNER, null, F.newFlow());
  const stats = rig.stats('vxlan');
  assert.deepEqual(
    [L.PS_TX_PACKETS, L.PS_TX_BYTES, L.PS_RX_PACKETS, L.PS_RX_BYTES, L.PS_RX_DROPPED, L.PS_TX_ERRORS].map(
      stats,
    ),
    [1, INNER.length, 1, INNER.length, 1, 1],
  );
});
