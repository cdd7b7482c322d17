/** What every `weft net` command works with. */
import type { KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { CommandIo } from '../command.ts';
import { type Parsed, single } from './arguments.ts';
import { ApiClient, type Json } from './client.ts';
import { configOf } from './config.ts';
import { Directory } from './directory.ts';
import { plain } from './table.ts';

/** The world around a command, so that tests can make another. */
export interface NetWorld {
  readonly io: CommandIo;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** "-" is the standard input. Throws where the file cannot be read. */
  readonly readFile: (path: string) => string;
  readonly fetch: typeof fetch;
  /** Has connections trust one more authority. */
  readonly trust: (ca: string) => void;
  readonly newId: () => string;
  /** Asks a person; undefined where there is none to ask. */
  readonly confirm: (question: string) => Promise<boolean | undefined>;
  /** Aborted when the command is to end (Ctrl-C). */
  readonly ended: AbortSignal;
}

const DEFAULT_TIMEOUT_S = 30;
const MAX_TIMEOUT_S = 300;

export class NetContext {
  readonly world: NetWorld;
  readonly parsed: Parsed;
  readonly client: ApiClient;
  readonly directory: Directory;
  readonly json: boolean;
  /** What `--timeout` says, in milliseconds. */
  readonly timeout: number;
  #scope: Promise<string | undefined> | undefined;

  constructor(world: NetWorld, parsed: Parsed) {
    this.world = world;
    this.parsed = parsed;
    this.json = parsed.flags.has('json');
    this.timeout = timeoutOf(single(parsed, 'timeout'));
    const pick = (name: 'api' | 'token' | 'ca') => {
      const value = single(parsed, name);
      return value === undefined ? {} : { [name]: value };
    };
    const config = configOf({
      options: { ...pick('api'), ...pick('token'), ...pick('ca') },
      env: world.env,
      readFile: world.readFile,
    });
    if (config.ca !== undefined) world.trust(config.ca);
    this.client = new ApiClient({ ...config, timeout: this.timeout, fetch: world.fetch, ended: world.ended });
    this.directory = new Directory(this.client);
  }

  /** The tenant of `--tenant`, by its id; undefined if none is named. */
  scope(): Promise<string | undefined> {
    const name = single(this.parsed, 'tenant');
    this.#scope ??= name === undefined ? Promise.resolve(undefined) : this.directory.find('tenant', name);
    return this.#scope;
  }

  /** The id of what a word names, within the tenant of `--tenant`. */
  async find(kind: KindName, text: string): Promise<string> {
    return this.directory.find(kind, text, await this.scope());
  }

  /** The members that were given, names of other objects replaced by their ids. */
  async members(): Promise<Record<string, unknown>> {
    const members: Record<string, unknown> = { ...this.parsed.members };
    for (const { member, reference } of this.parsed.references)
      members[member] = await this.find(reference!, String(members[member]));
    return members;
  }

  /** The words behind the command and its kind; throws unless there are as many. */
  words(least: number, most: number, what: string): readonly string[] {
    const { words } = this.parsed;
    if (words.length >= least && words.length <= most) return words;
    const excess = words.length > most;
    throw new WeftError(
      'bad-option',
      excess ? `"${words[most]}" is one word too many` : `${what} is missing`,
      {
        remedy: 'see --help',
      },
    );
  }

  /** Query parameters and patience of a write that is to wait. */
  waiting(): { readonly query: Readonly<Record<string, string>>; readonly patience: number } {
    if (!this.parsed.flags.has('wait')) return { query: {}, patience: 0 };
    return { query: { wait: 'applied', timeout: String(this.timeout / 1000) }, patience: this.timeout };
  }

  /** One line for people; nothing with `--json`. */
  say(text: string): void {
    if (!this.json) this.world.io.out(`${text}\n`);
  }

  printJson(value: unknown): void {
    this.world.io.out(`${JSON.stringify(value, null, 2)}\n`);
  }
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_TIMEOUT_S * 1000;
  const seconds = Number(text);
  if (text !== '' && seconds > 0 && seconds <= MAX_TIMEOUT_S) return seconds * 1000;
  throw new WeftError('bad-option', `--timeout "${text}" is not from 0 to ${MAX_TIMEOUT_S} seconds`, {
    remedy: 'give seconds, such as 10 or 0.5',
  });
}

/** "logical port "web1" is applied", or throws `not-applied` with what is missing. */
export function checkApplied(object: Json, what: string): void {
  if (object.realized === true) return;
  const hosts = (object.hosts ?? []) as readonly { node: string; state: string; reason?: string }[];
  const missing = hosts
    .filter(({ state }) => state !== 'applied')
    .map(({ node, state, reason }) => `${node}: ${state}${reason === undefined ? '' : ` (${reason})`}`);
  const why =
    missing.length > 0 ? missing.join(', ') : String(object.reason ?? 'hosts have not confirmed it');
  throw new WeftError('not-applied', `${what} is stored, but not live everywhere yet: ${plain(why)}`, {
    remedy: 'wait longer with --timeout, or see "weft net status"',
  });
}
