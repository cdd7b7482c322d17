import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SwitchLab } from '../testing/lab.ts';
import { tunnelLine } from '../tunnel/ports.ts';

async function withLab(run: (lab: SwitchLab) => Promise<void>): Promise<void> {
  const lab = new SwitchLab();
  try {
    await lab.start();
    await run(lab);
  } finally {
    await lab.close();
  }
}

/** Gives interfaces other options, all in one transaction. */
async function retune(lab: SwitchLab, wanted: Record<string, Record<string, string>>): Promise<void> {
  await lab.change((txn) => {
    for (const [name, options] of Object.entries(wanted)) {
      txn.update('Interface', lab.interfaceRow(name)?._uuid ?? '', {
        options: new Map(Object.entries(options)),
      });
    }
  });
}

const lines = (lab: SwitchLab): string[] => {
  const backer = [...lab.vswitch.backers()][0];
  return backer.slowPath.tunnels.list().map((port) => tunnelLine(port).trim());
};

test('tunnels share datapath ports, and are counted by themselves', async () => {
  await withLab(async (lab) => {
    await lab.addBridge('br0', [
      { name: 't1', type: 'vxlan', ofport: 11, options: { remote_ip: '1.1.1.1', key: '1' } },
      { name: 't2', type: 'vxlan', ofport: 12, options: { remote_ip: '1.1.1.1', key: '2' } },
      { name: 't3', type: 'gre', ofport: 13, options: { remote_ip: '1.1.1.1' } },
    ]);
    assert.deepEqual(
      lab.datapath
        ?.ports()
        .map((port) => port.name)
        .filter((name) => name.includes('sys'))
        .sort(),
      ['gre_sys', 'vxlan_sys_4789'],
    );
    assert.deepEqual([lab.interfaceRow('t1')?.ofport, lab.interfaceRow('t2')?.ofport], [11, 12]);
    await lab.deletePort('br0', 't1');
    assert.equal(lines(lab).length, 2);
    await lab.deletePort('br0', 't2');
    assert.deepEqual(
      lab.datapath
        ?.ports()
        .map((port) => port.name)
        .filter((name) => name.includes('sys')),
      ['gre_sys'],
    );
  });
});

test('other options leave the port where it is', async () => {
  await withLab(async (lab) => {
    const side = await lab.addBridge('br0', [
      { name: 't1', type: 'vxlan', ofport: 11, options: { remote_ip: '1.1.1.1', key: '1' } },
      { name: 't2', type: 'vxlan', ofport: 12, options: { remote_ip: '2.2.2.2', key: '1' } },
    ]);
    const before = side.events.length;
    // They change places, and one moves to another UDP port.
    await retune(lab, {
      t1: { remote_ip: '2.2.2.2', key: '1' },
      t2: { remote_ip: '1.1.1.1', key: '1', dst_port: '8472' },
    });
    assert.deepEqual(
      side.events.slice(before).filter((event) => !event.startsWith('modify')),
      [],
    );
    assert.deepEqual(lines(lab).sort(), [
      'port 4789: t1 (vxlan: ::->2.2.2.2, key=0x1, legacy_l2, dp port=4789, ttl=64)',
      'port 8472: t2 (vxlan: ::->1.1.1.1, key=0x1, legacy_l2, dp port=8472, ttl=64)',
    ]);
    await retune(lab, { t1: { remote_ip: '2.2.2.2', exts: 'gbp' } });
    assert.equal(lab.interfaceRow('t1')?.error, null);
  });
});

test('options that cannot be had say why, until they are mended', async () => {
  await withLab(async (lab) => {
    await lab.addBridge('br0', [
      { name: 't1', type: 'geneve', ofport: 11, options: { remote_ip: '1.1.1.1' } },
      { name: 't2', type: 'geneve', ofport: 12, options: { remote_ip: '2.2.2.2' } },
      { name: 't3', type: 'gre', ofport: 13 },
    ]);
    assert.equal(lab.interfaceRow('t3')?.error, "t3: gre type requires valid 'remote_ip' argument");
    assert.equal(lab.interfaceRow('t3')?.ofport, -1);
    await retune(lab, { t2: { remote_ip: '1.1.1.1' } });
    assert.match(
      lab.interfaceRow('t2')?.error ?? '',
      /could not add network device t2 to ofproto \(File exists\)/,
    );
    await retune(lab, { t2: { remote_ip: '224.0.0.1' }, t3: { remote_ip: '3.3.3.3' } });
    assert.equal(lab.interfaceRow('t2')?.error, 't2: multicast remote_ip=224.0.0.1 not allowed');
    assert.deepEqual([lab.interfaceRow('t3')?.error, lab.interfaceRow('t3')?.ofport], [null, 13]);
    await retune(lab, { t2: { remote_ip: 'fd00::1' } });
    assert.deepEqual([lab.interfaceRow('t2')?.error, lab.interfaceRow('t2')?.ofport], [null, 12]);
    assert.equal(lines(lab).length, 3);
  });
});
