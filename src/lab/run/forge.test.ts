import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { dissectPacket } from '../../wire/index.ts';
import { loadLabFile } from '../file/load.ts';
import { planLab } from '../file/resolve.ts';
import { markBytes } from '../guest/marks.ts';
import { forgedFrames } from './forge.ts';

const FILE = join(import.meta.dirname, '../../../examples/labs/reference.yaml');

test('every forged frame has the mark, and they try every way into the other tenant', async () => {
  const plan = planLab(await loadLabFile(FILE), { uuid: () => 'x' });
  const mark = markBytes({ nonce: 0x1234, sender: 3 });
  const frames = forgedFrames(plan, plan.machines[0], mark);
  for (const frame of frames)
    assert.ok(Buffer.from(frame).includes(mark), Buffer.from(frame).toString('hex'));
  const layers = frames.flatMap((frame) => dissectPacket(frame).layers);
  const seen = new Set(layers.map(({ layer }) => layer));
  for (const layer of ['arp', 'ipv4', 'ipv6', 'vlan'] as const) assert.ok(seen.has(layer), layer);
  const ports = new Set(layers.flatMap((layer) => (layer.layer === 'udp' ? [layer.dstPort] : [])));
  for (const port of [53, 6081, 4789]) assert.ok(ports.has(port), String(port));
});

test('a lab of one tenant has nobody to forge for', async () => {
  const plan = planLab(await loadLabFile(join(FILE, '../two-hosts.yaml')), { uuid: () => 'x' });
  assert.deepEqual(forgedFrames(plan, plan.machines[0], markBytes({ nonce: 1, sender: 1 })), []);
});
