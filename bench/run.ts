/**
 * `npm run bench -- NAME [--json] [arguments]`: runs `bench/NAME.ts`, which prints a table. With
 * --json the last line is one JSON object with at least `bench`, `ours`, `theirs` and `ratio`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const name = process.argv[2] ?? '';
const file = join(folder, `${name}.ts`);
if (!/^[a-z][a-z0-9-]*$/.test(name) || name === 'run' || !existsSync(file)) {
  const known = readdirSync(folder)
    .filter((f) => /^[a-z0-9]+\.ts$/.test(f) && f !== 'run.ts')
    .map((f) => f.slice(0, -3));
  console.error(`bench: no benchmark "${name}"; there are: ${known.join(', ')}`);
  process.exitCode = 2;
} else await import(file);
