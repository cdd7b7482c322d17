import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readTrace } from './trace-text.ts';

/** As Open vSwitch 3.1 prints it, shortened. */
const TEXT = `Flow: tcp,in_port=1,nw_src=10.0.0.1

bridge("br-int")
----------------
 0. in_port=1, priority 100, cookie 0x7765667400000000
    set_field:0x5->reg14
    resubmit(,8)
 8. ip,metadata=0x1, priority 50, cookie 0x7765667400000001
    ct(table=9,zone=NXM_NX_REG13[0..15])
    drop
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 9.

Final flow: tcp,reg13=0x1
Megaflow: recirc_id=0,eth,ip
Datapath actions: ct(zone=1),recirc(0x1)

===============================================================================
recirc(0x1) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
===============================================================================

Flow: recirc_id=0x1,ct_state=new|trk

bridge("br-int")
----------------
    thaw
        Resuming from table 9
 9. priority 0, cookie 0x7765667400000000
    resubmit(,64)
64. reg15=0x1,metadata=0x1, priority 100
    group:1
    bucket 0
            set_field:0x6->reg15
            resubmit(,65)
        65. reg15=0x6, priority 100
            output:1
             >> skipping output to input port
    bucket 1
            set_field:0x1->tun_id
            output:2
             -> output to native tunnel
66. No match.
    drop

Final flow: unchanged
`;

test('the flows of a trace are read in order, with what they did and where the packet left', () => {
  const steps = readTrace(TEXT);
  assert.deepEqual(
    steps.map((s) => [s.table, s.priority, s.match, s.cookie]),
    [
      [0, 100, 'in_port=1', 0x7765667400000000n],
      [8, 50, 'ip,metadata=0x1', 0x7765667400000001n],
      [9, 0, '', 0x7765667400000000n],
      [64, 100, 'reg15=0x1,metadata=0x1', undefined],
      [65, 100, 'reg15=0x6', undefined],
      [66, 0, '', undefined],
    ],
  );
  assert.equal(steps[1].actions, 'ct(table=9,zone=NXM_NX_REG13[0..15]),drop');
  assert.deepEqual(
    steps.flatMap((s) => s.outputs),
    [{ ofport: 2, tunnelKey: 1 }],
  );
});

test('any text is read without an error', () => {
  const line = fc.oneof(fc.string(), fc.constantFrom(...TEXT.split('\n')));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      for (const step of readTrace(lines.join('\n')))
        assert.ok(Number.isSafeInteger(step.table) || step.table > 0);
    }),
  );
});
