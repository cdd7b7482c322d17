/**
 * Types are written as in programs: `bool`, `int`, `bigint`, `string`, `uuid`, the name of a type
 * that the host registers, or `list<...>` and `set<...>` of one of these. Equal text, equal type.
 */
export type TypeName = string;

export const PRIMITIVE_TYPES = ['bool', 'int', 'bigint', 'string', 'uuid'] as const;

/**
 * A value as the host sees it: boolean for bool, number for int (a safe integer), bigint, string,
 * string for uuid (lower case), array for list and set, and the host's own object for its types.
 */
export type Value = boolean | number | bigint | string | object;

/** One row of a table: its columns' values in order. */
export type Row = readonly Value[];

/** The element type of a list or set type, `undefined` for the others. */
export function elementType(type: TypeName): TypeName | undefined {
  const match = /^(?:list|set)<(.*)>$/.exec(type);
  return match === null ? undefined : match[1];
}

/** A type of the host's own, such as a flow match: what nlog must know of it. */
export interface OpaqueType {
  readonly name: string;
  /** Two values are the same value exactly if their keys are equal. The key also orders them. */
  key(value: object): string;
  /** How rows print it; the key if not given. */
  format?(value: object): string;
}

/**
 * A stateless function of some columns. It must give the same result for the same arguments, always:
 * rows that are deleted are found again by calling it again.
 */
export interface HostFunction {
  readonly name: string;
  /** Types of the arguments, as the program declares them. */
  readonly inputs: readonly TypeName[];
  readonly outputs: readonly TypeName[];
  /**
   * One output: its value. Several: an array of them. None: whether it holds. `undefined`: the
   * function has no value here, and the rule derives nothing. With `each`: an array of such results.
   */
  call(...args: Value[]): Value | undefined;
  readonly each?: boolean;
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
