import { formatIpv4, formatIpv6 } from '../../wire/address.ts';
import type { Connection, ConnectionTuple, TcpPeer } from '../conntrack/connections.ts';
import { ICMP, ICMPV6 } from '../conntrack/tuple.ts';

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [2, 'igmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** By number: tcp.ts knows some of them. */
const TCP_STATES = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'CLOSE_WAIT',
  'FIN_WAIT_1',
  'CLOSING',
  'LAST_ACK',
  'FIN_WAIT_2',
  'TIME_WAIT',
];

export interface ConnectionFormat {
  /** `-m`: TCP's state of both sides. */
  readonly more?: boolean;
  /** `-s`: how long it lives without a packet. */
  readonly statistics?: boolean;
}

/** A connection as `dpctl/dump-conntrack` prints it. */
export function formatConnection(
  c: Connection,
  { more = false, statistics = false }: ConnectionFormat = {},
): string {
  const { protocol } = c.orig;
  let text = PROTOCOLS.get(protocol) ?? String(protocol);
  text += `,orig=(${formatTuple(c.orig)}),reply=(${formatTuple(c.reply)})`;
  if (more) text += ',id=0';
  if (c.zone !== 0) text += `,zone=${c.zone}`;
  if (more) text += ',status=0';
  if (statistics) text += `,timeout=${c.timeout}`;
  if (c.mark !== 0) text += `,mark=${c.mark}`;
  if (c.label !== 0n) text += `,labels=0x${c.label.toString(16)}`;
  if (c.tcp !== null) text += `,protoinfo=(${more ? bothStates(c.tcp) : `state=${tcpStateName(c)}`})`;
  if (c.helper !== '') text += `,helper=${c.helper}`;
  if (more && c.parent !== null) text += `,parent=(${formatTuple(c.parent)})`;
  return text;
}

export function formatTuple(t: ConnectionTuple): string {
  const address = t.version === 4 ? formatIpv4 : formatIpv6;
  const icmp = t.protocol === ICMP || t.protocol === ICMPV6;
  const rest = icmp ? `id=${t.icmpId},type=${t.icmpType},code=0` : `sport=${t.srcPort},dport=${t.dstPort}`;
  return `src=${address(t.src)},dst=${address(t.dst)},${rest}`;
}

/** The state of a TCP connection as one word, as the kernel's tracker would call it. */
export function tcpStateName({ tcp }: Connection): string {
  const state = tcp === null ? 0 : Math.max(tcp.orig.state, tcp.reply.state);
  return TCP_STATES[state === 9 ? 10 : state === 3 ? 4 : state];
}

function bothStates({ orig, reply }: { orig: TcpPeer; reply: TcpPeer }): string {
  let text = `state_orig=${TCP_STATES[orig.state]},state_reply=${TCP_STATES[reply.state]}`;
  if (orig.scale !== 0 || reply.scale !== 0) text += `,wscale_orig=${orig.scale},wscale_reply=${reply.scale}`;
  return `${text},flags_orig=${peerFlags(orig)},flags_reply=${peerFlags(reply)}`;
}

function peerFlags({ scaled, liberal }: TcpPeer): string {
  return (
    [scaled ? 'WINDOW_SCALE' : '', liberal ? 'BE_LIBERAL' : ''].filter((name) => name !== '').join('|') || '0'
  );
}
