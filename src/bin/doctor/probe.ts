/** What a probe is, and how its findings are told. */
import { WeftError } from '../../base/errors.ts';
import { SystemError } from '../../sys/libc.ts';

/** What a probe belongs to: `switch` must work for any switch; the rest makes it faster or comparable. */
export type ProbeGroup = 'switch' | 'fast path' | 'tunnels' | 'peers';

export const GROUPS: Readonly<Record<ProbeGroup, string>> = {
  switch: 'Every switch needs',
  'fast path': 'The fast path in the kernel needs',
  tunnels: 'Comparisons with tunnels of the kernel use',
  peers: 'Tests and comparisons use',
};

/** What to do where a right is missing. */
export const ROOT_REMEDY = 'run as root, or in a container with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN';

/** A capability, tried by doing it. */
export interface Probe {
  readonly name: string;
  readonly group: ProbeGroup;
  /** What to do if it is missing. */
  readonly remedy: string;
  /** Does it, cleans up, and returns what was seen; throws if it cannot be done. */
  run(): string | Promise<string>;
}

export interface Finding {
  readonly name: string;
  readonly group: ProbeGroup;
  readonly ok: boolean;
  /** What was seen, or why it failed. */
  readonly reason: string;
  /** Empty if there is nothing to do. */
  readonly remedy: string;
}

/** Tries every probe; one that throws is a finding like any other. */
export async function examine(probes: readonly Probe[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const probe of probes) findings.push(await tryOut(probe));
  return findings;
}

async function tryOut({ name, group, remedy, run }: Probe): Promise<Finding> {
  try {
    return { name, group, ok: true, reason: await run(), remedy: '' };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const forbidden = error instanceof SystemError && ['EPERM', 'EACCES'].includes(error.errnoName);
    const own = forbidden ? ROOT_REMEDY : error instanceof WeftError ? error.remedy : '';
    return { name, group, ok: false, reason: error.message, remedy: own || remedy };
  }
}

/** The findings as a table for people. */
export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map((f) => f.name.length));
  const lines: string[] = [];
  for (const [group, title] of Object.entries(GROUPS)) {
    const rows = findings.filter((f) => f.group === group);
    if (rows.length === 0) continue;
    lines.push('', `${title}:`);
    for (const f of rows) {
      lines.push(`  ${f.ok ? 'ok     ' : 'MISSING'}  ${f.name.padEnd(width)}  ${f.reason}`);
      if (f.remedy !== '') lines.push(`${' '.repeat(13 + width)}-> ${f.remedy}`);
    }
  }
  const missing = findings.filter((f) => !f.ok);
  const blocking = missing.filter((f) => f.group === 'switch');
  lines.push('');
  if (blocking.length > 0)
    lines.push(`This machine cannot run a switch yet: ${blocking.map((f) => f.name).join(', ')}.`);
  else if (missing.length > 0)
    lines.push(`This machine can run a switch; without: ${missing.map((f) => f.name).join(', ')}.`);
  else lines.push('This machine can do everything that Weft uses.');
  return `${lines.slice(1).join('\n')}\n`;
}
