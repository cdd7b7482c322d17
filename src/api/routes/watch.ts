/** Changes as they happen: server-sent events, which can be taken up again where they broke off. */
import type { ServerResponse } from 'node:http';
import Type from 'typebox';
import { KIND_NAMES, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
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
  /** Bytes that may wait for a slow reader; beyond them the connection ends, and the reader takes up where it was. */
  readonly waiting: number;
}

const DEFAULT_LIMITS: WatchLimits = { watches: 1000, waiting: 4 << 20 };

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

/** The open watches: bounded in number, each in what it may hold back, ended with the token they came by. */
export class Watches {
  readonly #services: Services;
  readonly #log: ChangeLog;
  readonly #limits: WatchLimits;
  readonly #open = new Set<{ readonly check: () => void; readonly end: () => void }>();

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
  reserve(): void {
    const { watches } = this.#limits;
    if (this.#open.size < watches) return;
    throw new WeftError('too-many-watchers', `${watches} watches are open`, {
      remedy: 'end some, then try again',
    });
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
    const watch = { check, end };
    const write = (text: string): void => {
      response.write(text);
      if (response.writableLength > this.#limits.waiting) {
        end();
        response.destroy();
      }
    };
    const send = (event: string, id: number, data: object): void =>
      write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    const tell = (event: ChangeEvent): void => {
      const changes = visible(event, principal, kinds);
      if (changes.length > 0) send('change', event.revision, { revision: event.revision, changes });
    };
    const beat = (): void => {
      if (!this.#open.has(watch)) return;
      write(': still here\n\n');
      const timer = clock.after(HEARTBEAT_MS, beat);
      ends[0] = () => timer.cancel();
    };

    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const { revision } = model;
    const missed = since === undefined ? [] : this.#log.after(since);
    const from = since === undefined || since > revision ? revision : since;
    // What is gone from memory, or comes from another store, cannot be told one by one: read all again.
    if (missed === undefined || (since !== undefined && since > revision))
      send('reset', revision, { revision });
    else send('ready', from, { revision: from });
    ends.push(() => undefined, this.#log.follow(tell));
    this.#open.add(watch);
    response.on('close', end);
    for (const event of missed ?? []) if (!response.destroyed) tell(event);
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
            'A revision: begin with what came after it. What is too long ago gives an event "reset": list again, and go on from there',
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
            'Server-sent events: "ready" or "reset" first, then "change" for each revision with "changes": op (created, updated, deleted), kind, id, object',
          type: 'text/event-stream',
          schema: Type.String(),
        },
      },
      run(call) {
        const since = sinceOf(call);
        const kinds = kindsOf(call.query.kinds);
        watches.reserve();
        return { status: 200, stream: (response) => watches.serve(call, response, since, kinds) };
      },
    },
  ];
}
