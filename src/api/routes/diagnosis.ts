/** What happens to a packet, and where a flow comes from. */
import Type from 'typebox';
import { KIND_NAMES } from '../../api-schema/kinds.ts';
import type { TraceRequest, WhyRequest } from '../../controller/diagnosis.ts';
import { ModelError } from '../../controller/model/problem.ts';
import { checkPacketFields } from '../packet-fields.ts';
import type { Route } from '../route.ts';
import type { Services } from '../services.ts';

const MAX_ANSWERS = 100;

const Port = Type.String({ format: 'uuid', description: 'UUID of a logical port' });
const Name = Type.Object({
  kind: Type.Union(KIND_NAMES.map((kind) => Type.Literal(kind))),
  id: Type.String({ format: 'uuid' }),
  name: Type.Optional(Type.String()),
});
const TraceBody = Type.Object(
  {
    from: Port,
    to: Type.Optional(Port),
    flow: Type.Optional(
      Type.String({
        maxLength: 4096,
        description:
          'Fields of the packet as ovs-ofctl writes them, such as "tcp,tcp_dst=80"; addresses come from the ports',
      }),
    ),
  },
  { additionalProperties: false, description: 'A packet that the machine at a port sends' },
);
const Trace = Type.Object({
  hops: Type.Array(
    Type.Object({
      node: Type.String(),
      steps: Type.Array(
        Type.Object({
          table: Type.Integer(),
          stage: Type.String(),
          priority: Type.Integer(),
          match: Type.String(),
          actions: Type.String(),
          origin: Type.Optional(Name),
        }),
      ),
      text: Type.Optional(Type.String({ description: "The switch's own words, for the operator" })),
    }),
  ),
  delivered: Type.Array(Name),
  verdict: Type.String({ description: 'Who gets it, or where and by what it was dropped' }),
});
const WhyBody = Type.Object(
  {
    object: Type.Optional(
      Type.String({ format: 'uuid', description: 'UUID of an object: what it has become' }),
    ),
    node: Type.Optional(Type.String({ maxLength: 128, description: 'For the operator: systemId of a host' })),
    flow: Type.Optional(
      Type.String({ maxLength: 4096, description: 'Words of the text of a flow on that host' }),
    ),
  },
  { additionalProperties: false, description: 'Either an object, or a host and a flow' },
);
const Why = Type.Object({
  answers: Type.Array(
    Type.Object({
      node: Type.Optional(Type.String()),
      flow: Type.String(),
      origin: Type.Optional(Name),
      derivation: Type.Array(Type.String()),
    }),
  ),
});

export function diagnosisRoutes({ model, diagnosis }: Services): Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/trace',
      name: 'trace',
      summary: 'Follow one packet through the logical and the physical network',
      tag: 'diagnosis',
      access: 'any',
      body: { schema: TraceBody, description: 'The packet' },
      answers: { 200: { description: 'What happens to it', schema: Trace } },
      async run({ body, principal }) {
        const problems = model.problemsOf(TraceBody, body);
        if (problems.length > 0) throw new ModelError('bad-object', problems);
        const request = body as TraceRequest;
        checkPacketFields(request.flow ?? '');
        model.get('logical-port', request.from, principal);
        if (request.to !== undefined) model.get('logical-port', request.to, principal);
        const { hops, ...rest } = await diagnosis.trace(request, principal);
        const told = principal.role === 'operator' ? hops : hops.map(({ text: _, ...hop }) => hop);
        return { status: 200, body: { hops: told, ...rest } };
      },
    },
    {
      method: 'POST',
      path: '/v1/why',
      name: 'why',
      summary: 'Say what an object has become, or where a flow of a host comes from',
      tag: 'diagnosis',
      access: 'any',
      body: { schema: WhyBody, description: 'The question' },
      answers: { 200: { description: `At most ${MAX_ANSWERS} answers`, schema: Why } },
      async run({ body, principal }) {
        const problems = model.problemsOf(WhyBody, body);
        if (problems.length > 0) throw new ModelError('bad-object', problems);
        const { object, node, flow } = body as { object?: string; node?: string; flow?: string };
        const about = object === undefined ? undefined : model.find(object, principal);
        if (object !== undefined && about === undefined) {
          throw new ModelError('object-not-found', [
            {
              member: '/object',
              value: object,
              message: `there is no object ${JSON.stringify(object)}`,
              remedy: 'list the objects to see their ids',
            },
          ]);
        }
        let request: WhyRequest;
        if (object !== undefined && node === undefined && flow === undefined) request = { object };
        else if (object === undefined && node !== undefined && flow !== undefined) request = { node, flow };
        else {
          throw new ModelError('bad-object', [
            {
              member: '',
              value: body,
              message: 'the question is of an object, or of a host and a flow',
              remedy: 'give "object", or "node" and "flow"',
            },
          ]);
        }
        if ('node' in request && principal.role !== 'operator') {
          throw new ModelError('not-allowed', [
            {
              member: '/node',
              value: node,
              message: "hosts are the operator's",
              remedy: 'ask about an object',
            },
          ]);
        }
        return { status: 200, body: { answers: await diagnosis.why(request, principal, MAX_ANSWERS) } };
      },
    },
  ];
}
