import { hashFields } from '../../../datapath/packet/hash.ts';
import { W_DP_HASH } from '../../../flow/layout.ts';
import { formatPort } from '../../../flow/port-text.ts';
import { executeActionSet } from '../../../openflow/actions/action-set.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPG_ANY, OFPP_ANY, PS_LIVE } from '../../../openflow/constants.ts';
import type { Bucket, Group } from '../../ofproto/group.ts';
import type { XlateContext } from '../context.ts';
import { finishFreezing } from '../freeze.ts';
import { seeHashFields } from '../hash-fields.ts';
import { withinBudget } from '../table.ts';
import { MAX_DEPTH } from '../types.ts';
import type { ActionPlace, Outcome } from './translator.ts';

/** group:N. */
export function translateGroup(ctx: XlateContext, action: ActionOf<'group'>, place: ActionPlace): Outcome {
  if (!withinBudget(ctx)) return 'next';
  const group = ctx.group(action.group);
  if (group === undefined) {
    // The packet is dropped by this list, as the action refers to nothing.
    ctx.report('warn', `output to nonexistent group ${action.group}`);
    return 'stop';
  }
  runGroup(ctx, group, place.last);
  return 'next';
}

function runGroup(ctx: XlateContext, group: Group, last: boolean): void {
  switch (group.type) {
    case 'all':
    case 'indirect':
      for (const [i, bucket] of group.buckets.entries()) {
        runBucket(ctx, bucket, last && i === group.buckets.length - 1);
      }
      credit(ctx, group, null);
      break;
    case 'ff': {
      const index = firstLive(ctx, group, 0);
      runChosen(ctx, group, index, last);
      break;
    }
    case 'select':
      select(ctx, group, last);
      break;
  }
}

function runChosen(ctx: XlateContext, group: Group, index: number, last: boolean): void {
  if (index < 0) {
    ctx.report('detail', 'no live bucket');
    return;
  }
  const bucket = group.buckets[index];
  ctx.report('detail', () => `using bucket ${bucket.id}`);
  runBucket(ctx, bucket, last);
  credit(ctx, group, index);
}

function credit(ctx: XlateContext, group: Group, bucket: number | null): void {
  const stats = ctx.stats;
  if (stats !== undefined) group.credit(bucket, stats.packets, stats.bytes);
  ctx.remember({ type: 'group', group, bucket });
}

/** A bucket's actions are an action set; what they do to the packet is not seen by what follows. */
function runBucket(ctx: XlateContext, bucket: Bucket, last: boolean): void {
  const oldFlow = ctx.flow;
  const oldConntracked = ctx.conntracked;
  const oldWasMpls = ctx.wasMpls;
  ctx.flow = ctx.copy(oldFlow);
  const node = ctx.report('bucket', () => `bucket ${bucket.id}`);
  ctx.below(node, () => {
    ctx.depth++;
    ctx.run(ctx, executeActionSet(bucket.actions), last, true);
    ctx.depth--;
    if (ctx.freezing) finishFreezing(ctx);
  });
  ctx.flow = oldFlow;
  ctx.wasMpls = oldWasMpls;
  ctx.conntracked = oldConntracked;
  ctx.exit = false;
  // What is wrong with one bucket's packet doesn't stop other buckets; limits of the translation do.
  if (ctx.error === 'too-many-mpls-labels' || ctx.error === 'unsupported-packet-type') ctx.error = 'ok';
}

function firstLive(ctx: XlateContext, group: Group, depth: number): number {
  return group.buckets.findIndex((bucket) => {
    const alive = isAlive(ctx, bucket, depth);
    if (!alive) reportDead(ctx, bucket);
    return alive;
  });
}

function reportDead(ctx: XlateContext, bucket: Bucket): void {
  ctx.report('detail', () => {
    const watched: string[] = [];
    if (bucket.watchPort !== OFPP_ANY) watched.push(`port ${formatPort(bucket.watchPort)}`);
    // Upstream calls the group a port too, and its text is what tools know.
    if (bucket.watchGroup !== OFPG_ANY) watched.push(`port ${bucket.watchGroup}`);
    return `bucket ${bucket.id}: not live due to ${watched.join(' and ')}`;
  });
}

function isAlive(ctx: XlateContext, bucket: Bucket, depth: number): boolean {
  if (bucket.watchPort === OFPP_ANY && bucket.watchGroup === OFPG_ANY) return true;
  const port = ctx.port(bucket.watchPort);
  if (port !== undefined && (port.state & PS_LIVE) !== 0) return true;
  // Groups may watch each other in a circle.
  if (bucket.watchGroup === OFPG_ANY || depth > MAX_DEPTH) return false;
  const group = ctx.group(bucket.watchGroup);
  return group !== undefined && firstLive(ctx, group, depth + 1) >= 0;
}

function select(ctx: XlateContext, group: Group, last: boolean): void {
  if (ctx.wasMpls) {
    // Hashes look at what stood below the labels that were popped.
    ctx.triggerFreeze();
    ctx.report('detail', 'no live bucket');
    return;
  }
  const { method, fields, param } = group.selection;
  if (method === 'hash' && fields !== null) {
    runChosen(
      ctx,
      group,
      bestBucket(ctx, group, hashOfFields(ctx, fields, Number(param & 0xffffffffn))),
      last,
    );
    return;
  }
  const { slots } = group;
  if (slots === null) {
    const fields = 'symmetric_l4';
    seeHashFields(ctx, fields);
    runChosen(ctx, group, bestBucket(ctx, group, hashFields(ctx.flow, fields, 0)), last);
    return;
  }
  // The datapath computes the hash and brings the packet back with it.
  const hash = ctx.flow[W_DP_HASH];
  if (hash === 0) {
    ctx.triggerRecirculateWithHash(group.algorithm, method === 'dp_hash' ? Number(param & 0xffffffffn) : 0);
    ctx.report('detail', 'no live bucket');
    return;
  }
  ctx.wc[W_DP_HASH] |= slots.length - 1;
  runChosen(ctx, group, liveSlot(ctx, group, slots, hash), last);
}

/** The bucket of a hash's slot or, where that is not live, of the next slot whose is. */
function liveSlot(ctx: XlateContext, group: Group, slots: Uint16Array, hash: number): number {
  for (let n = 0; n < slots.length; n++) {
    const index = slots[(hash + n) & (slots.length - 1)];
    if (isAlive(ctx, group.buckets[index], 0)) return index;
  }
  return -1;
}

/**
 * Weighted rendezvous hashing (Thaler and Ravishankar, with the logarithmic weights of Schindelhauer
 * and Schomaker): each live bucket draws from the hash, the best draw wins. Buckets that come or go
 * move only their own share of the flows.
 */
function bestBucket(ctx: XlateContext, group: Group, hash: number): number {
  let best = -1;
  let bestScore = Number.NEGATIVE_INFINITY;
  group.buckets.forEach((bucket, i) => {
    if (bucket.weight === 0 || !isAlive(ctx, bucket, 0)) {
      reportDead(ctx, bucket);
      return;
    }
    const draw = (mix(hash ^ Math.imul(bucket.id + 1, 0x9e3779b1)) + 1) / 0x100000001;
    const score = bucket.weight / -Math.log(draw);
    if (score > bestScore) {
      best = i;
      bestScore = score;
    }
  });
  return best;
}

function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hashOfFields(ctx: XlateContext, fields: Uint32Array, basis: number): number {
  let hash = basis >>> 0;
  for (let word = 0; word < fields.length; word++) {
    if (fields[word] === 0) continue;
    ctx.wc[word] |= fields[word];
    hash = mix(hash ^ Math.imul(ctx.flow[word] & fields[word], 0x9e3779b1));
  }
  return hash;
}
