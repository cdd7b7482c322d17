/** The words of a `weft net` command line, taken apart. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { nearest } from '../command.ts';
import { type KindOption, optionsOf, readValue } from './kind-options.ts';

export interface Parsed {
  readonly words: readonly string[];
  /** Options that every command knows, and its own: by name without dashes. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlySet<string>;
  /** Members of an object, of commands that take a kind. */
  readonly members: Readonly<Record<string, unknown>>;
  /** References among the members, as they were written: names have yet to be looked up. */
  readonly references: readonly KindOption[];
}

/** Options of every command. */
export const COMMON_VALUES = ['api', 'token', 'ca', 'timeout', 'tenant'] as const;
export const COMMON_FLAGS = ['json', 'help'] as const;

export interface Wanted {
  /** Options with a value, may be given several times. */
  readonly values?: readonly string[];
  readonly flags?: readonly string[];
  /** Its members are options. */
  readonly kind?: KindName;
}

interface Word {
  readonly name: string;
  readonly inline: string | undefined;
}

function split(word: string): Word {
  const at = word.indexOf('=');
  return at < 0
    ? { name: word.slice(2), inline: undefined }
    : { name: word.slice(2, at), inline: word.slice(at + 1) };
}

/** Throws `bad-option`. */
export function parseNet(args: readonly string[], wanted: Wanted): Parsed {
  const values = new Set<string>([...COMMON_VALUES, ...(wanted.values ?? [])]);
  const known = new Set<string>([...COMMON_FLAGS, ...(wanted.flags ?? [])]);
  const kindOptions = wanted.kind === undefined ? [] : optionsOf(wanted.kind);
  const words: string[] = [];
  const options = new Map<string, string[]>();
  const flags = new Set<string>();
  const members: Record<string, unknown> = {};
  const references: KindOption[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '--') {
      words.push(...args.slice(i + 1));
      break;
    }
    if (arg === '-h') flags.add('help');
    else if (arg === '-f') options.set('file', [...(options.get('file') ?? []), following(args, ++i, '-f')]);
    else if (!arg.startsWith('--')) words.push(arg);
    else {
      const { name, inline } = split(arg);
      const option = kindOptions.find((o) => o.flag === name || o.singular === name);
      if (option !== undefined && option.node.type === 'boolean')
        members[option.member] = inline === undefined ? true : readValue(option.node, inline, name);
      else if (option !== undefined) {
        const text = inline ?? following(args, ++i, arg);
        setMember(members, option, text);
        if (option.reference !== undefined && !references.includes(option)) references.push(option);
        if (name === 'tenant') options.set(name, [text]);
      } else if (values.has(name)) {
        options.set(name, [...(options.get(name) ?? []), inline ?? following(args, ++i, arg)]);
      } else if (known.has(name) && inline === undefined) flags.add(name);
      else if (
        name.startsWith('no-') &&
        kindOptions.some((o) => o.flag === name.slice(3) && o.node.type === 'boolean' && inline === undefined)
      ) {
        members[kindOptions.find((o) => o.flag === name.slice(3))!.member] = false;
      } else throw unknownOption(name, [...values, ...known, ...kindOptions.map((o) => o.flag)], wanted.kind);
    }
  }
  return { words, options, flags, members, references };
}

function following(args: readonly string[], at: number, option: string): string {
  const value = args[at];
  if (value !== undefined) return value;
  throw new WeftError('bad-option', `${option} needs a value`, { remedy: 'give it behind the option' });
}

function setMember(members: Record<string, unknown>, option: KindOption, text: string): void {
  const { member, node, flag } = option;
  const before = members[member];
  if (node.type === 'array') {
    const value = readValue(text.startsWith('[') ? node : (node.items ?? {}), text, flag);
    members[member] = text.startsWith('[') ? value : [...((before as unknown[] | undefined) ?? []), value];
  } else if (node.type === 'object') {
    members[member] = { ...(before as object | undefined), ...(readValue(node, text, flag) as object) };
  } else if (before !== undefined) {
    throw new WeftError('bad-option', `--${flag} is given twice`, { remedy: 'give it once' });
  } else members[member] = readValue(node, text, flag);
}

function unknownOption(name: string, known: readonly string[], kind: KindName | undefined): WeftError {
  const near = nearest(name, known);
  const of = kind === undefined ? '' : ` for a ${KINDS[kind].title}`;
  return new WeftError('bad-option', `there is no option --${name}${of}`, {
    remedy: near === undefined ? 'see --help' : `did you mean --${near}?`,
  });
}

/** The single value of an option; undefined if it is not given. */
export function single(parsed: Parsed, name: string): string | undefined {
  const given = parsed.options.get(name) ?? [];
  if (given.length > 1)
    throw new WeftError('bad-option', `--${name} is given twice`, { remedy: 'give it once' });
  return given[0];
}
