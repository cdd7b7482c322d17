/** What no two objects may have in common: names among siblings, VIFs, addresses on one switch, and the like. */
import { KINDS, type KindName, type SpecOf, type Stored } from '../../api-schema/kinds.ts';

export interface UniqueKey {
  readonly key: string;
  /** JSON pointer to what the key is made of. */
  readonly member: string;
  readonly value: unknown;
  /** For messages: "the name", "the MAC address", ... */
  readonly what: string;
  /** Holders may be of different tenants, and must not hear of one another. */
  readonly global: boolean;
}

type KeysOf<K extends KindName> = (spec: SpecOf<K>) => Iterable<UniqueKey>;

function key(what: string, scope: string, member: string, value: string, global = false): UniqueKey {
  return { key: `${what}\n${scope}\n${value}`, member, value, what: `the ${what}`, global };
}

const mac = (on: string, member: string, value: string): UniqueKey => key('MAC address', on, member, value);
const ip = (on: string, member: string, value: string): UniqueKey => key('IP address', on, member, value);

function* portKeys(spec: SpecOf<'logical-port'>): Iterable<UniqueKey> {
  if (spec.vif !== undefined) yield key('VIF', '', '/vif', spec.vif, true);
  for (const [i, address] of (spec.addresses ?? []).entries()) {
    yield mac(spec.switch, `/addresses/${i}/mac`, address.mac);
    for (const [j, text] of (address.ips ?? []).entries())
      yield ip(spec.switch, `/addresses/${i}/ips/${j}`, text);
  }
}

function* routerPortKeys(spec: SpecOf<'router-port'>): Iterable<UniqueKey> {
  yield mac(spec.switch, '/mac', spec.mac);
  for (const [i, network] of spec.networks.entries())
    yield ip(spec.switch, `/networks/${i}`, network.split('/')[0]);
}

function* bindingKeys(spec: SpecOf<'address-binding'>): Iterable<UniqueKey> {
  // Without a port it tells only what is behind a MAC address that another object places.
  if (spec.port !== undefined) yield mac(spec.switch, '/mac', spec.mac);
  for (const [i, text] of (spec.ips ?? []).entries()) yield ip(spec.switch, `/ips/${i}`, text);
}

function* nodeKeys(spec: SpecOf<'transport-node'>): Iterable<UniqueKey> {
  yield key('system id', '', '/systemId', spec.systemId);
  for (const [i, { encapsulation, address }] of spec.tunnels.entries())
    yield key('tunnel endpoint', encapsulation, `/tunnels/${i}/address`, address);
}

type Table = { readonly [K in KindName]?: KeysOf<K> };

const KEYS: Table = {
  'transport-node': nodeKeys,
  'logical-port': portKeys,
  'router-port': routerPortKeys,
  'static-route': (spec) => [key('prefix', spec.router, '/prefix', spec.prefix)],
  'address-binding': bindingKeys,
};

/** The object that an object lives in; undefined for those at the top. */
export function parentOf(object: Pick<Stored, 'kind' | 'spec'>): string | undefined {
  const members = object.spec as Readonly<Record<string, unknown>>;
  for (const member of KINDS[object.kind].parents) {
    const id = members[member];
    if (typeof id === 'string') return id;
  }
  return undefined;
}

/** The name that people gave an object, if its kind has names. */
export function nameOf(object: Pick<Stored, 'spec'>): string | undefined {
  const { name } = object.spec as { readonly name?: string };
  return name;
}

export function uniqueKeys(object: Pick<Stored, 'kind' | 'spec'>): UniqueKey[] {
  const keys: UniqueKey[] = [];
  const name = nameOf(object);
  if (name !== undefined) keys.push(key('name', `${object.kind}\n${parentOf(object) ?? ''}`, '/name', name));
  const more = KEYS[object.kind] as ((spec: Stored['spec']) => Iterable<UniqueKey>) | undefined;
  if (more !== undefined) keys.push(...more(object.spec));
  return keys;
}

/** For messages: 'logical switch "web"', or by its id where it has no name. */
export function title(object: Pick<Stored, 'kind' | 'spec' | 'id'>): string {
  return `${KINDS[object.kind].title} "${nameOf(object) ?? object.id}"`;
}
