import {
  type Flow,
  N_VLANS,
  PT_ETH,
  VLAN_CFI,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_VLAN,
} from '../../flow/layout.ts';
import { OFPP_CONTROLLER, OFPP_NONE } from '../../openflow/constants.ts';
import { Bundle, type OfPort } from '../ofproto/port.ts';
import * as b from './bits.ts';
import type { XlateContext } from './context.ts';
import { outputToPort } from './output.ts';
import type { InputBundle, Tag } from './types.ts';

/*
 * NORMAL: what a learning VLAN bridge does (IEEE 802.1Q), with the port modes of the database.
 *
 * Inside the bridge each packet has a stack of tags of which the first is its VLAN: access ports put
 * theirs on and take it off, trunks carry it, native ones do either for one VLAN, dot1q-tunnel ports
 * put a service tag around whatever the customer sends.
 */

/** Traffic that a controller makes up has no port; it may go anywhere, as if from a trunk. */
const CONTROLLER_BUNDLE = Object.freeze(new Bundle('OFPP_NONE'));

const PCP_MASK = 0xe000;

export function normal(ctx: XlateContext): void {
  const { flow, wc } = ctx;
  b.seeEthSrc(wc);
  b.seeEthDst(wc);
  wc[W_VLAN] |= 0x0fff | VLAN_CFI;

  const input = inputBundle(ctx, ctx.inPort);
  if (input === null) {
    ctx.report('warn', 'no input bundle, dropping');
    return;
  }
  const { bundle: inBundle, port: inPort } = input;

  if (inBundle.isMirrorOutput) {
    reportMirrorOutput(ctx, inBundle);
    ctx.report('detail', 'input port is mirror output port, dropping');
    return;
  }
  // A VLAN ethertype without a whole tag behind it.
  if (b.isVlanType(b.ethType(flow)) && !b.hasTag(flow, 0)) {
    ctx.report('warn', 'partial VLAN tag, dropping');
    return;
  }
  const received = extractTags(flow);
  if (!vidIsValid(ctx, received[0].vid, inBundle)) {
    ctx.report('warn', 'disallowed VLAN VID for this input port, dropping');
    return;
  }
  const tags = translateInput(inBundle, received);
  const vlan = tags[0].vid;
  const src = b.ethSrc(flow);
  const dst = b.ethDst(flow);

  if (inPort !== null && !ctx.ofproto.forwardBpdu && b.isReservedMac(dst)) {
    ctx.report('detail', 'packet has reserved destination MAC, dropping');
    return;
  }

  const gratuitousArp = isGratuitousArp(flow, wc);
  const { macs } = ctx.ofproto;
  if (ctx.input.effects && inPort !== null && flow[W_PACKET_TYPE] === PT_ETH) {
    if (macs.learn(src, vlan, inBundle, gratuitousArp, inBundle.ports.length > 1)) {
      ctx.report('detail', () => `learned that ${macText(src)} is on port ${inBundle.name} in VLAN ${vlan}`);
    }
  }
  if (inPort !== null) {
    ctx.remember({
      type: 'normal',
      ofproto: ctx.ofproto,
      inPort: inPort.ofPort,
      mac: src,
      vlan,
      gratuitousArp,
    });
  }

  const entry = ctx.station(dst, vlan);
  if (entry === null) {
    ctx.report('detail', 'no learned MAC for destination, flooding');
    seeInnerVid(ctx);
    for (const out of ctx.bundles()) {
      if (out.isMirrorOutput) continue;
      if (out !== inBundle && out.floodable && out.includesVlan(vlan, tags[1].vid))
        outputNormal(ctx, out, tags);
    }
  } else if (entry.bundle.isMirrorOutput) {
    ctx.report('warn', 'learned port is a mirror port, dropping');
  } else if (entry.bundle !== inBundle) {
    ctx.report('detail', 'forwarding to learned port');
    outputNormal(ctx, entry.bundle, tags);
  } else {
    ctx.report('detail', 'learned port is input port, dropping');
  }
}

/** Nothing is to come in where copies go out. */
export function reportMirrorOutput(ctx: XlateContext, bundle: Bundle): void {
  ctx.reportError(
    `dropping packet received on port ${bundle.name}, which is reserved exclusively for mirroring`,
  );
}

/** Which ports a flooded packet goes to depends on its inner VLAN too. */
function seeInnerVid(ctx: XlateContext): void {
  if (b.hasTag(ctx.input.flow, 1)) ctx.wc[W_VLAN + 1] |= 0x0fff | VLAN_CFI;
}

/** The bundle by which a packet came in, or null where the port is unknown or in none. */
export function inputBundle(ctx: XlateContext, ofPort: number): InputBundle | null {
  const port: OfPort | undefined = ctx.port(ofPort);
  if (port?.bundle) return { bundle: port.bundle, port };
  if (ofPort === OFPP_NONE || ofPort === OFPP_CONTROLLER) return { bundle: CONTROLLER_BUNDLE, port: null };
  ctx.report('warn', `received packet on unknown port ${ofPort}`);
  return null;
}

export function extractTags(flow: Flow): Tag[] {
  const tags: Tag[] = [];
  let present = true;
  for (let i = 0; i < N_VLANS; i++) {
    present &&= b.isVlanType(b.vlanTpid(flow, i)) && b.hasTag(flow, i);
    const tci = b.vlanTci(flow, i);
    tags.push(
      present ? { tpid: b.vlanTpid(flow, i), vid: tci & 0xfff, pcp: tci & PCP_MASK, from: i } : noTag(),
    );
  }
  return tags;
}

export function vidIsValid(ctx: XlateContext, vid: number, bundle: Bundle): boolean {
  if (bundle === CONTROLLER_BUNDLE) return true;
  const { settings } = bundle;
  switch (settings.vlanMode) {
    case 'access':
      if (vid === 0) return true;
      ctx.reportError(
        `dropping VLAN ${vid} tagged packet received on port ${bundle.name} configured as VLAN ${settings.vlan} access port`,
      );
      return false;
    case 'native-tagged':
    case 'native-untagged':
    case 'trunk':
      if (vid === 0 && settings.vlanMode !== 'trunk') return true;
      if (bundle.trunksVlan(vid)) return true;
      ctx.reportError(
        `dropping VLAN ${vid} packet received on port ${bundle.name} not configured for trunking VLAN ${vid}`,
      );
      return false;
    case 'dot1q-tunnel':
      if (bundle.allowsCvlan(vid)) return true;
      ctx.reportError(
        `dropping VLAN ${vid} packet received on dot1q-tunnel port ${bundle.name} that excludes this VLAN`,
      );
      return false;
  }
}

export function translateInput(bundle: Bundle, received: readonly Tag[]): Tag[] {
  const { vlanMode, vlan, qinqEthertype } = bundle.settings;
  const [outer, inner] = received;
  switch (vlanMode) {
    case 'access':
      return [{ tpid: outer.tpid || b.ETH_TYPE_VLAN, vid: vlan, pcp: outer.pcp, from: null }, noTag()];
    case 'trunk':
      return [outer, inner];
    case 'native-tagged':
    case 'native-untagged':
      if (outer.vid !== 0) return [outer, inner];
      return [{ tpid: outer.tpid || b.ETH_TYPE_VLAN, vid: vlan, pcp: outer.pcp, from: null }, inner];
    case 'dot1q-tunnel':
      return [{ tpid: qinqEthertype, vid: vlan, pcp: 0, from: null }, outer];
  }
}

function translateOutput(bundle: Bundle, tags: readonly Tag[]): Tag[] {
  const { vlanMode, vlan } = bundle.settings;
  switch (vlanMode) {
    case 'access':
      return [noTag(), noTag()];
    case 'trunk':
    case 'native-tagged':
      return [{ ...tags[0] }, { ...tags[1] }];
    case 'native-untagged':
      return tags[0].vid === vlan ? [{ ...tags[1] }, noTag()] : [{ ...tags[0] }, { ...tags[1] }];
    case 'dot1q-tunnel':
      return [{ ...tags[1] }, noTag()];
  }
}

const noTag = (): Tag => ({ tpid: 0, vid: 0, pcp: 0, from: null });

/** Sends the packet out of a bundle with the tags that its mode asks for. */
export function outputNormal(ctx: XlateContext, bundle: Bundle, tags: readonly Tag[]): void {
  const { settings } = bundle;
  if (settings.vlanMode === 'dot1q-tunnel' && settings.cvlans !== null) ctx.wc[W_VLAN + 1] |= 0xffff;
  const out = translateOutput(bundle, tags);
  if (settings.priorityTags !== 'no') {
    ctx.wc[W_VLAN] |= PCP_MASK;
    out[0].pcp = b.vlanTci(ctx.flow, 0) & PCP_MASK;
  }
  // Whether the outer tag is worth sending depends on it being more than zeros.
  const { from } = out[0];
  if (from !== null) ctx.wc[W_VLAN + from] |= out[0].vid === 0 ? PCP_MASK | 0x0fff : 0x0fff;
  const port = ctx.member(bundle);
  if (port === undefined) return;
  const saved = ctx.flow.slice(W_VLAN, W_VLAN + N_VLANS);
  for (let i = 0; i < N_VLANS; i++) {
    const tci = out[i].vid | out[i].pcp;
    const keeps = i > 0 || settings.priorityTags === 'always';
    if (tci !== 0 || (keeps && out[i].tpid !== 0)) {
      if (i === 0) ctx.seeTakenTag();
      b.setVlan(ctx.flow, i, out[i].tpid || b.ETH_TYPE_VLAN, tci | VLAN_CFI);
    } else {
      b.setVlan(ctx.flow, i, 0, 0);
    }
  }
  outputToPort(ctx, port.ofPort, false);
  ctx.flow.set(saved, W_VLAN);
}

/** A station that has moved says so by an ARP for its own address, to all. */
function isGratuitousArp(flow: Flow, wc: Flow): boolean {
  if (!b.isArp(flow)) return false;
  b.seeEthDst(wc);
  if (b.ethDst(flow) !== b.BROADCAST_MAC) return false;
  b.seeProto(wc);
  const op = b.nwProto(flow);
  if (op === 2) return true;
  if (op !== 1) return false;
  wc[W_NW_SRC] = 0xffffffff;
  wc[W_NW_DST] = 0xffffffff;
  return flow[W_NW_SRC] === flow[W_NW_DST];
}

function macText(mac: number): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/(..)(?!$)/g, '$1:');
}
