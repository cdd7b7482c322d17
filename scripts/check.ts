/**
 * `npm run check`: types (`tsc -b` over every layer), format and lint (biome), and the house rules
 * (scripts/house-rules.ts) over every file that git knows or would add. Prints what is wrong and
 * exits 1, or prints one line and exits 0.
 *
 *     npm run check                 everything
 *     npm run check -- sys bin      types of these layers and what they build on, rest of the checks on their files
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkSource, checkText, checkTsconfig, layerOf, type Violation } from './house-rules.ts';
import { LAYERS } from './layers.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tool = (name: string): string => join(root, 'node_modules', '.bin', name);
const BINARY = /\.(png|pcap|gz|ico|woff2)$/;

function run(title: string, command: string, args: readonly string[]): boolean {
  const started = performance.now();
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  const ok = done.status === 0;
  console.log(
    `check: ${title}: ${ok ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  );
  if (!ok)
    console.log(
      `${done.stdout ?? ''}${done.stderr ?? ''}${done.error === undefined ? '' : String(done.error)}`,
    );
  return ok;
}

/** The files that a commit of everything would hold, as paths from the root. */
function files(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return listed
    .split('\0')
    .filter((f) => f !== '' && existsSync(join(root, f)) && statSync(join(root, f)).isFile());
}

function houseRules(wanted: ReadonlySet<string>): boolean {
  const found: Violation[] = [];
  let count = 0;
  for (const file of files()) {
    const layer = layerOf(file);
    if (wanted.size > 0 && (layer === undefined || !wanted.has(layer))) continue;
    if (BINARY.test(file)) continue;
    const text = readFileSync(join(root, file), 'utf8');
    count++;
    found.push(...checkText(file, text));
    if (file.endsWith('.ts')) found.push(...checkSource(file, text));
  }
  for (const layer of Object.keys(LAYERS)) {
    const path = join(root, 'src', layer, 'tsconfig.json');
    if (existsSync(path)) found.push(...checkTsconfig(layer, readFileSync(path, 'utf8')));
    else found.push({ file: `src/${layer}/tsconfig.json`, line: 1, message: 'missing' });
  }
  for (const v of found) console.log(`${v.file}:${v.line}: ${v.message}`);
  console.log(
    `check: house rules: ${found.length === 0 ? 'ok' : `FAILED, ${found.length} found`} (${count} files)`,
  );
  return found.length === 0;
}

const wanted = new Set(process.argv.slice(2));
for (const layer of wanted) {
  if (!Object.hasOwn(LAYERS, layer)) {
    console.error(`check: no layer "${layer}"; there are ${Object.keys(LAYERS).join(', ')}`);
    process.exit(2);
  }
}
const projects = wanted.size === 0 ? [] : [...wanted].map((l) => `src/${l}`);
const paths = wanted.size === 0 ? ['.'] : projects;
const results = [
  run('types', tool('tsc'), ['-b', '--pretty', 'false', ...projects]),
  run('format and lint', tool('biome'), ['check', '--error-on-warnings', ...paths]),
  houseRules(wanted),
];
process.exit(results.every(Boolean) ? 0 : 1);
