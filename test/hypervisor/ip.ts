/** Addresses, by numbers: for the reference model, which shares nothing with the rules. */

export function toBig(ip: string): bigint {
  if (!ip.includes(':')) return ip.split('.').reduce((n, part) => n * 256n + BigInt(part), 0n);
  const [head, tail] = ip.split('::');
  const words = (text: string | undefined): string[] =>
    text === undefined || text === '' ? [] : text.split(':');
  const front = words(head);
  const back = words(tail);
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...zeros, ...back].reduce((n, word) => n * 65536n + BigInt(`0x${word}`), 0n);
}

function bitsOf(ip: string): number {
  return ip.includes(':') ? 128 : 32;
}

/** Whether an address is in "10.0.0.7/24", host bits and all. */
export function inPrefix(ip: string, prefix: string): boolean {
  const [base, length] = prefix.split('/');
  const bits = bitsOf(base);
  if (bitsOf(ip) !== bits) return false;
  const shift = BigInt(bits - Number(length ?? bits));
  return toBig(ip) >> shift === toBig(base) >> shift;
}

/** The directed broadcast address of an IPv4 network that has one. */
export function broadcastOf(network: string): string | undefined {
  const [base, length] = network.split('/');
  if (base.includes(':') || Number(length) > 30) return undefined;
  const n = toBig(base) | ((1n << BigInt(32 - Number(length))) - 1n);
  return [24n, 16n, 8n, 0n].map((shift) => String((n >> shift) & 255n)).join('.');
}

export function isLinkLocal(ip: string): boolean {
  return ip.includes(':') && inPrefix(ip.split('/')[0], 'fe80::/10');
}

/** RFC 4291, appendix A. */
export function linkLocalOf(mac: string): string {
  const [a, b, c, d, e, f] = mac.split(':').map((part) => Number.parseInt(part, 16));
  const word = (high: number, low: number): string => (high * 256 + low).toString(16);
  return `fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`;
}

export function isGroup(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/** Addresses that routers take nothing from, and send nothing to. */
export function neverRouted(ip: string): boolean {
  const prefixes = ip.includes(':') ? ['::/127', 'ff00::/8'] : ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'];
  return prefixes.some((prefix) => inPrefix(ip, prefix));
}
