import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close } from '../sys/libc.ts';
import {
  and32,
  atomicAdd,
  block,
  call,
  DW,
  exit,
  func,
  H,
  ja,
  jne,
  label,
  ldFunction,
  ldMap,
  ldx,
  mov,
  mov32,
  note,
  R0,
  R1,
  R2,
  R3,
  R6,
  R7,
  R9,
  R10,
  stx,
  W,
} from './asm.ts';
import { BtfBuilder } from './btf.ts';
import {
  clearStack,
  lookup,
  needBytes,
  packetPointers,
  prologue,
  pullBytes,
  returning,
  StackFrame,
  tailCall,
} from './build.ts';
import { bytes, struct, u32, u64 } from './codec.ts';
import { TC_ACT, xdp } from './context.ts';
import { helper } from './helpers.ts';
import type { Code } from './instruction.ts';
import { BpfMap, programArray } from './map.ts';
import { Program } from './program.ts';
import { needsRoot } from './testing/programs.ts';

const skip = needsRoot;

test('the stack is shared out, aligned, and ends', () => {
  const frame = new StackFrame();
  assert.deepEqual([frame.take(4, 'a'), frame.take(12, 'b'), frame.take(480, 'c')], [-8, -24, -504]);
  assert.throws(() => frame.take(9, 'the key'), {
    code: 'bad-program',
    message: /8 of 512 bytes left, the key needs 9/,
  });
  assert.equal(frame.take(8, 'd'), -512);
  assert.throws(() => clearStack(-12, 8), { code: 'bad-program' });
});

const value = struct({ action: u32, port: u32, packets: u64 });
type Flow = { action: number; port: number; packets: bigint };

/** A lookup by masks, each with its own key and its own map: what the kernel datapath generates. */
function classifier(
  masks: readonly { map: BpfMap<Uint8Array, Flow>; words: readonly [at: number, mask: number][] }[],
): Code {
  const frame = new StackFrame();
  const key = frame.take(16, 'the key');
  const attempts = masks.map(({ map, words }, n) =>
    block(
      `mask ${n}`,
      clearStack(key, 16),
      words.map(([at, mask], i) =>
        note(`word ${i}`, ldx(W, R1, R7, at), and32(R1, mask), stx(W, R10, key + i * 4, R1)),
      ),
      lookup(map, key, 'next'),
      ja('hit'),
      label('next'),
    ),
  );
  return [
    prologue(),
    pullBytes(34),
    needBytes(34, 'short'),
    attempts,
    returning(1000),
    label('hit'),
    mov(R1, 1),
    atomicAdd(DW, R0, value.offsets.packets, R1),
    ldx(W, R0, R0, value.offsets.port),
    exit(),
    label('short'),
    returning(TC_ACT.shot),
  ];
}

test('a lookup by masks, each with its key and its map', { skip }, () => {
  const flows = (name: string): BpfMap<Uint8Array, Flow> =>
    BpfMap.create({ kind: 'hash', name, key: bytes(16), value, maxEntries: 16 });
  using exact = flows('weft_exact');
  using prefix = flows('weft_prefix');
  using program = Program.load({
    kind: 'classifier',
    name: 'weft_masks',
    describe: true,
    code: classifier([
      {
        map: exact,
        words: [
          [26, 0xffff_ffff],
          [30, 0xffff_ffff],
        ],
      },
      { map: prefix, words: [[30, 0x00ff_ffff]] },
    ]),
  });
  const packet = new Uint8Array(64);
  packet.set([10, 0, 0, 1, 10, 1, 2, 3], 26);
  const verdict = (length = 64): number => program.run({ packet: packet.subarray(0, length) }).verdict;
  assert.equal(verdict(), 1000);
  const key = (...start: number[]): Uint8Array => {
    const all = new Uint8Array(16);
    all.set(start);
    return all;
  };
  prefix.set(key(10, 1, 2), { action: 1, port: 7, packets: 0n });
  assert.equal(verdict(), 7);
  exact.set(key(10, 0, 0, 1, 10, 1, 2, 3), { action: 1, port: 9, packets: 0n });
  assert.equal(verdict(), 9);
  packet[33] = 4;
  assert.equal(verdict(), 7);
  assert.equal(prefix.get(key(10, 1, 2))!.packets, 2n);
  assert.equal(exact.get(key(10, 0, 0, 1, 10, 1, 2, 3))!.packets, 1n);
  assert.equal(verdict(20), TC_ACT.shot);
});

test('XDP has its pointers elsewhere; a tail call that finds nothing goes on', { skip }, () => {
  using table = programArray('weft_table', 2);
  const code = [
    prologue(xdp),
    tailCall(table, 1),
    packetPointers(xdp),
    needBytes(14, 'short'),
    ldx(H, R0, R7, 12),
    jne(R0, 0x0008, 'short'),
    mov32(R9, 0),
    returning(2),
    label('short'),
    returning(1),
  ];
  using program = Program.load({ kind: 'xdp', name: 'weft_xdp', code });
  const packet = new Uint8Array(64);
  assert.equal(program.run({ packet }).verdict, 1);
  packet[12] = 8;
  assert.equal(program.run({ packet }).verdict, 2);
});

test('a timer in a value, which the kernel knows by its type', { skip }, () => {
  const btf = new BtfBuilder();
  const u64Type = btf.int('u64', 8);
  const timer = btf.struct('bpf_timer', 16, [
    { name: 'a', type: u64Type, offset: 0 },
    { name: 'b', type: u64Type, offset: 8 },
  ]);
  const valueType = btf.struct('weft_value', 24, [
    { name: 'timer', type: timer, offset: 0 },
    { name: 'fired', type: u64Type, offset: 16 },
  ]);
  const keyType = btf.int('u32', 4);
  const blob = btf.load();
  const layout = struct({ timer: bytes(16), fired: u64 });
  using map = BpfMap.create({
    kind: 'array',
    name: 'weft_timer',
    key: u32,
    value: layout,
    maxEntries: 1,
    btf: { fd: blob, keyType, valueType },
  });
  close(blob);
  using program = Program.load({
    kind: 'classifier',
    name: 'weft_timer',
    describe: true,
    code: [
      clearStack(-8, 8),
      lookup(map, -8, 'none'),
      mov(R6, R0),
      mov(R1, R6),
      ldMap(R2, map),
      mov(R3, 1),
      call(helper.timerInit),
      mov(R1, R6),
      ldFunction(R2, 'fire'),
      call(helper.timerSetCallback),
      mov(R1, R6),
      mov(R2, 0),
      mov(R3, 0),
      call(helper.timerStart),
      exit(),
      label('none'),
      returning(-1),
      func('fire', mov(R1, 77), stx(DW, R3, layout.offsets.fired, R1), mov(R0, 0), exit()),
    ],
  });
  assert.equal(program.run({ packet: new Uint8Array(64) }).verdict, 0);
  for (let tries = 0; tries < 1_000_000 && map.get(0)!.fired === 0n; tries++);
  assert.equal(map.get(0)!.fired, 77n);
});
