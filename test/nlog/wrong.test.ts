import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkAll, formatDiagnostic } from '../../src/nlog/index.ts';

/*
 * Programs that are wrong, each beside what the checker must say of it, to the character. After an intended
 * change: WEFT_UPDATE_GOLDEN=1 writes the texts anew; read the difference before you keep it.
 */

const folder = join(dirname(fileURLToPath(import.meta.url)), 'wrong');

for (const file of readdirSync(folder).filter((f) => f.endsWith('.nlog')))
  test(`wrong program ${file} is told with place, line and advice`, () => {
    const { report } = checkAll({ name: file, text: readFileSync(join(folder, file), 'utf8') });
    const found = `${report.diagnostics.map(formatDiagnostic).join('\n')}\n`;
    const golden = join(folder, file.replace(/\.nlog$/, '.txt'));
    if (process.env.WEFT_UPDATE_GOLDEN === '1' || !existsSync(golden)) writeFileSync(golden, found);
    assert.equal(found, readFileSync(golden, 'utf8'));
    assert.ok(report.diagnostics.length > 0);
  });
