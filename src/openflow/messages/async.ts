import {
  OFPCRR_BITS,
  OFPPR_BITS,
  OFPR_EXPLICIT_MISS,
  OFPR_IMPLICIT_MISS,
  OFPR_INVALID_TTL,
  OFPR_NO_MATCH,
  OFPR10_BITS,
  OFPR14_BITS,
  OFPRFR_BITS,
  OFPRR10_BITS,
  OFPRR13_BITS,
  OFPRR14_BITS,
  OFPTR_BITS,
} from '../constants.ts';
import { OfError } from '../errors.ts';
import { type Codec, codec, head, kindOf, reject } from '../family.ts';
import type { Header } from '../header.ts';
import { type Property, propertyU32, readProperties, unknownProperty, writeProperty } from '../properties.ts';
import { OF12, OF13, OF14 } from '../version.ts';

/** Messages that a switch sends unasked. */
export const ASYNC_TYPES = [
  'packet_in',
  'port_status',
  'flow_removed',
  'role_status',
  'table_status',
  'requestforward',
] as const;
export type AsyncType = (typeof ASYNC_TYPES)[number];

/** For each, a bitmap of the reasons that are wanted, for a primary or equal controller and a secondary. */
export type AsyncConfig = Readonly<
  Record<AsyncType, { readonly primary: number; readonly secondary: number }>
>;

/** Types that a message leaves out stay as they are. */
export interface AsyncMessage extends Header {
  readonly kind: 'get_async_reply' | 'set_async_config';
  readonly config: Partial<AsyncConfig>;
}

/** Reasons that each type of message can have. */
function allowedReasons(type: AsyncType, version: number): number {
  switch (type) {
    case 'packet_in':
      return version >= OF14 ? OFPR14_BITS : OFPR10_BITS;
    case 'port_status':
      return OFPPR_BITS;
    case 'flow_removed':
      return OFPRR14_BITS;
    case 'role_status':
      return OFPCRR_BITS;
    case 'table_status':
      return OFPTR_BITS;
    case 'requestforward':
      return OFPRFR_BITS;
  }
}

/** The types that the fixed form, before OpenFlow 1.4, has, in its order. */
const FIXED_TYPES = ['packet_in', 'port_status', 'flow_removed'] as const;
/** First type number that is an experimenter's property. */
const MIN_EXPERIMENTER = 0xfffe;
const KINDS = ['get_async_reply', 'set_async_config'] as const;
const OFF = { primary: 0, secondary: 0 };

/**
 * What the wire calls "no match" is two things here: a table-miss flow sent the packet, or (only up to
 * OpenFlow 1.2, from 1.3 on such packets are dropped) no flow at all matched.
 */
function withMissReasons(type: AsyncType, reasons: number, version: number): number {
  if (type !== 'packet_in' || (reasons & (1 << OFPR_NO_MATCH)) === 0) return reasons;
  return reasons | (1 << OFPR_EXPLICIT_MISS) | (version < OF13 ? 1 << OFPR_IMPLICIT_MISS : 0);
}

type Mutable = { -readonly [T in AsyncType]?: { primary: number; secondary: number } };

function setReasons(config: Mutable, type: AsyncType, primary: boolean, wire: number, version: number): void {
  const reasons = withMissReasons(type, wire & allowedReasons(type, version), version);
  const old = config[type] ?? OFF;
  config[type] = primary ? { ...old, primary: reasons } : { ...old, secondary: reasons };
}

function readAsyncProperty(property: Property, config: Mutable, version: number, loose: boolean): void {
  const type = property.experimenter === 0 ? ASYNC_TYPES[property.type >>> 1] : undefined;
  if (type === undefined) {
    if (loose) return;
    const error = unknownProperty(property, 'async config');
    throw error.ofperr === 'OFPBPC_BAD_TYPE' ? new OfError('OFPACFC_UNSUPPORTED', error.message) : error;
  }
  const wire = propertyU32(property);
  const allowed = allowedReasons(type, version);
  if ((wire & ~allowed) !== 0 && !loose) {
    reject(
      'OFPACFC_INVALID',
      `reasons 0x${wire.toString(16)} of ${type}, known are 0x${allowed.toString(16)}`,
    );
  }
  setReasons(config, type, (property.type & 1) === 1, wire, version);
}

const asyncConfig = codec(
  KINDS,
  (r, c) => {
    const kind = kindOf(c, KINDS);
    const config: Mutable = {};
    if (c.version >= OF14 ? c.variant === 'std' : c.variant === 'nx2') {
      const loose = kind === 'get_async_reply';
      for (const property of readProperties(r, MIN_EXPERIMENTER)) {
        readAsyncProperty(property, config, c.version, loose);
      }
    } else {
      for (const type of FIXED_TYPES) {
        setReasons(config, type, true, r.u32(), c.version);
        setReasons(config, type, false, r.u32(), c.version);
      }
    }
    return { ...head(c, kind), config };
  },
  ({ config }, { w, version, variant }) => {
    if (version >= OF14 ? variant === 'std' : variant === 'nx2') {
      ASYNC_TYPES.forEach((type, i) => {
        const reasons = config[type];
        if (reasons === undefined) return;
        const allowed = allowedReasons(type, version);
        writeProperty(w, 2 * i, () => w.u32(reasons.secondary & allowed));
        writeProperty(w, 2 * i + 1, () => w.u32(reasons.primary & allowed));
      });
      return;
    }
    for (const type of FIXED_TYPES) {
      const { primary, secondary } = config[type] ?? OFF;
      const allowed = allowedReasons(type, version);
      w.u32(primary & allowed);
      w.u32(secondary & allowed);
    }
  },
);

/** What a controller gets before it has asked for anything. */
export function defaultAsyncConfig(version: number): AsyncConfig {
  let packetIn = (OFPR14_BITS & ~(1 << OFPR_INVALID_TTL)) | (1 << OFPR_EXPLICIT_MISS);
  if (version <= OF12) packetIn |= 1 << OFPR_IMPLICIT_MISS;
  return {
    packet_in: { primary: packetIn, secondary: 0 },
    port_status: { primary: OFPPR_BITS, secondary: OFPPR_BITS },
    flow_removed: {
      primary: version >= OF14 ? OFPRR14_BITS : version === OF13 ? OFPRR13_BITS : OFPRR10_BITS,
      secondary: 0,
    },
    role_status: OFF,
    table_status: OFF,
    requestforward: OFF,
  };
}

export const asyncCodecs: readonly Codec[] = [asyncConfig];
