/**
 * The rules of this repository that neither the compiler nor the linter knows: which layer may import
 * which, where time and randomness may come from, and what no file may contain. Pure functions over
 * file texts, so that they can be tested; `scripts/check.ts` feeds them the working tree.
 */
import { posix } from 'node:path';
import { LAYERS } from './layers.ts';

/** One broken rule: where, and what to do about it. */
export interface Violation {
  file: string;
  /** 1-based. */
  line: number;
  message: string;
}

/** Layers whose code does no I/O, reads no clock and draws no random number (tests beside it may). */
const PURE_LAYERS: ReadonlySet<string> = new Set(['base', 'wire', 'flow', 'openflow', 'nlog', 'logical']);
/** Layers that take their time and randomness through constructors, whatever else they do. */
const CLOCKLESS_LAYERS: ReadonlySet<string> = new Set([
  ...PURE_LAYERS,
  'ovsdb',
  'switch',
  'controller',
  'agent',
]);
/** Modules of Node that a pure layer may still use: they compute, and touch nothing outside. */
const PURE_NODE_MODULES: ReadonlySet<string> = new Set(['node:util', 'node:assert/strict', 'node:path']);
/** The layers that may load the foreign function interface. */
const FFI_LAYERS: ReadonlySet<string> = new Set(['sys']);
/** The other packages, and the layers that may import them. */
const PACKAGES: Readonly<Record<string, ReadonlySet<string>>> = {
  typebox: new Set(['api-schema', 'controller', 'api', 'cli', 'lab']),
  fastify: new Set(['api']),
  yaml: new Set(['cli', 'lab']),
};
/** What tests may import beside the layer's own table. */
const TEST_MODULES: ReadonlySet<string> = new Set(['fast-check']);

const IMPORT =
  /(?:^|[\s;}])(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"$\s]+)['"]|\bimport\s*\(?\s*['"]([^'"$\s]+)['"]|new\s+URL\(\s*['"](\.[^'"]+\.ts)['"]/g;
const AMBIENT =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|process\.hrtime|setTimeout|setInterval)\b/g;
const FORBIDDEN_TEXT: readonly [RegExp, string][] = [
  [
    /(?<![\w.])\/(?:work|farm|root|home)\/[\w.]/g,
    'path of one machine: use a relative path or an environment variable',
  ],
  [/registry\.npmjs\.org/g, "name of a registry's host: leave it to npm's own configuration"],
  [/@ts-(?:ignore|nocheck|expect-error)/g, 'switched-off type check: give the value its type'],
  [/\b(?:TODO|FIXME)\b/g, 'left-over: do it, or file it'],
];

/** Replaces comments by blanks of the same length, so that offsets and line numbers stay. */
export function blankComments(source: string): string {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return source.replace(token, (t) =>
    t.startsWith('//') || t.startsWith('/*') ? t.replace(/[^\n]/g, ' ') : t,
  );
}

function lineAt(source: string, offset: number): number {
  let line = 1;
  for (let i = source.indexOf('\n'); i >= 0 && i < offset; i = source.indexOf('\n', i + 1)) line++;
  return line;
}

/** The layer of a path such as `src/wire/udp.ts`, or undefined outside the layers. */
export function layerOf(file: string): string | undefined {
  const parts = file.split('/');
  return parts[0] === 'src' && parts.length > 2 && Object.hasOwn(LAYERS, parts[1]!) ? parts[1] : undefined;
}

/**
 * Whether a file is there for tests only: a test, the generators that several tests draw from, a suite that
 * several implementations run, or a fixture.
 */
const isTest = (file: string): boolean =>
  /\.test\.ts$|\/arbitrar(?:y|ies)\.ts$|\/(?:testing|conformance|fixture)\//.test(file);

function checkImport(file: string, target: string): string | undefined {
  const layer = layerOf(file);
  if (target.startsWith('.')) {
    if (!target.endsWith('.ts') && !target.endsWith('.json')) {
      return `import of "${target}" without its extension: write "${target.replace(/\.js$/, '')}.ts"`;
    }
    const to = posix.normalize(posix.join(posix.dirname(file), target));
    const toLayer = layerOf(to);
    if (layer === undefined) return undefined;
    if (isTest(to) && !isTest(file)) return `import of "${target}", which is for tests only`;
    if (toLayer === undefined) return `layer "${layer}" imports "${to}", which is outside the layers`;
    if (toLayer !== layer && !LAYERS[layer]!.includes(toLayer)) {
      return `layer "${layer}" may not import layer "${toLayer}" (scripts/layers.ts allows: ${LAYERS[layer]!.join(', ') || 'none'})`;
    }
    return undefined;
  }
  if (layer === undefined) return undefined;
  if (target.startsWith('node:')) {
    if (PURE_LAYERS.has(layer) && !isTest(file) && !PURE_NODE_MODULES.has(target)) {
      return `layer "${layer}" does no I/O, but imports "${target}": take it through a constructor`;
    }
    return undefined;
  }
  if (target === 'koffi') {
    return FFI_LAYERS.has(layer) ? undefined : `layer "${layer}" imports koffi: system calls live in src/sys`;
  }
  if (isTest(file) && TEST_MODULES.has(target)) return undefined;
  const [name] = target.split('/');
  if (Object.hasOwn(PACKAGES, name)) {
    return PACKAGES[name].has(layer)
      ? undefined
      : `layer "${layer}" imports ${name}, which belongs to others`;
  }
  return `import of "${target}", which is not a dependency of Weft`;
}

/** Every rule over one TypeScript file. `file` is its path from the repository's root. */
export function checkSource(file: string, source: string): Violation[] {
  const found: Violation[] = [];
  const code = blankComments(source);
  const add = (offset: number, message: string): void => {
    found.push({ file, line: lineAt(source, offset), message });
  };
  for (const m of code.matchAll(IMPORT)) {
    const message = checkImport(file, m[1] ?? m[2] ?? m[3]!);
    if (message !== undefined) add(m.index, message);
  }
  const layer = layerOf(file);
  if (layer !== undefined && CLOCKLESS_LAYERS.has(layer) && !isTest(file)) {
    for (const m of code.matchAll(AMBIENT)) {
      add(
        m.index,
        `layer "${layer}" uses ${m[1]}: take a Clock (src/base/clock.ts) or a source of randomness`,
      );
    }
  }
  return found;
}

/** The rules that hold for every text file of the repository. */
export function checkText(file: string, text: string): Violation[] {
  if (
    file === 'package-lock.json' ||
    file === 'scripts/house-rules.ts' ||
    file === 'scripts/house-rules.test.ts'
  )
    return [];
  const found: Violation[] = [];
  for (const [pattern, message] of FORBIDDEN_TEXT) {
    for (const m of text.matchAll(pattern))
      found.push({ file, line: lineAt(text, m.index), message: `"${m[0]}": ${message}` });
  }
  return found;
}

/** Holds one layer's tsconfig.json against the layer table. */
export function checkTsconfig(layer: string, text: string): Violation[] {
  const file = `src/${layer}/tsconfig.json`;
  const config = JSON.parse(text) as { references?: { path: string }[]; extends?: string };
  const has = (config.references ?? []).map((r) => r.path.replace(/^\.\.\//, '')).sort();
  const wants = [...LAYERS[layer]!].sort();
  if (has.join() === wants.join()) return [];
  return [
    {
      file,
      line: 1,
      message: `references are [${has.join(', ')}], the layer table says [${wants.join(', ')}]`,
    },
  ];
}
