/**
 * Bearer tokens: who somebody is, and what they may. A token is `weft_ID_SECRET`; the secret is 32 random bytes, told
 * once. Kept is its SHA-256, which suffices because there is nothing to guess in 256 bits, as `token/ID` in
 * the store.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { WeftError } from '../base/errors.ts';
import type { ModuleLog } from '../base/log.ts';
import type { Model } from '../controller/model/model.ts';
import { OPERATOR, type Principal } from '../controller/model/principal.ts';
import type { ChangeEvent } from '../controller/network/change.ts';
import { commitLatest } from '../controller/store/latest.ts';
import type { ConfigStore } from '../controller/store/store.ts';

/** A token without its secret. */
export interface TokenInfo {
  readonly id: string;
  readonly role: Principal['role'];
  /** The tenant's UUID, of a tenant's token. */
  readonly tenant?: string;
  /** The systemId, of an agent's token. */
  readonly node?: string;
  readonly description?: string;
  /** Milliseconds since the Unix epoch. */
  readonly made: number;
}

interface Kept {
  readonly info: TokenInfo;
  readonly hash: Buffer;
}

export interface TokensOptions {
  readonly store: ConfigStore;
  readonly model: Model;
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly newId: () => string;
  readonly random: (bytes: number) => Uint8Array;
  /** Tokens of the operator that are not in the store: the first one, from a file. 16 visible ASCII characters or more. */
  readonly operatorTokens?: readonly string[];
}

const PREFIX = 'token/';
const MAX_TOKENS = 100_000;
/** What fits into an Authorization header, and is not guessed. */
const OPERATOR_SECRET = /^[\x21-\x7e]{16,4096}$/;
const TOKEN = /^weft_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})$/;

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret, 'utf8').digest();
/** Of nothing anybody could know: for the same work where there is no token. */
const NO_HASH = Buffer.alloc(32);

export class Tokens {
  readonly #options: TokensOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #operator: readonly Buffer[];
  readonly #listeners = new Set<() => void>();

  private constructor(options: TokensOptions) {
    this.#options = options;
    this.#operator = (options.operatorTokens ?? []).map((secret) => {
      if (!OPERATOR_SECRET.test(secret))
        throw new WeftError(
          'weak-token',
          `the operator's token, of ${secret.length} characters, will not do`,
          {
            remedy: 'use 16 to 4096 visible ASCII characters, such as those of "openssl rand -hex 32"',
          },
        );
      return hashOf(secret);
    });
    options.model.subscribe((event) => void this.#onChange(event));
  }

  static async load(options: TokensOptions): Promise<Tokens> {
    const tokens = new Tokens(options);
    for (const { key, value } of await options.store.load()) {
      if (!key.startsWith(PREFIX)) continue;
      const kept = readKept(key.slice(PREFIX.length), value);
      if (kept === undefined) options.log.err(`the store's record ${key} is no token, and is left out`);
      else tokens.#kept.set(kept.info.id, kept);
    }
    return tokens;
  }

  /** Who the token is; undefined for one that is nobody's. Takes as long for the one as for the other. */
  verify(token: string): Principal | undefined {
    const given = hashOf(token);
    let operator = false;
    for (const hash of this.#operator) operator = timingSafeEqual(given, hash) || operator;
    const [, id = '', secret = ''] = TOKEN.exec(token) ?? [];
    const kept = this.#kept.get(id);
    const right = timingSafeEqual(hashOf(secret), kept?.hash ?? NO_HASH);
    if (operator) return OPERATOR;
    return right && kept !== undefined ? this.#principal(kept.info) : undefined;
  }

  /** Whether the token is that of the agent of a node: what agents' sessions ask. */
  verifyNode(systemId: string, token: string): boolean {
    const principal = this.verify(token);
    return principal?.role === 'node' && principal.node === systemId;
  }

  #principal({ role, tenant, node }: TokenInfo): Principal | undefined {
    if (role === 'operator') return OPERATOR;
    if (role === 'node') return { role, node: node! };
    // A tenant that is gone, and whose tokens are on their way out.
    return this.#options.model.find(tenant!, OPERATOR) === undefined ? undefined : { role, tenant: tenant! };
  }

  list(): readonly TokenInfo[] {
    return [...this.#kept.values()].map(({ info }) => info).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  get(id: string): TokenInfo | undefined {
    return this.#kept.get(id)?.info;
  }

  /** Makes a token; its text is told here and never again. */
  async make(
    wish: Omit<TokenInfo, 'id' | 'made'>,
  ): Promise<{ readonly info: TokenInfo; readonly token: string }> {
    if (this.#kept.size >= MAX_TOKENS)
      throw new WeftError('too-many-tokens', `there are ${MAX_TOKENS} tokens`, { remedy: 'revoke some' });
    const { newId, random, clock } = this.#options;
    const info: TokenInfo = { ...wish, id: newId(), made: Math.round(clock.wall()) };
    const secret = Buffer.from(random(32)).toString('base64url');
    const hash = hashOf(secret);
    const value = JSON.stringify({ ...info, hash: hash.toString('hex') });
    await commitLatest(this.#options.store, () => [{ op: 'put', key: PREFIX + info.id, value }]);
    this.#kept.set(info.id, { info, hash });
    return { info, token: `weft_${info.id}_${secret}` };
  }

  /** False if there is none. It is good for nothing from the moment that this resolves. */
  async revoke(id: string): Promise<boolean> {
    if (!this.#kept.has(id)) return false;
    await this.#forget([id]);
    return true;
  }

  /** Calls `listener` whenever a token has become worthless. */
  onRevoked(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #forget(ids: readonly string[]): Promise<void> {
    await commitLatest(this.#options.store, () => ids.map((id) => ({ op: 'delete', key: PREFIX + id })));
    this.#drop(ids);
  }

  #drop(ids: readonly string[]): void {
    for (const id of ids) this.#kept.delete(id);
    for (const listener of this.#listeners) listener();
  }

  /** Tokens go with their tenant. */
  async #onChange({ changes }: ChangeEvent): Promise<void> {
    const gone = new Set<string>();
    for (const { before, after } of changes)
      if (after === undefined && before?.kind === 'tenant') gone.add(before.id);
    if (gone.size === 0) return;
    const ids = [...this.#kept.values()]
      .filter(({ info }) => gone.has(info.tenant ?? ''))
      .map(({ info }) => info.id);
    if (ids.length === 0) return;
    // At once: the tenant may be made again with the same id, and is not theirs then.
    this.#drop(ids);
    try {
      await this.#forget(ids);
    } catch (error) {
      this.#options.log.warn(`tokens of deleted tenants are still in the store: ${(error as Error).message}`);
    }
  }
}

function readKept(id: string, text: string): Kept | undefined {
  try {
    const { hash, ...info } = JSON.parse(text) as TokenInfo & { hash: string };
    const bytes = Buffer.from(hash, 'hex');
    return bytes.length === 32 && info.id === id ? { info, hash: bytes } : undefined;
  } catch {
    return undefined;
  }
}
