/**
 * A cursor over text. Every method either reads what it names and moves on, or moves nothing and
 * returns null (false). Numbers are those of strtol(3) with base 0: decimal, 0x.., 0..; a number that
 * is too large loses its upper bits.
 */
export class Scanner {
  readonly text: string;
  at: number;

  constructor(text: string, at = 0) {
    this.text = text;
    this.at = at;
  }

  get end(): boolean {
    return this.at >= this.text.length;
  }

  /** The character here; '' at the end. */
  peek(): string {
    return this.text.charAt(this.at);
  }

  rest(): string {
    return this.text.slice(this.at);
  }

  /** Skips commas and white space. */
  skipDelimiters(): void {
    while (this.at < this.text.length && ', \t\r\n'.includes(this.text[this.at])) this.at++;
  }

  literal(expected: string): boolean {
    if (!this.text.startsWith(expected, this.at)) return false;
    this.at += expected.length;
    return true;
  }

  /** What a sticky expression matches here. */
  match(pattern: RegExp): RegExpMatchArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.at += found[0].length;
    return found;
  }

  /** An integer of `bits` bits. */
  big(bits: number): bigint | null {
    const found = this.match(/[ \t\r\n]*([-+]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/y);
    if (found === null) return null;
    const digits = found[2];
    const octal = digits.length > 1 && digits[0] === '0' && digits[1] !== 'x' && digits[1] !== 'X';
    const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
    return BigInt.asUintN(bits, found[1] === '-' ? -value : value);
  }

  /** An unsigned integer of up to 32 bits. */
  integer(bits = 32): number | null {
    const value = this.big(bits);
    return value === null ? null : Number(value);
  }

  /** Decimal digits only. */
  decimal(bits = 32): number | null {
    const found = this.match(/\d+/y);
    return found === null ? null : Number(BigInt.asUintN(bits, BigInt(found[0])));
  }

  /** Hexadecimal digits, with or without 0x. */
  hex(bits = 32): bigint | null {
    const found = this.match(/(?:0[xX])?([0-9a-fA-F]+)/y);
    return found === null ? null : BigInt.asUintN(bits, BigInt(`0x${found[1]}`));
  }
}

/** `%#x` of printf(3): "0" without prefix. */
export function hexOf(value: number | bigint): string {
  const text = value.toString(16);
  return text === '0' ? '0' : `0x${text}`;
}

/** Names of a word's bits, from the least significant; '' for a bit without name. */
export type FlagNames = readonly string[];

/** "a|b|0x300"; "0" for none. */
export function formatFlags(names: FlagNames, flags: number, separator = '|'): string {
  if (flags === 0) return '0';
  const parts: string[] = [];
  let nameless = 0;
  for (let bit = 0; bit < 32; bit++) {
    const one = (1 << bit) >>> 0;
    if ((flags & one) === 0) continue;
    if (names[bit]) parts.push(names[bit]);
    else nameless = (nameless | one) >>> 0;
  }
  if (nameless !== 0) parts.push(`0x${nameless.toString(16)}`);
  return parts.join(separator);
}

/** "+a-b"; all bits masked: "a|b"; none: "0/0". */
export function formatFlagsMasked(names: FlagNames, flags: number, mask: number, full: number): string {
  if (mask === full) return formatFlags(names, flags);
  if (mask === 0) return '0/0';
  let text = '';
  for (let bit = 0; bit < 32; bit++) {
    const one = (1 << bit) >>> 0;
    if ((mask & one) !== 0) text += ((flags & one) !== 0 ? '+' : '-') + (names[bit] || '[Unknown]');
  }
  return text;
}

/**
 * Flags up to (not including) a closing parenthesis: "a|b", "0x3", "+a-b" or "VALUE/MASK"; the latter two only if
 * `masks`. Without a mask in the text all bits count.
 */
export function scanFlags(
  s: Scanner,
  names: FlagNames,
  allowed: number,
  masks: boolean,
): { value: number; mask: number } | null {
  const start = s.at;
  if (masks) {
    const value = s.integer();
    if (value !== null && s.literal('/')) {
      const mask = s.integer();
      if (mask !== null) return (value & ~allowed) === 0 && (mask & ~allowed) === 0 ? { value, mask } : null;
    }
    s.at = start;
    if (s.peek() === '+' || s.peek() === '-') return scanSignedFlags(s, names, allowed);
  }
  let value = 0;
  while (s.peek() !== ')') {
    const number = s.integer();
    if (number !== null) {
      if ((number & ~allowed) !== 0) return null;
      value |= number;
      s.literal('|');
      continue;
    }
    const bit = scanFlagName(s, names, /[|)]/);
    if (bit === null || (bit & ~allowed) !== 0) return null;
    value |= bit;
    s.literal('|');
  }
  return { value: value >>> 0, mask: 0xffffffff };
}

/** The bit whose name stands here, followed by a character of `after`. */
function scanFlagName(s: Scanner, names: FlagNames, after: RegExp): number | null {
  for (let bit = 0; bit < names.length; bit++) {
    const name = names[bit];
    if (name === '' || !s.text.startsWith(name, s.at)) continue;
    if (!after.test(s.text.charAt(s.at + name.length))) continue;
    s.at += name.length;
    return (1 << bit) >>> 0;
  }
  return null;
}

function scanSignedFlags(
  s: Scanner,
  names: FlagNames,
  allowed: number,
): { value: number; mask: number } | null {
  let value = 0;
  let mask = 0;
  while (s.peek() !== ')') {
    const plus = s.literal('+');
    if (!plus && !s.literal('-')) return null;
    const bit = scanFlagName(s, names, /[-+)]/);
    if (bit === null || (mask & bit) !== 0 || (bit & ~allowed) !== 0) return null;
    if (plus) value |= bit;
    mask |= bit;
  }
  return { value: value >>> 0, mask: mask >>> 0 };
}
