import type { ModuleLog } from '../../base/log.ts';
import type {
  Connection,
  ConnectionTuple,
  DatapathConnections,
} from '../../datapath/conntrack/connections.ts';
import { formatIpv4, formatIpv6 } from '../../wire/address.ts';

/** One direction of the connections that are meant; what is 0 or null may be anything, but for ICMP. */
export interface TupleMatch {
  src: Uint8Array | null;
  dst: Uint8Array | null;
  srcPort: number;
  dstPort: number;
  icmpId: number;
  icmpType: number;
  icmpCode: number;
}

/** Which connections are meant. */
export interface ConnectionMatch {
  version: 4 | 6 | null;
  protocol: number;
  readonly orig: TupleMatch;
  readonly reply: TupleMatch;
}

const anyTuple = (): TupleMatch => ({
  src: null,
  dst: null,
  srcPort: 0,
  dstPort: 0,
  icmpId: 0,
  icmpType: 0,
  icmpCode: 0,
});

export const anyConnection = (): ConnectionMatch => ({
  version: null,
  protocol: 0,
  orig: anyTuple(),
  reply: anyTuple(),
});

const isIcmp = (protocol: number): boolean => protocol === 1 || protocol === 58;

/** True where a tuple asks for nothing. */
function asksNothing(t: TupleMatch, protocol: number): boolean {
  return t.src === null && t.dst === null && (isIcmp(protocol) || (t.srcPort === 0 && t.dstPort === 0));
}

/** Where connections are, under the name that the log gives it, and that log ("ct_dpif"). */
export interface FlushTarget {
  readonly datapath: { readonly type: string; readonly connections: DatapathConnections };
  readonly log: ModuleLog;
}

/** Forgets all connections of a zone; null: of all zones. */
export function flushZone({ datapath, log }: FlushTarget, zone: number | null): void {
  log.dbg(() => `${datapath.type}: ct_flush: ${zone === null ? '<all>' : `zone ${zone}`}`);
  datapath.connections.flush(zone);
}

/**
 * Forgets the connections of a zone (null: of all) that match. An original tuple that is given whole names one connection:
 * false where there is none; in zone 0 where no zone is given.
 */
export function flushConnections(target: FlushTarget, zone: number | null, match: ConnectionMatch): boolean {
  const { connections } = target.datapath;
  const { version, protocol, orig, reply } = match;
  if (version === null && protocol === 0 && asksNothing(orig, 0) && asksNothing(reply, 0)) {
    flushZone(target, zone);
    return true;
  }
  target.log.dbg(() => `${target.datapath.type}: ct_flush: zone=${zone ?? 0} ${describeMatch(match)}`);
  const whole =
    orig.src !== null &&
    orig.dst !== null &&
    (isIcmp(protocol) || (orig.srcPort !== 0 && orig.dstPort !== 0));
  if (whole && version !== null && asksNothing(reply, protocol)) {
    return connections.forget(
      { version, protocol, ...orig, src: orig.src as Uint8Array, dst: orig.dst as Uint8Array },
      zone ?? 0,
    );
  }
  // Not while they are walked through.
  const meant = [...connections.list(zone)].filter((each) => matches(each, match));
  for (const each of meant) connections.forget(each.orig, each.zone);
  return true;
}

function matches(c: Connection, { version, protocol, orig, reply }: ConnectionMatch): boolean {
  if (version !== null && version !== c.orig.version) return false;
  if (protocol !== 0 && protocol !== c.orig.protocol) return false;
  return tupleMatches(c.orig, orig, protocol) && tupleMatches(c.reply, reply, protocol);
}

function tupleMatches(t: ConnectionTuple, wanted: TupleMatch, protocol: number): boolean {
  if (!addressMatches(t.src, wanted.src) || !addressMatches(t.dst, wanted.dst)) return false;
  if (isIcmp(protocol)) {
    return wanted.icmpId === t.icmpId && wanted.icmpType === t.icmpType && wanted.icmpCode === 0;
  }
  return (
    (wanted.srcPort === 0 || wanted.srcPort === t.srcPort) &&
    (wanted.dstPort === 0 || wanted.dstPort === t.dstPort)
  );
}

function addressMatches(address: Uint8Array, wanted: Uint8Array | null): boolean {
  return (
    wanted === null || (wanted.length === address.length && wanted.every((byte, i) => byte === address[i]))
  );
}

/** A match as `ovs-ofctl ct-flush` takes it, with all that it leaves open. */
function describeMatch({ version, protocol, orig, reply }: ConnectionMatch): string {
  const family = version === 4 ? 'ct_nw' : 'ct_ipv6';
  const tuple = ({ src, dst, ...numbers }: TupleMatch): string =>
    `${family}_src=${addressText(src)},${family}_dst=${addressText(dst)},` +
    (isIcmp(protocol)
      ? `icmp_id=${numbers.icmpId},icmp_type=${numbers.icmpType},icmp_code=${numbers.icmpCode}`
      : `ct_tp_src=${numbers.srcPort},ct_tp_dst=${numbers.dstPort}`);
  return `'${tuple(orig)},ct_nw_proto=${protocol}' '${tuple(reply)}'`;
}

function addressText(address: Uint8Array | null): string {
  if (address === null) return '::';
  return address.length === 4 ? formatIpv4(address) : formatIpv6(address);
}
