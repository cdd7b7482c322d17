/** `weft net apply`: brings about what a file says, after showing what that changes. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { EXIT } from '../command.ts';
import { single } from './arguments.ts';
import { ApiError, type Json } from './client.ts';
import { checkApplied, type NetContext } from './context.ts';
import { schemaOf } from './kind-options.ts';
import { readManifest } from './manifest.ts';
import { Planner, type PlanOperation, same } from './plan.ts';
import { brief, plain } from './table.ts';

interface PlannedChange {
  readonly op: 'create' | 'update' | 'delete';
  readonly kind: KindName;
  readonly id: string;
  readonly path: string;
  readonly before?: Json;
  readonly after?: Json;
  /** Paths of the objects that it refers to, by id. */
  readonly names: Readonly<Record<string, string>>;
}

export async function apply(context: NetContext): Promise<number> {
  context.words(0, 0, 'nothing');
  const file = single(context.parsed, 'file');
  if (file === undefined)
    throw new WeftError('bad-option', 'of which file?', {
      remedy: 'give it with -f FILE; - is the standard input',
    });
  let text: string;
  try {
    text = context.world.readFile(file);
  } catch (cause) {
    throw new WeftError('no-file', `cannot read "${file}": ${(cause as Error).message}`, { cause });
  }
  const manifest = readManifest(text, file);
  const { client, directory } = context;
  const planner = new Planner({
    client,
    directory,
    newId: context.world.newId,
    tenant: await context.scope(),
  });
  await planner.read(manifest);
  const prune = context.parsed.flags.has('prune');
  let operations = await planner.operations(manifest.kinds, false);
  let changes = await check(context, planner, operations);
  if (planner.claimEqual(changes) || prune) {
    operations = await planner.operations(manifest.kinds, prune);
    changes = await check(context, planner, operations);
  }
  const planned = await Promise.all(changes.map((change) => plannedOf(planner, change)));
  return carryOut(context, operations, planned);
}

/** What the server says that the operations would change. */
async function check(
  context: NetContext,
  planner: Planner,
  operations: readonly PlanOperation[],
): Promise<readonly Json[]> {
  try {
    const { body } = await context.client.ask('/v1/transactions', {
      method: 'POST',
      body: { operations, check: true },
    });
    return body.changes as readonly Json[];
  } catch (error) {
    throw placed(error, planner);
  }
}

/** An error of the server, with the place in the file that it is about. */
function placed(error: unknown, planner: Planner): unknown {
  if (!(error instanceof ApiError) || typeof error.problem.operation !== 'number') return error;
  const target = planner.targets[error.problem.operation];
  return target === undefined
    ? error
    : new ApiError(error.status, { ...error.problem, detail: `${target.where}: ${error.message}` });
}

async function plannedOf(planner: Planner, change: Json): Promise<PlannedChange> {
  const { before, after } = change as { before?: Json; after?: Json };
  const kind = change.kind as KindName;
  const id = change.id as string;
  const op = before === undefined ? 'create' : after === undefined ? 'delete' : 'update';
  const path = plain(await planner.pathOf(kind, id, after ?? before!));
  const names: Record<string, string> = {};
  const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
  for (const spec of [before, after]) {
    for (const [member, target] of Object.entries(references)) {
      const other = spec?.[member];
      if (typeof other === 'string') names[other] = plain(await planner.pathOfId(target, other));
    }
  }
  return {
    op,
    kind,
    id,
    path,
    names,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
}

async function carryOut(
  context: NetContext,
  operations: readonly PlanOperation[],
  planned: readonly PlannedChange[],
): Promise<number> {
  const dry = context.parsed.flags.has('dry-run');
  if (!context.json) context.world.io.out(planText(planned));
  if (planned.length === 0 || dry) {
    if (context.json) context.printJson({ changes: planned.map(json), applied: false });
    return EXIT.ok;
  }
  if (!context.parsed.flags.has('yes')) {
    const answer = await context.world.confirm('Do this?');
    if (answer === undefined)
      throw new WeftError('not-confirmed', 'there is nobody to ask whether this is to be done', {
        remedy: 'say --yes to do it, or --dry-run to see it only',
      });
    if (!answer) {
      context.say('nothing was changed');
      return EXIT.failed;
    }
  }
  const { query, patience } = context.waiting();
  const { body } = await context.client.ask('/v1/transactions', {
    method: 'POST',
    body: { operations },
    query,
    patience,
  });
  if (context.json) context.printJson({ changes: planned.map(json), applied: true, revision: body.revision });
  else context.say(`done, in revision ${body.revision}`);
  if (patience > 0) {
    checkApplied(body.realization as Json, `revision ${body.revision}`);
    const { elapsed } = body.realization as { elapsed?: number };
    context.say(
      elapsed === undefined ? 'live on all hosts' : `live on all hosts after ${Math.round(elapsed)} ms`,
    );
  }
  return EXIT.ok;
}

function json({ names: _, ...change }: PlannedChange): object {
  return change;
}

const SIGNS = { create: '+', update: '~', delete: '-' } as const;

function defaultOf(kind: KindName, member: string): unknown {
  return schemaOf(kind).properties?.[member]?.default;
}

/** The plan for people: a line each, with the members that come, change or go below it. */
export function planText(planned: readonly PlannedChange[]): string {
  if (planned.length === 0) return 'nothing to change\n';
  let text = '';
  for (const { op, kind, path, before, after, names } of planned) {
    text += `${SIGNS[op]} ${KINDS[kind].title} ${path}\n`;
    if (op === 'delete') continue;
    const say = (value: unknown): string => names[String(value)] ?? (brief(value) || 'nothing');
    const parents: readonly string[] = KINDS[kind].parents;
    for (const member of new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])) {
      const [old, now] = [before?.[member], after?.[member]];
      if (same(old, now)) continue;
      // Of new objects, the path says the name and where they live, and defaults go without saying.
      if (
        op === 'create' &&
        (member === 'name' || parents.includes(member) || same(now, defaultOf(kind, member)))
      )
        continue;
      text += `    ${member}: ${op === 'create' ? '' : `${say(old)} -> `}${say(now)}\n`;
    }
  }
  const count = (op: PlannedChange['op']): number => planned.filter((change) => change.op === op).length;
  return `${text}${count('create')} to make, ${count('update')} to change, ${count('delete')} to delete\n`;
}
