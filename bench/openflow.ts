/**
 * `npm run bench -- openflow [--json] [--flows=N] [--rounds=N]`: flows a second, 100,000 unless told otherwise, that
 * the stock `ovs-ofctl` adds one by one, dumps, compares with themselves and replaces by others in one bundle: through our
 * daemons (`compat/`) and the stock ones, turn about in the same run. Medians; and the memory that the switches hold in
 * the end.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DummySwitch, stockMissing } from './switches.ts';

const number = (name: string, otherwise: number): number => {
  const word = process.argv.find((each) => each.startsWith(`--${name}=`));
  return word === undefined ? otherwise : Number(word.slice(name.length + 3));
};
const FLOWS = number('flows', 100_000);
const ROUNDS = number('rounds', 3);

const STEPS = ['add-flows', 'dump-flows', 'dump-aggregate', 'same-flows', 'replace-flows'] as const;
type Rates = Record<(typeof STEPS)[number], number>;

/** `shift`: of the ports that they output to. */
function flowLines(shift: number): string {
  const lines: string[] = [];
  for (let i = 0; i < FLOWS; i++) {
    const address = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    const port = (Math.imul(i, 2654435761) >>> 16) & 0xffff;
    lines.push(
      `table=${i % 4},priority=${(i % 1000) + 1},tcp,nw_dst=${address},tp_dst=${port},actions=output:${((i + shift) % 200) + 1}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function prepare(under: DummySwitch): void {
  under.run(
    'ovs-vsctl',
    '--timeout=20',
    'add-br',
    'br0',
    '--',
    'set',
    'bridge',
    'br0',
    'datapath-type=dummy',
    'fail-mode=secure',
    'protocols=[OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15]',
  );
  writeFileSync(join(under.dir, 'flows'), flowLines(0));
  writeFileSync(join(under.dir, 'others'), flowLines(1));
}

/** Flows a second of each step. */
function round(under: DummySwitch): Rates {
  const file = join(under.dir, 'flows');
  const timed = (...args: string[]): number => {
    const start = performance.now();
    const text = under.run('ovs-ofctl', ...args);
    const seconds = (performance.now() - start) / 1000;
    if (args.includes('dump-flows') && text.split('\n').length < FLOWS) throw new Error('flows are missing');
    return Math.round(FLOWS / seconds);
  };
  under.run('ovs-ofctl', 'del-flows', 'br0');
  return {
    'add-flows': timed('-O', 'OpenFlow13', 'add-flows', 'br0', file),
    'dump-flows': timed('-O', 'OpenFlow13', 'dump-flows', 'br0'),
    'dump-aggregate': timed('dump-aggregate', 'br0'),
    'same-flows': timed('-O', 'OpenFlow14', '--bundle', 'replace-flows', 'br0', file),
    'replace-flows': timed('-O', 'OpenFlow14', '--bundle', 'replace-flows', 'br0', join(under.dir, 'others')),
  };
}

const missing = stockMissing();
if (missing !== null) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}
const all: Record<'ours' | 'stock', Rates[]> = { ours: [], stock: [] };
const switches = [] as DummySwitch[];
let memory: number[] = [];
try {
  for (const whose of ['ours', 'stock'] as const) {
    const under = await DummySwitch.start(whose);
    switches.push(under);
    prepare(under);
  }
  for (let n = 0; n < ROUNDS; n++) {
    all.ours.push(round(switches[0]));
    all.stock.push(round(switches[1]));
  }
  memory = switches.map((under) => under.residentKb() / 1024);
} finally {
  for (const under of switches) await under.close();
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1];
const figures = STEPS.map((step) => {
  const [ours, theirs] = [all.ours, all.stock].map((rounds) => median(rounds.map((rates) => rates[step])));
  return { step, ours, theirs, ratio: Number((ours / theirs).toFixed(3)) };
});
console.log('flows a second              ours        stock    ours / stock');
for (const { step, ours, theirs, ratio } of figures) {
  console.log(
    `${step.padEnd(20)}${String(ours).padStart(12)}${String(theirs).padStart(13)}${ratio.toFixed(2).padStart(16)}`,
  );
}
const [ourMb, theirMb] = memory.map(Math.round);
console.log(
  `${'memory, MB'.padEnd(20)}${String(ourMb).padStart(12)}${String(theirMb).padStart(13)}${(ourMb / theirMb).toFixed(2).padStart(16)}`,
);
if (process.argv.includes('--json')) {
  const dump = figures[1];
  console.log(
    JSON.stringify({
      bench: 'openflow',
      ours: dump.ours,
      theirs: dump.theirs,
      ratio: dump.ratio,
      flows: FLOWS,
      figures,
      memoryMb: { ours: ourMb, theirs: theirMb },
    }),
  );
}
