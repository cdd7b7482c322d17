import type { NatOp } from './action.ts';
import { type ConnectionTable, F_SNAT } from './table.ts';
import * as T from './tuple.ts';

/** Ports tried in one go; then half as many from another start, and so on down to FEWEST. */
const ATTEMPTS = 128;
const FEWEST = 16;

/**
 * Chooses what the addresses and ports of new connections become.
 *
 * The address is picked from its range by a hash of the tuple (or of the client alone, `persistent`), so that clients
 * spread over the range. Then a port is sought such that nobody else's answers look the same: from the packet's own on, or
 * within the range that is given. With a million ports taken the search must not take forever: it tries some, from several
 * random starts, and gives up. As Open vSwitch does it, ports below 512 stay there, and ports from 600 to 1023 too, since
 * servers trust them.
 */
export class NatChooser {
  readonly #table: ConnectionTable;
  readonly #seed: number;
  readonly #random: () => number;

  /** @param random number in [0, 1) */
  constructor(table: ConnectionTable, seed: number, random: () => number) {
    this.#table = table;
    this.#seed = seed;
    this.#random = random;
  }

  /**
   * Changes `rev`, the reverse of `key`, to the tuple of the packets that will answer a connection translated as `nat`
   * says. False: no tuple is free.
   */
  choose(nat: NatOp, key: T.Tuple, rev: T.Tuple, now: number): boolean {
    if (nat.flags === 0) return true;
    const source = nat.flags === F_SNAT;
    const hash = T.hashTuple(nat.persistent ? clientOf(key) : key, 0, this.#seed);
    if (nat.addresses !== null) {
      addAddress(rev, source ? T.T_DST : T.T_SRC, nat.addresses.first, hash % nat.addresses.count);
    }
    const protocol = T.protocolOf(key);
    if (protocol !== T.TCP && protocol !== T.UDP) return this.#table.find(rev, now) < 0;
    const start = nat.random ? Math.floor(this.#random() * 65536) : hash;
    if (nat.ports !== null && !source) {
      const { min, max } = nat.ports;
      if (this.#seek(rev, T.T_L4_SRC, min + (start % (max - min + 1)), min, max, now)) return true;
    }
    if (nat.ports !== null && source) {
      const { min, max } = nat.ports;
      return this.#seek(rev, T.T_L4_DST, min + (start % (max - min + 1)), min, max, now);
    }
    const own = key[T.T_L4_SRC];
    const [min, max] = own < 512 ? [1, 511] : own < 1024 ? [600, 1023] : [1024, 65535];
    return this.#seek(rev, T.T_L4_DST, own, min, max, now);
  }

  /** Looks for a free port from `from` on, which may lie outside of the range. */
  #seek(rev: T.Tuple, word: number, from: number, min: number, max: number, now: number): boolean {
    const range = max - min + 1;
    let attempts = Math.min(range, ATTEMPTS);
    let port = from;
    for (;;) {
      for (let i = 0; i < attempts; i++) {
        rev[word] = port;
        if (this.#table.find(rev, now) < 0) return true;
        port = port < min || port >= max ? min : port + 1;
      }
      if (attempts >= range || attempts < FEWEST) break;
      attempts >>= 1;
      port = min + Math.floor(this.#random() * range);
    }
    rev[word] = from;
    return false;
  }
}

/** What of a tuple stays the same for a client: its address. */
function clientOf(key: T.Tuple): T.Tuple {
  const client = T.newTuple();
  for (let i = 0; i < 4; i++) client[T.T_SRC + i] = key[T.T_SRC + i];
  return client;
}

/** Writes an address that lies `offset` behind `first`. */
function addAddress(t: T.Tuple, at: number, first: Uint32Array, offset: number): void {
  const v4 = T.versionOf(t) === 4;
  let carry = offset;
  for (let i = v4 ? 0 : 3; i >= 0; i--) {
    const sum = first[i] + carry;
    t[at + i] = sum;
    carry = sum > 0xffffffff ? 1 : 0;
  }
}
