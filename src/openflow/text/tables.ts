/** Texts of messages about flow tables. */

import type { Field } from '../../flow/field.ts';
import { FIELDS } from '../../flow/fields.ts';
import { formatTable } from '../actions/text.ts';
import { OFPTR_VACANCY_DOWN, OFPTR_VACANCY_UP, OFPTT_ALL } from '../constants.ts';
import { INSTRUCTION_NAMES } from '../feature-bits.ts';
import type { TableConfig, TableMod, TableStats, TableStatus } from '../messages/table.ts';
import {
  type ActionFeatures,
  type InstructionFeatures,
  NO_INSTRUCTION_FEATURES,
  type TableFeatures,
} from '../messages/table-features.ts';
import { formatBits, type TextNames } from './common.ts';
import { formatActionNames } from './groups.ts';
import { bitNames } from './ports.ts';

const EVICTION = bitNames('OTHER', 'IMPORTANCE', 'LIFETIME');

function formatOnOff(on: boolean | null): string {
  return on === null ? 'default' : on ? 'on' : 'off';
}

function formatEvictionFlags(flags: number | null): string {
  return flags === null ? '(default)' : formatBits(flags, EVICTION, '|');
}

export function formatTableMod(m: TableMod, names: TextNames = {}): string {
  let text =
    m.table === OFPTT_ALL
      ? ' table_id: ALL_TABLES'
      : ` table_id=${formatTable(m.table, names.tables ?? null)}`;
  if (m.miss !== 'default') text += `, flow_miss_config=${m.miss}`;
  if (m.eviction !== null) text += `, eviction=${formatOnOff(m.eviction)}`;
  if (m.evictionFlags !== null) text += `, eviction_flags=${formatEvictionFlags(m.evictionFlags)}`;
  if (m.vacancyEvents !== null) {
    text += `, vacancy=${formatOnOff(m.vacancyEvents)}`;
    if (m.vacancyEvents) text += ` vacancy:${m.vacancy?.down ?? 0},${m.vacancy?.up ?? 0}`;
  }
  return text;
}

export function formatTableDesc(t: TableConfig, names: TextNames = {}): string {
  let text =
    `\n  table ${formatTable(t.table, names.tables ?? null)}:\n` +
    `   eviction=${formatOnOff(t.eviction)} eviction_flags=${formatEvictionFlags(t.evictionFlags)}\n` +
    `   vacancy=${formatOnOff(t.vacancyEvents)}`;
  if (t.vacancyEvents === true) {
    const { down = 0, up = 0, current = 0 } = t.vacancy ?? {};
    text += ` vacancy_down=${down}% vacancy_up=${up}% vacancy=${current}%`;
  }
  return `${text}\n`;
}

export function formatTableStatus(m: TableStatus, names: TextNames = {}): string {
  const reason =
    m.reason === OFPTR_VACANCY_DOWN
      ? ' reason=VACANCY_DOWN'
      : m.reason === OFPTR_VACANCY_UP
        ? ' reason=VACANCY_UP'
        : '';
  return `${reason}\ntable_desc:-${formatTableDesc(m.desc, names)}`;
}

// --- Features -------------------------------------------------------------------------------------------

const FIELD_ORDER: ReadonlyMap<Field, number> = new Map(FIELDS.map((field, i) => [field, i]));

function namesOf(fields: readonly Field[]): string[] {
  return fields
    .toSorted((a, b) => (FIELD_ORDER.get(a) ?? 0) - (FIELD_ORDER.get(b) ?? 0))
    .map((field) => field.name);
}

/** How much both start with, up to their last common `_`. */
function commonPrefix(a: string, b: string): number {
  let length = 0;
  for (let i = 0; i < a.length && a[i] === b[i]; i++) if (a[i] === '_') length = i + 1;
  return length;
}

/** Whether names are like `reg1` and `reg2`. */
function areSequential(a: string, b: string): boolean {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  const [x, y] = [a.slice(i), b.slice(i)];
  return /^\d{1,9}$/.test(x) && /^\d{1,9}$/.test(y) && Number(x) + 1 === Number(y);
}

function sequentialRun(ids: readonly string[]): number {
  let i = 1;
  while (i < ids.length && areSequential(ids[i - 1], ids[i])) i++;
  return i === 2 ? 1 : i;
}

function prefixRun(ids: readonly string[], from: number): { run: number; extra: number } {
  if (ids.length < 2) return { run: ids.length, extra: 0 };
  const extra = commonPrefix(ids[0].slice(from), ids[1].slice(from));
  if (extra === 0) return { run: 1, extra };
  let run = 2;
  while (run < ids.length && commonPrefix(ids[0].slice(from), ids[run].slice(from)) > 0) run++;
  return { run, extra };
}

/** Names with what they share said once: `reg0...reg7 ip_{src,dst}`. */
export function formatNames(ids: readonly string[], from = 0): string {
  const groups: string[] = [];
  for (let at = 0; at < ids.length; ) {
    const rest = ids.slice(at);
    const prefix = prefixRun(rest, from);
    const suffix = sequentialRun(rest);
    const run = Math.max(prefix.run, suffix);
    if (suffix >= prefix.run) {
      groups.push(rest[0].slice(from) + (run > 1 ? `...${rest[run - 1].slice(from)}` : ''));
    } else {
      const head = rest[0].slice(from, from + prefix.extra);
      groups.push(`${head}{${formatNames(rest.slice(0, run), from + prefix.extra)}}`);
    }
    at += run;
  }
  return groups.join(from > 0 ? ',' : ' ');
}

function formatFields(fields: readonly Field[]): string {
  return fields.length === 0 ? '' : ` ${formatNames(namesOf(fields))}`;
}

function equalSets<T>(a: readonly T[], b: readonly T[]): boolean {
  if (a.length !== b.length) return false;
  const set = new Set(b);
  return a.every((item) => set.has(item));
}

function equalActions(a: ActionFeatures, b: ActionFeatures): boolean {
  return equalSets(a.actions, b.actions) && equalSets(a.setFields, b.setFields);
}

/** Next tables that differ only as of each table's being behind its predecessor count as the same. */
function equalNext(a: readonly number[], aTable: number, b: readonly number[], bTable: number): boolean {
  if (bTable === aTable + 1 && a.includes(bTable) && !b.includes(bTable)) {
    return equalSets(
      a.filter((table) => table !== bTable),
      b,
    );
  }
  if (aTable === bTable + 1 && b.includes(aTable) && !a.includes(aTable)) {
    return equalNext(b, bTable, a, aTable);
  }
  return equalSets(a, b);
}

function equalInstructions(
  a: InstructionFeatures,
  aTable: number,
  b: InstructionFeatures,
  bTable: number,
): boolean {
  return (
    equalNext(a.nextTables, aTable, b.nextTables, bTable) &&
    equalSets(a.instructions, b.instructions) &&
    equalActions(a.write, b.write) &&
    equalActions(a.apply, b.apply)
  );
}

function equalFeatures(a: TableFeatures, b: TableFeatures): boolean {
  return (
    a.metadataMatch === b.metadataMatch &&
    a.metadataWrite === b.metadataWrite &&
    a.miss === b.miss &&
    a.supportsEviction === b.supportsEviction &&
    a.supportsVacancyEvents === b.supportsVacancyEvents &&
    a.maxEntries === b.maxEntries &&
    equalInstructions(a.nonmiss, a.table, b.nonmiss, b.table) &&
    equalInstructions(a.missFlow, a.table, b.missFlow, b.table) &&
    equalSets(a.match, b.match)
  );
}

function noActions(a: ActionFeatures): boolean {
  return a.actions.length === 0 && a.setFields.length === 0;
}

function noInstructions(f: InstructionFeatures): boolean {
  return f.nextTables.length === 0 && f.instructions.length === 0 && noActions(f.write) && noActions(f.apply);
}

function noFeatures(f: TableFeatures): boolean {
  return (
    f.metadataMatch === 0n &&
    f.metadataWrite === 0n &&
    f.miss === 'default' &&
    f.supportsEviction === null &&
    f.supportsVacancyEvents === null &&
    f.maxEntries === 0 &&
    noInstructions(f.nonmiss) &&
    noInstructions(f.missFlow) &&
    f.match.length === 0
  );
}

function formatActionFeatures(a: ActionFeatures): string {
  let text = '';
  if (a.actions.length > 0) text += `        actions: ${formatActionNames(a.actions)}\n`;
  if (a.setFields.length > 0) text += `        supported on Set-Field:${formatFields(a.setFields)}\n`;
  return text;
}

function formatTables(tables: readonly number[]): string {
  const ranges: string[] = [];
  for (let i = 0; i < tables.length; ) {
    let end = i + 1;
    while (end < tables.length && tables[end] === tables[end - 1] + 1) end++;
    ranges.push(end === i + 1 ? String(tables[i]) : `${tables[i]}-${tables[end - 1]}`);
    i = end;
  }
  return ranges.join(',');
}

function formatInstructions(f: InstructionFeatures, prev: InstructionFeatures | null): string {
  let text = '';
  if (f.nextTables.length > 0) text += `      next tables: ${formatTables(f.nextTables)}\n`;
  if (f.instructions.length > 0) {
    const names = INSTRUCTION_NAMES.filter((name) => f.instructions.includes(name));
    text +=
      prev !== null && equalSets(f.instructions, prev.instructions)
        ? '      (same instructions)\n'
        : `      instructions: ${names.join(' ')}\n`;
  }
  const same = prev !== null && equalActions(f.write, prev.write) && equalActions(f.apply, prev.apply);
  if (same && f.write.setFields.length > 0) {
    text += '      (same actions)\n';
  } else if (!equalActions(f.write, f.apply)) {
    text +=
      `      Write-Actions features:\n${formatActionFeatures(f.write)}` +
      `      Apply-Actions features:\n${formatActionFeatures(f.apply)}`;
  } else if (!noActions(f.write)) {
    text += `      Write-Actions and Apply-Actions features:\n${formatActionFeatures(f.write)}`;
  }
  return text;
}

function formatFeatureBody(f: TableFeatures, prev: TableFeatures | null): string {
  let text = '';
  const hex = (n: bigint): string => (n === 0n ? '0' : `0x${n.toString(16)}`);
  if (f.metadataMatch !== 0n || f.metadataWrite !== 0n) {
    text += `    metadata: match=${hex(f.metadataMatch)} write=${hex(f.metadataWrite)}\n`;
  }
  if (f.miss !== 'default') text += `    config=${f.miss}\n`;
  const supported = (yes: boolean): string => (yes ? 'supported' : 'not supported');
  if (f.supportsEviction !== null) text += `    eviction: ${supported(f.supportsEviction)}\n`;
  if (f.supportsVacancyEvents !== null) {
    text += `    vacancy events: ${supported(f.supportsVacancyEvents)}\n`;
  }
  if (f.maxEntries !== 0) text += `    max_entries=${f.maxEntries}\n`;
  if (
    prev !== null &&
    equalInstructions(f.nonmiss, f.table, prev.nonmiss, prev.table) &&
    equalInstructions(f.missFlow, f.table, prev.missFlow, prev.table)
  ) {
    if (!noInstructions(f.nonmiss)) text += '    (same instructions)\n';
  } else if (!equalInstructions(f.nonmiss, f.table, f.missFlow, f.table)) {
    text +=
      `    instructions (other than table miss):\n${formatInstructions(f.nonmiss, prev?.nonmiss ?? null)}` +
      `    instructions (table miss):\n${formatInstructions(f.missFlow, prev?.missFlow ?? null)}`;
  } else if (!noInstructions(f.nonmiss)) {
    text += `    instructions (table miss and others):\n${formatInstructions(f.nonmiss, prev?.nonmiss ?? null)}`;
  }
  if (f.match.length > 0) {
    if (prev !== null && equalSets(f.match, prev.match)) {
      text += '    (same matching)\n';
    } else {
      text += '    matching:\n';
      const part = (masked: boolean, optional: boolean, title: string): string => {
        const fields = f.match.filter(
          (field) => f.mask.includes(field) === masked && f.wildcard.includes(field) === optional,
        );
        return fields.length === 0 ? '' : `      ${title}:${formatFields(fields)}\n`;
      };
      text +=
        part(true, true, 'arbitrary mask') +
        part(false, true, 'exact match or wildcard') +
        part(false, false, 'must exact match');
    }
  }
  return text;
}

interface TableText {
  readonly features: TableFeatures;
  readonly stats: TableStats | null;
}

function equalStats(a: TableStats, b: TableStats): boolean {
  return (
    a.activeCount === b.activeCount && a.lookupCount === b.lookupCount && a.matchedCount === b.matchedCount
  );
}

/** Tables one after the other, those that are like the one before them as `ditto`. */
export function formatTableFeatures(tables: readonly TableText[]): string {
  let text = '';
  let prev: TableText | null = null;
  let ditto: { first: number; last: number } | null = null;
  const finish = (): void => {
    if (ditto === null) return;
    const { first, last } = ditto;
    text += `\n  ${first === last ? `table ${first}` : `tables ${first}...${last}`}: ditto\n`;
    ditto = null;
  };
  for (const { features, stats } of tables) {
    if (prev === null && features.command !== 'replace') text += `\n  command: ${features.command}`;
    const before: TableText | null = prev;
    prev = { features, stats };
    const { table } = features;
    const sameStats =
      stats === null || (before !== null && before.stats !== null && equalStats(stats, before.stats));
    const sameFeatures = before !== null && equalFeatures(features, before.features);
    if (sameStats && sameFeatures && features.name === '') {
      ditto = { first: (ditto as { first: number } | null)?.first ?? table, last: table };
      continue;
    }
    finish();
    text += `\n  table ${table}${features.name === '' ? '' : ` ("${features.name}")`}:`;
    if (sameStats && sameFeatures) {
      text += ' ditto';
      continue;
    }
    text += '\n';
    if (stats !== null) {
      text += `    active=${stats.activeCount}, lookup=${stats.lookupCount}, matched=${stats.matchedCount}\n`;
    }
    if (!sameFeatures) text += formatFeatureBody(features, before?.features ?? null);
    else if (!noFeatures(features)) text += '    (same features)\n';
  }
  finish();
  return text;
}

const NO_FEATURES: Omit<TableFeatures, 'table'> = {
  command: 'replace',
  name: '',
  metadataMatch: 0n,
  metadataWrite: 0n,
  maxEntries: 0,
  miss: 'default',
  supportsEviction: null,
  supportsVacancyEvents: null,
  anyProperties: false,
  nonmiss: NO_INSTRUCTION_FEATURES,
  missFlow: NO_INSTRUCTION_FEATURES,
  match: [],
  wildcard: [],
  mask: [],
};

export function formatTableStats(tables: readonly TableStats[]): string {
  return formatTableFeatures(
    tables.map((stats) => ({ stats, features: stats.features ?? { ...NO_FEATURES, table: stats.table } })),
  );
}
