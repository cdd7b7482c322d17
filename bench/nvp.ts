/**
 * The scenario of the NVP paper (NSDI 2014, section 7.1) on one core: 3,000 hypervisors of 21 virtual interfaces, 7,000
 * logical switches of 2 to 64 ports, ACLs on 49,188 ports and 1,553 switches. The controller computes the universal
 * flows, and the pure part of an agent for each host computes its physical ones, all in one process and behind the
 * controller's own protocol. Then 10 ports come, and go again.
 *
 *     npm run bench -- nvp [--json] [--small]
 *
 * --small: a tenth of it beside a hundredth, to see that 10 ports cost the same in both. One ACL for each port and switch
 * that has any; the paper does not say how many. A universal flow is compiled once, as all hosts are in one process.
 * Processor time is given beside the clock, since a busy machine blurs the latter.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NvpMeasured, Step } from './nvp-child.ts';

const child = join(dirname(fileURLToPath(import.meta.url)), 'nvp-child.ts');
const json = process.argv.includes('--json');
const scales = process.argv.includes('--small') ? [0.01, 0.1] : [0.1, 1];
/** Figures of the paper: 1.8 M flows in 20 minutes over 37 M tuples, 27 GB in one controller. */
const PAPER = { seconds: 1200, flows: 1_800_000, tuples: 37_000_000, gigabytes: 27 };

function run(scale: number): NvpMeasured {
  const done = spawnSync(process.execPath, ['--max-old-space-size=7168', child, String(scale)], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  if (done.status !== 0) throw new Error(`nvp at ${scale}: ${done.error?.message ?? done.stderr.trim()}`);
  return JSON.parse(done.stdout) as NvpMeasured;
}

const measured = scales.map(run);
const number = (n: number, digits = 0): string =>
  n.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
const row = (name: string, cells: readonly string[]): void =>
  console.log(`${name.padEnd(34)}${cells.map((c) => c.padStart(16)).join('')}`);
const rows = (name: string, f: (m: NvpMeasured) => string, paper = ''): void =>
  row(name, [...measured.map(f), paper]);
row('', [...scales.map((s) => `${s * 100}%`), 'the paper']);
rows('hosts', (m) => number(m.hosts), '3,000');
rows('logical ports', (m) => number(m.ports), '63,000');
rows('logical switches', (m) => number(m.switches), '7,000');
rows('ports, switches with ACLs', (m) => `${number(m.portAcls)}, ${number(m.switchAcls)}`, '49,188, 1,553');
rows('rules done after, s', (m) => number(m.rulesSeconds, 1));
rows('all flows of all hosts after, s', (m) => number(m.allSeconds, 1), `${PAPER.seconds}`);
rows('  of the processor, s', (m) => number(m.cpuSeconds, 1));
rows('universal flows', (m) => number(m.universalFlows));
rows('physical flows', (m) => number(m.physicalFlows), number(PAPER.flows));
rows('tuples', (m) => number(m.tuples), number(PAPER.tuples));
rows('memory, GB', (m) => number(m.rssMb / 1024, 2), `${PAPER.gigabytes}`);
for (const [name, of] of [
  ['+10 ports', (m: NvpMeasured) => m.plus],
  ['-10 ports', (m: NvpMeasured) => m.minus],
] as const) {
  const step = (what: string, f: (s: Step) => string, paper = ''): void =>
    rows(`${name}: ${what}`, (m) => f(of(m)), paper);
  step('updates on their way, ms', (s) => number(s.rulesMs, 1));
  step('last flow of last host, ms', (s) => number(s.ms, 1), 'some seconds');
  step('  worst of all rounds', (s) => number(s.worstMs, 1));
  step('  of the processor, ms', (s) => number(s.cpuMs, 1));
  step('rows read by rules', (s) => number(s.rowsIn));
  step('flows changed', (s) => number(s.flows));
  step('hosts touched', (s) => number(s.hosts));
}
if (json) {
  const [last] = measured.slice(-1);
  console.log(
    JSON.stringify({
      bench: 'nvp',
      ours: last.allSeconds,
      theirs: PAPER.seconds,
      ratio: PAPER.seconds / last.allSeconds,
      plus10Ms: last.plus.ms,
      measured,
    }),
  );
}
