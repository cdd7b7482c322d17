/** `weft net watch`: changes as they are made, taken up again where a connection broke off. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { EXIT } from '../command.ts';
import { single } from './arguments.ts';
import { ApiError, type Json } from './client.ts';
import type { NetContext } from './context.ts';
import { kindOf } from './kind-options.ts';
import { plain } from './table.ts';

export interface ServerEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Until a connection that broke is tried again. */
const PAUSE_MS = 500;
/** One event is one revision; a larger one is no event of ours. */
const MAX_EVENT = 256 << 20;

/** The events of a stream (HTML Living Standard, "Interpreting an event stream"). */
export async function* readEvents(stream: AsyncIterable<Uint8Array>): AsyncIterable<ServerEvent> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > MAX_EVENT)
      throw new WeftError('api-answer', 'an event has no end', { remedy: 'is it a Weft controller?' });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map<string, string>();
      for (const line of text.slice(0, end).split('\n')) {
        const at = line.indexOf(':');
        if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1).trimStart());
      }
      text = text.slice(end + 2);
      const event = fields.get('event');
      if (event !== undefined) yield { id: fields.get('id') ?? '', event, data: fields.get('data') ?? '{}' };
    }
  }
}

export async function watch(context: NetContext): Promise<number> {
  context.words(0, 0, 'nothing');
  const { world, client, parsed } = context;
  const kinds = (parsed.options.get('kind') ?? []).map((word) => kindOf(word));
  const tenant = await context.scope();
  let left = countOf(single(parsed, 'count'));
  let since = single(parsed, 'since');
  let reached = Date.now();
  while (!world.ended.aborted) {
    try {
      const query = { since, kinds: kinds.length > 0 ? kinds.join(',') : undefined };
      const stream = await client.stream('/v1/watch', { query }, world.ended);
      for await (const { id, event, data } of readEvents(stream)) {
        reached = Date.now();
        since = id;
        const told = JSON.parse(data) as Json;
        if (event === 'reset')
          world.io.err(`changes before revision ${told.revision} are no longer known: list what there is\n`);
        for (const change of event === 'change' ? (told.changes as readonly Json[]) : []) {
          if (tenant !== undefined && !belongs(change, tenant)) continue;
          await tell(context, change);
          if (--left === 0) return EXIT.ok;
        }
      }
    } catch (error) {
      if (world.ended.aborted) break;
      if (error instanceof ApiError || (error instanceof WeftError && error.code === 'no-token')) throw error;
      if (Date.now() - reached > context.timeout) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return EXIT.ok;
}

function countOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new WeftError('bad-option', `--count "${text}" is no number of changes`, {
    remedy: 'give 1 or more',
  });
}

function belongs({ object, id }: Json, tenant: string): boolean {
  return (object as Json).tenant === tenant || id === tenant;
}

async function tell(context: NetContext, change: Json): Promise<void> {
  if (context.json) {
    context.world.io.out(`${JSON.stringify(change)}\n`);
    return;
  }
  const object = change.object as Json;
  const kind = change.kind as KindName;
  if (change.op !== 'deleted') context.directory.remember(object);
  const path = plain(await context.directory.pathOf(kind, object));
  context.say(`${change.revision} ${change.op} ${KINDS[kind].title} ${path}`);
}
