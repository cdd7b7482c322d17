import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import { formatActions, parseActions, parseInstructions, parseWithProtocols } from './list.ts';
import { P_ANY, P_NXM_OF11_UP, P_OF11_UP, P_OF13_UP, P_OF15_UP } from './protocols.ts';
import { keyValues, type NameMap, scanFieldInteger, wholeInteger } from './text.ts';

test('keyValues takes lists apart, with nesting, blanks and arrows', () => {
  const pairs = [...keyValues(' a,b:c  d=e,f(g(h,i),j),k(l)->m n(')].map(({ key, value }) => [key, value]);
  assert.deepEqual(pairs, [
    ['a', ''],
    ['b', 'c'],
    ['d', 'e'],
    ['f', 'g(h,i),j'],
    ['k', 'l)->m'],
    ['n', ''],
  ]);
});

test('integers follow C in base and sign, and have no end in hexadecimal', () => {
  assert.equal(wholeInteger('0x1F'), 31n);
  assert.equal(wholeInteger('017'), 15n);
  assert.equal(wholeInteger('-3'), -3n);
  assert.equal(wholeInteger('08'), null);
  assert.equal(wholeInteger('5x'), null);
  assert.equal(wholeInteger(''), null);
  assert.deepEqual(scanFieldInteger('0x1 2->reg0', 4), { value: 0x12n, tail: '->reg0' });
  assert.equal(scanFieldInteger('0x100', 1), 'range');
  assert.equal(scanFieldInteger('300', 1), 'range');
  assert.equal(scanFieldInteger('x', 1), null);
  assert.equal(scanFieldInteger('9'.repeat(100_000), 8), 'range');
  assert.throws(() => parseActions(`set_queue:0x${'f'.repeat(100_000)}`), /invalid numeric format/);
});

/** Other ways to write an action: text, and what it is printed as. */
const FORMS: readonly (readonly [string, string])[] = [
  ['', 'drop'],
  ['drop', 'drop'],
  ['1', 'output:1'],
  ['output(1)', 'output:1'],
  ['output:65534', 'LOCAL'],
  ['65533', 'CONTROLLER:0'],
  ['normal, flood,ALL', 'NORMAL,FLOOD,ALL'],
  ['in_port', 'IN_PORT'],
  ['Output:7', 'output:7'],
  ['controller', 'CONTROLLER:65535'],
  ['output:controller', 'CONTROLLER:65535'],
  ['controller:77', 'CONTROLLER:77'],
  ['controller(max_len=77)', 'CONTROLLER:77'],
  ['controller(reason=ACTION,id=3)', 'controller(id=3)'],
  ['output:reg0[3..9]', 'output:NXM_NX_REG0[3..9]'],
  ['output:65280', '65280'],
  ['enqueue(3,4)', 'enqueue:3:4'],
  ['enqueue:3q4', 'enqueue:3:4'],
  ['set_nw_ttl:4', 'mod_nw_ttl:4'],
  ['pop_vlan', 'pop_vlan'],
  ['load:5->reg1[2..7]', 'load:0x5->NXM_NX_REG1[2..7]'],
  ['load:0->metadata', 'load:0->OXM_OF_METADATA[]'],
  ['set_field:0x5/0x7->tun_id', 'set_field:0x5/0x7->tun_id'],
  ['set_field:local->in_port', 'set_field:LOCAL->in_port'],
  ['move:reg0->reg1', 'move:NXM_NX_REG0[]->NXM_NX_REG1[]'],
  ['resubmit(1)', 'resubmit:1'],
  ['resubmit(1,)', 'resubmit:1'],
  ['resubmit(in_port,2)', 'resubmit(,2)'],
  ['dec_ttl()', 'dec_ttl'],
  ['dec_ttl(7, 8)', 'dec_ttl(7,8)'],
  ['note:', 'note:'],
  ['note:010203', 'note:01.02.03'],
  ['set_tunnel:0x100000000', 'set_tunnel64:0x100000000'],
  ['bundle(eth_src,0,hrw,ofport,slaves:1,2)', 'bundle(eth_src,0,hrw,ofport,members:1,2)'],
  ['bundle(eth_src,0,hrw,ofport,members:[1,2])', 'bundle(eth_src,0,hrw,ofport,members:1,2)'],
  ['conjunction(0x10, 1 / 2)', 'conjunction(16,1/2)'],
  ['ct()', 'ct()'],
  ['ct(commit,nat(src=10.0.0.1-10.0.0.1))', 'ct(commit,nat(src=10.0.0.1))'],
  ['ct(commit,nat(src,random))', 'ct(commit,nat(src))'],
  ['ct(zone=reg0[0..15],table=3)', 'ct(table=3,zone=NXM_NX_REG0[0..15])'],
  ['ct(exec(set_field:1->ct_mark),commit)', 'ct(commit,exec(set_field:0x1->ct_mark))'],
  ['learn()', 'learn(table=1)'],
  [
    'learn(NXM_OF_ETH_DST[],eth_type=0x800,tcp_dst=80)',
    'learn(table=1,NXM_OF_ETH_DST[],eth_type=0x800,tcp_dst=80)',
  ],
  ['learn(eth_type[0..3]=5)', 'learn(table=1,NXM_OF_ETH_TYPE[0..3]=0x5)'],
  [
    'learn(load:reg0->reg1,output:reg2)',
    'learn(table=1,load:NXM_NX_REG0[]->NXM_NX_REG1[],output:NXM_NX_REG2[])',
  ],
  ['write_actions(drop)', 'write_actions(drop)'],
  ['write_metadata:5/0xffffffffffffffff', 'write_metadata:0x5'],
  ['check_pkt_larger:5->reg0[0]', 'check_pkt_larger(5)->NXM_NX_REG0[0]'],
  ['clone()', 'clone(drop)'],
];

test('actions have many forms, and one in which they are printed', () => {
  for (const [text, printed] of FORMS) assert.equal(formatActions(parseInstructions(text)), printed, text);
});

/** Texts that are refused, in words that scripts know. */
const ERRORS: readonly (readonly [string, string])[] = [
  ['xyzzy', 'unknown action xyzzy'],
  ['output:xyzzy', 'xyzzy: output to unknown port'],
  ['-1', 'unknown action -1'],
  ['70000', 'unknown action 70000'],
  ['drop,3', '"drop" must not be accompanied by any other action or instruction'],
  ['apply_actions(1)', 'apply_actions is the default instruction'],
  ['output(port=all,max_len=64)', 'output to unsupported truncate port: all'],
  ['output(port=1,max_len=5)', 'max_len 5 is less than the minimum value 14'],
  ['controller(userdata=1g)', "bad hex digit in `controller' action `userdata'"],
  ['enqueue:1', '"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"'],
  ['bundle(1)', '1: not enough arguments to bundle action'],
  ['mod_vlan_vid:4096', '4096: not a valid VLAN VID'],
  ['mod_vlan_vid:x', 'invalid VLAN VID "x"'],
  ['push_vlan:0x800', '0x800: not a valid VLAN ethertype'],
  ['mod_nw_src:1.2.3', '1.2.3: could not convert to IP address'],
  ['mod_dl_src:1:2', 'invalid mac address 1:2'],
  ['set_queue:', 'missing required numeric argument'],
  ['set_queue:1x', 'invalid numeric format 1x'],
  ['set_field:1->eth_type', 'eth_type is read-only'],
  ['set_field:1', "1: missing `->'"],
  ['set_field:0xff->ip_dscp', '0xff is not a valid value for field ip_dscp'],
  ['load:0x10->reg0[0..3]', '0x10->reg0[0..3]: value 0x10 does not fit into 4 bits'],
  ['load:1->nosuch', "nosuch: unknown field `nosuch'"],
  ['move:reg0->reg1[0]', 'reg0->reg1[0]: source field is 32 bits wide but destination is 1 bits wide'],
  ['pop:reg0[]x', 'x: trailing garbage following push or pop'],
  ['resubmit(,255)', 'at least one "in_port" or "table" must be specified on resubmit'],
  ['goto_table:256', 'unknown table "256"'],
  ['conjunction(1,3/2)', 'clause index must be less than or equal to number of clauses'],
  ['conjunction(1)', '"conjunction" syntax is "conjunction(id,i/n)"'],
  [
    'conjunction(1,1/2),1',
    '"conjunction" actions may be used along with "note" but not any other kind of action (such as the "output" action used here)',
  ],
  ['note:0', "bad hex digit in `note' argument"],
  ['sample(probability=0)', 'invalid probability value "0"'],
  ['ct(alg=sip)', 'invalid conntrack helper "sip"'],
  ['ct(commit,exec(output:1))', "ct action doesn't support nested action output"],
  ['ct(commit,exec(load:1->reg0[]))', "ct action doesn't support nested modification of reg0"],
  ['set_field:1->ct_mark', 'cannot set CT fields outside of ct action'],
  ['nat', 'Cannot have NAT action outside of "ct" action'],
  ['ct(nat(src=1.2.3.4:9-8))', 'invalid nat range "1.2.3.4:9-8"'],
  ['ct(nat(src=1.2.3.4x))', 'garbage (x) after nat range "1.2.3.4x" (pos: 7)'],
  [
    'goto_table:1,output:1',
    'invalid instruction ordering: apply_actions must appear before goto_table, for OpenFlow 1.1+ compatibility',
  ],
  [
    'clear_actions,clear_actions',
    'duplicate clear_actions instruction not allowed, for OpenFlow 1.1+ compatibility',
  ],
  ['clone(goto_table:1)', 'goto_table instruction not allowed here'],
  ['clone('.repeat(100), 'Action nested too deeply'],
  ['1,'.repeat(4096), 'input too big'],
];

test('bad texts are refused and say why', () => {
  for (const [text, message] of ERRORS) {
    assert.throws(
      () => parseInstructions(text),
      (error) => error instanceof WeftError && error.message === message,
      `${text.slice(0, 60)}: ${message}`,
    );
  }
});

test('instructions are not actions', () => {
  assert.throws(() => parseActions('goto_table:1'), /goto_table instruction not allowed here/);
  assert.equal(parseActions('meter:3').length, 1);
});

test('ports and tables have names', () => {
  const names = (entries: readonly (readonly [string, number])[]): NameMap => ({
    numberOf: (name) => entries.find(([n]) => n === name)?.[1] ?? null,
    nameOf: (number) => entries.find(([, n]) => n === number)?.[0] ?? null,
  });
  const options = {
    ports: names([
      ['eth0', 1],
      ['a-b', 2],
    ]),
    tables: names([['acl', 3]]),
  };
  const text = 'output:eth0,output:"a-b",resubmit(eth0,acl),goto_table:acl';
  const actions = parseInstructions('eth0,output:"a-b",resubmit(1,3),goto_table:acl', options);
  assert.equal(formatActions(actions, options), text);
  assert.equal(formatActions(actions), 'output:1,output:2,resubmit(1,3),goto_table:3');
});

test('a text says which flow formats can carry it', () => {
  const protocols = (text: string, instructions = true) =>
    parseWithProtocols(text, { instructions }).protocols;
  assert.equal(protocols('output:1,mod_vlan_vid:3'), P_ANY);
  assert.equal(protocols('push_vlan:0x8100'), P_OF11_UP);
  assert.equal(protocols('meter:1'), P_OF13_UP);
  assert.equal(protocols('meter:1', false), P_OF15_UP);
  assert.equal(protocols('set_field:1->metadata'), P_NXM_OF11_UP);
  assert.equal(protocols('clone(encap(ethernet))'), P_OF13_UP);
});

test('property: any text is read or refused in words', () => {
  const word = fc.constantFrom(
    ...[
      'output',
      'set_field',
      'load',
      'move',
      'learn',
      'ct',
      'nat',
      'exec',
      'clone',
      'bundle',
      'multipath',
      'reg0',
    ],
    ...[
      'resubmit',
      'controller',
      'encap',
      'nsh',
      'tlv',
      'decap',
      'sample',
      'note',
      'conjunction',
      'src',
      'eth_dst',
    ],
    ...[
      '(',
      ')',
      ',',
      ':',
      '=',
      '->',
      '[',
      ']',
      '..',
      '/',
      ' ',
      '"',
      '-',
      '1',
      '0x',
      '0xff',
      '10.0.0.1',
      'fe80::1',
    ],
  );
  const text = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.array(word, { maxLength: 20 }).map((words) => words.join('')),
    fc.array(word, { maxLength: 20 }).map((words) => words.join(' ')),
  );
  fc.assert(
    fc.property(text, (s) => {
      try {
        formatActions(parseInstructions(s));
      } catch (error) {
        assert.ok(error instanceof WeftError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
