import { get16, get32, put16, put32 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** DHCP message (RFC 2131; options RFC 2132). Server name and file are not used. */
export interface Dhcp {
  readonly layer: 'dhcp';
  /** 1 request, 2 reply. */
  readonly op: number;
  readonly xid: number;
  readonly secs: number;
  readonly flags: number;
  /** Client, your, next server, relay agent. */
  readonly ciaddr: Uint8Array;
  readonly yiaddr: Uint8Array;
  readonly siaddr: Uint8Array;
  readonly giaddr: Uint8Array;
  /** Client's hardware address, 6 bytes. */
  readonly chaddr: Uint8Array;
  readonly options: readonly DhcpOption[];
}

export interface DhcpOption {
  /** 1 netmask, 3 router, 50 requested address, 51 lease time, 53 message type, 54 server. */
  readonly code: number;
  readonly data: Uint8Array;
}

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
export const DHCP_FIXED = 240;
const COOKIE = 0x63825363;

export function dhcpLength(value: Dhcp): number {
  return value.options.reduce((sum, option) => sum + 2 + option.data.length, DHCP_FIXED + 1);
}

export function parseDhcp(b: Uint8Array, from: number, end: number): Parsed<Dhcp> | Malformed {
  if (end - from < DHCP_FIXED) return tooShort('DHCP', from, end, DHCP_FIXED);
  if (get32(b, from + 236) !== COOKIE) return new Malformed('DHCP', 'no magic cookie: BOOTP', from);
  if (b[from + 1] !== 1 || b[from + 2] !== 6)
    return new Malformed('DHCP', `hardware type ${b[from + 1]}`, from);
  const options: DhcpOption[] = [];
  let at = from + DHCP_FIXED;
  while (at < end && b[at] !== 255) {
    if (b[at] === 0) {
      at++;
      continue;
    }
    const length = at + 1 < end ? b[at + 1] : 0;
    if (at + 2 + length > end) return tooShort(`DHCP option ${b[at]}`, at, end, 2 + length);
    options.push({ code: b[at], data: b.slice(at + 2, at + 2 + length) });
    at += 2 + length;
  }
  if (at >= end) return new Malformed('DHCP', 'options without end', from);
  return {
    value: {
      layer: 'dhcp',
      op: b[from],
      xid: get32(b, from + 4),
      secs: get16(b, from + 8),
      flags: get16(b, from + 10),
      ciaddr: b.slice(from + 12, from + 16),
      yiaddr: b.slice(from + 16, from + 20),
      siaddr: b.slice(from + 20, from + 24),
      giaddr: b.slice(from + 24, from + 28),
      chaddr: b.slice(from + 28, from + 34),
      options,
    },
    next: at + 1,
    end,
  };
}

export function emitDhcp(value: Dhcp, b: Uint8Array, from: number): void {
  b.fill(0, from, from + DHCP_FIXED);
  b[from] = value.op;
  b[from + 1] = 1;
  b[from + 2] = 6;
  put32(b, from + 4, value.xid);
  put16(b, from + 8, value.secs);
  put16(b, from + 10, value.flags);
  b.set(value.ciaddr, from + 12);
  b.set(value.yiaddr, from + 16);
  b.set(value.siaddr, from + 20);
  b.set(value.giaddr, from + 24);
  b.set(value.chaddr, from + 28);
  put32(b, from + 236, COOKIE);
  let at = from + DHCP_FIXED;
  for (const option of value.options) {
    b[at] = option.code;
    b[at + 1] = option.data.length;
    b.set(option.data, at + 2);
    at += 2 + option.data.length;
  }
  b[at] = 255;
}
