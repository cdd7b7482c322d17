import { get32 } from '../../wire/bytes.ts';
import type { DpCtAction } from '../types.ts';
import { F_DNAT, F_FTP, F_SNAT, F_TFTP } from './table.ts';

/** A `ct` action, made ready: nothing in it has to be parsed when a packet comes. */
export interface CtOp {
  readonly commit: boolean;
  readonly force: boolean;
  readonly zone: number;
  readonly mark: { readonly value: number; readonly mask: number } | null;
  /** Four words each, most significant first. */
  readonly label: { readonly value: Uint32Array; readonly mask: Uint32Array } | null;
  /** F_FTP, F_TFTP, or 0. */
  readonly helper: number;
  readonly timeout: string | undefined;
  readonly nat: NatOp | null;
}

/** What `nat(...)` asks for. */
export interface NatOp {
  /** F_SNAT, F_DNAT; 0: only what the connection has already is to be done. */
  readonly flags: number;
  /** First address as in a tuple, and how many there are; null: the packet's own. */
  readonly addresses: { readonly first: Uint32Array; readonly count: number } | null;
  /** Range of ports; null: any will do. */
  readonly ports: { readonly min: number; readonly max: number } | null;
  /** Same address for a client each time; start at a port that nobody can guess. */
  readonly persistent: boolean;
  readonly random: boolean;
}

/** Addresses of one range that are made use of. */
const MAX_ADDRESSES = 2n ** 32n - 1n;

export function prepareCt(action: DpCtAction): CtOp {
  const { commit, force, zone, mark, label, helper, timeout, nat } = action;
  return {
    commit: commit || force,
    force,
    zone,
    mark,
    label: label === null ? null : { value: words128(label.value), mask: words128(label.mask) },
    helper: helper === 'ftp' ? F_FTP : helper === 'tftp' ? F_TFTP : 0,
    timeout,
    nat: nat === null ? null : prepareNat(nat),
  };
}

function prepareNat(nat: NonNullable<DpCtAction['nat']>): NatOp {
  const { direction, addressMin, addressMax, portMin, portMax, persistent, random } = nat;
  const first = addressWords(addressMin);
  const count =
    addressMax.length === addressMin.length ? numberOf(addressMax) - numberOf(addressMin) + 1n : 1n;
  const clamped = count < 1n ? 1n : count > MAX_ADDRESSES ? MAX_ADDRESSES : count;
  return {
    flags: direction === 'src' ? F_SNAT : direction === 'dst' ? F_DNAT : 0,
    addresses: first.every((word) => word === 0) ? null : { first, count: Number(clamped) },
    ports: portMin === 0 && portMax === 0 ? null : { min: portMin, max: Math.max(portMin, portMax) },
    persistent,
    random,
  };
}

function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function addressWords(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(4);
  for (let i = 0; i + 4 <= bytes.length; i += 4) words[i >> 2] = get32(bytes, i);
  return words;
}

function words128(value: bigint): Uint32Array {
  const words = new Uint32Array(4);
  for (let i = 0; i < 4; i++) words[3 - i] = Number((value >> BigInt(32 * i)) & 0xffffffffn);
  return words;
}
