/** The requests that a lab makes to the controller's REST API. */
import { KIND_NAMES, KINDS } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { ObjectPlan } from '../file/plan.ts';

/** As `application/problem+json` tells it (RFC 9457). */
interface ProblemDetails {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
}

interface Shown {
  readonly id: string;
  readonly kind: string;
  readonly name?: string;
  readonly reason?: string;
}

/** How far a revision has got. */
export interface RevisionState {
  readonly revision: number;
  readonly realized: boolean;
  readonly hosts?: readonly { node: string; state: string; reason?: string }[];
}

export class ApiClient {
  readonly url: string;
  readonly token: string;

  constructor(url: string, token: string) {
    this.url = url;
    this.token = token;
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new WeftError('api-failed', `${method} ${path}: the controller does not answer at ${this.url}`, {
        cause,
      });
    }
    const text = await response.text();
    if (response.ok) return text === '' ? undefined : JSON.parse(text);
    let problem: ProblemDetails = {};
    try {
      problem = JSON.parse(text) as ProblemDetails;
    } catch {
      // What is no problem document is told as it is.
    }
    const why = problem.detail ?? problem.title ?? text.slice(0, 500);
    throw new WeftError('api-failed', `${method} ${path}: ${response.status} ${why}`);
  }

  /** Makes objects, all or none; the revision in which they are. */
  async create(objects: readonly ObjectPlan[]): Promise<number> {
    const operations = objects.map(({ kind, id, spec }) => ({ op: 'create', kind, id, spec }));
    const { revision } = (await this.#ask('POST', '/v1/transactions', { operations })) as {
      revision: number;
    };
    return revision;
  }

  /** A token by which the agent of a host identifies itself. */
  async nodeToken(node: string): Promise<string> {
    const made = (await this.#ask('POST', '/v1/tokens', { role: 'node', node })) as { token: string };
    return made.token;
  }

  /** Waits until every host has confirmed a revision, for `ms` at most. */
  async revision(revision: number, ms: number): Promise<RevisionState> {
    const timeout = Math.ceil(ms / 1000);
    return (await this.#ask(
      'GET',
      `/v1/revisions/${revision}?wait=applied&timeout=${timeout}`,
    )) as RevisionState;
  }

  /** One object that is not live, of any kind; undefined if all are. */
  async unrealized(): Promise<Shown | undefined> {
    for (const kind of KIND_NAMES) {
      const path = `/v1/${KINDS[kind].path}?realized=false&limit=1`;
      const { items } = (await this.#ask('GET', path)) as { items: Shown[] };
      if (items.length > 0) return items[0];
    }
    return undefined;
  }

  /** All objects there are. */
  async count(): Promise<number> {
    let count = 0;
    for (const kind of KIND_NAMES) {
      let cursor = '';
      do {
        const more = cursor === '' ? '' : `&cursor=${cursor}`;
        const path = `/v1/${KINDS[kind].path}?fields=id&limit=1000${more}`;
        const page = (await this.#ask('GET', path)) as { items: Shown[]; next?: string };
        count += page.items.length;
        cursor = page.next ?? '';
      } while (cursor !== '');
    }
    return count;
  }
}
