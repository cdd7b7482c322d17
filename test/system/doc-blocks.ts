/**
 * Examples in documentation pages. A fence whose info string is "sh run" is run by the tests; a fence
 * "text output" right behind it is what it must print, with "..." for whatever differs from run to run.
 */

export interface Example {
  /** 1-based line of the opening fence. */
  readonly line: number;
  readonly script: string;
  /** What must be printed; undefined: anything. */
  readonly output: string | undefined;
}

/** The examples of a page, in their order. */
export function readExamples(page: string): Example[] {
  const lines = page.split('\n');
  const found: Example[] = [];
  for (let at = 0; at < lines.length; at++) {
    const info = /^```(.+)$/.exec(lines[at])?.[1].trim();
    if (info === undefined) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`line ${at + 1}: this fence is never closed`);
    const text = lines.slice(at + 1, end).join('\n');
    if (info === 'sh run') found.push({ line: at + 1, script: text, output: undefined });
    else if (info === 'text output') {
      const last = found.at(-1);
      if (last === undefined || last.output !== undefined)
        throw new Error(`line ${at + 1}: output without an example in front`);
      found[found.length - 1] = { ...last, output: text };
    }
    at = end;
  }
  return found;
}

/** Whether a program printed what the page says. Blanks at line ends and empty lines around do not count. */
export function matches(expected: string, printed: string): boolean {
  const tidy = (text: string): string =>
    text
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .trim();
  const pattern = tidy(expected)
    .split('...')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*?');
  return new RegExp(`^${pattern}$`, 's').test(tidy(printed));
}
