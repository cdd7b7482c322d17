import { get32, put32 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** BFD control packet (RFC 5880 4.1), version 1. Intervals are microseconds. */
export interface Bfd {
  readonly layer: 'bfd';
  /** BFD_DIAG_*, 0 to 31: why the sender's session last changed its state. */
  readonly diagnostic: number;
  /** BFD_ADMIN_DOWN to BFD_UP. */
  readonly state: number;
  /** BFD_POLL and so on, BFD_AUTH left out: that is whether there is an `auth`. */
  readonly flags: number;
  readonly detectMult: number;
  readonly myDiscriminator: number;
  /** 0: the sender knows none yet. */
  readonly yourDiscriminator: number;
  readonly desiredMinTx: number;
  /** 0: the sender wants no periodic packets. */
  readonly requiredMinRx: number;
  /** 0: the sender doesn't take echo packets. */
  readonly requiredMinEchoRx: number;
  /** Authentication section, its type and length included; nobody here reads what is in it. */
  readonly auth?: Uint8Array;
}

/** UDP port of single-hop control packets (RFC 5881). */
export const BFD_PORT = 3784;
export const BFD_HEADER = 24;
/** RFC 5881 4: what a control packet's UDP source port is taken from. */
export const BFD_SOURCE_PORT_FIRST = 49152;
export const BFD_SOURCE_PORTS = 16384;

export const BFD_ADMIN_DOWN = 0;
export const BFD_DOWN = 1;
export const BFD_INIT = 2;
export const BFD_UP = 3;

export const BFD_POLL = 0x20;
export const BFD_FINAL = 0x10;
export const BFD_CONTROL_PLANE_INDEPENDENT = 0x08;
export const BFD_AUTH = 0x04;
export const BFD_DEMAND = 0x02;
export const BFD_MULTIPOINT = 0x01;

export const BFD_DIAG_NONE = 0;
export const BFD_DIAG_EXPIRED = 1;
export const BFD_DIAG_ECHO_FAILED = 2;
export const BFD_DIAG_NEIGHBOR_DOWN = 3;
export const BFD_DIAG_FORWARDING_RESET = 4;
export const BFD_DIAG_PATH_DOWN = 5;
export const BFD_DIAG_CONCATENATED_PATH_DOWN = 6;
export const BFD_DIAG_ADMIN_DOWN = 7;
export const BFD_DIAG_REVERSE_CONCATENATED_PATH_DOWN = 8;

const VERSION = 1;
const MIN_AUTH = 2;

export function bfdLength(value: Bfd): number {
  return BFD_HEADER + (value.auth?.length ?? 0);
}

/**
 * Reads a control packet and refuses all that RFC 5880 6.8.6 has discarded whatever the receiver's
 * state: another version, a length that can't be, a multiplier or discriminator of 0, the multipoint bit.
 */
export function parseBfd(b: Uint8Array, at: number, end: number): Parsed<Bfd> | Malformed {
  if (end - at < BFD_HEADER) return tooShort('BFD', at, end, BFD_HEADER);
  const bad = (reason: string): Malformed => new Malformed('BFD', reason, at);
  const version = b[at] >> 5;
  if (version !== VERSION) return bad(`version ${version} is not 1`);
  const flags = b[at + 1] & 0x3f;
  const authenticated = (flags & BFD_AUTH) !== 0;
  const length = b[at + 3];
  const least = authenticated ? BFD_HEADER + MIN_AUTH : BFD_HEADER;
  if (length < least) return bad(`length ${length} is below ${least}`);
  if (length > end - at) return tooShort('BFD', at, end, length);
  const detectMult = b[at + 2];
  if (detectMult === 0) return bad('multiplier is 0');
  if ((flags & BFD_MULTIPOINT) !== 0) return bad('multipoint bit is set');
  const myDiscriminator = get32(b, at + 4);
  if (myDiscriminator === 0) return bad("sender's discriminator is 0");
  const yourDiscriminator = get32(b, at + 8);
  const state = b[at + 1] >> 6;
  if (yourDiscriminator === 0 && state > BFD_DOWN) {
    return bad("receiver's discriminator is 0 though the session is under way");
  }
  return {
    value: {
      layer: 'bfd',
      diagnostic: b[at] & 0x1f,
      state,
      flags: flags & ~BFD_AUTH,
      detectMult,
      myDiscriminator,
      yourDiscriminator,
      desiredMinTx: get32(b, at + 12),
      requiredMinRx: get32(b, at + 16),
      requiredMinEchoRx: get32(b, at + 20),
      ...(authenticated ? { auth: b.slice(at + BFD_HEADER, at + length) } : {}),
    },
    next: at + length,
    end,
  };
}

export function emitBfd(value: Bfd, b: Uint8Array, at: number): void {
  b[at] = (VERSION << 5) | (value.diagnostic & 0x1f);
  b[at + 1] = (value.state << 6) | (value.flags & 0x3f) | (value.auth === undefined ? 0 : BFD_AUTH);
  b[at + 2] = value.detectMult;
  b[at + 3] = bfdLength(value);
  put32(b, at + 4, value.myDiscriminator);
  put32(b, at + 8, value.yourDiscriminator);
  put32(b, at + 12, value.desiredMinTx);
  put32(b, at + 16, value.requiredMinRx);
  put32(b, at + 20, value.requiredMinEchoRx);
  if (value.auth !== undefined) b.set(value.auth, at + BFD_HEADER);
}
