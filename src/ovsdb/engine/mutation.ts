import { type Atom, checkAtom, type SymbolTable } from '../data/atom.ts';
import { type Datum, datumFromJson, sortedDatum } from '../data/datum.ts';
import { subtractDatums, unionDatums } from '../data/diff.ts';
import { type ColumnType, describeType, isMap, isScalar, isSet, plainBase, UNLIMITED } from '../data/type.ts';
import { constraintViolation, OvsdbError, syntaxError } from '../error.ts';
import { canonicalInteger, isJsonArray, type Json } from '../json.ts';
import type { Column, TableSchema } from '../schema/schema.ts';

type Arithmetic = '+=' | '-=' | '*=' | '/=' | '%=';
type MutatorName = Arithmetic | 'insert' | 'delete';

const MUTATORS = new Set<string>(['+=', '-=', '*=', '/=', '%=', 'insert', 'delete']);

/** RFC 7047 `<mutation>`: changes a column in place. */
export interface Mutation {
  readonly column: Column;
  readonly mutator: MutatorName;
  readonly argument: Datum;
}

export function parseMutations(table: TableSchema, json: readonly Json[], symbols: SymbolTable): Mutation[] {
  return json.map((m) => parseMutation(table, m, symbols));
}

function parseMutation(table: TableSchema, json: Json, symbols: SymbolTable): Mutation {
  if (!isJsonArray(json) || json.length !== 3 || typeof json[0] !== 'string' || typeof json[1] !== 'string') {
    throw syntaxError(json, 'Parse error in mutation.');
  }
  const [name, mutator, argument] = json;
  const column = table.columns.get(name);
  if (column === undefined) {
    throw syntaxError(json, `No column ${name} in table ${table.name}.`, 'unknown column');
  }
  if (!column.mutable) {
    throw syntaxError(
      json,
      `Cannot mutate immutable column ${name} in table ${table.name}.`,
      'constraint violation',
    );
  }
  if (!MUTATORS.has(mutator)) throw new OvsdbError('unknown mutator', `No mutator named ${mutator}.`);
  const m = mutator as MutatorName;
  return { column, mutator: m, argument: parseArgument(json, column, m, argument, symbols) };
}

function parseArgument(
  json: Json,
  column: Column,
  mutator: MutatorName,
  argument: Json,
  symbols: SymbolTable,
): Datum {
  const { type } = column;
  const mismatch = () =>
    syntaxError(
      json,
      `Type mismatch: "${mutator}" operator may not be applied to column ${column.name} of type ${describeType(type)}.`,
    );
  if (mutator === 'insert' || mutator === 'delete') {
    if (!isSet(type) && !isMap(type)) throw mismatch();
    if (mutator === 'insert') return datumFromJson({ ...type, min: 0 }, argument, symbols);
    const relaxed: ColumnType = { ...type, min: 0, max: UNLIMITED };
    if (!isMap(type)) return datumFromJson(relaxed, argument, symbols);
    try {
      return datumFromJson(relaxed, argument, symbols);
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      return datumFromJson({ ...relaxed, value: null }, argument, symbols); // keys alone
    }
  }
  const numeric = type.key.type === 'integer' || type.key.type === 'real';
  if ((!isScalar(type) && !isSet(type)) || !numeric || (mutator === '%=' && type.key.type === 'real')) {
    throw mismatch();
  }
  return datumFromJson({ key: plainBase(type.key.type), value: null, min: 1, max: 1 }, argument, symbols);
}

/** The column's value after the mutation. Throws `OvsdbError` if the result is not allowed. */
export function mutate(datum: Datum, { column, mutator, argument }: Mutation): Datum {
  const { type } = column;
  if (mutator === 'insert' || mutator === 'delete') {
    const result =
      mutator === 'insert' ? unionDatums(datum, argument, type) : subtractDatums(datum, argument, type);
    if (result.n < type.min || result.n > type.max) {
      throw constraintViolation(`Attempted to store ${result.n} elements in ${describeType(type)}.`);
    }
    return result;
  }
  const operand = argument.keys[0] as number | bigint;
  const atoms: Atom[] = datum.keys.map((atom) =>
    type.key.type === 'integer'
      ? integerResult(mutator, BigInt(atom as number | bigint), BigInt(operand))
      : realResult(mutator, atom as number, operand as number),
  );
  for (const atom of atoms) checkAtom(type.key, atom);
  try {
    return sortedDatum(atoms, null);
  } catch {
    throw constraintViolation(`Result of "${mutator}" operation contains duplicates.`);
  }
}

function rangeError(mutator: Arithmetic): OvsdbError {
  return new OvsdbError('range error', `Result of "${mutator}" operation is out of range.`);
}

function divisionByZero(): OvsdbError {
  return new OvsdbError('domain error', 'Division by zero.');
}

function integerResult(mutator: Arithmetic, x: bigint, y: bigint): Atom {
  const result = canonicalInteger(integerArithmetic(mutator, x, y));
  if (result === undefined) throw rangeError(mutator);
  return result;
}

function integerArithmetic(mutator: Arithmetic, x: bigint, y: bigint): bigint {
  switch (mutator) {
    case '+=':
      return x + y;
    case '-=':
      return x - y;
    case '*=':
      return x * y;
    case '/=':
      if (y === 0n) throw divisionByZero();
      return x / y;
    case '%=':
      if (y === 0n) throw divisionByZero();
      return x % y;
  }
}

function realResult(mutator: Arithmetic, x: number, y: number): Atom {
  if (mutator === '/=' && y === 0) throw divisionByZero();
  const result = mutator === '+=' ? x + y : mutator === '-=' ? x - y : mutator === '*=' ? x * y : x / y;
  if (!Number.isFinite(result)) throw rangeError(mutator);
  return result === 0 ? 0 : result;
}
