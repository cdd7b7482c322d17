import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import {
  add,
  and,
  B,
  block,
  call,
  callFunction,
  callKernel,
  DW,
  exit,
  func,
  jeq,
  jgt,
  jlt,
  label,
  ldFunction,
  ldImm64,
  ldMap,
  ldx,
  mov,
  mov32,
  note,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R7,
  R8,
  R9,
  R10,
  rsh,
  st,
  stx,
  W,
} from './asm.ts';
import { skb, TC_ACT } from './context.ts';
import { helper } from './helpers.ts';
import type { Code, Instruction } from './instruction.ts';
import { KernelBtf } from './kernel-btf.ts';
import { type LoadOptions, Program, ProgramRefused } from './program.ts';
import { ENCODINGS, NEW_ENCODINGS } from './testing/encodings.ts';
import { needsRoot, onPath } from './testing/programs.ts';

const skip = needsRoot;
const PACKET = Uint8Array.from({ length: 64 }, (_, i) => i);

function load(code: Code, options: Partial<LoadOptions> = {}): Program {
  return Program.load({ kind: 'classifier', name: 'weft_test', code, ...options });
}

function verdict(code: Code, options: Partial<LoadOptions> = {}): number {
  using program = load(code, options);
  return program.run({ packet: PACKET }).verdict | 0;
}

/** What the kernel's own disassembler, in the verifier's log, makes of one instruction; whether it takes it or not. */
function kernelReads(instruction: Instruction): string {
  const setup: Code = [Array.from({ length: 10 }, (_, i) => mov({ register: i }, 1)), stx(DW, R10, -8, R1)];
  let log = '';
  const code = [setup, instruction, mov(R0, 0), mov(R0, 0), mov(R0, 0), exit()];
  try {
    load(code, { log: { level: 2, take: (text) => (log = text) } }).close();
  } catch (error) {
    if (!(error instanceof ProgramRefused)) throw error;
    log = error.verifierLog;
  }
  return /^11: \([0-9a-f]+\) (.*?)\s*(?:;.*)?$/m.exec(log)?.[1] ?? log;
}

/** The kernel's text in the form of ours. */
function ours(text: string): string {
  const number = (n: string): string => {
    const value = BigInt(n);
    if (value >= 1n << 63n) return `${BigInt.asIntN(64, value)}`;
    return `${text.startsWith('if ') ? BigInt.asIntN(32, value) : value}`;
  };
  return text
    .replace(/0x[0-9a-f]+/g, number)
    .replace(/\(r(\d+) ([+-])(\d+)/g, '(r$1 $2 $3')
    .replace(/goto pc([+-]\d+)/, 'goto $1')
    .replace(/(gotol|may_goto) pc([+-]\d+)/, '$1 $2')
    .replace(/^call \w+#(\d+)$/, 'call $1')
    .replace(/atomic(?:64)?_(cmp)?xchg\(\(u(\d+) \*\)\(([^)]*)\)/, '$1xchg$2($3')
    .replace(/atomic64_/, 'atomic_');
}

/** In what the two differ without saying anything else. */
const canonical = (text: string): string =>
  text
    .replace(/ ll$/, '')
    .replace(/xchg(?:32_32|_64)/, (name) => (name.endsWith('64') ? 'xchg64' : 'xchg32'))
    .replace(/^lock .*|.*(?:xchg|atomic_).*/, (line) => line.replace(/\bw(?=\d)/g, 'r'));

test("the kernel's own disassembler reads what we write", { skip }, () => {
  const wrong: string[] = [];
  let read = 0;
  for (const [instruction, , text] of [...ENCODINGS, ...NEW_ENCODINGS]) {
    // It looks at where these lead before it writes anything.
    if (/ goto [+-]|^goto|^gotol|^may_goto/.test(text) && !/goto \+[123]$/.test(text)) continue;
    if (/^exit|32767|- 512/.test(text)) continue;
    const told = ours(kernelReads(instruction));
    read++;
    if (canonical(told) !== canonical(text)) wrong.push(`${text}: ${told}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(read > 140, `${read} read`);
});

test('a program runs on a packet and a context of ours', { skip }, () => {
  const code = [
    mov(R6, R1),
    ldx(W, R7, R6, skb.data),
    ldx(W, R8, R6, skb.dataEnd),
    mov(R2, R7),
    add(R2, 14),
    jgt(R2, R8, 'short'),
    st(B, R7, 0, 0xaa),
    ldx(W, R0, R6, skb.mark),
    add(R0, 1),
    stx(W, R6, skb.mark, R0),
    exit(),
    label('short'),
    mov32(R0, TC_ACT.shot),
    exit(),
  ];
  using program = load(code);
  const context = new Uint8Array(skb.size);
  new DataView(context.buffer).setUint32(skb.mark, 41, true);
  const run = program.run({ packet: PACKET, context });
  assert.equal(run.verdict, 42);
  assert.deepEqual([run.packet.length, run.packet[0], run.packet[1]], [64, 0xaa, 1]);
  assert.equal(new DataView(run.context.buffer).getUint32(skb.mark, true), 42);
  assert.ok(program.id > 0);
});

test('a refused program names our instruction, who wrote it, and what to do', { skip }, () => {
  const code = [
    ldx(W, R7, R1, skb.data),
    block('mask 3', note('load nw_dst', label('fields'), mov(R2, 0), ldx(W, R0, R7, 30))),
    exit(),
  ];
  assert.throws(
    () => load(code),
    (error) => {
      assert.ok(error instanceof ProgramRefused);
      assert.match(
        error.message,
        /^the kernel refused program weft_test at instruction 2 "r0 = \*\(u32 \*\)\(r7 \+ 30\)" \(mask 3 > load nw_dst; at fields\+1; program\.test\.ts:\d+\): invalid access to packet, off=30 size=4/,
      );
      assert.match(error.remedy, /data_end/);
      assert.match(error.trail(), /^instruction 0 .*\ninstruction 1 .*\ninstruction 2 /);
      return true;
    },
  );
});

test('functions, and callbacks of helpers', { skip }, () => {
  const triple = func('triple', mov(R0, R1), add(R0, R1), add(R0, R1), exit());
  assert.equal(verdict([mov(R1, 14), callFunction('triple'), exit(), triple]), 42);
  const turn = func('turn', ldx(DW, R1, R2, 0), add(R1, 3), stx(DW, R2, 0, R1), mov(R0, 0), exit());
  const loop = [
    st(DW, R10, -8, 0),
    mov(R1, 10),
    ldFunction(R2, 'turn'),
    mov(R3, R10),
    add(R3, -8),
    mov(R4, 0),
    call(helper.loop),
    ldx(DW, R0, R10, -8),
    exit(),
    turn,
  ];
  assert.equal(verdict(loop, { describe: true }), 30);
});

test('numbers of 64 bits', { skip }, () => {
  assert.equal(verdict([ldImm64(R0, 0x1234_5678_0000_0000n), rsh(R0, 32), exit()]), 0x1234_5678);
});

test('functions of the kernel, and fields of its structures', { skip }, () => {
  const btf = KernelBtf.read();
  const place = btf.member('sk_buff', 'len')!;
  assert.equal(place.bits, 0);
  const code = [callKernel('bpf_cast_to_kern_ctx'), ldx(W, R0, R0, place.offset), exit()];
  assert.equal(verdict(code, { symbols: { kernelFunction: (name) => btf.functionId(name) } }), 64);
  assert.throws(
    () => load([callKernel('bpf_no_such'), exit()], { symbols: { kernelFunction: () => undefined } }),
    {
      code: 'bad-program',
    },
  );
});

test('bpftool shows our notes and functions', {
  skip: skip || (!onPath('bpftool') && 'needs bpftool'),
}, () => {
  const code = [
    mov(R9, 7),
    note('prepare the answer', mov(R0, R9), and(R0, 3), jeq(R0, 9, 'never')),
    callFunction('helper one'),
    label('never'),
    exit(),
    func('helper one', note('nothing to do', mov(R0, 1), exit())),
  ];
  using program = load(code, { describe: true });
  const dump = execFileSync('bpftool', ['prog', 'dump', 'xlated', 'id', `${program.id}`], {
    encoding: 'utf8',
  });
  assert.match(dump, /; prepare the answer/);
  assert.match(dump, /; helper one > nothing to do/);
  assert.match(dump, /helper_one/);
  assert.match(dump, /\(bf\) r0 = r9/);
});

test('a map that is missing is told by its name', { skip }, () => {
  assert.throws(() => load([ldMap(R1, 'flows'), exit()]), { message: /no map "flows"/ });
  assert.throws(() => load([ldMap(R1, { fd: 999_999, name: 'gone' }), mov(R0, 0), exit()]), {
    code: 'program-refused',
    message: /fd 999999 is not pointing to valid bpf_map/,
  });
});

test('a log that is longer than its room still tells the end', { skip }, () => {
  const code = [
    mov(R9, R1),
    mov(R6, 0),
    block('count', label('turn'), add(R6, 1), jlt(R6, 20_000, 'turn')),
    note('here it breaks', ldx(W, R0, R6, 0)),
    exit(),
  ];
  assert.throws(
    () => load(code),
    (error) => {
      assert.ok(error instanceof ProgramRefused);
      assert.ok(error.verifierLog.length > 500_000);
      assert.equal(error.summary.slot, 4);
      assert.match(error.message, /\(here it breaks; .*R6 invalid mem access 'scalar' \(EACCES\)/);
      return true;
    },
  );
});

test('a program that brings its notes is refused in the same words', { skip }, () => {
  const code = [mov(R9, R1), note('read nowhere', mov(R6, 1), ldx(W, R0, R6, 0)), exit()];
  const refusal = (describe: boolean): string => {
    try {
      load(code, { describe }).close();
    } catch (error) {
      assert.ok(error instanceof ProgramRefused);
      assert.equal(error.verifierLog.includes('; read nowhere'), describe);
      return error.message;
    }
    return 'loaded';
  };
  assert.match(refusal(true), /instruction 2 .*read nowhere.*R6 invalid mem access/);
  assert.equal(refusal(true), refusal(false));
});
