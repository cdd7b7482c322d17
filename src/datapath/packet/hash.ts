import {
  type Flow,
  FRAG_ANY,
  FRAG_LATER,
  N_VLANS,
  PT_ETH,
  W_ETH,
  W_ETH_TYPE,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';

/**
 * Hashes of flow keys: for `dp_hash`, select groups, `multipath`, `bundle` and bonds.
 *
 * The values are those of Open vSwitch on little-endian machines without CRC instructions, so that a
 * select group or a multipath spreads the same flows over the same links as there. Two mixers are in
 * use: MurmurHash3 (x86, 32 bits) over words, and Jenkins' lookup3 over bytes; both take the bytes of
 * the packet as little-endian words.
 *
 * "Symmetric": both directions of a connection give the same value.
 */

export type HashFields =
  | 'eth_src'
  | 'symmetric_l4'
  | 'symmetric_l3l4'
  | 'symmetric_l3l4+udp'
  | 'nw_src'
  | 'nw_dst'
  | 'symmetric_l3';

/** One round of MurmurHash3 (public domain, Austin Appleby). */
export function hashAdd(hash: number, data: number): number {
  let d = Math.imul(data, 0xcc9e2d51);
  d = Math.imul((d << 15) | (d >>> 17), 0x1b873593);
  const h = hash ^ d;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

/** Final avalanche; `final` sets apart hashes over different things. Unsigned. */
export function hashFinish(hash: number, final: number): number {
  let h = hash ^ final;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The word as a little-endian machine reads the packet's bytes. */
function swap32(w: number): number {
  return (w << 24) | ((w & 0xff00) << 8) | ((w >>> 8) & 0xff00) | (w >>> 24);
}

function swap16(w: number): number {
  return ((w & 0xff) << 8) | ((w >>> 8) & 0xff);
}

const rotate = (w: number, by: number): number => (w << by) | (w >>> (32 - by));

/** Jenkins' lookup3 (public domain) over big-endian words, of whose bytes the first `length` count. Unsigned. */
export function jenkinsHash(words: readonly number[], length: number, basis: number): number {
  let a = (0xdeadbeef + length + basis) | 0;
  let b = a;
  let c = a;
  let i = 0;
  let rest = length;
  const word = (at: number): number => {
    const missing = 4 - Math.min(4, Math.max(0, length - 4 * at));
    return missing === 4 ? 0 : swap32(((words[at] ?? 0) >>> (8 * missing)) << (8 * missing));
  };
  for (; rest >= 12; rest -= 12, i += 3) {
    a = (a + word(i)) | 0;
    b = (b + word(i + 1)) | 0;
    c = (c + word(i + 2)) | 0;
    a = ((a - c) ^ rotate(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotate(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 4)) | 0;
    b = (b + a) | 0;
  }
  if (rest > 0) {
    a = (a + word(i)) | 0;
    b = (b + word(i + 1)) | 0;
    c = (c + word(i + 2)) | 0;
    c = ((c ^ b) - rotate(b, 14)) | 0;
    a = ((a ^ c) - rotate(c, 11)) | 0;
    b = ((b ^ a) - rotate(a, 25)) | 0;
    c = ((c ^ b) - rotate(b, 16)) | 0;
    a = ((a ^ c) - rotate(c, 4)) | 0;
    b = ((b ^ a) - rotate(a, 14)) | 0;
    c = ((c ^ b) - rotate(b, 24)) | 0;
  }
  return c >>> 0;
}

const etherType = (flow: Flow): number => flow[W_ETH_TYPE] >>> 16;
const isFragment = (flow: Flow): boolean => ((flow[W_NW] >>> 24) & (FRAG_ANY | FRAG_LATER)) !== 0;

/**
 * Addresses, protocol, ports; not symmetric. IPv4, IPv6 and ARP; others hash to a function of `basis`.
 * Unsigned 32 bits.
 */
export function hash5Tuple(flow: Flow, basis: number): number {
  let hash = basis | 0;
  const type = flow[W_ETH_TYPE] >>> 16;
  if (type === 0x86dd) {
    for (let i = W_IPV6_SRC; i < W_IPV6_DST + 4; i++) hash = hashAdd(hash, swap32(flow[i]));
  } else if (type === 0x0800 || type === 0x0806) {
    hash = hashAdd(hash, swap32(flow[W_NW_SRC]));
    hash = hashAdd(hash, swap32(flow[W_NW_DST]));
  } else {
    return hashFinish(hash, 42);
  }
  const protocol = flow[W_NW] & 0xff;
  hash = hashAdd(hash, protocol);
  if (protocol === 6 || protocol === 17 || protocol === 132 || protocol === 1 || protocol === 58) {
    hash = hashAdd(hash, swap32(flow[W_TP]));
  }
  return hashFinish(hash, 42);
}

/** XOR of both MAC addresses: the first four bytes, then the last two. */
function macsXor(flow: Flow): [number, number] {
  const dstHigh = flow[W_ETH];
  const dstLow = flow[W_ETH + 1] >>> 16;
  const srcHigh = (flow[W_ETH + 1] << 16) | (flow[W_ETH + 2] >>> 16);
  const srcLow = flow[W_ETH + 2] & 0xffff;
  return [dstHigh ^ srcHigh, dstLow ^ srcLow];
}

function vlanIdsXor(flow: Flow): number {
  let vid = 0;
  for (let i = 0; i < N_VLANS; i++) vid ^= flow[W_VLAN + i] & 0xfff;
  return vid;
}

/** XOR of both IP addresses, as four words (IPv4: one and zeros); null where there is no IP. */
function addressesXor(flow: Flow): number[] | null {
  const type = etherType(flow);
  if (type === 0x0800) return [flow[W_NW_SRC] ^ flow[W_NW_DST], 0, 0, 0];
  if (type === 0x86dd) return [0, 1, 2, 3].map((i) => flow[W_IPV6_SRC + i] ^ flow[W_IPV6_DST + i]);
  return null;
}

const portsXor = (flow: Flow): number => (flow[W_TP] >>> 16) ^ (flow[W_TP] & 0xffff);

/** Ethernet addresses, VLANs, EtherType, IP addresses, protocol, and ports of TCP and SCTP (not UDP). */
export function hashSymmetricL4(flow: Flow, basis: number): number {
  const addresses = addressesXor(flow);
  const [macHigh, macLow] = macsXor(flow);
  const protocol = addresses === null ? 0 : flow[W_NW] & 0xff;
  const ports = protocol === 6 || protocol === 132 ? portsXor(flow) : 0;
  return jenkinsHash(
    [
      ...(addresses ?? [0, 0, 0, 0]),
      (etherType(flow) << 16) | vlanIdsXor(flow),
      (ports << 16) | (macHigh >>> 16),
      (macHigh << 16) | macLow,
      protocol << 24,
    ],
    32,
    basis,
  );
}

/** Ethernet addresses, VLANs and EtherType. 0 for packets without an Ethernet header. */
export function hashSymmetricL2(flow: Flow, basis: number): number {
  if (flow[W_PACKET_TYPE] !== PT_ETH) return 0;
  const [macHigh, macLow] = macsXor(flow);
  let hash = hashAdd(basis | 0, swap32((etherType(flow) << 16) | vlanIdsXor(flow)));
  hash = hashAdd(hash, swap32(macHigh));
  hash = hashAdd(hash, swap32(macLow << 16));
  return hashFinish(hash, basis);
}

/**
 * IP addresses, protocol, and (not in fragments) ports of TCP and SCTP, and of UDP if `udpPorts`.
 * Packets without IP: `hashSymmetricL2`. Algorithm 1 of the `hash` action, without UDP's ports.
 */
export function hashSymmetricL3L4(flow: Flow, basis: number, udpPorts: boolean): number {
  const addresses = addressesXor(flow);
  if (addresses === null) return hashSymmetricL2(flow, basis);
  let hash = basis | 0;
  const words = etherType(flow) === 0x0800 ? 1 : 4;
  for (let i = 0; i < words; i++) hash = hashAdd(hash, swap32(addresses[i]));
  const protocol = flow[W_NW] & 0xff;
  hash = hashAdd(hash, protocol);
  if (!isFragment(flow) && (protocol === 6 || protocol === 132 || (udpPorts && protocol === 17))) {
    hash = hashAdd(hash, swap16(portsXor(flow)));
  }
  return hashFinish(hash, basis);
}

/** IP addresses and EtherType. */
export function hashSymmetricL3(flow: Flow, basis: number): number {
  return jenkinsHash([...(addressesXor(flow) ?? [0, 0, 0, 0]), etherType(flow) << 16], 20, basis);
}

/** The hash that `multipath` and `bundle` name by `fields`. Unsigned 32 bits. */
export function hashFields(flow: Flow, fields: HashFields, basis: number): number {
  const type = etherType(flow);
  switch (fields) {
    case 'eth_src':
      return jenkinsHash(
        [(flow[W_ETH + 1] << 16) | (flow[W_ETH + 2] >>> 16), flow[W_ETH + 2] << 16],
        6,
        basis,
      );
    case 'symmetric_l4':
      return hashSymmetricL4(flow, basis);
    case 'symmetric_l3l4':
      return hashSymmetricL3L4(flow, basis, false);
    case 'symmetric_l3l4+udp':
      return hashSymmetricL3L4(flow, basis, true);
    case 'nw_src':
    case 'nw_dst': {
      const src = fields === 'nw_src';
      if (type === 0x0800) return jenkinsHash([flow[src ? W_NW_SRC : W_NW_DST]], 4, basis);
      if (type !== 0x86dd) return basis >>> 0;
      const first = src ? W_IPV6_SRC : W_IPV6_DST;
      return jenkinsHash([...flow.subarray(first, first + 4)], 16, basis);
    }
    case 'symmetric_l3':
      return hashSymmetricL3(flow, basis);
  }
}

/**
 * What the `hash` action leaves in dp_hash. Algorithm 1 is `hashSymmetricL3L4`; 0 is `hash5Tuple`, with
 * the basis mixed in afterwards (a datapath may have the 5-tuple's hash at hand since reception). Never
 * 0, which stands for "not computed".
 */
export function datapathHash(flow: Flow, algorithm: number, basis: number): number {
  if (algorithm === 1) return hashSymmetricL3L4(flow, basis, false) || 1;
  return hashFinish(hashAdd(hashAdd(hash5Tuple(flow, 0), 0), basis), 8) || 1;
}
