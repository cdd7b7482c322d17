/** Tokens: made, listed and revoked by the operator. */
import Type from 'typebox';
import { OPERATOR } from '../../controller/model/principal.ts';
import { ModelError, type Problem } from '../../controller/model/problem.ts';
import type { Route } from '../route.ts';
import type { Services } from '../services.ts';
import type { TokenInfo } from '../tokens.ts';

const members = {
  role: Type.Union([Type.Literal('operator'), Type.Literal('tenant'), Type.Literal('node')], {
    description: 'operator: everything; tenant: the objects of one tenant; node: the agent of one host',
  }),
  tenant: Type.Optional(Type.String({ format: 'uuid', description: 'With the role tenant: its UUID' })),
  node: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'With the role node: the systemId of the host',
    }),
  ),
  description: Type.Optional(Type.String({ maxLength: 1024, description: 'What it is for' })),
};
const Wish = Type.Object(members, { additionalProperties: false, description: 'A token to be made' });
const Info = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    ...members,
    made: Type.Integer({ description: 'Milliseconds since the Unix epoch' }),
  },
  { description: 'A token, without its secret' },
);

function notFound(id: string): ModelError {
  return new ModelError('object-not-found', [
    {
      member: '',
      value: id,
      message: `there is no token ${JSON.stringify(id)}`,
      remedy: 'list the tokens to see their ids',
    },
  ]);
}

/** A tenant's token names its tenant, a node's its node, and no other either. */
function misfits(wish: Omit<TokenInfo, 'id' | 'made'>, { model }: Services): Problem[] {
  const problems: Problem[] = [];
  for (const member of ['tenant', 'node'] as const) {
    const value = wish[member];
    if ((value !== undefined) === (wish.role === member)) continue;
    problems.push({
      member: `/${member}`,
      value,
      message: value === undefined ? 'is missing' : `does not go with the role "${wish.role}"`,
      remedy: value === undefined ? `say of which ${member} the token is` : 'leave it out',
    });
  }
  if (
    wish.role === 'tenant' &&
    wish.tenant !== undefined &&
    model.find(wish.tenant, OPERATOR)?.kind !== 'tenant'
  ) {
    problems.push({
      member: '/tenant',
      value: wish.tenant,
      message: `there is no tenant ${JSON.stringify(wish.tenant)}`,
      remedy: 'list the tenants to see their ids',
    });
  }
  return problems;
}

export function tokenRoutes(services: Services): Route[] {
  const { tokens, model } = services;
  const common = { tag: 'tokens', access: 'operator' } as const;
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/tokens',
      name: 'listTokens',
      summary: 'List tokens, without their secrets',
      answers: { 200: { description: 'All tokens', schema: Type.Object({ items: Type.Array(Info) }) } },
      run: () => ({ status: 200, body: { items: tokens.list() } }),
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/tokens',
      name: 'makeToken',
      summary: 'Make a token; its secret is shown this once',
      body: { schema: Wish, description: 'Whose it is' },
      answers: {
        201: {
          description: 'The token',
          schema: Type.Object({
            ...Info.properties,
            token: Type.String({
              description: 'What to send as "Authorization: Bearer TOKEN"; never shown again',
            }),
          }),
        },
      },
      async run({ body }) {
        const problems = model.problemsOf(Wish, body);
        if (problems.length > 0) throw new ModelError('bad-object', problems);
        const sent = body as Omit<TokenInfo, 'id' | 'made'>;
        const wish = sent.tenant === undefined ? sent : { ...sent, tenant: sent.tenant.toLowerCase() };
        const wrong = misfits(wish, services);
        if (wrong.length > 0) throw new ModelError('bad-object', wrong);
        const { info, token } = await tokens.make(wish);
        return {
          status: 201,
          body: { ...info, token },
          headers: { location: `/v1/tokens/${info.id}`, 'cache-control': 'no-store' },
        };
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/tokens/{id}',
      name: 'getToken',
      summary: 'Show a token, without its secret',
      answers: { 200: { description: 'The token', schema: Info } },
      run({ params }) {
        const info = tokens.get(params.id.toLowerCase());
        if (info === undefined) throw notFound(params.id);
        return { status: 200, body: info };
      },
    },
    {
      ...common,
      method: 'DELETE',
      path: '/v1/tokens/{id}',
      name: 'revokeToken',
      summary: 'Revoke a token, at once',
      answers: { 204: { description: 'It is worth nothing any more' } },
      async run({ params }) {
        if (!(await tokens.revoke(params.id.toLowerCase()))) throw notFound(params.id);
        return { status: 204 };
      },
    },
  ];
}
