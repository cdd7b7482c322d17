import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPacketFields } from './packet-fields.ts';
import { makeApi, makeTenant } from './testing/harness.ts';

test('fields of packets are taken', () => {
  for (const flow of [
    '',
    'tcp',
    'tcp,tcp_dst=80',
    'ip, nw_dst=10.0.0.5 ,nw_ttl=3',
    'icmp6,ipv6_dst=fd00::1,icmp_type=128',
    'tcp,tcp_flags=+syn-ack',
    'dl_vlan=5,dl_dst=ff:ff:ff:ff:ff:ff',
  ])
    checkPacketFields(flow);
});

test('nothing of the switch can be set, whose networks a trace could then begin in', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const from = red.ids['logical-port'];
  for (const flow of [
    'in_port=1',
    'tcp,in_port=1',
    'tun_id=7',
    'metadata=7',
    'reg15=7',
    'xxreg0=1',
    'ct_state=+est',
    'pkt_mark=1',
    'tcp\nin_port=1',
    'tcp in_port=1',
    'nw_dst=10.0.0.5 in_port=1',
    'recirc_id(0),in_port(1)',
    'IN_PORT=1',
    'tun_src=1.2.3.4',
    'actions=drop',
    'in_port',
  ]) {
    const reply = await api.ask('POST', '/v1/trace', { from, flow }, {}, red.token);
    assert.deepEqual([reply.status, reply.body.code, reply.body.member], [422, 'bad-object', '/flow'], flow);
  }
});
