import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLabYaml } from '../file/load.ts';
import { probeText } from '../file/plan.ts';
import { planLab } from '../file/resolve.ts';
import { matrixText, moveText, wrongText } from './report.ts';
import { type Finding, heldRound, type RoundResult } from './round.ts';

const PLAN = planLab(
  parseLabYaml(
    'lab.yaml',
    `
hosts: { host1: {} }
tenants: { red: { switches: { lan: {} } }, blue: { switches: { lan: {} } } }
vms:
  vm1: { host: host1, port: red/lan/vm1, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24] }
  vm2: { host: host1, port: red/lan/vm2, mac: 02:00:00:00:00:02, addresses: [10.0.0.2/24] }
  vm3: { host: host1, port: blue/lan/vm1, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24] }
expect: [{ within: tenant, can: [ping, tcp/80] }, { from: vm2, cannot: [tcp/80] }]
`,
  ),
  { uuid: () => 'x' },
);

/** All as expected, but for what `other` says of the findings by their number. */
function round(other: Readonly<Record<number, Partial<Finding>>> = {}): RoundResult {
  const findings = PLAN.pairs
    .filter(({ from, to }) => from.addresses[0].address !== to.addresses[0].address)
    .flatMap((pair) =>
      PLAN.probes.map((probe): Finding => {
        const text = probeText(probe);
        const expected = pair.can.has(text);
        const { address } = pair.to.addresses[0];
        return { pair, probe: text, address, expected, reached: expected, ms: undefined, other: undefined };
      }),
    )
    .map((finding, i) => ({ ...finding, ...other[i] }));
  return { findings, strays: [], frames: 9, forged: 0, seconds: 1 };
}

test('the matrix shows with what each reaches each', () => {
  const result = round();
  assert.ok(heldRound(result));
  assert.equal(
    matrixText(PLAN, result),
    [
      '  from \\ to  vm1  vm2  vm3',
      '  vm1             p1   =',
      '  vm2        p.        ..',
      '  vm3        =    ..',
      '  p ping, 1 tcp/80; . refused, as it should be; ! not as expected; = the very same addresses',
      '',
    ].join('\n'),
  );
  assert.equal(wrongText(result), '');
});

test('what is not as expected is marked, and told in words', () => {
  const [vm1, , vm3] = PLAN.machines;
  const result: RoundResult = {
    ...round({ 0: { reached: false }, 5: { reached: true, other: 'vm1' } }),
    strays: [{ from: vm1, at: vm3, frames: 2, first: '0011' }],
  };
  assert.ok(!heldRound(result));
  assert.match(matrixText(PLAN, result), /vm1 {13}!1 /);
  assert.match(matrixText(PLAN, result), /vm2 {8}p\. {8}\.!/);
  assert.equal(
    wrongText(result),
    '  wrong: vm1 does not reach vm2 by ping at 10.0.0.2\n' +
      '  wrong: vm2 reaches vm3 by tcp/80 at 10.0.0.1; vm1 answered\n' +
      '  wrong: 2 frames of vm1 turned up at vm3, such as 0011\n',
  );
});

test('a move tells what was lost', () => {
  const [vm, peer] = PLAN.machines;
  const text = moveText({
    move: { vm, peer, to: 'host2', tcp: 80 },
    from: 'host1',
    switchMs: 20,
    series: { sent: 3000, lost: 12, duplicates: 0, gapMs: 12, medianMs: 0.2 },
    talk: { peer: 'vm1', sent: 9, received: 9, gapMs: 30, reason: '' },
  });
  assert.match(text, /vm1 moved from host1 to host2 in 20 ms/);
  assert.match(text, /3000 sent, 12 lost, 0 twice; longest gap 12 ms/);
  assert.match(text, /the connection held: 9 lines/);
});
