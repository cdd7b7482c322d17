/** The OpenAPI 3.1 document, from the rows that the routes are made of. */
import type { TSchema } from 'typebox';
import { PROBLEM_TYPE, ProblemDetails } from './problem-details.ts';
import type { Parameter, Route } from './route.ts';

const VERSION = '1.0.0';

function parameter(place: 'path' | 'query' | 'header', { name, description, schema }: Parameter): object {
  return { name, in: place, description, required: place === 'path', schema };
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) =>
    parameter('path', {
      name,
      description: name === 'id' ? 'UUID' : 'The number',
      schema: (name === 'id' ? { type: 'string', format: 'uuid' } : { type: 'integer' }) as TSchema,
    }),
  );
}

const problem = (description: string): object => ({
  description,
  content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
});

function responses(route: Route): object {
  const all: Record<string, object> = {};
  for (const [status, { description, schema, type = 'application/json' }] of Object.entries(route.answers))
    all[status] = schema === undefined ? { description } : { description, content: { [type]: { schema } } };
  if (route.access !== 'public') {
    all[401] = { $ref: '#/components/responses/Unauthenticated' };
    all[403] = { $ref: '#/components/responses/NotAllowed' };
  }
  all.default = { $ref: '#/components/responses/Problem' };
  return all;
}

function operation(route: Route): object {
  const parameters = [
    ...pathParameters(route.path),
    ...(route.query ?? []).map((p) => parameter('query', p)),
    ...(route.headers ?? []).map((p) => parameter('header', p)),
  ];
  const filters = {
    name: 'filters',
    in: 'query',
    description:
      'Members with the values that they must have: name=web, switch=UUID, tenant=UUID, realized=false, tag.app=shop, addresses.mac=...',
    required: false,
    style: 'form',
    explode: true,
    schema: { type: 'object', additionalProperties: { type: 'string' } },
  };
  const { body } = route;
  return {
    operationId: route.name,
    summary: route.summary,
    tags: [route.tag],
    ...(route.access === 'public' ? { security: [] } : { security: [{ token: [] }] }),
    'x-access': route.access,
    parameters: route.filters === true ? [...parameters, filters] : parameters,
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            description: body.description,
            required: true,
            content: {
              [body.patch === true ? 'application/merge-patch+json' : 'application/json']: {
                schema: body.schema,
              },
            },
          },
        }),
    responses: responses(route),
  };
}

export function openApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path][route.method.toLowerCase()] = operation(route);
  }
  const { named, paths: short } = hoist(paths);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Weft',
      version: VERSION,
      summary: "Tenants' networks over many hosts",
      description: 'See docs/api.md for the ideas: revisions, realization, transactions, tokens.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    security: [{ token: [] }],
    paths: short,
    components: {
      schemas: { ...named, Problem: ProblemDetails },
      responses: {
        Unauthenticated: problem('No token, or none that is known'),
        NotAllowed: problem("The token's role may not do that"),
        Problem: problem('What else can go wrong: see "code" and "remedy"'),
      },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token of the operator or of a tenant' },
      },
    },
  };
}

/** Moves schemas that have a title to the components, once each, and refers to them. */
function hoist(paths: object): { readonly named: Record<string, unknown>; readonly paths: unknown } {
  const named: Record<string, unknown> = {};
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    const copy = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, walk(member)]));
    if (typeof copy.title !== 'string' || copy.type !== 'object') return copy;
    named[copy.title] = copy;
    return { $ref: `#/components/schemas/${copy.title}` };
  };
  return { paths: walk(paths), named };
}
