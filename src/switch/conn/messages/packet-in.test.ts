import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMatch } from '../../../flow/match-format.ts';
import { parseMatch } from '../../../flow/match-parse.ts';
import { NO_BUFFER } from '../../../openflow/constants.ts';
import type { OfVersion } from '../../../openflow/version.ts';
import { OpenFlowWorld } from '../testing/openflow-world.ts';

const PACKET = Uint8Array.from({ length: 60 }, (_, i) => i * 2);

for (const version of [1, 5, 6] as OfVersion[]) {
  test(`OpenFlow version ${version}: a controller is told of the tunnel options that its packet has`, () => {
    const world = new OpenFlowWorld();
    world.addPort(1);
    const client = world.client(version);
    client.send<'tlv_table_mod'>({
      kind: 'tlv_table_mod',
      command: 'add',
      mappings: [
        { optionClass: 0xffff, optionType: 0, optionLen: 8, index: 2 },
        { optionClass: 0xffff, optionType: 1, optionLen: 4, index: 40 },
        { optionClass: 0xffff, optionType: 2, optionLen: 4, index: 41 },
      ],
    });
    client.send<'set_config'>({
      kind: 'set_config',
      config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
    });
    client.send<'set_packet_in_format'>({ kind: 'set_packet_in_format', format: 'nxt_packet_in2' });
    client.addFlow('tun_metadata40=0x11,actions=set_field:0x22->tun_metadata2,controller');
    assert.deepEqual(client.take(), []);
    const sender = world.client(6);
    sender.send<'packet_out'>({
      kind: 'packet_out',
      packet: PACKET,
      bufferId: NO_BUFFER,
      metadata: parseMatch('in_port=1,tun_metadata40=0x11'),
      actions: [{ type: 'resubmit', inPort: 1, table: 0, withCt: false }],
    });
    assert.deepEqual(sender.errors(), []);
    const { metadata } = client.one('packet_in');
    assert.equal(formatMatch(metadata), 'tun_metadata2=0x22,tun_metadata40=0x11,in_port=1');
    world.close();
  });
}
