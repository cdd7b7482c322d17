import type { SetWord } from '../../datapath/types.ts';
import { maskField, setTunMetadataPresent, tunMetadataPresent } from '../../flow/field-access.ts';
import {
  FLOW_WORDS,
  type Flow,
  TUN_F_CSUM,
  TUN_F_DF,
  TUN_F_KEY,
  TUN_F_OAM,
  W_NW,
  W_PKT_MARK,
  W_TUN_DST,
  W_TUN_ERSPAN,
  W_TUN_ERSPAN_IDX,
  W_TUN_FLAGS,
  W_TUN_GBP,
  W_TUN_ID,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_METADATA_PRESENT,
  W_TUN_SRC,
  W_TUN_TP,
} from '../../flow/layout.ts';
import { get32 } from '../../wire/bytes.ts';
import type { OfPort } from '../ofproto/port.ts';
import type { TunnelConfig, TunnelEnd } from '../tunnel/config.ts';
import { fieldsToOptions } from '../tunnel/options.ts';
import { hasTunnelDestination } from '../tunnel/ports.ts';
import * as b from './bits.ts';
import type { XlateContext } from './context.ts';

/*
 * Tunnels in translation. A packet that came by one has the outer header's fields in its key; one that
 * goes out by one gets them by a `set(tunnel(...))` in front of the output to the datapath port.
 *
 * ECN (RFC 6040): congestion that the underlay marked is taken over into the packet, or, where its
 * transport would not understand, drops it; on the way out the outer header has the packet's ECN.
 */

const DSCP_MASK = 0xfc;
const ECN_MASK = 0x03;
const ECN_CE = 0x03;
const ECN_ECT0 = 0x02;

const tunnelTos = (flow: Flow): number => (flow[W_TUN_FLAGS] >>> 8) & 0xff;
const marked = (flow: Flow): boolean => (tunnelTos(flow) & ECN_MASK) === ECN_CE;

/** Bits that every decision about a packet from a tunnel depends on. */
export function seeTunnel(wc: Flow, flow: Flow): void {
  if (!hasTunnelDestination(flow)) return;
  wc.fill(0xffffffff, W_TUN_ID, W_TUN_ID + 2);
  if (flow[W_TUN_DST] !== 0) {
    wc[W_TUN_SRC] = 0xffffffff;
    wc[W_TUN_DST] = 0xffffffff;
  } else {
    wc.fill(0xffffffff, W_TUN_IPV6_SRC, W_TUN_IPV6_DST + 4);
  }
  wc[W_TUN_FLAGS] |= ((TUN_F_DF | TUN_F_CSUM | TUN_F_KEY) << 16) | 0xff00;
  if (b.isIpAny(flow) && marked(flow)) wc[W_NW] |= ECN_MASK << 16;
}

/** Takes the outer header's congestion mark over; false: the packet must be dropped. */
export function receiveEcn(ctx: XlateContext): boolean {
  const { flow } = ctx;
  if (!hasTunnelDestination(flow) || !b.isIpAny(flow) || !marked(flow)) return true;
  if ((b.nwTos(flow) & ECN_MASK) === 0) {
    ctx.report('warn', 'dropping tunnel packet marked ECN CE but is not ECN capable');
    if (ctx.input.packet !== null) {
      ctx.ofproto.reportTunnel('dropping tunnel packet marked ECN CE but is not ECN capable');
    }
    return false;
  }
  b.setTos(flow, ECN_CE, ECN_MASK);
  return true;
}

/** Credits a tunnel port with what came in or went out by it. */
export function countTunnel(ctx: XlateContext, port: OfPort, direction: 'rx' | 'tx'): void {
  const { stats } = ctx;
  if (stats !== undefined) {
    port.counters[`${direction}Packets`] += stats.packets;
    port.counters[`${direction}Bytes`] += stats.bytes;
    if (direction === 'rx') port.monitor?.traffic();
  }
  ctx.remember({ type: 'port', port, direction });
}

/**
 * Appends what gives the packet the tunnel's outer header; false: it must not be sent. What the port adds
 * to the tunnel's fields is not seen by later actions.
 */
export function tunnelOutput(ctx: XlateContext, port: OfPort, config: TunnelConfig): boolean {
  const outer = ctx.flow.slice();
  writeOuter(ctx, outer, config);
  if (sameDestination(outer, ctx.input.flow)) {
    ctx.report('warn', 'Not tunneling to our own address');
    return false;
  }
  countTunnel(ctx, port, 'tx');
  ctx.report('detail', 'output to tunnel');
  if (config.type === 'geneve') writeOptions(ctx, outer);
  else outer.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  commitTunnel(ctx, outer);
  if (config.egressMark !== null) {
    ctx.wc[W_PKT_MARK] = 0xffffffff;
    ctx.flow[W_PKT_MARK] = config.egressMark;
  }
  return true;
}

/** Options go out that nobody looked at: the packet's own too, so that what is in them counts. */
function writeOptions(ctx: XlateContext, outer: Flow): void {
  const { tunnelOptions } = ctx.ofproto.services;
  for (const { index } of tunnelOptions.options()) {
    const field = tunnelOptions.field(index);
    if (field === null || !tunMetadataPresent(outer, field)) continue;
    maskField(ctx.wc, field);
    setTunMetadataPresent(ctx.wc, field, true);
  }
  fieldsToOptions(tunnelOptions, outer);
}

/** The tunnel's fields as the port has them. */
function writeOuter(ctx: XlateContext, outer: Flow, config: TunnelConfig): void {
  const { wc } = ctx;
  if (config.local !== 'flow') putEnd(outer, W_TUN_SRC, W_TUN_IPV6_SRC, config.local);
  if (config.remote !== 'flow') putEnd(outer, W_TUN_DST, W_TUN_IPV6_DST, config.remote);
  if (config.outKey !== 'flow') {
    outer[W_TUN_ID] = Number((config.outKey ?? 0n) >> 32n);
    outer[W_TUN_ID + 1] = Number((config.outKey ?? 0n) & 0xffffffffn);
  }
  const isIp = b.isIpAny(outer);
  let { tos, ttl } = config;
  if (ttl === 'inherit') {
    if (isIp) b.seeTtl(wc);
    ttl = isIp ? b.nwTtl(outer) : DEFAULT_INHERITED_TTL;
  }
  if (tos === 'inherit') {
    if (isIp) wc[W_NW] |= DSCP_MASK << 16;
    tos = isIp ? b.nwTos(outer) & DSCP_MASK : 0;
  }
  if (isIp) {
    wc[W_NW] |= ECN_MASK << 16;
    const ecn = b.nwTos(outer) & ECN_MASK;
    // The outer header starts anew: marked already, it could not tell of congestion on its own way.
    tos |= ecn === ECN_CE ? ECN_ECT0 : ecn;
  }
  const flags =
    ((outer[W_TUN_FLAGS] >>> 16) & TUN_F_OAM) |
    (config.dontFragment ? TUN_F_DF : 0) |
    (config.checksum ? TUN_F_CSUM : 0) |
    (config.outKey === null ? 0 : TUN_F_KEY);
  outer[W_TUN_FLAGS] = (flags << 16) | (tos << 8) | ttl;
  if (config.gbp) wc[W_TUN_GBP] |= 0xffffff00;
  outer[W_TUN_GBP] = config.gbp ? outer[W_TUN_GBP] & 0xffffff00 : 0;
  outer[W_TUN_ERSPAN_IDX] = 0;
  outer[W_TUN_ERSPAN] = 0;
  // The source port is the datapath's choice.
  outer[W_TUN_TP] = config.dstPort;
}

/** TTL of what has none to inherit. */
const DEFAULT_INHERITED_TTL = 64;

function putEnd(flow: Flow, ipv4: number, ipv6: number, end: TunnelEnd): void {
  flow[ipv4] = 0;
  flow.fill(0, ipv6, ipv6 + 4);
  if (end === null || end === 'flow') return;
  if (end.length === 4) flow[ipv4] = get32(end, 0);
  else for (let i = 0; i < 4; i++) flow[ipv6 + i] = get32(end, 4 * i);
}

/** Also true where neither has a destination. */
function sameDestination(a: Flow, other: Flow): boolean {
  if (a[W_TUN_DST] !== other[W_TUN_DST]) return false;
  if (a[W_TUN_DST] !== 0) return true;
  for (let i = W_TUN_IPV6_DST; i < W_TUN_IPV6_DST + 4; i++) if (a[i] !== other[i]) return false;
  return true;
}

/** Words of a key that make up its tunnel. */
const TUNNEL_WORDS: readonly (readonly [first: number, end: number])[] = [
  [W_TUN_ID, W_TUN_TP + 1],
  [W_TUN_METADATA_PRESENT, FLOW_WORDS],
];

function commitTunnel(ctx: XlateContext, outer: Flow): void {
  const { base } = ctx;
  const words: SetWord[] = [];
  let same = true;
  for (const [first, end] of TUNNEL_WORDS) {
    for (let word = first; word < end; word++) {
      same &&= outer[word] === base[word];
      base[word] = outer[word];
      if (outer[word] !== 0) words.push({ word, value: outer[word], mask: 0xffffffff });
    }
  }
  if (!same) ctx.actions.push({ type: 'set', group: 'tunnel', words });
}
