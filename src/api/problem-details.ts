/** Errors as HTTP tells them: problem details (RFC 9457), with the code, the members and what to do. */
import Type from 'typebox';
import { WeftError } from '../base/errors.ts';
import { ModelError, quote } from '../controller/model/problem.ts';

export const PROBLEM_TYPE = 'application/problem+json';

const STATUS: Readonly<Record<string, number>> = {
  'bad-request': 400,
  unauthenticated: 401,
  'not-allowed': 403,
  'too-many-objects': 403,
  'object-not-found': 404,
  'no-route': 404,
  'no-such-revision': 404,
  'method-not-allowed': 405,
  'object-exists': 409,
  'object-conflict': 409,
  'object-in-use': 409,
  'object-immutable': 409,
  'object-changed': 412,
  'too-many-operations': 413,
  'body-too-large': 413,
  'unsupported-media-type': 415,
  'bad-object': 422,
  'bad-reference': 422,
  'too-many-attempts': 429,
  'too-many-watchers': 429,
  'too-many-tokens': 429,
  'internal-error': 500,
  'store-failed': 503,
  'store-full': 507,
};

const Member = {
  member: Type.String({ description: 'JSON pointer (RFC 6901) into what was sent; "" for all of it' }),
  value: Type.Optional(
    Type.Unknown({ description: 'What was found there; long values as the start of their text' }),
  ),
  remedy: Type.String({ description: 'What to do' }),
};

export const ProblemDetails = Type.Object(
  {
    type: Type.String({ description: 'urn:weft:error: and the code' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What went wrong, where, with which value' }),
    code: Type.String({ description: 'Stays the same over versions; docs/errors.md lists all' }),
    remedy: Type.String({ description: 'What to do; "" where there is nothing to advise' }),
    member: Type.Optional(Member.member),
    value: Member.value,
    operation: Type.Optional(Type.Integer({ description: 'Which operation of a transaction, from 0' })),
    problems: Type.Optional(
      Type.Array(Type.Object({ ...Member, message: Type.String() }), {
        description: 'Each member that is wrong, up to 16',
      }),
    ),
  },
  { description: 'Problem details (RFC 9457)' },
);

export interface ProblemReply {
  readonly status: number;
  readonly body: object;
  /** Not the caller's doing: to be logged. */
  readonly bug: boolean;
}

function title(code: string): string {
  const words = code.replaceAll('-', ' ');
  return words[0].toUpperCase() + words.slice(1);
}

/** The answer that tells an error. What is no `WeftError` is a bug, and nothing of it goes out. */
export function problemReply(error: unknown): ProblemReply {
  if (!(error instanceof WeftError)) {
    const told = new WeftError('internal-error', 'the controller failed to handle this request', {
      remedy: "see the controller's log, and report it",
    });
    return { ...problemReply(told), bug: true };
  }
  const { code, message, remedy } = error;
  // Errors of parts below (labels used up, a host that is away) are no fault of the request.
  const status = STATUS[code] ?? 503;
  const body: Record<string, unknown> = {
    type: `urn:weft:error:${code}`,
    title: title(code),
    status,
    detail: message,
    code,
    remedy,
  };
  if (error instanceof ModelError) {
    const problems = error.problems.map((p) => ({ ...p, value: quote(p.value) }));
    body.member = problems[0].member;
    body.value = problems[0].value;
    if (error.operation !== undefined) body.operation = error.operation;
    body.problems = problems;
  }
  return { status, body, bug: false };
}

export function badRequest(message: string, remedy: string): WeftError {
  return new WeftError('bad-request', message, { remedy });
}
