import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Flow,
  newFlow,
  W_ETH,
  W_ETH_TYPE,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { datapathHash, type HashFields, hash5Tuple, hashFields } from './hash.ts';

function base(): Flow {
  const flow = newFlow();
  flow.set([0x66778899, 0xaabb0011, 0x22334455], W_ETH);
  return flow;
}

const FIELDS: readonly HashFields[] = [
  'symmetric_l4',
  'symmetric_l3l4',
  'symmetric_l3l4+udp',
  'nw_src',
  'nw_dst',
  'symmetric_l3',
  'eth_src',
];

/** The low 16 bits of each hash with basis 50, in the order of FIELDS. */
const low16 = (flow: Flow): number[] => FIELDS.map((fields) => hashFields(flow, fields, 50) & 0xffff);

// The expected values are those of stock Open vSwitch 3.1.0 on x86-64: ofproto/trace of
// multipath(FIELDS,50,modulo_n,65536,0,NXM_NX_REG0[0..15]).
test('hashes spread flows as Open vSwitch does', () => {
  const tcp = base();
  tcp[W_ETH_TYPE] = 0x08000000;
  tcp[W_NW] = 6;
  tcp[W_NW_SRC] = 0x0a010203;
  tcp[W_NW_DST] = 0xc0a80708;
  tcp[W_TP] = (1234 << 16) | 80;
  assert.deepEqual(low16(tcp), [0x4e17, 0xc7b, 0xc7b, 0xc892, 0xe2dc, 0x848a, 0x6866]);

  const other = base();
  other[W_ETH_TYPE] = 0x12340000;
  assert.deepEqual(low16(other), [0xf62f, 0x61ec, 0x61ec, 0x32, 0x32, 0x2484, 0x6866]);

  const udp6 = base();
  udp6[W_VLAN] = 0x81001005;
  udp6[W_ETH_TYPE] = 0x86dd0000;
  udp6.set([0xfe800000, 0, 1, 0x00020003], W_IPV6_SRC);
  udp6.set([0x20010db8, 0, 0, 5], W_IPV6_DST);
  udp6[W_NW] = 17;
  udp6[W_TP] = (53 << 16) | 4096;
  assert.deepEqual(low16(udp6), [0xf80, 0xd7ba, 0x7394, 0x2ef8, 0x4302, 0x23c2, 0x6866]);

  const fragment = base();
  fragment[W_ETH_TYPE] = 0x08000000;
  fragment[W_NW] = (1 << 24) | 132;
  fragment[W_NW_SRC] = 0x01010101;
  fragment[W_NW_DST] = 0x02020202;
  fragment[W_TP] = (9 << 16) | 10;
  assert.deepEqual(low16(fragment), [0xd72d, 0xe434, 0xe434, 0xb658, 0xfcc1, 0x902, 0x6866]);
});

// As dpctl/dump-flows shows them behind a select group with selection_method=dp_hash.
test('dp_hash is that of Open vSwitch', () => {
  for (const [protocol, ports, hash] of [
    [6, (1234 << 16) | 80, 0x22ef769a],
    [17, (1234 << 16) | 80, 0xf8a6d809],
    [1, 8 << 16, 0xa0bad5b8],
  ]) {
    const flow = base();
    flow[W_ETH_TYPE] = 0x08000000;
    flow[W_NW] = protocol;
    flow[W_NW_SRC] = 0x0a010203;
    flow[W_NW_DST] = 0xc0a80708;
    flow[W_TP] = ports;
    assert.equal(datapathHash(flow, 0, 0), hash);
  }
});

/** The key of the packet that goes the other way. */
function reversed(flow: Flow): Flow {
  const back = flow.slice();
  back[W_ETH] = (flow[W_ETH + 1] << 16) | (flow[W_ETH + 2] >>> 16);
  back[W_ETH + 1] = (flow[W_ETH + 2] << 16) | (flow[W_ETH] >>> 16);
  back[W_ETH + 2] = (flow[W_ETH] << 16) | (flow[W_ETH + 1] >>> 16);
  back[W_NW_SRC] = flow[W_NW_DST];
  back[W_NW_DST] = flow[W_NW_SRC];
  back.set(flow.subarray(W_IPV6_DST, W_IPV6_DST + 4), W_IPV6_SRC);
  back.set(flow.subarray(W_IPV6_SRC, W_IPV6_SRC + 4), W_IPV6_DST);
  back[W_TP] = (flow[W_TP] << 16) | (flow[W_TP] >>> 16);
  return back;
}

test('both directions hash alike where the hash is symmetric', () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 14, maxLength: 14 }),
      fc.constantFrom(0x0800, 0x86dd, 0x0806),
      fc.constantFrom(6, 17, 132, 1),
      word,
      (words, type, protocol, basis) => {
        const flow = newFlow();
        flow.set(words.slice(0, 3), W_ETH);
        flow.set(words.slice(3, 13), W_NW_SRC);
        flow[W_TP] = words[13];
        flow[W_ETH_TYPE] = type << 16;
        flow[W_NW] = protocol;
        const back = reversed(flow);
        for (const fields of FIELDS.filter((f) => f.startsWith('symmetric'))) {
          assert.equal(
            hashFields(flow, fields, basis & 0xffff),
            hashFields(back, fields, basis & 0xffff),
            fields,
          );
        }
        assert.equal(datapathHash(flow, 1, basis), datapathHash(back, 1, basis));
        for (const algorithm of [0, 1]) assert.notEqual(datapathHash(flow, algorithm, basis), 0);
      },
    ),
  );
});

test('the 5-tuple hash depends on each of its fields', () => {
  const flow = base();
  flow[W_ETH_TYPE] = 0x08000000;
  flow[W_NW] = 6;
  const before = hash5Tuple(flow, 0);
  for (const [word, value] of [
    [W_NW_SRC, 1],
    [W_NW_DST, 1],
    [W_TP, 1 << 16],
    [W_TP, 1],
    [W_NW, 17],
  ]) {
    const changed = flow.slice();
    changed[word] = value;
    assert.notEqual(hash5Tuple(changed, 0), before, `word ${word}`);
  }
});
