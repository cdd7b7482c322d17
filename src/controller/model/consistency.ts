/** What only objects together show to be right: uniqueness, networks of one router, next hops, bindings. */
import { KINDS, type KindName, type SpecOf, type Stored } from '../../api-schema/kinds.ts';
import type { ObjectChange } from '../network/change.ts';
import { contains, type Network, overlap, parseIp, parseNetwork } from './addresses.ts';
import { parentOf, title, uniqueKeys } from './keys.ts';
import { ModelError, type ModelErrorCode, type Problem, show } from './problem.ts';
import type { State } from './state.ts';

/** How many objects an error names. */
const NAMED = 5;

/** Objects of one kind that refer to `id` through `member`. */
function* referring<K extends KindName>(
  state: State,
  id: string,
  kind: K,
  member: keyof SpecOf<K>,
): Iterable<Stored<K>> {
  for (const referrer of state.referrers(id)) {
    const object = state.get(referrer);
    if (object?.kind !== kind) continue;
    const spec = object.spec as SpecOf<K>;
    if (spec[member] === id) yield object as Stored<K>;
  }
}

interface RouterNetwork {
  readonly port: Stored<'router-port'>;
  readonly network: Network;
}

function networksOf(state: State, router: string): RouterNetwork[] {
  const found: RouterNetwork[] = [];
  for (const port of referring(state, router, 'router-port', 'router')) {
    for (const text of port.spec.networks) {
      const network = parseNetwork(text);
      if (network !== undefined) found.push({ port, network });
    }
  }
  return found;
}

function fail(code: ModelErrorCode, object: Stored, problem: Problem): never {
  throw new ModelError(code, [{ ...problem, message: `${title(object)}: ${problem.message}` }]);
}

/** No two objects share what only one may have. */
function checkUnique(state: State, object: Stored): void {
  for (const { key, member, value, what, global } of uniqueKeys(object)) {
    const holders = state.holders(key);
    if (holders.length === 1) continue;
    const other = state.get(holders.find((id) => id !== object.id) ?? object.id)!;
    const where = parentOf(object);
    const scope = what === 'the name' && where !== undefined && state.get(where) !== undefined;
    const who =
      other === object
        ? 'is in it twice'
        : global && other.tenant !== object.tenant
          ? 'is not free'
          : `belongs to ${title(other)} already`;
    fail('object-conflict', object, {
      member,
      value,
      message: `${what} ${show(value)} ${who}${scope ? ` in ${title(state.get(where)!)}` : ''}`,
      remedy: other === object ? 'name it once' : 'choose another, or free that one first',
    });
  }
}

function checkRouterPort(state: State, port: Stored<'router-port'>): void {
  const others = networksOf(state, port.spec.router);
  port.spec.networks.forEach((text, i) => {
    const network = parseNetwork(text)!;
    for (const other of others) {
      const same = other.port.id === port.id && port.spec.networks.indexOf(text) === i;
      if (same && other.network.address.text === network.address.text) continue;
      if (!overlap(network, other.network)) continue;
      fail('object-conflict', port, {
        member: `/networks/${i}`,
        value: text,
        message: `the network of ${show(text)} overlaps with ${other.network.address.text}/${other.network.length} of ${title(other.port)} on the same router`,
        remedy: 'give each port of a router networks of its own',
      });
    }
  });
}

function checkRoute(state: State, route: Stored<'static-route'>): void {
  const { nextHop, router } = route.spec;
  if (nextHop === undefined) return;
  const hop = parseIp(nextHop)!;
  const problem = (message: string, remedy: string): never =>
    fail('object-conflict', route, { member: '/nextHop', value: nextHop, message, remedy });
  const networks = networksOf(state, router);
  const on = networks.find(({ network }) => contains(network, hop));
  if (on === undefined) {
    const there = networks.map(({ network }) => `${network.base.text}/${network.length}`).join(', ');
    problem(
      `the next hop ${show(nextHop)} is on no network of its router (${there === '' ? 'it has none' : there})`,
      'name a next hop on one of them, or give the router a port on the network of the next hop first',
    );
  }
  if (networks.some(({ network }) => network.address.text === hop.text)) {
    problem(`the next hop ${show(nextHop)} is the router itself`, 'name another router');
  }
}

function checkBinding(state: State, binding: Stored<'address-binding'>): void {
  const { port, switch: on } = binding.spec;
  if (port === undefined) return;
  const target = state.get(port) as Stored<'logical-port'>;
  if (target.spec.switch === on) return;
  fail('object-conflict', binding, {
    member: '/port',
    value: port,
    message: `${title(target)} is on another switch`,
    remedy: 'name a port of the switch',
  });
}

/** Objects that were right and may be wrong now, because what they rest on has changed. */
function* dependents(state: State, { before, after }: ObjectChange): Iterable<Stored> {
  const object = after ?? before!;
  if (object.kind === 'logical-port') {
    yield* referring(state, object.id, 'address-binding', 'port');
  } else if (object.kind === 'router-port') {
    const routers = new Set(
      [before, after].map((o) => (o as Stored<'router-port'> | undefined)?.spec.router),
    );
    for (const router of routers)
      if (router !== undefined) yield* referring(state, router, 'static-route', 'router');
  }
}

function checkOne(state: State, object: Stored): void {
  if (object.kind === 'router-port') checkRouterPort(state, object as Stored<'router-port'>);
  else if (object.kind === 'static-route') checkRoute(state, object as Stored<'static-route'>);
  else if (object.kind === 'address-binding') checkBinding(state, object as Stored<'address-binding'>);
}

/** Nothing refers to what is gone. */
function checkGone(state: State, object: Stored): void {
  const referrers = state.referrers(object.id);
  if (referrers.size === 0) return;
  const names: string[] = [];
  let children = 0;
  for (const id of referrers) {
    const referrer = state.get(id)!;
    if (parentOf(referrer) === object.id) children++;
    if (names.length < NAMED) names.push(title(referrer));
  }
  const more = referrers.size > NAMED ? `, and ${referrers.size - NAMED} more` : '';
  const remedy = children > 0 ? ', or delete with "cascade" what lives in it' : '';
  throw new ModelError('object-in-use', [
    {
      member: '',
      value: object.id,
      message: `${title(object)} is in use by ${names.sort().join(', ')}${more}`,
      remedy: `delete or change those first${remedy}`,
    },
  ]);
}

/** Throws `ModelError` unless the objects are right together, given that they were before the changes. */
export function checkConsistency(state: State, changes: readonly ObjectChange[]): void {
  const checked = new Set<string>();
  for (const { before, after } of changes) {
    if (after === undefined) checkGone(state, before!);
    else checkUnique(state, after);
  }
  for (const change of changes) {
    const affected = change.after === undefined ? [] : [change.after];
    for (const object of [...affected, ...dependents(state, change)]) {
      if (checked.has(object.id)) continue;
      checked.add(object.id);
      checkOne(state, object);
    }
  }
}

/** What a reference should lead to, for messages. */
export function targetTitle(kind: KindName, member: string): string {
  const targets: Readonly<Record<string, KindName>> = KINDS[kind].references;
  return KINDS[targets[member]].title;
}
