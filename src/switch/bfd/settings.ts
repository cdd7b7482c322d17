import { parseIpv4Address, parseMacAddress } from '../../wire/address.ts';
import { get32 } from '../../wire/bytes.ts';

/** What an interface's `bfd` column asks for. Intervals are milliseconds. */
export interface BfdSettings {
  /** Wanted between packets sent, at least 1. */
  readonly minTx: number;
  /** Least that is taken between packets received, at least 1. */
  readonly minRx: number;
  /** Takes the place of `minRx` while the port carries nothing else; 0: never. */
  readonly decayMinRx: number;
  /** Whatever comes in by the port shows that it forwards. */
  readonly forwardingIfRx: boolean;
  /** The path behind this switch is down; the neighbor is told. */
  readonly cpathDown: boolean;
  /** Only packets with tunnel key 0 are for the session. */
  readonly checkTunnelKey: boolean;
  /** Packets carry the tunnel's OAM flag. */
  readonly oam: boolean;
  /** Missed packets after which the neighbor declares the session down, 1 to 255. */
  readonly mult: number;
  /** Addresses of packets sent, six bytes; null: the port's own, and the well-known one. */
  readonly localSrcMac: Uint8Array | null;
  readonly localDstMac: Uint8Array | null;
  /** Only packets to this address are for the session; null: any. */
  readonly remoteDstMac: Uint8Array | null;
  /** IPv4 addresses of packets sent, as numbers. */
  readonly srcIp: number;
  readonly dstIp: number;
}

/** Link-local addresses of sessions that ask for none. */
export const DEFAULT_SRC_IP = 0xa9fe0101;
export const DEFAULT_DST_IP = 0xa9fe0100;

const DEFAULT_MULT = 3;
const MAX_MULT = 255;
const DEFAULT_MIN_TX = 100;
const DEFAULT_MIN_RX = 1000;
/** Microseconds go into 32 bits of a packet. */
const MAX_INTERVAL = Math.floor(0xffffffff / 1000);

/**
 * Reads the column; null: no session is wanted. What can't be read counts as not given, as in Open
 * vSwitch; where that would surprise, `warn` hears of it.
 */
export function readBfdSettings(
  column: ReadonlyMap<string, string>,
  warn: (text: string) => void,
): BfdSettings | null {
  const flag = (key: string): boolean => column.get(key)?.toLowerCase() === 'true';
  if (!flag('enable')) return null;
  const number = (key: string, otherwise: number): number => {
    const text = column.get(key);
    return text !== undefined && /^\s*[+-]?\d+$/.test(text) ? Number(text) : otherwise;
  };
  const interval = (key: string, otherwise: number): number =>
    Math.min(Math.max(number(key, otherwise), 1), MAX_INTERVAL);
  const mac = (key: string): Uint8Array | null => {
    const bytes = parseMacAddress(column.get(key) ?? '');
    return bytes?.some((byte) => byte !== 0) ? bytes : null;
  };
  const address = (key: string, otherwise: number): number => {
    const text = column.get(key) ?? '';
    if (text === '') return otherwise;
    const bytes = parseIpv4Address(text);
    if (bytes !== null) return get32(bytes, 0);
    warn(`"${text}" in bfd:${key} is not a valid IP address`);
    return otherwise;
  };
  const minRx = interval('min_rx', DEFAULT_MIN_RX);
  let decayMinRx = Math.min(Math.max(number('decay_min_rx', 0), 0), MAX_INTERVAL);
  if (decayMinRx > 0 && decayMinRx < minRx) {
    warn(`decay_min_rx cannot be less than ${minRx} ms`);
    decayMinRx = 0;
  }
  const mult = number('mult', DEFAULT_MULT);
  return {
    minTx: interval('min_tx', DEFAULT_MIN_TX),
    minRx,
    decayMinRx,
    forwardingIfRx: flag('forwarding_if_rx'),
    cpathDown: flag('cpath_down'),
    checkTunnelKey: flag('check_tnl_key'),
    oam: flag('oam'),
    mult: mult >= 1 && mult <= MAX_MULT ? mult : DEFAULT_MULT,
    localSrcMac: mac('bfd_local_src_mac'),
    localDstMac: mac('bfd_local_dst_mac'),
    remoteDstMac: mac('bfd_remote_dst_mac'),
    srcIp: address('bfd_src_ip', DEFAULT_SRC_IP),
    dstIp: address('bfd_dst_ip', DEFAULT_DST_IP),
  };
}
