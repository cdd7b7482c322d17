import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as L from '../../flow/layout.ts';
import { StockSwitch, stockMissing } from '../conformance/stock-switch.ts';
import { formatActions, formatKey, parseActions, parseKey } from './index.ts';

/** Masked keys as a switch makes them: what decides the packet's shape is matched exactly. */
const SHAPES: readonly string[] = [
  'eth_type(0x0800),ipv4(proto=6,frag=no)',
  'eth_type(0x0800),ipv4(proto=17,frag=first)',
  'eth_type(0x0800),ipv4(proto=1,frag=no)',
  'eth_type(0x0800),ipv4(proto=6,frag=later)',
  'eth_type(0x86dd),ipv6(proto=6,frag=no)',
  'eth_type(0x86dd),ipv6(proto=132,frag=no)',
  'eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=136,code=0)',
  'eth_type(0x0806)',
  'eth_type(0x8847),mpls(label=5,tc=1,ttl=2,bos=1)',
  'eth_type(0x1234)',
  'eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(proto=6,frag=no))',
];

/** Words that a mask may cover for each shape, and which of their bits the shape itself matches. */
const word = fc.integer({ min: 0, max: 0xffffffff });
const anyFlow = fc
  .record({
    shape: fc.constantFrom(...SHAPES),
    values: fc.array(word, { minLength: 100, maxLength: 100 }),
    masks: fc.array(fc.oneof(fc.constant(0), fc.constant(0xffffffff), word), {
      minLength: 100,
      maxLength: 100,
    }),
  })
  .map(({ shape, values, masks }) => {
    const { key, mask } = parseKey(`recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),${shape}`);
    const type = key[L.W_ETH_TYPE] >>> 16;
    const protocol = key[L.W_NW] & 0xff;
    const whole = ((key[L.W_NW] >>> 24) & L.FRAG_LATER) === 0;
    const spread = (index: number, bits: number): void => {
      const free = bits & ~mask[index];
      const bitsOfMask = masks[index] & free;
      key[index] |= values[index] & bitsOfMask;
      mask[index] |= bitsOfMask;
    };
    for (let i = 0; i < 3; i++) spread(L.W_ETH + i, 0xffffffff);
    spread(L.W_PKT_MARK, 0xffffffff);
    spread(L.W_CT_MARK, 0xffffffff);
    if (type === 0x0800 || type === 0x0806) {
      spread(L.W_NW_SRC, 0xffffffff);
      spread(L.W_NW_DST, 0xffffffff);
    }
    if (type === 0x86dd) for (let i = L.W_IPV6_SRC; i < L.W_IPV6_LABEL; i++) spread(i, 0xffffffff);
    if (type === 0x86dd) spread(L.W_IPV6_LABEL, 0xfffff);
    if (type === 0x0800 || type === 0x86dd) {
      spread(L.W_NW, 0x00ffff00);
      if (whole && protocol !== 58) spread(L.W_TP, protocol === 1 ? 0x00ff00ff : 0xffffffff);
      if (whole && protocol === 6) spread(L.W_TCP_FLAGS, 0x0fff0000);
      if (protocol === 58) for (let i = 0; i < 4; i++) spread(L.W_ND_TARGET + i, 0xffffffff);
    }
    if (type === 0x0806 || protocol === 58) for (let i = 0; i < 3; i++) spread(L.W_ARP_HA + i, 0xffffffff);
    return { key, mask };
  });

/** "FLOW, packets:...": the flow. */
const flowOf = (line: string): string => line.slice(0, line.indexOf(', packets:'));

test('stock reads the flows that we write, and dumps them as we do', { skip: stockMissing() }, async () => {
  const stock = new StockSwitch();
  try {
    await stock.start();
    // No flow table knows of these flows: stock would make drops of them.
    stock.run('ovs-appctl', 'revalidator/pause');
    for (const { key, mask } of fc.sample(anyFlow, 40)) {
      const text = formatKey(key, mask, { verbose: true });
      stock.run('ovs-appctl', 'dpctl/add-flow', 'dummy@ovs-dummy', text, '2');
      const [short] = stock
        .run('ovs-appctl', 'dpctl/dump-flows', 'dummy@ovs-dummy')
        .trim()
        .split('\n')
        .slice(-1);
      assert.equal(formatKey(key, mask), flowOf(short), text);
      const [long] = stock
        .run('ovs-appctl', 'dpctl/dump-flows', '-m', '--no-names', 'dummy@ovs-dummy')
        .trim()
        .split('\n')
        .slice(-1);
      assert.equal(text, flowOf(long).replace(/^ufid:[^ ]* /, ''));
      // And we read what stock dumps.
      const back = parseKey(flowOf(long));
      assert.deepEqual([back.key, back.mask], [key, mask], long);
      stock.run('ovs-appctl', 'dpctl/del-flows', 'dummy@ovs-dummy');
    }
  } finally {
    stock.stop();
  }
});

test('stock prints actions as we do', { skip: stockMissing() }, async () => {
  const stock = new StockSwitch();
  try {
    await stock.start();
    // No flow table knows of these flows: stock would make drops of them.
    stock.run('ovs-appctl', 'revalidator/pause');
    for (const actions of [
      '1,2',
      'set(eth(src=00:01:02:03:04:05,dst=10:11:12:13:14:15/ff:ff:ff:00:00:00)),1',
      'set(ipv4(src=10.0.0.1/255.255.255.0,tos=0x80/0xfc,ttl=63)),1',
      'set(tcp(src=80)),push_vlan(vid=5,pcp=0),push_vlan(tpid=0x88a8,vid=6,pcp=1),pop_vlan,2',
      'userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=1,rule_cookie=0x5,controller_id=0,max_len=65535))',
      'userspace(pid=0,slow_path(action))',
      'sample(sample=50.0%,actions(1)),clone(2,1),trunc(100),check_pkt_len(size=200,gt(drop),le(1))',
      'ct(commit,zone=1,mark=0x1/0xff,nat(src=10.0.0.1-10.0.0.2:1-5,random)),recirc(0x5)',
      'ct(force_commit,label=0x1/0x3,nat(dst=[fe80::1]:80)),ct_clear,meter(2)',
    ]) {
      const input = actions.replace('recirc(0x5)', 'recirc(5)');
      const shape =
        'recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=6,frag=no)';
      const { key, mask } = parseKey(shape);
      const flow = formatKey(key, mask, { verbose: true });
      stock.run('ovs-appctl', 'dpctl/add-flow', 'dummy@ovs-dummy', flow, input);
      const dump = stock.run('ovs-appctl', 'dpctl/dump-flows', 'dummy@ovs-dummy').trim();
      assert.equal(formatActions(parseActions(actions)), dump.slice(dump.indexOf('actions:') + 8));
      stock.run('ovs-appctl', 'dpctl/del-flows', 'dummy@ovs-dummy');
    }
  } finally {
    stock.stop();
  }
});
