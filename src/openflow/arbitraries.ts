/**
 * Random matches and messages for tests: of every kind, in every version and variant that has it, such
 * as a message of that version can hold without loss.
 */
import fc from 'fast-check';
import type { Field } from '../flow/field.ts';
import { fieldOnes, isValueValid } from '../flow/field-access.ts';
import { F, FIELDS } from '../flow/fields.ts';
import { PT_ETH } from '../flow/layout.ts';
import { Match } from '../flow/match.ts';
import { matchPrerequisitesMet } from '../flow/prerequisites.ts';
import { anyActions, anyInstructions } from './actions/arbitraries.ts';
import { decodeActions, decodeInstructions, encodeActions, encodeInstructions } from './actions/index.ts';
import type { Action } from './actions/types.ts';
import { Reader, Writer } from './bytes.ts';
import * as C from './constants.ts';
import { errorFromNumbers, errorNumbers, OF_ERRORS, type OfErrorName } from './errors.ts';
import { ACTION_NAMES, actionsFromBits, INSTRUCTION_NAMES, inOrder } from './feature-bits.ts';
import type { Variant } from './header.ts';
import { readOf10Match, readOf11Match, writeOf10Match, writeOf11Match } from './legacy-match.ts';
import type { OfKind, OfMessage, OfMessageOf } from './message.ts';
import { ASYNC_TYPES } from './messages/async.ts';
import { BUNDLE_CONTROL_TYPES } from './messages/bundle.ts';
import { encodeContinuation } from './messages/continuation.ts';
import type { CtTuple } from './messages/ct-flush.ts';
import { FLOW_MOD_COMMANDS } from './messages/flow-mod.ts';
import { type Bucket, DEFAULT_SELECTION, GROUP_TYPES, type GroupType } from './messages/group.ts';
import { PACKET_IN_FORMATS } from './messages/nicira.ts';
import { packetInReasonToWire } from './messages/packet-in.ts';
import { featuresSpeed, type PortDesc } from './messages/port.ts';
import { RFC2819_COUNTERS, type Rfc2819Stats } from './messages/port-stats.ts';
import { FRAG_NAMES } from './messages/switch.ts';
import type { InstructionFeatures, TableFeatures } from './messages/table-features.ts';
import { readOxmList, writeOxmList } from './nx-match.ts';
import { rawVariants } from './raw.ts';
import { OF_VERSIONS, OF10, OF11, OF12, OF13, OF14, OF15, type OfVersion } from './version.ts';

export const u8 = fc.integer({ min: 0, max: 0xff });
export const u16 = fc.integer({ min: 0, max: 0xffff });
export const u32 = fc.integer({ min: 0, max: 0xffffffff });
export const u64 = fc.bigInt({ min: 0n, max: C.UINT64_MAX });
const bytes = fc.uint8Array({ maxLength: 40 });
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 });
const port = fc.oneof(fc.integer({ min: 0, max: 0xfeff }), fc.constantFrom(C.OFPP_LOCAL, C.OFPP_ANY));
const inPort = fc.oneof(
  fc.integer({ min: 0, max: 0xfeff }),
  fc.constantFrom(C.OFPP_LOCAL, C.OFPP_CONTROLLER),
);
const nsec = fc.integer({ min: 0, max: 999_999_999 });

/** Records with the prototype that object literals have. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

/** A text that a field of `n` bytes holds. */
function text(n: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...'abcXYZ019 -_.é'), maxLength: Math.floor((n - 1) / 2) });
}

function bits(mask: number): fc.Arbitrary<number> {
  return u32.map((x) => (x & mask) >>> 0);
}

// --- Matches ------------------------------------------------------------------------------------------

const MATCHABLE = FIELDS.filter((f) => f.numbers.length > 0 && !f.variableLength);

function valueIn(field: Field): fc.Arbitrary<bigint> {
  switch (field) {
    case F.ethType:
      return fc.constantFrom(0x800n, 0x86ddn, 0x806n, 0x8847n, 0x894fn, 0x1234n);
    case F.nwProto:
      return fc.constantFrom(1n, 6n, 17n, 58n, 132n, 2n, 200n);
    case F.icmpv6Type:
      return fc.constantFrom(135n, 136n, 1n);
    case F.icmpv6Code:
      return fc.constantFrom(0n, 1n);
    case F.packetType:
      return fc.constantFrom(BigInt(PT_ETH), 0x10800n, 0x186ddn);
    case F.inPort:
    case F.inPortOxm:
      return inPort.map((p) => (field === F.inPort ? BigInt(p & 0xffff) : BigInt(p)));
    case F.vlanVid:
      return fc.integer({ min: 0, max: 4095 }).map((v) => BigInt(v | 0x1000));
    case F.ctState:
      return fc.constantFrom(0x21n, 0x22n, 0x20n);
    case F.nwTos:
      return fc.integer({ min: 0, max: 63 }).map((v) => BigInt(v << 2));
    case F.ctNwProto:
      return fc.integer({ min: 1, max: 255 }).map(BigInt);
    case F.nshMdtype:
      return fc.constantFrom(1n, 2n);
    default:
      return fc
        .bigInt({ min: 0n, max: fieldOnes(field) })
        .map((v) => (isValueValid(field, v) ? v : 0n))
        .filter((v) => isValueValid(field, v));
  }
}

interface Draw {
  readonly field: Field;
  readonly value: bigint;
  readonly mask: bigint | undefined;
}

function drawField(field: Field): fc.Arbitrary<Draw> {
  const mask =
    field.maskable && field !== F.vlanVid
      ? fc.option(fc.bigInt({ min: 1n, max: fieldOnes(field) }), { nil: undefined })
      : fc.constant(undefined);
  return fc.tuple(valueIn(field), mask).map(([value, m]) => ({
    field,
    value: m === undefined ? value : value & m,
    mask: m,
  }));
}

/** Fields that give others their prerequisites come first. */
const LEADERS = [F.ethType, F.nwProto, F.icmpv6Type, F.icmpv6Code, F.ctState];

/** A match that NXM and OXM can say. */
export const anyOxmMatch: fc.Arbitrary<Match> = fc
  .tuple(
    fc.tuple(...LEADERS.map(drawField)),
    fc.nat(LEADERS.length),
    fc.array(fc.constantFrom(...MATCHABLE).chain(drawField), { maxLength: 8 }),
  )
  .map(([leaders, n, others]) => {
    const match = new Match();
    for (const { field, value, mask } of [...leaders.slice(0, n), ...others]) {
      if (field === F.packetType || !matchPrerequisitesMet(field, match.flow, match.mask)) continue;
      if (match.get(field).mask !== 0n) continue;
      match.set(field, value, mask).addEthernetPrerequisite(field);
    }
    return match;
  });

/** Cuts a match down to what a way of writing it can say. */
function through(write: (w: Writer, match: Match) => void, read: (r: Reader) => Match) {
  return (match: Match): Match => {
    const w = new Writer();
    write(w, match);
    return read(new Reader(w.slice()));
  };
}

const throughOf10 = through(writeOf10Match, (r) => {
  const { match } = readOf10Match(r);
  match.normalize();
  return match;
});
const throughOf11 = through(writeOf11Match, (r) => {
  r.skip(4);
  return readOf11Match(r);
});

/** A match that survives a message of this version and variant. */
export function anyMatch(version: OfVersion, variant: Variant, oxm = false): fc.Arbitrary<Match> {
  if (variant === 'nx') return anyOxmMatch.map(throughList(0));
  if (version === OF10) return anyOxmMatch.map(throughOf10);
  if (version === OF11 && !oxm) return anyOxmMatch.map(throughOf11);
  return anyOxmMatch.map(throughList(version));
}

function throughList(version: number): (match: Match) => Match {
  return through(
    (w, match) => writeOxmList(w, match, version),
    (r) => readOxmList(r),
  );
}

// --- Messages -----------------------------------------------------------------------------------------

function actionsIn(version: OfVersion): fc.Arbitrary<readonly Action[]> {
  return anyActions(version).map((a) => decodeActions(encodeActions(a, version), version));
}

function instructionsIn(version: OfVersion): fc.Arbitrary<readonly Action[]> {
  // 1.0 has a list of actions, in which the order of instructions matters.
  if (version === OF10) return actionsIn(version);
  return anyInstructions(version).map((a) => decodeInstructions(encodeInstructions(a, version), version));
}

type Body<K extends OfKind> = Omit<OfMessageOf<K>, 'version' | 'xid' | 'variant' | 'kind'>;
type Make<K extends OfKind> = (version: OfVersion, variant: Variant) => fc.Arbitrary<Body<K>>;

const nothing = (): fc.Arbitrary<object> => fc.constant({});
const more = fc.boolean();

function list<T>(item: fc.Arbitrary<T>, maxLength = 3): fc.Arbitrary<T[]> {
  return fc.array(item, { maxLength });
}

function subset<T>(items: readonly T[]): fc.Arbitrary<T[]> {
  return fc.subarray([...items]);
}

function portDesc(version: OfVersion): fc.Arbitrary<PortDesc> {
  const of10 = version === OF10;
  const features = bits(of10 ? 0xf87f : 0xffff);
  return record({
    port,
    hwAddr: mac,
    name: text(16),
    config: bits(of10 ? 0x7f : 0x65),
    state: bits(of10 ? 0x301 : 0x7),
    curr: features,
    advertised: features,
    supported: features,
    peer: features,
    currSpeed: u32,
    maxSpeed: u32,
  }).map((p) =>
    of10 ? { ...p, currSpeed: featuresSpeed(p.curr), maxSpeed: featuresSpeed(p.supported) } : p,
  );
}

const bucketCounts = record({ packetCount: u64, byteCount: u64 });

function buckets(
  version: OfVersion,
  type: GroupType,
  n: { min: number; max: number },
): fc.Arbitrary<Bucket[]> {
  const of15 = version === OF10 || version >= OF15;
  const bucket = record({
    id: fc.nat(1000),
    weight: type === 'select' ? u16 : fc.constant(0),
    watchPort: type === 'ff' ? fc.nat(0xfeff) : fc.constant(C.OFPP_ANY),
    watchGroup: type === 'ff' ? u32 : fc.constant(C.OFPG_ANY),
    actions: actionsIn(version),
  });
  return fc
    .uniqueArray(bucket, { selector: (b) => b.id, minLength: n.min, maxLength: n.max })
    .map((list) => (of15 ? list : list.map((b, id) => ({ ...b, id }))));
}

function selection(version: OfVersion, type: GroupType): fc.Arbitrary<typeof DEFAULT_SELECTION> {
  if (type !== 'select' || (version !== OF10 && version < OF15)) return fc.constant(DEFAULT_SELECTION);
  const fields = subset([F.ethSrc, F.ipSrc, F.tcpDst, F.nwProto]).map((list) =>
    inOrder(list).map((field) => ({ field, mask: fieldOnes(field) })),
  );
  return fc.oneof(
    fc.constant(DEFAULT_SELECTION),
    record({ method: fc.constant('hash'), param: u64, fields }),
    record({ method: fc.constant('dp_hash'), param: u64, fields: fc.constant([]) }),
  );
}

function group(version: OfVersion) {
  return fc.constantFrom(...GROUP_TYPES).chain((type) =>
    record({
      type: fc.constant(type),
      group: u32,
      buckets: buckets(version, type, type === 'indirect' ? { min: 1, max: 1 } : { min: 0, max: 3 }),
      selection: selection(version, type),
    }),
  );
}

const groupMod: Make<'group_mod'> = (version) =>
  group(version).chain((g) =>
    record({
      ...wrap(g),
      command: fc.constantFrom('add' as const, 'modify' as const, 'add_or_mod' as const),
      commandBucket: fc.constant(C.OFPG_BUCKET_ALL),
    }),
  );

function wrap<T extends object>(values: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(Object.entries(values).map(([k, v]) => [k, fc.constant(v)])) as {
    [K in keyof T]: fc.Arbitrary<T[K]>;
  };
}

const meterConfig = record({
  meter: u32,
  flags: bits(0xd),
  bands: list(
    record({
      type: fc.constantFrom('drop' as const, 'dscp_remark' as const),
      rate: u32,
      burstSize: u32,
      precLevel: u8,
    }),
  ).map((bands) => bands.map((b) => (b.type === 'drop' ? { ...b, precLevel: 0 } : b))),
});

const meterMod: Make<'meter_mod'> = () =>
  record({
    command: fc.constantFrom('add' as const, 'modify' as const, 'delete' as const),
    config: meterConfig,
  }).map(({ command, config }) =>
    command === 'delete' ? { command, meter: config.meter, flags: 0, bands: [] } : { command, ...config },
  );

/** Fields that feature messages of every version can name. */
const FEATURE_FIELDS = [F.inPortOxm, F.ethSrc, F.ethDst, F.ethType, F.vlanVid, F.ipSrc, F.tcpDst, F.metadata];

function instructionFeatures(version: OfVersion): fc.Arbitrary<InstructionFeatures> {
  const actions = subset(actionsFromBits(0xffffffff, version));
  const side = record({ actions, setFields: subset(FEATURE_FIELDS).map(inOrder) });
  return record({
    instructions: subset(INSTRUCTION_NAMES.filter((name) => name !== 'meter' || version >= OF13)),
    nextTables: subset([1, 2, 7, 253]),
    write: side,
    apply: side,
  });
}

const matchSets = fc
  .tuple(subset(FEATURE_FIELDS), subset(FEATURE_FIELDS), subset(FEATURE_FIELDS))
  .map(([match, wildcard, mask]) => {
    const matchable = inOrder(new Set([...match, ...mask]));
    return {
      match: matchable,
      mask: inOrder(mask),
      wildcard: inOrder(new Set([...wildcard, ...mask])).filter((f) => matchable.includes(f)),
    };
  });

function tableFeatures(version: OfVersion): fc.Arbitrary<TableFeatures> {
  const supports = version >= OF14 ? fc.boolean() : fc.constant(null);
  return record({
    command:
      version >= OF15
        ? fc.constantFrom('replace' as const, 'modify' as const)
        : fc.constant('replace' as const),
    table: fc.nat(254),
    name: text(32),
    metadataMatch: u64,
    metadataWrite: u64,
    maxEntries: u32,
    miss: fc.constant('default' as const),
    supportsEviction: supports,
    supportsVacancyEvents: supports,
    anyProperties: fc.constant(true),
    nonmiss: instructionFeatures(version),
    missFlow: instructionFeatures(version),
    sets: matchSets,
  }).map(({ sets, ...rest }) => ({ ...rest, ...sets }));
}

const tableConfig = record({
  table: u8,
  eviction: fc.boolean(),
  evictionFlags: fc.option(u32),
  vacancyEvents: fc.boolean(),
  vacancy: record({ down: fc.nat(50), up: fc.integer({ min: 50, max: 100 }), current: fc.constant(0) }),
}).map((t) => (t.vacancyEvents ? t : { ...t, vacancy: null }));

function tuple(ipProto: number): fc.Arbitrary<CtTuple | null> {
  const icmp = ipProto === 1;
  const zeroUnless = (yes: boolean, a: fc.Arbitrary<number>) => (yes ? a : fc.constant(0));
  return fc.option(
    record({
      src: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((a) => Uint8Array.of(0xfd, ...a.subarray(1))),
      dst: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((a) => Uint8Array.of(0xfd, ...a.subarray(1))),
      srcPort: zeroUnless(!icmp, u16),
      dstPort: zeroUnless(!icmp, u16),
      icmpId: zeroUnless(icmp, u16),
      icmpType: zeroUnless(icmp, u8),
      icmpCode: zeroUnless(icmp, u8),
    }),
  );
}

const tlvMap = record({
  optionClass: u16,
  optionType: u8,
  optionLen: fc.integer({ min: 0, max: 31 }).map((n) => n * 4),
  index: fc.nat(63),
});

/** What a switch could have put into a packet-in, and must take back. */
function continuation(version: OfVersion): fc.Arbitrary<Uint8Array> {
  const word = fc.uint8Array({ minLength: 1, maxLength: 16 });
  return record({
    bridge: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    stack: fc.array(word, { maxLength: 3 }),
    mirrors: u32,
    conntracked: fc.boolean(),
    actions: fc.array(record({ table: u8, cookie: u64, actions: actionsIn(version) }), { maxLength: 2 }),
    actionSet: fc.constant([]),
    odpPort: u32,
  }).map((state) => encodeContinuation(state, version));
}

function packetInFields(version: OfVersion, variant: Variant) {
  const legacy = variant === 'std' && version < OF12;
  const packet = fc.uint8Array({ minLength: 1, maxLength: 60 });
  const metadata = legacy
    ? inPort.map((p) => new Match().setNumber(F.inPortOxm, p))
    : inPort.chain((p) => u64.map((m) => new Match().setNumber(F.inPortOxm, p).set(F.metadata, m)));
  return record({
    packet,
    extra: fc.nat(100),
    bufferId: u32,
    metadata,
    reason: fc.nat(C.OFPR_PACKET_OUT),
    table: variant === 'std' && version === OF10 ? fc.constant(0) : u8,
    cookie: variant === 'std' && version < OF13 ? fc.constant(C.UINT64_MAX) : u64,
    userdata: variant === 'nx2' ? bytes : fc.constant(new Uint8Array(0)),
    continuation: variant === 'nx2' ? continuation(version) : fc.constant(new Uint8Array(0)),
  }).map(({ extra, ...p }) => ({
    ...p,
    totalLen: p.packet.length + extra,
    reason: packetInReasonToWire(p.reason, version),
  }));
}

/** What each kind's bodies can be. Kinds that are not there have none. */
const BODIES: { readonly [K in OfKind]?: Make<K> } = {
  hello: (version) =>
    u32.map((x) => ({ versions: (((x & ~1) | (1 << version)) & (2 ** (version + 1) - 1)) >>> 0 })),
  error: (version) => {
    const names = (Object.keys(OF_ERRORS) as OfErrorName[]).filter((name) => {
      const n = errorNumbers(name, version);
      return n !== null && errorFromNumbers(version, n.vendor, n.type, n.code) === name;
    });
    return record({ error: fc.constantFrom(...names), data: bytes });
  },
  echo_request: () => record({ data: bytes }),
  echo_reply: () => record({ data: bytes }),
  features_reply: (version) =>
    record({
      datapathId: u64,
      nBuffers: u32,
      nTables: u8,
      auxiliaryId: version >= OF13 ? u8 : fc.constant(0),
      capabilities: bits(version === OF10 ? 0xef : version === OF11 ? 0xf7 : version < OF14 ? 0x177 : 0x777),
      actions: version === OF10 ? u32 : fc.constant(0),
      ports: version < OF13 ? list(portDesc(version)) : fc.constant(null),
    }),
  get_config_reply: (version) => config(version),
  set_config: (version) => config(version),
  desc_reply: () =>
    record({
      more,
      mfrDesc: text(256),
      hwDesc: text(256),
      swDesc: text(256),
      serialNum: text(32),
      dpDesc: text(256),
    }),
  packet_in: packetInFields,
  resume: (version) => packetInFields(version, 'nx2').map((p) => ({ ...p, userdata: new Uint8Array(0) })),
  packet_out: (version) =>
    record({
      packet: bytes,
      bufferId: fc.constantFrom(C.NO_BUFFER, 7),
      port: inPort,
      actions: actionsIn(version),
    }).map(({ port, ...p }) => ({
      ...p,
      packet: p.bufferId === C.NO_BUFFER ? p.packet : new Uint8Array(0),
      metadata:
        version < OF15
          ? new Match().setNumber(F.packetType, PT_ETH).setNumber(F.inPortOxm, port)
          : new Match().setNumber(F.inPortOxm, port),
    })),
  flow_mod: flowMod,
  flow_removed: (version, variant) =>
    record({
      match: anyMatch(version, variant),
      cookie: u64,
      priority: u16,
      reason: fc.nat(version < OF14 ? 3 : 5),
      table: version === OF10 && variant === 'std' ? fc.constant(255) : variant === 'nx' ? fc.nat(254) : u8,
      durationSec: fc.nat(0xfffffff),
      durationNsec: nsec,
      idleTimeout: u16,
      hardTimeout: variant === 'nx' || version === OF10 ? fc.constant(0) : u16,
      packetCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
      byteCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
    }),
  flow_stats_request: flowStatsRequest,
  aggregate_stats_request: flowStatsRequest,
  flow_stats_reply: (version, variant) =>
    record({
      more,
      flows: list(
        record({
          match:
            version === OF10 && variant === 'std'
              ? anyMatch(version, variant)
              : anyMatch(version, variant, true),
          cookie: u64,
          table: u8,
          priority: u16,
          idleTimeout: u16,
          hardTimeout: u16,
          durationSec: fc.nat(0xfffffff),
          durationNsec: nsec,
          idleAge:
            variant === 'nx'
              ? fc.integer({ min: -1, max: 0xfffe })
              : version >= OF15
                ? fc.integer({ min: -1, max: 100000 })
                : fc.constant(-1),
          hardAge: variant === 'nx' ? fc.integer({ min: -1, max: 0xfffe }) : fc.constant(-1),
          packetCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
          byteCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
          flags: variant === 'std' && version >= OF13 ? bits(C.FF_STATE) : fc.constant(0),
          importance: version >= OF14 ? u16 : fc.constant(0),
          actions: instructionsIn(version),
        }),
      ),
    }),
  aggregate_stats_reply: () =>
    record({
      more,
      packetCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
      byteCount: fc.bigInt({ min: 0n, max: 1n << 60n }),
      flowCount: u32,
    }),
  port_status: (version) => record({ reason: fc.nat(2), desc: portDesc(version) }),
  port_mod: (version) =>
    record({
      port,
      hwAddr: mac,
      config: bits(version === OF10 ? 0x7f : 0x65),
      mask: bits(version === OF10 ? 0x7f : 0x65),
      advertise: bits(version === OF10 ? 0xf87f : 0xffff),
    }).map((m) => ({ ...m, config: m.config & m.mask })),
  port_desc_request: (version) => record({ port: version < OF15 ? fc.constant(C.OFPP_ANY) : port }),
  port_desc_reply: (version) => record({ more, ports: list(portDesc(version)) }),
  port_stats_request: () => record({ port }),
  port_stats_reply: (version) => record({ more, ports: list(portStats(version)) }),
  queue_stats_request: () => record({ port, queue: u32 }),
  queue_stats_reply: (version) =>
    record({
      more,
      queues: list(
        record({
          port,
          queue: u32,
          txBytes: u64,
          txPackets: u64,
          txErrors: u64,
          durationSec: version < OF13 ? fc.constant(C.UINT32_MAX) : fc.nat(0xfffffff),
          durationNsec: version < OF13 ? fc.constant(C.UINT32_MAX) : nsec,
        }),
      ),
    }),
  queue_get_config_request: (version) =>
    record({
      port: version < OF14 ? fc.nat(0xfeff) : port,
      queue: version < OF14 ? fc.constant(C.OFPQ_ALL) : u32,
    }),
  queue_get_config_reply: (version) =>
    record({
      more: version < OF14 ? fc.constant(false) : more,
      port: version < OF14 ? fc.nat(0xfeff) : fc.constant(C.OFPP_ANY),
      queues: list(
        record({ port, queue: u32, minRate: fc.option(fc.nat(1001)), maxRate: fc.option(fc.nat(1001)) }),
      ),
    }).map((m) => (version < OF14 ? { ...m, queues: m.queues.map((q) => ({ ...q, port: m.port })) } : m)),
  table_mod: (version) => {
    const none = { eviction: null, evictionFlags: null, vacancyEvents: null, vacancy: null };
    const miss = fc.constantFrom('controller' as const, 'continue' as const, 'drop' as const);
    return fc.tuple(tableConfig, miss).map(([t, m]) => ({
      ...(version >= OF14 ? t : { table: t.table, ...none }),
      miss: version === OF11 || version === OF12 ? m : ('default' as const),
    }));
  },
  table_desc_reply: () => record({ more, tables: fc.array(tableConfig, { minLength: 1, maxLength: 3 }) }),
  table_status: () => record({ reason: fc.constantFrom(3, 4), desc: tableConfig }),
  table_stats_reply: (version) =>
    version < OF13
      ? record({ more, tables: fc.constant([]) })
      : record({
          more,
          tables: list(
            record({
              table: u8,
              activeCount: u32,
              lookupCount: u64,
              matchedCount: u64,
              features: fc.constant(null),
            }),
          ),
        }),
  table_features_request: (version) => record({ more, tables: list(tableFeatures(version), 2) }),
  table_features_reply: (version) =>
    record({ more, tables: fc.array(tableFeatures(version), { minLength: 1, maxLength: 2 }) }),
  role_request: role,
  role_reply: role,
  role_status: () =>
    record({
      role: fc.constantFrom('equal' as const, 'primary' as const, 'secondary' as const),
      reason: fc.nat(2),
      generationId: u64,
    }),
  get_async_reply: asyncConfig,
  set_async_config: asyncConfig,
  bundle_control: () =>
    record({ bundle: u32, type: fc.constantFrom(...BUNDLE_CONTROL_TYPES), flags: bits(3) }),
  group_mod: groupMod,
  group_stats_request: () => record({ group: u32 }),
  group_stats_reply: (version) =>
    record({
      more,
      groups: list(
        record({
          group: u32,
          refCount: u32,
          packetCount: u64,
          byteCount: u64,
          durationSec: version === OF11 || version === OF12 ? fc.constant(C.UINT32_MAX) : u32,
          durationNsec: version === OF11 || version === OF12 ? fc.constant(C.UINT32_MAX) : u32,
          buckets: list(bucketCounts),
        }),
      ),
    }),
  group_desc_request: (version) =>
    record({ group: version === OF10 || version >= OF15 ? u32 : fc.constant(C.OFPG_ALL) }),
  group_desc_reply: (version) => record({ more, groups: list(group(version)) }),
  group_features_reply: (version) => {
    const actions = subset(ACTION_NAMES).map((names) =>
      names.filter((name) => actionsFromBits(0xffffffff, version).includes(name)),
    );
    return record({
      more,
      types: u32,
      capabilities: u32,
      maxGroups: fc.tuple(u32, u32, u32, u32),
      actions: fc.tuple(actions, actions, actions, actions),
    });
  },
  meter_mod: meterMod,
  meter_stats_request: () => record({ meter: u32 }),
  meter_config_request: () => record({ meter: u32 }),
  meter_config_reply: () => record({ more, meters: list(meterConfig) }),
  meter_stats_reply: () =>
    record({
      more,
      meters: list(
        record({
          meter: u32,
          flowCount: u32,
          packetInCount: u64,
          byteInCount: u64,
          durationSec: u32,
          durationNsec: u32,
          bands: list(bucketCounts),
        }),
      ),
    }),
  meter_features_reply: () =>
    record({ more, maxMeters: u32, bandTypes: u32, capabilities: u32, maxBands: u8, maxColor: u8 }),
  flow_monitor_request: (version, variant) =>
    record({
      more,
      monitors: list(
        record({
          id: u32,
          command:
            version >= OF14
              ? fc.constantFrom('add' as const, 'modify' as const)
              : fc.constant('add' as const),
          flags: bits(0x5f).map((f) => f | C.OFPFMF_ADD),
          outPort: port,
          outGroup: version >= OF14 ? u32 : fc.constant(C.OFPG_ANY),
          table: u8,
          match: anyMatch(version, variant, true),
        }),
      ),
    }),
  flow_monitor_reply: (version, variant) => {
    const full = record({
      event: fc.constantFrom('added' as const, 'removed' as const, 'modified' as const),
      reason: fc.nat(5),
      idleTimeout: u16,
      hardTimeout: u16,
      table: u8,
      priority: u16,
      cookie: u64,
      match: anyMatch(version, variant, true),
      actions: variant === 'nx' ? actionsIn(version) : instructionsIn(version),
    });
    const abbrev = record({ event: fc.constant('abbrev' as const), xid: u32 });
    const pause = record({ event: fc.constantFrom('paused' as const, 'resumed' as const) });
    return record({
      more,
      updates: version >= OF14 ? list(fc.oneof(full, abbrev, pause)) : list(fc.oneof(full, abbrev)),
    });
  },
  flow_monitor_cancel: () => record({ id: u32 }),
  requestforward: (version, variant) => {
    void variant;
    const groups = messageOf('group_mod', version, version === OF10 ? 'nx' : 'std');
    return version < OF13
      ? record({ request: groups })
      : record({ request: fc.oneof(groups, messageOf('meter_mod', version, 'std')) });
  },
  set_flow_format: () => record({ format: fc.constantFrom('openflow10' as const, 'nxm' as const) }),
  flow_mod_table_id: () => record({ enable: fc.boolean() }),
  set_packet_in_format: () => record({ format: fc.constantFrom(...PACKET_IN_FORMATS) }),
  set_controller_id: () => record({ id: u16 }),
  tlv_table_mod: () =>
    record({
      command: fc.constantFrom('add' as const, 'delete' as const, 'clear' as const),
      mappings: list(tlvMap),
    }),
  tlv_table_reply: () => record({ maxOptionSpace: u32, maxFields: fc.constant(64), mappings: list(tlvMap) }),
  ct_flush_zone: () => record({ zone: u16 }),
  ct_flush: () =>
    fc.constantFrom(0, 1, 6).chain((ipProto) =>
      record({
        ipProto: fc.constant(ipProto),
        zone: fc.option(u16),
        orig: tuple(ipProto),
        reply: tuple(ipProto),
      }),
    ),
  ipfix_bridge_stats_reply: () => record({ more, stats: list(ipfix, 1).filter((s) => s.length === 1) }),
  ipfix_flow_stats_reply: () => record({ more, stats: list(ipfix) }),
};

const ipfix = record({
  collectorSet: u32,
  totalFlows: u64,
  currentFlows: u64,
  pkts: u64,
  ipv4Pkts: u64,
  ipv6Pkts: u64,
  errorPkts: u64,
  ipv4ErrorPkts: u64,
  ipv6ErrorPkts: u64,
  txPkts: u64,
  txErrors: u64,
});

function config(version: OfVersion) {
  return record({
    config: record({
      frag: fc.constantFrom(...FRAG_NAMES),
      invalidTtlToController: version < OF13 ? fc.boolean() : fc.constant(null),
      missSendLen: u16,
    }),
  });
}

function role(version: OfVersion, variant: Variant) {
  void version;
  return record({
    role: fc.constantFrom('equal' as const, 'primary' as const, 'secondary' as const),
    id: fc.bigInt({ min: 0n, max: C.UINT64_MAX - 1n }),
  }).map(({ role, id }) => ({ role, generationId: variant === 'nx' ? null : id }));
}

/** Without "no match", which stands for more than one reason after decoding. */
function asyncConfig(version: OfVersion, variant: Variant) {
  const allowed = { packet_in: version >= OF14 ? 0x3e : 0x6, port_status: 7, flow_removed: 0x3f };
  const all = { ...allowed, role_status: 7, table_status: 0x18, requestforward: 3 };
  const fixed = variant === 'nx' || (version < OF14 && variant === 'std');
  const types = fixed ? (['packet_in', 'port_status', 'flow_removed'] as const) : ASYNC_TYPES;
  return record({
    config: fc.record(
      Object.fromEntries(
        types.map((type) => [type, record({ primary: bits(all[type]), secondary: bits(all[type]) })]),
      ),
      fixed ? { noNullPrototype: true } : { noNullPrototype: true, requiredKeys: [] },
    ),
  });
}

function portStats(version: OfVersion) {
  const known = version >= OF13;
  const rfc2819 = fc
    .array(u64, { minLength: RFC2819_COUNTERS.length, maxLength: RFC2819_COUNTERS.length })
    .map(
      (values) =>
        Object.fromEntries(RFC2819_COUNTERS.map((name, i) => [name, values[i]])) as unknown as Rfc2819Stats,
    );
  return record({
    port,
    rxPackets: u64,
    txPackets: u64,
    rxBytes: u64,
    txBytes: u64,
    rxDropped: u64,
    txDropped: u64,
    rxErrors: u64,
    txErrors: u64,
    rxFrameErr: u64,
    rxOverErr: u64,
    rxCrcErr: u64,
    collisions: u64,
    durationSec: known ? u32 : fc.constant(C.UINT32_MAX),
    durationNsec: known ? u32 : fc.constant(C.UINT32_MAX),
    rfc2819: version >= OF14 ? fc.option(rfc2819) : fc.constant(null),
    custom: version >= OF14 ? list(record({ name: text(32), value: u64 })) : fc.constant([]),
  });
}

/** Addresses of a connection are matched only with their own IP version. */
function withoutConnection(match: Match): Match {
  const copy = match.clone();
  for (const field of [F.ctNwSrc, F.ctNwDst, F.ctIpv6Src, F.ctIpv6Dst]) copy.wildcard(field);
  return copy;
}

function flowMod(version: OfVersion, variant: Variant) {
  const old = version === OF10 || variant === 'nx';
  return record({
    command: fc.constantFrom(...FLOW_MOD_COMMANDS),
    match: anyMatch(version, variant).map(withoutConnection),
    priority: fc.nat(0xfffe),
    cookie: u64,
    cookieMask: old && variant === 'std' ? fc.constant(0n) : u64.map((m) => (m === 0n ? 1n : m)),
    newCookie: fc.bigInt({ min: 0n, max: C.UINT64_MAX - 1n }),
    table: fc.nat(254),
    idleTimeout: u16,
    hardTimeout: u16,
    bufferId: u32,
    outPort: port,
    outGroup: u32,
    flags: bits(C.FF_STATE),
    importance: u16,
    actions: instructionsIn(version),
  }).map((m) => {
    const add = m.command === 'add';
    const del = m.command === 'delete' || m.command === 'delete_strict';
    const matchesCookie = !add && m.cookieMask !== 0n;
    const nx = variant === 'nx';
    return {
      ...m,
      cookie: matchesCookie ? m.cookie & m.cookieMask : 0n,
      cookieMask: matchesCookie ? m.cookieMask : 0n,
      newCookie: old || add ? m.newCookie : C.UINT64_MAX,
      modifyCookie: old,
      table: old ? C.OFPTT_ALL : m.table,
      outGroup: !old && del ? m.outGroup : C.OFPG_ANY,
      // An exact match of all twelve fields has no other priority in 1.0.
      priority: old && !nx && m.match.mask[52] !== 0 ? 0xffff : m.priority,
      flags: flagsOf(m.flags, version, add),
      importance: version >= OF14 && !nx && add ? m.importance : 0,
    };
  });
}

function flagsOf(flags: number, version: OfVersion, add: boolean): number {
  let kept = flags & (C.FF_SEND_FLOW_REM | C.FF_CHECK_OVERLAP);
  if (version >= OF12) kept |= flags & C.FF_RESET_COUNTS;
  else if (add) kept |= C.FF_RESET_COUNTS;
  if (version >= OF13) kept |= flags & (C.FF_NO_PKT_COUNTS | C.FF_NO_BYT_COUNTS);
  return kept;
}

function flowStatsRequest(version: OfVersion, variant: Variant) {
  const cookies = version === OF10 && variant === 'std' ? fc.constant(0n) : u64;
  return record({
    match: anyMatch(version, variant),
    cookie: cookies,
    cookieMask: cookies,
    outPort: port,
    outGroup: version === OF10 ? fc.constant(C.OFPG_ANY) : u32,
    table: u8,
  }).map((m) => ({ ...m, cookie: m.cookie & m.cookieMask }));
}

/** A message of that kind, version and variant. */
export function messageOf<K extends OfKind>(
  kind: K,
  version: OfVersion,
  variant: Variant,
): fc.Arbitrary<OfMessageOf<K>> {
  const make: ((v: OfVersion, x: Variant) => fc.Arbitrary<object>) | undefined = BODIES[kind];
  return fc
    .tuple(u32, (make ?? nothing)(version, variant))
    .map(([xid, body]) => ({ version, xid, variant, kind, ...body }) as OfMessage as OfMessageOf<K>);
}

/** Every kind, version and variant there is, but for bundle_add, which wants a message inside. */
export const ALL_FORMS: readonly { kind: OfKind; version: OfVersion; variant: Variant }[] =
  OF_VERSIONS.flatMap((version) =>
    rawVariants(version)
      .filter(({ kind }) => kind !== 'bundle_add')
      .map(({ kind, variant }) => ({ kind, version, variant })),
  );
