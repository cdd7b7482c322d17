import { WeftError } from '../../base/errors.ts';

/** What is wrong with one member of a request, and what to do about it. */
export interface Problem {
  /** JSON pointer (RFC 6901) into what was sent: "/addresses/0/mac"; "" for all of it. */
  readonly member: string;
  /** The value found there; undefined if there is none. */
  readonly value: unknown;
  readonly message: string;
  readonly remedy: string;
}

/** How many problems one answer tells at most; who mends these finds the others. */
const MAX_PROBLEMS = 16;
const MAX_VALUE = 80;

export type ModelErrorCode =
  | 'bad-object'
  | 'bad-reference'
  | 'object-not-found'
  | 'object-exists'
  | 'object-conflict'
  | 'object-in-use'
  | 'object-changed'
  | 'object-immutable'
  | 'not-allowed'
  | 'too-many-objects'
  | 'too-many-operations';

/** A write that was refused: nothing of it has happened. */
export class ModelError extends WeftError {
  declare readonly code: ModelErrorCode;
  readonly problems: readonly Problem[];
  /** Which operation of the transaction, from 0. */
  readonly operation: number | undefined;

  constructor(code: ModelErrorCode, problems: readonly Problem[], operation?: number) {
    const [first] = problems;
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    super(code, `${describe(first)}${more}`, { remedy: first.remedy });
    this.problems = problems.slice(0, MAX_PROBLEMS);
    this.operation = operation;
  }
}

function describe({ member, message }: Problem): string {
  return member === '' ? message : `${member}: ${message}`;
}

/** The text of a value for a message, cut where it is long. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = jsonOf(value) ?? 'a value that is nested too deep';
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}...` : text;
}

/** A value to be sent back: itself, or the start of its text where it is long. */
export function quote(value: unknown): unknown {
  const text = jsonOf(value);
  return value === undefined || (text !== undefined && text.length <= MAX_VALUE) ? value : show(value);
}

/** Undefined where it is too deep for the stack, of which `JSON.stringify` takes a frame a level. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** One step of a JSON pointer. */
export function step(name: string | number): string {
  return `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
