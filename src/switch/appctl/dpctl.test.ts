import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import { createInProcessDatapath } from '../../datapath/userspace/in-process.ts';
import { SwitchLab } from '../testing/lab.ts';
import { dpctlDumpFlows } from './datapath.ts';
import { Dpctl } from './dpctl.ts';

let lab: SwitchLab;
let dpctl: Dpctl;
let file = '';
before(async () => {
  lab = new SwitchLab();
  await lab.start();
  await lab.addBridge('br0', [{ name: 'p1', ofport: 1 }]);
  dpctl = new Dpctl({
    vswitch: lab.vswitch,
    create: (type, name) =>
      type === 'dummy'
        ? createInProcessDatapath({
            clock: lab.clock,
            random: () => 0.5,
            log: nullLogger,
            type: `${type}@${name}`,
            name,
          })
        : null,
    readFile: () => file,
    now: () => lab.clock.now(),
    log: nullLogger.module('dpif'),
  });
});
after(() => lab.close());

const dump = (name: string): string => dpctlDumpFlows(lab.vswitch, dpctl, lab.clock.now(), [name]);

test('a datapath of its own takes ports and flows, and goes again', () => {
  dpctl.addDatapath('dummy@own', []);
  assert.throws(() => dpctl.addDatapath('dummy@own', []), /add_dp \(File exists\)/);
  assert.throws(() => dpctl.addDatapath('system@x', []), /Operation not supported/);
  assert.deepEqual(dpctl.names(), ['dummy@ovs-dummy', 'dummy@own']);
  dpctl.addInterfaces(['dummy@own', 'v1,type=dummy,port_no=5']);
  assert.throws(() => dpctl.addInterfaces(['dummy@own', 'v1,type=dummy']), /adding v1 to dummy@own failed/);
  assert.throws(() => dpctl.setInterfaces(['dummy@own', 'v1,type=system']), /from dummy to system/);
  assert.match(dpctl.show(['dummy@own']), /port 0: own \(dummy-internal\)\n {2}port 5: v1 \(dummy\)\n$/);
  dpctl.deleteInterfaces(['dummy@own', 'v1']);
  assert.throws(() => dpctl.deleteInterfaces(['dummy@own', 'v1']), /no port named v1/);

  const flow = 'in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x1234)';
  dpctl.changeFlow('add', ['dummy@own', flow, '2']);
  assert.throws(() => dpctl.changeFlow('add', ['dummy@own', flow, '3']), /File exists/);
  assert.match(dump('dummy@own'), /eth_type\(0x1234\), packets:0, bytes:0, used:never, actions:2\n$/);
  file = `modify ${flow} 3\n# nothing\nnonsense\nadd ${flow.replace('0x1234', '0x4321')} drop\n`;
  assert.throws(() => dpctl.changeFlows('add', ['dummy@own', 'f']), /line number 3, skipped/);
  assert.match(dump('dummy@own'), /0x1234\), .*actions:3\n.*0x4321\), .*actions:drop\n$/);
  dpctl.changeFlow('delete', ['dummy@own', flow]);
  assert.doesNotMatch(dump('dummy@own'), /0x1234/);
  assert.throws(
    () => dpctl.changeFlow('add', ['dummy@own', 'eth_type(0x0800),ipv4()', '1']),
    /Invalid argument/,
  );
  dpctl.deleteDatapath('dummy@own');
  assert.throws(() => dpctl.show(['dummy@own']), /opening datapath/);
});

test("a flow put into a bridge's datapath is what the tables say, once it is revalidated", async () => {
  lab.sides.get('br0')?.addFlow('priority=1,actions=IN_PORT');
  dpctl.changeFlow('add', ['in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x1234)', '100']);
  assert.match(dump('dummy@ovs-dummy'), /actions:100\n$/);
  for (const { slowPath } of lab.vswitch.backers()) await slowPath.settled();
  assert.match(dump('dummy@ovs-dummy'), /actions:1\n$/);

  // One that covers packets which the tables might tell apart can't stay.
  dpctl.changeFlow('add', ['in_port(1),eth(),eth_type(0x4321)', '100']);
  lab.sides.get('br0')?.addFlow('priority=2,dl_src=02:00:00:00:00:01,actions=drop');
  for (const { slowPath } of lab.vswitch.backers()) await slowPath.settled();
  assert.equal(dump('dummy@ovs-dummy'), '');
});
