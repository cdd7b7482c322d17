/** How far a write has got. */
import { WeftError } from '../../base/errors.ts';
import type { ChangeLog } from '../change-log.ts';
import { RevisionSchema } from '../representation.ts';
import type { Reply, Route } from '../route.ts';
import type { Services } from '../services.ts';
import { settle, WAIT_PARAMETERS } from '../waiting.ts';
import { forPrincipal } from './transactions.ts';

export function revisionRoutes({ model, realization }: Services, log: ChangeLog): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/revisions/{revision}',
      name: 'getRevision',
      summary: 'Show how far a revision has got',
      tag: 'revisions',
      access: 'any',
      query: WAIT_PARAMETERS,
      answers: { 200: { description: 'Where it is live, and where not yet', schema: RevisionSchema } },
      async run({ params, principal, query }): Promise<Reply> {
        const revision = /^[0-9]{1,15}$/.test(params.revision) ? Number(params.revision) : Number.NaN;
        const operator = principal.role === 'operator';
        // A tenant is told of its own writes only: of others' there is nothing to tell.
        if (!(revision <= model.revision) || (!operator && !log.concerns(revision, principal))) {
          throw new WeftError(
            'no-such-revision',
            `there is no revision ${JSON.stringify(params.revision.slice(0, 20))}`,
            {
              remedy: 'give the "weft-revision" of a write',
            },
          );
        }
        return { status: 200, body: forPrincipal(await settle(realization, revision, query), operator) };
      },
    },
  ];
}
