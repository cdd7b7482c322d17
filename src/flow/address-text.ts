/** Text forms of Ethernet, IPv4 and IPv6 addresses and their masks, as bigints. */

const ALL48 = (1n << 48n) - 1n;
const ALL128 = (1n << 128n) - 1n;

function hex2(n: bigint): string {
  return n.toString(16).padStart(2, '0');
}

export function formatEthernet(mac: bigint): string {
  const parts: string[] = [];
  for (let shift = 40n; shift >= 0n; shift -= 8n) parts.push(hex2((mac >> shift) & 0xffn));
  return parts.join(':');
}

export function formatEthernetMasked(mac: bigint, mask: bigint): string {
  return mask === ALL48 ? formatEthernet(mac) : `${formatEthernet(mac)}/${formatEthernet(mask)}`;
}

const MAC = '[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}';
const MAC_MASKED = new RegExp(`^(${MAC})(?:/(${MAC}))?$`);

function macValue(text: string): bigint {
  return text.split(':').reduce((v, part) => (v << 8n) | BigInt(`0x${part}`), 0n);
}

/** `xx:xx:xx:xx:xx:xx` with an optional mask; null if it is not one. */
export function parseEthernet(text: string): { value: bigint; mask: bigint } | null {
  const m = MAC_MASKED.exec(text);
  if (m === null) return null;
  return { value: macValue(m[1]), mask: m[2] === undefined ? ALL48 : macValue(m[2]) };
}

export function formatIpv4(ip: number): string {
  return `${ip >>> 24}.${(ip >>> 16) & 0xff}.${(ip >>> 8) & 0xff}.${ip & 0xff}`;
}

/** Number of leading ones of a mask of `bits` bits, or -1 if other ones follow a zero. */
export function prefixLength(mask: bigint, bits: number): number {
  const all = (1n << BigInt(bits)) - 1n;
  const inverse = ~mask & all;
  if ((inverse & (inverse + 1n)) !== 0n) return -1;
  return bits - (inverse === 0n ? 0 : inverse.toString(2).length);
}

function prefixMask(length: number, bits: number): bigint {
  return ((1n << BigInt(length)) - 1n) << BigInt(bits - length);
}

/** `a.b.c.d`, with `/prefix` or `/mask` unless the mask is all ones. */
export function formatIpv4Masked(ip: number, mask: number): string {
  if (mask >>> 0 === 0xffffffff) return formatIpv4(ip);
  const prefix = prefixLength(BigInt(mask >>> 0), 32);
  return `${formatIpv4(ip)}/${prefix < 0 ? formatIpv4(mask) : prefix}`;
}

/** The address as a number, or null. */
export function parseIpv4(text: string): number | null {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (m === null) return null;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const byte = Number(m[i]);
    if (byte > 255) return null;
    value = value * 256 + byte;
  }
  return value;
}

/** An address with an optional `/prefix` or `/mask`; a string says what is wrong, in ovs-ofctl's words. */
export function parseIpv4Masked(text: string): { value: bigint; mask: bigint } | string {
  const [address, suffix, more] = text.split('/');
  const ip = parseIpv4(address);
  if (ip === null || more !== undefined) return `${text}: invalid IP address`;
  if (suffix === undefined) return { value: BigInt(ip), mask: 0xffffffffn };
  if (/^-?\d+$/.test(suffix)) {
    const prefix = Number(suffix);
    if (prefix < 0 || prefix > 32) return `${text}: IPv4 network prefix bits not between 0 and 32, inclusive`;
    return { value: BigInt(ip), mask: prefixMask(prefix, 32) };
  }
  const mask = parseIpv4(suffix);
  return mask === null ? `${text}: invalid IP address` : { value: BigInt(ip), mask: BigInt(mask) };
}

/** RFC 5952, but with a dotted quad at the end of IPv4-compatible and IPv4-mapped addresses. */
export function formatIpv6(ip: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((ip >> shift) & 0xffffn));
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > length) [start, length] = [i, n];
    i += n;
  }
  const hex = (part: number[]) => part.map((g) => g.toString(16)).join(':');
  if (start < 0) return hex(groups);
  if (start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff))) {
    return `::${length === 5 ? 'ffff:' : ''}${formatIpv4(Number(ip & 0xffffffffn))}`;
  }
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export function formatIpv6Masked(ip: bigint, mask: bigint): string {
  if (mask === ALL128) return formatIpv6(ip);
  const prefix = prefixLength(mask, 128);
  return `${formatIpv6(ip)}/${prefix < 0 ? formatIpv6(mask) : prefix}`;
}

/** The groups of one side of `::`, a dotted quad at its end counting as two; null if malformed. */
function ipv6Groups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const v4 = parseIpv4(part);
      if (v4 === null) return null;
      groups.push(Math.floor(v4 / 65536), v4 & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return null;
  }
  return groups;
}

/** The address, or null. */
export function parseIpv6(text: string): bigint | null {
  const [left, right, more] = text.split('::');
  if (more !== undefined) return null;
  const head = ipv6Groups(left, right === undefined);
  const tail = right === undefined ? [] : ipv6Groups(right, true);
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (right === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return groups.reduce((v, g) => (v << 16n) | BigInt(g), 0n);
}

/** An address with an optional `/prefix` or `/mask`; a string says what is wrong, in ovs-ofctl's words. */
export function parseIpv6Masked(text: string): { value: bigint; mask: bigint } | string {
  const [address, suffix, more] = text.trimStart().split('/');
  const value = parseIpv6(address);
  if (value === null || more !== undefined) return `${text}: invalid IPv6 address`;
  if (suffix === undefined) return { value, mask: ALL128 };
  if (/^-?\d+$/.test(suffix)) {
    const prefix = Number(suffix);
    if (prefix < 0 || prefix > 128)
      return `${text}: IPv6 network prefix bits not between 0 and 128, inclusive`;
    return { value, mask: prefixMask(prefix, 128) };
  }
  const mask = parseIpv6(suffix);
  return mask === null ? `${text}: Invalid IPv6 mask` : { value, mask };
}
