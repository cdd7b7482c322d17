import type { Field } from '../../flow/field.ts';
import { isMaskValid } from '../../flow/field-access.ts';
import { readActions, writeActions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import type { Reader, Writer } from '../bytes.ts';
import {
  OFPG_ALL,
  OFPG_ANY,
  OFPG_BUCKET_ALL,
  OFPG_BUCKET_FIRST,
  OFPG_BUCKET_LAST,
  OFPG_BUCKET_MAX,
  OFPP_ANY,
} from '../constants.ts';
import { OfError } from '../errors.ts';
import {
  type Codec,
  codec,
  type DecodeContext,
  head,
  type MessageWriter,
  multipartHead,
  reject,
} from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { oxmText, readOxmEntry, writeOxmEntry } from '../oxm.ts';
import { portFromWire32 } from '../ports.ts';
import {
  type Property,
  propertyU32,
  readProperties,
  unknownProperty,
  writeExperimenterProperty,
  writeProperty,
  writeU16Property,
} from '../properties.ts';
import { NTR_COMPAT_VENDOR, NTR_VENDOR, OF10, OF13, OF15, type OfVersion } from '../version.ts';

export type GroupCommand =
  | 'add'
  | 'modify'
  | 'delete'
  | 'insert_bucket'
  | 'remove_bucket'
  /** Open vSwitch's own: add, or modify what exists. */
  | 'add_or_mod';

export type GroupType = 'all' | 'select' | 'indirect' | 'ff';

export interface Bucket {
  /** OpenFlow 1.5; before it decoders number them from 0. */
  readonly id: number;
  /** For select groups; else 0. */
  readonly weight: number;
  /** OFPP_ANY: none. */
  readonly watchPort: number;
  /** OFPG_ANY: none. */
  readonly watchGroup: number;
  readonly actions: readonly Action[];
}

/** How a select group selects (a Netronome extension); method '' is the switch's own. */
export interface GroupSelection {
  /** Up to 15 bytes: `hash`, `dp_hash`, or ''. */
  readonly method: string;
  readonly param: bigint;
  /** Fields to hash, and which of their bits. */
  readonly fields: readonly { readonly field: Field; readonly mask: bigint }[];
}

export interface GroupMod extends Header {
  readonly kind: 'group_mod';
  readonly command: GroupCommand;
  readonly type: GroupType;
  readonly group: number;
  /** For insert_bucket and remove_bucket; else OFPG_BUCKET_ALL. */
  readonly commandBucket: number;
  readonly buckets: readonly Bucket[];
  readonly selection: GroupSelection;
}

export interface GroupDesc {
  readonly type: GroupType;
  readonly group: number;
  readonly buckets: readonly Bucket[];
  readonly selection: GroupSelection;
}

export interface GroupDescRequest extends Header {
  readonly kind: 'group_desc_request';
  /** OFPG_ALL: all; before OpenFlow 1.5 always so. */
  readonly group: number;
}

export interface GroupDescReply extends Header, Multipart {
  readonly kind: 'group_desc_reply';
  readonly groups: readonly GroupDesc[];
}

export const GROUP_TYPES: readonly GroupType[] = ['all', 'select', 'indirect', 'ff'];
const COMMANDS: ReadonlyMap<number, GroupCommand> = new Map([
  [0, 'add'],
  [1, 'modify'],
  [2, 'delete'],
  [3, 'insert_bucket'],
  [5, 'remove_bucket'],
  [0x8000, 'add_or_mod'],
]);
const COMMAND_NUMBERS: ReadonlyMap<GroupCommand, number> = new Map(
  [...COMMANDS].map(([number, command]) => [command, number]),
);
const PROP_WEIGHT = 0;
const PROP_WATCH_PORT = 1;
const PROP_WATCH_GROUP = 2;
const NTRT_SELECTION_METHOD = 1;
const METHOD_LENGTH = 16;
const OF11_BUCKET_LENGTH = 16;
const OF15_BUCKET_LENGTH = 8;

/** The switch's own way of selecting. */
export const DEFAULT_SELECTION: GroupSelection = { method: '', param: 0n, fields: [] };

/** Whether a version writes groups in OpenFlow 1.5's form, as does Nicira's extension to 1.0. */
function isOf15Form(version: number): boolean {
  return version === OF10 || version >= OF15;
}

/** A type's number where it is none that is known. */
function typeOf(number: number): GroupType {
  if (!(number in GROUP_TYPES)) reject('OFPGMFC_BAD_TYPE', `group type ${number}, at most 3`);
  return GROUP_TYPES[number];
}

function typeNumber(type: GroupType): number {
  return GROUP_TYPES.indexOf(type);
}

// --- Buckets ------------------------------------------------------------------------------------------

function badBucket(message: string): never {
  throw new OfError('OFPGMFC_BAD_BUCKET', message);
}

function watchPort(wire: number): number {
  try {
    return portFromWire32(wire);
  } catch {
    return reject('OFPGMFC_BAD_WATCH', `bucket watches port 0x${wire.toString(16)}, which cannot be`);
  }
}

function readOf11Buckets(r: Reader, c: DecodeContext): Bucket[] {
  const buckets: Bucket[] = [];
  while (r.left > 0) {
    if (r.left < OF11_BUCKET_LENGTH) badBucket(`buckets end with ${r.left} bytes too many`);
    const length = r.u16();
    if (length < OF11_BUCKET_LENGTH || length - 2 > r.left) {
      badBucket(`bucket of length ${length}, ${r.left + 2} are there`);
    }
    const weight = r.u16();
    const port = r.u32();
    const watchGroup = r.u32();
    r.skip(4);
    const actions = readActions(r, length - OF11_BUCKET_LENGTH, c);
    buckets.push({ id: buckets.length, weight, watchPort: watchPort(port), watchGroup, actions });
  }
  return buckets;
}

function readOf15Buckets(r: Reader, c: DecodeContext, type: GroupType | null): Bucket[] {
  const buckets: Bucket[] = [];
  const ids = new Set<number>();
  while (r.left > 0) {
    const bucket = readOf15Bucket(r, c, type);
    if (ids.has(bucket.id)) badBucket(`two buckets of id ${bucket.id}`);
    ids.add(bucket.id);
    buckets.push(bucket);
  }
  return buckets;
}

function readOf15Bucket(r: Reader, c: DecodeContext, type: GroupType | null): Bucket {
  if (r.left < OF15_BUCKET_LENGTH) badBucket(`buckets end with ${r.left} bytes too many`);
  const length = r.u16();
  const actionsLength = r.u16();
  const id = r.u32();
  const rest = length - OF15_BUCKET_LENGTH;
  if (rest < 0 || rest > r.left || actionsLength > rest) {
    badBucket(`bucket of length ${length} with ${actionsLength} of actions, ${r.left + 8} are there`);
  }
  const body = r.sub(rest);
  const actions = readActions(body, actionsLength, c);
  let weight = type === 'select' ? 1 : 0;
  let port = OFPP_ANY;
  let watchGroup = OFPG_ANY;
  for (const property of readProperties(body)) {
    switch (property.experimenter === 0 ? property.type : -1) {
      case PROP_WEIGHT:
        weight = property.payload.u16();
        break;
      case PROP_WATCH_PORT:
        port = propertyU32(property);
        break;
      case PROP_WATCH_GROUP:
        watchGroup = propertyU32(property);
        break;
      default:
        throw unknownProperty(property, 'group bucket');
    }
  }
  if (id > OFPG_BUCKET_MAX)
    badBucket(`bucket id 0x${id.toString(16)}, at most 0x${OFPG_BUCKET_MAX.toString(16)}`);
  return { id, weight, watchPort: watchPort(port), watchGroup, actions };
}

function writeOf11Bucket(w: Writer, b: Bucket, version: OfVersion): void {
  const start = w.length;
  w.u16(0);
  w.u16(b.weight);
  w.u32(b.watchPort);
  w.u32(b.watchGroup);
  w.u32(0);
  writeActions(w, b.actions, version);
  w.setU16(start, w.length - start);
}

function writeOf15Bucket(w: Writer, b: Bucket, id: number, type: GroupType, version: OfVersion): void {
  const start = w.length;
  w.u32(0);
  w.u32(id);
  w.setU16(start + 2, writeActions(w, b.actions, version));
  if (type === 'select' || b.weight !== 0) writeU16Property(w, PROP_WEIGHT, b.weight);
  if (b.watchPort !== OFPP_ANY) writeProperty(w, PROP_WATCH_PORT, () => w.u32(b.watchPort));
  if (b.watchGroup !== OFPG_ANY) writeProperty(w, PROP_WATCH_GROUP, () => w.u32(b.watchGroup));
  w.setU16(start, w.length - start);
}

/** Buckets' ids; those that have none (above the highest) get the lowest that are free. */
function bucketIds(buckets: readonly Bucket[]): number[] {
  const used = new Set(buckets.map((b) => b.id));
  let next = 0;
  return buckets.map(({ id }) => {
    if (id <= OFPG_BUCKET_MAX) return id;
    while (used.has(next)) next++;
    used.add(next);
    return next;
  });
}

// --- Selection ----------------------------------------------------------------------------------------

function readSelection(property: Property, type: GroupType, command: GroupCommand): GroupSelection {
  const { payload } = property;
  const bad = (message: string): never => reject('OFPBPC_BAD_VALUE', `selection method: ${message}`);
  if (type !== 'select') bad(`a group of type ${type} selects nothing`);
  if (command !== 'add' && command !== 'modify' && command !== 'add_or_mod') bad(`not with ${command}`);
  payload.skip(4);
  const name = payload.read(METHOD_LENGTH);
  if (!name.includes(0)) bad('no 0 ends its name');
  const method = new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
  if (method !== 'hash' && method !== 'dp_hash') bad(`${JSON.stringify(method)} is neither hash nor dp_hash`);
  const param = payload.u64();
  if (payload.left > 0 && method !== 'hash') bad(`${method} takes no fields`);
  return { method, param, fields: readSelectionFields(payload) };
}

/** Fields and the masks that stand where values do elsewhere. */
function readSelectionFields(r: Reader): { field: Field; mask: bigint }[] {
  const fields: { field: Field; mask: bigint }[] = [];
  while (r.left > 0) {
    const { header, field, value, mask } = readOxmEntry(r);
    if (mask !== null)
      reject('OFPBMC_BAD_MASK', `selection method: ${oxmText(header)} has a mask of its own`);
    if (field === null)
      throw new OfError('OFPBMC_BAD_FIELD', `selection method: ${oxmText(header)} is not known`);
    if (fields.some((f) => f.field === field))
      reject('OFPBMC_DUP_FIELD', `selection method: ${field.name} twice`);
    if (!isMaskValid(field, value)) {
      reject(
        'OFPBMC_BAD_MASK',
        `selection method: ${field.name} cannot have the mask 0x${value.toString(16)}`,
      );
    }
    fields.push({ field, mask: value });
  }
  return fields.sort((a, b) => a.field.id - b.field.id);
}

function writeSelection(w: Writer, { method, param, fields }: GroupSelection, version: OfVersion): void {
  if (method === '') return;
  writeExperimenterProperty(w, NTR_VENDOR, NTRT_SELECTION_METHOD, () => {
    w.u32(0);
    w.text(method, METHOD_LENGTH);
    w.u64(param);
    for (const { field, mask } of fields) writeOxmEntry(w, field, version, mask, null);
  });
}

function readGroupProperties(r: Reader, type: GroupType, command: GroupCommand): GroupSelection {
  let selection = DEFAULT_SELECTION;
  for (const property of readProperties(r)) {
    const { experimenter, expType } = property;
    const netronome = experimenter === NTR_VENDOR || experimenter === NTR_COMPAT_VENDOR;
    if (!netronome || expType !== NTRT_SELECTION_METHOD) throw unknownProperty(property, 'group');
    selection = readSelection(property, type, command);
  }
  return selection;
}

// --- Group mod ----------------------------------------------------------------------------------------

type ModFields = Omit<GroupMod, keyof Header | 'kind'>;

function commandBucketAllowed(command: GroupCommand | undefined, id: number): boolean {
  const one = id <= OFPG_BUCKET_MAX || id === OFPG_BUCKET_FIRST || id === OFPG_BUCKET_LAST;
  if (command === 'insert_bucket') return one;
  return id === OFPG_BUCKET_ALL || (command === 'remove_bucket' && one);
}

function commandOf(number: number): GroupCommand {
  return COMMANDS.get(number) ?? reject('OFPGMFC_BAD_COMMAND', `group command ${number}`);
}

function readOf11Mod(r: Reader, c: DecodeContext): ModFields {
  const commandNumber = r.u16();
  const typeNumber = r.u8();
  r.skip(1);
  const group = r.u32();
  const buckets = readOf11Buckets(r, c);
  if (c.version >= OF13 && COMMANDS.get(commandNumber) === 'delete' && buckets.length > 0) {
    reject('OFPGMFC_INVALID_GROUP', 'a group mod that deletes cannot have buckets');
  }
  const type = typeOf(typeNumber);
  const command = commandOf(commandNumber);
  return { command, type, group, commandBucket: OFPG_BUCKET_ALL, buckets, selection: DEFAULT_SELECTION };
}

function readOf15Mod(r: Reader, c: DecodeContext): ModFields {
  const commandNumber = r.u16();
  const typeNumber = r.u8();
  r.skip(1);
  const group = r.u32();
  const bucketsLength = r.u16();
  r.skip(2);
  const commandBucket = r.u32();
  if (!commandBucketAllowed(COMMANDS.get(commandNumber), commandBucket)) {
    badBucket(`command bucket id 0x${commandBucket.toString(16)} is not for this command`);
  }
  if (bucketsLength > r.left)
    reject('OFPBRC_BAD_LEN', `buckets of ${bucketsLength} bytes, ${r.left} are left`);
  const buckets = readOf15Buckets(r.sub(bucketsLength), c, GROUP_TYPES[typeNumber] ?? null);
  const type = typeOf(typeNumber);
  const command = commandOf(commandNumber);
  const selection = readGroupProperties(r, type, command);
  return { command, type, group, commandBucket, buckets, selection };
}

/** The rules that OpenFlow has for a group mod as a whole. */
function checkGroupMod({ command, type, buckets }: ModFields): void {
  if (type === 'indirect' && command !== 'delete' && buckets.length !== 1) {
    reject('OFPGMFC_INVALID_GROUP', `an indirect group has one bucket, not ${buckets.length}`);
  }
  if (command === 'remove_bucket' && buckets.length > 0) badBucket('remove_bucket comes without buckets');
  for (const bucket of buckets) {
    const watches = bucket.watchPort !== OFPP_ANY || bucket.watchGroup !== OFPG_ANY;
    if (bucket.weight !== 0 && type !== 'select' && command !== 'insert_bucket') {
      reject('OFPGMFC_INVALID_GROUP', `bucket ${bucket.id} has a weight, in a group of type ${type}`);
    }
    if (watches && (type === 'all' || type === 'indirect')) {
      reject('OFPGMFC_WATCH_UNSUPPORTED', `bucket ${bucket.id} watches, in a group of type ${type}`);
    }
    if (!watches && type === 'ff') {
      reject(
        'OFPGMFC_INVALID_GROUP',
        `bucket ${bucket.id} of a fast failover group watches neither port nor group`,
      );
    }
  }
}

function writeGroupMod(m: GroupMod, { w, version }: MessageWriter): void {
  w.u16(COMMAND_NUMBERS.get(m.command) ?? 0);
  w.u8(typeNumber(m.type));
  w.u8(0);
  w.u32(m.group);
  if (!isOf15Form(version)) {
    if (m.command === 'insert_bucket' || m.command === 'remove_bucket') {
      reject('OFPGMFC_BAD_COMMAND', `${m.command} needs OpenFlow 1.5`);
    }
    for (const bucket of m.buckets) writeOf11Bucket(w, bucket, version);
    return;
  }
  const lengthAt = w.zeros(4);
  w.u32(m.commandBucket);
  w.setU16(lengthAt, writeOf15Buckets(w, m.buckets, m.type, version));
  writeSelection(w, m.selection, version);
}

function writeOf15Buckets(
  w: Writer,
  buckets: readonly Bucket[],
  type: GroupType,
  version: OfVersion,
): number {
  const start = w.length;
  const ids = bucketIds(buckets);
  buckets.forEach((bucket, i) => {
    writeOf15Bucket(w, bucket, ids[i], type, version);
  });
  return w.length - start;
}

const groupMod = codec(
  ['group_mod'],
  (r, c) => {
    const fields = isOf15Form(c.version) ? readOf15Mod(r, c) : readOf11Mod(r, c);
    checkGroupMod(fields);
    return { ...head(c, 'group_mod'), ...fields };
  },
  writeGroupMod,
);

// --- Descriptions -------------------------------------------------------------------------------------

function readDesc(r: Reader, c: DecodeContext): GroupDesc {
  const of15 = isOf15Form(c.version);
  const headLength = of15 ? 16 : 8;
  const length = r.u16();
  if (length < headLength || length - 2 > r.left) {
    reject('OFPBRC_BAD_LEN', `group description of length ${length}, ${r.left + 2} are there`);
  }
  const entry = r.sub(length - 2);
  const type = typeOf(entry.u8());
  entry.skip(1);
  const group = entry.u32();
  if (!of15) return { type, group, buckets: readOf11Buckets(entry, c), selection: DEFAULT_SELECTION };
  const bucketsLength = entry.u16();
  entry.skip(6);
  const buckets = readOf15Buckets(entry.sub(bucketsLength), c, type);
  return { type, group, buckets, selection: readGroupProperties(entry, type, 'add') };
}

function writeDesc(w: Writer, d: GroupDesc, version: OfVersion): void {
  const start = w.length;
  w.u16(0);
  w.u8(typeNumber(d.type));
  w.u8(0);
  w.u32(d.group);
  if (isOf15Form(version)) {
    const lengthAt = w.zeros(8);
    w.setU16(lengthAt, writeOf15Buckets(w, d.buckets, d.type, version));
    writeSelection(w, d.selection, version);
  } else {
    for (const bucket of d.buckets) writeOf11Bucket(w, bucket, version);
  }
  w.setU16(start, w.length - start);
}

const descRequest = codec(
  ['group_desc_request'],
  (r, c) => ({ ...head(c, 'group_desc_request'), group: isOf15Form(c.version) ? r.u32() : OFPG_ALL }),
  ({ group }, { w, version }) => {
    if (!isOf15Form(version)) return;
    w.u32(group);
    w.u32(0);
  },
);

const descReply = codec(
  ['group_desc_reply'],
  (r, c) => {
    const groups: GroupDesc[] = [];
    while (r.left > 0) groups.push(readDesc(r, c));
    return { ...multipartHead(c, 'group_desc_reply'), groups };
  },
  ({ groups }, out) => {
    for (const group of groups) out.entry((w) => writeDesc(w, group, out.version));
  },
);

export const groupCodecs: readonly Codec[] = [groupMod, descRequest, descReply];
