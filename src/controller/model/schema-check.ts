/** Holds what was sent against the schema of its kind, and says in words what does not fit. */

import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import Value from 'typebox/value';
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { nearestName } from './nearest-name.ts';
import { type Problem, show, step } from './problem.ts';

interface SchemaError {
  readonly keyword: string;
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message: string;
}

interface SchemaNode {
  readonly description?: string;
  readonly anyOf?: readonly { readonly const?: unknown; readonly type?: string }[];
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** Checks objects by the schemas of all kinds; compiled once, at the first use of each. */
export class SchemaChecker {
  readonly #validators = new Map<TSchema, Validator>();

  /** The problems of `spec` as an object of `kind`; none if it is one. */
  problems(kind: KindName, spec: unknown): Problem[] {
    return this.problemsOf(KINDS[kind].schema, spec);
  }

  problemsOf(schema: TSchema, value: unknown): Problem[] {
    let validator = this.#validators.get(schema);
    if (validator === undefined) {
      validator = Compile(schema);
      this.#validators.set(schema, validator);
    }
    if (validator.Check(value)) return [];
    return explain(schema, value, validator.Errors(value));
  }

  /** `spec` with what is left out of it filled in; a value of its own. */
  withDefaults<T>(schema: TSchema, spec: T): T {
    return Value.Default(schema, structuredClone(spec)) as T;
  }
}

function explain(schema: TSchema, value: unknown, errors: readonly SchemaError[]): Problem[] {
  const problems = new Map<string, Problem>();
  const add = (member: string, message: string, remedy: string, at: unknown): void => {
    if (!problems.has(member)) problems.set(member, { member, value: at, message, remedy });
  };
  // What is said of a union as a whole says more than what each of its branches misses.
  const unions = errors.filter((e) => e.keyword === 'anyOf').map((e) => e.schemaPath);
  for (const error of errors) {
    if (error.keyword === 'boolean' || unions.some((path) => error.schemaPath.startsWith(`${path}/anyOf/`)))
      continue;
    const at = resolve(value, error.instancePath);
    const node = resolve(schema, error.schemaPath.slice(1)) as SchemaNode | undefined;
    if (error.keyword === 'required') {
      for (const name of (error.params as { requiredProperties: string[] }).requiredProperties) {
        const member = resolve(node?.properties, step(name)) as SchemaNode | undefined;
        add(error.instancePath + step(name), 'is missing', advice('give it', member), undefined);
      }
    } else if (error.keyword === 'additionalProperties') {
      for (const name of (error.params as { additionalProperties: string[] }).additionalProperties) {
        const names = Object.keys(node?.properties ?? {});
        const near = nearestName(name, names);
        const remedy =
          near !== undefined
            ? `did you mean "${near}"?`
            : names.length > 0
              ? `there are ${names.join(', ')}`
              : 'leave it out';
        add(error.instancePath + step(name), 'is not a member of this', remedy, resolve(at, step(name)));
      }
    } else {
      add(error.instancePath, `${show(at)} ${complaint(error, node)}`, advice('correct it', node), at);
    }
  }
  if (problems.size === 0) {
    // Errors are counted up to a limit, and those of one union may have filled it.
    const [first] = errors;
    const at = resolve(value, first.instancePath);
    add(first.instancePath, `${show(at)} has no form that is taken here`, 'see the schema', at);
  }
  return [...problems.values()];
}

function complaint(error: SchemaError, node: SchemaNode | undefined): string {
  if (error.keyword === 'anyOf') {
    const literals = node?.anyOf?.map((branch) => branch.const);
    if (literals?.every((literal) => literal !== undefined))
      return `is none of ${literals.map((literal) => show(literal)).join(', ')}`;
    const words = node?.anyOf?.map((branch) =>
      branch.const === undefined ? `of type ${branch.type ?? 'value'}` : show(branch.const),
    );
    return `is none of ${words?.join(', ') ?? 'what is taken here'}, or out of range`;
  }
  if (error.keyword === 'format') return 'is no UUID';
  if (error.keyword === 'pattern') return 'has not the form that is wanted';
  return error.message;
}

function advice(otherwise: string, node: SchemaNode | undefined): string {
  return node?.description ?? otherwise;
}

/** What a JSON pointer leads to; undefined if nothing is there. */
function resolve(value: unknown, pointer: string): unknown {
  let at = value;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

/** Whether a word is the name of a kind. */
export function isKind(word: unknown): word is KindName {
  return (KIND_NAMES as readonly unknown[]).includes(word);
}
