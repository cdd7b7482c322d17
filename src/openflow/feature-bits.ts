/**
 * Sets of actions, instructions and fields that feature messages tell: by name here, as bits or lists
 * of headers on the wire.
 */
import type { Field } from '../flow/field.ts';
import { F, FIELDS } from '../flow/fields.ts';
import type { Reader, Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import type { ActionName, InstructionName } from './messages/table-features.ts';
import { fieldNumber, oxmField, readOxmHeader, writeOxmHeader } from './oxm.ts';
import { OF10, OF11, OF13 } from './version.ts';

/** Standard actions in the order in which feature texts list them. */
export const ACTION_NAMES: readonly ActionName[] = [
  'output',
  'group',
  'enqueue',
  'set_field',
  'set_vlan_vid',
  'set_vlan_pcp',
  'strip_vlan',
  'push_vlan',
  'mod_dl_src',
  'mod_dl_dst',
  'mod_nw_src',
  'mod_nw_dst',
  'mod_nw_tos',
  'mod_nw_ecn',
  'mod_nw_ttl',
  'mod_tp_src',
  'mod_tp_dst',
  'dec_ttl',
  'set_mpls_label',
  'set_mpls_tc',
  'set_mpls_ttl',
  'dec_mpls_ttl',
  'push_mpls',
  'pop_mpls',
  'set_queue',
];

type Numbers<T extends string> = Readonly<Partial<Record<T, number>>>;

/** Numbers of action types (OFPAT_*): 1.0, 1.1, and 1.2 and later. */
const OF10_ACTIONS: Numbers<ActionName> = {
  output: 0,
  set_vlan_vid: 1,
  set_vlan_pcp: 2,
  strip_vlan: 3,
  mod_dl_src: 4,
  mod_dl_dst: 5,
  mod_nw_src: 6,
  mod_nw_dst: 7,
  mod_nw_tos: 8,
  mod_tp_src: 9,
  mod_tp_dst: 10,
  enqueue: 11,
};
const OF12_ACTIONS: Numbers<ActionName> = {
  output: 0,
  set_mpls_ttl: 15,
  dec_mpls_ttl: 16,
  push_vlan: 17,
  strip_vlan: 18,
  push_mpls: 19,
  pop_mpls: 20,
  set_queue: 21,
  group: 22,
  mod_nw_ttl: 23,
  dec_ttl: 24,
  set_field: 25,
};
const OF11_ACTIONS: Numbers<ActionName> = {
  ...OF12_ACTIONS,
  set_field: undefined,
  set_vlan_vid: 1,
  set_vlan_pcp: 2,
  mod_dl_src: 3,
  mod_dl_dst: 4,
  mod_nw_src: 5,
  mod_nw_dst: 6,
  mod_nw_tos: 7,
  mod_nw_ecn: 8,
  mod_tp_src: 9,
  mod_tp_dst: 10,
  set_mpls_label: 13,
  set_mpls_tc: 14,
};

/** Instructions in the order in which feature texts list them. */
export const INSTRUCTION_NAMES: readonly InstructionName[] = [
  'meter',
  'apply_actions',
  'clear_actions',
  'write_actions',
  'write_metadata',
  'goto_table',
];
const INSTRUCTIONS: Numbers<InstructionName> = {
  goto_table: 1,
  write_metadata: 2,
  write_actions: 3,
  apply_actions: 4,
  clear_actions: 5,
  meter: 6,
};

function actionNumbers(version: number): Numbers<ActionName> {
  return version === OF10 ? OF10_ACTIONS : version === OF11 ? OF11_ACTIONS : OF12_ACTIONS;
}

function instructionNumber(name: InstructionName, version: number): number | undefined {
  return name === 'meter' && version < OF13 ? undefined : INSTRUCTIONS[name];
}

function bitOf(number: number | undefined): number {
  return number === undefined ? 0 : 2 ** number;
}

/** Actions that a bitmap of OFPAT_* stands for; bits that are not known are passed over. */
export function actionsFromBits(bits: number, version: number): ActionName[] {
  const numbers = actionNumbers(version);
  return ACTION_NAMES.filter((name) => (bits & bitOf(numbers[name])) !== 0);
}

/** The bitmap of OFPAT_* for the actions that the version numbers. */
export function actionsToBits(names: readonly ActionName[], version: number): number {
  const numbers = actionNumbers(version);
  return names.reduce((bits, name) => bits | bitOf(numbers[name]), 0) >>> 0;
}

export function instructionsFromBits(bits: number, version: number): InstructionName[] {
  return INSTRUCTION_NAMES.filter((name) => (bits & bitOf(instructionNumber(name, version))) !== 0);
}

export function instructionsToBits(names: readonly InstructionName[], version: number): number {
  return names.reduce((bits, name) => bits | bitOf(instructionNumber(name, version)), 0) >>> 0;
}

/** Ids of types, each with its own header of 4 bytes or more, as properties list them. */
export function readTypeIds(r: Reader): number {
  let bits = 0;
  while (r.left > 0) {
    if (r.left < 4) throw new OfError('OFPBPC_BAD_LEN', `type id cut short: ${r.left} bytes`);
    const type = r.u16();
    const length = r.u16();
    if (length < 4 || length - 4 > r.left) {
      throw new OfError('OFPBPC_BAD_LEN', `type id ${type} of length ${length}, ${r.left + 4} are there`);
    }
    r.skip(length - 4);
    if (type < 32) bits |= bitOf(type);
  }
  return bits >>> 0;
}

export function writeTypeIds(w: Writer, bits: number): void {
  for (let type = 0; type < 32; type++) {
    if (((bits >>> type) & 1) === 0) continue;
    w.u16(type);
    w.u16(4);
  }
}

/** Reads OXM headers without values; `loose`: those that are not known are passed over. */
export function readFieldIds(r: Reader, loose: boolean): { exact: Field[]; masked: Field[] } {
  const exact = new Set<Field>();
  const masked = new Set<Field>();
  while (r.left > 0) {
    const header = readOxmHeader(r);
    const field = oxmField(header);
    if (field !== null) (header.hasMask ? masked : exact).add(field);
    else if (!loose)
      throw new OfError('OFPBMC_BAD_FIELD', `unknown field ${header.oxmClass}:${header.field}`);
  }
  return { exact: inOrder(exact), masked: inOrder(masked) };
}

/** Writes OXM headers of fields; those in `masked` say that they have a mask. */
export function writeFieldIds(
  w: Writer,
  fields: readonly Field[],
  masked: readonly Field[],
  version: number,
): void {
  for (const field of fields) {
    writeOxmHeader(w, fieldNumber(field, version), field.bytes, masked.includes(field));
  }
}

/** Fields in the catalogue's order. */
export function inOrder(fields: Iterable<Field>): Field[] {
  return [...fields].sort((a, b) => a.id - b.id);
}

/** Bits that stand for fields in the table stats of OpenFlow 1.0 and of 1.1. */
const OF10_FIELD_BITS: readonly (readonly [number, Field])[] = [
  [1 << 0, F.inPort],
  [1 << 1, F.vlanVid],
  [1 << 2, F.ethSrc],
  [1 << 3, F.ethDst],
  [1 << 4, F.ethType],
  [1 << 5, F.nwProto],
  [1 << 6, F.tcpSrc],
  [1 << 7, F.tcpDst],
  [0x3f << 8, F.ipSrc],
  [0x3f << 14, F.ipDst],
  [1 << 20, F.vlanPcp],
  [1 << 21, F.nwTos],
];
const OF11_FIELD_BITS: readonly (readonly [number, Field])[] = [
  [1 << 0, F.inPort],
  [1 << 1, F.vlanVid],
  [1 << 2, F.vlanPcp],
  [1 << 3, F.ethType],
  [1 << 4, F.nwTos],
  [1 << 5, F.nwProto],
  [1 << 6, F.tcpSrc],
  [1 << 7, F.tcpDst],
  [1 << 8, F.mplsLabel],
  [1 << 9, F.mplsTc],
  [1 << 11, F.ethSrc],
  [1 << 12, F.ethDst],
  [1 << 13, F.ipSrc],
  [1 << 14, F.ipDst],
  [1 << 15, F.metadata],
];

function fieldBits(version: number): readonly (readonly [number, Field])[] {
  return version === OF10 ? OF10_FIELD_BITS : OF11_FIELD_BITS;
}

/** Fields of a bitmap in the table stats of OpenFlow 1.0 or 1.1. */
export function legacyFieldsFromBits(bits: number, version: number): Field[] {
  return inOrder(fieldBits(version).flatMap(([bit, field]) => ((bits & bit) !== 0 ? [field] : [])));
}

export function legacyFieldsToBits(has: (field: Field) => boolean, version: number): number {
  return fieldBits(version).reduce((bits, [bit, field]) => (has(field) ? bits | bit : bits), 0);
}

const CLASS_BASIC = 0x8000;

/** Fields of a bitmap of OXM field numbers, in the table stats of OpenFlow 1.2. */
export function oxmFieldsFromBits(bits: bigint, version: number): Field[] {
  return FIELDS.filter((field) => {
    const n = field.numbers.find((x) => x.oxmClass === CLASS_BASIC && x.since <= version);
    return n !== undefined && n.field < 64 && ((bits >> BigInt(n.field)) & 1n) === 1n;
  });
}

export function oxmFieldsToBits(fields: readonly Field[], version: number): bigint {
  let bits = 0n;
  for (const field of fields) {
    const n = fieldNumber(field, version);
    if (n.oxmClass === CLASS_BASIC && n.field < 64) bits |= 1n << BigInt(n.field);
  }
  return bits;
}
