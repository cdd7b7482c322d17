import { VLAN_CFI, W_VLAN } from '../../flow/layout.ts';
import { MAX_MIRRORS, type Mirror } from '../ofproto/mirror.ts';
import type { Bundle } from '../ofproto/port.ts';
import * as b from './bits.ts';
import type { XlateContext } from './context.ts';
import { extractTags, inputBundle, outputNormal, translateInput, vidIsValid } from './normal.ts';
import type { Tag } from './types.ts';

/*
 * Mirrors: copies of what comes in by some ports, or goes out by some, as it is then, sent to a port that is for nothing
 * else or flooded to a VLAN. A packet is copied to each place once, however many mirrors and ports would have it there.
 */

/** Copies the packet for the mirrors of the bundle by which it came. */
export function mirrorIngress(ctx: XlateContext): void {
  if (ctx.ofproto.mirrors.isEmpty) return;
  const input = inputBundle(ctx, ctx.inPort);
  if (input !== null) mirrorPacket(ctx, input.bundle, input.bundle.mirrorsIn);
}

/** Copies it for those of the bundle by which it leaves. What goes to another bridge by a patch port is copied by none. */
export function mirrorEgress(ctx: XlateContext, bundle: Bundle): void {
  if (!ctx.ofproto.mirrors.isEmpty) mirrorPacket(ctx, bundle, bundle.mirrorsOut);
}

function mirrorPacket(ctx: XlateContext, bundle: Bundle, mask: number): void {
  const { vlanMode, trunks } = bundle.settings;
  if (mask !== 0 && (vlanMode !== 'trunk' || trunks !== null)) ctx.wc[W_VLAN] |= VLAN_CFI | 0x0fff;
  const received = extractTags(ctx.flow);
  // Said of every packet where there are mirrors, whether this bundle has any or not: so does Open vSwitch.
  if (!vidIsValid(ctx, received[0].vid, bundle)) return;
  let left = mask & ~ctx.mirrored;
  if (left === 0) return;
  const tags = translateInput(bundle, received);
  const { mirrors } = ctx.ofproto;
  for (let n = 0; n < MAX_MIRRORS; n++) {
    if ((left & (1 << n)) === 0) continue;
    const mirror = mirrors.get(n);
    if (mirror === null) continue;
    if (mirror.settings.vlans !== null) ctx.wc[W_VLAN] |= VLAN_CFI | 0x0fff;
    if (!mirror.takesVlan(tags[0].vid)) continue;
    // Before the copy is sent, whose own way out may be mirrored too.
    ctx.mirrored |= mirror.alike;
    copyTo(ctx, mirror, tags);
    left &= ~ctx.mirrored;
    if (ctx.stats !== undefined) mirror.credit(ctx.stats.packets, ctx.stats.bytes);
    ctx.remember({ type: 'mirror', mirror });
  }
}

function copyTo(ctx: XlateContext, { settings }: Mirror, tags: readonly Tag[]): void {
  const { output, outputVlan, snaplen } = settings;
  ctx.mirrorSnaplen = snaplen;
  if (output !== null) {
    outputNormal(ctx, output, tags);
  } else if (tags[0].vid !== outputVlan && !b.isReservedMac(b.ethDst(ctx.flow))) {
    const moved = [{ ...tags[0], vid: outputVlan }, ...tags.slice(1)];
    for (const bundle of ctx.bundles()) {
      if (!bundle.isMirrorOutput && bundle.includesVlan(outputVlan, moved[1].vid))
        outputNormal(ctx, bundle, moved);
    }
  }
  ctx.mirrorSnaplen = 0;
}
