import { get16, put16 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** ARP (RFC 826) and RARP (RFC 903) for IPv4 over Ethernet. */
export interface Arp {
  readonly layer: 'arp';
  readonly op: number;
  readonly sha: Uint8Array;
  readonly spa: Uint8Array;
  readonly tha: Uint8Array;
  readonly tpa: Uint8Array;
}

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;
export const ARP_LENGTH = 28;

const OP = 6;
const SHA = OP + 2;
const SPA = SHA + 6;
const THA = SPA + 4;
const TPA = THA + 6;

/** Other hardware or protocol types are malformed here. */
export function parseArp(b: Uint8Array, at: number, end: number): Parsed<Arp> | Malformed {
  if (end - at < ARP_LENGTH) return tooShort('ARP', at, end, ARP_LENGTH);
  const hardware = get16(b, at);
  const protocol = get16(b, at + 2);
  if (hardware !== 1 || protocol !== 0x0800 || b[at + 4] !== 6 || b[at + 5] !== 4) {
    const sizes = `address lengths ${b[at + 4]} and ${b[at + 5]}`;
    return new Malformed(
      'ARP',
      `hardware ${hardware}, protocol 0x${protocol.toString(16)}, ${sizes}: not IPv4 over Ethernet`,
      at,
    );
  }
  return {
    value: {
      layer: 'arp',
      op: get16(b, at + OP),
      sha: b.slice(at + SHA, at + SPA),
      spa: b.slice(at + SPA, at + THA),
      tha: b.slice(at + THA, at + TPA),
      tpa: b.slice(at + TPA, at + ARP_LENGTH),
    },
    next: at + ARP_LENGTH,
    end,
  };
}

export function emitArp(value: Arp, b: Uint8Array, at: number): void {
  put16(b, at, 1);
  put16(b, at + 2, 0x0800);
  b[at + 4] = 6;
  b[at + 5] = 4;
  put16(b, at + OP, value.op);
  b.set(value.sha, at + SHA);
  b.set(value.spa, at + SPA);
  b.set(value.tha, at + THA);
  b.set(value.tpa, at + TPA);
}
