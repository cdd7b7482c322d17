import { WeftError } from '../base/errors.ts';
import { type Json, type JsonObject, stringifySorted } from './json.ts';

/**
 * An error as RFC 7047 section 3.1 has it: a short tag such as "constraint violation", details for
 * people, and, where input was at fault, the JSON in question. Tags and details are those of the stock
 * server, because tools and tests compare them.
 */
export class OvsdbError extends WeftError {
  readonly tag: string;
  readonly details: string | undefined;
  readonly syntax: string | undefined;
  readonly io: string | undefined;

  constructor(tag: string, details?: string, more: { syntax?: Json; io?: string; cause?: unknown } = {}) {
    const syntax = more.syntax === undefined ? undefined : stringifySorted(more.syntax);
    const text = `${syntax === undefined ? '' : `syntax "${syntax}": `}${tag}${details === undefined ? '' : `: ${details}`}${more.io === undefined ? '' : ` (${more.io})`}`;
    super(tag.toLowerCase().replace(/[^a-z0-9]+/g, '-'), text, { cause: more.cause });
    this.name = 'OvsdbError';
    this.tag = tag;
    this.details = details;
    this.syntax = syntax;
    this.io = more.io;
  }

  /** The `<error>` object that goes to a client. */
  toJson(): JsonObject {
    const json: { [name: string]: Json } = { error: this.tag };
    if (this.details !== undefined) json.details = this.details;
    if (this.syntax !== undefined) json.syntax = this.syntax;
    if (this.io !== undefined) json['io-error'] = this.io;
    return json;
  }

  /** The same error with `prefix: ` before its details. */
  wrap(prefix: string): OvsdbError {
    const details = this.details === undefined ? prefix : `${prefix}: ${this.details}`;
    const wrapped = new OvsdbError(this.tag, details, { io: this.io, cause: this });
    return this.syntax === undefined ? wrapped : withSyntaxText(wrapped, this.syntax);
  }
}

function withSyntaxText(error: OvsdbError, syntax: string): OvsdbError {
  return Object.defineProperties(error, {
    syntax: { value: syntax, enumerable: true },
    message: { value: `syntax "${syntax}": ${error.message}` },
  });
}

/** What was sent does not have the form that RFC 7047 asks for. */
export function syntaxError(syntax: Json | undefined, details: string, tag = 'syntax error'): OvsdbError {
  return new OvsdbError(tag, details, syntax === undefined ? {} : { syntax });
}

export function constraintViolation(details: string): OvsdbError {
  return new OvsdbError('constraint violation', details);
}
