import fc from 'fast-check';
import type { Field, FieldFormat, Subfield } from '../../flow/field.ts';
import { fieldOnes, isValueValid } from '../../flow/field-access.ts';
import { F, FIELDS } from '../../flow/fields.ts';
import { OFPP_CONTROLLER, OFPP_IN_PORT, OFPP_LOCAL, OFPP_NONE, OFPP_NORMAL } from '../constants.ts';
import { NO_METER } from './controller.ts';
import { HASH_FIELDS } from './hash-fields.ts';
import { bitMask, hasShortHeader, wholeMask } from './oxm.ts';
import { PT_ETH, PT_MPLS, PT_NSH, PT_USE_NEXT_PROTO } from './packet-types.ts';
import type { Action, ActionOf, ActionType, LearnSpec, NatAction, SetFieldAction } from './types.ts';

/**
 * Random actions for tests: each of every type, such as a text or a message can hold, and lists of them.
 * They carry none of the optional notes.
 */

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const mac = fc.bigInt({ min: 0n, max: 0xffffffffffffn });
const physicalPort = fc.integer({ min: 0, max: 0xfeff });
/** A port that packets can be sent to. */
const outputPort = fc.oneof(physicalPort, fc.constantFrom(OFPP_IN_PORT, OFPP_LOCAL, OFPP_NORMAL));
const table = fc.integer({ min: 0, max: 254 });
const CT_FIELDS: ReadonlySet<Field> = new Set([F.ctMark, F.ctLabel]);

/** Formats in which any value of a field can be written. */
const PLAIN_FORMATS: ReadonlySet<FieldFormat> = new Set<FieldFormat>([
  ...(['decimal', 'hexadecimal', 'ethernet', 'ipv4', 'ipv6'] as const),
]);

/** Fields with a number, without those whose width a switch's table decides. */
const named = FIELDS.filter((f) => f.numbers.length > 0 && !f.variableLength);
const short = named.filter(hasShortHeader);
const writable = named.filter((f) => f.writable && !CT_FIELDS.has(f));
const shortWritable = short.filter((f) => f.writable && !CT_FIELDS.has(f));

function subfieldOf(fields: readonly Field[], bits?: number): fc.Arbitrary<Subfield> {
  const wide = fields.filter((f) => f.bits >= (bits ?? 1));
  return fc.constantFrom(...wide).chain((field) =>
    fc.tuple(fc.nat(field.bits - 1), fc.nat(field.bits - 1), fc.boolean()).map(([a, b, whole]) => {
      if (bits !== undefined) return { field, ofs: Math.min(a, field.bits - bits), bits };
      if (whole) return { field, ofs: 0, bits: field.bits };
      return { field, ofs: Math.min(a, b), bits: Math.abs(a - b) + 1 };
    }),
  );
}

/** Of up to 64 bits. */
function loadSubfield(fields: readonly Field[]): fc.Arbitrary<Subfield> {
  return subfieldOf(fields).map((sf) => ({ ...sf, bits: Math.min(sf.bits, 64) }));
}

function below(bits: number): fc.Arbitrary<bigint> {
  return fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });
}

function fieldValue(field: Field): fc.Arbitrary<bigint> {
  const arbitrary = below(field.bits).filter((value) => isValueValid(field, value));
  if (field === F.vlanVid) return arbitrary.map((vid) => vid | 0x1000n);
  if (field === F.nwTos) return below(6).map((dscp) => dscp << 2n);
  if (field === F.inPortOxm) return physicalPort.map(BigInt);
  return arbitrary;
}

function setFieldOf(fields: readonly Field[]): fc.Arbitrary<SetFieldAction> {
  const whole = fc.constantFrom(...fields.filter((f) => f !== F.inPortOxm)).chain((field) =>
    fieldValue(field).map(
      (value): SetFieldAction => ({
        type: 'set_field',
        field,
        value,
        mask: wholeMask(field),
        form: 'set_field',
      }),
    ),
  );
  // What loads may do, OpenFlow 1.5's set-field may not always: it knows no VLAN id without a tag.
  const loadable = fields.filter((f) => hasShortHeader(f) && f !== F.inPortOxm && f !== F.vlanVid);
  const load = loadSubfield(loadable).chain(({ field, ofs, bits }) =>
    below(bits).map(
      (value): SetFieldAction => ({
        type: 'set_field',
        field,
        value: value << BigInt(ofs),
        mask: bitMask(ofs, bits),
        form: 'reg_load',
      }),
    ),
  );
  const valid = load.filter(({ field, value }) => isValueValid(field, value));
  const maskable = fields.filter((f) => f.maskable && f !== F.vlanVid && f.format !== 'tunnel-flags');
  const masked = fc.constantFrom(...maskable).chain((field) =>
    fc.tuple(below(field.bits), below(field.bits)).map(([value, mask]): SetFieldAction => {
      const some = mask === 0n ? 1n : mask === fieldOnes(field) ? wholeMask(field) : mask;
      return { type: 'set_field', field, value: value & some, mask: some, form: 'set_field' };
    }),
  );
  return fc.oneof(whole, valid, masked);
}

function moveOf(sources: readonly Field[], targets: readonly Field[]): fc.Arbitrary<ActionOf<'reg_move'>> {
  return fc.tuple(subfieldOf(sources), subfieldOf(targets)).map(([src, dst]) => {
    const bits = Math.min(src.bits, dst.bits);
    return { type: 'reg_move', src: { ...src, bits }, dst: { ...dst, bits } };
  });
}

const ipBytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
const NO_BYTES = new Uint8Array(0);
const NO_RANGE = { addressMin: NO_BYTES, addressMax: NO_BYTES, portMin: 0, portMax: 0 };

const natAction: fc.Arbitrary<NatAction> = fc
  .tuple(fc.constantFrom('none', 'src', 'dst'), ipBytes, u8, u16, u16, fc.nat(3), fc.nat(2), fc.boolean())
  .map(([direction, bytes, last, portA, portB, range, choice, persistent]): NatAction => {
    const none = { type: 'nat', persistent: false, hash: false, random: false, ...NO_RANGE } as const;
    if (direction === 'none' || range === 0) return { ...none, direction };
    const addressMin = Uint8Array.from(bytes);
    addressMin[0] |= 1;
    const addressMax = Uint8Array.from(addressMin);
    addressMax[addressMax.length - 1] = Math.max(last, addressMin[addressMin.length - 1]);
    // A range of one address or port is printed as that one.
    const hasMax = addressMax.at(-1) !== addressMin.at(-1);
    const [portMin, portMax] = [Math.min(portA, portB) + 1, Math.max(portA, portB) + 1];
    const hasPorts = range > 2 && portMax <= 0xffff;
    return {
      type: 'nat',
      direction,
      persistent,
      hash: choice === 1,
      random: choice === 2,
      addressMin,
      addressMax: range > 1 && hasMax ? addressMax : NO_BYTES,
      portMin: hasPorts ? portMin : 0,
      portMax: hasPorts && portMax !== portMin ? portMax : 0,
    };
  });

const ctExec: fc.Arbitrary<Action> = fc.oneof(setFieldOf([...CT_FIELDS]), moveOf(short, [...CT_FIELDS]));

const ctAction: fc.Arbitrary<ActionOf<'ct'>> = fc
  .record({
    flags: fc.nat(2),
    zone: fc.oneof(u16, subfieldOf(short, 16)),
    recircTable: fc.integer({ min: 0, max: 255 }),
    alg: fc.constantFrom(0, 21, 69),
    nat: fc.option(natAction),
    exec: fc.array(ctExec, { maxLength: 3 }),
  })
  .map(({ flags, zone, recircTable, alg, nat, exec }) => {
    const plain: NatAction = {
      type: 'nat',
      direction: 'none',
      persistent: false,
      hash: false,
      random: false,
      ...NO_RANGE,
    };
    const actions = flags > 0 ? [...(nat === null ? [] : [nat]), ...exec] : nat === null ? [] : [plain];
    return { type: 'ct', commit: flags > 0, force: flags > 1, zone, recircTable, alg, actions };
  });

const learnSpec: fc.Arbitrary<LearnSpec> = fc.oneof(
  subfieldOf(short).map((src): LearnSpec => ({ kind: 'output', src })),
  moveOf(short, short).map(({ src, dst }): LearnSpec => ({ kind: 'match', src, dst })),
  moveOf(short, short).map(({ src, dst }): LearnSpec => ({ kind: 'load', src, dst })),
  subfieldOf(short.filter((f) => f.bits === 8 * f.bytes && PLAIN_FORMATS.has(f.format))).chain((dst) =>
    fc
      .tuple(below(dst.bits), fc.constantFrom('match' as const, 'load' as const))
      .map(([src, kind]): LearnSpec => ({ kind, dst, src })),
  ),
);

const learnAction: fc.Arbitrary<ActionOf<'learn'>> = fc
  .record({
    type: fc.constant('learn' as const),
    idleTimeout: u16,
    hardTimeout: u16,
    priority: u16,
    cookie: u64,
    table,
    flags: fc.nat(3),
    finIdleTimeout: u16,
    finHardTimeout: u16,
    limit: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0x7fffffff })),
    resultDst: fc.option(subfieldOf(writable, 1)),
    specs: fc.array(learnSpec, { maxLength: 5 }),
  })
  .map((a) => ({ ...a, flags: a.flags | (a.resultDst === null ? 0 : 4) }));

const controllerAction: fc.Arbitrary<ActionOf<'controller'>> = fc.record({
  type: fc.constant('controller' as const),
  maxLen: u16,
  controllerId: fc.integer({ min: 1, max: 0xffff }),
  reason: fc.integer({ min: 0, max: 5 }),
  userdata: fc.uint8Array({ maxLength: 30 }),
  pause: fc.boolean(),
  meterId: fc.oneof(fc.constant(NO_METER), fc.integer({ min: 1, max: 0xfffffffe })),
});

const encapAction: fc.Arbitrary<ActionOf<'encap'>> = fc.oneof(
  fc
    .constantFrom(PT_ETH, PT_MPLS, PT_NSH)
    .map((packetType) => ({ type: 'encap' as const, packetType, properties: [] })),
  fc
    .tuple(fc.integer({ min: 1, max: 2 }), u16, u8, fc.uint8Array({ maxLength: 20, minLength: 1 }))
    .map(([mdType, tlvClass, tlvType, value]) => {
      // The value is written without leading zeros.
      value[0] |= 0x10;
      const header = [tlvClass >> 8, tlvClass & 0xff, tlvType, value.length];
      return {
        type: 'encap' as const,
        packetType: PT_NSH,
        properties: [
          { propClass: 4, propType: 1, data: Uint8Array.of(mdType) },
          { propClass: 4, propType: 2, data: Uint8Array.of(...header, ...value) },
        ],
      };
    }),
);

/** Bits that hold any port or link number. */
const portTarget = loadSubfield(shortWritable.filter((f) => f.bits >= 16)).filter((sf) => sf.bits >= 16);

const nothing = <T extends ActionType>(type: T) => fc.constant({ type });
const sized = (min: number, max: number) => fc.integer({ min, max });

/** Actions without others inside, by type: those that may stand anywhere in a list but in ct(...). */
const SIMPLE: readonly fc.Arbitrary<Action>[] = [
  outputPort.map((port) => ({ type: 'output', port, maxLen: 0 })),
  u16.map((maxLen) => ({ type: 'output', port: OFPP_CONTROLLER, maxLen })),
  loadSubfield(named).map((src) => ({ type: 'output_reg', src, maxLen: 0xffff })),
  fc
    .tuple(physicalPort, sized(14, 0xffffffff))
    .map(([port, maxLen]) => ({ type: 'output_trunc', port, maxLen })),
  controllerAction,
  fc.tuple(physicalPort, u32).map(([port, queue]) => ({ type: 'enqueue', port, queue })),
  u32.map((group) => ({ type: 'group', group })),
  fc.record({
    type: fc.constant('bundle' as const),
    algorithm: fc.constantFrom('active_backup', 'hrw'),
    fields: fc.constantFrom(...HASH_FIELDS),
    basis: u16,
    members: fc.array(physicalPort, { maxLength: 9 }),
    dst: fc.option<Subfield>(portTarget),
  }),
  setFieldOf(writable),
  moveOf(named, writable),
  subfieldOf(named).map((subfield) => ({ type: 'stack_push', subfield })),
  subfieldOf(writable).map((subfield) => ({ type: 'stack_pop', subfield })),
  fc
    .tuple(sized(0, 0xfff), fc.boolean())
    .map(([vid, pushIfNeeded]) => ({ type: 'set_vlan_vid', vid, pushIfNeeded })),
  fc
    .tuple(sized(0, 7), fc.boolean())
    .map(([pcp, pushIfNeeded]) => ({ type: 'set_vlan_pcp', pcp, pushIfNeeded })),
  nothing('strip_vlan'),
  fc.constantFrom(0x8100, 0x88a8).map((ethertype) => ({ type: 'push_vlan', ethertype })),
  mac.map((m) => ({ type: 'set_eth_src', mac: m })),
  mac.map((m) => ({ type: 'set_eth_dst', mac: m })),
  u32.map((ip) => ({ type: 'set_ipv4_src', ip })),
  u32.map((ip) => ({ type: 'set_ipv4_dst', ip })),
  sized(0, 63).map((dscp) => ({ type: 'set_ip_dscp', dscp: dscp << 2 })),
  sized(0, 3).map((ecn) => ({ type: 'set_ip_ecn', ecn })),
  u8.map((ttl) => ({ type: 'set_ip_ttl', ttl })),
  u16.map((port) => ({ type: 'set_l4_src_port', port })),
  u16.map((port) => ({ type: 'set_l4_dst_port', port })),
  fc.constant({ type: 'dec_ttl', controllerIds: [0], explicitIds: false }),
  fc
    .array(u16, { minLength: 1, maxLength: 9 })
    .map((ids) => ({ type: 'dec_ttl', controllerIds: ids, explicitIds: true })),
  sized(0, 0xfffff).map((label) => ({ type: 'set_mpls_label', label })),
  sized(0, 7).map((tc) => ({ type: 'set_mpls_tc', tc })),
  u8.map((ttl) => ({ type: 'set_mpls_ttl', ttl })),
  nothing('dec_mpls_ttl'),
  fc.constantFrom(0x8847, 0x8848).map((ethertype) => ({ type: 'push_mpls', ethertype })),
  u16.map((ethertype) => ({ type: 'pop_mpls', ethertype })),
  fc.tuple(u64, fc.boolean()).map(([id, ext64]) => ({ type: 'set_tunnel', id, ext64 })),
  u32.map((queue) => ({ type: 'set_queue', queue })),
  nothing('pop_queue'),
  fc.tuple(u16, u16).map(([idle, hard]) => ({ type: 'fin_timeout', idle, hard })),
  fc
    .tuple(physicalPort, table, fc.boolean())
    .map(([inPort, t, withCt]) => ({ type: 'resubmit', inPort, table: t, withCt })),
  table.map((t) => ({ type: 'resubmit', inPort: OFPP_IN_PORT, table: t, withCt: false })),
  physicalPort.map((inPort) => ({ type: 'resubmit', inPort, table: 255, withCt: false })),
  learnAction,
  fc.record({
    type: fc.constant('multipath' as const),
    fields: fc.constantFrom(...HASH_FIELDS),
    basis: u16,
    algorithm: fc.constantFrom('modulo_n', 'hash_threshold', 'hrw', 'iter_hash'),
    maxLink: u16,
    arg: sized(0, 0x7fffffff),
    dst: portTarget,
  }),
  // As the wire has it, in whole rows.
  fc
    .integer({ min: 0, max: 5 })
    .chain((n) =>
      fc.uint8Array({ minLength: 6 + 8 * n, maxLength: 6 + 8 * n }).map((data) => ({ type: 'note', data })),
    ),
  nothing('exit'),
  fc.record({
    type: fc.constant('sample' as const),
    probability: sized(1, 0xffff),
    collectorSet: u32,
    obsDomain: u32,
    obsPoint: u32,
    samplingPort: fc.oneof(physicalPort, fc.constant(OFPP_NONE)),
    direction: fc.constantFrom('default', 'ingress', 'egress'),
  }),
  ctAction,
  nothing('ct_clear'),
  fc.tuple(subfieldOf(writable, 1), u16).map(([dst, length]) => ({ type: 'check_pkt_larger', dst, length })),
  fc
    .constantFrom(...FIELDS.filter((f) => f.variableLength))
    .map((field) => ({ type: 'delete_field', field })),
];

/** Actions that OpenFlow has only since 1.3. */
const SINCE_OF13: readonly fc.Arbitrary<Action>[] = [
  encapAction,
  fc.constant({ type: 'decap', packetType: PT_USE_NEXT_PROTO }),
  fc.tuple(sized(0, 4), u16).map(([ns, type]) => ({ type: 'decap', packetType: ns * 65536 + type })),
  nothing('dec_nsh_ttl'),
];

/** One action of any type that may stand in a list of actions for an OpenFlow version. */
export function anyAction(version: number, depth = 2): fc.Arbitrary<Action> {
  const simple = version >= 4 ? [...SIMPLE, ...SINCE_OF13] : SIMPLE;
  if (depth === 0) return fc.oneof(...simple);
  const inner = fc.array(anyAction(version, depth - 1), { maxLength: 3 });
  return fc.oneof(
    ...simple,
    inner.map((actions): Action => ({ type: 'clone', actions })),
  );
}

/** A list of actions, perhaps with a note between, or of conjunctions. */
export function anyActions(version: number): fc.Arbitrary<readonly Action[]> {
  const conjunction = fc
    .tuple(u32, sized(2, 64), u8)
    .map(([id, nClauses, k]): Action => ({ type: 'conjunction', id, clause: k % nClauses, nClauses }));
  return fc.oneof(
    { weight: 20, arbitrary: fc.array(anyAction(version), { maxLength: 6 }) },
    { weight: 1, arbitrary: fc.array(conjunction, { maxLength: 3 }) },
  );
}

const SET_TYPES: ReadonlySet<ActionType> = new Set<ActionType>([
  ...([
    'output',
    'group',
    'set_field',
    'reg_move',
    'push_vlan',
    'push_mpls',
    'dec_ttl',
    'set_queue',
    'resubmit',
    'ct',
  ] as const),
]);

/** A list of instructions for an OpenFlow version from 1.1 on, in order. */
export function anyInstructions(version: number): fc.Arbitrary<readonly Action[]> {
  const written = fc.array(
    anyAction(version, 0).filter(({ type }) => SET_TYPES.has(type)),
    { minLength: 1, maxLength: 4 },
  );
  return fc
    .record({
      meter: fc.option(sized(1, 0xffff0000)),
      apply: fc.array(anyAction(version), { maxLength: 4 }),
      clear: fc.boolean(),
      write: fc.option(written),
      metadata: fc.option(fc.tuple(u64, u64)),
      goto: fc.option(table),
    })
    .map(({ meter, apply, clear, write, metadata, goto }) => {
      const list: Action[] = [];
      if (meter !== null && version >= 4) list.push({ type: 'meter', meter });
      list.push(...apply);
      if (clear) list.push({ type: 'clear_actions' });
      if (write !== null) list.push({ type: 'write_actions', actions: write });
      if (metadata !== null) list.push({ type: 'write_metadata', metadata: metadata[0], mask: metadata[1] });
      if (goto !== null) list.push({ type: 'goto_table', table: goto });
      return list;
    });
}
