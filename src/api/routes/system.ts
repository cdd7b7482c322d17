/** The API about itself. */
import Type from 'typebox';
import type { Metrics } from '../metrics.ts';
import type { Route } from '../route.ts';
import type { Services } from '../services.ts';

/** `document`: the OpenAPI document, of all routes, these among them. */
export function systemRoutes({ model }: Services, metrics: Metrics, document: () => object): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      name: 'health',
      summary: 'Say that the controller is up',
      tag: 'system',
      access: 'public',
      answers: { 200: { description: 'It is', schema: Type.Object({ status: Type.Literal('ok') }) } },
      run: () => ({ status: 200, body: { status: 'ok' } }),
    },
    {
      method: 'GET',
      path: '/openapi.json',
      name: 'openapi',
      summary: 'This description of the API (OpenAPI 3.1)',
      tag: 'system',
      access: 'public',
      answers: { 200: { description: 'The document', schema: Type.Object({}) } },
      run: () => ({ status: 200, body: document() }),
    },
    {
      method: 'GET',
      path: '/metrics',
      name: 'metrics',
      summary: 'Figures for Prometheus',
      tag: 'system',
      access: 'operator',
      answers: { 200: { description: 'Text format 0.0.4', type: 'text/plain', schema: Type.String() } },
      run: () => ({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: metrics.text() }),
    },
    {
      method: 'GET',
      path: '/v1/whoami',
      name: 'whoami',
      summary: 'Say who the token is, and what is the last revision',
      tag: 'system',
      access: 'any',
      answers: {
        200: {
          description: 'The role, and the tenant of a tenant',
          schema: Type.Object({
            role: Type.Union([Type.Literal('operator'), Type.Literal('tenant')]),
            tenant: Type.Optional(Type.String({ format: 'uuid' })),
            revision: Type.Integer(),
          }),
        },
      },
      run: ({ principal }) => ({ status: 200, body: { ...principal, revision: model.revision } }),
    },
  ];
}
