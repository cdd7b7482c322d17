import { WeftError } from '../../base/errors.ts';
import { CT_STATE_NAMES } from '../../datapath/text/attributes.ts';
import {
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_REPLY_DIR,
  CS_TRACKED,
  type Flow,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
} from '../../flow/layout.ts';
import type { ActionOf } from '../../openflow/actions/types.ts';
import { formatIpv4Word, formatIpv6 } from '../../wire/address.ts';

/* What a trace is told, and tells, of connection tracking. */

type Nat = ActionOf<'nat'>;

/** "trk|new". */
export function ctStateText(state: number): string {
  const names = CT_STATE_NAMES.filter((_, bit) => (state & (1 << bit)) !== 0);
  return names.length === 0 ? '0' : names.join('|');
}

/**
 * "trk,est": the argument of `--ct-next`.
 * @throws WeftError where a flag is unknown, or no packet can have those flags at once
 */
export function parseCtState(text: string): number {
  let state = 0;
  for (const word of text.split(/[, ]+/)) {
    if (word === '') continue;
    const bit = CT_STATE_NAMES.indexOf(word);
    if (bit < 0) throw bad(`${word}: unknown connection tracking state flag`);
    state |= 1 << bit;
  }
  const invalid = (why: string): WeftError =>
    bad(`${ctStateText(state)}: invalid connection state: ${why}\n`);
  if (state !== 0 && (state & CS_TRACKED) === 0) throw invalid('If "trk" is unset, no other flags are set');
  if ((state & CS_INVALID) !== 0 && (state & ~(CS_TRACKED | CS_INVALID)) !== 0) {
    throw invalid('when "inv" is set, only "trk" may also be set');
  }
  if ((state & CS_NEW) !== 0 && (state & CS_ESTABLISHED) !== 0) {
    throw invalid('"new" and "est" are mutually exclusive');
  }
  if ((state & CS_NEW) !== 0 && (state & CS_REPLY_DIR) !== 0) {
    throw invalid('"new" and "rpy" are mutually exclusive');
  }
  return state;
}

function bad(text: string): WeftError {
  return new WeftError('bad-trace-argument', text);
}

/** Gives the packet the first address and port that the NAT may choose. */
export function applyNat(flow: Flow, nat: Nat): void {
  if (nat.direction === 'none') return;
  const src = nat.direction === 'src';
  const words = wordsOf(nat.addressMin);
  if (words.length === 1) flow[src ? W_NW_SRC : W_NW_DST] = words[0];
  else if (words.length === 4) flow.set(words, src ? W_IPV6_SRC : W_IPV6_DST);
  if (words.length > 0 && nat.portMin !== 0) {
    flow[W_TP] =
      (src ? (nat.portMin << 16) | (flow[W_TP] & 0xffff) : (flow[W_TP] & 0xffff0000) | nat.portMin) >>> 0;
  }
}

/** Addresses and ports of the family that the NAT deals in; '' where it names none. */
export function addressesText(flow: Flow, nat: Nat): string {
  const ports = [flow[W_TP] >>> 16, flow[W_TP] & 0xffff];
  if (nat.addressMin.length === 4) {
    const [src, dst] = [formatIpv4Word(flow[W_NW_SRC]), formatIpv4Word(flow[W_NW_DST])];
    return `nw_src=${src},tp_src=${ports[0]},nw_dst=${dst},tp_dst=${ports[1]}`;
  }
  if (nat.addressMin.length !== 16) return '';
  const [src, dst] = [address6(flow, W_IPV6_SRC), address6(flow, W_IPV6_DST)];
  return `ipv6_src=[${src}],tp_src=${ports[0]},ipv6_dst=[${dst}],tp_dst=${ports[1]}`;
}

function address6(flow: Flow, word: number): string {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) view.setUint32(4 * i, flow[word + i]);
  return formatIpv6(bytes);
}

function wordsOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(4 * i));
}
