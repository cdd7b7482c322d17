import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ANSWERS, type AnswerKind } from '../../logical/flow-words.ts';
import { buildPacket, dissectPacket, type Layer, make, TCP_ACK, TCP_RST, TCP_SYN } from '../../wire/index.ts';
import { answerTo } from './answer.ts';

const { eth, ip, ipv4, ipv6, tcp, udp, icmp, icmpv6, vlan } = make;
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const ROUTER = { ipv4: ip('192.0.2.1'), ipv6: ip('fd00::1') };
const KINDS = Object.keys(ANSWERS) as AnswerKind[];

const to = (kind: AnswerKind, layers: Layer[], payload = new Uint8Array(0), router = ROUTER) =>
  answerTo(kind, buildPacket(layers, payload), router);

/** The layers of an answer, whose checksums and lengths must be right. */
function layersOf(answer: Uint8Array | undefined): { layers: readonly Layer[]; payload: Uint8Array } {
  assert.ok(answer);
  const { layers, payload, malformed } = dissectPacket(answer);
  assert.equal(malformed, null);
  const rebuilt = layers.map((l) => ({
    ...l,
    ...('checksum' in l ? { checksum: undefined } : {}),
    ...('totalLength' in l ? { totalLength: undefined } : {}),
  })) as Layer[];
  assert.deepEqual(buildPacket(rebuilt, payload), answer);
  return { layers, payload };
}

test('a rejected SYN gets a reset that acknowledges it, from where it went to', () => {
  const { layers } = layersOf(
    to('reject', [
      eth(A, B),
      ipv4('10.0.0.1', '10.0.0.2'),
      tcp(1000, 80, { seq: 0xffffffff, flags: TCP_SYN }),
    ]),
  );
  const [link, net, transport] = layers;
  assert.deepEqual(link, { ...eth(B, A), type: 0x800 });
  assert.ok(net.layer === 'ipv4' && transport.layer === 'tcp');
  assert.deepEqual([net.src, net.dst, net.ttl], [ip('10.0.0.2'), ip('10.0.0.1'), 255]);
  assert.deepEqual(
    [transport.srcPort, transport.dstPort, transport.seq, transport.ack, transport.flags],
    [80, 1000, 0, 0, TCP_RST | TCP_ACK],
  );
});

test('a reset in a connection takes its number from what was acknowledged; resets are not answered', () => {
  const of = (flags: number) =>
    to(
      'reject',
      [eth(A, B), ipv6('fd00::a', 'fd00::b'), tcp(1, 2, { seq: 5, ack: 77, flags })],
      Uint8Array.of(1),
    );
  const { layers } = layersOf(of(TCP_ACK));
  const [, , transport] = layers;
  assert.ok(transport.layer === 'tcp');
  assert.deepEqual([transport.seq, transport.flags], [77, TCP_RST]);
  assert.equal(of(TCP_RST), undefined);
  assert.equal(of(TCP_RST | TCP_ACK), undefined);
});

const TYPES: readonly [AnswerKind, 4 | 6, number, number][] = [
  ['reject', 4, 3, 10],
  ['reject', 6, 1, 1],
  ['ttl-exceeded', 4, 11, 0],
  ['ttl-exceeded', 6, 3, 0],
  ['no-route', 4, 3, 0],
  ['no-route', 6, 1, 0],
  ['no-neighbor', 4, 3, 1],
  ['no-neighbor', 6, 1, 3],
];
for (const [kind, family, type, code] of TYPES) {
  test(`${kind} over IPv${family} is ICMP type ${type} code ${code}, and quotes the packet`, () => {
    const net = family === 4 ? ipv4('10.0.0.1', '10.9.9.9') : ipv6('fd01::a', 'fd02::b');
    const question = buildPacket([eth(A, B), net, udp(1, 2)], new Uint8Array(2000).fill(7));
    const answer = answerTo(kind, question, ROUTER);
    const { layers, payload } = layersOf(answer);
    const [, from, error] = layers;
    assert.ok(from.layer === 'ipv4' || from.layer === 'ipv6');
    const router = family === 4 ? ROUTER.ipv4 : ROUTER.ipv6;
    assert.deepEqual(from.src, kind === 'reject' ? net.dst : router);
    assert.ok(error.layer === 'icmp' || error.layer === 'icmpv6');
    assert.deepEqual([error.type, error.code], [type, code]);
    assert.equal((answer?.length ?? 0) - 14, family === 4 ? 576 : 1280);
    assert.deepEqual(payload, question.subarray(14, 14 + payload.length));
  });
}

test('an answer keeps the tag of what it answers', () => {
  const { layers } = layersOf(to('reject', [eth(A, B), vlan(9), ipv4('10.0.0.1', '10.0.0.2'), udp(1, 2)]));
  assert.ok(layers[1].layer === 'vlan' && layers[1].vid === 9);
});

const SILENT: readonly [string, Layer[]][] = [
  ['an ICMP error', [eth(A, B), ipv4('10.0.0.1', '10.0.0.2'), icmp(3, 1)]],
  ['an ICMPv6 error', [eth(A, B), ipv6('fd00::1', 'fd00::2'), icmpv6(1, 4)]],
  ['a later fragment', [eth(A, B), ipv4('10.0.0.1', '10.0.0.2', { fragmentOffset: 3, protocol: 17 })]],
  ['a frame to a group', [eth(A, '33:33:00:00:00:01'), ipv6('fd00::1', 'fd00::2'), udp(1, 2)]],
  ['a packet to a group', [eth(A, B), ipv4('10.0.0.1', '224.0.0.1'), udp(1, 2)]],
  ['a packet from nobody', [eth(A, B), ipv4('0.0.0.0', '10.0.0.2'), udp(1, 2)]],
  ['a packet from loopback', [eth(A, B), ipv4('127.0.0.1', '10.0.0.2'), udp(1, 2)]],
  ['a question of ARP', [eth(A, B), make.arp(1, A, '10.0.0.1', '00:00:00:00:00:00', '10.0.0.2')]],
];
for (const [what, layers] of SILENT) {
  test(`nothing answers ${what}`, () => {
    for (const kind of KINDS) assert.equal(to(kind, layers), undefined);
  });
}

test('a router without an address does not answer', () => {
  const none = { ipv4: new Uint8Array(4), ipv6: undefined as unknown as Uint8Array };
  assert.equal(
    to('no-route', [eth(A, B), ipv4('10.0.0.1', '10.0.0.2'), udp(1, 2)], undefined, none),
    undefined,
  );
  assert.equal(
    to('no-route', [eth(A, B), ipv6('fd00::1', 'fd00::2'), udp(1, 2)], undefined, none),
    undefined,
  );
});

test('no bytes make it throw, and no answer is longer than an error may be', () => {
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .tuple(fc.constantFrom(0x800, 0x86dd, 0x8100), fc.uint8Array({ maxLength: 2000 }))
      .map(([type, rest]) => buildPacket([eth(A, B, type)], rest)),
    fc
      .tuple(fc.uint8Array({ maxLength: 60 }), fc.nat(255))
      .map(([rest, protocol]) => buildPacket([eth(A, B), ipv4('10.0.0.1', '10.0.0.2', { protocol })], rest)),
  );
  fc.assert(
    fc.property(frame, fc.constantFrom(...KINDS), (bytes, kind) => {
      const answer = answerTo(kind, bytes, ROUTER);
      if (answer !== undefined) assert.ok(answer.length <= 1280 + 14 + 4 * 8);
    }),
  );
});
