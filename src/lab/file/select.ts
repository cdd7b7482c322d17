/** How expectations name machines, and which of the pairs they mean. */

import { type MachinePlan, type PairPlan, type Probe, probeText } from './plan.ts';
import type { LabExpect } from './schema.ts';

/** Whether text is of a pattern in which "*" stands for any letters. Takes time in proportion to both. */
export function glob(pattern: string, text: string): boolean {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === text;
  if (!text.startsWith(first)) return false;
  const last = rest.pop() ?? '';
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

/** Whether a selector means a machine: its name, or with a slash its place or the beginning of that. */
export function selects(selector: string, { name, tenant, switch: on, port }: MachinePlan): boolean {
  if (!selector.includes('/')) return glob(selector, name);
  const place = [tenant, on, port];
  const wanted = selector.split('/');
  // "red/" is all of red.
  if (wanted.at(-1) === '') wanted.pop();
  return wanted.length <= place.length && wanted.every((part, i) => glob(part, place[i]));
}

const selectors = (given: string | readonly string[] | undefined): readonly string[] =>
  given === undefined ? ['*'] : typeof given === 'string' ? [given] : given;

export function parseProbe(text: string): Probe | undefined {
  if (text === 'ping') return { kind: 'ping' };
  const match = /^(tcp|udp)\/([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65535) return undefined;
  return { kind: match[1] as 'tcp' | 'udp', port };
}

/** All probes that expectations name, in the order of their names: ping, TCP, UDP. */
export function probesOf(expect: readonly LabExpect[]): Probe[] {
  const named = new Map<string, Probe>();
  for (const text of expect.flatMap(({ can = [], cannot = [] }) => [...can, ...cannot])) {
    const probe = parseProbe(text);
    if (probe !== undefined) named.set(text, probe);
  }
  const rank = (probe: Probe): number =>
    probe.kind === 'ping' ? 0 : (probe.kind === 'tcp' ? 1 : 2) * 100_000 + probe.port;
  return [...named.values()].sort((a, b) => rank(a) - rank(b));
}

const isWithin = (within: LabExpect['within'], from: MachinePlan, to: MachinePlan): boolean =>
  within === undefined || (from.tenant === to.tenant && (within === 'tenant' || from.switch === to.switch));

/** What is expected of every ordered pair. */
export function pairsOf(
  machines: readonly MachinePlan[],
  expect: readonly LabExpect[],
  probes: readonly Probe[],
): PairPlan[] {
  const all = probes.map(probeText);
  const expand = (list: readonly string[] | undefined): readonly string[] =>
    (list ?? []).flatMap((text) => (text === 'all' ? all : [text]));
  const any = (given: string | readonly string[] | undefined, machine: MachinePlan): boolean =>
    selectors(given).some((selector) => selects(selector, machine));
  return machines.flatMap((from) =>
    machines
      .filter((to) => to !== from)
      .map((to): PairPlan => {
        const can = new Set<string>();
        for (const rule of expect) {
          if (!isWithin(rule.within, from, to) || !any(rule.from, from) || !any(rule.to, to)) continue;
          for (const text of expand(rule.can)) can.add(text);
          for (const text of expand(rule.cannot)) can.delete(text);
        }
        return { from, to, can };
      }),
  );
}

/** Selectors that mean no machine: a slip of the pen, most likely. */
export function idleSelectors(
  expect: readonly LabExpect[],
  machines: readonly MachinePlan[],
): { path: (string | number)[]; text: string }[] {
  return expect.flatMap((rule, i) =>
    (['from', 'to'] as const).flatMap((side) =>
      selectors(rule[side])
        .filter((selector) => !machines.some((machine) => selects(selector, machine)))
        .map((selector) => ({ path: ['expect', i, side], text: `"${selector}" is no machine of this lab` })),
    ),
  );
}
