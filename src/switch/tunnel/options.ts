import { TUN_F_RAW_OPTIONS } from '../../datapath/text/tunnel.ts';
import { readBits, setField, tunMetadataPresent } from '../../flow/field-access.ts';
import {
  FLOW_WORDS,
  type Flow,
  W_TUN_FLAGS,
  W_TUN_METADATA,
  W_TUN_METADATA_PRESENT,
} from '../../flow/layout.ts';
import type { TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import { getBig, putBig } from '../../wire/bytes.ts';

/*
 * Geneve options stand in two forms. In the datapath's keys and actions they are raw: the bytes as on
 * the wire in the words of the tunnel metadata, their number in the last word of W_TUN_METADATA_PRESENT
 * (the first is 0), TUN_F_RAW_OPTIONS among the flags; no options: all of that 0. In the pipeline's
 * flows they are fields, placed by the bridge's table of options, with a presence bit each.
 */

const RAW_FLAG = TUN_F_RAW_OPTIONS << 16;
const RAW_LENGTH = W_TUN_METADATA_PRESENT + 1;
/** Bit of an option's type: who doesn't know the option must drop the packet. */
const CRITICAL = 0x80;
/** Longest options of one header: 63 words (RFC 8926). */
export const MAX_OPTIONS = 252;

export type OptionsError = 'malformed' | 'length' | 'critical';

interface RawOption {
  readonly optionClass: number;
  readonly type: number;
  /** Where its data stand, and how many bytes they are. */
  readonly at: number;
  readonly length: number;
}

/** Bytes of a raw key's options. */
function rawBytes(key: Flow): Uint8Array {
  const length = (key[W_TUN_FLAGS] & RAW_FLAG) === 0 ? 0 : Math.min(key[RAW_LENGTH], MAX_OPTIONS);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = key[W_TUN_METADATA + (i >> 2)] >>> (24 - 8 * (i & 3));
  return bytes;
}

/** Options one after the other; null where they don't fit their length. */
function split(bytes: Uint8Array): RawOption[] | null {
  const options: RawOption[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) return null;
    const length = (bytes[at + 3] & 31) * 4;
    if (at + 4 + length > bytes.length) return null;
    options.push({ optionClass: (bytes[at] << 8) | bytes[at + 1], type: bytes[at + 2], at: at + 4, length });
    at += 4 + length;
  }
  return options;
}

function clearOptions(flow: Flow): void {
  flow[W_TUN_FLAGS] &= ~RAW_FLAG;
  flow.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
}

/**
 * Turns the raw options in `flow` into fields. An option that the table doesn't have is left out, unless
 * it is critical or is not as long as the table says: then the packet must be dropped.
 */
export function optionsToFields(table: TunnelMetadataTable, flow: Flow): OptionsError | null {
  if ((flow[W_TUN_FLAGS] & RAW_FLAG) === 0) return null;
  const bytes = rawBytes(flow);
  const options = split(bytes);
  clearOptions(flow);
  if (options === null) return 'malformed';
  for (const { optionClass, type, at, length } of options) {
    const known = table.byOption(optionClass, type);
    const field = known === null ? null : table.field(known.index);
    if (known === null || field === null) {
      if ((type & CRITICAL) !== 0) return 'critical';
      continue;
    }
    if (known.length !== length) return 'length';
    setField(flow, field, getBig(bytes, at, at + length));
  }
  return null;
}

/**
 * The mask for the datapath's key `raw`: headers and length of all options, and the bits of their data
 * that the fields' mask `mask` has. Which options there are always counts, as a critical one that is
 * not known has the packet dropped.
 */
export function optionsMask(table: TunnelMetadataTable, raw: Flow, mask: Flow): void {
  const bytes = rawBytes(raw);
  const fields = mask.slice();
  clearOptions(mask);
  mask[W_TUN_FLAGS] |= RAW_FLAG;
  mask.fill(0xffffffff, W_TUN_METADATA_PRESENT, W_TUN_METADATA);
  const bits = new Uint8Array(bytes.length);
  const options = split(bytes);
  // What can't be read was dropped for all that it is.
  if (options === null) bits.fill(0xff);
  for (const { optionClass, type, at, length } of options ?? []) {
    bits.set([0xff, 0xff, 0xff, 31], at - 4);
    const known = table.byOption(optionClass, type);
    const field = known === null ? null : table.field(known.index);
    if (field !== null && known?.length === length) {
      putBig(bits, at, length, readBits(fields, field.offset, field.bits));
    }
  }
  for (let i = 0; i < bits.length; i++) mask[W_TUN_METADATA + (i >> 2)] |= bits[i] << (24 - 8 * (i & 3));
}

/** Turns the fields in `flow` into raw options, in order of their index. What doesn't fit is left out. */
export function fieldsToOptions(table: TunnelMetadataTable, flow: Flow): void {
  const bytes = new Uint8Array(MAX_OPTIONS);
  let length = 0;
  for (const option of table.options()) {
    const field = table.field(option.index);
    if (field === null || !tunMetadataPresent(flow, field)) continue;
    const { optionClass, optionType } = option;
    if (length + 4 + option.length > MAX_OPTIONS) break;
    bytes.set([optionClass >> 8, optionClass, optionType, option.length / 4], length);
    putBig(bytes, length + 4, option.length, readBits(flow, field.offset, field.bits));
    length += 4 + option.length;
  }
  clearOptions(flow);
  if (length === 0) return;
  flow[W_TUN_FLAGS] |= RAW_FLAG;
  flow[RAW_LENGTH] = length;
  for (let i = 0; i < length; i++) flow[W_TUN_METADATA + (i >> 2)] |= bytes[i] << (24 - 8 * (i & 3));
}
