import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { BtfBuilder } from './btf.ts';
import { KERNEL_BTF, KernelBtf } from './kernel-btf.ts';

function sample(): Uint8Array {
  const btf = new BtfBuilder();
  const u32 = btf.int('u32', 4);
  const inner = btf.struct('', 8, [
    { name: 'low', type: u32, offset: 0 },
    { name: 'high', type: u32, offset: 4 },
  ]);
  btf.struct('pair', 16, [
    { name: 'first', type: u32, offset: 0 },
    { name: '', type: inner, offset: 8 },
  ]);
  btf.array(u32, u32, 4);
  btf.pointer(u32);
  btf.func('weft_entry', btf.functionProto(u32, [{ name: 'context', type: u32 }]));
  return btf.build();
}

test('what the builder writes the reader reads', () => {
  const btf = new KernelBtf(sample());
  assert.equal(btf.functionId('weft_entry'), 7);
  assert.equal(btf.functionId('u32'), undefined);
  assert.equal(btf.functionId('entry'), undefined);
  assert.equal(btf.structSize('pair'), 16);
  assert.deepEqual(btf.member('pair', 'first'), { offset: 0, bit: 0, bits: 0 });
  assert.deepEqual(btf.member('pair', 'high'), { offset: 12, bit: 0, bits: 0 });
  assert.equal(btf.member('pair', 'none'), undefined);
  assert.equal(btf.member('none', 'first'), undefined);
});

test("the running kernel's types", { skip: !existsSync(KERNEL_BTF) && 'kernel lacks BTF' }, () => {
  const btf = KernelBtf.read();
  assert.ok(btf.functionId('bpf_dynptr_from_skb')! > 0);
  assert.ok(btf.structSize('sk_buff')! > 100);
  assert.deepEqual(btf.member('ethhdr', 'h_proto'), { offset: 12, bit: 0, bits: 0 });
  // A bit field within structures that have no name.
  assert.equal(btf.member('sk_buff', 'ip_summed')!.bits, 2);
});

test('anything else is refused, and nothing loops', () => {
  const good = sample();
  const cases = fc.tuple(
    fc.nat(good.length),
    fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }),
  );
  fc.assert(
    fc.property(cases, ([cut, changes]) => {
      const bytes = good.slice(0, cut);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      try {
        const btf = new KernelBtf(bytes);
        btf.member('pair', 'high');
        btf.functionId('weft_entry');
      } catch (error) {
        assert.ok((error as { code?: string }).code === 'bad-btf', `${error}`);
      }
    }),
  );
  assert.throws(() => KernelBtf.read('/nonexistent'), { code: 'no-kernel-btf' });
});
