import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { WeftError } from '../base/errors.ts';
import { formatMatch } from '../flow/match-format.ts';
import { parseFlow } from '../openflow/index.ts';
import { COMMON_FLOWS } from './common-flows.ts';
import { type CompiledFlow, compileCommonFlow, compileFlow } from './compile.ts';
import { ANSWERS, answerKind, WRITABLE_FIELDS } from './flow-words.ts';
import { STAGES, type Stage, stageTable, TABLES } from './layout.ts';
import type { UniversalFlow } from './universal.ts';

const stock = spawnSync('ovs-ofctl', ['--version']).status === 0;
const skip = stock ? false : 'needs ovs-ofctl';

function flow(changes: Partial<UniversalFlow>): UniversalFlow {
  return {
    datapath: 77,
    stage: 'ls-in-destination',
    priority: 90,
    match: '',
    actions: 'drop',
    origin: '00000000-0000-4000-8000-000000000001',
    ...changes,
  };
}

function text({ table, priority, match, actions }: CompiledFlow): string {
  return `table=${table},priority=${priority}${match === '' ? '' : `,${match}`},actions=${actions}`;
}

/** [stage, match, actions]: a bit of everything that the grammar has. */
const SAMPLES: readonly [Stage, string, string][] = [
  ['ls-in-security', 'inport=5,dl_src=02:00:00:00:00:01,ip,nw_src=10.0.0.1', 'next'],
  ['ls-in-security', 'inport=5', 'next(ls-in-destination)'],
  ['ls-in-discovery', 'inport=5,arp,arp_sha=02:00:00:00:00:01,arp_spa=10.0.0.1', 'next'],
  ['ls-in-discovery', 'icmp6,icmp_type=136,icmp_code=0,nd_target=fd00::1,nd_tll=02:00:00:00:00:01', 'next'],
  ['ls-in-conntrack', 'ip', 'ct_next'],
  ['ls-in-acl', 'inport=5,tcp,tp_dst=0x50/0xfff0', 'set_field:3->reg9,next'],
  ['ls-in-commit', 'ip,reg9=3,ct_state=+trk+new', 'ct_commit,next'],
  ['ls-in-commit', 'ipv6,reg9=1,ct_state=+trk+est-rpl,ct_mark=0', 'ct_commit(blocked)'],
  ['ls-in-commit', 'reg9=2', 'outport(inport),loopback,answer(reject,output)'],
  ['ls-in-qos', 'inport=5,ip', 'set_field:46->ip_dscp,next'],
  [
    'ls-in-answer',
    'arp,arp_op=1,arp_tpa=10.0.0.1',
    'move:eth_src->eth_dst,set_field:02:00:00:00:00:01->eth_src,set_field:2->arp_op,move:arp_sha->arp_tha,' +
      'set_field:02:00:00:00:00:01->arp_sha,move:arp_spa->arp_tpa,set_field:10.0.0.1->arp_spa,outport(inport),loopback,output',
  ],
  [
    'ls-in-answer',
    'icmp6,icmp_type=135,icmp_code=0,nd_target=fd00::1',
    'move:eth_src->eth_dst,set_field:02:00:00:00:00:01->eth_src,set_field:136->icmpv6_type,set_field:2->nd_options_type,' +
      'set_field:1610612736->nd_reserved,move:ipv6_src->ipv6_dst,set_field:fd00::1->ipv6_src,loopback,next',
  ],
  ['ls-in-destination', 'dl_dst=02:00:00:00:00:01', 'outport(6),output'],
  ['ls-in-destination', 'dl_dst=02:00:00:00:00:01', 'enter(78,16777215)'],
  [
    'lr-in-admit',
    'inport=7,dl_dst=02:00:00:00:00:01,ipv6',
    'set_field:0xfd000000000000000000000000000001->xxreg1,next',
  ],
  [
    'lr-in-local',
    'icmp,nw_dst=10.0.0.1,icmp_type=8,icmp_code=0,ip_frag=no',
    'move:ip_src->ip_dst,set_field:10.0.0.1->ip_src,set_field:0->icmp_type,set_field:255->nw_ttl,next(lr-in-route)',
  ],
  ['lr-in-ttl', 'ip,nw_ttl=1', 'answer(ttl-exceeded,lr-in-route)'],
  ['lr-in-route', 'ip,nw_dst=10.0.0.0/24', 'move:ip_dst->reg0,outport(8),next'],
  ['lr-in-route', 'ipv6,ipv6_dst=fd00::/64', 'move:ipv6_dst->xxreg0,outport(8),next'],
  ['lr-in-neighbor', 'outport=8,ip,reg0=0x0a000001', 'set_field:02:00:00:00:00:02->eth_dst,next'],
  ['lr-in-neighbor', 'outport=8,ipv6,xxreg0=0xfd000000000000000000000000000001', 'next'],
  ['lr-in-out', 'outport=8,ip', 'set_field:02:00:00:00:00:03->eth_src,dec_ttl,enter(77,9)'],
  ['ls-out-security', 'outport=6,loopback=0', 'deliver'],
  ['ls-out-commit', 'reg9=2', 'inport(outport),answer(reject,ls-in-destination)'],
];

test('what universal flows may say, our parser reads, and every flow is bound to its datapath', () => {
  for (const [stage, match, actions] of SAMPLES) {
    const compiled = compileFlow(flow({ stage, match, actions }));
    assert.equal(compiled.table, stageTable(stage));
    const parsed = parseFlow(text(compiled));
    assert.match(formatMatch(parsed.match), /\bmetadata=0x4d\b/, text(compiled));
  }
});

test('stock ovs-ofctl reads what is compiled', { skip }, () => {
  const flows = [
    ...SAMPLES.map(([stage, match, actions]) => compileFlow(flow({ stage, match, actions }))),
    ...COMMON_FLOWS.map(compileCommonFlow),
  ].map(text);
  const run = spawnSync('ovs-ofctl', ['parse-flows', '-'], {
    input: `${flows.join('\n')}\n`,
    encoding: 'utf8',
  });
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stdout.match(/FLOW_MOD/g)?.length, flows.length);
});

test('flows that hold in every datapath are read, and touch no metadata', () => {
  for (const common of COMMON_FLOWS) {
    const compiled = compileCommonFlow(common);
    parseFlow(text(compiled));
    assert.doesNotMatch(compiled.actions, /->(metadata|OXM_OF_METADATA)/);
    assert.doesNotMatch(compiled.match, /metadata/);
  }
  assert.throws(
    () => compileCommonFlow({ stage: 'ls-in-destination', priority: 1, match: '', actions: 'enter(1,2)' }),
    { code: 'universal-flow' },
  );
});

test('only enter changes the datapath, and it forgets all that was before', () => {
  const { actions } = compileFlow(flow({ actions: 'enter(78,9)' }));
  for (const part of [
    'ct_clear',
    'set_field:0->xxreg0',
    'set_field:0->xxreg1',
    'set_field:0->xxreg2',
    'set_field:0->reg13',
    'set_field:0->reg15',
    'set_field:9->reg14',
    'set_field:78->metadata',
  ]) {
    assert.ok(actions.split(',').includes(part), part);
  }
  for (const stage of STAGES) {
    const target = stage.startsWith('lr') ? 8 : 24;
    if (stage.startsWith('ls-out')) {
      assert.throws(() => compileFlow(flow({ stage, actions: 'enter(78,9)' })), { code: 'universal-flow' });
    } else {
      assert.match(
        compileFlow(flow({ stage, actions: 'enter(78,9)' })).actions,
        new RegExp(`resubmit\\(,${target}\\)$`),
      );
    }
  }
});

test('what could leave the datapath is refused, with flow and word', () => {
  const bad: [Partial<UniversalFlow>, RegExp][] = [
    [{ match: 'metadata=5' }, /"metadata=5" is no field/],
    [{ match: 'in_port=1' }, /in_port/],
    [{ match: 'tun_id=1' }, /tun_id/],
    [{ match: 'reg14=1' }, /reg14/],
    [{ match: 'reg10=0/1' }, /reg10/],
    [{ match: 'xreg7=1' }, /xreg7/],
    [{ match: 'ct_zone=1' }, /ct_zone/],
    [{ match: 'ip,ip' }, /stands twice/],
    [{ match: 'inport=0' }, /needs a label/],
    [{ match: 'inport=16777216' }, /needs a label/],
    [{ match: 'inport=1 actions=drop' }, /needs a label/],
    [{ match: 'nw_src=1.1.1.1 actions=output:1' }, /no value/],
    [{ match: 'table=3' }, /table/],
    [{ match: 'loopback=2' }, /is 0 or 1/],
    [{ match: ',' }, /""/],
    [{ actions: '' }, /is no action/],
    [{ actions: 'output:1' }, /output:1/],
    [{ actions: 'resubmit(,0)' }, /resubmit/],
    [{ actions: 'set_field:5->metadata' }, /writes metadata/],
    [{ actions: 'set_field:5->reg14,output' }, /writes reg14/],
    [{ actions: 'set_field:5->in_port,output' }, /writes in_port/],
    [{ actions: 'set_field:5->tun_id,output' }, /writes tun_id/],
    [{ actions: 'set_field:5->reg1)),output' }, /is no action|reg1/],
    [{ actions: 'move:metadata->reg0,output' }, /reads metadata/],
    [{ actions: 'move:reg0->reg15,output' }, /writes reg15/],
    [{ actions: 'load:1->NXM_NX_REG0[]' }, /load/],
    [{ actions: 'ct(table=1)' }, /ct\(table=1\)/],
    [{ actions: 'outport(5)),output' }, /outport/],
    [{ actions: 'outport(x),output' }, /needs a label/],
    [{ actions: 'output,next' }, /must be the last/],
    [{ actions: 'next' }, /last stage/],
    [{ actions: 'next(ls-in-security)' }, /no later stage/],
    [{ actions: 'next(lr-in-route)' }, /no later stage/],
    [{ actions: 'deliver' }, /cannot stand/],
    [{ actions: 'ct_next' }, /conntrack only/],
    [{ actions: 'answer(pong)' }, /no kind of answer/],
    [{ actions: 'answer(toString,output)' }, /no kind of answer/],
    [{ actions: 'answer(reject,lr-in-route)' }, /no place/],
    [{ actions: 'enter(78)' }, /needs a datapath/],
    [{ actions: 'enter(0,9)' }, /needs a label/],
    [{ stage: 'lr-in-out', actions: 'output' }, /cannot stand/],
    [{ stage: 'ls-out-security', actions: 'output' }, /cannot stand/],
    [{ datapath: 0 }, /needs a label/],
    [{ datapath: 2 ** 24 }, /needs a label/],
    [{ priority: 65536 }, /no priority/],
    [{ priority: 1.5 }, /no priority/],
  ];
  for (const [changes, message] of bad) {
    assert.throws(
      () => compileFlow(flow(changes)),
      (error) => error instanceof WeftError && error.code === 'universal-flow' && message.test(error.message),
      JSON.stringify(changes),
    );
  }
});

test('a field that can be written to can be moved from and set, in the same words everywhere', () => {
  const needs = (field: string): string =>
    /^ip_|nw_/.test(field)
      ? 'ip'
      : field.startsWith('ipv6')
        ? 'ipv6'
        : field.startsWith('arp')
          ? 'arp'
          : /^icmp_/.test(field)
            ? 'icmp'
            : /^icmpv6_/.test(field)
              ? 'icmp6'
              : /nd_tll/.test(field)
                ? 'icmp6,icmp_type=136,icmp_code=0'
                : /^nd_/.test(field)
                  ? 'icmp6,icmp_type=135,icmp_code=0'
                  : field.slice(0, 4) === 'tcp_'
                    ? 'tcp'
                    : field.slice(0, 4) === 'udp_'
                      ? 'udp'
                      : field.startsWith('sctp')
                        ? 'sctp'
                        : 'ip';
  for (const field of WRITABLE_FIELDS) {
    const compiled = compileFlow(flow({ match: needs(field), actions: `move:${field}->${field},output` }));
    parseFlow(text(compiled));
  }
});

test('an answer names its kind to the agent, and where the packet goes on', () => {
  const { actions } = compileFlow(flow({ actions: 'loopback,answer(reject,output)' }));
  const userdata = /userdata=([0-9a-f.]+),pause\),ct_clear,resubmit\(,(\d+)\)$/.exec(actions);
  assert.equal(userdata?.[2], String(TABLES.output));
  const bytes = Uint8Array.from((userdata?.[1] ?? '').split('.').map((b) => Number.parseInt(b, 16)));
  assert.equal(answerKind(bytes), 'reject');
  assert.equal(answerKind(Uint8Array.of(1, 2, ANSWERS.reject)), undefined);
  assert.equal(answerKind(Uint8Array.of(...bytes.subarray(0, 2), 99)), undefined);
});
