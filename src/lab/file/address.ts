/** IP addresses of lab files. */
import { parseIpv4Address, parseIpv6Address } from '../../wire/index.ts';
import type { Network } from './plan.ts';

export const isIpv6 = (address: string): boolean => address.includes(':');

/** 4 or 16 bytes; null for what is no address. */
export const addressOf = (text: string): Uint8Array | null =>
  isIpv6(text) ? parseIpv6Address(text) : parseIpv4Address(text);

/** Reads "10.0.1.11/24"; undefined for what is none. */
export function parseNetwork(text: string): Network | undefined {
  const match = /^([^/]+)\/([0-9]{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = addressOf(match[1]);
  const prefix = Number(match[2]);
  return bytes === null || prefix > bytes.length * 8 ? undefined : { address: match[1], prefix };
}

/** Whether an address is in the network around another. */
export function inNetwork(address: string, network: Network): boolean {
  const a = addressOf(address);
  const b = addressOf(network.address);
  if (a === null || b === null || a.length !== b.length) return false;
  for (let bit = 0; bit < network.prefix; bit++) {
    const mask = 0x80 >> (bit & 7);
    if ((a[bit >> 3] & mask) !== (b[bit >> 3] & mask)) return false;
  }
  return true;
}
