import {
  type ConntrackAnswer,
  type ConntrackRequest,
  type ConntrackState,
  type DumpAnswer,
  R_LEFT,
  R_PARENT,
  RECORD_WORDS,
} from './control.ts';
import type { ZoneLimit } from './limits.ts';
import * as C from './table.ts';
import { SCALE, SCALE_KNOWN, SCALE_UNKNOWN, scaleOf, stateOf } from './tcp.ts';
import type { TimeoutPolicy } from './timeouts.ts';
import * as T from './tuple.ts';

/** One direction of a connection, as people see it. */
export interface ConnectionTuple {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** 4 or 16 bytes. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** Ports; 0 where the protocol has none. */
  readonly srcPort: number;
  readonly dstPort: number;
  /** Of ICMP queries. */
  readonly icmpId: number;
  readonly icmpType: number;
}

/** A peer of a TCP connection; states as in tcp.ts. */
export interface TcpPeer {
  readonly state: number;
  readonly scale: number;
  /** It has offered to scale its window; nobody saw the handshake. */
  readonly scaled: boolean;
  readonly liberal: boolean;
}

export interface Connection {
  readonly orig: ConnectionTuple;
  readonly reply: ConnectionTuple;
  /** That by whose helper it was expected. */
  readonly parent: ConnectionTuple | null;
  readonly zone: number;
  readonly mark: number;
  readonly label: bigint;
  /** Seconds. */
  readonly timeout: number;
  readonly tcp: { readonly orig: TcpPeer; readonly reply: TcpPeer } | null;
  readonly helper: string;
}

/** The connections of a datapath, and the settings of its tracker, wherever that is. */
export class DatapathConnections {
  /** Puts a request to the tracker. */
  readonly ask: (request: ConntrackRequest) => ConntrackAnswer;

  constructor(ask: (request: ConntrackRequest) => ConntrackAnswer) {
    this.ask = ask;
  }

  /** Connections of a zone; null: of all. Those that come and go meanwhile may be missing. */
  *list(zone: number | null = null): Generator<Connection> {
    for (let from = 0; from >= 0; ) {
      const { records, next } = this.ask({ kind: 'dump', from, zone }) as DumpAnswer;
      for (let at = 0; at < records.length; at += RECORD_WORDS) yield connectionOf(records, at);
      from = next;
    }
  }
  /** Forgets the connections of a zone; null: all. */
  flush(zone: number | null): void {
    this.ask({ kind: 'flush', zone });
  }
  /** Forgets the connection of that original tuple; false: there is none. */
  forget(tuple: ConnectionTuple, zone: number): boolean {
    return this.ask({ kind: 'forget', tuple: wordsOf(tuple, zone) }) === true;
  }

  state(): ConntrackState {
    return this.ask({ kind: 'state' }) as ConntrackState;
  }
  setMaxConnections(value: number): void {
    this.ask({ kind: 'set-max-connections', value });
  }
  /** Whether TCP segments whose numbers don't fit are invalid. */
  setTcpSequenceCheck(value: boolean): void {
    this.ask({ kind: 'set-tcp-sequence-check', value });
  }

  /** Connections that a zone may have; null: each zone without a limit of its own, all together. */
  setLimit(zone: number | null, limit: number): void {
    this.ask({ kind: 'set-limit', zone, limit });
  }
  deleteLimit(zone: number | null): void {
    this.ask({ kind: 'delete-limit', zone });
  }
  limits(): readonly ZoneLimit[] {
    return this.ask({ kind: 'limits' }) as readonly ZoneLimit[];
  }

  /** A timeout policy, for `ct(timeout=NAME)`. */
  setTimeouts(name: string, policy: TimeoutPolicy): void {
    this.ask({ kind: 'set-timeouts', name, policy });
  }
  deleteTimeouts(name: string): void {
    this.ask({ kind: 'delete-timeouts', name });
  }
}

function connectionOf(w: Uint32Array, at: number): Connection {
  const orig = tupleOf(w, at + C.C_KEY);
  const flags = w[at + C.C_FLAGS];
  let label = 0n;
  for (let i = 0; i < 4; i++) label = (label << 32n) | BigInt(w[at + C.C_LABEL + i]);
  return {
    orig,
    reply: tupleOf(w, at + C.C_REV),
    parent: w[at + R_PARENT + T.T_REST] === 0 ? null : tupleOf(w, at + R_PARENT),
    zone: w[at + C.C_KEY + T.T_REST] >>> 16,
    mark: w[at + C.C_MARK],
    label,
    timeout: Math.floor(w[at + R_LEFT] / 1000),
    tcp:
      orig.protocol === T.TCP
        ? { orig: peerOf(w, at + C.C_PEERS), reply: peerOf(w, at + C.C_PEERS + 3) }
        : null,
    helper: (flags & C.F_FTP) !== 0 ? 'ftp' : (flags & C.F_TFTP) !== 0 ? 'tftp' : '',
  };
}

function peerOf(w: Uint32Array, peer: number): TcpPeer {
  const scale = scaleOf(w, peer);
  return {
    state: stateOf(w, peer),
    scale: scale & SCALE,
    scaled: (scale & SCALE_KNOWN) !== 0,
    liberal: (scale & SCALE_UNKNOWN) !== 0,
  };
}

function tupleOf(w: Uint32Array, at: number): ConnectionTuple {
  const rest = w[at + T.T_REST];
  const version = ((rest >>> 8) & 0xff) === 4 ? 4 : 6;
  const protocol = rest & 0xff;
  const icmp = T.isIcmp(protocol);
  const [src, dst] = [w[at + T.T_L4_SRC], w[at + T.T_L4_DST]];
  return {
    version,
    protocol,
    src: addressOf(w, at + T.T_SRC, version),
    dst: addressOf(w, at + T.T_DST, version),
    srcPort: icmp ? 0 : src,
    dstPort: icmp ? 0 : dst,
    icmpId: icmp ? src >>> 16 : 0,
    icmpType: icmp ? src & 0xff : 0,
  };
}

function addressOf(w: Uint32Array, at: number, version: number): Uint8Array {
  const bytes = new Uint8Array(version === 4 ? 4 : 16);
  for (let i = 0; i < bytes.length; i++) bytes[i] = w[at + (i >> 2)] >>> (24 - 8 * (i & 3));
  return bytes;
}

function wordsOf(tuple: ConnectionTuple, zone: number): T.Tuple {
  const { version, protocol, src, dst } = tuple;
  const t = T.newTuple();
  for (let i = 0; i < src.length; i++) t[T.T_SRC + (i >> 2)] |= src[i] << (24 - 8 * (i & 3));
  for (let i = 0; i < dst.length; i++) t[T.T_DST + (i >> 2)] |= dst[i] << (24 - 8 * (i & 3));
  t[T.T_REST] = T.restOf(zone, version, protocol);
  if (T.isIcmp(protocol)) {
    const { icmpId, icmpType } = tuple;
    const answer = protocol === T.ICMP ? T.reverseIcmpType(icmpType) : T.reverseIcmp6Type(icmpType);
    t[T.T_L4_SRC] = (icmpId << 16) | icmpType;
    t[T.T_L4_DST] = (icmpId << 16) | (answer & 0xff);
  } else {
    t[T.T_L4_SRC] = tuple.srcPort;
    t[T.T_L4_DST] = tuple.dstPort;
  }
  return t;
}
