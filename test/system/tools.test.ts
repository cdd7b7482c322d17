/** The stock tools against our daemons, on the dummy datapath: what is configured, shown, traced and dumped. */
import assert from 'node:assert/strict';
import { onHost, type SwitchHost, until } from './host.ts';

const DUMMY = { options: ['--enable-dummy', '--disable-system'] };
const VERSIONS = [10, 11, 12, 13, 14, 15] as const;

async function dummyBridge(host: SwitchHost, ports: number): Promise<void> {
  const adding = Array.from({ length: ports }, (_, i) => {
    const name = `p${i + 1}`;
    return [
      '--',
      'add-port',
      'br0',
      name,
      '--',
      'set',
      'interface',
      name,
      'type=dummy',
      `ofport_request=${i + 1}`,
    ];
  });
  await host.vsctl(
    ...['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy', 'fail-mode=secure'],
    'protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15',
    ...adding.flat(),
  );
}

onHost('ovs-vsctl: what it sets the switch does, and tells', DUMMY, async (host) => {
  await dummyBridge(host, 2);
  assert.equal((await host.vsctl('list-ports', 'br0')).trim(), 'p1\np2');
  assert.equal(await host.get('Interface', 'p2', 'ofport'), '2');
  assert.equal(await host.get('Interface', 'p2', 'admin_state'), 'up');
  assert.match(await host.get('Bridge', 'br0', 'datapath_id'), /^"[0-9a-f]{16}"$/);
  assert.match(await host.get('Open_vSwitch', '.', 'ovs_version'), /^"\d+\.\d+\.\d+"$/);
  assert.match(await host.get('Open_vSwitch', '.', 'datapath_types'), /dummy/);
  assert.equal(
    await host.get('Open_vSwitch', '.', 'cur_cfg'),
    await host.get('Open_vSwitch', '.', 'next_cfg'),
  );

  const wrong = await host.run('ovs-vsctl', '--timeout=20', 'set', 'port', 'p1', 'tag=4096');
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /constraint violation|out of range/);
  assert.equal(await host.get('Port', 'p1', 'tag'), '[]');

  await host.vsctl(
    'del-port',
    'p2',
    '--',
    'add-br',
    'br1',
    '--',
    'set',
    'bridge',
    'br1',
    'datapath_type=dummy',
  );
  assert.equal((await host.vsctl('list-br')).trim(), 'br0\nbr1');
  assert.equal((await host.appctl('ofproto/list')).trim(), 'br0\nbr1');
  await host.vsctl('del-br', 'br0');
  assert.equal((await host.appctl('ofproto/list')).trim(), 'br1');

  const unknown = await host.run(
    ...([
      'ovs-vsctl',
      '--timeout=20',
      'add-br',
      'br2',
      '--',
      'set',
      'bridge',
      'br2',
      'datapath_type=none',
    ] as const),
  );
  assert.match(unknown.stderr + host.log('ovs-vswitchd'), /datapath type none is not known/);
});

onHost('ovs-ofctl speaks every version to the switch', DUMMY, async (host) => {
  await dummyBridge(host, 3);
  for (const version of VERSIONS) {
    const ofctl = (...args: string[]) => host.ofctl('-O', `OpenFlow${version}`, ...args);
    assert.match(await ofctl('show', 'br0'), / 3\(p3\): addr:/, `version ${version}`);
    await ofctl('add-flow', 'br0', `priority=${version},in_port=1,ip,nw_dst=10.0.0.0/8,actions=output:2`);
    await ofctl('add-flow', 'br0', `priority=${version},in_port=2,actions=drop`);
    const flows = await ofctl('dump-flows', 'br0');
    assert.match(
      flows,
      new RegExp(`priority=${version},ip,in_port=1,nw_dst=10\\.0\\.0\\.0/8 actions=output:2`),
    );
    await ofctl('mod-flows', 'br0', 'in_port=2,actions=output:3');
    assert.match(await ofctl('dump-flows', 'br0', 'in_port=2'), /actions=output:3/);
    assert.match(await ofctl('dump-aggregate', 'br0'), /flow_count=2/);
    assert.match(await ofctl('dump-ports', 'br0'), /port +1: rx pkts=0/);
    await ofctl('--strict', 'del-flows', 'br0', `priority=${version},in_port=2`);
    assert.match(await ofctl('dump-aggregate', 'br0'), /flow_count=1/);
    await ofctl('del-flows', 'br0');
    assert.match(await ofctl('dump-aggregate', 'br0'), /flow_count=0/);
  }
  // A hundred flows in one file, in one bundle: all or nothing.
  const file = Array.from({ length: 100 }, (_, i) => `table=1,priority=${i},actions=output:2`).join('\n');
  await host.must('sh', '-c', `printf '${file.replaceAll('\n', '\\n')}\\n' > ${host.path('flows')}`);
  await host.ofctl('--bundle', 'add-flows', 'br0', host.path('flows'));
  assert.match(await host.ofctl('dump-aggregate', 'br0'), /flow_count=100/);
});

onHost('a flow that is refused names the reason, and changes nothing', DUMMY, async (host) => {
  await dummyBridge(host, 1);
  await host.vsctl('set', 'bridge', 'br0', 'protocols=OpenFlow13');
  const old = await host.run('ovs-ofctl', '--timeout=20', '-O', 'OpenFlow10', 'dump-flows', 'br0');
  assert.equal(old.status, 1);
  assert.match(old.stderr, /version negotiation failed/);
  const flow = 'table=3,actions=goto_table:2';
  const back = await host.run('ovs-ofctl', '--timeout=20', '-O', 'OpenFlow13', 'add-flow', 'br0', flow);
  assert.notEqual(back.status, 0);
  assert.match(await host.ofctl('-O', 'OpenFlow13', 'dump-aggregate', 'br0'), /flow_count=0/);
});

onHost('packets walk the tables, and ofproto/trace says how', DUMMY, async (host) => {
  await dummyBridge(host, 3);
  await host.must(
    'sh',
    '-c',
    `cat > ${host.path('flows')} <<'X'
table=0,priority=10,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG1[],set_field:7->reg2,resubmit(,1)
table=0,priority=1,arp,actions=NORMAL
table=1,reg1=0x0a000001,reg2=7,actions=dec_ttl,mod_vlan_vid:5,output:2,strip_vlan,output:3
table=1,priority=0,actions=drop
X`,
  );
  await host.ofctl('add-flows', 'br0', host.path('flows'));
  const udp =
    'in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64';
  const trace = await host.appctl('ofproto/trace', 'br0', udp);
  assert.match(trace, /^Final flow: .*reg1=0xa000001,reg2=0x7/m);
  assert.match(trace, /^Megaflow: .*nw_src=10\.0\.0\.1/m);
  assert.match(trace, /^Datapath actions: set\(ipv4\(ttl=63\)\),push_vlan\(vid=5,pcp=0\),2,pop_vlan,3$/m);
  const other = await host.appctl('ofproto/trace', 'br0', udp.replace('nw_src=10.0.0.1', 'nw_src=10.0.0.3'));
  assert.match(other, /^Datapath actions: drop$/m);

  const packet =
    'in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),' +
    'ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)';
  for (let i = 0; i < 5; i++) await host.appctl('netdev-dummy/receive', 'p1', packet);
  const flow = await until('the megaflow carried packets', async () => {
    const dump = await host.appctl('dpif/dump-flows', 'br0');
    return dump.split('\n').find((line) => /packets:4/.test(line));
  });
  assert.match(flow, /actions:set\(ipv4\(ttl=63\)\),push_vlan\(vid=5,pcp=0\),2,pop_vlan,3/);
  await host.appctl('revalidator/purge');
  assert.match(await host.ofctl('dump-flows', 'br0', 'table=1,reg2=7'), /n_packets=5, n_bytes=/);
  assert.match(await host.ofctl('dump-ports', 'br0', '3'), /tx pkts=5/);
});

onHost('ovs-appctl: every command that is promised is there', DUMMY, async (host) => {
  await dummyBridge(host, 2);
  const list = await host.appctl('list-commands');
  const promised = `version exit vlog/list vlog/set fdb/show fdb/flush ofproto/list ofproto/trace dpif/show
    dpif/dump-flows dpctl/dump-flows dpctl/show coverage/show memory/show upcall/show revalidator/wait
    revalidator/purge bridge/dump-flows time/stop time/warp netdev-dummy/receive`;
  for (const name of promised.trim().split(/\s+/)) assert.match(list, new RegExp(`^  ${name}\\b`, 'm'), name);
  assert.match(await host.appctl('version'), /^ovs-vswitchd \(Open vSwitch\)/);
  assert.match(await host.appctl('dpif/show'), /p2 2\//);
  assert.match(await host.appctl('dpctl/show'), /port 2: p2/);
  assert.match(await host.appctl('upcall/show'), /flows +: \(current 0\)/);
  await host.appctl('vlog/set', 'bridge:file:dbg');
  assert.match(await host.appctl('vlog/list'), /^bridge +OFF|^bridge .*DBG/m);
  const wrong = await host.run('ovs-appctl', 'fdb/show', 'nowhere');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /no such bridge/);
});

onHost('ovsdb-client and ovsdb-tool: the database by itself', DUMMY, async (host) => {
  await dummyBridge(host, 1);
  const socket = `unix:${host.path('db.sock')}`;
  const client = (...args: string[]) => host.must('ovsdb-client', '--timeout=20', ...args);
  assert.equal((await client('list-dbs', socket)).trim(), 'Open_vSwitch\n_Server');
  assert.match(await client('get-schema-version', socket, 'Open_vSwitch'), /^\d+\.\d+\.\d+$/m);
  assert.match(await client('dump', socket, 'Open_vSwitch', 'Port', 'name'), /br0\n\s*p1/);
  const transaction = JSON.stringify([
    'Open_vSwitch',
    { op: 'select', table: 'Bridge', where: [['name', '==', 'br0']], columns: ['name'] },
    { op: 'comment', comment: 'weft was here' },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [],
      mutations: [['external_ids', 'insert', ['map', [['a', 'b']]]]],
    },
  ]);
  assert.match(
    await client('transact', socket, transaction),
    /\[\{"rows":\[\{"name":"br0"\}\]\},\{\},\{"count":1\}\]/,
  );

  const watcher = host.network.start(
    host.ns,
    'ovsdb-client',
    ['monitor', socket, 'Open_vSwitch', 'Bridge', 'name,external_ids'],
    host.env,
  );
  let seen = '';
  watcher.stdout?.on('data', (text: Buffer) => {
    seen += text.toString();
  });
  await until('the monitor shows the row', () => seen.includes('initial'));
  await host.vsctl('br-set-external-id', 'br0', 'c', 'd');
  await until('the monitor shows the change', () => seen.includes('c=d') || seen.includes('{a=b, c=d}'));
  watcher.kill('SIGKILL');

  assert.match(await host.must('ovsdb-tool', 'show-log', host.path('conf.db')), /"weft was here"/);
  assert.match(await host.must('ovsdb-tool', 'db-name', host.path('conf.db')), /Open_vSwitch/);
  await host.appctl('-t', 'ovsdb-server', 'ovsdb-server/compact');
  await host.must('ovsdb-tool', 'compact', host.path('conf.db'), host.path('copy.db'));
  await client('backup', socket).then((text) => assert.match(text, /^OVSDB JSON/));
});
