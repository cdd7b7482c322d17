import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { trace } from '../appctl/trace.ts';
import { SwitchLab } from '../testing/lab.ts';

let lab: SwitchLab;
before(async () => {
  lab = new SwitchLab();
  await lab.start();
});
after(() => lab.close());

test('a bridge of the database comes up with its ports, and tells so', async () => {
  await lab.addBridge('br0', [
    { name: 'p1', ofport: 1 },
    { name: 'p7', ofport: 7 },
    { name: 'p2', tag: 10 },
  ]);
  const numbers = lab.vswitch
    .bridge('br0')
    ?.ofproto.ports()
    .map((p) => [p.name, p.ofPort]);
  assert.deepEqual(numbers, [
    ['p1', 1],
    ['p2', 2],
    ['p7', 7],
    ['br0', 0xfffffffe],
  ]);
  assert.equal(lab.interfaceRow('p2')?.ofport, 2);
  assert.equal(lab.interfaceRow('p7')?.error, null);
  assert.equal(lab.vswitch.bridge('br0')?.ofproto.bundle('p2')?.settings.vlanMode, 'access');
});

test('a patch port without its peer waits for it', async () => {
  await lab.addPort('br0', { name: 'near', type: 'patch', options: { peer: 'far' } });
  const near = () => lab.vswitch.bridge('br0')?.ofproto.portByName('near');
  assert.equal(near()?.peer, null);
  await lab.addBridge('br1', [{ name: 'far', type: 'patch', options: { peer: 'near' } }]);
  assert.equal(near()?.peer?.ofproto.name, 'br1');
  await lab.deletePort('br1', 'far');
  assert.equal(near()?.peer, null);
});

test('what can not be is told as an error of the interface, and the rest goes on', async () => {
  await lab.addPort('br0', { name: 'loner', type: 'patch' });
  assert.match(lab.interfaceRow('loner')?.error ?? '', /could not set configuration .*peer/);
  assert.equal(lab.interfaceRow('loner')?.ofport, -1);
  await lab.addPort('br0', { name: 'p3' });
  assert.equal(typeof lab.interfaceRow('p3')?.ofport, 'number');
});

test('a port that vanished from the datapath comes back with the next change', async () => {
  const port = lab.vswitch.bridge('br0')?.ofproto.portByName('p1');
  assert.ok(port !== undefined && port.dpPort !== null && lab.datapath !== null);
  lab.vswitch.deletePort(port);
  assert.equal(lab.vswitch.bridge('br0')?.ofproto.portByName('p1'), undefined);
  await lab.addPort('br0', { name: 'p4' });
  assert.equal(lab.vswitch.bridge('br0')?.ofproto.portByName('p1')?.ofPort, 1);
});

test('ports get the numbers that are asked for, also where they swap them', async () => {
  const row = (name: string) => lab.interfaceRow(name)?._uuid ?? '';
  const ask = (p1: number, p7: number | null) =>
    lab.change((txn) => {
      txn.update('Interface', row('p1'), { ofport_request: p1 });
      txn.update('Interface', row('p7'), { ofport_request: p7 });
    });
  const numbers = () => [lab.interfaceRow('p1')?.ofport, lab.interfaceRow('p7')?.ofport];
  await ask(7, 1);
  assert.deepEqual(numbers(), [7, 1]);
  await ask(1, 1);
  assert.deepEqual(numbers(), [7, 1], 'who holds a number keeps it');
  await ask(1, null);
  assert.equal(numbers()[0], 1, 'who asks for a number comes before who only has it');
  assert.notEqual(numbers()[1], 1);
  await ask(1, 7);
  assert.deepEqual(numbers(), [1, 7]);
});

test('a trace tells each table, and a real packet leaves its marks', () => {
  const side = lab.sides.get('br0');
  side?.addFlow('table=0,priority=9,tcp,actions=set_field:7->reg0,resubmit(,1)');
  side?.addFlow('table=0,priority=1,actions=NORMAL');
  side?.addFlow('table=1,priority=5,reg0=7,actions=dec_ttl,output:7');
  const tcp = 'in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_ttl=64';
  const text = trace(lab.vswitch, ['br0', tcp]);
  assert.match(
    text,
    /^ 0\. tcp, priority 9\n {4}set_field:0x7->reg0\n {4}resubmit\(,1\)\n 1\. reg0=0x7, priority 5\n/m,
  );
  assert.match(text, /\nMegaflow: recirc_id=0,eth,tcp,in_port=1,nw_ttl=64,nw_frag=no\n/);
  assert.match(text, /Datapath actions: set\(ipv4\(ttl=63\)\),7\n$/);

  const other = 'in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234';
  const macs = lab.vswitch.bridge('br0')?.ofproto.macs;
  trace(lab.vswitch, ['br0', other]);
  assert.equal(macs?.size, 0, 'no packet, no effect');
  assert.match(
    trace(lab.vswitch, ['br0', other, '-generate']),
    /learned that 02:00:00:00:00:01 is on port p1/,
  );
  assert.equal(macs?.size, 1);
});

test('a trace goes on with what conntrack brings back', () => {
  const side = lab.sides.get('br0');
  side?.addFlow('table=0,priority=20,udp,actions=ct(table=3)');
  side?.addFlow('table=3,priority=5,ct_state=+trk+new,actions=output:7');
  side?.addFlow('table=3,priority=5,ct_state=+trk+est,actions=output:2');
  const udp = 'in_port=1,dl_src=02:00:00:00:00:01,udp,nw_ttl=64';
  assert.match(
    trace(lab.vswitch, ['br0', udp]),
    /recirc\(0x\w+\) - resume conntrack with default[\s\S]*actions: 7\n$/,
  );
  assert.match(
    trace(lab.vswitch, ['br0', udp, '--ct-next', 'trk,est']),
    /ct_state=est\|trk\n[\s\S]*actions: 2\n$/,
  );
  assert.throws(() => trace(lab.vswitch, ['br0', udp, '--ct-next', 'new']), /"trk" is unset/);
});

test('wrong arguments of a trace are told', () => {
  assert.throws(() => trace(lab.vswitch, ['nowhere', 'ip']), /nowhere: unknown bridge/);
  assert.throws(() => trace(lab.vswitch, ['br0', 'nonsense=1']), /Bad openflow flow syntax/);
  assert.throws(() => trace(lab.vswitch, ['br0', 'ip', '--l7']), /Missing argument/);
  assert.throws(() => trace(lab.vswitch, ['in_port(99),eth()']), /no OpenFlow port for datapath port 99/);
});

test('a bridge that the database drops is gone, with its ports', async () => {
  const row = lab.client.replica.table('Bridge').find((b) => b.name === 'br0');
  const root = lab.client.replica.table('Open_vSwitch').only()?._uuid ?? '';
  await lab.change((txn) => txn.mutate('Open_vSwitch', root, 'bridges', 'delete', [row?._uuid ?? '']));
  assert.equal(lab.vswitch.bridge('br0'), undefined);
  assert.deepEqual(
    lab.datapath?.ports().map((p) => p.name),
    ['ovs-dummy', 'br1'],
  );
});
