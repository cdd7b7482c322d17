import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Field } from './field.ts';
import {
  compileMask,
  compileMove,
  compileWrite,
  fieldOnes,
  getField,
  getMask,
  getNumber,
  isFieldExact,
  isFieldWild,
  isValueValid,
  maskField,
  ones,
  readSubfield,
  setField,
  setFieldMasked,
  setNumber,
  writeSubfield,
} from './field-access.ts';
import {
  F,
  FIELDS,
  fieldByName,
  fieldByNumber,
  fieldByOxmName,
  fieldTextName,
  oxmNumberFor,
} from './fields.ts';
import { CS_NEW, FLOW_BASE_WORDS, type Flow, newFlow, W_IN_PORT, W_VLAN } from './layout.ts';
import { matchPrerequisitesMet, prerequisitesMet } from './prerequisites.ts';
import { formatSubfield, parseSubfield } from './subfield-text.ts';

const placed = FIELDS.filter((f) => !f.variableLength);
const plain = placed.filter((f) => !f.special);
const anyField = fc.constantFrom(...placed);
const anyPlain = fc.constantFrom(...plain);
const anyFlow = fc
  .array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: FLOW_BASE_WORDS, maxLength: FLOW_BASE_WORDS })
  .map((words) => {
    const flow = newFlow();
    flow.set(words);
    return flow;
  });
const valuesOf = (f: Field) => fc.bigInt({ min: 0n, max: ones(f.bits) });

test('the catalogue has all fields of Open vSwitch 3.1, each found by all its names and numbers', () => {
  assert.equal(FIELDS.length, 183);
  for (const f of FIELDS) {
    assert.equal(FIELDS[f.id], f);
    assert.equal(fieldByName(f.name), f);
    if (f.alias !== '') assert.equal(fieldByName(f.alias), f);
    for (const n of f.numbers) {
      assert.equal(fieldByOxmName(n.name), f);
      assert.equal(fieldByNumber(n.oxmClass, n.field, n.experimenter), f);
    }
    if (f.variableLength) continue;
    assert.ok(f.bits <= f.bytes * 8, f.name);
    if (f.bits <= 32 && !f.special) assert.ok((f.offset & 31) + f.bits <= 32, `${f.name} straddles a word`);
  }
});

test('plain fields of one prerequisite never share bits, but for the registers and the two in_ports', () => {
  const shared = new Set(['xreg', 'xxreg']);
  const taken = new Map<number, string>();
  for (const f of plain) {
    const group = /^(x*reg|[a-z]+)/.exec(f.name)![0];
    if (shared.has(group) || f.name.startsWith('arp_') || /^(udp|sctp|icmp|icmpv6|nd)_/.test(f.name))
      continue;
    for (let bit = f.offset; bit < f.offset + f.bits; bit++) {
      const other = taken.get(bit);
      assert.ok(other === undefined || other === f.name, `${f.name} lies on ${other}`);
      taken.set(bit, f.name);
    }
  }
});

test('the header for a version is the newest that the version has', () => {
  const name = (f: Field, v: number) => oxmNumberFor(f, v)?.name;
  assert.equal(name(F.ethSrc, 1), 'NXM_OF_ETH_SRC');
  assert.equal(name(F.ethSrc, 3), 'OXM_OF_ETH_SRC');
  assert.equal(name(F.tcpFlags, 3), 'NXM_NX_TCP_FLAGS');
  assert.equal(name(F.tcpFlags, 4), 'ONFOXM_ET_TCP_FLAGS');
  assert.equal(name(F.tcpFlags, 6), 'OXM_OF_TCP_FLAGS');
  assert.equal(name(F.actsetOutput, 1), 'ONFOXM_ET_ACTSET_OUTPUT');
  assert.equal(name(F.dpHash, 0), 'NXM_NX_DP_HASH');
  assert.equal(name(F.tunTtl, 6), undefined);
  assert.equal(fieldTextName(F.metadata), 'OXM_OF_METADATA');
  assert.equal(fieldTextName(F.dlVlan), 'dl_vlan');
});

test('what is written into a plain field is read back, and no other bit changes', () => {
  fc.assert(
    fc.property(
      anyFlow,
      anyPlain.chain((f) => fc.tuple(fc.constant(f), valuesOf(f), valuesOf(f))),
      (flow, [f, v, m]) => {
        const before = flow.slice();
        setField(flow, f, v);
        assert.equal(getField(flow, f), v);
        const changed = newFlow();
        for (let i = 0; i < changed.length; i++) changed[i] = flow[i] ^ before[i];
        const own = newFlow();
        maskField(own, f);
        for (let i = 0; i < changed.length; i++) assert.equal((changed[i] & ~own[i]) >>> 0, 0);
        setFieldMasked(flow, f, 0n, m);
        assert.equal(getField(flow, f), v & ~m);
        if (f.bits <= 32) assert.equal(BigInt(getNumber(flow, f)), v & ~m);
      },
    ),
  );
});

test('a field of a mask is wild, then exact', () => {
  for (const f of placed) {
    const mask = newFlow();
    assert.ok(isFieldWild(mask, f), f.name);
    maskField(mask, f);
    assert.ok(isFieldExact(mask, f), f.name);
    assert.ok(!isFieldWild(mask, f), f.name);
    if (f !== F.ctState) assert.equal(getMask(mask, f), fieldOnes(f), f.name);
  }
});

test('compiled writes, masks and moves do what the plain ones do', () => {
  const sub = (f: Field) =>
    fc
      .tuple(fc.nat(f.bits - 1), fc.nat(f.bits - 1))
      .map(([a, b]) => ({ field: f, ofs: Math.min(a, b), bits: Math.abs(a - b) + 1 }));
  fc.assert(
    fc.property(
      anyFlow,
      anyField.chain((f) => fc.tuple(fc.constant(f), valuesOf(f), valuesOf(f))),
      anyField.chain(sub),
      anyField.chain(sub),
      (flow, [f, v, m], a, b) => {
        const one = flow.slice();
        const two = flow.slice();
        setFieldMasked(one, f, v, m);
        compileWrite(f, v, m)(two);
        assert.deepEqual(one, two);
        maskField(one, f, m);
        compileMask(f, m)(two);
        assert.deepEqual(one, two);
        const bits = Math.min(a.bits, b.bits);
        const [src, dst] = [
          { ...a, bits },
          { ...b, bits },
        ];
        writeSubfield(one, dst, readSubfield(one, src));
        compileMove(src, dst)(two);
        assert.deepEqual(one, two);
      },
    ),
  );
});

const tci = (flow: Flow) => flow[W_VLAN] & 0xffff;

test('writing a VLAN field makes a tag; dl_vlan 0xffff takes it away', () => {
  const flow = newFlow();
  setNumber(flow, F.dlVlan, 5);
  assert.equal(flow[W_VLAN] >>> 0, 0x81001005);
  setNumber(flow, F.vlanPcp, 3);
  assert.equal(tci(flow), 0x7005);
  setNumber(flow, F.vlanVid, 0x1009);
  assert.equal(tci(flow), 0x7009);
  assert.equal(getNumber(flow, F.vlanVid), 0x1009);
  assert.equal(getNumber(flow, F.dlVlan), 9);
  writeSubfield(flow, { field: F.vlanVid, ofs: 0, bits: 4 }, 2n);
  assert.equal(tci(flow), 0x7002);
  setNumber(flow, F.dlVlan, 0xffff);
  assert.equal(tci(flow), 0);
});

test('in_port of OpenFlow 1.0 widens reserved ports', () => {
  const flow = newFlow();
  setNumber(flow, F.inPort, 0xfffe);
  assert.equal(flow[W_IN_PORT], 0xfffffffe);
  assert.equal(getNumber(flow, F.inPort), 0xfffe);
  assert.equal(getNumber(flow, F.inPortOxm), 0xfffffffe);
});

test('nw_tos and nw_ecn share a byte', () => {
  const flow = newFlow();
  setNumber(flow, F.nwTos, 0xff);
  setNumber(flow, F.nwEcn, 2);
  assert.equal(getNumber(flow, F.nwTos), 0xfc);
  assert.equal(getNumber(flow, F.ipDscp), 0x3f);
  assert.equal(getNumber(flow, F.nwEcn), 2);
  assert.ok(!isValueValid(F.nwTos, 1n));
});

test('prerequisites look at the headers below and say at which bits', () => {
  const flow = newFlow();
  const wc = newFlow();
  assert.ok(!prerequisitesMet(F.tcpSrc, flow, wc));
  assert.ok(isFieldWild(wc, F.nwProto), 'not IP: the protocol was not looked at');
  setNumber(flow, F.ethType, 0x86dd);
  setNumber(flow, F.nwProto, 6);
  assert.ok(prerequisitesMet(F.tcpSrc, flow, wc));
  assert.ok(isFieldExact(wc, F.nwProto));
  setNumber(flow, F.ipFrag, 3);
  assert.ok(!prerequisitesMet(F.tcpSrc, flow));
  assert.ok(!prerequisitesMet(F.ipSrc, flow));
  assert.ok(!prerequisitesMet(F.ndTarget, flow));
  setNumber(flow, F.nwProto, 58);
  setNumber(flow, F.icmpv6Type, 135);
  assert.ok(prerequisitesMet(F.ndSll, flow));
  assert.ok(!prerequisitesMet(F.ndTll, flow));
  const mask = newFlow();
  assert.ok(!matchPrerequisitesMet(F.ctNwProto, flow, mask));
  setNumber(flow, F.ctState, CS_NEW);
  assert.ok(matchPrerequisitesMet(F.ctNwProto, flow, mask));
});

test('subfield texts', () => {
  for (const text of ['NXM_NX_REG0[0..15]', 'NXM_OF_ETH_SRC[]', 'NXM_NX_XXREG1[127]', 'dl_vlan[]']) {
    assert.equal(formatSubfield(parseSubfield(text)), text);
  }
  assert.equal(formatSubfield(parseSubfield('reg3')), 'NXM_NX_REG3[]');
  assert.equal(formatSubfield(parseSubfield('NXM_NX_REG3_W[1]')), 'NXM_NX_REG3[1]');
  const errors: [string, string][] = [
    ['reg99[]', "reg99[]: unknown field `reg99'"],
    ['reg0[1', 'reg0[1: syntax error expecting [] or [<bit>] or [<start>..<end>]'],
    ['reg0[3..1]', 'reg0[3..1]: starting bit 3 is after ending bit 1'],
    ['reg0[32]', 'reg0[32]: starting bit 32 is not valid because field is only 32 bits wide'],
    ['reg0[0..32]', 'reg0[0..32]: ending bit 32 is not valid because field is only 32 bits wide'],
  ];
  for (const [text, message] of errors) assert.throws(() => parseSubfield(text), { message });
});
