import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { newFlow } from '../../flow/layout.ts';
import { setOffload } from '../../sys/ethtool.ts';
import { RxFrame } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNewNetns } from '../../sys/netns.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import { put16, toHex } from '../../wire/bytes.ts';
import { fold, pseudoHeader } from '../../wire/checksum.ts';
import { eth, ipv4, ipv6, tcp, udp, vlan } from '../../wire/make.ts';
import { buildPacket, type Layer } from '../../wire/packet.ts';
import { TCP_ACK, TCP_FIN, TCP_PSH } from '../../wire/tcp.ts';
import { extractFlow } from './extract.ts';
import { inferOffload } from './infer-offload.ts';
import { Packet } from './packet.ts';
import { planSegments, writeSegment } from './segment.ts';

const CWR = 0x80;

interface Case {
  readonly family: 4 | 6;
  readonly tagged: boolean;
  readonly protocol: 'tcp' | 'udp';
  readonly flags: number;
  readonly seq: number;
  readonly id: number;
  readonly options: Uint8Array;
  readonly payload: number;
  readonly size: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  family: fc.constantFrom(4, 6),
  tagged: fc.boolean(),
  protocol: fc.constantFrom('tcp', 'tcp', 'udp'),
  flags: fc
    .integer({ min: 0, max: 15 })
    .map((n) => TCP_ACK | (n & 1 ? TCP_FIN : 0) | (n & 2 ? TCP_PSH : 0) | (n & 4 ? CWR : 0)),
  seq: fc.integer({ min: 0, max: 0xffffffff }),
  id: fc.integer({ min: 0, max: 0xffff }),
  options: fc.constantFrom(new Uint8Array(0), Uint8Array.of(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8)),
  payload: fc.integer({ min: 500, max: 20_000 }),
  size: fc.integer({ min: 400, max: 1400 }),
});

/** The packet as a guest's device would hand it out: one checksum, unfinished. */
function packetOf(c: Case): Packet {
  const layers: Layer[] = [eth('02:00:00:00:00:01', '02:00:00:00:00:02')];
  if (c.tagged) layers.push(vlan(7));
  layers.push(
    c.family === 4
      ? ipv4('10.0.0.1', '10.0.0.2', { id: c.id, dontFragment: true })
      : ipv6('fd00::1', 'fd00::2'),
  );
  const { flags, seq, options } = c;
  layers.push(c.protocol === 'tcp' ? tcp(1000, 80, { flags, seq, options }) : udp(1000, 80));
  const bytes = buildPacket(
    layers,
    Uint8Array.from({ length: c.payload }, (_, i) => (i * 7) & 0xff),
  );
  const packet = Packet.copyOf(bytes);
  extractFlow(packet, newFlow());
  packet.csumStart = packet.l4;
  packet.csumOffset = c.protocol === 'tcp' ? 16 : 6;
  packet.gsoType = c.protocol === 'udp' ? 5 : (c.family === 4 ? 1 : 4) | (flags & CWR ? 0x80 : 0);
  packet.gsoSize = c.size;
  const { buffer: b, start } = packet;
  const sum = pseudoHeader(b, start + packet.l3, c.protocol === 'tcp' ? 6 : 17, packet.length - packet.l4);
  put16(b, start + packet.l4 + packet.csumOffset, fold(sum));
  return packet;
}

function segmentsOf(packet: Packet): Uint8Array[] {
  const plan = planSegments(packet);
  assert.ok(plan !== null);
  const out = new Uint8Array(70_000);
  const segments: Uint8Array[] = [];
  for (let i = 0; i < plan.count; i++) {
    const length = writeSegment(packet, plan, i, out, 3);
    segments.push(out.slice(3, 3 + length));
  }
  return segments;
}

const skip = process.getuid?.() !== 0 && 'needs root';

/** Runs `run` with what makes packets of one, the kernel: a device that does nothing for its sender. */
function withKernel(run: (send: (packet: Packet) => Uint8Array[]) => void): void {
  inNewNetns(() => {
    const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
    ip('link', 'add', 'weftA', 'type', 'veth', 'peer', 'name', 'weftB');
    for (const device of ['weftA', 'weftB']) {
      ip('link', 'set', device, 'addrgenmode', 'none');
      ip('link', 'set', device, 'up');
    }
    for (const offload of ['gso', 'tso', 'txChecksum'] as const) setOffload('weftA', offload, false);
    const netlink = new NetlinkSocket();
    const links = new Links(netlink);
    const [a, b] = ['weftA', 'weftB'].map(
      (name) =>
        new PacketPort({
          name,
          ifindex: links.get(name)?.ifindex ?? 0,
          rxSlots: 256,
          txSlots: 16,
          bypassQdisc: false,
        }),
    );
    const poll = new PollSet(1);
    poll.set(0, b.fd, POLLIN);
    try {
      run((packet) => {
        assert.ok(a.send(packet.buffer, packet.start, packet.end, packet));
        a.flush();
        const frame = new RxFrame();
        const segments: Uint8Array[] = [];
        // All of them come by the one call that sent them: the first wait is for the receiving end to wake up.
        while (segments.length === 0 || poll.wait(20) > 0) {
          if (segments.length === 0) poll.wait(1000);
          while (b.receive(frame)) {
            segments.push(frame.bytes.slice(frame.start, frame.end));
            b.release();
          }
          if (segments.length === 0) break;
        }
        return segments;
      });
    } finally {
      poll.close();
      a.close();
      b.close();
      netlink.close();
    }
  });
}

test('segments are those that the kernel makes', { skip }, () => {
  withKernel((send) => {
    fc.assert(
      fc.property(cases, (c) => {
        fc.pre(c.payload > c.size);
        const packet = packetOf(c);
        assert.deepEqual(
          segmentsOf(packet).map((b) => toHex(b)),
          send(packet).map((b) => toHex(b)),
        );
      }),
      { numRuns: 60 },
    );
  });
});

test('a packet whose headers are not what its offload state says is not cut', () => {
  const base: Case = {
    family: 4,
    tagged: false,
    protocol: 'tcp',
    flags: TCP_ACK,
    seq: 1,
    id: 1,
    options: new Uint8Array(0),
    payload: 3000,
    size: 1000,
  };
  const broken: [string, Partial<Packet>][] = [
    ['another family', { gsoType: 4 }],
    ['an unknown kind', { gsoType: 3 }],
    ['no size', { gsoSize: 0 }],
    ['no L3', { l3: -1 }],
    ['L4 inside of L3', { csumStart: 18 }],
    ['a TCP header beyond the end', { end: 128 + 44 }],
    ['no payload', { end: 128 + 54 }],
  ];
  assert.equal(planSegments(packetOf(base))?.count, 3);
  for (const [what, breakIt] of broken) {
    const packet = packetOf(base);
    Object.assign(packet, breakIt);
    assert.equal(planSegments(packet), null, what);
  }
  const short = packetOf(base);
  short.buffer[short.start + short.l4 + 12] = 0x40;
  assert.equal(planSegments(short), null, 'a TCP header that is too short');
});

test('an unfinished checksum is seen in the bytes, and a finished one left alone', () => {
  fc.assert(
    fc.property(cases, (c) => {
      const packet = packetOf(c);
      const bare = Packet.copyOf(packet.bytes());
      inferOffload(bare);
      assert.deepEqual([bare.csumStart, bare.csumOffset], [packet.csumStart, packet.csumOffset]);
      const ipLength = packet.length - packet.l3;
      assert.equal(bare.gsoType, c.protocol === 'tcp' && ipLength > 1500 ? (c.family === 4 ? 1 : 4) : 0);
      extractFlow(bare, newFlow());
      // Whatever size is taken, the receiver gets the same stream.
      if (bare.gsoType !== 0) for (const segment of segmentsOf(bare)) assert.ok(segment.length <= 1418);
      const before = toHex(packet.bytes());
      packet.finishChecksum();
      const finished = Packet.copyOf(packet.bytes());
      inferOffload(finished);
      if (toHex(packet.bytes()) !== before) assert.deepEqual([finished.csumStart, finished.gsoType], [-1, 0]);
    }),
  );
});

test('whatever bytes come, what is inferred of them stays inside of them', () => {
  const likely = fc.constantFrom(
    [],
    [0x08, 0x00, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6],
    [0x81, 0x00, 0, 7, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6],
  );
  fc.assert(
    fc.property(likely, fc.uint8Array({ maxLength: 120 }), (start, tail) => {
      const packet = Packet.copyOf(Uint8Array.of(...new Uint8Array(12), ...start, ...tail));
      if (packet.length < 14) return;
      inferOffload(packet);
      if (packet.csumStart !== -1) assert.ok(packet.csumStart + packet.csumOffset + 2 <= packet.length);
      extractFlow(packet, newFlow());
      if (packet.gsoType !== 0 && planSegments(packet) !== null) segmentsOf(packet);
    }),
  );
});
