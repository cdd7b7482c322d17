/** `weft net status`: hosts, and what is not live. */
import { KIND_NAMES, KINDS } from '../../api-schema/kinds.ts';
import { EXIT } from '../command.ts';
import type { Json } from './client.ts';
import type { NetContext } from './context.ts';
import { plain, table } from './table.ts';

/** Objects that are not live and are named, of each kind. */
const NAMED = 10;

export async function status(context: NetContext): Promise<number> {
  context.words(0, 0, 'nothing');
  const { client, directory } = context;
  const tenant = await context.scope();
  const who = await client.get('/v1/whoami');
  const nodes: Json[] = [];
  for await (const node of client.list('/v1/transport-nodes')) nodes.push(node);
  const waiting: { kind: string; id: unknown; path: string; reason: string }[] = [];
  for (const kind of KIND_NAMES) {
    const query = { realized: 'false', tenant: kind === 'transport-node' ? undefined : tenant };
    for await (const object of client.list(`/v1/${KINDS[kind].path}`, query, NAMED)) {
      const path = plain(await directory.pathOf(kind, object));
      waiting.push({ kind, id: object.id, path, reason: plain(String(object.reason ?? '')) });
    }
  }
  if (context.json) {
    context.printJson({ ...who, api: client.api, nodes, notRealized: waiting });
    return EXIT.ok;
  }
  const role =
    who.role === 'tenant'
      ? `tenant "${plain(await directory.nameOf('tenant', String(who.tenant)))}"`
      : 'the operator';
  context.say(`${client.api}, as ${role}, revision ${who.revision}`);
  if (nodes.length > 0) {
    context.say('');
    context.world.io.out(table(['node', 'agent', 'confirmed', 'flows', 'vifs'], nodes.map(nodeRow)));
  }
  context.say('');
  if (waiting.length === 0) context.say('everything is live');
  for (const { kind, path, reason } of waiting)
    context.say(
      `${KINDS[kind as keyof typeof KINDS].title} ${path} is not live${reason === '' ? '' : `: ${reason}`}`,
    );
  return EXIT.ok;
}

function nodeRow(node: Json): string[] {
  const state = node.status as
    | { connected: boolean; applied: number; flows: number; vifs: readonly object[] }
    | undefined;
  if (state === undefined) return [plain(String(node.name)), 'never came', '', '', ''];
  const { connected, applied, flows, vifs } = state;
  return [
    plain(String(node.name)),
    connected ? 'connected' : 'away',
    String(applied),
    String(flows),
    String(vifs.length),
  ];
}
