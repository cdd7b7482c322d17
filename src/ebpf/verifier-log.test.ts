import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { summarizeLog } from './verifier-log.ts';

/** What kernels said of wrong programs: recorded, not made up. */
const logs = join(import.meta.dirname, 'fixture/verifier-logs');

const rows: Record<string, [slot: number | undefined, reason: string, registers: string, advice: RegExp]> = {
  'linux-6.18-packet-bounds': [
    5,
    'invalid access to packet, off=30 size=4, R7(id=0,off=30,r=14); R7 offset is outside of the packet',
    'R2=pkt(off=14,r=14) R8=pkt_end()',
    /compare the end of what is read with data_end/,
  ],
  'linux-6.18-packet-after-helper': [
    8,
    "R7 invalid mem access 'scalar'",
    'R2=scalar(id=1+14) R8=scalar()',
    /takes packet pointers away/,
  ],
  'linux-6.18-null-pointer': [
    6,
    "R0 invalid mem access 'map_value_or_null'",
    'R0=map_value_or_null(id=1,map=weft_t,ks=4,vs=8)',
    /compare the pointer with 0/,
  ],
  'linux-6.18-no-value': [1, 'R1 !read_ok', 'R0=scalar()', /give the register a value/],
  'linux-6.18-unreachable': [2, 'unreachable insn 2', '', /let a jump lead to it/],
  'linux-6.18-no-exit': [undefined, 'last insn is not an exit or jmp', '', /end every function/],
  'linux-6.18-infinite-loop': [0, 'infinite loop detected at insn 0', 'R0=0', /every turn/],
  'linux-6.18-unreleased': [
    8,
    'Unreleased reference id=2 alloc_insn=4; BPF_EXIT instruction in main prog would lead to reference leak',
    'R0=0 refs=2',
    /submit, discard or release/,
  ],
  'linux-6.18-map-value': [
    2,
    'invalid access to map value, value_size=8 off=8 size=8; R1 min value is outside of the allowed memory range',
    'R1=map_value(map=a,ks=4,vs=8)',
    /stay within the value/,
  ],
  'linux-6.18-unknown-helper': [0, 'invalid func unknown#9999', 'R1=ctx() R10=fp0', /kernel is too old/],
  'linux-6.18-in-function': [
    4,
    'invalid access to packet, off=0 size=1, R0(id=0,off=0,r=0); R0 offset is outside of the packet',
    'frame1: R0=pkt(r=0) R1=ctx()',
    /data_end/,
  ],
  'linux-6.18-two-paths': [
    7,
    'invalid access to packet, off=20 size=1, R7(id=0,off=20,r=0); R7 offset is outside of the packet',
    'R1=ctx() R2=60 R7=pkt(r=0) R8=pkt_end() R10=fp0',
    /data_end/,
  ],
  'linux-6.18-wild-scalar': [1, "R1 invalid mem access 'scalar'", 'R1=1', /holds a number/],
  'linux-5.15-packet-bounds': [
    1,
    'invalid access to packet, off=23 size=1, R1(id=0,off=23,r=0); R1 offset is outside of the packet',
    '',
    /data_end/,
  ],
  'linux-5.4-backtracking': [
    53,
    'invalid access to packet, off=54 size=1, R3(id=0,off=54,r=54); R3 offset is outside of the packet',
    'R0=map_value(id=0,off=0,ks=4,vs=12,imm=0) R1_w=inv54 R2_w=inv(id=0) R6=ctx(id=0,off=0,imm=0) R7_w=inv(id=3) R8=pkt(id=0,off=0,r=54,imm=0) R10=fp0 fp-8=mmmm????',
    /data_end/,
  ],
  'linux-4.4-null-pointer': [
    11,
    "R7 invalid mem access 'map_value_or_null'",
    'R0=map_value(ks=8,vs=8) R7=map_value_or_null(ks=8,vs=8) R10=fp',
    /compare the pointer with 0/,
  ],
};

for (const file of readdirSync(logs)) {
  const name = file.replace(/\.txt$/, '');
  test(`the log ${name}`, () => {
    const summary = summarizeLog(readFileSync(join(logs, file), 'utf8'));
    const [slot, reason, registers, advice] = rows[name]!;
    assert.deepEqual([summary.slot, summary.reason, summary.registers], [slot, reason, registers]);
    assert.match(summary.advice, advice);
    if (slot !== undefined && summary.trail.length > 0) assert.ok(summary.trail.includes(slot));
  });
}

test('every row has its log', () => {
  assert.equal(readdirSync(logs).length, Object.keys(rows).length);
});

test('a log that was cut off at its start still tells the end', () => {
  const log = readFileSync(join(logs, 'linux-6.18-packet-bounds.txt'), 'utf8');
  assert.equal(summarizeLog(log.slice(200)).slot, 5);
});

test('an empty log and any other text', () => {
  assert.deepEqual(summarizeLog(''), {
    reason: '',
    slot: undefined,
    trail: [],
    registers: '',
    processed: undefined,
    advice: '',
  });
  fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => summarizeLog(text).reason.length <= 503));
});
