import { type OvsdbError, syntaxError } from '../error.ts';
import { asInteger, isJsonArray, isJsonObject, type Json, type JsonObject, member } from '../json.ts';

/** What a member of an object may be. `id` is a string that is an RFC 7047 `<id>`. */
export type Kind = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'id' | 'array' | 'object' | 'any';

const ID = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

function isKind(value: Json, kind: Kind): boolean {
  switch (kind) {
    case 'any':
      return true;
    case 'null':
      return value === null;
    case 'boolean':
      return typeof value === 'boolean';
    case 'integer':
      return asInteger(value) !== undefined;
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint';
    case 'string':
      return typeof value === 'string';
    case 'id':
      return typeof value === 'string' && isId(value);
    case 'array':
      return isJsonArray(value);
    case 'object':
      return isJsonObject(value);
  }
}

/**
 * Takes an object apart member by member and refuses what nobody asked for. The first error is kept
 * and thrown by `check` or `finish`, so that callers may ask for all members before they look.
 */
export class ObjectParser {
  readonly #json: JsonObject | undefined;
  readonly #source: Json;
  readonly #what: string;
  readonly #used = new Set<string>();
  #error: OvsdbError | undefined;

  constructor(json: Json, what: string) {
    this.#source = json;
    this.#json = isJsonObject(json) ? json : undefined;
    this.#what = what;
    if (this.#json === undefined) this.raise('Object expected.');
  }

  get error(): OvsdbError | undefined {
    return this.#error;
  }

  #find(name: string, kinds: readonly Kind[], needed: boolean): Json | undefined {
    if (this.#json === undefined) return undefined;
    const value = member(this.#json, name);
    if (value === undefined) {
      if (needed) this.raise(`Required '${name}' member is missing.`);
      return undefined;
    }
    for (const kind of kinds) {
      if (isKind(value, kind)) {
        this.#used.add(name);
        return value;
      }
    }
    this.raise(`Type mismatch for member '${name}'.`);
    return undefined;
  }

  /** A member that must be there; undefined if it is not, which `check` then reports. */
  need(name: string, ...kinds: Kind[]): Json | undefined {
    return this.#find(name, kinds, true);
  }

  maybe(name: string, ...kinds: Kind[]): Json | undefined {
    return this.#find(name, kinds, false);
  }

  needString(name: string, kind: 'string' | 'id' = 'string'): string | undefined {
    return this.#find(name, [kind], true) as string | undefined;
  }

  maybeString(name: string, kind: 'string' | 'id' = 'string'): string | undefined {
    return this.#find(name, [kind], false) as string | undefined;
  }

  needArray(name: string): readonly Json[] | undefined {
    return this.#find(name, ['array'], true) as readonly Json[] | undefined;
  }

  maybeArray(name: string): readonly Json[] | undefined {
    return this.#find(name, ['array'], false) as readonly Json[] | undefined;
  }

  maybeBoolean(name: string): boolean | undefined {
    return this.#find(name, ['boolean'], false) as boolean | undefined;
  }

  maybeInteger(name: string): number | bigint | undefined {
    return asInteger(this.#find(name, ['integer'], false));
  }

  needObject(name: string): JsonObject | undefined {
    return this.#find(name, ['object'], true) as JsonObject | undefined;
  }

  maybeObject(name: string): JsonObject | undefined {
    return this.#find(name, ['object'], false) as JsonObject | undefined;
  }

  raise(message: string): void {
    this.#error ??= syntaxError(this.#json, `Parsing ${this.#what} failed: ${message}`);
  }

  /** The whole object, for errors that show it. */
  get source(): Json {
    return this.#source;
  }

  /** Throws the first error so far. */
  check(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  /** Throws the first error so far, or one about members that nobody asked for. */
  finish(): void {
    this.check();
    const extra = Object.keys(this.#json ?? {}).filter((name) => !this.#used.has(name));
    if (extra.length === 0) return;
    const others = extra.length - 1;
    this.raise(
      others === 0
        ? `Member '${extra[0]}' is present but not allowed here.`
        : `Member '${extra[0]}' and ${others} other member${others > 1 ? 's' : ''} are present but not allowed here.`,
    );
    this.check();
  }
}
