/** Groups, meters, bundles, tables and queues as the stock ovs-ofctl writes and reads them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { onHost, type SwitchHost } from './host.ts';

const DUMMY = { options: ['--enable-dummy', '--disable-system'] };

async function bridge(host: SwitchHost): Promise<void> {
  const port = (n: number) =>
    `-- add-port br0 p${n} -- set interface p${n} type=dummy ofport_request=${n}`.split(' ');
  await host.vsctl(
    ...['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy', 'fail-mode=secure'],
    ...[...port(1), ...port(2)],
  );
}

const stripped = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.replace(/ \(xid=0x[0-9a-f]+\)|duration=[0-9.]+s, ?|cookie=0x0, /g, '').trim())
    .filter((line) => line !== '');

onHost('groups, with the flows that use them, over every version that has them', DUMMY, async (host) => {
  await bridge(host);
  for (const version of [11, 12, 13, 14, 15]) {
    const ofctl = (...args: string[]) => host.ofctl('-O', `OpenFlow${version}`, ...args);
    await ofctl('add-group', 'br0', 'group_id=7,type=all,bucket=output:1,bucket=output:2');
    await ofctl(
      'add-group',
      'br0',
      'group_id=8,type=select,bucket=weight:3,output:1,bucket=weight:1,output:2',
    );
    await ofctl('add-flow', 'br0', 'in_port=1,actions=group:7');
    assert.match(
      await ofctl('dump-groups', 'br0'),
      /group_id=7,type=all,bucket=.*output:1,bucket=.*output:2/,
    );
    assert.match(await ofctl('dump-group-stats', 'br0'), /group_id=7,.*ref_count=1/);
    assert.match(await ofctl('dump-group-features', 'br0'), /Types: {2}0xf/);
    await ofctl('del-groups', 'br0', 'group_id=7');
    assert.deepEqual(stripped(await ofctl('dump-flows', 'br0')).slice(1), []);
    await ofctl('del-groups', 'br0');
  }
});

onHost('a file of flows is one bundle: all of them, or none', DUMMY, async (host) => {
  await bridge(host);
  const file = host.path('flows');
  writeFileSync(file, 'table=1,in_port=1,actions=2\ntable=2,in_port=2,actions=1\n');
  await host.ofctl('--bundle', 'add-flows', 'br0', file);
  const before = stripped(await host.ofctl('--no-stats', 'dump-flows', 'br0'));
  assert.equal(before.length, 2);
  writeFileSync(file, 'delete table=1\ntable=3,in_port=1,actions=group:99\n');
  const failed = await host.run('ovs-ofctl', '-O', 'OpenFlow14', '--bundle', 'add-flows', 'br0', file);
  assert.notEqual(failed.status, 0);
  assert.match(failed.stderr, /OFPBAC_BAD_OUT_GROUP/);
  assert.deepEqual(stripped(await host.ofctl('--no-stats', 'dump-flows', 'br0')), before);
  writeFileSync(file, 'table=1,in_port=1,actions=1\n');
  await host.ofctl('--bundle', 'replace-flows', 'br0', file);
  assert.equal(stripped(await host.ofctl('--no-stats', 'dump-flows', 'br0')).length, 1);
});

onHost('meters, tables and queues are told in words that ovs-ofctl knows', DUMMY, async (host) => {
  await bridge(host);
  const ofctl = (...args: string[]) => host.ofctl('-O', 'OpenFlow15', ...args);
  await ofctl('add-meter', 'br0', 'meter=5 pktps burst stats bands=type=drop rate=10 burst_size=3');
  assert.match(await ofctl('dump-meters', 'br0'), /meter=5 pktps burst stats bands=/);
  assert.match(await ofctl('meter-stats', 'br0'), /meter:5 flow_count:0/);
  await ofctl('mod-table', 'br0', '3', 'name:three');
  await ofctl('mod-table', 'br0', '3', 'evict');
  assert.match(await ofctl('dump-table-features', 'br0'), /table 3 \("three"\)/);
  assert.match(await ofctl('dump-table-desc', 'br0'), /table 3:\s+eviction=on/);
  assert.match(await ofctl('queue-stats', 'br0', '1'), /port 1 queue 0/);
  assert.match(await ofctl('queue-get-config', 'br0', '1'), /queue 0/);
});
