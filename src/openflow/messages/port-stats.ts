import type { Reader, Writer } from '../bytes.ts';
import { UINT32_MAX, UINT64_MAX } from '../constants.ts';
import { type Codec, codec, head, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { readProperties, writeExperimenterProperty, writeProperty } from '../properties.ts';
import { INTEL_VENDOR, OF10, OF13, OF14 } from '../version.ts';

/** Counters of a port; UINT64_MAX where unknown. */
export interface PortStats {
  readonly port: number;
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxFrameErr: bigint;
  readonly rxOverErr: bigint;
  readonly rxCrcErr: bigint;
  readonly collisions: bigint;
  /** OpenFlow 1.3 and later; UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
  /** OpenFlow 1.4 and later (Open vSwitch's properties): RFC 2819 counters and the port's own. */
  readonly rfc2819: Rfc2819Stats | null;
  readonly custom: readonly { readonly name: string; readonly value: bigint }[];
}

/** Packet size histograms and more of RFC 2819; UINT64_MAX where unknown. In the order of the wire. */
export interface Rfc2819Stats {
  readonly rx1To64: bigint;
  readonly rx65To127: bigint;
  readonly rx128To255: bigint;
  readonly rx256To511: bigint;
  readonly rx512To1023: bigint;
  readonly rx1024To1522: bigint;
  readonly rx1523ToMax: bigint;
  readonly tx1To64: bigint;
  readonly tx65To127: bigint;
  readonly tx128To255: bigint;
  readonly tx256To511: bigint;
  readonly tx512To1023: bigint;
  readonly tx1024To1522: bigint;
  readonly tx1523ToMax: bigint;
  readonly txMulticast: bigint;
  readonly rxBroadcast: bigint;
  readonly txBroadcast: bigint;
  readonly rxUndersized: bigint;
  readonly rxOversized: bigint;
  readonly rxFragmented: bigint;
  readonly rxJabber: bigint;
}

export interface PortStatsRequest extends Header {
  readonly kind: 'port_stats_request';
  /** OFPP_ANY: all. */
  readonly port: number;
}

export interface PortStatsReply extends Header, Multipart {
  readonly kind: 'port_stats_reply';
  readonly ports: readonly PortStats[];
}

const PROP_ETHERNET = 0;
const INTEL_RFC2819 = 1;
const INTEL_CUSTOM = 2;
const OF14_LENGTH = 80;
/** Longest name of a custom counter that is kept. */
const CUSTOM_NAME_LENGTH = 63;

/** Counters in the order that all versions share. */
const COMMON = [
  'rxPackets',
  'txPackets',
  'rxBytes',
  'txBytes',
  'rxDropped',
  'txDropped',
  'rxErrors',
  'txErrors',
] as const;
const ETHERNET = ['rxFrameErr', 'rxOverErr', 'rxCrcErr', 'collisions'] as const;
/** In the order of the wire. */
export const RFC2819_COUNTERS = [
  'rx1To64',
  'rx65To127',
  'rx128To255',
  'rx256To511',
  'rx512To1023',
  'rx1024To1522',
  'rx1523ToMax',
  'tx1To64',
  'tx65To127',
  'tx128To255',
  'tx256To511',
  'tx512To1023',
  'tx1024To1522',
  'tx1523ToMax',
  'txMulticast',
  'rxBroadcast',
  'txBroadcast',
  'rxUndersized',
  'rxOversized',
  'rxFragmented',
  'rxJabber',
] as const satisfies readonly (keyof Rfc2819Stats)[];

type Counters<K extends string> = { -readonly [P in K]: bigint };

function readCounters<K extends string>(r: Reader, names: readonly K[]): Counters<K> {
  return Object.fromEntries(names.map((name) => [name, r.u64()])) as Counters<K>;
}

function unknownCounters<K extends string>(names: readonly K[]): Counters<K> {
  return Object.fromEntries(names.map((name) => [name, UINT64_MAX])) as Counters<K>;
}

function writeCounters<K extends string>(
  w: Writer,
  names: readonly K[],
  from: Readonly<Record<K, bigint>>,
): void {
  for (const name of names) w.u64(from[name]);
}

function readPortStats(r: Reader, version: number): PortStats {
  if (version >= OF14) return readOf14PortStats(r);
  const port = version === OF10 ? portFromWire16(r.u16()) : portFromWire32(r.u32());
  r.skip(version === OF10 ? 6 : 4);
  const common = readCounters(r, COMMON);
  const ethernet = readCounters(r, ETHERNET);
  const durationSec = version < OF13 ? UINT32_MAX : r.u32();
  const durationNsec = version < OF13 ? UINT32_MAX : r.u32();
  return { port, ...common, ...ethernet, durationSec, durationNsec, rfc2819: null, custom: [] };
}

function readOf14PortStats(r: Reader): PortStats {
  const length = r.u16();
  if (length < OF14_LENGTH || length - 2 > r.left) {
    reject('OFPBRC_BAD_LEN', `port stats of length ${length}, ${r.left + 2} are there`);
  }
  const entry = r.sub(length - 2);
  entry.skip(2);
  const port = portFromWire32(entry.u32());
  const durationSec = entry.u32();
  const durationNsec = entry.u32();
  const common = readCounters(entry, COMMON);
  let ethernet = unknownCounters(ETHERNET);
  let rfc2819: Rfc2819Stats | null = null;
  let custom: PortStats['custom'] = [];
  for (const { type, experimenter, expType, payload } of readProperties(entry)) {
    if (experimenter === 0 && type === PROP_ETHERNET) {
      exactly(payload, 4 + 8 * ETHERNET.length, 'Ethernet property of port stats');
      payload.skip(4);
      ethernet = readCounters(payload, ETHERNET);
    } else if (experimenter === INTEL_VENDOR && expType === INTEL_RFC2819) {
      exactly(payload, 4 + 8 * RFC2819_COUNTERS.length, 'RFC 2819 property of port stats');
      payload.skip(4);
      rfc2819 = readCounters(payload, RFC2819_COUNTERS);
    } else if (experimenter === INTEL_VENDOR && expType === INTEL_CUSTOM) {
      custom = readCustom(payload);
    }
  }
  return { port, ...common, ...ethernet, durationSec, durationNsec, rfc2819, custom };
}

function exactly(r: Reader, length: number, what: string): void {
  if (r.left !== length) reject('OFPBPC_BAD_LEN', `${what}: payload of ${r.left} bytes, must be ${length}`);
}

function readCustom(r: Reader): PortStats['custom'] {
  const custom: { name: string; value: bigint }[] = [];
  r.skip(2);
  const n = r.u16();
  for (let i = 0; i < n; i++) {
    const bytes = r.read(r.u8());
    const name = new TextDecoder().decode(bytes.subarray(0, CUSTOM_NAME_LENGTH));
    custom.push({ name, value: r.u64() });
  }
  return custom;
}

function writePortStats(w: Writer, s: PortStats, version: number): void {
  if (version >= OF14) {
    writeOf14PortStats(w, s);
    return;
  }
  if (version === OF10) w.u16(portToWire16(s.port));
  else w.u32(s.port);
  w.zeros(version === OF10 ? 6 : 4);
  writeCounters(w, COMMON, s);
  writeCounters(w, ETHERNET, s);
  if (version < OF13) return;
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
}

function writeOf14PortStats(w: Writer, s: PortStats): void {
  const start = w.length;
  w.u32(0);
  w.u32(s.port);
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
  writeCounters(w, COMMON, s);
  writeProperty(w, PROP_ETHERNET, () => writeCounters(w, ETHERNET, s), true);
  const { rfc2819, custom } = s;
  if (rfc2819 !== null) {
    writeExperimenterProperty(w, INTEL_VENDOR, INTEL_RFC2819, () => {
      w.u32(0);
      writeCounters(w, RFC2819_COUNTERS, rfc2819);
    });
  }
  if (custom.length > 0) {
    writeExperimenterProperty(w, INTEL_VENDOR, INTEL_CUSTOM, () => {
      w.u16(0);
      w.u16(custom.length);
      for (const { name, value } of custom) {
        const bytes = new TextEncoder().encode(name).subarray(0, CUSTOM_NAME_LENGTH);
        w.u8(bytes.length);
        w.put(bytes);
        w.u64(value);
      }
    });
  }
  w.setU16(start, w.length - start);
}

const request = codec(
  ['port_stats_request'],
  (r, c) => ({
    ...head(c, 'port_stats_request'),
    port: c.version === OF10 ? portFromWire16(r.u16()) : portFromWire32(r.u32()),
  }),
  ({ port }, { w, version }) => {
    if (version === OF10) w.u16(portToWire16(port));
    else w.u32(port);
    w.zeros(version === OF10 ? 6 : 4);
  },
);

const reply = codec(
  ['port_stats_reply'],
  (r, c) => {
    const ports: PortStats[] = [];
    while (r.left > 0) ports.push(readPortStats(r, c.version));
    return { ...multipartHead(c, 'port_stats_reply'), ports };
  },
  ({ ports }, out) => {
    for (const port of ports) out.entry((w) => writePortStats(w, port, out.version));
  },
);

export const portStatsCodecs: readonly Codec[] = [request, reply];
