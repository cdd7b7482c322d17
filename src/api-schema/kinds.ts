/**
 * The table of kinds: what the API, its OpenAPI document, the `weft net` commands and the model are made
 * from. To add a kind, add a schema and a row.
 */
import type { Static, TObject } from 'typebox';
import {
  Acl,
  AddressBinding,
  LogicalPort,
  LogicalRouter,
  LogicalSwitch,
  RouterPort,
  StaticRoute,
} from './network.ts';
import { Tenant, TransportNode } from './platform.ts';

/** How an object finds its tenant: it is one, it names one, its parent has one; or it belongs to the operator. */
export type Ownership =
  | { readonly by: 'self' }
  | { readonly by: 'member' }
  | { readonly by: 'reference'; readonly members: readonly string[] }
  | { readonly by: 'operator' };

export interface KindRow<S extends TObject = TObject> {
  readonly schema: S;
  /** The path of the collection below `/v1/`. */
  readonly path: string;
  /** What people call one, and several. */
  readonly title: string;
  readonly plural: string;
  readonly owner: Ownership;
  /** Members that refer to other objects, and to which kind. */
  readonly references: Readonly<Record<string, KindName>>;
  /**
   * The member that names the object an object lives in: with it the object is deleted on request
   * (`?cascade=true`), and within it its name is unique. Of several, the one that is given.
   */
  readonly parents: readonly string[];
}

export const KIND_NAMES = [
  'tenant',
  'transport-node',
  'logical-switch',
  'logical-port',
  'logical-router',
  'router-port',
  'static-route',
  'acl',
  'address-binding',
] as const;
export type KindName = (typeof KIND_NAMES)[number];

export const KINDS = {
  tenant: {
    schema: Tenant,
    path: 'tenants',
    title: 'tenant',
    plural: 'tenants',
    owner: { by: 'self' },
    references: {},
    parents: [],
  },
  'transport-node': {
    schema: TransportNode,
    path: 'transport-nodes',
    title: 'transport node',
    plural: 'transport nodes',
    owner: { by: 'operator' },
    references: {},
    parents: [],
  },
  'logical-switch': {
    schema: LogicalSwitch,
    path: 'logical-switches',
    title: 'logical switch',
    plural: 'logical switches',
    owner: { by: 'member' },
    references: { tenant: 'tenant' },
    parents: ['tenant'],
  },
  'logical-port': {
    schema: LogicalPort,
    path: 'logical-ports',
    title: 'logical port',
    plural: 'logical ports',
    owner: { by: 'reference', members: ['switch'] },
    references: { switch: 'logical-switch' },
    parents: ['switch'],
  },
  'logical-router': {
    schema: LogicalRouter,
    path: 'logical-routers',
    title: 'logical router',
    plural: 'logical routers',
    owner: { by: 'member' },
    references: { tenant: 'tenant' },
    parents: ['tenant'],
  },
  'router-port': {
    schema: RouterPort,
    path: 'router-ports',
    title: 'router port',
    plural: 'router ports',
    owner: { by: 'reference', members: ['router', 'switch'] },
    references: { router: 'logical-router', switch: 'logical-switch' },
    parents: ['router'],
  },
  'static-route': {
    schema: StaticRoute,
    path: 'static-routes',
    title: 'static route',
    plural: 'static routes',
    owner: { by: 'reference', members: ['router'] },
    references: { router: 'logical-router' },
    parents: ['router'],
  },
  acl: {
    schema: Acl,
    path: 'acls',
    title: 'ACL',
    plural: 'ACLs',
    owner: { by: 'reference', members: ['port', 'switch'] },
    references: { port: 'logical-port', switch: 'logical-switch' },
    parents: ['port', 'switch'],
  },
  'address-binding': {
    schema: AddressBinding,
    path: 'address-bindings',
    title: 'address binding',
    plural: 'address bindings',
    owner: { by: 'reference', members: ['switch', 'port'] },
    references: { switch: 'logical-switch', port: 'logical-port' },
    parents: ['switch'],
  },
} as const satisfies Record<KindName, KindRow>;

/** What a stored object of a kind says, by its schema. */
export type SpecOf<K extends KindName> = Static<(typeof KINDS)[K]['schema']>;

/** An object as it is stored: what was asked for, and who, when and where in the history. */
export interface Stored<K extends KindName = KindName> {
  readonly kind: K;
  readonly id: string;
  /** With defaults filled in, and addresses in their canonical text. */
  readonly spec: SpecOf<K>;
  /** The tenant it belongs to; undefined for the operator's. */
  readonly tenant: string | undefined;
  /** The revisions in which it was made and last changed. */
  readonly created: number;
  readonly revision: number;
}
