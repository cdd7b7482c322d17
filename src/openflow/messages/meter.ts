import type { Reader, Writer } from '../bytes.ts';
import { OFPMBT_DROP, OFPMBT_DSCP_REMARK, OFPMF_KBPS, OFPMF_PKTPS } from '../constants.ts';
import { type Codec, codec, head, indexIn, kindOf, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';

export interface MeterBand {
  readonly type: 'drop' | 'dscp_remark';
  /** kb/s or packets/s. */
  readonly rate: number;
  readonly burstSize: number;
  /** For dscp_remark: drop precedence to add; else 0. */
  readonly precLevel: number;
}

export interface MeterConfig {
  readonly meter: number;
  /** OFPMF_* */
  readonly flags: number;
  readonly bands: readonly MeterBand[];
}

export interface MeterMod extends Header, MeterConfig {
  readonly kind: 'meter_mod';
  readonly command: 'add' | 'modify' | 'delete';
}

export interface MeterRequest extends Header {
  readonly kind: 'meter_stats_request' | 'meter_config_request';
  /** OFPM_ALL: all. */
  readonly meter: number;
}

export interface MeterConfigReply extends Header, Multipart {
  readonly kind: 'meter_config_reply';
  readonly meters: readonly MeterConfig[];
}

export interface MeterStats {
  readonly meter: number;
  readonly flowCount: number;
  readonly packetInCount: bigint;
  readonly byteInCount: bigint;
  readonly durationSec: number;
  readonly durationNsec: number;
  readonly bands: readonly { readonly packetCount: bigint; readonly byteCount: bigint }[];
}

export interface MeterStatsReply extends Header, Multipart {
  readonly kind: 'meter_stats_reply';
  readonly meters: readonly MeterStats[];
}

export interface MeterFeaturesReply extends Header, Multipart {
  readonly kind: 'meter_features_reply';
  readonly maxMeters: number;
  /** Bit OFPMBT_* set: that band type is supported. */
  readonly bandTypes: number;
  /** OFPMF_* */
  readonly capabilities: number;
  readonly maxBands: number;
  readonly maxColor: number;
}

const COMMANDS: readonly MeterMod['command'][] = ['add', 'modify', 'delete'];
const BAND_LENGTH = 16;

function readBands(r: Reader): MeterBand[] {
  const bands: MeterBand[] = [];
  while (r.left > 0) {
    const type = r.u16();
    const length = r.u16();
    if (length !== BAND_LENGTH)
      reject('OFPBRC_BAD_LEN', `meter band of length ${length}, must be ${BAND_LENGTH}`);
    const rate = r.u32();
    const burstSize = r.u32();
    const precLevel = r.u8();
    r.skip(3);
    if (type === OFPMBT_DROP) bands.push({ type: 'drop', rate, burstSize, precLevel: 0 });
    else if (type === OFPMBT_DSCP_REMARK) bands.push({ type: 'dscp_remark', rate, burstSize, precLevel });
    else reject('OFPMMFC_BAD_BAND', `meter band of type ${type}, known are 1 and 2`);
  }
  return bands;
}

function writeBands(w: Writer, bands: readonly MeterBand[]): void {
  for (const band of bands) {
    w.u16(band.type === 'drop' ? OFPMBT_DROP : OFPMBT_DSCP_REMARK);
    w.u16(BAND_LENGTH);
    w.u32(band.rate);
    w.u32(band.burstSize);
    w.u8(band.precLevel);
    w.zeros(3);
  }
}

const meterMod = codec(
  ['meter_mod'],
  (r, c) => {
    const number = r.u16();
    const flags = r.u16();
    const meter = r.u32();
    if (!(number in COMMANDS)) reject('OFPMMFC_BAD_COMMAND', `meter command ${number}, at most 2`);
    const command = COMMANDS[number];
    if (command === 'delete') return { ...head(c, 'meter_mod'), command, meter, flags: 0, bands: [] };
    if ((flags & OFPMF_KBPS) !== 0 && (flags & OFPMF_PKTPS) !== 0) {
      reject('OFPMMFC_BAD_FLAGS', 'a meter cannot count both kbps and packets/s');
    }
    return { ...head(c, 'meter_mod'), command, meter, flags, bands: readBands(r) };
  },
  (m, { w }) => {
    w.u16(indexIn(COMMANDS, m.command));
    w.u16(m.flags);
    w.u32(m.meter);
    writeBands(w, m.bands);
  },
);

const REQUEST_KINDS = ['meter_stats_request', 'meter_config_request'] as const;

const request = codec(
  REQUEST_KINDS,
  (r, c) => ({ ...head(c, kindOf(c, REQUEST_KINDS)), meter: r.u32() }),
  ({ meter }, { w }) => {
    w.u32(meter);
    w.u32(0);
  },
);

/** The rest of an entry whose length has been read, of which `read` bytes came before. */
function entryRest(r: Reader, length: number, read: number, least: number): Reader {
  if (length < least || length - read > r.left) {
    reject(
      'OFPBRC_BAD_LEN',
      `meter entry of length ${length}, at least ${least}; ${r.left + read} are there`,
    );
  }
  return r.sub(length - read);
}

const configReply = codec(
  ['meter_config_reply'],
  (r, c) => {
    const meters: MeterConfig[] = [];
    while (r.left > 0) {
      const entry = entryRest(r, r.u16(), 2, 8);
      const flags = entry.u16();
      const meter = entry.u32();
      meters.push({ meter, flags, bands: readBands(entry) });
    }
    return { ...multipartHead(c, 'meter_config_reply'), meters };
  },
  ({ meters }, out) => {
    for (const m of meters) {
      out.entry((w) => {
        w.u16(8 + BAND_LENGTH * m.bands.length);
        w.u16(m.flags);
        w.u32(m.meter);
        writeBands(w, m.bands);
      });
    }
  },
);

function readStats(r: Reader): MeterStats {
  const meter = r.u32();
  const entry = entryRest(r, r.u16(), 6, 40);
  entry.skip(6);
  const flowCount = entry.u32();
  const packetInCount = entry.u64();
  const byteInCount = entry.u64();
  const durationSec = entry.u32();
  const durationNsec = entry.u32();
  const bands: { packetCount: bigint; byteCount: bigint }[] = [];
  while (entry.left > 0) bands.push({ packetCount: entry.u64(), byteCount: entry.u64() });
  return { meter, flowCount, packetInCount, byteInCount, durationSec, durationNsec, bands };
}

function writeStats(w: Writer, s: MeterStats): void {
  w.u32(s.meter);
  w.u16(40 + 16 * s.bands.length);
  w.zeros(6);
  w.u32(s.flowCount);
  w.u64(s.packetInCount);
  w.u64(s.byteInCount);
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
  for (const band of s.bands) {
    w.u64(band.packetCount);
    w.u64(band.byteCount);
  }
}

const statsReply = codec(
  ['meter_stats_reply'],
  (r, c) => {
    const meters: MeterStats[] = [];
    while (r.left > 0) meters.push(readStats(r));
    return { ...multipartHead(c, 'meter_stats_reply'), meters };
  },
  ({ meters }, out) => {
    for (const meter of meters) out.entry((w) => writeStats(w, meter));
  },
);

const features = codec(
  ['meter_features_reply'],
  (r, c) => ({
    ...multipartHead(c, 'meter_features_reply'),
    maxMeters: r.u32(),
    bandTypes: r.u32(),
    capabilities: r.u32(),
    maxBands: r.u8(),
    maxColor: r.u8(),
  }),
  (m, { w }) => {
    w.u32(m.maxMeters);
    w.u32(m.bandTypes);
    w.u32(m.capabilities);
    w.u8(m.maxBands);
    w.u8(m.maxColor);
    w.u16(0);
  },
);

export const meterCodecs: readonly Codec[] = [meterMod, request, configReply, statsReply, features];
