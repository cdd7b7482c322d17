import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIpv4, formatIpv6, formatMac } from './address.ts';
import { fromHex, toHex } from './bytes.ts';
import { ipv4ChecksumOk } from './checksum.ts';
import { arp, eth, icmp, icmpv6, ip, ipv4, ipv6, mpls, nd, sctp, tcp, udp, vlan } from './make.ts';
import { buildPacket, dissectPacket, type Layer, padFrame } from './packet.ts';
import { writePcap } from './pcap.ts';
import { emitTcpOptions, parseTcpOptions } from './tcp.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const EMPTY = new Uint8Array(0);

// --- Literal bytes ---------------------------------------------------------------------------------

test('an echo request, byte for byte', () => {
  const bytes = buildPacket(
    [eth(A, B), ipv4('192.168.1.1', '192.168.1.2', { id: 0x1234 }), icmp(8, 0, 0x00010002)],
    fromHex('68656c6c6f')!,
  );
  assert.equal(
    toHex(bytes),
    '02000000000b02000000000a0800' +
      '45000021123400004001e554c0a80101c0a80102' +
      '0800b42a00010002' +
      '68656c6c6f',
  );
  assert.ok(ipv4ChecksumOk(bytes, 14));
});

test('an 802.3 frame: length, LLC, and what follows it is padding', () => {
  const stp: Layer[] = [eth(A, '01:80:c2:00:00:00'), { layer: 'llc', dsap: 0x42, ssap: 0x42, control: 3 }];
  const bytes = padFrame(buildPacket(stp, fromHex('00000000')!));
  assert.equal(bytes.length, 60);
  const found = dissectPacket(bytes);
  assert.equal(found.malformed, null);
  assert.deepEqual(found.layers[1], stp[1]);
  assert.equal(toHex(found.payload), '00000000');
});

test('the EtherType behind SNAP counts where the OUI is 0', () => {
  const snap: Layer[] = [
    eth(A, B),
    { layer: 'llc', dsap: 0xaa, ssap: 0xaa, control: 3 },
    { layer: 'snap', oui: 0 },
    ipv4('10.0.0.1', '10.0.0.2'),
    udp(1, 2),
  ];
  const found = dissectPacket(buildPacket(snap, fromHex('ff')!));
  assert.deepEqual(
    found.layers.map((layer) => layer.layer),
    ['eth', 'llc', 'snap', 'ipv4', 'udp'],
  );
});

test('TCP options', () => {
  const options = [
    { kind: 2, data: fromHex('05b4')! },
    { kind: 3, data: fromHex('07')! },
  ];
  assert.equal(toHex(emitTcpOptions(options)), '020405b403030700');
  assert.deepEqual(parseTcpOptions(fromHex('0101020405b403030700')!), options);
  assert.equal(parseTcpOptions(fromHex('0200')!), null);
  assert.equal(parseTcpOptions(fromHex('0205aa')!), null);
  assert.equal(parseTcpOptions(fromHex('02')!), null);
});

// --- Random layers ---------------------------------------------------------------------------------

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const bytesOf = (n: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: n, maxLength: n });
const words = (max: number): fc.Arbitrary<Uint8Array> => fc.nat(max).chain((n) => bytesOf(4 * n));

const link: fc.Arbitrary<Layer[]> = fc
  .tuple(
    fc.record({ layer: fc.constant('eth' as const), dst: bytesOf(6), src: bytesOf(6) }),
    fc.array(
      fc.record({
        layer: fc.constant('vlan' as const),
        tpid: fc.constantFrom(0x8100, 0x88a8),
        pcp: fc.nat(7),
        dei: fc.boolean(),
        vid: fc.nat(4095),
      }),
      { maxLength: 2 },
    ),
    fc.array(
      fc.record({ layer: fc.constant('mpls' as const), label: fc.nat(0xfffff), tc: fc.nat(7), ttl: u8 }),
      {
        maxLength: 3,
      },
    ),
  )
  .map(([first, tags, labels]) => [first, ...tags, ...labels]);

const net4: fc.Arbitrary<Layer[]> = fc
  .record({
    layer: fc.constant('ipv4' as const),
    tos: u8,
    id: u16,
    dontFragment: fc.boolean(),
    moreFragments: fc.boolean(),
    fragmentOffset: fc.constant(0),
    ttl: u8,
    src: bytesOf(4),
    dst: bytesOf(4),
    options: words(10),
  })
  .map((layer) => [layer]);

const net6: fc.Arbitrary<Layer[]> = fc
  .tuple(
    fc.record({
      layer: fc.constant('ipv6' as const),
      trafficClass: u8,
      label: fc.nat(0xfffff),
      hopLimit: u8,
      src: bytesOf(16),
      dst: bytesOf(16),
    }),
    fc.array(
      fc.oneof(
        fc.record({
          layer: fc.constant('ipv6ext' as const),
          kind: fc.constantFrom(0, 43, 60),
          data: fc.constantFrom(6, 14, 22).chain(bytesOf),
        }),
        fc.record({
          layer: fc.constant('ipv6ext' as const),
          kind: fc.constant(51),
          data: fc.constantFrom(10, 22).chain(bytesOf),
        }),
        fc.record({
          layer: fc.constant('ipv6frag' as const),
          offset: fc.constant(0),
          more: fc.boolean(),
          id: u32,
        }),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([first, extensions]) => [first, ...extensions]);

const transport: fc.Arbitrary<Layer[]> = fc.oneof(
  fc
    .record({
      layer: fc.constant('tcp' as const),
      srcPort: u16,
      dstPort: u16,
      seq: u32,
      ack: u32,
      flags: fc.nat(0xfff),
      window: u16,
      urgent: u16,
      options: words(10),
    })
    .map((layer) => [layer]),
  fc.record({ layer: fc.constant('udp' as const), srcPort: u16, dstPort: u16 }).map((layer) => [layer]),
  fc
    .record({ layer: fc.constant('sctp' as const), srcPort: u16, dstPort: u16, tag: u32 })
    .map((layer) => [layer]),
  fc.record({ layer: fc.constant('icmp' as const), type: u8, code: u8, rest: u32 }).map((layer) => [layer]),
  fc
    .record({ layer: fc.constant('icmpv6' as const), type: fc.nat(132), code: u8, rest: u32 })
    .map((layer) => [layer]),
  fc
    .record({ layer: fc.constant('igmp' as const), type: u8, code: u8, group: bytesOf(4) })
    .map((layer) => [layer]),
  fc
    .tuple(
      fc.record({
        layer: fc.constant('icmpv6' as const),
        type: fc.constantFrom(133, 134, 135, 136, 137),
        code: fc.constant(0),
        rest: u32,
      }),
      fc.array(
        fc.record({ type: u8, data: fc.constantFrom(6, 14).chain(bytesOf) }, { noNullPrototype: true }),
        { maxLength: 3 },
      ),
      bytesOf(32),
    )
    .map(([first, options, body]) => [
      first,
      { layer: 'nd' as const, body: body.slice(0, [0, 8, 16, 16, 32][first.type - 133]), options },
    ]),
);

const arpPacket: fc.Arbitrary<Layer[]> = fc
  .record({
    layer: fc.constant('arp' as const),
    op: u16,
    sha: bytesOf(6),
    spa: bytesOf(4),
    tha: bytesOf(6),
    tpa: bytesOf(4),
  })
  .map((layer) => [layer]);

const anyLayers: fc.Arbitrary<Layer[]> = fc
  .tuple(
    link,
    fc.oneof(
      fc.tuple(fc.oneof(net4, net6), transport).map(([n, t]) => [...n, ...t]),
      arpPacket,
    ),
  )
  .map(([l, rest]) =>
    rest[0].layer === 'arp' ? [...l.filter((layer) => layer.layer !== 'mpls'), ...rest] : [...l, ...rest],
  );

const isNd = (layers: readonly Layer[]): boolean =>
  layers.some((layer) => layer.layer === 'nd' || layer.layer === 'arp');

test('random layers: build, parse: the same; build again: the same bytes', () => {
  fc.assert(
    fc.property(anyLayers, fc.uint8Array({ maxLength: 40 }), (layers, data) => {
      const payload = isNd(layers) ? EMPTY : data;
      const bytes = buildPacket(layers, payload);
      const found = dissectPacket(bytes);
      assert.equal(found.malformed, null);
      assert.equal(found.layers.length, layers.length);
      // What was given is there; what was left open has been filled in.
      layers.forEach((layer, i) => {
        assert.deepEqual({ ...found.layers[i], ...layer }, found.layers[i]);
        for (const [field, value] of Object.entries(found.layers[i]))
          assert.notEqual(value, undefined, field);
      });
      assert.deepEqual(found.payload, payload);
      assert.equal(toHex(buildPacket(found.layers, found.payload)), toHex(bytes));
    }),
    { numRuns: 500 },
  );
});

test('tunnels', () => {
  const inner: Layer[] = [eth(A, B), ipv4('10.0.0.1', '10.0.0.2'), udp(5, 6)];
  const tunnels: Layer[][] = [
    [udp(4, 4789), { layer: 'vxlan', flags: 8, reserved: 0, vni: 77 }],
    [
      udp(4, 6081),
      {
        layer: 'geneve',
        oam: false,
        critical: true,
        vni: 77,
        options: [{ optionClass: 0x102, type: 0x80, data: fromHex('00000001')! }],
      },
    ],
    [{ layer: 'gre', checksum: undefined, key: 77, sequence: undefined }],
    [{ layer: 'gre', checksum: 0, key: 77, sequence: 5 }],
  ];
  for (const tunnel of tunnels) {
    const layers = [eth(A, B), ipv4('1.1.1.1', '2.2.2.2'), ...tunnel, ...inner];
    const bytes = buildPacket(layers, fromHex('0102')!);
    const found = dissectPacket(bytes, { tunnels: true });
    assert.equal(found.malformed, null);
    assert.deepEqual(
      found.layers.map((layer) => layer.layer),
      layers.map((layer) => layer.layer),
    );
    assert.equal(toHex(found.payload), '0102');
    assert.equal(toHex(buildPacket(found.layers, found.payload)), toHex(bytes));
  }
});

test('cut at every byte: what is left of it or a reason, never a throw', () => {
  fc.assert(
    fc.property(anyLayers, (layers) => {
      const bytes = buildPacket(layers);
      for (let length = 0; length < bytes.length; length++) {
        const found = dissectPacket(bytes.subarray(0, length), { tunnels: true });
        assert.ok(found.layers.length < layers.length);
        // Nothing tells what is behind the last MPLS label.
        if (found.layers.at(-1)?.layer === 'mpls' && found.payload.length === 0) continue;
        assert.ok(found.malformed !== null, `${length} of ${bytes.length} bytes taken for a whole packet`);
        assert.match(String(found.malformed), /at byte \d+: /);
      }
    }),
    { numRuns: 50 },
  );
});

test('random bytes never throw, from whatever header on', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.constantFrom('eth' as const, 'ipv4' as const, 'ipv6' as const, 'arp' as const, 'mpls' as const),
      fc.constantFrom(
        EMPTY,
        fromHex('45')!,
        fromHex('60')!,
        buildPacket([eth(A, B), ipv4('1.1.1.1', '2.2.2.2'), udp(67, 68)]),
      ),
      (bytes, first, prefix) => {
        const whole = new Uint8Array([...prefix, ...bytes]);
        const found = dissectPacket(whole, { first, tunnels: true });
        assert.ok(found.payload.length <= whole.length);
      },
    ),
    { numRuns: 2000 },
  );
});

// --- tshark as the judge -----------------------------------------------------------------------------

const noTshark = spawnSync('tshark', ['--version']).status === 0 ? false : 'tshark is not installed';

/** Runs tshark over the packets; one row of field values for each. */
function tshark(packets: readonly Uint8Array[], fields: readonly string[]): string[][] {
  const dir = mkdtempSync(join(tmpdir(), 'weft-wire-'));
  try {
    const file = join(dir, 'packets.pcap');
    writeFileSync(file, writePcap(packets));
    const checks = ['ip', 'tcp', 'udp'].flatMap((p) => ['-o', `${p}.check_checksum:TRUE`]);
    const args = [
      '-r',
      file,
      '-o',
      'sctp.checksum:CRC 32c',
      ...checks,
      '-T',
      'fields',
      '-E',
      'separator=;',
      '-E',
      'occurrence=a',
    ];
    const result = spawnSync('tshark', [...args, ...fields.flatMap((field) => ['-e', field])], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    assert.equal(result.status, 0, result.stderr);
    return result.stdout
      .split('\n')
      .slice(0, packets.length)
      .map((line) => line.split(';'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test('tshark reads the fields that were written', { skip: noTshark }, () => {
  const lla = { source: A };
  const cases: [Layer[], Record<string, string>][] = [
    [
      [
        eth(A, B),
        vlan(5, { tpid: 0x88a8, pcp: 3 }),
        vlan(6),
        ipv4('10.0.0.1', '10.0.0.2', { tos: 0x2e, ttl: 9 }),
        tcp(80, 81, { seq: 7, flags: 0x112 }),
      ],
      {
        'vlan.id': '6',
        'ieee8021ad.id': '5',
        'ip.src': '10.0.0.1',
        'ip.ttl': '9',
        'tcp.srcport': '80',
        'tcp.flags': '0x0112',
        'tcp.checksum.status': '1',
        'ip.checksum.status': '1',
      },
    ],
    [
      [
        eth(A, B),
        ipv6('fe80::1', 'fe80::2', { label: 0x12345 }),
        { layer: 'ipv6ext', kind: 60, data: fromHex('010400000000')! },
        udp(53, 54),
      ],
      {
        'ipv6.src': 'fe80::1',
        'ipv6.dst': 'fe80::2',
        'ipv6.flow': '0x012345',
        'udp.dstport': '54',
        'udp.checksum.status': '1',
      },
    ],
    [
      [eth(A, B), ipv4('10.0.0.1', '10.0.0.2'), sctp(7, 8, { tag: 9 })],
      { 'sctp.srcport': '7', 'sctp.checksum.status': '1' },
    ],
    [
      [eth(A, B), ipv6('fe80::1', 'ff02::1:ff00:2'), icmpv6(135), nd('fe80::2', lla)],
      { 'icmpv6.nd.ns.target_address': 'fe80::2', 'icmpv6.opt.linkaddr': A, 'icmpv6.checksum.status': '1' },
    ],
    [
      [eth(A, 'ff:ff:ff:ff:ff:ff'), arp(1, A, '10.0.0.1', '00:00:00:00:00:00', '10.0.0.2')],
      { 'arp.opcode': '1', 'arp.dst.proto_ipv4': '10.0.0.2' },
    ],
    [
      [eth(A, B), mpls(100, { tc: 5 }), mpls(200), ipv4('10.0.0.1', '10.0.0.2'), icmp(8)],
      { 'mpls.label': '100,200', 'mpls.bottom': '0,1', 'icmp.checksum.status': '1' },
    ],
    [
      [
        eth(A, B),
        ipv4('10.0.0.1', '224.0.0.1'),
        { layer: 'igmp', type: 0x16, code: 0, group: ip('224.1.1.1') },
      ],
      { 'igmp.maddr': '224.1.1.1', 'igmp.checksum.status': '1' },
    ],
    [
      [
        eth(A, B),
        ipv4('1.1.1.1', '2.2.2.2'),
        udp(9, 4789),
        { layer: 'vxlan', flags: 8, reserved: 0, vni: 77 },
        eth(A, B),
        arp(2, A, '10.0.0.1', B, '10.0.0.2'),
      ],
      { 'vxlan.vni': '77', 'arp.opcode': '2' },
    ],
    [
      [
        eth(A, B),
        ipv4('1.1.1.1', '2.2.2.2'),
        { layer: 'gre', key: 0x1e241 },
        eth(A, B),
        arp(2, A, '10.0.0.1', B, '10.0.0.2'),
      ],
      { 'gre.key': '0x0001e241', 'arp.opcode': '2' },
    ],
  ];
  const fields = [...new Set(cases.flatMap(([, expected]) => Object.keys(expected)))];
  const rows = tshark(
    cases.map(([layers]) => padFrame(buildPacket(layers))),
    fields,
  );
  cases.forEach(([, expected], i) => {
    for (const [field, value] of Object.entries(expected)) {
      assert.equal(rows[i][fields.indexOf(field)], value, `${field} of packet ${i}`);
    }
  });
});

test('tshark finds every checksum of random packets right, and the same addresses', {
  skip: noTshark,
}, () => {
  const samples = fc.sample(fc.tuple(anyLayers, fc.uint8Array({ maxLength: 40 })), 300).filter(([layers]) => {
    // Whole packets of protocols that go with the IP version.
    const kinds = layers.map((layer) => layer.layer);
    if (kinds.includes('ipv6frag') || kinds.includes('mpls') || kinds.includes('arp')) return false;
    if (layers.some((layer) => layer.layer === 'ipv4' && layer.moreFragments)) return false;
    if (layers.some((layer) => layer.layer === 'ipv6ext' && layer.kind !== 60)) return false;
    if (kinds.includes('igmp') || kinds.includes('sctp')) return false;
    return kinds.includes('ipv4') ? !kinds.includes('icmpv6') : !kinds.includes('icmp');
  });
  const packets = samples.map(([layers, payload]) => buildPacket(layers, isNd(layers) ? EMPTY : payload));
  const status = ['tcp', 'udp', 'icmp', 'icmpv6'].map((p) => `${p}.checksum.status`);
  const rows = tshark(packets, ['eth.src', 'ip.src', 'ipv6.dst', 'ip.checksum.status', ...status]);
  let judged = 0;
  samples.forEach(([layers], i) => {
    const [src, src4, dst6, sum4, ...sums] = rows[i];
    for (const layer of layers) {
      if (layer.layer === 'eth') assert.equal(src.split(',')[0], formatMac(layer.src));
      if (layer.layer === 'ipv4') assert.equal(src4.split(',')[0], formatIpv4(layer.src));
      if (layer.layer === 'ipv6') assert.equal(dst6.split(',')[0], formatIpv6(layer.dst));
    }
    // Values of several headers (an ICMP error quotes one) are joined by commas: the first is ours. 0 bad, 1 good.
    for (const sum of [sum4, ...sums]) {
      if (sum === '') continue;
      assert.notEqual(sum.split(',')[0], '0', `checksum of packet ${i}: ${toHex(packets[i])}`);
      if (sum.split(',')[0] === '1') judged++;
    }
  });
  assert.ok(judged > packets.length / 2, `only ${judged} checksums were judged`);
});
