import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BfdSettings, readBfdSettings } from './settings.ts';

function read(column: Record<string, string>): { settings: BfdSettings | null; warnings: string[] } {
  const warnings: string[] = [];
  const settings = readBfdSettings(new Map(Object.entries(column)), (text) => warnings.push(text));
  return { settings, warnings };
}

test('no session is wanted but by enable=true', () => {
  for (const column of [{}, { enable: 'false' }, { enable: '1' }, { min_tx: '100' }]) {
    assert.equal(read(column as Record<string, string>).settings, null);
  }
  assert.deepEqual(read({ enable: 'TRUE' }), {
    settings: {
      minTx: 100,
      minRx: 1000,
      decayMinRx: 0,
      forwardingIfRx: false,
      cpathDown: false,
      checkTunnelKey: false,
      oam: false,
      mult: 3,
      localSrcMac: null,
      localDstMac: null,
      remoteDstMac: null,
      srcIp: 0xa9fe0101,
      dstIp: 0xa9fe0100,
    },
    warnings: [],
  });
});

test('what is out of range counts as the nearest that is in it, or as not given', () => {
  const rows: [column: Record<string, string>, key: keyof BfdSettings, value: unknown][] = [
    [{ min_tx: '0' }, 'minTx', 1],
    [{ min_tx: '-5' }, 'minTx', 1],
    [{ min_tx: 'soon' }, 'minTx', 100],
    [{ min_rx: '99999999999' }, 'minRx', 4294967],
    [{ mult: '0' }, 'mult', 3],
    [{ mult: '255' }, 'mult', 255],
    [{ mult: '256' }, 'mult', 3],
    [{ min_rx: '500', decay_min_rx: '500' }, 'decayMinRx', 500],
    [{ bfd_local_dst_mac: '01:80:c2:00:00:0e' }, 'localDstMac', Uint8Array.of(1, 0x80, 0xc2, 0, 0, 0x0e)],
    [{ bfd_remote_dst_mac: '00:00:00:00:00:00' }, 'remoteDstMac', null],
    [{ bfd_local_src_mac: 'here' }, 'localSrcMac', null],
    [{ bfd_dst_ip: '10.0.0.2' }, 'dstIp', 0x0a000002],
  ];
  for (const [column, key, value] of rows) {
    const { settings, warnings } = read({ enable: 'true', ...column });
    assert.deepEqual(settings?.[key], value, JSON.stringify(column));
    assert.deepEqual(warnings, []);
  }
});

test('what an operator will wonder about is told', () => {
  const slow = read({ enable: 'true', min_rx: '1000', decay_min_rx: '999' });
  assert.equal(slow.settings?.decayMinRx, 0);
  assert.deepEqual(slow.warnings, ['decay_min_rx cannot be less than 1000 ms']);
  const lost = read({ enable: 'true', bfd_src_ip: '10.0.0' });
  assert.equal(lost.settings?.srcIp, 0xa9fe0101);
  assert.deepEqual(lost.warnings, ['"10.0.0" in bfd:bfd_src_ip is not a valid IP address']);
});
