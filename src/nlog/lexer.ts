import type { Report, Source, Span } from './diagnostics.ts';

export type TokenKind = 'name' | 'int' | 'bigint' | 'string' | 'punct' | 'end';

export interface Token extends Span {
  readonly kind: TokenKind;
  /** Names and punctuation as written; strings with their escapes resolved; numbers as written. */
  readonly text: string;
}

const PUNCTUATION = [
  ':-',
  '->',
  '!=',
  '<=',
  '>=',
  '==',
  '(',
  ')',
  ',',
  ';',
  ':',
  '<',
  '>',
  '=',
  '+',
  '-',
  '*',
  '/',
  '%',
  '.',
  '!',
];
const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' };
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /(?:0[xX][0-9a-fA-F]+|[0-9]+)(n?)([A-Za-z0-9_]*)/y;
const SPACE = /(?:[ \t\r\n\f]|#[^\n]*)+/y;

/** Cuts a source into tokens; the last one is always `end`. Wrong characters are reported and skipped. */
export function lex(source: Source, report: Report): Token[] {
  const { text } = source;
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const push = (kind: TokenKind, end: number, value: string): void => {
    tokens.push({ kind, text: value, source, offset: at, end });
    at = end;
  };
  for (;;) {
    const space = match(SPACE);
    if (space !== null) at += space[0].length;
    if (at >= text.length) break;
    const name = match(NAME);
    if (name !== null) {
      push('name', at + name[0].length, name[0]);
      continue;
    }
    const number = match(NUMBER);
    if (number !== null) {
      const end = at + number[0].length;
      if (number[2] !== '')
        report.error(
          'syntax',
          { source, offset: at, end },
          `"${number[0]}" is neither a number nor a name`,
          'names begin with a letter or "_"; put text in quotes',
        );
      push(
        number[1] === 'n' ? 'bigint' : 'int',
        end,
        number[0].slice(0, number[0].length - number[1].length - number[2].length),
      );
      continue;
    }
    if (text[at] === '"') {
      lexString(source, at, report, push);
      continue;
    }
    const punct = PUNCTUATION.find((p) => text.startsWith(p, at));
    if (punct !== undefined) {
      push('punct', at + punct.length, punct);
      continue;
    }
    const wrong = String.fromCodePoint(text.codePointAt(at)!);
    report.error(
      'syntax',
      { source, offset: at, end: at + wrong.length },
      `the character ${JSON.stringify(wrong)} has no meaning here`,
      'remove it; comments begin with "#"',
    );
    at += wrong.length;
  }
  push('end', at, '');
  return tokens;
}

function lexString(
  source: Source,
  start: number,
  report: Report,
  push: (kind: TokenKind, end: number, value: string) => void,
): void {
  const { text } = source;
  let value = '';
  let i = start + 1;
  for (; i < text.length && text[i] !== '"' && text[i] !== '\n'; i++) {
    if (text[i] !== '\\') {
      value += text[i];
      continue;
    }
    const escaped = ESCAPES[text[i + 1] ?? ''];
    if (escaped === undefined)
      report.error(
        'syntax',
        { source, offset: i, end: i + 2 },
        `unknown escape "\\${text[i + 1] ?? ''}"`,
        'the escapes are \\n, \\t, \\r, \\" and \\\\',
      );
    else value += escaped;
    i++;
  }
  if (text[i] !== '"') {
    report.error(
      'syntax',
      { source, offset: start, end: Math.min(i, text.length) },
      'the string is not closed on its line',
      'close it with "; write \\n for a new line',
    );
    push('string', Math.min(i, text.length), value);
  } else push('string', i + 1, value);
}
