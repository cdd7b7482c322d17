/** Tables and records of text. */

/** Longer cells are cut, unless the whole is asked for. */
const CELL_LIMIT = 40;

/** Terminals give two cells to the characters of East Asia; for the rest a code point is a cell. */
export function width(text: string): number {
  let cells = 0;
  for (const character of text)
    cells += /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/u.test(character)
      ? 2
      : 1;
  return cells;
}

const pad = (text: string, to: number): string => text + ' '.repeat(Math.max(0, to - width(text)));

export function shorten(text: string, limit = CELL_LIMIT): string {
  const characters = [...text];
  return characters.length <= limit ? text : `${characters.slice(0, limit - 1).join('')}…`;
}

/** Lines of cells under their heads. */
export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) =>
    rows.reduce((most, row) => Math.max(most, width(row[i])), width(head)),
  );
  return [heads, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, i) => pad(cell, widths[i]))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** One line for each pair. */
export function recordText(pairs: readonly (readonly [string, string])[]): string {
  const most = pairs.reduce((n, [name]) => Math.max(n, width(name)), 0);
  return pairs.map(([name, value]) => `${pad(name, most)}  ${value}\n`).join('');
}
