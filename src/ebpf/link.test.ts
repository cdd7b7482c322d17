import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountBpfFs, unmountBpfFs } from '../sys/bpf-fs.ts';
import { NO_OFFLOAD } from '../sys/frame.ts';
import { Links } from '../sys/netlink/link.ts';
import { NetlinkSocket } from '../sys/netlink/socket.ts';
import { removeClsact } from '../sys/netlink/tc.ts';
import { inNewNetns } from '../sys/netns.ts';
import { PacketPort } from '../sys/packet-port.ts';
import { atomicAdd, DW, exit, ldMapValue, mov, R0, R1, R2 } from './asm.ts';
import { list, u32, u64 } from './codec.ts';
import { TC_ACT, XDP_ACT } from './context.ts';
import { type Attachment, attachClassifier, BpfLink, ClassifierFilter } from './link.ts';
import { BpfMap } from './map.ts';
import { Program, type ProgramKind, unpin } from './program.ts';
import { RingBuffer } from './ring-buffer.ts';
import { needsRoot } from './testing/programs.ts';

const skip = needsRoot;
const spec = { kind: 'array', name: 'weft_counts', key: u32, value: list(u64, 4), maxEntries: 1 } as const;

/** Counts what it sees in `slot` of the map, and drops it. */
function counter(
  map: BpfMap<number, readonly bigint[]>,
  slot: number,
  kind: ProgramKind = 'classifier',
): Program {
  const drop = kind === 'xdp' ? XDP_ACT.drop : TC_ACT.shot;
  const code = [ldMapValue(R1, map, slot * 8), mov(R2, 1), atomicAdd(DW, R1, 0, R2), mov(R0, drop), exit()];
  return Program.load({ kind, name: `weft_count${slot}`, code });
}

/** Two devices, back to back, in a namespace that is gone afterwards; `send` has `b` receive a frame. */
function withVeth(
  work: (t: { b: number; send: (count: number) => void; netlink: NetlinkSocket; links: Links }) => void,
): void {
  inNewNetns(() => {
    const netlink = new NetlinkSocket();
    const links = new Links(netlink);
    links.createVeth('weft0', 'weft1', { up: true }, { up: true });
    const a = links.get('weft0')!.ifindex;
    const port = new PacketPort({ name: 'weft0', ifindex: a, rxSlots: 64, txSlots: 64 });
    try {
      const frame = new Uint8Array(60).fill(0xff, 0, 6);
      frame.set([0x88, 0xb5], 12);
      const send = (count: number): void => {
        for (let i = 0; i < count; i++) port.send(frame, 0, frame.length, NO_OFFLOAD);
        port.flush();
      };
      work({ b: links.get('weft1')!.ifindex, send, netlink, links });
    } finally {
      port.close();
      netlink.close();
    }
  });
}

/** Waits, bound in turns and not in time, until a counter has at least `wanted`. */
function reach(map: BpfMap<number, readonly bigint[]>, slot: number, wanted: bigint): void {
  for (let tries = 0; tries < 200_000 && map.get(0)![slot]! < wanted; tries++);
  assert.ok(map.get(0)![slot]! >= wanted, `${map.get(0)![slot]} of ${wanted}`);
}

/** A counter, once it has stood still for a while: frames under way when a program went still count. */
function atRest(map: BpfMap<number, readonly bigint[]>, slot: number): bigint {
  let value = map.get(0)![slot]!;
  for (let still = 0; still < 10_000; still++) {
    const now = map.get(0)![slot]!;
    if (now !== value) still = 0;
    value = now;
  }
  return value;
}

/** The system may send frames of its own, too: counters are compared with what they must at least be. */
function swaps(
  map: BpfMap<number, readonly bigint[]>,
  attachment: Attachment,
  send: (n: number) => void,
): void {
  using second = counter(map, 1, attachment.kind === 'xdp' ? 'xdp' : 'classifier');
  const before = map.get(0)![0]!;
  send(5);
  reach(map, 0, before + 5n);
  attachment.replace(second);
  const first = atRest(map, 0);
  send(7);
  reach(map, 1, 7n);
  assert.equal(map.get(0)![0], first);
  attachment.detach();
  const last = atRest(map, 1);
  send(3);
  assert.equal(atRest(map, 1), last);
}

for (const direction of ['ingress', 'egress'] as const)
  test(`tcx ${direction}: attached, swapped, detached`, { skip }, () => {
    withVeth(({ b, send, links }) => {
      using map = BpfMap.create(spec);
      using first = counter(map, 0);
      const device = direction === 'ingress' ? b : links.get('weft0')!.ifindex;
      const attachment = attachClassifier(first, device, direction);
      assert.equal(attachment.kind, 'tcx');
      if (direction === 'ingress') swaps(map, attachment, send);
      else attachment.close();
    });
  });

test('cls_bpf, where tcx is missing', { skip }, () => {
  withVeth(({ b, send, netlink }) => {
    using map = BpfMap.create(spec);
    using first = counter(map, 0);
    swaps(map, new ClassifierFilter(netlink, first, b, 'ingress'), send);
    // A process that comes later takes the same filter over.
    const before = new ClassifierFilter(netlink, first, b, 'ingress');
    const after = new ClassifierFilter(netlink, first, b, 'ingress');
    after.close();
    before.close();
    removeClsact(netlink, b);
  });
});

test('XDP: attached, swapped, detached', { skip }, () => {
  withVeth(({ b, send }) => {
    using map = BpfMap.create(spec);
    using first = counter(map, 0, 'xdp');
    swaps(map, BpfLink.xdp(first, b), send);
    BpfLink.xdp(first, b, 'generic').close();
  });
});

test('a link ends with its descriptor, and knows when its device went', { skip }, () => {
  withVeth(({ b, links }) => {
    using map = BpfMap.create(spec);
    using program = counter(map, 0);
    using other = counter(map, 1);
    using link = BpfLink.tcx(program, b, 'ingress');
    assert.ok(link.attached);
    assert.equal(link.programId, program.id);
    assert.throws(() => link.replace(other, other), { errnoName: 'EPERM' });
    link.replace(other, program);
    assert.equal(link.programId, other.id);
    links.remove(b);
    assert.ok(!link.attached);
  });
});

test('a program that is no classifier cannot be attached as one', { skip }, () => {
  withVeth(({ b, netlink }) => {
    using map = BpfMap.create(spec);
    using xdp = counter(map, 0, 'xdp');
    assert.throws(() => attachClassifier(xdp, b, 'ingress', () => netlink), { code: 'system-call' });
    assert.throws(() => attachClassifier(xdp, 0x7fff_ffff, 'ingress', () => netlink), {
      code: 'system-call',
    });
  });
});

test('pinned, everything outlives its owner and is opened again', { skip }, () => {
  const dir = join(mkdtempSync(join(tmpdir(), 'weft-bpf-')), randomBytes(4).toString('hex'));
  mountBpfFs(dir);
  try {
    assert.equal(mountBpfFs(dir), false);
    withVeth(({ b, send }) => {
      const path = (name: string): string => join(dir, name);
      {
        using map = BpfMap.create(spec);
        using program = counter(map, 0);
        using link = BpfLink.tcx(program, b, 'ingress');
        using ring = RingBuffer.create('weft_ring', 4096);
        for (const [name, object] of Object.entries({ map, program, link, ring })) object.pin(path(name));
      }
      using map = BpfMap.open(path('map'), spec);
      using program = Program.open(path('program'));
      using link = BpfLink.open(path('link'));
      using ring = RingBuffer.open(path('ring'));
      assert.deepEqual([program.name, link.kind, link.ifindex, ring.size], ['weft_count0', 'tcx', b, 4096]);
      assert.equal(link.programId, program.id);
      const before = map.get(0)![0]!;
      send(4);
      reach(map, 0, before + 4n);
      assert.throws(() => BpfMap.open(path('map'), { ...spec, value: list(u64, 5) }), {
        code: 'bad-map',
        message: /has values of 32, not 40/,
      });
      assert.throws(() => RingBuffer.open(path('map')), { code: 'bad-map' });
      for (const name of ['map', 'program', 'link', 'ring']) unpin(path(name));
      assert.throws(() => Program.open(path('program')), { errnoName: 'ENOENT' });
    });
  } finally {
    unmountBpfFs(dir);
    rmSync(join(dir, '..'), { recursive: true });
  }
});
