/** A stateful firewall between two guests, with real connections, on each datapath. */
import assert from 'node:assert/strict';
import { saysOnStdout } from '../network.ts';
import { onEachDatapath, type SwitchHost } from './host.ts';

/** What left may begin may be answered; what right begins is dropped. */
const FIREWALL = [
  'table=0,arp,actions=NORMAL',
  'table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1,zone=7)',
  'table=1,priority=10,in_port=left,ip,ct_state=+trk+new,actions=ct(commit,zone=7,exec(set_field:0x2a->ct_mark)),output:right',
  'table=1,priority=10,in_port=left,ip,ct_state=+trk+est,actions=output:right',
  'table=1,priority=10,in_port=right,ip,ct_state=+trk+est+rpl,ct_mark=0x2a,actions=output:left',
  'table=1,priority=0,actions=drop',
];

onEachDatapath(
  'a stateful firewall lets answers in, and nothing else',
  { tools: ['ping', 'iperf3'] },
  async (host: SwitchHost) => {
    const { network } = host;
    const [left, right] = ['left', 'right'].map((name) => network.namespace(name));
    network.veth(left, 'eth0', host.ns, 'left', '02:00:00:00:00:01', '10.99.0.1/24');
    network.veth(right, 'eth0', host.ns, 'right', '02:00:00:00:00:02', '10.99.0.2/24');
    const type = `datapath_type=${host.datapathType}`;
    await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', type, 'fail_mode=secure');
    await host.vsctl('add-port', 'br0', 'left', '--', 'add-port', 'br0', 'right');
    for (const flow of FIREWALL) await host.ofctl('add-flow', 'br0', flow);

    const ping = ['-c', '3', '-i', '0.2', '-W', '2'];
    const there = await network.run(left, 'ping', [...ping, '10.99.0.2']);
    assert.match(there.stdout, / 0% packet loss/, there.stdout + there.stderr);
    const back = await network.run(right, 'ping', [...ping, '10.99.0.1']);
    assert.match(back.stdout, / 100% packet loss/, back.stdout + back.stderr);

    const server = network.start(right, 'iperf3', ['-s', '-1', '--forceflush']);
    await saysOnStdout(server, 'Server listening');
    // Both ways: -R has right send, over a connection that left began.
    const args = ['-c', '10.99.0.2', '-t', '1', '-R', '-C', 'cubic', '-J', '--connect-timeout', '3000'];
    const done = await network.run(left, 'iperf3', args);
    const report = JSON.parse(done.stdout) as { end: { sum_received?: { bytes: number } }; error?: string };
    assert.equal(report.error, undefined);
    assert.ok((report.end.sum_received?.bytes ?? 0) > 1e6);

    const listening = network.start(left, 'iperf3', ['-s', '-1', '--forceflush']);
    await saysOnStdout(listening, 'Server listening');
    const refused = await network.run(right, 'iperf3', [
      '-c',
      '10.99.0.1',
      '-t',
      '1',
      '--connect-timeout',
      '1500',
    ]);
    assert.notEqual(refused.status, 0);
  },
);
