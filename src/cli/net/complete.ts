/** Shell completion: one answer for all shells, and the few lines that have a shell ask for it. */
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { EXIT } from '../command.ts';
import { COMMON_FLAGS, COMMON_VALUES, type Wanted } from './arguments.ts';
import type { NetContext } from './context.ts';
import { formOf, kindOf, optionsOf } from './kind-options.ts';
import { TOKEN_ACTIONS } from './tokens.ts';

/** What completion knows of a command. */
export interface CompletedCommand {
  readonly name: string;
  readonly ofKind?: boolean;
  readonly wanted?: Wanted;
  /** Words behind the kind, or the command, are names of objects of it. */
  readonly names?: KindName | 'kind';
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], string>> = {
  bash: `_weft() {
  local IFS=$'\\n'
  if [ "\${COMP_WORDS[1]}" = net ] && [ "$COMP_CWORD" -ge 2 ]; then
    COMPREPLY=($(weft net complete -- "\${COMP_WORDS[@]:2:COMP_CWORD-1}" 2>/dev/null))
  fi
}
complete -o default -F _weft weft
`,
  zsh: `#compdef weft
_weft() {
  local -a found
  if [[ \${words[2]} == net ]] && (( CURRENT > 2 )); then
    found=("\${(@f)$(weft net complete -- "\${(@)words[3,CURRENT]}" 2>/dev/null)}")
    compadd -- \${found:#}
  else
    _files
  fi
}
compdef _weft weft
`,
  fish: `complete -c weft -f -n '__fish_seen_subcommand_from net' -a '(weft net complete -- (commandline -opc)[3..-1] (commandline -ct) 2>/dev/null)'
`,
};

export async function completion(context: NetContext): Promise<number> {
  const [shell] = context.words(1, 1, 'the shell');
  const script = SHELLS.find((name) => name === shell);
  if (script === undefined)
    throw new WeftError('bad-option', `there is no completion for "${shell}"`, {
      remedy: `there is for ${SHELLS.join(', ')}`,
    });
  context.world.io.out(SCRIPTS[script]);
  return EXIT.ok;
}

/** What the last of the words may become, a line each; nothing rather than an error. */
export async function complete(context: NetContext, commands: readonly CompletedCommand[]): Promise<number> {
  const { words } = context.parsed;
  const last = words.at(-1) ?? '';
  let found: readonly string[] = [];
  try {
    found = await candidates(context, commands, words.slice(0, -1), last);
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
  }
  const fitting = found.filter((word) => word.startsWith(last) && !/[\n\r]/.test(word));
  context.world.io.out(
    [...new Set(fitting)]
      .sort()
      .map((word) => `${word}\n`)
      .join(''),
  );
  return EXIT.ok;
}

async function candidates(
  context: NetContext,
  commands: readonly CompletedCommand[],
  before: readonly string[],
  last: string,
): Promise<readonly string[]> {
  const [name, ...rest] = before;
  if (name === undefined) return [...commands.map((command) => command.name), 'help'];
  const command = commands.find((c) => c.name === name);
  if (command === undefined) return [];
  if (command.ofKind === true && rest.length === 0) return last.startsWith('-') ? ['--help'] : KIND_NAMES;
  const kind = command.ofKind === true ? kindOf(rest[0]) : undefined;
  const previous = rest.at(-1) ?? '';
  if (previous.startsWith('--')) {
    const values = await valuesOf(context, command, kind, previous.slice(2));
    if (values !== undefined) return values;
  }
  if (last.startsWith('-')) return optionWords(command, kind);
  if (name === 'completion') return SHELLS;
  if (name === 'token' && rest.length === 0) return TOKEN_ACTIONS;
  const of = command.names === 'kind' ? kind : command.names;
  return of === undefined ? [] : names(context, of);
}

function optionWords({ wanted = {} }: CompletedCommand, kind: KindName | undefined): string[] {
  const own = [...(wanted.values ?? []), ...(wanted.flags ?? []), ...COMMON_VALUES, ...COMMON_FLAGS].map(
    (name) => `--${name}`,
  );
  const members = kind === undefined || wanted.kind !== undefined ? [] : optionsOf(kind);
  return [
    ...own,
    ...members.flatMap(({ flag, singular, node }) =>
      node.type === 'boolean' ? [`--${flag}`, `--no-${flag}`] : [`--${singular ?? flag}`],
    ),
  ];
}

/** The values of an option; undefined: it takes none, so what follows is a word of its own. */
async function valuesOf(
  context: NetContext,
  { wanted = {} }: CompletedCommand,
  kind: KindName | undefined,
  name: string,
): Promise<readonly string[] | undefined> {
  const option =
    kind === undefined ? undefined : optionsOf(kind).find((o) => o.flag === name || o.singular === name);
  if (option !== undefined) {
    if (option.node.type === 'boolean') return undefined;
    if (option.reference !== undefined) return names(context, option.reference);
    const form = formOf(option.node);
    return /^[a-z0-9-]+(\|[a-z0-9-]+)*$/.test(form) ? form.split('|') : [];
  }
  if (name === 'tenant') return names(context, 'tenant');
  if (name === 'kind') return KIND_NAMES;
  return [...(wanted.values ?? []), ...COMMON_VALUES].includes(name) ? [] : undefined;
}

async function names(context: NetContext, kind: KindName): Promise<string[]> {
  const found: string[] = [];
  for await (const item of context.client.list(`/v1/${KINDS[kind].path}`, { fields: 'name' }, 1000))
    found.push(typeof item.name === 'string' ? item.name : String(item.id));
  return found;
}
