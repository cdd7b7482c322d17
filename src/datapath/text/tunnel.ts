import {
  type Flow,
  TUN_F_CSUM,
  TUN_F_DF,
  TUN_F_KEY,
  TUN_F_OAM,
  W_TUN_DST,
  W_TUN_ERSPAN,
  W_TUN_ERSPAN_IDX,
  W_TUN_FLAGS,
  W_TUN_GBP,
  W_TUN_ID,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_METADATA,
  W_TUN_METADATA_PRESENT,
  W_TUN_SRC,
  W_TUN_TP,
} from '../../flow/layout.ts';
import { fromHex, get16, put16, put32, toHex } from '../../wire/bytes.ts';
import { getBits, getSmall, type KeyField, putBits, TUNNEL_FLAG_NAMES } from './attributes.ts';
import { formatFlags, formatFlagsMasked, hexOf, type Scanner, scanFlags } from './scanner.ts';
import { formatField, scanField } from './values.ts';

/**
 * The `tunnel(...)` attribute. Geneve options stand in a datapath's key as they came in: their bytes in
 * the tunnel metadata words, their length in the last word of W_TUN_METADATA_PRESENT, marked by
 * TUN_F_RAW_OPTIONS. (The switch maps them to fields by its TLV table.)
 */
export const TUN_F_RAW_OPTIONS = 0x10;

const ALL_FLAGS = TUN_F_OAM | TUN_F_DF | TUN_F_CSUM | TUN_F_KEY;
/** Longest Geneve options: 63 words. */
const MAX_OPTIONS = 252;

const f = (name: string, kind: KeyField['kind'], word: number, shift: number, bits: number): KeyField => ({
  name,
  kind,
  bit: word * 32 + shift,
  bits,
  alias: name,
});

const TUN_ID = f('tun_id', 'hex', W_TUN_ID, 0, 64);
const TTL = f('ttl', 'decimal', W_TUN_FLAGS, 24, 8);
const BEFORE_TTL: readonly KeyField[] = [
  f('src', 'ipv4', W_TUN_SRC, 0, 32),
  f('dst', 'ipv4', W_TUN_DST, 0, 32),
  f('ipv6_src', 'ipv6', W_TUN_IPV6_SRC, 0, 128),
  f('ipv6_dst', 'ipv6', W_TUN_IPV6_DST, 0, 128),
  f('tos', 'hex', W_TUN_FLAGS, 16, 8),
];
const AFTER_TTL: readonly KeyField[] = [
  f('tp_src', 'decimal', W_TUN_TP, 0, 16),
  f('tp_dst', 'decimal', W_TUN_TP, 16, 16),
];
const GBP_ID = f('id', 'decimal', W_TUN_GBP, 0, 16);
const GBP_FLAGS = f('flags', 'hex', W_TUN_GBP, 16, 8);
const ERSPAN_VERSION = f('ver', 'decimal', W_TUN_GBP, 24, 8);
const ERSPAN_DIRECTION = f('dir', 'decimal', W_TUN_ERSPAN, 0, 8);
const ERSPAN_HARDWARE = f('hwid', 'hex', W_TUN_ERSPAN, 8, 8);
const GTPU_FLAGS = f('flags', 'hex', W_TUN_ERSPAN, 16, 8);
const GTPU_TYPE = f('msgtype', 'decimal', W_TUN_ERSPAN, 24, 8);

/** True where the key has a tunnel: addresses of either family. */
export function hasTunnel(flow: Flow): boolean {
  if (flow[W_TUN_SRC] !== 0 || flow[W_TUN_DST] !== 0) return true;
  for (let i = 0; i < 4; i++)
    if (flow[W_TUN_IPV6_SRC + i] !== 0 || flow[W_TUN_IPV6_DST + i] !== 0) return true;
  return false;
}

/**
 * What stands between the parentheses.
 * @param mask null: exact
 */
export function formatTunnel(key: Flow, mask: Flow | null, verbose: boolean): string {
  const parts: string[] = [];
  const put = (field: KeyField): void => {
    const text = formatField(
      field,
      getBits(key, field.bit, field.bits),
      mask === null ? null : getBits(mask, field.bit, field.bits),
      verbose,
    );
    if (text !== '') parts.push(text);
  };
  const flags = getSmall(key, W_TUN_FLAGS * 32, 16);
  const maskFlags = mask === null ? ALL_FLAGS : getSmall(mask, W_TUN_FLAGS * 32, 16);
  const hasId = (flags & TUN_F_KEY) !== 0 || getBits(key, TUN_ID.bit, 64) !== 0n;
  const id = getBits(key, TUN_ID.bit, 64);
  const idMask = mask === null ? null : getBits(mask, TUN_ID.bit, 64);
  if (hasId && (verbose || idMask !== 0n)) {
    const exact = idMask === null || idMask === 0xffffffffffffffffn;
    parts.push(`tun_id=0x${id.toString(16)}${exact ? '' : `/${hexOf(idMask)}`}`);
  }
  for (const field of BEFORE_TTL) if (getBits(key, field.bit, field.bits) !== 0n) put(field);
  put(TTL);
  for (const field of AFTER_TTL) if (getBits(key, field.bit, field.bits) !== 0n) put(field);
  if (getSmall(key, W_TUN_GBP * 32, 24) !== 0) parts.push(`vxlan(gbp(${formatGbp(key, mask, verbose)}))`);
  const options = rawOptions(key);
  if (options !== null) {
    parts.push(
      `geneve(${formatGeneveOptions(options, mask === null ? null : rawOptionsMask(mask, options.length), verbose)})`,
    );
  }
  const version = getSmall(key, ERSPAN_VERSION.bit, 8);
  if (version === 1 || version === 2) parts.push(`erspan(${formatErspan(key, mask, version, verbose)})`);
  if (getSmall(key, GTPU_FLAGS.bit, 8) !== 0 && getSmall(key, GTPU_TYPE.bit, 8) !== 0) {
    parts.push(
      `gtpu(${[GTPU_FLAGS, GTPU_TYPE]
        .map((field) => one(field, key, mask, verbose))
        .filter((t) => t !== '')
        .join()})`,
    );
  }
  const shownFlags = (flags & (TUN_F_DF | TUN_F_CSUM | TUN_F_OAM)) | (hasId ? TUN_F_KEY : 0);
  if (mask === null) {
    parts.push(`flags(${formatFlags(TUNNEL_FLAG_NAMES, shownFlags)})`);
  } else {
    const shownMask = (maskFlags & (TUN_F_DF | TUN_F_CSUM | TUN_F_OAM)) | (hasId ? TUN_F_KEY : 0);
    if (verbose || shownMask !== 0) {
      parts.push(`flags(${formatFlagsMasked(TUNNEL_FLAG_NAMES, shownFlags, shownMask, ALL_FLAGS)})`);
    }
  }
  return parts.join(',');
}

function one(field: KeyField, key: Flow, mask: Flow | null, verbose: boolean): string {
  return formatField(
    field,
    getBits(key, field.bit, field.bits),
    mask === null ? null : getBits(mask, field.bit, field.bits),
    verbose,
  );
}

function formatGbp(key: Flow, mask: Flow | null, verbose: boolean): string {
  return [GBP_ID, GBP_FLAGS]
    .map((field) => one(field, key, mask, verbose))
    .filter((text) => text !== '')
    .join();
}

function formatErspan(key: Flow, mask: Flow | null, version: number, verbose: boolean): string {
  const parts = [one(ERSPAN_VERSION, key, mask, verbose)];
  if (version === 1) {
    parts.push(
      `idx=${hexOf(key[W_TUN_ERSPAN_IDX])}${mask === null ? '' : `/${hexOf(mask[W_TUN_ERSPAN_IDX])}`}`,
    );
  } else {
    parts.push(one(ERSPAN_DIRECTION, key, mask, verbose), one(ERSPAN_HARDWARE, key, mask, verbose));
  }
  return parts.filter((text) => text !== '').join();
}

/** Geneve options of a datapath's key as bytes; null: none, or mapped to fields already. */
export function rawOptions(key: Flow): Uint8Array | null {
  if (((key[W_TUN_FLAGS] >>> 16) & TUN_F_RAW_OPTIONS) === 0) return null;
  const length = Math.min(key[W_TUN_METADATA_PRESENT + 1], MAX_OPTIONS);
  return length === 0 ? null : rawOptionsMask(key, length);
}

function rawOptionsMask(flow: Flow, length: number): Uint8Array {
  const bytes = new Uint8Array((length + 3) & ~3);
  for (let i = 0; i < bytes.length / 4; i++) put32(bytes, 4 * i, flow[W_TUN_METADATA + i]);
  return bytes;
}

/** Puts Geneve options into a datapath's key. */
export function putRawOptions(flow: Flow, options: Uint8Array): void {
  flow[W_TUN_FLAGS] |= TUN_F_RAW_OPTIONS << 16;
  flow[W_TUN_METADATA_PRESENT + 1] = options.length;
  putOptionBytes(flow, options);
}

function putOptionBytes(flow: Flow, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) putBits(flow, W_TUN_METADATA * 32 + 8 * i, 8, BigInt(bytes[i]));
}

/** `{class=0xffff,type=0x80,len=4,0xa}...` */
export function formatGeneveOptions(options: Uint8Array, mask: Uint8Array | null, verbose: boolean): string {
  let text = '';
  for (let at = 0; at < options.length; ) {
    const left = options.length - at;
    if (left < 4) return `${text}opt len ${left} less than minimum 4`;
    const length = (options[at + 3] & 31) * 4;
    if (4 + length > left) return `${text}opt len ${4 + length} greater than remaining ${left}`;
    const parts: string[] = [];
    const number = (
      name: string,
      kind: 'hex' | 'decimal',
      bits: number,
      value: number,
      m: number | null,
    ): void => {
      const shown = formatField(
        { name, kind, bits, bit: 0, alias: name },
        BigInt(value),
        m === null ? null : BigInt(m),
        verbose,
      );
      if (shown !== '') parts.push(shown);
    };
    number('class', 'hex', 16, get16(options, at), mask === null ? null : get16(mask, at));
    number('type', 'hex', 8, options[at + 2], mask === null ? null : mask[at + 2]);
    const lengthMask = mask === null ? null : (mask[at + 3] & 31) === 31 ? 0xff : mask[at + 3] & 31;
    number('len', 'decimal', 8, length, lengthMask);
    const data = options.subarray(at + 4, at + 4 + length);
    const dataMask = mask?.subarray(at + 4, at + 4 + length) ?? null;
    if (length > 0 && (verbose || dataMask === null || dataMask.some((b) => b !== 0))) {
      const exact = dataMask === null || dataMask.every((b) => b === 0xff);
      parts.push(`${shortHex(data)}${exact || dataMask === null ? '' : `/${shortHex(dataMask)}`}`);
    }
    text += `{${parts.join()}}`;
    at += 4 + length;
  }
  return text;
}

/** 0x and digits without leading zeros; "0" for zero. */
export function shortHex(bytes: Uint8Array): string {
  const digits = toHex(bytes).replace(/^0+/, '');
  return digits === '' ? '0' : `0x${digits}`;
}

// --- Parsing ---------------------------------------------------------------------------------------

const FIELDS: readonly KeyField[] = [TUN_ID, ...BEFORE_TTL, TTL, ...AFTER_TTL];

/** Reads `name=...` of one of the fields; undefined: none of them is here; null: syntax error. */
function scanOneOf(
  s: Scanner,
  fields: readonly KeyField[],
  key: Flow,
  mask: Flow,
  masks: boolean,
): KeyField | null | undefined {
  for (const field of fields) {
    if (!s.literal(`${field.name}=`)) continue;
    const found = scanField(s, field, masks);
    if (found === null) return null;
    putBits(key, field.bit, field.bits, found.value);
    putBits(mask, field.bit, field.bits, found.mask);
    return field;
  }
  return undefined;
}

/**
 * Reads from behind "tunnel(" to behind its closing parenthesis.
 * @returns false on a syntax error; `ttl` tells whether a TTL was given (a key needs one)
 */
export function scanTunnel(s: Scanner, key: Flow, mask: Flow, masks: boolean): { ttl: boolean } | null {
  let ttl = false;
  for (;;) {
    const field = scanOneOf(s, FIELDS, key, mask, masks);
    if (field === null) return null;
    if (field === TTL) ttl = true;
    if (field === TUN_ID) {
      key[W_TUN_FLAGS] |= TUN_F_KEY << 16;
      mask[W_TUN_FLAGS] |= TUN_F_KEY << 16;
    }
    const any = field !== undefined || scanNested(s, key, mask, masks);
    if (any === null) return null;
    if (any && s.literal(',')) continue;
    return s.literal(')') ? { ttl } : null;
  }
}

/** One of the attributes with parentheses; false: none is here; null: syntax error. */
function scanNested(s: Scanner, key: Flow, mask: Flow, masks: boolean): boolean | null {
  if (s.literal('flags(')) {
    const flags = scanFlags(s, TUNNEL_FLAG_NAMES, ALL_FLAGS, masks);
    if (flags === null || !s.literal(')')) return null;
    // "key" comes with the tunnel id, not with its own name.
    key[W_TUN_FLAGS] |= (flags.value & ~TUN_F_KEY) << 16;
    mask[W_TUN_FLAGS] |= (flags.mask & ALL_FLAGS & ~TUN_F_KEY) << 16;
    return true;
  }
  if (s.literal('vxlan(gbp('))
    return scanList(s, [GBP_ID, GBP_FLAGS], key, mask, masks) && s.literal(')') ? true : null;
  if (s.literal('gtpu(')) return scanList(s, [GTPU_FLAGS, GTPU_TYPE], key, mask, masks) ? true : null;
  if (s.literal('erspan(')) return scanErspan(s, key, mask, masks) ? true : null;
  if (s.literal('geneve(')) {
    const options = scanGeneveOptions(s, masks);
    if (options === null) return null;
    putRawOptions(key, options.options);
    mask[W_TUN_FLAGS] |= TUN_F_RAW_OPTIONS << 16;
    mask[W_TUN_METADATA_PRESENT + 1] = 0xffffffff;
    putOptionBytes(mask, options.mask);
    return true;
  }
  return false;
}

/** Fields in order, each optional, then a closing parenthesis. */
function scanList(s: Scanner, fields: readonly KeyField[], key: Flow, mask: Flow, masks: boolean): boolean {
  for (const field of fields) {
    if (scanOneOf(s, [field], key, mask, masks) === null) return false;
    s.literal(',');
  }
  return s.literal(')');
}

function scanErspan(s: Scanner, key: Flow, mask: Flow, masks: boolean): boolean {
  if (!scanOneOf(s, [ERSPAN_VERSION], key, mask, masks)) return false;
  s.literal(',');
  const version = getSmall(key, ERSPAN_VERSION.bit, 8);
  if (version === 1) return scanList(s, [f('idx', 'hex', W_TUN_ERSPAN_IDX, 0, 32)], key, mask, masks);
  return version === 2 && scanList(s, [ERSPAN_DIRECTION, ERSPAN_HARDWARE], key, mask, masks);
}

/** Options in braces up to and with the closing parenthesis. */
export function scanGeneveOptions(
  s: Scanner,
  masks: boolean,
): { options: Uint8Array; mask: Uint8Array } | null {
  const options: number[] = [];
  const mask: number[] = [];
  while (s.literal('{')) {
    const head = new Uint8Array(4);
    const headMask = new Uint8Array(4);
    const number = (name: string, bits: number): { value: bigint; mask: bigint } | null | undefined =>
      s.literal(`${name}=`)
        ? scanField(s, { name, kind: 'hex', bits, bit: 0, alias: name }, masks)
        : undefined;
    const optionClass = number('class', 16);
    s.literal(',');
    const type = number('type', 8);
    s.literal(',');
    const length = number('len', 8);
    if (optionClass === null || type === null || length === null) return null;
    const size = Number(length?.value ?? 0n);
    if (size > 124 || size % 4 !== 0 || options.length + 4 + size > MAX_OPTIONS) return null;
    put16(head, 0, Number(optionClass?.value ?? 0n));
    put16(headMask, 0, Number(optionClass?.mask ?? 0n));
    head[2] = Number(type?.value ?? 0n);
    headMask[2] = Number(type?.mask ?? 0n);
    head[3] = size / 4;
    headMask[3] = Number(length?.mask ?? 0n) & 31;
    let data: Uint8Array | null = new Uint8Array(size);
    let dataMask: Uint8Array | null = new Uint8Array(size).fill(0xff);
    if (s.literal(',')) {
      data = scanBytes(s, size);
      if (masks && s.literal('/')) dataMask = scanBytes(s, size);
    }
    if (data === null || dataMask === null || !s.literal('}')) return null;
    options.push(...head, ...data);
    mask.push(...headMask, ...dataMask);
  }
  return s.literal(')') ? { options: Uint8Array.from(options), mask: Uint8Array.from(mask) } : null;
}

/** An integer as `size` bytes, right-aligned; null: not one, or too large. */
export function scanBytes(s: Scanner, size: number): Uint8Array | null {
  const found = s.match(/0[xX]([0-9a-fA-F]+)|(\d+)/y);
  if (found === null) return null;
  const hex = found[1] ?? BigInt(found[2]).toString(16);
  const digits = hex.replace(/^0+(?=.)/, '');
  if (digits.length > 2 * size) return digits === '0' ? new Uint8Array(size) : null;
  return fromHex(digits.padStart(2 * size, '0'));
}
