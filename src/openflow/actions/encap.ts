import { PT_ETH, W_ETH_TYPE, W_NW, W_PACKET_TYPE } from '../../flow/layout.ts';
import { isIp } from '../../flow/prerequisites.ts';
import { OF13, OF15 } from '../version.ts';
import { type ActionCodec, nxForm, type ParseContext } from './codec.ts';
import {
  N_PT_NAMESPACES,
  PT_MPLS,
  PT_MPLS_MC,
  PT_NS_ETHERTYPE,
  PT_NSH,
  PT_UNKNOWN,
  PT_USE_NEXT_PROTO,
} from './packet-types.ts';
import { P_OF13_UP } from './protocols.ts';
import { hex, keyValues, parseHexBytes, parseU8, parseU16, syntaxError } from './text.ts';
import type { ActionOf, EncapProperty } from './types.ts';
import { type ActionBytes, type ActionWriter, refuse, roundUp8, toBigInt } from './wire.ts';

type EncapAction = ActionOf<'encap'>;
type DecapAction = ActionOf<'decap'>;

const NXAST_ENCAP = 46;
const NXAST_DECAP = 47;

/** Headers that can be put on, by name. */
const HEADERS: ReadonlyMap<string, number> = new Map([
  ['ethernet', PT_ETH],
  ['nsh', PT_NSH],
  ['mpls', PT_MPLS],
  ['mpls_mc', PT_MPLS_MC],
]);

/** Property class of NSH, the only one whose properties are known, and its types. */
const CLASS_NSH = 4;
const NSH_MDTYPE = 1;
const NSH_TLV = 2;
const TLV = /^0x([0-9a-fA-F]+),(\d+),0x([0-9a-fA-F]{1,251})/;

function parseProperty(key: string, value: string): EncapProperty {
  if (value === '') syntaxError('Value missing for encap property');
  if (key === 'md_type') {
    const mdType = parseU8(value, 'md_type');
    if (mdType < 1 || mdType > 2) syntaxError('invalid md_type');
    return { propClass: CLASS_NSH, propType: NSH_MDTYPE, data: Uint8Array.of(mdType) };
  }
  const m = TLV.exec(value);
  if (m === null) syntaxError(`Invalid NSH TLV header: ${value}`);
  const tlvClass = Number.parseInt(m[1].slice(-4), 16);
  // A digit without its pair is dropped.
  const bytes = parseHexBytes(m[3].slice(0, m[3].length & ~1)) ?? new Uint8Array(0);
  const data = Uint8Array.of(tlvClass >> 8, tlvClass & 0xff, Number(m[2]) & 0xff, bytes.length, ...bytes);
  return { propClass: CLASS_NSH, propType: NSH_TLV, data };
}

/** `encap(HEADER)`, `encap(nsh(md_type=N,tlv(CLASS,TYPE,VALUE),...))`. */
function parseEncap(arg: string, context: ParseContext): EncapAction {
  context.restrict(P_OF13_UP);
  for (const { key, value } of keyValues(arg)) {
    const packetType = HEADERS.get(key);
    if (packetType === undefined) syntaxError(`Encap hdr not supported: ${value}`);
    const properties: EncapProperty[] = [];
    for (const property of keyValues(value)) {
      const known = packetType === PT_NSH && (property.key === 'md_type' || property.key === 'tlv');
      if (!known) syntaxError(`Invalid property: ${property.key}`);
      properties.push(parseProperty(property.key, property.value));
    }
    return { type: 'encap', packetType, properties };
  }
  return syntaxError(`Missing encap hdr: ${arg}`);
}

function formatProperty({ propType, data }: EncapProperty): string {
  if (propType === NSH_MDTYPE) return `md_type=${data[0]}`;
  const tlvClass = ((data[0] << 8) | data[1]).toString(16).padStart(4, '0');
  return `tlv(0x${tlvClass},${data[2]},${hex(toBigInt(data.subarray(4)))})`;
}

function formatEncap({ packetType, properties }: EncapAction): string {
  const header = [...HEADERS].find(([, type]) => type === packetType)?.[0] ?? 'UNKNOWN';
  return `encap(${header}${properties.length === 0 ? '' : `(${properties.map(formatProperty).join(',')})`})`;
}

function putProperty(out: ActionWriter, { propClass, propType, data }: EncapProperty): void {
  const padded = roundUp8(4 + data.length);
  out.u16(propClass);
  out.u8(propType);
  // A TLV's length counts its padding, the MD type's does not.
  out.u8(propType === NSH_TLV ? padded : 4 + data.length);
  out.bytes(data);
  out.zeros(padded - (4 + data.length));
}

function pullProperties(b: ActionBytes): EncapProperty[] {
  const properties: EncapProperty[] = [];
  let at = 16;
  while (at < b.length) {
    const propClass = b.u16(at);
    const propType = b.u8(at + 2);
    const length = b.u8(at + 3);
    const padded = roundUp8(length);
    if (length < 4 || at + padded > b.length) {
      refuse('OFPBAC_BAD_LEN', `property ${propType} of encap claims ${length} bytes`);
    }
    if (propClass !== CLASS_NSH || (propType !== NSH_MDTYPE && propType !== NSH_TLV)) {
      refuse('NXBAC_UNKNOWN_ED_PROP', `encap has no property ${propType} in class ${propClass}`);
    }
    const valueLength = b.u8(at + 7);
    const fits = propType === NSH_MDTYPE ? length <= 8 : length === 8 + roundUp8(valueLength);
    if (!fits) refuse('NXBAC_BAD_ED_PROP', `property ${propType} of encap cannot have ${length} bytes`);
    const end = propType === NSH_MDTYPE ? at + 5 : at + 8 + valueLength;
    properties.push({ propClass, propType, data: b.bytes(at + 4, end) });
    at += padded;
  }
  return properties;
}

/** Puts a header on the packet. */
export const encap: ActionCodec<EncapAction> = {
  type: 'encap',
  name: 'encap',
  words: { encap: parseEncap },
  format: formatEncap,
  encode({ packetType, properties, hdrSize }, out) {
    const start = out.nx(NXAST_ENCAP);
    out.u16(hdrSize ?? 0);
    out.u32(packetType);
    for (const property of properties) putProperty(out, property);
    out.end(start);
  },
  wire: [
    nxForm(
      NXAST_ENCAP,
      16,
      (b) => {
        const packetType = b.u32(12);
        if (![...HEADERS.values()].includes(packetType)) {
          refuse('NXBAC_BAD_HEADER_TYPE', `cannot put on headers of packet type ${hex(packetType)}`);
        }
        const action: EncapAction = { type: 'encap', packetType, properties: pullProperties(b) };
        const hdrSize = b.u16(10);
        return hdrSize === 0 ? action : { ...action, hdrSize };
      },
      { variable: true, versions: [OF13, OF15] },
    ),
  ],
  check(action, { flow }) {
    flow[W_PACKET_TYPE] = action.packetType;
    if (action.packetType >>> 16 === PT_NS_ETHERTYPE) {
      flow[W_ETH_TYPE] = (flow[W_ETH_TYPE] & 0xffff) | (action.packetType << 16);
    }
    if (!isIp(flow)) flow[W_NW] &= ~0xff;
    return action;
  },
  size: ({ properties }) => properties.reduce((sum, { data }) => sum + roundUp8(4 + data.length), 0),
};

/** `packet_type(ns=N,type=N)` */
function parsePacketType(text: string): number {
  const pairs = keyValues(text).values();
  const pull = (what: 'ns' | 'type'): number => {
    const { value: pair } = pairs.next();
    if (pair?.key !== what) syntaxError(`Missing packet_type attribute ${what}`);
    return parseU16(pair.value, what);
  };
  const ns = pull('ns');
  if (ns >= N_PT_NAMESPACES) syntaxError(`Unsupported ns value: ${ns}`);
  return ns * 65536 + pull('type');
}

/** `decap()`, `decap(packet_type(ns=N,type=N))`: takes the outer header off, and says what is below. */
export const decap: ActionCodec<DecapAction> = {
  type: 'decap',
  name: 'decap',
  words: {
    decap(arg) {
      for (const { key, value } of keyValues(arg)) {
        if (key !== 'packet_type') syntaxError(`Invalid decap argument: ${key}`);
        return { type: 'decap', packetType: parsePacketType(value) };
      }
      return { type: 'decap', packetType: PT_USE_NEXT_PROTO };
    },
  },
  format({ packetType }) {
    if (packetType === PT_USE_NEXT_PROTO) return 'decap()';
    return `decap(packet_type(ns=${packetType >>> 16},type=${hex(packetType & 0xffff)}))`;
  },
  encode({ packetType }, out) {
    const start = out.nx(NXAST_DECAP);
    out.zeros(2);
    out.u32(packetType);
    out.end(start);
  },
  wire: [
    nxForm(
      NXAST_DECAP,
      16,
      (b) => {
        if (b.length > 16) refuse('NXBAC_UNKNOWN_ED_PROP', 'decap has no properties');
        return { type: 'decap', packetType: b.u32(12) };
      },
      { variable: true, versions: [OF13, OF15] },
    ),
  ],
  check(action, { flow }) {
    if (flow[W_PACKET_TYPE] === PT_ETH) {
      flow[W_PACKET_TYPE] = (PT_NS_ETHERTYPE << 16) | (flow[W_ETH_TYPE] >>> 16);
    } else {
      // What comes to light is known only then: actions on headers are not for such packets.
      flow[W_PACKET_TYPE] = PT_UNKNOWN;
      flow[W_ETH_TYPE] |= 0xffff0000;
    }
    return action;
  },
};
