import {
  FLOW_WORDS,
  W_ETH,
  W_ETH_TYPE,
  W_IN_PORT,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { D_IPV4, D_IPV6, D_TCP, D_TP, D_VLAN } from '../packet/extract.ts';
import { MicroflowCache } from './microflow-cache.ts';

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

const LINK = [
  W_IN_PORT,
  W_ETH,
  W_ETH + 1,
  W_ETH + 2,
  W_ETH_TYPE,
  W_VLAN,
  W_VLAN + 1,
  W_NW,
  W_TCP_FLAGS,
  W_TP,
];
/** Words of a packet straight from a port that has at most VLAN, IPv4, TCP and ports. */
export const IPV4_SHAPE: readonly number[] = [...LINK, W_NW_SRC, W_NW_DST];
/** The same with IPv6. */
export const IPV6_SHAPE: readonly number[] = [
  ...LINK,
  ...range(W_IPV6_SRC, 4),
  ...range(W_IPV6_DST, 4),
  W_IPV6_LABEL,
];
/** Everything else: with metadata, after recirculation, ARP, MPLS, neighbor discovery. */
export const FULL_SHAPE: readonly number[] = range(0, FLOW_WORDS);

const NOT_IPV4 = ~(D_VLAN | D_IPV4 | D_TCP | D_TP);
const NOT_IPV6 = ~(D_VLAN | D_IPV6 | D_TCP | D_TP);

/** The shape of a key of which `extractReused` returned `filled`: every word that it may have set. */
export function shapeOf(filled: number): readonly number[] {
  if ((filled & NOT_IPV4) === 0) return IPV4_SHAPE;
  return (filled & NOT_IPV6) === 0 ? IPV6_SHAPE : FULL_SHAPE;
}

/** The microflow caches of a datapath, one a shape; 8,192 entries for the common shapes as in stock. */
export class MicroflowCaches {
  readonly #ipv4: MicroflowCache;
  readonly #ipv6: MicroflowCache;
  readonly #full: MicroflowCache;

  constructor(generations: Int32Array, seed: number) {
    this.#ipv4 = new MicroflowCache(IPV4_SHAPE, 8192, generations, seed);
    this.#ipv6 = new MicroflowCache(IPV6_SHAPE, 4096, generations, seed);
    this.#full = new MicroflowCache(FULL_SHAPE, 1024, generations, seed);
  }

  /** The cache for keys of that shape (see `shapeOf`). */
  for(filled: number): MicroflowCache {
    if ((filled & NOT_IPV4) === 0) return this.#ipv4;
    return (filled & NOT_IPV6) === 0 ? this.#ipv6 : this.#full;
  }
}
