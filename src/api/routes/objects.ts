/** The collections and items of every kind. */
import Type from 'typebox';
import { KIND_NAMES, KINDS, type KindName, type Stored } from '../../api-schema/kinds.ts';
import type { ModelOperation } from '../../controller/model/operation.ts';
import { DEFAULT_LIMIT, fieldsOf, listPage, MAX_LIMIT, pick } from '../listing.ts';
import { badRequest } from '../problem-details.ts';
import { patchSchema, sentObject, sentSchema, shown, shownSchema } from '../representation.ts';
import type { Call, Parameter, Reply, Route } from '../route.ts';
import type { Services } from '../services.ts';
import { REALIZED_PARAMETERS, settle, until, WAIT_PARAMETERS, waitOf } from '../waiting.ts';

const FIELDS: Parameter = {
  name: 'fields',
  description: 'Members to be shown, separated by commas; the id always is',
  schema: Type.String(),
};
const IF_MATCH: Parameter = {
  name: 'If-Match',
  description: 'An ETag: done only if the object was last changed in that revision; "*": only if it is there',
  schema: Type.String(),
};
const IF_NONE_MATCH: Parameter = {
  name: 'If-None-Match',
  description: '"*": done only if the object is not there yet',
  schema: Type.String(),
};
const LIST_PARAMETERS: readonly Parameter[] = [
  {
    name: 'limit',
    description: `Objects in a page; default ${DEFAULT_LIMIT}`,
    schema: Type.Integer({ minimum: 1, maximum: MAX_LIMIT }),
  },
  { name: 'cursor', description: '"next" of the page before', schema: Type.String() },
  FIELDS,
];

/** Whether a write must find an object at a revision: `ifRevision` of the model, and whether one must be there at all. */
function conditions(call: Call): { readonly ifRevision?: number; readonly mustExist: boolean } {
  const match = call.headers['if-match'];
  const none = call.headers['if-none-match'];
  if (none !== undefined) {
    if (none === '*' && match === undefined) return { ifRevision: 0, mustExist: false };
    throw badRequest(
      `If-None-Match ${JSON.stringify(none)} is not taken here`,
      'give "*" for "must not exist"',
    );
  }
  if (match === undefined) return { mustExist: false };
  if (match === '*') return { mustExist: true };
  const [, digits] = /^"([0-9]{1,15})"$/.exec(String(match)) ?? [];
  if (digits === undefined || Number(digits) === 0)
    throw badRequest(
      `If-Match ${JSON.stringify(match)} is no ETag of an object`,
      'give the ETag as it was answered',
    );
  return { ifRevision: Number(digits), mustExist: true };
}

function routesOf(kind: KindName, services: Services): Route[] {
  const { path, title, plural, owner } = KINDS[kind];
  const { model, realization } = services;
  const collection = `/v1/${path}`;
  const item = `${collection}/{id}`;
  const object = shownSchema(kind);
  const sent = sentSchema(kind);
  const access = owner.by === 'operator' || owner.by === 'self' ? 'operator' : 'any';
  const one = { description: `The ${title}`, schema: object };
  const camel = (text: string): string =>
    text.replace(/[- ]+([a-z])/gi, (_, letter: string) => letter.toUpperCase());

  const reply = (status: number, stored: Stored, revision: number): Reply => ({
    status,
    body: shown(stored, realization),
    headers: {
      etag: `"${stored.revision}"`,
      'weft-revision': String(revision),
      ...(status === 201 ? { location: `${collection}/${stored.id}` } : {}),
    },
  });

  const write = async (
    call: Call,
    operation: ModelOperation,
    status: (made: boolean) => number,
  ): Promise<Reply> => {
    waitOf(call.query); // before anything is written
    const { revision, objects, changes } = await model.write([operation], call.principal);
    await settle(realization, revision, call.query);
    const [stored] = objects;
    if (stored === undefined) return { status: 204, headers: { 'weft-revision': String(revision) } };
    const made = changes.some(({ before, after }) => before === undefined && after?.id === stored.id);
    return reply(status(made), stored, revision);
  };
  const mustExist = (call: Call): { ifRevision?: number } => {
    const { mustExist: must, ifRevision } = conditions(call);
    if (must || ifRevision === undefined) model.get(kind, call.params.id, call.principal);
    return ifRevision === undefined ? {} : { ifRevision };
  };

  return [
    {
      method: 'GET',
      path: collection,
      name: camel(`list ${plural}`),
      summary: `List ${plural}`,
      tag: plural,
      access: 'any',
      query: LIST_PARAMETERS,
      filters: true,
      answers: {
        200: {
          description: 'One page',
          schema: Type.Object({
            items: Type.Array(object),
            next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent at the end' })),
            revision: Type.Integer({ description: 'The revision that is shown; watch from here' }),
          }),
        },
      },
      run: ({ principal, query }) => ({
        status: 200,
        body: listPage({ model, source: realization, kind, principal, query }),
      }),
    },
    {
      method: 'POST',
      path: collection,
      name: camel(`create ${title}`),
      summary: `Create a ${title}`,
      tag: plural,
      access,
      query: WAIT_PARAMETERS,
      body: { schema: sent, description: `The ${title}; with "id" to choose its UUID` },
      answers: { 201: one },
      run: (call) => {
        const { spec, id } = sentObject(kind, call.body);
        return write(call, { op: 'create', kind, spec, ...(id === undefined ? {} : { id }) }, () => 201);
      },
    },
    {
      method: 'GET',
      path: item,
      name: camel(`get ${title}`),
      summary: `Show a ${title}`,
      tag: plural,
      access: 'any',
      query: [FIELDS, ...REALIZED_PARAMETERS],
      answers: { 200: one },
      async run({ params, principal, query }): Promise<Reply> {
        const fields = fieldsOf(kind, query.fields);
        const wait = waitOf(query, 'realized');
        const find = (): Stored => model.get(kind, params.id, principal);
        if (wait !== undefined) await until(services.clock, wait, () => realization.of(find()).realized);
        const stored = find();
        const { status, body, headers } = reply(200, stored, model.revision);
        return { status, headers, body: pick(body as Record<string, unknown>, fields) };
      },
    },
    {
      method: 'PUT',
      path: item,
      name: camel(`replace ${title}`),
      summary: `Create or replace a ${title} with a chosen UUID`,
      tag: plural,
      access,
      query: WAIT_PARAMETERS,
      headers: [IF_MATCH, IF_NONE_MATCH],
      body: { schema: sent, description: `All of the ${title}` },
      answers: { 200: one, 201: { ...one, description: `The new ${title}` } },
      run: (call) => {
        const { spec, id } = sentObject(kind, call.body);
        if (id !== undefined && id.toLowerCase() !== call.params.id.toLowerCase())
          throw badRequest(
            `the object's id is ${JSON.stringify(id)}, and the path's ${JSON.stringify(call.params.id)}`,
            'make them the same, or leave the first out',
          );
        const { mustExist: must, ifRevision } = conditions(call);
        if (must && ifRevision === undefined) model.get(kind, call.params.id, call.principal);
        const operation: ModelOperation = { op: 'replace', kind, id: call.params.id, spec };
        return write(call, ifRevision === undefined ? operation : { ...operation, ifRevision }, (made) =>
          made ? 201 : 200,
        );
      },
    },
    {
      method: 'PATCH',
      path: item,
      name: camel(`update ${title}`),
      summary: `Change members of a ${title} (RFC 7396)`,
      tag: plural,
      access,
      query: WAIT_PARAMETERS,
      headers: [IF_MATCH],
      body: {
        schema: patchSchema(kind),
        patch: true,
        description: 'The members to be changed; null removes one, arrays are replaced as a whole',
      },
      answers: { 200: one },
      run: (call) => {
        const { spec: patch } = sentObject(kind, call.body);
        return write(call, { op: 'patch', kind, id: call.params.id, patch, ...mustExist(call) }, () => 200);
      },
    },
    {
      method: 'DELETE',
      path: item,
      name: camel(`delete ${title}`),
      summary: `Delete a ${title}`,
      tag: plural,
      access,
      query: [
        {
          name: 'cascade',
          description: 'Delete what lives in it too; otherwise refused while others refer to it',
          schema: Type.Boolean(),
        },
        ...WAIT_PARAMETERS,
      ],
      headers: [IF_MATCH],
      answers: { 204: { description: 'It is gone' } },
      run: (call) => {
        const { cascade } = call.query;
        if (cascade !== undefined && cascade !== 'true' && cascade !== 'false')
          throw badRequest(
            `cascade ${JSON.stringify(cascade)} is neither true nor false`,
            'give one of them',
          );
        const operation: ModelOperation = { op: 'delete', kind, id: call.params.id, ...mustExist(call) };
        return write(call, { ...operation, cascade: cascade === 'true' }, () => 200);
      },
    },
  ];
}

export function objectRoutes(services: Services): Route[] {
  return KIND_NAMES.flatMap((kind) => routesOf(kind, services));
}
