/** The options of a kind, from its schema: what may be given, and how its text becomes a value. */
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { nearest } from '../command.ts';

/** The part of a JSON schema that matters here. */
export interface SchemaNode {
  readonly type?: string;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly patternProperties?: object;
}

export interface KindOption {
  /** Without dashes: "port-security". */
  readonly flag: string;
  /** Another spelling, "address" for "addresses". */
  readonly singular: string | undefined;
  readonly member: string;
  readonly node: SchemaNode;
  /** The kind it refers to, if it does. */
  readonly reference: KindName | undefined;
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export function schemaOf(kind: KindName): SchemaNode {
  return KINDS[kind].schema as SchemaNode;
}

/** The options of a kind, in the order of its schema. */
export function optionsOf(kind: KindName): KindOption[] {
  const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
  return Object.entries(schemaOf(kind).properties ?? {}).map(([member, node]) => {
    const flag = kebab(member);
    const singular = /sses$/.test(flag)
      ? flag.slice(0, -2)
      : /s$/.test(flag) && !/ss$/.test(flag)
        ? flag.slice(0, -1)
        : undefined;
    const plural = node.type === 'array' || node.patternProperties !== undefined;
    return { flag, member, node, singular: plural ? singular : undefined, reference: references[member] };
  });
}

/** Names of kinds as people say them: "logical-port", "logical-ports", "port". */
export function kindOf(word: string | undefined): KindName {
  const wanted = (word ?? '').toLowerCase();
  const bare = (kind: KindName): string => kind.replace(/^(logical|transport|static|address)-/, '');
  const found =
    KIND_NAMES.find((kind) => kind === wanted || KINDS[kind].path === wanted) ??
    KIND_NAMES.find((kind) => bare(kind) === wanted);
  if (found !== undefined) return found;
  if (word === undefined)
    throw new WeftError('bad-option', 'the kind of object is missing: it comes first', {
      remedy: `there are ${KIND_NAMES.join(', ')}`,
    });
  const near = nearest(wanted, [...KIND_NAMES, ...KIND_NAMES.map(bare)]);
  throw new WeftError('bad-option', `there is no kind "${word}"`, {
    remedy: near === undefined ? `there are ${KIND_NAMES.join(', ')}` : `did you mean "${near}"?`,
  });
}

function notUnderstood(flag: string, text: string, why: string): WeftError {
  return new WeftError('bad-option', `--${flag} "${text}": ${why}`, {
    remedy: '"weft net create KIND --help" shows the forms',
  });
}

/** The value that a text of the command line stands for. What fits no form is left to the API to judge. */
export function readValue(node: SchemaNode, text: string, flag: string): unknown {
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw notUnderstood(flag, text, `is no JSON: ${(error as Error).message}`);
    }
  }
  if (node.patternProperties !== undefined) return Object.fromEntries([pairOf(text, flag)]);
  if (node.type === 'object') return objectOf(node, text, flag);
  if (node.anyOf !== undefined) {
    const literal = node.anyOf.find((branch) => branch.const === text);
    if (literal !== undefined) return text;
    return node.anyOf.some((branch) => branch.type === 'integer') && /^\d+$/.test(text) ? Number(text) : text;
  }
  if (node.type === 'integer' || node.type === 'number')
    return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (node.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function pairOf(text: string, flag: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw notUnderstood(flag, text, 'is not NAME=VALUE');
  return [text.slice(0, at), text.slice(at + 1)];
}

/**
 * "protocol=tcp,destinationPorts=80": members separated by commas, one given twice a list. Words without a name are the
 * members in their order, and the last that is a list takes the rest: "02:00:00:00:00:01,10.0.0.5,10.0.0.6".
 */
function objectOf(node: SchemaNode, text: string, flag: string): Record<string, unknown> {
  const members = Object.entries(node.properties ?? {});
  const object: Record<string, unknown> = {};
  let place = 0;
  for (const word of text.split(',').filter((w) => w !== '')) {
    const at = word.indexOf('=');
    const given = at > 0 ? word.slice(0, at) : undefined;
    const member =
      given === undefined
        ? members[Math.min(place++, members.length - 1)]
        : members.find(([name]) => name === given || kebab(name) === given);
    if (member === undefined) {
      const names = members.map(([name]) => name);
      const near = nearest(given ?? '', names);
      throw notUnderstood(
        flag,
        text,
        `there is no "${given}" in it; ${near === undefined ? `there are ${names.join(', ')}` : `did you mean "${near}"?`}`,
      );
    }
    const [name, inner] = member;
    const list = inner.type === 'array';
    const value = readValue(
      list ? (inner.items ?? {}) : inner,
      given === undefined ? word : word.slice(at + 1),
      flag,
    );
    const before = object[name];
    if (list) object[name] = [...((before as unknown[] | undefined) ?? []), value];
    else if (before === undefined) object[name] = value;
    else object[name] = [...(Array.isArray(before) ? before : [before]), value];
  }
  return object;
}

/** How a value is written, for help. */
export function formOf(node: SchemaNode): string {
  if (node.anyOf !== undefined) {
    const literals = node.anyOf
      .filter((branch) => branch.const !== undefined)
      .map((branch) => String(branch.const));
    return literals.length > 0 ? literals.join('|') : 'VALUE';
  }
  if (node.patternProperties !== undefined) return 'NAME=VALUE';
  if (node.type === 'array') return formOf(node.items ?? {});
  if (node.type === 'object')
    return Object.keys(node.properties ?? {})
      .map((name) => `${name}=...`)
      .join(',');
  return node.type === 'integer' ? 'N' : node.type === 'boolean' ? '' : 'TEXT';
}
