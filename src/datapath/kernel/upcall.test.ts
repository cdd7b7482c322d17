import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callFunction, exit, mov, R1, R2, R3, R6, R9, st, W } from '../../ebpf/asm.ts';
import { Program } from '../../ebpf/program.ts';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import * as F from '../../flow/layout.ts';
import { frame, hex, maskOf } from '../conformance/frames.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import { loadFrame } from './code.ts';
import * as L from './layout.ts';
import { maskWords } from './lookup-program.ts';
import { LAB_PORT, LAB_PORT_STATS, LAB_RING, LookupLab } from './testing/lookup-lab.ts';
import { upcallFunction } from './upcall.ts';
import { UpcallReader, type UpcallRecord } from './upcall-record.ts';

const skip = needsRoot;

interface Taken extends Omit<UpcallRecord, 'packet' | 'flow'> {
  readonly packet: string;
  readonly flow: F.Flow;
}

/** All records of the lab's ring. */
function take(lab: LookupLab, reader: UpcallReader, limit = 1_000_000): Taken[] {
  const taken: Taken[] = [];
  lab.maps.rings[LAB_RING]!.drain((bytes, start, length) => {
    const record = reader.read(bytes, start, length);
    taken.push({ ...record, packet: hex(record.packet), flow: record.flow.slice() });
  }, limit);
  return taken;
}

const ETH_TYPE = maskWords(maskOf(F.W_ETH_TYPE));

test('a missed packet comes up as it was, with its metadata', { skip }, () => {
  using lab = new LookupLab();
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  for (const payload of [0, 18, 100, 500, 2500, 3200]) {
    const packet = frame({ payload });
    lab.send(packet, undefined, 6);
    const [record, ...others] = take(lab, reader);
    assert.equal(others.length, 0);
    const { packet: bytes, flow, kind, flowIndex, gsoSize, cut, depth } = record!;
    assert.equal(bytes, hex(packet));
    assert.deepEqual(
      { kind, flowIndex, gsoSize, cut, depth },
      { kind: L.UPCALL_PACKET, flowIndex: L.NO_FLOW, gsoSize: 0, cut: 0, depth: 0 },
    );
    const expected = F.newFlow();
    expected[F.W_SKB_PRIORITY] = 6;
    expected[F.W_PKT_MARK] = lab.lastMark;
    expected[F.W_IN_PORT] = LAB_PORT;
    assert.deepEqual(flow, expected);
  }
  assert.equal(lab.total(L.T_LOST), 0);
  reader.close();
});

test('a tag that the kernel took off is back in its place', { skip }, () => {
  using lab = new LookupLab();
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  const inner = frame({ tags: [[0x8100, 7]] });
  const outer = frame({
    tags: [
      [0x88a8, 0xf005],
      [0x8100, 7],
    ],
  });
  lab.send(inner, { tpid: 0x88a8, tci: 0xf005 });
  assert.deepEqual(
    take(lab, reader).map((r) => r.packet),
    [hex(outer)],
  );
  const flow = F.newFlow();
  extractFlow(new Packet(outer), flow);
  assert.equal(flow[F.W_VLAN], 0x88a8f005);
  reader.close();
});

test('an entry that sends packets up says which megaflow it is', { skip }, () => {
  using lab = new LookupLab();
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  const flow = F.newFlow();
  flow[F.W_ETH_TYPE] = 0x08000000;
  lab.put(0, flow, 1234, L.ENTRY_UP);
  lab.send(frame());
  assert.deepEqual(
    take(lab, reader).map((r) => [r.kind, r.flowIndex]),
    [[L.UPCALL_PACKET, 1234]],
  );
  reader.close();
});

test('an upcall by action takes along what the frame has', { skip }, () => {
  using lab = new LookupLab();
  const reader = new UpcallReader(lab.maps);
  const { maps } = lab;
  const options = Array.from(
    { length: F.FLOW_WORDS - F.W_TUN_METADATA_PRESENT },
    (_, i) => F.W_TUN_METADATA_PRESENT + i,
  );
  const words = [...L.UPCALL_WORDS.filter((w) => w !== F.W_PKT_MARK), ...options];
  const act = (tunnel: boolean) => [
    mov(R6, R1),
    upcallFunction(maps),
    // The frame as the lookup program would leave it.
    loadFrame(maps),
    words.map((w) => st(W, R9, L.frameWord(w), 1000 + w)),
    st(W, R9, L.F_TUNNEL, +tunnel),
    st(W, R9, L.F_COOKIE, 0xc001),
    st(W, R9, L.F_FLOW, 99),
    st(W, R9, L.F_CUT, 12),
    st(W, R9, L.F_DEPTH, 3),
    mov(R1, R6),
    mov(R2, R9),
    mov(R3, L.UPCALL_ACTION),
    callFunction('upcall'),
    exit(),
  ];
  for (const tunnel of [true, false, true]) {
    using program = Program.load({ kind: 'classifier', name: 'weft_act', code: act(tunnel) });
    maps.programs.set(L.PROGRAM_LOOKUP, program.fd);
    for (const payload of [18, 300, 2500]) {
      assert.equal(lab.send(frame({ payload })), 0);
      const [record, ...others] = take(lab, reader);
      assert.equal(others.length, 0);
      const { packet, flow, ...rest } = record!;
      assert.equal(packet, hex(frame({ payload })));
      assert.deepEqual(rest, {
        kind: L.UPCALL_ACTION,
        cookie: 0xc001,
        flowIndex: 99,
        gsoSize: 0,
        gsoSegs: 0,
        cut: 12,
        depth: 3,
      });
      const expected = F.newFlow();
      for (const w of words) if (tunnel || w < F.W_TUN_METADATA_PRESENT) expected[w] = 1000 + w;
      expected[F.W_PKT_MARK] = lab.lastMark;
      assert.deepEqual(flow, expected);
    }
  }
  reader.close();
});

test('what finds no room is lost and counted; what is read makes room', { skip }, () => {
  const ringBytes = 1 << 16;
  using lab = new LookupLab({ ringBytes });
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  const packet = frame();
  const flood = (count: number): number => {
    const before = lab.total(L.T_LOST);
    for (let i = 0; i < count; i++) lab.send(packet);
    return count - (lab.total(L.T_LOST) - before);
  };
  const first = flood(400);
  // Half of the ring, in records of 384 bytes and 8.
  assert.ok(Math.abs(first - ringBytes / 2 / 390) <= 1, `${first} records`);
  assert.equal(flood(10), 0);
  assert.equal(take(lab, reader, 30).length, 30);
  assert.ok(Math.abs(flood(400) - 30) <= 1);
  while (take(lab, reader).length > 0);
  assert.equal(flood(400), first);
  reader.close();
});

test('a port that floods leaves room for the others of its ring', { skip }, () => {
  using lab = new LookupLab({ ringBytes: 1 << 16 });
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  // A second and a third port with the same ring.
  const sent: number[] = [];
  for (const entry of [undefined, lab.anotherPort(8, 6), lab.anotherPort(9, 7)]) {
    if (entry !== undefined) lab.enterBy(entry);
    const before = lab.total(L.T_LOST);
    for (let i = 0; i < 300; i++) lab.send(frame());
    sent.push(300 - (lab.total(L.T_LOST) - before));
    entry?.close();
  }
  const [first, second, third] = sent as [number, number, number];
  assert.ok(second >= first / 2 - 1 && second < first, `${sent}`);
  assert.ok(third >= second / 2 - 1 && third < second, `${sent}`);
  const ports = take(lab, reader).map((r) => r.flow[F.W_IN_PORT]);
  assert.deepEqual(
    [LAB_PORT, 8, 9].map((p) => ports.filter((q) => q === p).length),
    sent,
  );
  reader.close();
});

test('counters that went wrong do not shut a port out', { skip }, () => {
  using lab = new LookupLab({ ringBytes: 1 << 16 });
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  for (const [written, read] of [
    [1 << 20, 0],
    [0, 1 << 20],
  ]) {
    const queue = new Uint8Array(L.QUEUE_SIZE);
    new Uint32Array(queue.buffer).set([written!, read!]);
    lab.maps.queues.set(LAB_PORT_STATS, queue);
    lab.send(frame());
    lab.send(frame());
    assert.equal(take(lab, reader).length, 2);
  }
  reader.close();
});

test('a packet that is longer than any record is lost, and leaves nothing behind', { skip }, () => {
  // A ring with less than the longest record takes no such record.
  using lab = new LookupLab({ ringBytes: 4096 });
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([ETH_TYPE]);
  for (let i = 0; i < 5; i++) lab.send(frame({ payload: 3000 }));
  assert.equal(lab.total(L.T_LOST), 5);
  lab.send(frame());
  assert.deepEqual(
    take(lab, reader).map((r) => r.packet),
    [hex(frame())],
  );
  reader.close();
});
