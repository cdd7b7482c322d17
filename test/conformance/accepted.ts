import { FLOW_WORDS, VLAN_CFI, W_VLAN } from '../../src/flow/layout.ts';
import { parseMatch } from '../../src/flow/match-parse.ts';

/*
 * Where the two switches may differ, all of it:
 *
 * - Recirculation ids, xids, and how long ago things happened: numbers of no meaning. They are left out or
 *   numbered in the order that they appear.
 * - The order in which a flood (NORMAL, FLOOD, ALL) reaches its ports, and tells of it: stock's comes from hash
 *   tables. Same ports, same packets (`effects`).
 * - Which live bucket of a select group a hash chooses: tables with such groups aren't made.
 * - The priority of a tag with VID 0: ours looks at it where NORMAL handles the tag, since with priority 0 the
 *   tag goes and else it stays; stock's megaflow takes both for the same.
 * - The tag of a packet that a mirror copies: ours looks at it, since whether a port takes the packet's VLAN decides
 *   whether it is copied, and a copy's tag may go; stock's megaflow takes all tags for the same (`mirrors`).
 * - An inner tag with VID and priority 0 on a dot1q-tunnel port: stock takes it away, ours leaves the customer's
 *   packet as it is. Packets with such tags aren't made.
 * - Whether there is a tag at all, if bits of it were looked at and the translation then fails.
 * - `ref_count` of groups: stock counts a flow that names a group twice as two.
 * - Which of two flows of one priority a packet meets that fits both (OpenFlow leaves it open). Priorities are
 *   drawn from so many that this is rare.
 * - When a megaflow is revalidated: one that was installed before a station was known may still flood. The
 *   test doesn't compare `dpctl/dump-flows`; run.ts does.
 * - A megaflow of ours that covers more packets (`isWider`). That it covers no packet that would be treated
 *   otherwise is held by src/switch/upcall/soundness.test.ts.
 */

/** Recirculation ids are numbered in the order that they appear. */
export function normalTrace(text: string): string {
  const ids = new Map<string, string>();
  const numbered = (id: string): string => {
    const number = ids.get(id) ?? `${0xf000 + ids.size}`;
    ids.set(id, number);
    return number;
  };
  const word = /\b(recirc\(|recirc_id\(|recirc_id=)(0x[1-9a-f][0-9a-f]*|[1-9]\d*)/g;
  // Scores of buckets are made of hashes.
  return text
    .replace(/^ *-> bucket \d+: score \d+\n/gm, '')
    .replace(word, (_, name: string, id: string) => name + numbered(id));
}

/** A table with a line of headings; hash tables order stock's rows. */
export function normalRows(text: string): string {
  return text.split('\n').sort().join('\n');
}

export function normalTable(text: string): string {
  // Rows are sorted last: what is cut from them, such as how old a flow is, must not order them.
  const rows = text
    .replace(/\n +tx/g, ' tx')
    .replace(/duration=[\d.]+s/g, 'duration=')
    .replace(/\(xid=\w+\)/g, '')
    .replace(/ref_count=\d+/g, 'ref_count=');
  return normalRows(rows).trim();
}

export function normalCounters(text: string): string {
  // Stock's own tool can't read some actions back, from either switch.
  if (text.includes('decode error')) return 'decode error';
  const lines = text.replace(/,? (idle|hard)_age=\d+/g, '').split('\n');
  return normalTable(lines.map((line) => line.trim()).join('\n'));
}

export function normalMegaflows(text: string): string {
  return normalTrace(
    text
      .split('\n')
      .map((line) => line.replace(/, used:[^,]*/, ''))
      .sort()
      .join('\n'),
  );
}

/**
 * Whether two dumps of the datapath's flows have the same flows; masks may differ as in traces, and then which
 * packets of a run meet in one flow differs too: then only what is done is compared.
 */
export function sameMegaflows(stock: string, ours: string): boolean {
  const a = normalMegaflows(stock).split('\n');
  const b = normalMegaflows(ours).split('\n');
  const done = (lines: string[], tagged: boolean): string =>
    [...new Set(lines.map((line) => doneBy(line, tagged)))].sort().join('\n\n');
  return [true, false].some((tagged) => done(a, tagged) === done(b, tagged));
}

function doneBy(line: string, tagged: boolean): string {
  const tag = !tagged ? null : /vlan(\(vid=\d+,pcp=\d+\))/.exec(line);
  const actions = /actions:(.*)/.exec(line)?.[1] ?? '';
  return effects(actions.replace(/(recirc\(|recirc_id=)\d+/g, '$1'), tag && `push_vlan${tag[1]}`);
}

/** Whether two traces differ in nothing but what the list above allows. */
export function sameTrace(stock: string, ours: string, mirrors: boolean): boolean {
  if (stock === ours) return true;
  const a = stock.split('\n');
  const b = ours.split('\n');
  const tagged = /dl_vlan=(\d+),dl_vlan_pcp=(\d+)/.exec(a[0]);
  const tag = tagged && `push_vlan(vid=${tagged[1]},pcp=${tagged[2]})`;
  if (a.length !== b.length) return false;
  // A flood through a patch port tells of the other bridge in its place.
  const told = (line: string): string => (RESULT.test(line) ? line.slice(0, 8) : line.trim());
  if (a.map(told).sort().join('\n') !== b.map(told).sort().join('\n')) return false;
  const results = b.filter((line) => RESULT.test(line));
  return a.filter((line) => RESULT.test(line)).every((line, i) => sameLine(line, results[i], tag, mirrors));
}

const RESULT = /^(Final flow|Megaflow|Datapath actions): /;
const MEGAFLOW = 'Megaflow: ';
const ACTIONS = 'Datapath actions: ';

function sameLine(a: string, b: string, tag: string | null, mirrors: boolean): boolean {
  if (a === b) return true;
  if (a.startsWith(MEGAFLOW) && b.startsWith(MEGAFLOW)) {
    return isWider(b.slice(MEGAFLOW.length), a.slice(MEGAFLOW.length), mirrors);
  }
  if (a.startsWith(ACTIONS) && b.startsWith(ACTIONS)) {
    return effects(a.slice(ACTIONS.length), tag) === effects(b.slice(ACTIONS.length), tag);
  }
  return false;
}

/** Words that only megaflows have: of a second tag, of a part of an ICMP type. */
const INNER_TAG = /,(vlan_tci1|dl_vlan1|dl_vlan_pcp1)=[^,]*|,icmp_(type|code)=\w+\/\w+/g;
const PCP_MASK = 0xe000;

/** Whether every packet of megaflow `narrow` is one of `wide`, if need be but for its tag. */
function isWider(wide: string, narrow: string, anyTag: boolean): boolean {
  const innerA: readonly string[] = wide.match(INNER_TAG) ?? [];
  const innerB: readonly string[] = narrow.match(INNER_TAG) ?? [];
  if (!innerA.every((word) => innerB.includes(word))) return false;
  const a = parseMatch(wide.replace(INNER_TAG, ''));
  const b = parseMatch(narrow.replace(INNER_TAG, ''));
  if ((b.mask[W_VLAN] & 0xffff) !== 0) a.mask[W_VLAN] &= ~VLAN_CFI;
  if (anyTag) a.mask[W_VLAN] = 0;
  if (/\bdl_vlan=0\b/.test(narrow)) a.mask[W_VLAN] &= ~PCP_MASK;
  for (let i = 0; i < FLOW_WORDS; i++) {
    if ((a.mask[i] & ~b.mask[i]) !== 0 || ((a.flow[i] ^ b.flow[i]) & a.mask[i]) !== 0) return false;
  }
  return true;
}

/** A packet on its way through a list of actions: its outer tag and those pushed, and headers set. */
interface Packet {
  tags: readonly string[];
  sets: ReadonlyMap<string, string>;
}

/**
 * What a list of datapath actions sends where, with neighbours in a fixed order: each output with the
 * headers that the packet has by then.
 * @param tag the tag that the packet came with, as `push_vlan` writes it
 */
export function effects(actions: string, tag: string | null = null): string {
  const run: string[] = [];
  const walk = (list: string, packet: Packet): void => {
    let cut = '';
    for (const action of splitActions(list)) {
      const set = /^set\((\w+)\((.*)\)\)$/.exec(action);
      const clone = /^clone\((.*)\)$/.exec(action);
      if (/^\d+$/.test(action)) {
        const sets = [...packet.sets].sort().map(([name, value]) => `${name} ${value}`);
        run.push(`${action} ${cut} ${packet.tags.join('+')} ${sets.join(' ')}`);
        cut = '';
      } else if (action.startsWith('trunc(')) cut = action;
      else if (clone !== null) walk(clone[1], { ...packet });
      else if (action.startsWith('push_vlan(')) packet.tags = [...packet.tags, action];
      else if (action === 'pop_vlan')
        packet.tags = packet.tags.length > 0 ? packet.tags.slice(0, -1) : ['popped'];
      else if (set !== null) {
        const changed = set[2].split(',').map((word) => [`${set[1]}.${word.split('=')[0]}`, word] as const);
        packet.sets = new Map([...packet.sets, ...changed]);
      } else run.push(`${action} ${packet.tags.join('+')}`);
    }
  };
  walk(actions, { tags: tag === null ? [] : [tag], sets: new Map() });
  return run.sort().join('\n');
}

/** Splits at the commas that stand in no parentheses. */
function splitActions(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (i === text.length || (text[i] === ',' && depth === 0)) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return parts;
}
