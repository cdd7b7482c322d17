import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame } from '../../datapath/conformance/frames.ts';
import { SwitchLab } from '../testing/lab.ts';

test('new connections of a zone live as long as its timeout policy says', async () => {
  const lab = new SwitchLab();
  await lab.start();
  try {
    const side = await lab.addBridge('br0', [{ name: 'p1', ofport: 1 }]);
    side.addFlow('table=0,ip,actions=ct(commit,zone=3),ct(commit,zone=4)');
    const timeouts = (): string => {
      lab.datapath?.connections.flush(null);
      lab.datapath?.dummyPort('p1').receive(frame());
      const list = [...(lab.datapath?.connections.list() ?? [])];
      return list
        .map(({ zone, timeout }) => `${zone}:${timeout}`)
        .sort()
        .join(' ');
    };
    assert.equal(timeouts(), '3:60 4:60');
    await lab.change((txn) => {
      const policy = txn.insert('CT_Timeout_Policy', { timeouts: new Map([['udp_first', 7]]) });
      const zone = txn.insert('CT_Zone', { timeout_policy: policy });
      const datapath = txn.insert('Datapath', { datapath_version: '', ct_zones: new Map([[3, zone]]) });
      const root = lab.client.replica.table('Open_vSwitch').only()?._uuid ?? '';
      txn.update('Open_vSwitch', root, { datapaths: new Map([['dummy', datapath]]) });
    });
    assert.equal(timeouts(), '3:7 4:60');
    const policy = [...lab.client.replica.table('CT_Timeout_Policy').rows()][0];
    await lab.change((txn) =>
      txn.update('CT_Timeout_Policy', policy._uuid, { timeouts: new Map([['udp_first', 9]]) }),
    );
    assert.equal(timeouts(), '3:9 4:60');
    const root = lab.client.replica.table('Open_vSwitch').only()?._uuid ?? '';
    await lab.change((txn) => txn.update('Open_vSwitch', root, { datapaths: new Map() }));
    assert.equal(timeouts(), '3:60 4:60');
  } finally {
    await lab.close();
  }
});
