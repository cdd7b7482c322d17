import type { Reader, Writer } from '../bytes.ts';
import { type Codec, codec, head, multipartHead, reject } from '../family.ts';
import {
  actionsFromBits,
  actionsToBits,
  inOrder,
  instructionsFromBits,
  instructionsToBits,
  legacyFieldsFromBits,
  legacyFieldsToBits,
  oxmFieldsFromBits,
  oxmFieldsToBits,
} from '../feature-bits.ts';
import type { Header, Multipart } from '../header.ts';
import { type Property, propertyU32, readProperties, writeProperty } from '../properties.ts';
import { OF10, OF11, OF12, OF13, OF14, type OfVersion } from '../version.ts';
import { type InstructionFeatures, NO_INSTRUCTION_FEATURES, type TableFeatures } from './table-features.ts';

/** What becomes of packets that miss; OpenFlow 1.1 and 1.2 only, elsewhere `default`. */
export type TableMiss = 'default' | 'controller' | 'continue' | 'drop';

export interface Vacancy {
  /** Percent of the table that is free: event when it falls below, or rises above. */
  readonly down: number;
  readonly up: number;
  /** As it is now; 0 in requests. */
  readonly current: number;
}

/** OpenFlow 1.4 and later, but for the id. */
export interface TableConfig {
  /** OFPTT_ALL: all, in a table mod. */
  readonly table: number;
  /** null: not said. */
  readonly eviction: boolean | null;
  /** OFPTMPEF_*; null: not said. */
  readonly evictionFlags: number | null;
  readonly vacancyEvents: boolean | null;
  readonly vacancy: Vacancy | null;
}

export interface TableMod extends Header, TableConfig {
  readonly kind: 'table_mod';
  readonly miss: TableMiss;
}

export interface TableDescReply extends Header, Multipart {
  readonly kind: 'table_desc_reply';
  readonly tables: readonly TableConfig[];
}

export interface TableStatus extends Header {
  readonly kind: 'table_status';
  /** OFPTR_* */
  readonly reason: number;
  readonly desc: TableConfig;
}

export interface TableStats {
  readonly table: number;
  readonly activeCount: number;
  readonly lookupCount: bigint;
  readonly matchedCount: bigint;
  /** Up to OpenFlow 1.2, whose table stats tell features too; null from 1.3 on. */
  readonly features: TableFeatures | null;
}

export interface TableStatsReply extends Header, Multipart {
  readonly kind: 'table_stats_reply';
  readonly tables: readonly TableStats[];
}

const CONFIG_EVICTION = 1 << 2;
const CONFIG_VACANCY = 1 << 3;
const PROP_EVICTION = 2;
const PROP_VACANCY = 3;
const DESC_LENGTH = 8;
const NAME_LENGTH = 32;
/** What becomes of misses, by the number in OpenFlow 1.1 and 1.2. */
const MISSES: readonly TableMiss[] = ['controller', 'continue', 'drop'];

function missFromConfig(config: number, version: number): TableMiss {
  if (version !== OF11 && version !== OF12) return 'default';
  return MISSES[config & 3] ?? 'controller';
}

function missToConfig(miss: TableMiss, version: number): number {
  return version === OF11 || version === OF12 ? Math.max(0, MISSES.indexOf(miss)) : 0;
}

function configWord(config: Pick<TableConfig, 'eviction' | 'vacancyEvents'>, version: number): number {
  if (version < OF14) return 0;
  return (
    (config.eviction === true ? CONFIG_EVICTION : 0) | (config.vacancyEvents === true ? CONFIG_VACANCY : 0)
  );
}

function readVacancy({ payload }: Property): Vacancy {
  if (payload.left !== 4)
    reject('OFPBPC_BAD_LEN', `vacancy property: payload of ${payload.left} bytes, must be 4`);
  return { down: payload.u8(), up: payload.u8(), current: payload.u8() };
}

function checkVacancy({ down, up, current }: Vacancy): void {
  if (down > up || up > 100 || current !== 0) {
    reject(
      'OFPBPC_BAD_VALUE',
      `vacancy events at ${down}% and ${up}%, now ${current}%: must be ascending, at most 100, and now 0`,
    );
  }
}

/** Eviction flags and vacancy thresholds, where they are said. */
function readConfigProperties(
  r: Reader,
  onUnknown: (p: Property) => void,
): Pick<TableConfig, 'evictionFlags' | 'vacancy'> {
  let evictionFlags: number | null = null;
  let vacancy: Vacancy | null = null;
  for (const property of readProperties(r)) {
    if (property.experimenter === 0 && property.type === PROP_EVICTION) evictionFlags = propertyU32(property);
    else if (property.experimenter === 0 && property.type === PROP_VACANCY) vacancy = readVacancy(property);
    else onUnknown(property);
  }
  return { evictionFlags, vacancy };
}

function writeConfigProperties(
  w: Writer,
  { evictionFlags, vacancyEvents, vacancy }: TableConfig,
  now: boolean,
): void {
  if (evictionFlags !== null) writeProperty(w, PROP_EVICTION, () => w.u32(evictionFlags));
  if (vacancyEvents !== true || vacancy === null) return;
  writeProperty(w, PROP_VACANCY, () => {
    w.u8(vacancy.down);
    w.u8(vacancy.up);
    w.u8(now ? vacancy.current : 0);
    w.u8(0);
  });
}

const tableMod = codec(
  ['table_mod'],
  (r, c) => {
    const table = r.u8();
    r.skip(3);
    const word = r.u32();
    const miss = missFromConfig(word, c.version);
    if (c.version < OF14) {
      const none = { eviction: null, evictionFlags: null, vacancyEvents: null, vacancy: null };
      return { ...head(c, 'table_mod'), table, miss, ...none };
    }
    const properties = readConfigProperties(r, (p) =>
      reject('OFPBRC_BAD_TYPE', `table mod: unknown property ${p.type}`),
    );
    if (properties.vacancy !== null) checkVacancy(properties.vacancy);
    return {
      ...head(c, 'table_mod'),
      table,
      miss,
      eviction: (word & CONFIG_EVICTION) !== 0,
      vacancyEvents: (word & CONFIG_VACANCY) !== 0,
      ...properties,
    };
  },
  (m, { w, version }) => {
    w.u8(m.table);
    w.zeros(3);
    w.u32(missToConfig(m.miss, version) | configWord(m, version));
    if (version >= OF14) writeConfigProperties(w, m, false);
  },
);

function readDesc(r: Reader): TableConfig {
  const length = r.u16();
  const table = r.u8();
  r.skip(1);
  const word = r.u32();
  if (length < DESC_LENGTH || length - DESC_LENGTH > r.left) {
    reject('OFPBRC_BAD_LEN', `table description of length ${length}, ${r.left + DESC_LENGTH} are there`);
  }
  const properties = readConfigProperties(r.sub(length - DESC_LENGTH), () => {});
  return {
    table,
    eviction: (word & CONFIG_EVICTION) !== 0,
    vacancyEvents: (word & CONFIG_VACANCY) !== 0,
    ...properties,
  };
}

function writeDesc(w: Writer, desc: TableConfig, version: number): void {
  const start = w.length;
  w.u16(0);
  w.u8(desc.table);
  w.u8(0);
  w.u32(configWord(desc, version));
  writeConfigProperties(w, desc, true);
  w.setU16(start, w.length - start);
}

const tableDesc = codec(
  ['table_desc_reply'],
  (r, c) => {
    const tables: TableConfig[] = [];
    while (r.left > 0) tables.push(readDesc(r));
    return { ...multipartHead(c, 'table_desc_reply'), tables };
  },
  ({ tables }, out) => {
    for (const table of tables) out.entry((w) => writeDesc(w, table, out.version));
  },
);

const tableStatus = codec(
  ['table_status'],
  (r, c) => {
    const reason = r.u8();
    r.skip(7);
    if (reason !== 3 && reason !== 4) reject('OFPBPC_BAD_VALUE', `table status of reason ${reason}, 3 or 4`);
    return { ...head(c, 'table_status'), reason, desc: readDesc(r) };
  },
  ({ reason, desc }, { w, version }) => {
    w.u8(reason);
    w.zeros(7);
    writeDesc(w, desc, version);
  },
);

/** Features of which table stats tell nothing. */
const UNTOLD = {
  command: 'replace',
  metadataMatch: 0n,
  metadataWrite: 0n,
  miss: 'default',
  supportsEviction: null,
  supportsVacancyEvents: null,
  anyProperties: false,
  nonmiss: NO_INSTRUCTION_FEATURES,
  missFlow: NO_INSTRUCTION_FEATURES,
  mask: [],
} as const satisfies Partial<TableFeatures>;

function readCounts(r: Reader): Pick<TableStats, 'activeCount' | 'lookupCount' | 'matchedCount'> {
  return { activeCount: r.u32(), lookupCount: r.u64(), matchedCount: r.u64() };
}

function readTableStats(r: Reader, version: OfVersion): TableStats {
  const table = r.u8();
  r.skip(version === OF11 || version === OF12 ? 7 : 3);
  if (version >= OF13) return { table, ...readCounts(r), features: null };
  const name = r.text(NAME_LENGTH);
  if (version === OF10) {
    const fields = legacyFieldsFromBits(r.u32(), version);
    const features = { ...UNTOLD, table, name, maxEntries: r.u32(), match: fields, wildcard: fields };
    return { table, ...readCounts(r), features };
  }
  return version === OF11 ? readOf11TableStats(r, table, name) : readOf12TableStats(r, table, name);
}

function readOf11TableStats(r: Reader, table: number, name: string): TableStats {
  const wildcard = legacyFieldsFromBits(r.u32(), OF11);
  const match = legacyFieldsFromBits(r.u32(), OF11);
  const instructions = instructionsFromBits(r.u32(), OF11);
  const write = { actions: actionsFromBits(r.u32(), OF11), setFields: [] };
  const apply = { actions: actionsFromBits(r.u32(), OF11), setFields: [] };
  const miss = missFromConfig(r.u32(), OF11);
  const maxEntries = r.u32();
  const nonmiss: InstructionFeatures = { instructions, nextTables: [], write, apply };
  const features: TableFeatures = {
    ...UNTOLD,
    table,
    name,
    maxEntries,
    miss,
    nonmiss,
    missFlow: nonmiss,
    match: inOrder(new Set([...match, ...wildcard])),
    wildcard,
  };
  return { table, ...readCounts(r), features };
}

function readOf12TableStats(r: Reader, table: number, name: string): TableStats {
  const match = oxmFieldsFromBits(r.u64(), OF12);
  const wildcard = oxmFieldsFromBits(r.u64(), OF12);
  const writeActions = actionsFromBits(r.u32(), OF12);
  const applyActions = actionsFromBits(r.u32(), OF12);
  const writeFields = oxmFieldsFromBits(r.u64(), OF12);
  const applyFields = oxmFieldsFromBits(r.u64(), OF12);
  const metadataMatch = r.u64();
  const metadataWrite = r.u64();
  const instructions = instructionsFromBits(r.u32(), OF12);
  const miss = missFromConfig(r.u32(), OF12);
  const maxEntries = r.u32();
  const nonmiss: InstructionFeatures = {
    instructions,
    nextTables: [],
    write: { actions: writeActions, setFields: writeFields },
    apply: { actions: applyActions, setFields: applyFields },
  };
  const features: TableFeatures = {
    ...UNTOLD,
    table,
    name,
    metadataMatch,
    metadataWrite,
    maxEntries,
    miss,
    nonmiss,
    missFlow: nonmiss,
    match: inOrder(new Set([...match, ...wildcard])),
    wildcard,
  };
  return { table, ...readCounts(r), features };
}

function writeTableStats(w: Writer, s: TableStats, version: OfVersion): void {
  w.u8(s.table);
  w.zeros(version === OF11 || version === OF12 ? 7 : 3);
  if (version < OF13) writeFeaturesInStats(w, s, version);
  w.u32(s.activeCount);
  w.u64(s.lookupCount);
  w.u64(s.matchedCount);
}

function writeFeaturesInStats(w: Writer, s: TableStats, version: OfVersion): void {
  const f: TableFeatures = s.features ?? {
    ...UNTOLD,
    table: s.table,
    name: '',
    maxEntries: 0,
    match: [],
    wildcard: [],
  };
  const { nonmiss } = f;
  w.text(f.name, NAME_LENGTH);
  if (version === OF12) {
    w.u64(oxmFieldsToBits(f.match, version));
    w.u64(oxmFieldsToBits(f.wildcard, version));
    w.u32(actionsToBits(nonmiss.write.actions, version));
    w.u32(actionsToBits(nonmiss.apply.actions, version));
    w.u64(oxmFieldsToBits(nonmiss.write.setFields, version));
    w.u64(oxmFieldsToBits(nonmiss.apply.setFields, version));
    w.u64(f.metadataMatch);
    w.u64(f.metadataWrite);
    w.u32(instructionsToBits(nonmiss.instructions, version));
  } else {
    // These versions do not tell a field that cannot be matched from one that can be wild.
    w.u32(legacyFieldsToBits((field) => !f.match.includes(field) || f.wildcard.includes(field), version));
    if (version === OF11) {
      w.u32(legacyFieldsToBits((field) => f.match.includes(field), version));
      w.u32(instructionsToBits(nonmiss.instructions, version));
      w.u32(actionsToBits(nonmiss.write.actions, version));
      w.u32(actionsToBits(nonmiss.apply.actions, version));
    }
  }
  if (version !== OF10) w.u32(missToConfig(f.miss, version));
  w.u32(f.maxEntries);
}

const tableStats = codec(
  ['table_stats_reply'],
  (r, c) => {
    const tables: TableStats[] = [];
    while (r.left > 0) tables.push(readTableStats(r, c.version));
    return { ...multipartHead(c, 'table_stats_reply'), tables };
  },
  ({ tables }, out) => {
    for (const table of tables) out.entry((w) => writeTableStats(w, table, out.version));
  },
);

export const tableCodecs: readonly Codec[] = [tableMod, tableDesc, tableStatus, tableStats];
