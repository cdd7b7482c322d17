/** The API, as the commands see it: requests that end, and errors that say what to do. */
import { WeftError } from '../../base/errors.ts';
import type { NetConfig } from './config.ts';

export type Json = Readonly<Record<string, unknown>>;

export interface ClientOptions extends NetConfig {
  /** Milliseconds that a request may take. */
  readonly timeout: number;
  readonly fetch: typeof fetch;
  /** Aborted when the command is to end. */
  readonly ended: AbortSignal;
}

/** What the API has refused: its own code, message and remedy. */
export class ApiError extends WeftError {
  readonly status: number;
  /** The problem details as they came. */
  readonly problem: Json;

  constructor(status: number, problem: Json) {
    const text = (name: string): string =>
      typeof problem[name] === 'string' ? (problem[name] as string) : '';
    super(text('code') || 'api-answer', text('detail') || `the API answered ${status}`, {
      remedy: text('remedy'),
    });
    this.name = 'ApiError';
    this.status = status;
    this.problem = problem;
  }
}

export interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds beyond the usual, for requests that wait on purpose. */
  readonly patience?: number;
}

export interface Answered {
  readonly status: number;
  readonly body: Json;
  readonly headers: Headers;
}

export class ApiClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get api(): string {
    return this.#options.api;
  }

  /** Throws `ApiError`, `api-unreachable`, `api-timeout`, `api-answer`, `no-token`. */
  async ask(path: string, asked: Asked = {}): Promise<Answered> {
    const { timeout } = this.#options;
    const signal = AbortSignal.any([
      AbortSignal.timeout(timeout + (asked.patience ?? 0)),
      this.#options.ended,
    ]);
    const { response, text } = await this.#guard(async () => {
      const reply = await this.#send(path, asked, signal);
      return { response: reply, text: await reply.text() };
    });
    return { status: response.status, headers: response.headers, body: this.#read(response, text) };
  }

  async get(path: string, query: Asked['query'] = {}): Promise<Json> {
    return (await this.ask(path, { query })).body;
  }

  /** All pages of a collection, up to `most` objects. */
  async *list(
    path: string,
    query: Asked['query'] = {},
    most = Number.POSITIVE_INFINITY,
  ): AsyncIterable<Json> {
    let cursor: string | undefined;
    let count = 0;
    do {
      const page = await this.get(path, { limit: '1000', ...query, cursor });
      for (const item of page.items as readonly Json[]) {
        if (count++ === most) return;
        yield item;
      }
      cursor = page.next as string | undefined;
    } while (cursor !== undefined);
  }

  /** The bytes of an answer as they come; it has to begin within the usual time. */
  async stream(path: string, asked: Asked, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const begin = new AbortController();
    const timer = setTimeout(
      () => begin.abort(new DOMException('timeout', 'TimeoutError')),
      this.#options.timeout,
    );
    try {
      const response = await this.#guard(() =>
        this.#send(path, asked, AbortSignal.any([signal, begin.signal])),
      );
      if (!response.ok) this.#read(response, await response.text());
      return response.body!;
    } finally {
      clearTimeout(timer);
    }
  }

  #send(
    path: string,
    { method = 'GET', query = {}, body, headers }: Asked,
    signal: AbortSignal,
  ): Promise<Response> {
    const { api, token } = this.#options;
    if (token === undefined)
      throw new WeftError('no-token', `the API at ${api} wants a token, and there is none`, {
        remedy:
          'set WEFT_TOKEN (to the token, or to @FILE that holds it), or write "token:" into ~/.config/weft/config.yaml',
      });
    const url = new URL(api + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, value);
    return this.#options.fetch(url, {
      method,
      signal,
      redirect: 'error',
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** Has errors of the network say what they mean. */
  async #guard<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (error instanceof WeftError) throw error;
      const { api, timeout } = this.#options;
      const name = error instanceof Error ? error.name : '';
      if (name === 'TimeoutError')
        throw new WeftError('api-timeout', `the API at ${api} did not answer within ${timeout / 1000} s`, {
          remedy: 'see how the controller is, or give it more with --timeout',
          cause: error,
        });
      if (name === 'AbortError') throw error;
      throw new WeftError('api-unreachable', `the API at ${api} cannot be reached: ${reason(error)}`, {
        remedy: 'start "weft controller", or name the right address with --api or WEFT_API',
        cause: error,
      });
    }
  }

  #read(response: Response, text: string): Json {
    let body: unknown;
    try {
      body = text === '' ? {} : JSON.parse(text);
    } catch {
      body = undefined;
    }
    if (typeof body !== 'object' || body === null)
      throw new WeftError(
        'api-answer',
        `${this.#options.api} answered ${response.status} with what is no JSON`,
        {
          remedy: 'is it the address of a Weft controller?',
        },
      );
    if (!response.ok) throw new ApiError(response.status, body as Json);
    return body as Json;
  }
}

/** The innermost reason: fetch says little by itself. */
function reason(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  if (!(at instanceof Error)) return String(at);
  return at.message !== '' ? at.message : at.name;
}
