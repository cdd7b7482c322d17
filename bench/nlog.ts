/**
 * nlog: (a) the three rules of the NVP paper's figure 6, and (b) a program of realistic depth that
 * derives more than 37 million rows; at 10% and at 100% of the paper's network. Beside it, in the same
 * run, a public incremental library on (a), at 10% and as large as it bears.
 *
 *     npm run bench -- nlog [--json] [--small]
 *
 * --small leaves out (b) at 100%, which takes about 3 GB. The library is no dependency of this package: it is
 * installed by npm into a temporary folder (without scripts), and left out with a message if that fails.
 *
 * `read ns` is the time of one random read of memory on the machine, taken after each measurement: look-ups are
 * what joins are made of, so rates of different machines, or of a machine that is busy, compare by it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measured } from './nlog-child.ts';
import type { PeerMeasured } from './nlog-peer.ts';

const PEER = '@tanstack/db-ivm';
const PEER_VERSION = '0.2.0';
const child = join(dirname(fileURLToPath(import.meta.url)), 'nlog-child.ts');
const json = process.argv.includes('--json');
const small = process.argv.includes('--small');

function run<T>(what: string, scale: number, ...more: string[]): T | undefined {
  const done = spawnSync(
    process.execPath,
    ['--max-old-space-size=6144', child, what, String(scale), ...more],
    {
      encoding: 'utf8',
      timeout: 600_000,
      maxBuffer: 1 << 24,
    },
  );
  if (done.status !== 0) {
    console.error(
      `bench: ${what} at ${scale}: ${done.error?.message ?? done.stderr.trim().split('\n').slice(-3).join(' ')}`,
    );
    return undefined;
  }
  return JSON.parse(done.stdout) as T;
}

function peer(): PeerMeasured[] {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-nlog-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    execFileSync(
      'npm',
      ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${PEER}@${PEER_VERSION}`],
      { cwd: folder, stdio: 'ignore' },
    );
    const module = join(folder, 'node_modules', PEER, 'dist/esm/index.js');
    if (!existsSync(module)) throw new Error(`${PEER} has no ${module}`);
    return [0.1, 1].map((scale) => run<PeerMeasured>('peer', scale, module)).filter((m) => m !== undefined);
  } catch (error) {
    console.error(
      `bench: no comparison with ${PEER}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`,
    );
    return [];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const text = (n: number, digits = 0): string =>
  n.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

function table(head: string[], rows: string[][]): void {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i].length)));
  for (const row of [head, ...rows])
    console.log(row.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join('  '));
}

const scales = { tunnels: [0.1, 1], deep: small ? [0.1] : [0.1, 1] };
const ours: Measured[] = [];
for (const what of ['tunnels', 'deep'] as const)
  for (const scale of scales[what]) {
    const m = run<Measured>(what, scale);
    if (m !== undefined) ours.push(m);
  }
const theirs = peer();

table(
  [
    'workload',
    'size',
    'inputs',
    'derived rows',
    'outputs',
    's',
    'cpu s',
    'rows/s',
    'all rows/s',
    'B/row',
    'peak MB',
    '+10 ms',
    'p99',
    '-10 ms',
    'p99',
    'rows touched',
    '',
    'read ns',
  ],
  ours.map((m) => [
    m.workload,
    `${m.scale * 100}%`,
    text(m.inputRows),
    text(m.derivedRows),
    text(m.outputRows),
    text(m.seconds, 2),
    text(m.cpuSeconds, 2),
    text(m.rowsPerSecond),
    text(m.allRowsPerSecond),
    text(m.bytesPerRow),
    text(m.peakMB),
    text(m.add.medianMs, 2),
    text(m.add.p99Ms, 2),
    text(m.remove.medianMs, 2),
    text(m.remove.p99Ms, 2),
    `+${text(m.add.rowsTouched)}`,
    `-${text(m.remove.rowsTouched)}`,
    text(m.readNs),
  ]),
);
for (const m of ours.filter((o) => o.workload === 'tunnels'))
  console.log(
    `tunnels ${m.scale * 100}%: ${['the network comes (rules 1 and 2)', 'tunnel ports come (rule 3)']
      .map(
        (what, i) =>
          `${what} ${text(m.phases[i].derivedRows)} rows in ${text(m.phases[i].seconds, 2)} s, ${text(m.phases[i].rowsPerSecond)} rows/s`,
      )
      .join('; ')}`,
  );
if (theirs.length > 0) {
  console.log(`\n${PEER} ${PEER_VERSION} on the tunnel example:`);
  table(
    ['size', 'derived rows', 's', 'rows/s', 'peak MB', '+10 ms', 'same rows as ours'],
    theirs.map((m) => {
      const same = ours.find((o) => o.workload === 'tunnels' && o.scale === m.scale);
      const verdict =
        same === undefined
          ? '-'
          : same.derivedRows === m.derivedRows
            ? 'yes'
            : `no: ${text(m.derivedRows - same.derivedRows)}`;
      return [
        `${m.scale * 100}%`,
        text(m.derivedRows),
        text(m.seconds, 2),
        text(m.rowsPerSecond),
        text(m.peakMB),
        text(m.addMs, 2),
        verdict,
      ];
    }),
  );
}
if (json) {
  const largest = theirs.at(-1);
  const match = ours.find((o) => o.workload === 'tunnels' && o.scale === largest?.scale);
  console.log(
    JSON.stringify({
      bench: 'nlog',
      unit: 'derived rows a second, tunnel example',
      ours: match?.rowsPerSecond ?? ours.at(0)?.rowsPerSecond ?? null,
      theirs: largest?.rowsPerSecond ?? null,
      ratio:
        match === undefined || largest === undefined ? null : match.rowsPerSecond / largest.rowsPerSecond,
      peer: `${PEER}@${PEER_VERSION}`,
      details: ours,
      peerDetails: theirs,
    }),
  );
}
if (ours.length < scales.tunnels.length + scales.deep.length) process.exitCode = 1;
