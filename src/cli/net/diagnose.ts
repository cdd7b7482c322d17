/** `weft net trace` and `weft net why`: what happens to a packet, and where things come from. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { EXIT } from '../command.ts';
import { single } from './arguments.ts';
import type { Json } from './client.ts';
import type { NetContext } from './context.ts';
import { kindOf } from './kind-options.ts';
import { plain } from './table.ts';

interface Origin {
  readonly kind: KindName;
  readonly id: string;
  readonly name?: string;
}

function called(origin: Origin | undefined): string {
  return origin === undefined ? '' : `${KINDS[origin.kind].title} "${plain(origin.name ?? origin.id)}"`;
}

export async function trace(context: NetContext): Promise<number> {
  const [from, to, flow] = context.words(2, 3, 'the port that sends, or the port that should get it,');
  const body = {
    from: await context.find('logical-port', from),
    to: await context.find('logical-port', to),
    flow,
  };
  const result = (await context.client.ask('/v1/trace', { method: 'POST', body })).body;
  if (context.json) {
    context.printJson(result);
    return EXIT.ok;
  }
  for (const hop of result.hops as readonly Json[]) {
    context.say(`on ${plain(String(hop.node))}:`);
    for (const step of hop.steps as readonly Json[]) {
      const origin = called(step.origin as Origin | undefined);
      context.say(
        `  ${String(step.table).padStart(3)} ${plain(String(step.stage))}, priority ${step.priority}: ${plain(String(step.match)) || 'any'}`,
      );
      context.say(
        `        ${plain(String(step.actions)) || 'drop'}${origin === '' ? '' : `   <- ${origin}`}`,
      );
    }
    if (context.parsed.flags.has('verbose') && typeof hop.text === 'string')
      for (const line of hop.text.split('\n')) context.say(`      | ${plain(line)}`);
  }
  context.say(plain(String(result.verdict)));
  return EXIT.ok;
}

export async function why(context: NetContext): Promise<number> {
  const node = single(context.parsed, 'node');
  const words = context.words(1, 2, 'KIND NAME, or --node HOST and a flow');
  let body: object;
  if (node !== undefined) body = { node, flow: words.join(' ') };
  else if (words.length === 2) body = { object: await context.find(kindOf(words[0]), words[1]) };
  else
    throw new WeftError('bad-option', `why what? "${words[0]}" is no kind and name`, {
      remedy: 'say "weft net why logical-port vm1", or "weft net why --node h1 \'table=12\'"',
    });
  const { answers } = (await context.client.ask('/v1/why', { method: 'POST', body })).body;
  if (context.json) {
    context.printJson(answers);
    return EXIT.ok;
  }
  if ((answers as readonly Json[]).length === 0) context.say('nothing: no flow comes of it, or none fits');
  for (const answer of answers as readonly Json[]) {
    const origin = called(answer.origin as Origin | undefined);
    const where = answer.node === undefined ? '' : `on ${plain(String(answer.node))}: `;
    context.say(`${where}${plain(String(answer.flow))}${origin === '' ? '' : `   <- ${origin}`}`);
    for (const line of answer.derivation as readonly string[]) context.say(`    ${plain(line)}`);
  }
  return EXIT.ok;
}
