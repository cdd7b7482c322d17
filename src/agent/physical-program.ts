import { readFileSync } from 'node:fs';
import { check, type Program } from '../nlog/index.ts';

/** `rules/physical.nlog`, checked. An installed package has the rules beside the sources only. */
export function loadPhysicalProgram(): Program {
  const text = readFileSync(new URL('../../src/agent/rules/physical.nlog', import.meta.url), 'utf8');
  return check({ name: 'physical.nlog', text });
}
