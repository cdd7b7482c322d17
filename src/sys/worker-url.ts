/**
 * Where the module `name` beside the caller is, to start a worker from: `name.ts` among the sources, `name.js`
 * among the compiled files (the compiler rewrites imports, not URLs). `from` is the caller's
 * `import.meta.url`.
 */
export function siblingModule(from: string, name: string): URL {
  return new URL(`./${name}${from.slice(from.lastIndexOf('.'))}`, from);
}
