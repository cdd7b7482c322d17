/** `weft net token`: who may do what. */
import { WeftError } from '../../base/errors.ts';
import { EXIT, nearest } from '../command.ts';
import { single } from './arguments.ts';
import type { Json } from './client.ts';
import type { NetContext } from './context.ts';
import { UUID } from './directory.ts';
import { brief, plain, table } from './table.ts';

export const TOKEN_ACTIONS = ['make', 'list', 'revoke'] as const;

export async function token(context: NetContext): Promise<number> {
  const [action, ...words] = context.words(1, 20, 'make, list or revoke');
  if (action === 'make') return make(context, words);
  if (action === 'list') return list(context);
  if (action === 'revoke') return revoke(context, words);
  const near = nearest(action, TOKEN_ACTIONS);
  throw new WeftError('bad-option', `there is no "token ${action}"`, {
    remedy: near === undefined ? `there are ${TOKEN_ACTIONS.join(', ')}` : `did you mean "${near}"?`,
  });
}

async function make(context: NetContext, words: readonly string[]): Promise<number> {
  if (words.length > 0)
    throw new WeftError('bad-option', `"${words[0]}" is one word too many`, {
      remedy: 'say --tenant, --node or --operator',
    });
  const tenant = await context.scope();
  const node = single(context.parsed, 'node');
  const operator = context.parsed.flags.has('operator');
  const roles = [tenant !== undefined, node !== undefined, operator].filter((given) => given).length;
  if (roles !== 1)
    throw new WeftError('bad-option', 'whose token?', {
      remedy: 'say one of --tenant NAME, --node SYSTEM-ID, --operator',
    });
  const role = operator ? 'operator' : tenant !== undefined ? 'tenant' : 'node';
  const body = { role, tenant, node, description: single(context.parsed, 'description') };
  const made = (await context.client.ask('/v1/tokens', { method: 'POST', body })).body;
  if (context.json) context.printJson(made);
  else {
    context.world.io.out(`${made.token}\n`);
    context.world.io.err(`token ${made.id}: this is shown once, keep it\n`);
  }
  return EXIT.ok;
}

async function list(context: NetContext): Promise<number> {
  const items = (await context.client.get('/v1/tokens')).items as readonly Json[];
  if (context.json) {
    context.printJson(items);
    return EXIT.ok;
  }
  const rows: string[][] = [];
  for (const item of items) {
    const of =
      typeof item.tenant === 'string'
        ? await context.directory.nameOf('tenant', item.tenant)
        : brief(item.node);
    const made = new Date(item.made as number).toISOString().slice(0, 19).replace('T', ' ');
    rows.push([String(item.id), String(item.role), plain(of), made, brief(item.description)]);
  }
  if (rows.length === 0) context.say('no tokens');
  else context.world.io.out(table(['id', 'role', 'of', 'made', 'description'], rows));
  return EXIT.ok;
}

async function revoke(context: NetContext, ids: readonly string[]): Promise<number> {
  if (ids.length === 0 || ids.some((id) => !UUID.test(id)))
    throw new WeftError(
      'bad-option',
      `${ids.length === 0 ? 'which token' : `"${ids.find((id) => !UUID.test(id))}"`}: tokens are named by id`,
      {
        remedy: '"weft net token list" shows the ids',
      },
    );
  for (const id of ids) {
    await context.client.ask(`/v1/tokens/${id}`, { method: 'DELETE' });
    context.say(`revoked ${id}`);
  }
  if (context.json) context.printJson({ revoked: ids });
  return EXIT.ok;
}
