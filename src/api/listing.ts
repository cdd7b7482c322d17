/** Collections: filters over members, pages by cursor, and the members that are wanted. */
import { KINDS, type KindName, type Stored } from '../api-schema/kinds.ts';
import type { Model } from '../controller/model/model.ts';
import { nearestName } from '../controller/model/nearest-name.ts';
import { lowerBound } from '../controller/model/ordered-ids.ts';
import type { Principal } from '../controller/model/principal.ts';
import type { RealizationSource } from '../controller/realization.ts';
import { badRequest } from './problem-details.ts';
import { type Shown, shown, shownSchema } from './representation.ts';

export const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 1000;
const OWN_PARAMETERS: ReadonlySet<string> = new Set(['limit', 'cursor', 'fields']);

interface Filter {
  /** Members from the object down; through arrays, any element may fit. */
  readonly path: readonly string[];
  readonly wanted: string;
}

export interface Page {
  readonly items: readonly Shown[];
  /** Where the next page begins; absent at the end. */
  readonly next?: string;
  /** The revision that the page shows: watch from here to see what changes. */
  readonly revision: number;
}

export interface ListOptions {
  readonly model: Model;
  readonly source: RealizationSource;
  readonly kind: KindName;
  readonly principal: Principal;
  readonly query: Readonly<Record<string, string>>;
}

/** One page of a collection. Throws `bad-request` for parameters that make no sense. */
export function listPage({ model, source, kind, principal, query }: ListOptions): Page {
  const limit = limitOf(query.limit);
  const fields = fieldsOf(kind, query.fields);
  const filters = filtersOf(kind, query);
  const ids = candidates(model, kind, principal, filters);
  const after = cursorOf(query.cursor);
  let at = after === undefined ? 0 : lowerBound(ids, after);
  if (ids[at] === after && after !== undefined) at++;
  const items: Shown[] = [];
  let last: string | undefined;
  for (; at < ids.length; at++) {
    const object = model.find(ids[at], principal);
    if (object === undefined || object.kind !== kind) continue;
    if (!filters.every((filter) => fits(object, filter, source))) continue;
    if (items.length === limit)
      return { items, next: Buffer.from(last!).toString('base64url'), revision: model.revision };
    items.push(pick(shown(object, source), fields));
    last = object.id;
  }
  return { items, revision: model.revision };
}

/** The ids among which the filters' objects are: those that refer to an object that is named, or all of the kind. */
function candidates(
  model: Model,
  kind: KindName,
  principal: Principal,
  filters: readonly Filter[],
): readonly string[] {
  for (const { path, wanted } of filters) {
    const [member] = path;
    if (path.length > 1 || member === 'tenant' || !Object.hasOwn(KINDS[kind].references, member)) continue;
    return [...model.referrers(wanted.toLowerCase(), principal)].sort();
  }
  return model.ids(kind, principal);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  const limit = Number(text);
  if (/^[0-9]{1,6}$/.test(text) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw badRequest(`limit ${JSON.stringify(text)} is not from 1 to ${MAX_LIMIT}`, 'follow "next" for more');
}

function cursorOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const id = Buffer.from(text, 'base64url').toString();
  if (/^[0-9a-f-]{36}$/.test(id)) return id;
  throw badRequest(`cursor ${JSON.stringify(text)} is none of this API`, 'give "next" of the page before');
}

/** The members that are wanted; undefined: all. */
export function fieldsOf(kind: KindName, text: string | undefined): ReadonlySet<string> | undefined {
  if (text === undefined) return undefined;
  const known = Object.keys(shownSchema(kind).properties);
  const fields = text.split(',');
  for (const field of fields) if (!known.includes(field)) throw unknown('fields', field, known);
  return new Set(['id', ...fields]);
}

export function pick(object: Shown, fields: ReadonlySet<string> | undefined): Shown {
  if (fields === undefined) return object;
  return Object.fromEntries(Object.entries(object).filter(([name]) => fields.has(name)));
}

function filtersOf(kind: KindName, query: Readonly<Record<string, string>>): Filter[] {
  const known = [...Object.keys(KINDS[kind].schema.properties), 'id', 'tenant', 'realized', 'tag'];
  const filters: Filter[] = [];
  for (const [name, wanted] of Object.entries(query)) {
    if (OWN_PARAMETERS.has(name)) continue;
    const [head, ...rest] = name.split('.');
    if (!known.includes(head) || (head === 'tag' && rest.length === 0))
      throw unknown('filter', name, [...known, ...OWN_PARAMETERS]);
    // Names of tags may have dots in them.
    filters.push({ path: head === 'tag' ? ['tags', rest.join('.')] : [head, ...rest], wanted });
  }
  return filters;
}

function unknown(what: string, name: string, known: readonly string[]) {
  const near = nearestName(name, known);
  return badRequest(
    `${what}: there is no member ${JSON.stringify(name.slice(0, 80))}`,
    near === undefined ? `there are ${[...new Set(known)].sort().join(', ')}` : `did you mean "${near}"?`,
  );
}

function fits(object: Stored, { path, wanted }: Filter, source: RealizationSource): boolean {
  const [head] = path;
  if (head === 'id') return object.id === wanted.toLowerCase();
  if (head === 'tenant') return object.tenant === wanted.toLowerCase();
  if (head === 'realized') return String(source.of(object).realized) === wanted;
  return has(object.spec, path, wanted);
}

function has(value: unknown, path: readonly string[], wanted: string): boolean {
  if (Array.isArray(value)) return value.some((item) => has(item, path, wanted));
  if (path.length === 0) return typeof value !== 'object' && String(value) === wanted;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, path[0])) return false;
  return has((value as Record<string, unknown>)[path[0]], path.slice(1), wanted);
}
