/** What happens to packets that wait in a ring while the flows that sent them there change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import { frame, keyOf, masked, maskOf } from '../conformance/frames.ts';
import { collectUpcalls } from '../conformance/harness.ts';
import { kernelHarness, kernelMissing } from '../conformance/kernel-harness.ts';
import type { DpAction } from '../types.ts';

test('a packet that comes up for actions gets those of no other megaflow in the same place', {
  skip: kernelMissing,
}, async () => {
  const h = await kernelHarness();
  try {
    const { datapath } = h;
    const [a, b, c] = [h.addPort(), h.addPort(), h.addPort()];
    const mask = maskOf(W_IN_PORT, W_RECIRC_ID);
    const put = (port: number, actions: readonly DpAction[]): number =>
      datapath.flowPut({ key: masked(keyOf(port, frame(), 0), mask), mask, actions });
    const id = put(a, [
      { type: 'push_mpls', ethertype: 0x8847, lse: 0x100 },
      { type: 'output', port: b },
    ]);
    const seen = collectUpcalls(datapath);
    const flush = datapath.flush.bind(datapath);
    let flushes = 0;
    datapath.flush = () => {
      // The frame is in the ring.
      if (++flushes === 2) {
        datapath.flowDelete(id);
        assert.equal(put(b, [{ type: 'output', port: c }]), id);
      }
      return flush();
    };
    // Of three tags the programs leave what is to be done to this process.
    h.send(a, frame({ tags: [0x8100, 0x8100, 0x8100].map((type) => [type, 5] as const) }));
    await h.settle();
    assert.deepEqual(h.take(c), []);
    assert.deepEqual(
      seen.map(({ kind, flow }) => [kind, flow[W_IN_PORT]]),
      [['miss', a]],
    );
  } finally {
    await h.close();
  }
});
