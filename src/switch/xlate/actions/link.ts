import { hashAdd, hashFields, hashFinish } from '../../../datapath/packet/hash.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPP_NONE, PS_LIVE } from '../../../openflow/constants.ts';
import type { XlateContext } from '../context.ts';
import { seeHashFields } from '../hash-fields.ts';
import { loadSubfield, reportSubfield } from './field.ts';
import { outputTo } from './output.ts';
import type { ActionPlace, Outcome } from './translator.ts';

/** multipath: a link number by hash, into a field. */
export function translateMultipath(ctx: XlateContext, action: ActionOf<'multipath'>): Outcome {
  seeHashFields(ctx, action.fields);
  const links = action.maxLink + 1;
  const hash = hashFields(ctx.flow, action.fields, action.basis);
  const link = chooseLink(action, hash, links);
  loadSubfield(ctx, action.dst, BigInt(link));
  reportSubfield(ctx, action.dst);
  return 'next';
}

function chooseLink(action: ActionOf<'multipath'>, hash: number, links: number): number {
  switch (action.algorithm) {
    case 'modulo_n':
      return hash % links;
    case 'hash_threshold':
      return links === 1 ? 0 : Math.floor(hash / (Math.floor(0xffffffff / links) + 1));
    case 'hrw':
      return links <= MAX_WEIGHED ? highestRandomWeight(hash, links) : rehash(hash, links, 0);
    case 'iter_hash':
      return rehash(hash, links, action.arg);
  }
}

/** With more links than this, the weights of all of them take too long. */
const MAX_WEIGHED = 64;
/** Each try hits at least half of the time. */
const MAX_REHASHES = 256;

/** Hashes on until one of `links` comes out, modulo a power of two that is neither too small nor too large. */
function rehash(hash: number, links: number, wanted: number): number {
  const modulo = wanted < links || Math.floor(wanted / 2) > links ? nextPowerOfTwo(links) : wanted;
  for (let i = 0; i < MAX_REHASHES; i++) {
    const link = weightOf(hash, i) % modulo;
    if (link < links) return link;
  }
  return hash % links;
}

function highestRandomWeight(hash: number, links: number): number {
  let best = 0;
  let bestWeight = -1;
  for (let link = 0; link < links; link++) {
    const weight = weightOf(hash, link);
    if (weight > bestWeight) {
      best = link;
      bestWeight = weight;
    }
  }
  return best;
}

/** A link's weight for a packet, the same as upstream's: who comes from there keeps the links of all flows. */
function weightOf(first: number, second: number): number {
  return hashFinish(hashAdd(hashAdd(first, 0), second), 8);
}

function nextPowerOfTwo(n: number): number {
  let power = 1;
  while (power < n) power *= 2;
  return power;
}

/** bundle and bundle_load: one of several ports that are up. */
export function translateBundle(ctx: XlateContext, action: ActionOf<'bundle'>, place: ActionPlace): Outcome {
  const alive = (port: number): boolean => ((ctx.port(port)?.state ?? 0) & PS_LIVE) !== 0;
  let chosen = OFPP_NONE;
  if (action.algorithm === 'active_backup') {
    chosen = action.members.find(alive) ?? OFPP_NONE;
  } else {
    if (action.members.length > 1) seeHashFields(ctx, action.fields);
    const hash = hashFields(ctx.flow, action.fields, action.basis);
    let bestWeight = -1;
    for (const [i, port] of action.members.entries()) {
      if (!alive(port)) continue;
      const weight = weightOf(i, hash);
      if (weight > bestWeight) {
        chosen = port;
        bestWeight = weight;
      }
    }
  }
  if (action.dst !== null) {
    loadSubfield(ctx, action.dst, BigInt(action.dst.bits <= 16 ? chosen & 0xffff : chosen));
    reportSubfield(ctx, action.dst);
  } else {
    outputTo(ctx, chosen, 0, place, false);
  }
  return 'next';
}
