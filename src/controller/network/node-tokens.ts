/**
 * Tokens that agents identify their hosts with. A token is 32 random bytes; kept is only its SHA-256, which suffices because
 * there is nothing to guess in 256 bits.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** What agent sessions ask. */
export interface NodeAuthority {
  /** Whether `token` is the node's. Takes the same time for every wrong answer. */
  verify(systemId: string, token: string): boolean;
}

/** Where the hashes are kept over restarts. */
export interface TokenRecords {
  /** Resolves when durable; no hash: the record goes. */
  put(systemId: string, hash: string | undefined): Promise<void>;
}

const hashOf = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

export class NodeTokens implements NodeAuthority {
  readonly #hashes = new Map<string, Buffer>();
  readonly #records: TokenRecords;
  readonly #random: (bytes: number) => Uint8Array;

  /** @param hashes what was kept before, in hex, by systemId */
  constructor(
    records: TokenRecords,
    random: (bytes: number) => Uint8Array,
    hashes: Iterable<readonly [string, string]> = [],
  ) {
    this.#records = records;
    this.#random = random;
    for (const [node, hash] of hashes) this.#hashes.set(node, Buffer.from(hash, 'hex'));
  }

  verify(systemId: string, token: string): boolean {
    const given = hashOf(token);
    const kept = this.#hashes.get(systemId);
    // Without a record the same work is done, against what cannot be equal.
    return timingSafeEqual(given, kept ?? hashOf('')) && kept !== undefined;
  }

  has(systemId: string): boolean {
    return this.#hashes.has(systemId);
  }

  /** Makes a new token for the node in place of the old one, and gives it once: it cannot be read again. */
  async issue(systemId: string): Promise<string> {
    const token = `weft-node-${Buffer.from(this.#random(32)).toString('base64url')}`;
    const hash = hashOf(token);
    await this.#records.put(systemId, hash.toString('hex'));
    this.#hashes.set(systemId, hash);
    return token;
  }

  async revoke(systemId: string): Promise<void> {
    await this.#records.put(systemId, undefined);
    this.#hashes.delete(systemId);
  }
}
