import type { Field } from '../../flow/field.ts';
import type { Reader, Writer } from '../bytes.ts';
import { OFPTT_ALL } from '../constants.ts';
import { type Codec, codec, type DecodeContext, indexIn, kindOf, multipartHead, reject } from '../family.ts';
import {
  actionsFromBits,
  actionsToBits,
  inOrder,
  instructionsFromBits,
  instructionsToBits,
  readFieldIds,
  readTypeIds,
  writeFieldIds,
  writeTypeIds,
} from '../feature-bits.ts';
import type { Header, Multipart } from '../header.ts';
import { readProperties, unknownProperty, writeProperty } from '../properties.ts';
import { OF14, OF15, type OfVersion } from '../version.ts';
import type { TableMiss } from './table.ts';

/** Instructions by name, as features tell them. */
export type InstructionName =
  | 'meter'
  | 'apply_actions'
  | 'clear_actions'
  | 'write_actions'
  | 'write_metadata'
  | 'goto_table';

/** Standard actions by name, as features tell them. */
export type ActionName =
  | 'output'
  | 'set_field'
  | 'set_vlan_vid'
  | 'set_vlan_pcp'
  | 'strip_vlan'
  | 'push_vlan'
  | 'mod_dl_src'
  | 'mod_dl_dst'
  | 'mod_nw_src'
  | 'mod_nw_dst'
  | 'mod_nw_tos'
  | 'mod_nw_ecn'
  | 'mod_tp_src'
  | 'mod_tp_dst'
  | 'enqueue'
  | 'set_queue'
  | 'group'
  | 'set_mpls_label'
  | 'set_mpls_tc'
  | 'set_mpls_ttl'
  | 'dec_mpls_ttl'
  | 'push_mpls'
  | 'pop_mpls'
  | 'mod_nw_ttl'
  | 'dec_ttl';

export interface ActionFeatures {
  readonly actions: readonly ActionName[];
  /** Fields that a set-field action may set. */
  readonly setFields: readonly Field[];
}

/** What flows of a table can do. */
export interface InstructionFeatures {
  readonly instructions: readonly InstructionName[];
  /** Tables that goto_table may go to, ascending. */
  readonly nextTables: readonly number[];
  readonly write: ActionFeatures;
  readonly apply: ActionFeatures;
}

export interface TableFeatures {
  /** OpenFlow 1.5; before it `replace`. */
  readonly command: 'replace' | 'modify' | 'enable' | 'disable';
  readonly table: number;
  /** Up to 31 bytes. */
  readonly name: string;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  readonly maxEntries: number;
  /** OpenFlow 1.1 and 1.2. */
  readonly miss: TableMiss;
  /** OpenFlow 1.4 and later; null before. */
  readonly supportsEviction: boolean | null;
  readonly supportsVacancyEvents: boolean | null;
  /** False: the request had no properties, and so changes nothing of what follows. */
  readonly anyProperties: boolean;
  /** Of ordinary flows, and of the flow of priority 0 that matches all. */
  readonly nonmiss: InstructionFeatures;
  readonly missFlow: InstructionFeatures;
  /** Fields that can be matched; a subset of them that need not be; and one that can have any mask. */
  readonly match: readonly Field[];
  readonly wildcard: readonly Field[];
  readonly mask: readonly Field[];
}

/** With tables in the request, it asks to change them. */
export interface TableFeaturesMessage extends Header, Multipart {
  readonly kind: 'table_features_request' | 'table_features_reply';
  readonly tables: readonly TableFeatures[];
}

const LENGTH = 64;
const NAME_LENGTH = 32;
const CONFIG_EVICTION = 1 << 2;
const CONFIG_VACANCY = 1 << 3;
const COMMANDS: readonly TableFeatures['command'][] = ['replace', 'modify', 'enable', 'disable'];

/** Numbers of properties; those of the table-miss flow are one more. */
const INSTRUCTIONS = 0;
const NEXT_TABLES = 2;
const WRITE_ACTIONS = 4;
const APPLY_ACTIONS = 6;
const MATCH = 8;
const WILDCARDS = 10;
const WRITE_SETFIELD = 12;
const APPLY_SETFIELD = 14;
/** Properties that must be there, where any must. */
const REQUIRED = [
  INSTRUCTIONS,
  NEXT_TABLES,
  WRITE_ACTIONS,
  APPLY_ACTIONS,
  MATCH,
  WILDCARDS,
  WRITE_SETFIELD,
  APPLY_SETFIELD,
];
const EXPERIMENTER = 0xfffe;

/** What no message has said anything about. */
export const NO_INSTRUCTION_FEATURES: InstructionFeatures = {
  instructions: [],
  nextTables: [],
  write: { actions: [], setFields: [] },
  apply: { actions: [], setFields: [] },
};

/** Properties as they arrive; what is missing of the table-miss flow is like that of others. */
interface Parts {
  instructions: Map<number, InstructionName[]>;
  nextTables: Map<number, number[]>;
  actions: Map<number, ActionName[]>;
  setFields: Map<number, Field[]>;
  match: Field[];
  mask: Field[];
  wildcard: Field[];
  seen: Set<number>;
}

function readNextTables(r: Reader): number[] {
  const tables = new Set<number>();
  while (r.left > 0) {
    const table = r.u8();
    if (table === OFPTT_ALL) reject('OFPBPC_BAD_VALUE', 'table features: 255 is no next table');
    tables.add(table);
  }
  return [...tables].sort((a, b) => a - b);
}

function exactOnly({ exact, masked }: { exact: Field[]; masked: Field[] }): Field[] {
  if (masked.length > 0) reject('OFPBMC_BAD_MASK', `table features: ${masked[0].name} has a mask flag`);
  return exact;
}

function readParts(r: Reader, version: OfVersion, loose: boolean): Parts {
  const parts: Parts = {
    instructions: new Map(),
    nextTables: new Map(),
    actions: new Map(),
    setFields: new Map(),
    match: [],
    mask: [],
    wildcard: [],
    seen: new Set(),
  };
  for (const property of readProperties(r, EXPERIMENTER)) {
    const { type, payload } = property;
    if (property.experimenter === 0 && type < 32) {
      if (parts.seen.has(type))
        reject('OFPTFFC_BAD_FEATURES', `table features: property ${type} given twice`);
      parts.seen.add(type);
    }
    const miss = type & 1;
    switch (property.experimenter === 0 ? type & ~1 : -1) {
      case INSTRUCTIONS:
        parts.instructions.set(miss, instructionsFromBits(readInstructionIds(payload, loose), version));
        break;
      case NEXT_TABLES:
        parts.nextTables.set(miss, readNextTables(payload));
        break;
      case WRITE_ACTIONS:
      case APPLY_ACTIONS:
        parts.actions.set(type, actionsFromBits(readTypeIds(payload), version));
        break;
      case WRITE_SETFIELD:
      case APPLY_SETFIELD:
        parts.setFields.set(type, exactOnly(readFieldIds(payload, loose)));
        break;
      case MATCH:
        if (miss === 1) throw unknownProperty(property, 'table features');
        ({ exact: parts.match, masked: parts.mask } = readFieldIds(payload, loose));
        break;
      case WILDCARDS:
        if (miss === 1) throw unknownProperty(property, 'table features');
        parts.wildcard = exactOnly(readFieldIds(payload, loose));
        break;
      default:
        if (!loose) throw unknownProperty(property, 'table features');
    }
  }
  return parts;
}

const KNOWN_INSTRUCTIONS = 0x7e;

function readInstructionIds(r: Reader, loose: boolean): number {
  const bits = readTypeIds(r);
  if (!loose && (bits & ~KNOWN_INSTRUCTIONS) !== 0) {
    reject('OFPBIC_UNKNOWN_INST', `table features: unknown instructions 0x${bits.toString(16)}`);
  }
  return bits;
}

function instructionFeatures(parts: Parts, miss: 0 | 1): InstructionFeatures {
  const of = <T>(map: ReadonlyMap<number, T>, type: number, none: T): T =>
    map.get(type + miss) ?? map.get(type) ?? none;
  return {
    instructions: of(parts.instructions, 0, []),
    nextTables: of(parts.nextTables, 0, []),
    write: {
      actions: of(parts.actions, WRITE_ACTIONS, []),
      setFields: of(parts.setFields, WRITE_SETFIELD, []),
    },
    apply: {
      actions: of(parts.actions, APPLY_ACTIONS, []),
      setFields: of(parts.setFields, APPLY_SETFIELD, []),
    },
  };
}

function readTableFeatures(r: Reader, c: DecodeContext): TableFeatures {
  const loose = c.raw.reply;
  if (r.left < LENGTH) reject('OFPBPC_BAD_LEN', `table features cut short: ${r.left} bytes`);
  const length = r.u16();
  if (length < LENGTH || length % 8 !== 0 || length - 2 > r.left) {
    reject('OFPBPC_BAD_LEN', `table features of length ${length}, ${r.left + 2} are there`);
  }
  const entry = r.sub(length - 2);
  const table = entry.u8();
  const command = entry.u8();
  if (c.version >= OF15 && !(command in COMMANDS)) {
    reject('OFPTFFC_BAD_COMMAND', `table features command ${command}, at most 3`);
  }
  if (table === OFPTT_ALL) reject('OFPTFFC_BAD_TABLE', 'table features of table 255');
  entry.skip(4);
  const name = entry.text(NAME_LENGTH);
  const metadataMatch = entry.u64();
  const metadataWrite = entry.u64();
  const capabilities = entry.u32();
  const maxEntries = entry.u32();
  const anyProperties = entry.left > 0;
  const parts = readParts(entry, c.version, loose);
  const missing = REQUIRED.filter((type) => !parts.seen.has(type));
  if (missing.length > 0 && (anyProperties || c.version < OF15)) {
    reject('OFPTFFC_BAD_FEATURES', `features of table ${table} lack properties ${missing.join(', ')}`);
  }
  const match = inOrder(new Set([...parts.match, ...parts.mask]));
  const wildcard = inOrder(new Set([...parts.wildcard, ...parts.mask])).filter((f) => match.includes(f));
  return {
    command: c.version >= OF15 ? COMMANDS[command] : 'replace',
    table,
    name,
    metadataMatch,
    metadataWrite,
    maxEntries,
    miss: 'default',
    supportsEviction: c.version >= OF14 ? (capabilities & CONFIG_EVICTION) !== 0 : null,
    supportsVacancyEvents: c.version >= OF14 ? (capabilities & CONFIG_VACANCY) !== 0 : null,
    anyProperties,
    nonmiss: instructionFeatures(parts, 0),
    missFlow: instructionFeatures(parts, 1),
    match,
    wildcard,
    mask: parts.mask,
  };
}

function writeInstructionFeatures(w: Writer, f: InstructionFeatures, miss: 0 | 1, version: OfVersion): void {
  const put = (type: number, body: () => void): void => writeProperty(w, type + miss, body);
  put(INSTRUCTIONS, () => writeTypeIds(w, instructionsToBits(f.instructions, version)));
  put(NEXT_TABLES, () => {
    for (const table of f.nextTables) w.u8(table);
  });
  put(WRITE_ACTIONS, () => writeTypeIds(w, actionsToBits(f.write.actions, version)));
  put(WRITE_SETFIELD, () => writeFieldIds(w, f.write.setFields, [], version));
  put(APPLY_ACTIONS, () => writeTypeIds(w, actionsToBits(f.apply.actions, version)));
  put(APPLY_SETFIELD, () => writeFieldIds(w, f.apply.setFields, [], version));
}

function writeTableFeatures(w: Writer, f: TableFeatures, version: OfVersion): void {
  const start = w.length;
  let capabilities = 0;
  if (version >= OF14 && f.supportsEviction === true) capabilities |= CONFIG_EVICTION;
  if (version >= OF14 && f.supportsVacancyEvents === true) capabilities |= CONFIG_VACANCY;
  w.u16(0);
  w.u8(f.table);
  w.u8(version >= OF15 ? indexIn(COMMANDS, f.command) : 0);
  w.u32(0);
  w.text(f.name, NAME_LENGTH);
  w.u64(f.metadataMatch);
  w.u64(f.metadataWrite);
  w.u32(capabilities);
  w.u32(f.maxEntries);
  if (f.anyProperties) {
    writeInstructionFeatures(w, f.nonmiss, 0, version);
    writeInstructionFeatures(w, f.missFlow, 1, version);
    writeProperty(w, MATCH, () => writeFieldIds(w, f.match, f.mask, version));
    writeProperty(w, WILDCARDS, () => writeFieldIds(w, f.wildcard, [], version));
  }
  w.setU16(start, w.length - start);
}

const KINDS = ['table_features_request', 'table_features_reply'] as const;

const tableFeatures = codec(
  KINDS,
  (r, c) => {
    const tables: TableFeatures[] = [];
    while (r.left > 0) tables.push(readTableFeatures(r, c));
    return { ...multipartHead(c, kindOf(c, KINDS)), tables };
  },
  ({ tables }, out) => {
    for (const table of tables) out.entry((w) => writeTableFeatures(w, table, out.version));
  },
);

export const tableFeaturesCodecs: readonly Codec[] = [tableFeatures];
