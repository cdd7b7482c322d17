/**
 * Writes docs/openapi.json, the description of the API, from its routes: `node src/api/testing/write-openapi.ts`. A test holds the file
 * to be current (openapi.test.ts).
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeApi } from './harness.ts';

const root = join(import.meta.dirname, '../../..');
const file = join(root, 'docs/openapi.json');
const { server } = await makeApi();
writeFileSync(file, `${JSON.stringify(server.openApi(), null, 2)}\n`);
execFileSync(join(root, 'node_modules/.bin/biome'), ['format', '--write', file], { stdio: 'inherit' });
