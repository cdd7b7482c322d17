/** Text form of flag fields: `+syn-ack` tests some bits, `syn|ack` all of them. */
import * as L from './layout.ts';

/** What the bits of a flag field are called. */
export interface FlagNames {
  /** The field's name in error messages. */
  readonly what: string;
  /** Names from bit 0 up; '' for a bit without. */
  readonly names: readonly string[];
  /** Bits that may be given. */
  readonly allowed: number;
}

export const TCP_FLAG_NAMES: FlagNames = {
  what: 'TCP',
  names: ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns', '[200]', '[400]', '[800]'],
  allowed: 0xfff,
};
export const CT_STATE_NAMES: FlagNames = {
  what: 'ct_state',
  names: ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'],
  allowed: 0xff,
};
export const TUN_FLAG_NAMES: FlagNames = {
  what: 'tunnel',
  names: ['oam', 'df', 'csum', 'key'],
  allowed: L.TUN_F_OAM,
};

export function hex(n: number | bigint): string {
  return n === 0 || n === 0n ? '0' : `0x${n.toString(16)}`;
}

/** All bits of a value by name, joined by `|`; '0' if there are none. */
export function formatFlags(flags: FlagNames, value: number): string {
  if (value === 0) return '0';
  const parts: string[] = [];
  let unknown = 0;
  for (let bit = 0; bit < 32; bit++) {
    if (((value >>> bit) & 1) === 0) continue;
    const name = flags.names[bit] ?? '';
    if (name === '') unknown += 2 ** bit;
    else parts.push(name);
  }
  if (unknown !== 0) parts.push(hex(unknown));
  return parts.join('|');
}

/** The bits of a mask as `+name` or `-name`; like {@link formatFlags} if the mask is `all`. */
export function formatFlagsMasked(flags: FlagNames, value: number, mask: number, all: number): string {
  if (mask === all) return formatFlags(flags, value);
  if (mask === 0) return '0/0';
  let out = '';
  for (let bit = 0; bit < 32; bit++) {
    if (((mask >>> bit) & 1) === 0) continue;
    out += ((value >>> bit) & 1) !== 0 ? '+' : '-';
    out += (flags.names[bit] ?? '') || '[Unknown]';
  }
  return out;
}

/** An integer of C's `%i`. */
const INT = '[-+]?(?:0[xX][0-9a-fA-F]+|\\d+)';

export function parseCInt(text: string): number {
  const m = /^([-+]?)(.*)$/.exec(text)!;
  const digits = m[2];
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  return m[1] === '-' ? -value : value;
}

/** Reads flags; a string says what is wrong, in ovs-ofctl's words. A `mask` of null: all bits. */
export function parseFlags(flags: FlagNames, text: string): { value: number; mask: number | null } | string {
  const unknown = `${text}: unknown ${flags.what} flag(s)`;
  const notAllowed = (n: number) => (n & ~flags.allowed) !== 0 || n < 0 || n > 0xffffffff;
  const numeric = new RegExp(`^(${INT})/(${INT})`).exec(text);
  if (numeric !== null) {
    const [value, mask] = [parseCInt(numeric[1]), parseCInt(numeric[2])];
    return notAllowed(value) || notAllowed(mask) ? unknown : { value, mask };
  }
  if (/^[+-]/.test(text)) return parseSignedFlags(flags, text);
  let value = 0;
  for (const part of text.split('|')) {
    const bit = flags.names.indexOf(part);
    let bits: number;
    if (new RegExp(`^${INT}$`).test(part)) bits = parseCInt(part);
    else if (bit >= 0 && part !== '') bits = 2 ** bit;
    else if (part === '' && text === '') bits = 0;
    else return unknown;
    if (notAllowed(bits)) return unknown;
    value |= bits;
  }
  return { value: value >>> 0, mask: null };
}

function parseSignedFlags(flags: FlagNames, text: string): { value: number; mask: number } | string {
  let [value, mask] = [0, 0];
  let rest = text;
  while (rest !== '') {
    const sign = rest[0];
    if (sign !== '+' && sign !== '-') {
      return `${rest}: ${flags.what} must be preceded by '+' (for SET) or '-' (NOT SET)`;
    }
    rest = rest.slice(1);
    const name = /^[^+-]*/.exec(rest)![0];
    const bit = flags.names.indexOf(name);
    if (bit < 0 || name === '') return `${rest}: unknown ${flags.what} flag(s)`;
    if (((mask >>> bit) & 1) !== 0) return `${rest}: Each ${flags.what} flag can be specified only once`;
    if (((flags.allowed >>> bit) & 1) === 0) return `${rest}: unknown ${flags.what} flag(s)`;
    mask |= 1 << bit;
    if (sign === '+') value |= 1 << bit;
    rest = rest.slice(name.length);
  }
  return { value: value >>> 0, mask: mask >>> 0 };
}
