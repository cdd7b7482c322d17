import type { KindName, Stored } from '../../api-schema/kinds.ts';
import { nullLogger } from '../../base/log.ts';
import type { Diagnosis } from '../../controller/diagnosis.ts';
import { countingIds, makeModel } from '../../controller/model/testing/fixture.ts';
import type { Realization, RealizationSource } from '../../controller/realization.ts';
import { StillClock } from '../../controller/store/testing/clock.ts';
import { MemoryFile } from '../../controller/store/testing/memory-file.ts';
import type { Method } from '../route.ts';
import { ApiServer, type ApiServerOptions } from '../server.ts';
import { Tokens } from '../tokens.ts';

export const OPERATOR_TOKEN = 'the-operator-of-the-tests';

/** A network that has applied everything, unless told otherwise. */
export class FakeNetwork implements RealizationSource {
  realized = true;
  readonly waits: [revision: number, timeout: number][] = [];

  of(_object: Stored): Realization {
    return this.realized
      ? { realized: true, hosts: [{ node: 'h1', state: 'applied' }] }
      : { realized: false, reason: 'h1 is away', hosts: [{ node: 'h1', state: 'disconnected' }] };
  }
  revision(revision: number) {
    return { revision, realized: this.realized, hosts: this.of({} as Stored).hosts };
  }
  settled(revision: number, timeout: number) {
    this.waits.push([revision, timeout]);
    return Promise.resolve(this.revision(revision));
  }
  node(systemId: string) {
    return systemId === 'h1' ? { node: 'h1', connected: true, applied: 1, vifs: [], flows: 3 } : undefined;
  }
  port() {
    return { node: 'h1', rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4 };
  }
}

/** Answers with what it was asked. */
const fakeDiagnosis: Diagnosis = {
  trace: (request) =>
    Promise.resolve({
      hops: [{ node: 'h1', steps: [], text: 'internals' }],
      delivered: [],
      verdict: `${request.from} > ${request.to}`,
    }),
  why: (request) => Promise.resolve([{ flow: JSON.stringify(request), origin: undefined, derivation: [] }]),
};

export interface Answer {
  readonly status: number;
  /** The body as JSON; undefined if there is none. */
  readonly body: Record<string, unknown> & { items: Record<string, unknown>[] };
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export async function makeApi(options: Partial<ApiServerOptions> = {}, file = new MemoryFile()) {
  const made = await makeModel({}, file);
  const { model, store } = made;
  const clock = new StillClock();
  const network = new FakeNetwork();
  let drawn = 0;
  const tokens = await Tokens.load({
    store,
    model,
    clock,
    log: nullLogger.module('tokens'),
    newId: countingIds(900_000),
    random: (n) => new Uint8Array(n).fill(++drawn),
    operatorTokens: [OPERATOR_TOKEN],
  });
  const server = new ApiServer({
    model,
    tokens,
    realization: network,
    diagnosis: fakeDiagnosis,
    clock,
    log: nullLogger,
    ...options,
  });

  /** One request, as the operator unless another token is given. */
  async function ask(
    method: Method,
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
    token = OPERATOR_TOKEN,
  ): Promise<Answer> {
    const reply = await server.app.inject({
      method,
      url,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const json = /json/.test(String(reply.headers['content-type']));
    return {
      status: reply.statusCode,
      headers: reply.headers,
      body: json ? JSON.parse(reply.body) : undefined,
      text: reply.body,
    };
  }
  const tokenOf = async (tenant: string): Promise<string> =>
    (await tokens.make({ role: 'tenant', tenant })).token;
  const create = (kind: KindName, spec: object): Promise<string> => made.create(kind, spec);
  return { ...made, create, clock, network, tokens, server, ask, tokenOf };
}

/** Of one tenant: an object of every kind that tenants have. */
export async function makeTenant(
  api: Pick<Awaited<ReturnType<typeof makeApi>>, 'create' | 'tokenOf'>,
  name: string,
) {
  const { create } = api;
  const tenant = await create('tenant', { name });
  const on = await create('logical-switch', { name: 'web', tenant, tags: { app: 'shop' } });
  const router = await create('logical-router', { name: 'r', tenant });
  const addresses = [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5'] }];
  const port = await create('logical-port', { name: 'p', switch: on, vif: `vif of ${name}`, addresses });
  const ids: Record<KindName, string> = {
    tenant,
    'transport-node': '',
    'logical-switch': on,
    'logical-router': router,
    'logical-port': port,
    'router-port': await create('router-port', {
      name: 'a',
      router,
      switch: on,
      mac: '02:00:00:00:00:fe',
      networks: ['10.0.0.1/24'],
    }),
    'static-route': await create('static-route', { router, prefix: '10.9.0.0/16', nextHop: '10.0.0.9' }),
    acl: await create('acl', { port, direction: 'to-port', priority: 1, match: {}, action: 'drop' }),
    'address-binding': await create('address-binding', {
      switch: on,
      port,
      mac: '02:00:00:00:00:07',
      ips: ['10.0.0.7'],
    }),
  };
  return { ids, token: await api.tokenOf(tenant) };
}
