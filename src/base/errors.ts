/**
 * An error that a person can act on: a stable code, what went wrong with which value, and what to do.
 * `code` is kebab-case and documented; `message` carries the offending value.
 */
export class WeftError extends Error {
  readonly code: string;
  /** What the reader can do about it; empty where there is nothing to advise. */
  readonly remedy: string;

  constructor(code: string, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WeftError';
    this.code = code;
    this.remedy = options.remedy ?? '';
  }
}
