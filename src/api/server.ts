/**
 * # The API server
 *
 * Takes requests over HTTP or HTTPS, finds out who asks, has the route do it, and tells errors as problem details.
 * Everything that a request can use up is bounded: its size, the time that it takes to come, connections, watches,
 * and failed tokens of one address.
 */
import { type AddressInfo, isIP, type Socket } from 'node:net';
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { KIND_NAMES } from '../api-schema/kinds.ts';
import { WeftError } from '../base/errors.ts';
import type { ModuleLog } from '../base/log.ts';
import { OPERATOR, type Principal } from '../controller/model/principal.ts';
import { Attempts } from './attempts.ts';
import { ChangeLog } from './change-log.ts';
import { type Counter, type Histogram, Metrics } from './metrics.ts';
import { openApi } from './openapi.ts';
import { badRequest, PROBLEM_TYPE, problemReply } from './problem-details.ts';
import type { Reply, Route } from './route.ts';
import { diagnosisRoutes } from './routes/diagnosis.ts';
import { objectRoutes } from './routes/objects.ts';
import { revisionRoutes } from './routes/revisions.ts';
import { systemRoutes } from './routes/system.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { transactionRoutes } from './routes/transactions.ts';
import { Watches, type WatchLimits, watchRoutes } from './routes/watch.ts';
import type { Services } from './services.ts';
import { MAX_WAIT_S } from './waiting.ts';

/** PEM texts. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}

export interface ApiServerOptions extends Services {
  /** Read at the start, and again by `reloadTls`. Without it the API speaks plain HTTP. */
  readonly tls?: () => TlsFiles;
  /** Bytes of a body, where a route has no limit of its own. */
  readonly bodyLimit?: number;
  readonly watchLimits?: Partial<WatchLimits>;
}

export interface ListenOptions {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Listen beyond this machine without TLS, where tokens can be read on their way. */
  readonly insecure?: boolean;
}

export const DEFAULT_API_PORT = 6680;

const BODY_LIMIT = 1 << 20;
const MAX_CONNECTIONS = 2048;
/** A request that has not come whole by then is dropped. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than a request may wait for its revision, during which nothing is sent. */
const IDLE_TIMEOUT_MS = MAX_WAIT_S * 1000 + REQUEST_TIMEOUT_MS;
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

interface Asked {
  principal: Principal;
  token: string;
  started: number;
}

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #app: FastifyInstance;
  readonly #log: ModuleLog;
  readonly #watches: Watches;
  readonly #attempts: Attempts;
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #failures: Counter;
  readonly #sockets = new Set<Socket>();
  readonly #asked = new WeakMap<FastifyRequest, Asked>();
  readonly metrics = new Metrics();
  readonly routes: readonly Route[];

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#log = options.log.module('api');
    this.#attempts = new Attempts(options.clock);
    const changes = new ChangeLog(options.model);
    this.#watches = new Watches(options, changes, options.watchLimits);
    this.#requests = this.metrics.counter('weft_api_requests_total', 'Requests answered');
    this.#seconds = this.metrics.histogram('weft_api_request_seconds', 'Time to answer a request');
    this.#failures = this.metrics.counter('weft_api_refused_tokens_total', 'Requests without a good token');
    this.#gauges();
    const routes: Route[] = [
      ...objectRoutes(options),
      ...transactionRoutes(options),
      ...revisionRoutes(options, changes),
      ...watchRoutes(this.#watches),
      ...diagnosisRoutes(options),
      ...tokenRoutes(options),
    ];
    routes.push(...systemRoutes(options, this.metrics, () => this.openApi()));
    this.routes = routes;
    this.#app = this.#makeApp();
  }

  /** The OpenAPI document. */
  openApi(): object {
    return openApi(this.routes);
  }

  /** For requests without a socket (`inject`), as tests make them. */
  get app(): FastifyInstance {
    return this.#app;
  }

  /**
   * Takes connections. The result is where. Rejects with `api-exposed` for an address beyond this machine without
   * TLS, and with `api-address` where it cannot listen.
   */
  async listen({ host = '127.0.0.1', port, insecure = false }: ListenOptions): Promise<string> {
    const tls = this.#options.tls !== undefined;
    if (!tls && !insecure && !isLoopback(host)) {
      throw new WeftError(
        'api-exposed',
        `the API will not listen on ${host} without TLS: tokens could be read`,
        {
          remedy: 'give a certificate and a key, or say that it may be insecure',
        },
      );
    }
    try {
      await this.#app.listen({ host, port });
    } catch (cause) {
      throw new WeftError(
        'api-address',
        `the API cannot listen on ${host} port ${port}: ${(cause as Error).message}`,
        {
          remedy: 'choose another address or port, or end what has it',
          cause,
        },
      );
    }
    const { address, port: taken, family } = this.#app.server.address() as AddressInfo;
    const name = family === 'IPv6' ? `[${address}]` : address;
    return `${tls ? 'https' : 'http'}://${name}:${taken}`;
  }

  /** Reads certificate and key again; what is open goes on. Throws what reading throws, and keeps the old ones. */
  reloadTls(): void {
    const { tls } = this.#options;
    const { server } = this.#app;
    if (tls !== undefined && 'setSecureContext' in server && typeof server.setSecureContext === 'function')
      server.setSecureContext(tls());
  }

  /** Ends all watches and connections. */
  async close(): Promise<void> {
    this.#watches.close();
    const closed = this.#app.close();
    for (const socket of this.#sockets) socket.destroySoon();
    await closed;
  }

  #gauges(): void {
    const { model, tokens, realization } = this.#options;
    this.metrics.gauge('weft_objects', 'Objects by kind', () =>
      KIND_NAMES.map((kind) => [{ kind }, model.countOf(kind)] as const),
    );
    this.metrics.gauge('weft_revision', 'The last revision', () => [[{}, model.revision]]);
    this.metrics.gauge('weft_tokens', 'Tokens in the store', () => [[{}, tokens.list().length]]);
    this.metrics.gauge('weft_api_watches', 'Watches that are open', () => [[{}, this.#watches.count]]);
    this.metrics.gauge('weft_nodes_connected', 'Transport nodes whose agent is connected', () => {
      let connected = 0;
      for (const id of model.ids('transport-node', OPERATOR)) {
        const { systemId } = model.get('transport-node', id, OPERATOR).spec;
        if (realization.node(systemId)?.connected === true) connected++;
      }
      return [[{}, connected]];
    });
  }

  #makeApp(): FastifyInstance {
    const { tls, bodyLimit = BODY_LIMIT } = this.#options;
    const common = {
      bodyLimit,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionTimeout: IDLE_TIMEOUT_MS,
      keepAliveTimeout: REQUEST_TIMEOUT_MS,
      forceCloseConnections: true,
      routerOptions: { maxParamLength: 200 },
      frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
        this.#refuse(request, reply, plain(error)),
    } as const;
    const app = (
      tls === undefined ? fastify(common) : fastify({ ...common, https: { ...tls(), minVersion: 'TLSv1.2' } })
    ) as FastifyInstance;
    app.server.maxConnections = MAX_CONNECTIONS;
    app.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser(
      ['application/json', 'application/merge-patch+json'],
      { parseAs: 'string' },
      (_, text, done) => {
        try {
          done(null, parseBody(String(text)));
        } catch (error) {
          done(error as Error);
        }
      },
    );
    app.setErrorHandler((error, request, reply) =>
      this.#refuse(request, reply, plain(error as FastifyError)),
    );
    app.setNotFoundHandler((request, reply) =>
      this.#refuse(
        request,
        reply,
        new WeftError('no-route', `there is nothing at ${request.url.split('?')[0].slice(0, 200)}`, {
          remedy: '/openapi.json lists what there is',
        }),
      ),
    );
    app.addHook('onResponse', async (request, reply) => this.#count(request, reply.statusCode));
    for (const route of this.routes) this.#register(app, route);
    this.#registerOtherMethods(app);
    return app;
  }

  #register(app: FastifyInstance, route: Route): void {
    app.route({
      method: route.method,
      url: urlOf(route.path),
      ...(route.body?.limit === undefined ? {} : { bodyLimit: route.body.limit }),
      // Before the body is read: strangers' bodies are not.
      onRequest: async (request, reply) => {
        this.#asked.set(request, this.#authorize(request, reply, route));
      },
      handler: async (request, reply) => {
        const { principal, token } = this.#asked.get(request)!;
        const answer = await route.run({
          principal,
          token,
          params: request.params as Record<string, string>,
          query: readQuery(request.query as Record<string, unknown>, route),
          headers: request.headers,
          body: request.body,
        });
        return this.#answer(reply, answer);
      },
    });
  }

  #registerOtherMethods(app: FastifyInstance): void {
    for (const path of new Set(this.routes.map((route) => route.path))) {
      const there = this.routes.filter((route) => route.path === path).map((route) => route.method);
      const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
        void reply.header('allow', there.join(', '));
        return this.#refuse(
          request,
          reply,
          new WeftError('method-not-allowed', `${request.method} is not taken here`, {
            remedy: `use ${there.join(', ')}`,
          }),
        );
      };
      for (const method of METHODS)
        if (!there.includes(method))
          app.route({ method, url: urlOf(path), onRequest: refuse, handler: refuse });
    }
  }

  #authorize(request: FastifyRequest, reply: FastifyReply, route: Route): Asked {
    const started = this.#options.clock.now();
    if (route.access === 'public') return { principal: OPERATOR, token: '', started };
    const [, token = ''] = /^Bearer +([\x21-\x7e]{1,4096})$/i.exec(request.headers.authorization ?? '') ?? [];
    const principal = this.#options.tokens.verify(token);
    if (principal === undefined) {
      this.#failures.add({});
      const wait = this.#attempts.failed(request.ip);
      if (wait > 0) {
        void reply.header('retry-after', String(wait));
        throw new WeftError('too-many-attempts', 'too many requests from this address had no good token', {
          remedy: `wait ${wait} s, and give a good one`,
        });
      }
      void reply.header('www-authenticate', 'Bearer');
      throw new WeftError(
        'unauthenticated',
        token === '' ? 'the request has no token' : 'the token is not known',
        {
          remedy: 'send "Authorization: Bearer TOKEN"; the operator makes tokens',
        },
      );
    }
    if (principal.role === 'operator' || (principal.role === 'tenant' && route.access === 'any'))
      return { principal, token, started };
    throw new WeftError('not-allowed', `a ${principal.role} token may not do this`, {
      remedy: 'ask the operator',
    });
  }

  #answer(reply: FastifyReply, { status, body, type, headers, stream }: Reply): FastifyReply {
    if (stream !== undefined) {
      void reply.hijack();
      stream(reply.raw);
      return reply;
    }
    void reply.code(status).headers({ 'cache-control': 'no-store', ...headers });
    if (type !== undefined) void reply.type(type);
    return reply.send(body);
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
    const { status, body, bug } = problemReply(error);
    if (bug) {
      this.#log.err(
        `${request.method} ${request.url.split('?')[0]}: ${error instanceof Error ? error.stack : String(error)}`,
      );
    }
    return reply
      .code(status)
      .type(PROBLEM_TYPE)
      .headers({ 'cache-control': 'no-store' })
      .send(JSON.stringify(body));
  }

  #count(request: FastifyRequest, status: number): void {
    // By route and never by URL: strangers choose those.
    const labels = {
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: String(status),
    };
    this.#requests.add(labels);
    const started = this.#asked.get(request)?.started;
    if (started !== undefined)
      this.#seconds.observe({ route: labels.route }, (this.#options.clock.now() - started) / 1000);
  }
}

/** `/v1/acls/{id}` as the router writes it. */
function urlOf(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1');
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

function parseBody(text: string): unknown {
  if (text === '') throw badRequest('the body is empty', 'send JSON');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(
      `the body is no JSON: ${(error as Error).message.slice(0, 200)}`,
      'send JSON (RFC 8259)',
    );
  }
}

function readQuery(query: Record<string, unknown>, route: Route): Record<string, string> {
  const known = (route.query ?? []).map((parameter) => parameter.name);
  for (const [name, value] of Object.entries(query)) {
    const shown = JSON.stringify(name.slice(0, 80));
    if (typeof value !== 'string') throw badRequest(`the parameter ${shown} is given twice`, 'give it once');
    if (route.filters === true || known.includes(name)) continue;
    throw badRequest(
      `there is no parameter ${shown} here`,
      known.length === 0 ? 'leave it out' : `there are ${known.join(', ')}`,
    );
  }
  return query as Record<string, string>;
}

/** What fastify refuses by itself, in our words. */
function plain(error: FastifyError): unknown {
  if (error instanceof WeftError) return error;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new WeftError('body-too-large', error.message, { remedy: 'send less at once' });
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new WeftError('unsupported-media-type', error.message.slice(0, 300), {
      remedy: 'send application/json',
    });
  const status = error.statusCode ?? 500;
  if (status < 400 || status > 499) return error;
  return new WeftError('bad-request', error.message.slice(0, 300), { remedy: 'correct the request' });
}
