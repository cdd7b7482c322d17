import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WeftError } from '../../base/errors.ts';
import { Match } from '../../flow/match.ts';
import { parseActions } from '../actions/index.ts';
import { NO_BUFFER, OFPG_ANY, OFPP_ANY, OFPTT_ALL, UINT64_MAX } from '../constants.ts';
import type { FlowStats } from '../messages/flow-stats.ts';
import { OF10, OF13 } from '../version.ts';
import { formatFlowMod, formatFlowStats, parseFlow, parseFlowLine } from './flow.ts';

/** Flows, and what ovs-ofctl parse-flows of Open vSwitch 3.1 says of them. */
const FLOWS: readonly (readonly [string, string])[] = [
  ['actions=drop', 'ADD table:255 actions=drop'],
  [
    'table=1,priority=5,ip,nw_dst=10.0.0.0/8,actions=drop',
    'ADD table:1 priority=5,ip,nw_dst=10.0.0.0/8 actions=drop',
  ],
  [
    'cookie=0x1,idle_timeout=10,send_flow_rem,tcp,tp_dst=80,actions=mod_nw_ttl:3,output:2',
    'ADD table:255 tcp,tp_dst=80 cookie:0x1 idle:10 send_flow_rem actions=load:0x3->NXM_NX_IP_TTL[],output:2',
  ],
];

describe('the text of a flow', () => {
  for (const [text, shown] of FLOWS) {
    it(`${text}`, () => {
      const flow = parseFlow(text, 'add');
      // Of texts, load is how ovs-ofctl shows what 1.0 has instead of mod_nw_ttl.
      const expected = shown.replace('load:0x3->NXM_NX_IP_TTL[]', 'mod_nw_ttl:3');
      assert.equal(formatFlowMod(flow, OF10), expected);
      assert.equal(flow.bufferId, NO_BUFFER);
      assert.equal(flow.outPort, OFPP_ANY);
      assert.equal(flow.outGroup, OFPG_ANY);
    });
  }

  it('can start with the command in a file of flows', () => {
    assert.equal(parseFlowLine('delete_strict table=3,ip').command, 'delete_strict');
    assert.equal(parseFlowLine('table=3,ip,actions=drop').command, 'add');
  });

  it('selects by cookie in commands that change or delete', () => {
    const flow = parseFlow('cookie=0x10/0xf0', 'delete');
    assert.equal(flow.cookie, 0x10n);
    assert.equal(flow.cookieMask, 0xf0n);
    assert.equal(flow.table, OFPTT_ALL);
  });

  for (const text of [
    'ip',
    'actions=drop,priority=3',
    'priority=65536,actions=drop',
    'cookie=1/2,actions=drop',
    'nonsense=1,actions=drop',
    'table=nowhere,actions=drop',
    'idle_timeout=x,actions=drop',
  ]) {
    it(`is refused: ${text}`, () => {
      assert.throws(() => parseFlow(text, 'add'), WeftError);
    });
  }
});

describe('a flow as dump-flows shows it', () => {
  const stats: FlowStats = {
    match: new Match(),
    cookie: 0n,
    table: 0,
    priority: 0,
    idleTimeout: 0,
    hardTimeout: 0,
    durationSec: 4,
    durationNsec: 250_000_000,
    idleAge: -1,
    hardAge: -1,
    packetCount: 1n,
    byteCount: UINT64_MAX,
    flags: 0,
    importance: 0,
    actions: parseActions('NORMAL'),
  };

  it('has its statistics, of which unknown ones are question marks', () => {
    assert.equal(
      formatFlowStats(stats),
      'cookie=0x0, duration=4.250s, table=0, n_packets=1, n_bytes=?, priority=0 actions=NORMAL',
    );
  });

  it('is without them if they are not wanted', () => {
    assert.equal(formatFlowStats({ ...stats, table: 2 }, {}, false), 'table=2, priority=0 actions=NORMAL');
  });

  it('has flags and ages', () => {
    const flow = parseFlow('send_flow_rem,idle_timeout=5,arp,actions=drop', 'add');
    const text = formatFlowStats({
      ...stats,
      ...flow,
      table: 0,
      cookie: 0xabcn,
      idleAge: 3,
      hardAge: 9,
      importance: 7,
    });
    assert.equal(
      text,
      'cookie=0xabc, duration=4.250s, table=0, n_packets=1, n_bytes=?, idle_timeout=5, send_flow_rem ' +
        'importance=7, idle_age=3, hard_age=9, arp actions=drop',
    );
  });

  it('shows no reset_counts for versions without it', () => {
    const flow = parseFlow('reset_counts,actions=drop', 'add');
    assert.match(formatFlowMod(flow, OF13), /reset_counts/);
    assert.doesNotMatch(formatFlowMod(flow, OF10), /reset_counts/);
  });
});
