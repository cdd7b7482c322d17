import { canonicalInteger, type Json } from '../json.ts';

/** JSON text that is not what it should be; `message` says what and where. */
export class JsonSyntaxError extends Error {}

export const MAX_DEPTH = 1000;

/**
 * What the platform's parser would get wrong for us: integers past 2^53, exponents that overflow, and
 * escapes for null characters or halves of surrogate pairs, which no other OVSDB program accepts. A
 * number stands at the beginning or behind one of a few characters, which keeps the digits of uuids from
 * being taken for one.
 */
const DELICATE =
  /(?:^|[[:,\s])-?(?:[0-9]{16}|[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{3})|\\u(?:0000|[dD][89a-fA-F])/;

/**
 * Parses one JSON text. Integers of 64 bits come out exactly (see `Json`). Throws `JsonSyntaxError`.
 * The depth is bounded by `MAX_DEPTH`.
 */
export function parseJson(text: string): Json {
  if (!DELICATE.test(text)) {
    try {
      return JSON.parse(text) as Json;
    } catch {
      // The slower parser below says more exactly what is wrong.
    }
  }
  return new Parser(text).parse();
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Json {
    this.#space();
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) this.#fail('trailing garbage at end of input');
    return value;
  }

  #fail(message: string): never {
    const before = this.#text.slice(0, this.#at);
    const line = before.split('\n').length;
    const column = this.#at - before.lastIndexOf('\n') - 1;
    throw new JsonSyntaxError(`line ${line}, column ${column}, byte ${this.#at}: ${message}`);
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }

  #value(): Json {
    const c = this.#text[this.#at];
    if (c === undefined) this.#fail('unexpected end of input');
    if (c === '"') return this.#string();
    if (c === '{') return this.#nested(() => this.#object());
    if (c === '[') return this.#nested(() => this.#array());
    if (c === '-' || (c >= '0' && c <= '9')) return this.#number();
    for (const [word, value] of [
      ['null', null],
      ['true', true],
      ['false', false],
    ] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    this.#fail(`invalid character ${JSON.stringify(c)}`);
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail(`input exceeds maximum nesting depth ${MAX_DEPTH}`);
    this.#at++;
    const value = parse();
    this.#depth--;
    return value;
  }

  #array(): Json {
    const items: Json[] = [];
    this.#space();
    if (this.#text[this.#at] === ']') {
      this.#at++;
      return items;
    }
    for (;;) {
      this.#space();
      items.push(this.#value());
      this.#space();
      const c = this.#text[this.#at++];
      if (c === ']') return items;
      if (c !== ',') this.#fail("syntax error expecting ']' or ','");
    }
  }

  #object(): Json {
    const members: [string, Json][] = [];
    this.#space();
    if (this.#text[this.#at] === '}') {
      this.#at++;
      return {};
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('syntax error parsing object expecting string');
      const name = this.#string();
      this.#space();
      if (this.#text[this.#at++] !== ':') this.#fail("syntax error parsing object expecting ':'");
      this.#space();
      members.push([name, this.#value()]);
      this.#space();
      const c = this.#text[this.#at++];
      if (c === '}') return Object.fromEntries(members);
      if (c !== ',') this.#fail("syntax error expecting '}' or ','");
    }
  }

  #number(): Json {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) this.#fail('syntax error in number');
    const [text, fraction, exponent] = match;
    this.#at += text.length;
    if (/[0-9.eE+-]/.test(this.#text[this.#at] ?? '')) this.#fail('syntax error in number');
    if (fraction === undefined && exponent === undefined && text.length >= 16) {
      const integer = canonicalInteger(BigInt(text));
      if (integer !== undefined) return integer;
    }
    const value = Number(text);
    if (!Number.isFinite(value)) this.#fail('number outside valid range');
    return value === 0 ? 0 : value;
  }

  #string(): string {
    let out = '';
    let start = ++this.#at;
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined) this.#fail('unexpected end of input in quoted string');
      if (c < ' ') this.#fail('control characters must be escaped in quoted string');
      if (c === '"') {
        out += this.#text.slice(start, this.#at++);
        return out;
      }
      if (c !== '\\') {
        this.#at++;
        continue;
      }
      out += this.#text.slice(start, this.#at);
      const letter = this.#text[this.#at + 1] ?? '';
      if (letter === 'u') {
        out += this.#unicode();
      } else {
        if (!Object.hasOwn(ESCAPES, letter)) this.#fail(`bad escape \\${letter}`);
        out += ESCAPES[letter];
        this.#at += 2;
      }
      start = this.#at;
    }
  }

  #hex4(): number {
    const digits = this.#text.slice(this.#at + 2, this.#at + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail('malformed \\u escape');
    this.#at += 6;
    return Number.parseInt(digits, 16);
  }

  #unicode(): string {
    const first = this.#hex4();
    if (first === 0) this.#fail('null bytes not supported in quoted strings');
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first > 0xdbff || !this.#text.startsWith('\\u', this.#at))
      this.#fail('malformed escaped surrogate pair');
    const second = this.#hex4();
    if (second < 0xdc00 || second > 0xdfff) {
      this.#fail('second half of escaped surrogate pair is not trailing surrogate');
    }
    return String.fromCharCode(first, second);
  }
}
