/** Reads lab files: YAML, or a TypeScript (or JavaScript) module whose default export is the same value. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Errors } from 'typebox/value';
import { type Document, isAlias, isMap, isNode, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { WeftError } from '../../base/errors.ts';
import { LabFile } from './schema.ts';

/** More findings than these are not shown. */
const MAX_FINDINGS = 8;
/** Aliases of aliases could make a small file a huge value. */
const MAX_ALIASES = 100;

/** A lab file as it was read: its value, and where its parts stand. */
export interface LoadedFile {
  readonly value: LabFile;
  /** "FILE:LINE:COLUMN: hosts.host1: " of a path into the value. */
  at(path: readonly (string | number)[]): string;
}

/** Something wrong with a lab file, at a path into its value. */
export interface Finding {
  readonly path: readonly (string | number)[];
  readonly text: string;
}

/** One error that tells all findings, each with its place. */
export function badLabFile(at: LoadedFile['at'], findings: readonly Finding[]): WeftError {
  const lines = findings.slice(0, MAX_FINDINGS).map(({ path, text }) => `${at(path)}${text}`);
  if (findings.length > lines.length) lines.push(`and ${findings.length - lines.length} more`);
  return new WeftError('bad-lab-file', lines.join('\n'), { remedy: 'docs/lab.md describes lab files' });
}

const dotted = (path: readonly (string | number)[]): string =>
  path.length === 0
    ? ''
    : `${path
        .map((p) => (typeof p === 'number' ? `[${p}]` : p))
        .join('.')
        .replaceAll('.[', '[')}: `;

/** The members of a JSON pointer. */
const members = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** What is wrong, in words; the validator's own say less than its parameters. */
function findingsOf(errors: readonly SchemaError[]): Finding[] {
  const found = new Map<string, Finding>();
  const choices = new Map<string, string[]>();
  for (const { keyword, instancePath, params } of errors) {
    const { allowedValue } = params as { allowedValue?: unknown };
    if (keyword !== 'const') continue;
    const known = choices.get(instancePath) ?? [];
    choices.set(instancePath, [...known, JSON.stringify(allowedValue)]);
  }
  for (const { keyword, instancePath, message, params } of errors) {
    const path = members(instancePath);
    const allowed = choices.get(instancePath);
    let text = message;
    if (keyword === 'additionalProperties' || keyword === 'const') continue;
    // Members that a strict object does not have fail against the schema `false`.
    if (keyword === 'boolean') text = 'there is no such member, and no such name may be given here';
    else if (keyword === 'required') {
      const { requiredProperties } = params as { requiredProperties: string[] };
      text = `lacks ${requiredProperties.join(', ')}`;
    } else if (keyword === 'pattern') {
      text = `must be like ${(params as { pattern: RegExp | string }).pattern}`;
    } else if (keyword === 'anyOf' && allowed !== undefined) text = `must be one of ${allowed.join(', ')}`;
    if (!found.has(instancePath)) found.set(instancePath, { path, text });
  }
  return [...found.values()];
}

/** Checks a value against the schema; findings with their paths. */
export function checkLabFile(value: unknown): Finding[] {
  return findingsOf(Errors(LabFile, value) as readonly SchemaError[]);
}

/** The node at a path, or the nearest above it; follows aliases. */
function nodeAt(document: Document, path: readonly (string | number)[]): Node | null {
  let node = document.contents as Node | null;
  for (const part of path) {
    const here = isAlias(node) ? node.resolve(document) : node;
    const map = isMap(here) ? here.items.find(({ key }) => String(key) === String(part)) : undefined;
    const next = map?.value ?? map?.key ?? (isSeq(here) ? here.items[Number(part)] : undefined);
    if (!isNode(next)) return node;
    node = next;
  }
  return node;
}

/** Reads the text of a YAML lab file. @throws WeftError `bad-lab-file` */
export function parseLabYaml(file: string, text: string): LoadedFile {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, merge: true, uniqueKeys: true });
  const place = (offset: number | undefined): string => {
    if (offset === undefined) return file;
    const { line, col } = lineCounter.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined) {
    const [what] = broken.message.split('\n');
    throw new WeftError('bad-lab-file', `${place(broken.pos[0])}: ${what.replace(/ at line .*$/, '')}`);
  }
  const at: LoadedFile['at'] = (path) =>
    `${place(nodeAt(document as unknown as Document, path)?.range?.[0])}: ${dotted(path)}`;
  return checked(document.toJS({ maxAliasCount: MAX_ALIASES }), at);
}

function checked(value: unknown, at: LoadedFile['at']): LoadedFile {
  const findings = checkLabFile(value);
  if (findings.length > 0) throw badLabFile(at, findings);
  return { value: value as LabFile, at };
}

/** Reads a lab file by its name. @throws WeftError `bad-lab-file` */
export async function loadLabFile(file: string): Promise<LoadedFile> {
  if (!/\.(ts|mts|js|mjs)$/.test(file)) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new WeftError('bad-lab-file', `${file}: cannot be read: ${(cause as Error).message}`, { cause });
    }
    return parseLabYaml(file, text);
  }
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown };
  } catch (cause) {
    throw new WeftError('bad-lab-file', `${file}: ${(cause as Error).message}`, { cause });
  }
  return checked(module.default, (path) => `${file}: ${dotted(path)}`);
}
