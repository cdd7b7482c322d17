import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMatch } from '../../flow/match-parse.ts';
import { executeActionSet, inActionSet } from './action-set.ts';
import { checkActions, checkConsistency } from './check.ts';
import { encodeInstructions, formatActions, parseActions, parseInstructions } from './list.ts';
import { P_ANY, P_OF10_ANY, P_OF13_OXM } from './protocols.ts';
import { actionsEqual, actionsOutputToGroup, actionsOutputToPort, meterOf } from './query.ts';

function check(
  match: string,
  actions: string,
  limits: { maxPorts?: number; table?: number; tables?: number } = {},
) {
  return checkActions(parseInstructions(actions), { match: parseMatch(match), ...limits });
}

/** Match, actions: fit together in every version. */
const FIT: readonly (readonly [string, string])[] = [
  ['', 'output:1,mod_vlan_vid:3,strip_vlan'],
  ['dl_vlan=5', 'set_vlan_vid:3,set_vlan_pcp:1,strip_vlan'],
  ['', 'push_vlan:0x8100,set_field:4099->vlan_vid'],
  ['ip', 'mod_nw_src:1.2.3.4,mod_nw_tos:4,dec_ttl'],
  ['ipv6', 'mod_nw_ttl:3,set_field:fe80::1->ipv6_src'],
  ['tcp', 'mod_tp_dst:80,set_field:80->tcp_dst,fin_timeout(idle_timeout=1)'],
  ['mpls', 'dec_mpls_ttl,pop_mpls:0x800,mod_nw_tos:4'],
  ['ip', 'push_mpls:0x8847,set_mpls_ttl(3)'],
  ['arp', 'move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]'],
  ['ip', 'ct(commit,nat(src=10.0.0.1),exec(set_field:1->ct_mark))'],
  ['ip,ct_state=+trk+est', 'resubmit(,1,ct)'],
  ['', 'learn(eth_type=0x800,nw_proto=6,tcp_dst=80,load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15])'],
  ['', 'encap(nsh),dec_nsh_ttl'],
];

/** Fit only in OpenFlow 1.0, which lets actions do nothing. */
const FIT_OF10: readonly (readonly [string, string])[] = [
  ['', 'set_vlan_vid:3'],
  ['', 'strip_vlan'],
  ['dl_vlan=1', 'strip_vlan,strip_vlan'],
  ['arp', 'mod_nw_src:1.2.3.4'],
  ['ipv6', 'mod_nw_src:1.2.3.4'],
  ['', 'dec_ttl'],
  ['ip', 'mod_tp_dst:80'],
  ['tcp,ip_frag=later', 'mod_tp_dst:80'],
  ['ip', 'dec_mpls_ttl'],
  ['tcp', 'push_mpls:0x8847,fin_timeout(idle_timeout=1)'],
  ['', 'clone(dec_ttl)'],
];

const UNFIT: readonly (readonly [string, string, string])[] = [
  ['', 'set_field:80->tcp_dst', 'OFPBAC_MATCH_INCONSISTENT'],
  ['', 'set_field:4099->vlan_vid', 'OFPBAC_MATCH_INCONSISTENT'],
  ['ip', 'move:NXM_OF_ARP_SPA[]->NXM_NX_REG0[]', 'OFPBAC_MATCH_INCONSISTENT'],
  ['tcp', 'push_mpls:0x8847,push:NXM_OF_TCP_SRC[]', 'OFPBAC_MATCH_INCONSISTENT'],
  ['', 'pop:NXM_NX_CT_ZONE[]', 'OFPBAC_BAD_SET_ARGUMENT'],
  ['arp', 'ct(commit)', 'OFPBAC_MATCH_INCONSISTENT'],
  ['udp', 'ct(alg=ftp)', 'OFPBAC_MATCH_INCONSISTENT'],
  ['ipv6', 'ct(commit,nat(src=10.0.0.1))', 'OFPBAC_MATCH_INCONSISTENT'],
  ['ip', 'resubmit(,1,ct)', 'OFPBAC_MATCH_INCONSISTENT'],
  ['', 'learn(tcp_dst=80)', 'OFPBAC_MATCH_INCONSISTENT'],
  ['', 'learn(NXM_OF_ETH_TYPE[]=NXM_OF_TCP_SRC[])', 'OFPBAC_MATCH_INCONSISTENT'],
  ['', 'push_vlan:0x8100,push_vlan:0x8100,push_vlan:0x8100', 'OFPBAC_BAD_TAG'],
  ['', 'output:none', 'OFPBAC_BAD_OUT_PORT'],
  ['', 'meter:0', 'OFPMMFC_INVALID_METER'],
  ['', 'delete_field:reg0', 'OFPBAC_BAD_ARGUMENT'],
];

test('actions are held against the match', () => {
  for (const [match, actions] of FIT)
    assert.equal(check(match, actions).protocols, P_ANY, `${match} ${actions}`);
  for (const [match, actions] of FIT_OF10) {
    assert.equal(check(match, actions).protocols, P_OF10_ANY, `${match} ${actions}`);
  }
  for (const [match, actions, ofperr] of UNFIT) {
    assert.throws(() => check(match, actions), { ofperr }, `${match} ${actions}`);
  }
});

test('what an action set does to a packet is not known', () => {
  assert.equal(check('', 'write_actions(dec_ttl,output:1)').protocols, P_ANY);
});

test('ports and tables must exist', () => {
  assert.throws(() => check('', 'output:255', { maxPorts: 255 }), { ofperr: 'OFPBAC_BAD_OUT_PORT' });
  assert.throws(() => check('', 'enqueue:255:1', { maxPorts: 255 }), { ofperr: 'OFPBAC_BAD_OUT_PORT' });
  check('', 'output:254,LOCAL,enqueue:in_port:1', { maxPorts: 255 });
  assert.throws(() => check('', 'goto_table:3', { table: 3 }), { ofperr: 'OFPBIC_BAD_TABLE_ID' });
  assert.throws(() => check('', 'goto_table:9', { table: 3, tables: 9 }), { ofperr: 'OFPBIC_BAD_TABLE_ID' });
  check('', 'goto_table:8', { table: 3, tables: 9 });
});

test('consistency is an error where a protocol demands it', () => {
  const actions = parseActions('dec_ttl');
  const match = parseMatch('');
  assert.equal(checkConsistency(actions, P_OF10_ANY, { match }).length, 1);
  assert.throws(() => checkConsistency(actions, P_OF13_OXM, { match }), {
    ofperr: 'OFPBAC_MATCH_INCONSISTENT',
  });
});

test('the match is as it was after a check, and tells encoders what to write', () => {
  const match = parseMatch('tcp,dl_vlan=5');
  const before = match.flow.slice();
  const { actions } = checkActions(parseActions('mod_vlan_vid:3,mod_tp_src:80,strip_vlan'), { match });
  assert.deepEqual(match.flow, before);
  // No tag is pushed, and the port is set in TCP's field.
  const hex = Buffer.from(encodeInstructions(actions, 4)).toString('hex');
  assert.match(hex, /^0004.{12}0019.{4}80000c02.*80001a02/);
});

test('an action set is carried out in its own order, if it ends in an output', () => {
  const run = (text: string) => formatActions(executeActionSet(parseActions(text)));
  assert.equal(
    run('output:1,set_field:1->reg0,push_vlan:0x8100,strip_vlan,output:2,dec_ttl,set_field:2->reg0'),
    'strip_vlan,push_vlan:0x8100,dec_ttl,set_field:0x1->reg0,set_field:0x2->reg0,output:2',
  );
  assert.equal(run('group:3,output:1,resubmit(,2)'), 'group:3');
  assert.equal(run('resubmit(,2),resubmit(,3)'), 'resubmit(,3)');
  assert.equal(run('dec_ttl,set_field:1->reg0'), 'drop');
  assert.ok(!inActionSet(parseActions('note:00')[0]));
});

test('what a list does is found inside other lists too', () => {
  const actions = parseInstructions('meter:4,clone(output:7),controller(id=3),write_actions(group:9)');
  assert.ok(actionsOutputToPort(actions, 7));
  assert.ok(actionsOutputToPort(actions, 0xfffffffd));
  assert.ok(!actionsOutputToPort(actions, 8));
  assert.ok(actionsOutputToGroup(actions, 9));
  assert.ok(!actionsOutputToGroup(actions, 4));
  assert.equal(meterOf(actions), 4);
  assert.equal(meterOf([]), null);
});

test('lists are equal if they do the same', () => {
  const equal = (a: string, b: string) => actionsEqual(parseInstructions(a), parseInstructions(b));
  assert.ok(equal('output:1,note:01', '1,note:01'));
  assert.ok(equal('ct(nat,commit)', 'ct(commit,nat)'));
  assert.ok(!equal('note:01', 'note:02'));
  assert.ok(!equal('output:1', 'output:1,output:1'));
  assert.ok(!equal('load:1->reg0[0]', 'load:1->reg1[0]'));
  assert.ok(!equal('clone(output:1)', 'clone(output:2)'));
  const plain = parseInstructions('mod_tp_src:1');
  assert.ok(actionsEqual(plain, checkActions(plain, { match: parseMatch('tcp') }).actions));
});
