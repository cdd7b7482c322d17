import {
  FLOW_WORDS,
  type Flow,
  W_ARP_HA,
  W_DP_HASH,
  W_ETH,
  W_ETH_TYPE,
  W_IN_PORT,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import type { DpAction, MegaflowSpec } from '../types.ts';
import { exactMask, frame } from './frames.ts';
import type { Random } from './random.ts';

/** Few values for each field, so that frames share megaflows and differ in what masks leave out. */
export function randomFrame(random: Random): Uint8Array {
  const kind = random.below(10);
  const tags = random.pick([
    [],
    [],
    [],
    [[0x8100, 5]],
    [[0x8100, 0x6006]],
    [
      [0x88a8, 5],
      [0x8100, 7],
    ],
  ] as const);
  const bytes = frame({
    src: 1 + random.below(2),
    dst: 1 + random.below(3),
    tags,
    nwSrc: 0x0a000001 + random.below(2),
    nwDst: random.pick([0x0a000002, 0x0a000102]),
    tpSrc: 1000 + random.below(2),
    tpDst: random.pick([80, 443]),
    ttl: random.pick([64, 63]),
    payload: random.pick([18, 18, 100]),
    tcpFlags: random.chance(40) ? random.pick([0x02, 0x10, 0x18]) : undefined,
  });
  const type = 12 + tags.length * 4;
  if (kind === 0) bytes.set([0x08, 0x06], type);
  if (kind === 1) bytes.set([0x86, 0xdd], type);
  if (kind === 2) bytes.set([0x88, 0x47], type);
  if (kind === 3) bytes[random.below(bytes.length - 14) + 14] ^= 1 << random.below(8);
  // What looks like an unfinished packet must not stop anything. (A frame that ends within its outer tag
  // is one that Linux drops before anybody sees it.)
  const least = tags.length === 0 ? 14 : 20;
  return kind === 4 ? bytes.subarray(0, least + random.below(bytes.length - least)) : bytes;
}

const MASKABLE = [
  W_ETH,
  W_ETH + 1,
  W_ETH + 2,
  W_ETH_TYPE,
  W_VLAN,
  W_NW_SRC,
  W_NW_DST,
  W_NW,
  W_TP,
  W_DP_HASH,
  W_PKT_MARK,
  W_TCP_FLAGS,
  W_VLAN + 1,
  W_IPV6_SRC,
  W_ARP_HA,
];

/** A random mask under which `key` overlaps none of `flows`; in the end every bit. */
export function disjointMask(random: Random, key: Flow, flows: Iterable<MegaflowSpec>): Flow {
  for (let attempt = 0; attempt < 4; attempt++) {
    const mask = new Uint32Array(FLOW_WORDS);
    mask[W_IN_PORT] = 0xffffffff;
    mask[W_RECIRC_ID] = 0xffffffff;
    for (const w of MASKABLE) {
      if (random.chance(35))
        mask[w] = random.chance(60) ? 0xffffffff : (0xffffffff << random.below(32)) >>> 0;
    }
    const overlaps = [...flows].some((f) =>
      f.mask.every((m, w) => ((f.key[w] ^ key[w]) & m & mask[w]) === 0),
    );
    if (!overlaps) return mask;
  }
  return exactMask();
}

export function randomActions(random: Random, ports: readonly number[], depth: number): DpAction[] {
  return Array.from({ length: random.below(4) }, () => randomAction(random, ports, depth));
}

function randomAction(random: Random, ports: readonly number[], depth: number): DpAction {
  const nested = (): DpAction[] => (depth > 0 ? randomActions(random, ports, depth - 1) : []);
  switch (random.below(17)) {
    case 0:
      return { type: 'push_vlan', tpid: random.pick([0x8100, 0x88a8]), tci: 0x1000 | random.pick([5, 6]) };
    case 1:
      return { type: 'pop_vlan' };
    case 2:
      // Lists that recirculate several times over would multiply without end.
      return depth === 3 && random.chance(60)
        ? { type: 'recirc', id: 1 + random.below(2) }
        : { type: 'pop_vlan' };
    case 3:
      return { type: 'clone', actions: nested() };
    case 4:
      return { type: 'sample', probability: random.pick([0, 0xffffffff]), actions: nested() };
    case 5:
      return { type: 'check_pkt_len', length: 64, greater: nested(), lessEqual: nested() };
    case 6:
      return { type: 'trunc', maxLen: 14 + random.below(40) };
    case 7:
      return { type: 'hash', algorithm: random.below(2), basis: 0 };
    case 8:
      return {
        type: 'set',
        group: 'skb_mark',
        words: [{ word: W_PKT_MARK, value: random.below(4), mask: 3 }],
      };
    case 9:
      return { type: 'set', group: 'eth', words: [{ word: W_ETH, value: random.below(4), mask: 0xff }] };
    case 10:
      return { type: 'set', group: 'ipv4', words: [{ word: W_NW_DST, value: 0x0a000102, mask: 0xffffffff }] };
    case 11:
      return {
        type: 'userspace',
        pid: 0,
        cookie: { type: 'slow_path', reason: random.pick(['lacp', 'stp']) },
      };
    case 12:
      return random.chance(20) ? { type: 'drop', reason: 'test' } : { type: 'output', port: 3999 };
    default:
      return { type: 'output', port: random.pick(ports) };
  }
}
