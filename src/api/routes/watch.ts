/** Changes as they happen: server-sent events, which can be taken up again where they broke off. */
import type { ServerResponse } from 'node:http';
import Type from 'typebox';
import { KIND_NAMES, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { Principal } from '../../controller/model/principal.ts';
import { isKind } from '../../controller/model/schema-check.ts';
import type { ChangeEvent } from '../../controller/network/change.ts';
import { type ChangeLog, visible } from '../change-log.ts';
import { badRequest } from '../problem-details.ts';
import type { Call, Route } from '../route.ts';
import type { Services } from '../services.ts';

const HEARTBEAT_MS = 15_000;

export interface WatchLimits {
  /** Watches open at once. */
  readonly watches: number;
  /** Of them, by tokens of one tenant: none may take all. */
  readonly ofTenant: number;
  /** Bytes that may wait for a slow reader; beyond them the connection ends, and the reader takes up where it was. */
  readonly waiting: number;
}

const DEFAULT_LIMITS: WatchLimits = { watches: 1000, ofTenant: 100, waiting: 4 << 20 };

/** A revision that was given in the query or by a client that comes back; undefined: from now on. */
function sinceOf({ query, headers }: Call): number | undefined {
  const text = headers['last-event-id'] ?? query.since;
  if (text === undefined) return undefined;
  if (typeof text === 'string' && /^[0-9]{1,15}$/.test(text)) return Number(text);
  throw badRequest(
    `since ${JSON.stringify(text)} is no revision`,
    'give the id of the last event, or "revision" of a list',
  );
}

function kindsOf(text: string | undefined): ReadonlySet<KindName> | undefined {
  if (text === undefined) return undefined;
  const kinds = new Set<KindName>();
  for (const kind of text.split(',')) {
    if (!isKind(kind))
      throw badRequest(
        `there is no kind ${JSON.stringify(kind.slice(0, 80))}`,
        `there are ${KIND_NAMES.join(', ')}`,
      );
    kinds.add(kind);
  }
  return kinds;
}

interface Watch {
  readonly principal: Principal;
  readonly check: () => void;
  readonly end: () => void;
}

function eventText(event: string, id: number, data: object): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The open watches: bounded in number, each in what it may hold back, ended with the token they came by. */
export class Watches {
  readonly #services: Services;
  readonly #log: ChangeLog;
  readonly #limits: WatchLimits;
  readonly #open = new Set<Watch>();

  constructor(services: Services, log: ChangeLog, limits: Partial<WatchLimits> = {}) {
    this.#services = services;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#log = log;
    services.tokens.onRevoked(() => {
      for (const watch of [...this.#open]) watch.check();
    });
  }

  get count(): number {
    return this.#open.size;
  }

  /** Ends all. */
  close(): void {
    for (const watch of [...this.#open]) watch.end();
  }

  /** Throws `too-many-watchers`. */
  reserve(principal: Principal): void {
    const { watches, ofTenant } = this.#limits;
    const full = (most: number, whose: string): never => {
      throw new WeftError('too-many-watchers', `${most} watches ${whose}are open`, {
        remedy: 'end some, then try again',
      });
    };
    if (this.#open.size >= watches) full(watches, '');
    if (principal.role !== 'tenant') return;
    let own = 0;
    for (const { principal: other } of this.#open)
      if (other.role === 'tenant' && other.tenant === principal.tenant) own++;
    if (own >= ofTenant) full(ofTenant, 'of this tenant ');
  }

  /** The texts of events; undefined: they are more than a reader that reads could be handed at once. */
  #texts(
    events: readonly ChangeEvent[],
    principal: Principal,
    kinds: ReadonlySet<KindName> | undefined,
  ): readonly string[] | undefined {
    // The other half is for what waits already: else who is cut off would be cut off by the same events again.
    let room = this.#limits.waiting / 2;
    const texts: string[] = [];
    for (const event of events) {
      const changes = visible(event, principal, kinds);
      if (changes.length === 0) continue;
      const text = eventText('change', event.revision, { revision: event.revision, changes });
      room -= Buffer.byteLength(text);
      if (room < 0) return undefined;
      texts.push(text);
    }
    return texts;
  }

  serve(
    call: Call,
    response: ServerResponse,
    since: number | undefined,
    kinds: ReadonlySet<KindName> | undefined,
  ): void {
    const { principal } = call;
    const { model, tokens, clock } = this.#services;
    const ends: (() => void)[] = [];
    const end = (): void => {
      for (const stop of ends.splice(0)) stop();
      this.#open.delete(watch);
      response.end();
    };
    const check = (): void => {
      if (tokens.verify(call.token) === undefined) end();
    };
    const watch = { principal, check, end };
    const write = (text: string): void => {
      response.write(text);
      if (response.writableLength > this.#limits.waiting) {
        end();
        response.destroy();
      }
    };
    const reset = (revision: number): void => write(eventText('reset', revision, { revision }));
    const tell = (event: ChangeEvent): void => {
      const texts = this.#texts([event], principal, kinds);
      if (texts === undefined) reset(event.revision);
      else for (const text of texts) write(text);
    };
    const beat = (): void => {
      if (!this.#open.has(watch)) return;
      write(': still here\n\n');
      const timer = clock.after(HEARTBEAT_MS, beat);
      ends[0] = () => timer.cancel();
    };

    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const { revision } = model;
    const events = since === undefined ? [] : since > revision ? undefined : this.#log.after(since);
    const missed = events && this.#texts(events, principal, kinds);
    // What is gone from memory, comes from another store or is too much, cannot be told one by one: read all again.
    if (missed === undefined) reset(revision);
    else {
      const from = since ?? revision;
      write(eventText('ready', from, { revision: from }));
    }
    ends.push(() => undefined, this.#log.follow(tell));
    this.#open.add(watch);
    response.on('close', end);
    for (const text of missed ?? []) if (!response.destroyed) write(text);
    beat();
  }
}

export function watchRoutes(watches: Watches): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/watch',
      name: 'watch',
      summary: 'Follow changes as they are made',
      tag: 'watch',
      access: 'any',
      query: [
        {
          name: 'since',
          description:
            'A revision: begin with what came after it. What is too long ago, or too much, gives an event "reset": list again, and go on from there',
          schema: Type.Integer({ minimum: 0 }),
        },
        { name: 'kinds', description: 'Only these, separated by commas', schema: Type.String() },
      ],
      headers: [
        {
          name: 'Last-Event-ID',
          description: 'As since, from a client that comes back',
          schema: Type.String(),
        },
      ],
      answers: {
        200: {
          description:
            'Server-sent events: "ready" or "reset" first, then "change" for each revision with "changes": op (created, updated, deleted), kind, id, object; "reset" instead where these are too many: list again',
          type: 'text/event-stream',
          schema: Type.String(),
        },
      },
      run(call) {
        const since = sinceOf(call);
        const kinds = kindsOf(call.query.kinds);
        watches.reserve(call.principal);
        return { status: 200, stream: (response) => watches.serve(call, response, since, kinds) };
      },
    },
  ];
}
