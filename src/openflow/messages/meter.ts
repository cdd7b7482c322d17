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
