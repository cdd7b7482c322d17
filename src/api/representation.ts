/** Objects as the API shows them: what was asked for, and beside it what the server knows. */
import Type, { type TObject, type TSchema } from 'typebox';
import { KINDS, type KindName, type Stored } from '../api-schema/kinds.ts';
import { isObject } from '../controller/model/merge-patch.ts';
import { ModelError } from '../controller/model/problem.ts';
import type { RealizationSource } from '../controller/realization.ts';

/** Members that the server sets. In what is sent they are ignored, so that what was read can be sent back. */
export const SERVER_MEMBERS = [
  'kind',
  'created',
  'revision',
  'realized',
  'reason',
  'hosts',
  'status',
] as const;

const HostSchema = Type.Object(
  {
    node: Type.String({ description: 'systemId of the transport node' }),
    state: Type.Union(
      ['applied', 'pending', 'failed', 'disconnected'].map((state) => Type.Literal(state)),
      {
        description:
          'applied: the switch has confirmed it; pending: not yet; failed: refused; disconnected: the host has what it had before',
      },
    ),
    reason: Type.Optional(Type.String()),
  },
  { description: 'A host that must have it, and whether it has' },
);

export const RevisionSchema = Type.Object(
  {
    revision: Type.Integer(),
    realized: Type.Boolean({ description: 'Every host that must know of it has confirmed it' }),
    hosts: Type.Optional(Type.Array(HostSchema, { description: 'For the operator' })),
    elapsed: Type.Optional(
      Type.Number({ description: 'Milliseconds from the write to the last confirmation' }),
    ),
  },
  { description: 'How far a revision has got' },
);

const STATUS: Partial<Record<KindName, TSchema>> = {
  'transport-node': Type.Object(
    {
      connected: Type.Boolean(),
      applied: Type.Integer({ description: 'The last revision that its switch has confirmed' }),
      flows: Type.Integer({ description: 'Universal flows that it has been given' }),
      vifs: Type.Array(
        Type.Object({
          vif: Type.String(),
          name: Type.String(),
          port: Type.Optional(Type.String({ description: 'UUID of the logical port' })),
        }),
      ),
    },
    { description: 'The node as the controller sees it now; absent until its agent has come' },
  ),
  'logical-port': Type.Object(
    {
      node: Type.Optional(Type.String({ description: 'systemId of the host it is on' })),
      rxPackets: Type.Integer(),
      rxBytes: Type.Integer(),
      txPackets: Type.Integer(),
      txBytes: Type.Integer(),
    },
    { description: "The port's place and traffic, as the host counts it: rx is what the machine sent" },
  ),
};

/** The schema of an object of a kind as it is shown. */
export function shownSchema(kind: KindName): TObject {
  const { schema, owner, title } = KINDS[kind];
  const status = STATUS[kind];
  return Type.Object(
    {
      id: Type.String({ format: 'uuid' }),
      kind: Type.Literal(kind),
      ...schema.properties,
      ...(owner.by === 'reference'
        ? { tenant: Type.String({ format: 'uuid', description: 'Whose it is, through what it refers to' }) }
        : {}),
      created: Type.Integer({ description: 'The revision in which it was made' }),
      revision: Type.Integer({ description: 'The revision in which it was last changed; also its ETag' }),
      realized: Type.Boolean({ description: 'Live on every host that must have it' }),
      reason: Type.Optional(Type.String({ description: 'Why it is not, in one sentence' })),
      hosts: Type.Array(HostSchema),
      ...(status === undefined ? {} : { status: Type.Optional(status) }),
    },
    { title: schemaName(kind), description: `A ${title} as it is shown` },
  );
}

/** The schema of an object of a kind as it is sent: a tenant need not say that it is its own. */
export function sentSchema(kind: KindName): TObject {
  const { schema, owner, title } = KINDS[kind];
  const properties: Record<string, TSchema> = { ...schema.properties };
  if (owner.by === 'member') {
    properties.tenant = Type.Optional(
      Type.String({
        format: 'uuid',
        description: "UUID of a tenant; of a tenant's token, its own unless given",
      }),
    );
  }
  return Type.Object(properties, {
    title: `${schemaName(kind)}Input`,
    additionalProperties: false,
    description: `A ${title} as it is sent. Members that the server sets may stand in it, and are ignored`,
  });
}

/** The schema of a merge patch of an object of a kind. */
export function patchSchema(kind: KindName): TObject {
  const { schema, title } = KINDS[kind];
  const required: readonly string[] = schema.required;
  const members: readonly [string, TSchema][] = Object.entries(schema.properties);
  const properties = members.map(([name, member]) => [
    name,
    Type.Optional(required.includes(name) ? member : Type.Union([member, Type.Null()])),
  ]);
  return Type.Object(Object.fromEntries(properties), {
    title: `${schemaName(kind)}Patch`,
    additionalProperties: false,
    description: `Members of a ${title} to be changed (RFC 7396)`,
  });
}

/** "LogicalPort" */
function schemaName(kind: KindName): string {
  return kind.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export type Shown = Record<string, unknown>;

export function shown(object: Stored, source: RealizationSource): Shown {
  const { kind, id, spec, tenant, created, revision } = object;
  const { realized, reason, hosts } = source.of(object);
  const status = statusOf(object, source);
  return {
    id,
    kind,
    ...spec,
    ...(KINDS[kind].owner.by === 'reference' ? { tenant } : {}),
    created,
    revision,
    realized,
    ...(reason === undefined ? {} : { reason }),
    hosts,
    ...(status === undefined ? {} : { status }),
  };
}

function statusOf(object: Stored, source: RealizationSource): object | undefined {
  if (object.kind === 'logical-port') return source.port(object.id);
  if (object.kind !== 'transport-node') return undefined;
  const status = source.node((object as Stored<'transport-node'>).spec.systemId);
  if (status === undefined) return undefined;
  const { node: _, ...rest } = status;
  return rest;
}

/**
 * What was sent, without the members that the server sets. An `id` is given back beside it. Throws `bad-object` for what
 * is no object.
 */
export function sentObject(
  kind: KindName,
  body: unknown,
): { readonly spec: object; readonly id: string | undefined } {
  if (!isObject(body)) {
    throw new ModelError('bad-object', [
      { member: '', value: body, message: `a ${KINDS[kind].title} is a JSON object`, remedy: 'send one' },
    ]);
  }
  const spec = { ...body };
  for (const member of SERVER_MEMBERS) delete spec[member];
  if (KINDS[kind].owner.by === 'reference') delete spec.tenant;
  const { id } = spec;
  delete spec.id;
  if (id !== undefined && typeof id !== 'string') {
    throw new ModelError('bad-object', [
      { member: '/id', value: id, message: 'an id is a UUID in a string', remedy: 'give one, or none' },
    ]);
  }
  return { spec, id };
}
