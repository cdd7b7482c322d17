/** Files of objects: YAML or JSON, one list a kind, objects named by name. */
import { LineCounter, parseAllDocuments } from 'yaml';
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { nearest } from '../command.ts';

export interface Entry {
  readonly kind: KindName;
  /** Members as they stand in the file: references are names still. */
  readonly members: Readonly<Record<string, unknown>>;
  /** For errors: "net.yaml: logical-ports[3]". */
  readonly where: string;
}

export interface Manifest {
  readonly entries: readonly Entry[];
  /** The kinds that the file speaks of, those with empty lists among them. */
  readonly kinds: ReadonlySet<KindName>;
}

/** A file of objects is small; what is larger is something else. */
const MAX_TEXT = 64 << 20;

function bad(message: string, remedy: string): WeftError {
  return new WeftError('bad-file', message, { remedy });
}

/** Throws `bad-file`, with the place. */
export function readManifest(text: string, file: string): Manifest {
  if (text.length > MAX_TEXT) throw bad(`${file} has ${text.length} characters`, 'split it');
  const lines = new LineCounter();
  const entries: Entry[] = [];
  const kinds = new Set<KindName>();
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    const [error] = document.errors;
    if (error !== undefined) throw bad(`${file}: ${error.message.split('\n')[0]}`, 'correct the YAML');
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 1000 });
    } catch (cause) {
      throw bad(`${file}: ${(cause as Error).message}`, 'use fewer aliases');
    }
    if (value === null || value === undefined) continue;
    readDocument(value, file, kinds, entries);
  }
  return { entries, kinds };
}

function readDocument(value: unknown, file: string, kinds: Set<KindName>, entries: Entry[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(`${file} is no table of kinds`, 'write "logical-switches:" with a list below it');
  for (const [key, list] of Object.entries(value)) {
    const kind = KIND_NAMES.find((name) => name === key || KINDS[name].path === key);
    if (kind === undefined) {
      const paths = KIND_NAMES.map((name) => KINDS[name].path);
      const near = nearest(key, paths);
      throw bad(
        `${file}: there is no kind "${key}"`,
        near === undefined ? `there are ${paths.join(', ')}` : `did you mean "${near}"?`,
      );
    }
    kinds.add(kind);
    if (list !== null && !Array.isArray(list))
      throw bad(`${file}: "${key}" is no list`, 'begin each object with "- "');
    for (const [i, members] of ((list as unknown[] | null) ?? []).entries()) {
      const where = `${file}: ${key}[${i}]`;
      if (typeof members !== 'object' || members === null || Array.isArray(members))
        throw bad(`${where} is no object`, 'write its members as "name: web"');
      entries.push({ kind, members: members as Record<string, unknown>, where });
    }
  }
}
