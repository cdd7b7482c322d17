import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import { hex } from '../conformance/frames.ts';
import * as O from './action-ops.ts';
import { UPCALL_EXECUTE } from './layout.ts';
import { ActionRig, type Input } from './testing/action-rig.ts';
import { anyInput } from './testing/arbitraries.ts';

const skip = needsRoot;

/** Random packets with random actions: as many as take some seconds; more with WEFT_FUZZ_RUNS. */
const RUNS = Number(process.env.WEFT_FUZZ_RUNS ?? 3000);

/** Operations of a program. */
function codesOf(bytes: Uint8Array): number[] {
  const codes: number[] = [];
  for (let at = 0; at < bytes.length; at += O.UNIT_SIZE * O.unitsOf(bytes[at])) codes.push(bytes[at]);
  return codes;
}

const describe = (input: Input): string =>
  `${hex(input.packet)} ${JSON.stringify(input.offload)} ${JSON.stringify(input.actions)}`;

test('programs do to packets what the userspace datapath does, to the byte', { skip }, () => {
  using rig = new ActionRig();
  const seen = new Set<number>();
  const reasons = new Map<string, number>();
  let ran = 0;
  let handedOver = 0;
  let tooDeep = 0;
  fc.assert(
    fc.property(anyInput, (input) => {
      const encoded = rig.encode(input.actions);
      if (encoded.kind === 'up') reasons.set(encoded.why, (reasons.get(encoded.why) ?? 0) + 1);
      const got = rig.run(input, encoded);
      if (got === undefined || encoded.kind !== 'program') return;
      ran++;
      for (const code of codesOf(encoded.bytes)) seen.add(code);
      if (got.upcalls[0]?.startsWith(`kind ${UPCALL_EXECUTE} `)) {
        handedOver++;
        assert.deepEqual(got.sent.flat(), [], 'what JavaScript shall do was done here');
        assert.ok(got.upcalls[0].includes(hex(input.packet).slice(0, 24)));
        return;
      }
      const expected = rig.reference(input);
      if (got.drops['nesting-depth'] !== undefined && expected.drops['nesting-depth'] === undefined) {
        // Copies of copies of copies: here are fewer allowed.
        tooDeep++;
        return;
      }
      assert.deepEqual(got, expected, describe(input));
    }),
    { numRuns: RUNS },
  );
  if (process.env.WEFT_FUZZ_RUNS !== undefined) console.log({ ran, handedOver, tooDeep, reasons });
  assert.ok(tooDeep < RUNS / 20);
  assert.ok(ran > RUNS / 2, `${ran} of ${RUNS} were programs that ran`);
  assert.deepEqual(
    Array.from({ length: O.OP_COUNT }, (_, code) => code).filter(
      (code) => !seen.has(code) && code !== O.OP_END,
    ),
    [],
    'operations that no program had',
  );
});
