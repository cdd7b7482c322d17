/**
 * `npm test`: the checks, then every unit test (beside the code), then the system tests (`test/`).
 *
 *     npm test                       everything
 *     node scripts/test.ts wire test/system/l2.test.ts    only these layers, folders or files, without the checks
 *
 * Unit tests run two files at a time; system tests one at a time, since they measure and share a
 * machine. Prints node:test's own report and summary. As root with CI=true nothing may be skipped
 * for want of a tool or a right that `scripts/setup.sh --peers` gives: such a skip fails the run. Only
 * a reason that starts with "kernel lacks" is accepted then.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const UNIT = ['src/**/*.test.ts', 'scripts/**/*.test.ts'];
const SYSTEM = ['test/**/*.test.ts'];
const FILE_TIMEOUT_MS = 600_000;
const SEED = join(root, 'scripts/seed.ts');

interface Outcome {
  passed: number;
  failed: number;
  skipped: { file: string; name: string; reason: string }[];
}

function expand(argument: string): string[] {
  const path = [argument, join('src', argument)].find((p) => existsSync(p));
  if (path === undefined) throw new Error(`no file or folder "${argument}" here or under src/`);
  return statSync(path).isDirectory() ? globSync(`${path}/**/*.test.ts`) : [path];
}

async function runFiles(files: string[], concurrency: number): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: [] };
  if (files.length === 0) return outcome;
  const stream = run({ files, concurrency, timeout: FILE_TIMEOUT_MS, execArgv: ['--import', SEED] });
  stream.on('test:pass', (event) => {
    if (event.skip !== undefined && event.skip !== false) {
      outcome.skipped.push({
        file: event.file ?? '',
        name: event.name,
        reason: event.skip === true ? '' : event.skip,
      });
    } else if (event.details.type !== 'suite') outcome.passed++;
  });
  stream.on('test:fail', () => {
    outcome.failed++;
  });
  await new Promise<void>((resolve, reject) => {
    const report = stream.compose(spec);
    report.on('error', reject);
    report.on('end', resolve);
    report.pipe(process.stdout, { end: false });
  });
  return outcome;
}

const args = process.argv.slice(2);
const started = performance.now();
let ok = true;
if (args.length === 0) {
  ok = spawnSync(process.execPath, ['scripts/check.ts'], { stdio: 'inherit' }).status === 0;
}
const chosen = args.length === 0 ? [...UNIT, ...SYSTEM].flatMap((g) => globSync(g)) : args.flatMap(expand);
const files = [...new Set(chosen)].sort();
const unit = await runFiles(
  files.filter((f) => !f.startsWith('test/')),
  2,
);
const system = await runFiles(
  files.filter((f) => f.startsWith('test/')),
  1,
);
const skipped = [...unit.skipped, ...system.skipped];
const strict = process.env.CI === 'true' && process.getuid?.() === 0;
const refused = strict ? skipped.filter((s) => !s.reason.startsWith('kernel lacks')) : [];
for (const s of refused) {
  console.log(
    `test: skipped although this run is root with CI=true: ${s.file}: ${s.name}: ${s.reason || 'no reason given'}`,
  );
}
const failed = unit.failed + system.failed;
if (failed > 0 || refused.length > 0) ok = false;
console.log(
  `test: ${ok ? 'ok' : 'FAILED'}: ${unit.passed + system.passed} passed, ${failed} failed, ${skipped.length} skipped, ` +
    `${files.length} files, ${((performance.now() - started) / 1000).toFixed(0)} s`,
);
process.exit(ok ? 0 : 1);
