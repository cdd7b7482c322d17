/** Objects as people read them. */

/** Control and format characters shown instead of sent: a name must not write over a terminal. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}

/** A value in few words. */
export function brief(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map(brief).join(' ');
  if (typeof value === 'object') {
    const members = Object.entries(value);
    // Addresses and tunnels are told by their values alone.
    if ('mac' in value || 'encapsulation' in value)
      return members
        .map(([, v]) => brief(v))
        .filter((v) => v !== '')
        .join(',');
    return members.map(([name, v]) => `${name}=${brief(v)}`).join(',');
  }
  return plain(String(value));
}

/** Rows under their titles; columns in which nothing stands are left out. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const kept = titles.map((_, i) => rows.some((row) => row[i] !== ''));
  const shown = [titles.map((title) => title.toUpperCase()), ...rows].map((row) =>
    row.filter((_, i) => kept[i]),
  );
  const widths = shown[0].map((_, i) => Math.max(...shown.map((row) => width(row[i]))));
  return shown
    .map((row) =>
      row
        .map((cell, i) => cell + ' '.repeat(widths[i] - width(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Columns that a text takes, wide characters being two. */
function width(text: string): number {
  let columns = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (/\p{Mn}/u.test(character)) continue;
    columns +=
      code >= 0x1100 &&
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return columns;
}
