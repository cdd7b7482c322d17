/** Many changes as one. */
import Type from 'typebox';
import { KIND_NAMES, type KindName } from '../../api-schema/kinds.ts';
import type { ModelOperation } from '../../controller/model/operation.ts';
import { ModelError } from '../../controller/model/problem.ts';
import { badRequest } from '../problem-details.ts';
import { RevisionSchema, sentObject } from '../representation.ts';
import type { Reply, Route } from '../route.ts';
import type { Services } from '../services.ts';
import { settle, WAIT_PARAMETERS, waitOf } from '../waiting.ts';

const Kind = Type.Union(KIND_NAMES.map((kind) => Type.Literal(kind)));
const Id = Type.String({ format: 'uuid' });
const IfRevision = Type.Optional(
  Type.Integer({
    minimum: 0,
    description: 'Refused unless the object was last changed in this revision; 0: unless it is not there yet',
  }),
);
const Spec = Type.Unknown({ description: 'As the body of a POST to the collection' });

const OperationSchema = Type.Union([
  Type.Object(
    { op: Type.Literal('create'), kind: Kind, id: Type.Optional(Id), spec: Spec },
    { additionalProperties: false },
  ),
  Type.Object(
    { op: Type.Literal('replace'), kind: Kind, id: Id, spec: Spec, ifRevision: IfRevision },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      op: Type.Literal('patch'),
      kind: Kind,
      id: Id,
      patch: Type.Unknown({ description: 'RFC 7396' }),
      ifRevision: IfRevision,
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      op: Type.Literal('delete'),
      kind: Kind,
      id: Id,
      cascade: Type.Optional(Type.Boolean()),
      ifRevision: IfRevision,
    },
    { additionalProperties: false },
  ),
]);

/** What is checked at once; each operation is then checked by its own kind, so that errors name its members. */
const Envelope = Type.Object(
  {
    operations: Type.Array(Type.Unknown()),
    check: Type.Optional(Type.Boolean({ description: 'Say what would happen, and do nothing' })),
  },
  { additionalProperties: false },
);

const TransactionSchema = Type.Object(
  { operations: Type.Array(OperationSchema), check: Envelope.properties.check },
  {
    additionalProperties: false,
    description:
      'Operations on any objects, done all or not at all. Their order does not matter for references: choose ids to refer to what is made in the same transaction',
  },
);

type Members = Readonly<Record<string, unknown>>;

function readOperation(
  value: unknown,
  index: number,
  problemsOf: Services['model']['problemsOf'],
): ModelOperation {
  const op = typeof value === 'object' && value !== null ? (value as Members).op : undefined;
  const schema = OperationSchema.anyOf.find((branch) => branch.properties.op.const === op);
  if (schema === undefined) {
    throw new ModelError(
      'bad-object',
      [
        {
          member: '/op',
          value: op,
          message: 'an operation is "create", "replace", "patch" or "delete"',
          remedy: 'give one of them',
        },
      ],
      index,
    );
  }
  const problems = problemsOf(schema, value);
  if (problems.length > 0) throw new ModelError('bad-object', problems, index);
  const { kind, ...members } = value as Members & { readonly kind: KindName };
  if (op === 'delete') return { ...members, kind } as ModelOperation;
  try {
    const { spec, id = members.id } = sentObject(kind, op === 'patch' ? members.patch : members.spec);
    const read = { ...members, kind, [op === 'patch' ? 'patch' : 'spec']: spec };
    return (id === undefined ? read : { ...read, id: members.id ?? id }) as ModelOperation;
  } catch (error) {
    throw error instanceof ModelError ? new ModelError(error.code, error.problems, index) : error;
  }
}

export function transactionRoutes({ model, realization }: Services): Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/transactions',
      name: 'transact',
      summary: 'Change many objects at once, or none of them',
      tag: 'transactions',
      access: 'any',
      query: WAIT_PARAMETERS,
      body: { schema: TransactionSchema, description: 'The operations', limit: 32 << 20 },
      answers: {
        200: {
          description: 'All of it is done',
          schema: Type.Object({
            revision: Type.Integer(),
            results: Type.Array(Type.Object({ op: Type.String(), kind: Kind, id: Id }), {
              description: 'In the order of the operations',
            }),
            realization: Type.Optional(RevisionSchema),
            changes: Type.Optional(
              Type.Array(
                Type.Object({
                  kind: Kind,
                  id: Id,
                  before: Type.Optional(Type.Unknown()),
                  after: Type.Optional(Type.Unknown()),
                }),
                { description: 'With "check": what would change, the cascade of deletes included' },
              ),
            ),
          }),
        },
      },
      async run({ principal, body, query }): Promise<Reply> {
        const wait = waitOf(query);
        const problems = model.problemsOf(Envelope, body);
        if (problems.length > 0) throw new ModelError('bad-object', problems);
        const { operations: sent, check = false } = body as { operations: unknown[]; check?: boolean };
        if (check && wait !== undefined)
          throw badRequest('a check has nothing to wait for', 'leave one of them out');
        model.checkSize(sent.length);
        const operations = sent.map((value, i) => readOperation(value, i, model.problemsOf.bind(model)));
        const { revision, ids, changes } = await model.write(operations, principal, { check });
        const results = operations.map(({ op, kind }, i) => ({ op, kind, id: ids[i] }));
        const headers = { 'weft-revision': String(revision) };
        if (check) {
          const told = changes.map(({ before, after }) => ({
            kind: (after ?? before!).kind,
            id: (after ?? before!).id,
            ...(before === undefined ? {} : { before: before.spec }),
            ...(after === undefined ? {} : { after: after.spec }),
          }));
          return { status: 200, body: { revision, results, changes: told }, headers };
        }
        const state = wait === undefined ? undefined : await settle(realization, revision, query);
        const told =
          state === undefined ? {} : { realization: forPrincipal(state, principal.role === 'operator') };
        return { status: 200, body: { revision, results, ...told }, headers };
      },
    },
  ];
}

/** Hosts are the operator's; a tenant sees those of its objects beside them. */
export function forPrincipal<T extends { readonly hosts: unknown }>(state: T, operator: boolean): object {
  const { hosts, ...rest } = state;
  return operator ? { ...rest, hosts } : rest;
}
