/**
 * What a lab file says: hosts, the networks of tenants, machines, and who is to reach whom. The members of networks are those
 * of the API's objects (src/api-schema); where an object of the API has the UUID of another, a lab file has its name.
 */
import Type, { type Static, type TObjectOptions, type TSchema, type TString } from 'typebox';
import { Address, Description, Mac, Name, strict } from '../../api-schema/common.ts';
import {
  Acl,
  AddressBinding,
  LogicalPort,
  LogicalRouter,
  LogicalSwitch,
  RouterPort,
  StaticRoute,
} from '../../api-schema/network.ts';
import { TunnelEndpoint } from '../../api-schema/platform.ts';

/** Of hosts and machines: they become names of namespaces and devices, which Linux holds to 15 bytes. */
const ShortName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,12}$',
  description: 'A small letter, then up to 12 of a-z, 0-9 and "-"',
});

/** Things by their names. */
function named<K extends TString, V extends TSchema>(key: K, value: V, options: TObjectOptions = {}) {
  return Type.Record(key, value, { ...options, additionalProperties: false });
}

export const SWITCH_KINDS = ['kernel', 'userspace', 'stock'] as const;
/** Ours that forwards in the kernel where it can, ours in user space, or Open vSwitch's own daemons. */
export type SwitchKind = (typeof SWITCH_KINDS)[number];

const Host = strict(
  {
    switch: Type.Optional(
      Type.Union([Type.Literal('kernel'), Type.Literal('userspace'), Type.Literal('stock')], {
        default: 'kernel',
        description: 'Ours, forwarding in the kernel or in user space; or Open vSwitch as Debian has it',
      }),
    ),
    encapsulations: Type.Optional(
      Type.Array(TunnelEndpoint.properties.encapsulation, { minItems: 1, maxItems: 3, uniqueItems: true }),
    ),
    address: Type.Optional(Type.String({ description: 'In the network between the hosts, 172.31.0.0/24' })),
  },
  'A machine with a switch, on the network between the hosts',
);

const Port = strict(
  Type.Omit(LogicalPort, ['name', 'switch']).properties,
  'A logical port; one that a machine is at has its addresses from there',
);
const Switch = strict(
  {
    ...Type.Omit(LogicalSwitch, ['name', 'tenant']).properties,
    ports: Type.Optional(named(Name, Port)),
  },
  'A logical switch and its ports, by name',
);
const PortOfRouter = strict(
  { ...Type.Omit(RouterPort, ['name', 'router', 'switch']).properties, switch: Type.Optional(Name) },
  'A router port; on the switch of its name unless it names another',
);
const Router = strict(
  {
    ...Type.Omit(LogicalRouter, ['name', 'tenant']).properties,
    ports: Type.Optional(named(Name, PortOfRouter)),
    routes: Type.Optional(
      Type.Array(strict(Type.Omit(StaticRoute, ['router']).properties, 'A static route')),
    ),
  },
  'A logical router, its ports by name, and its static routes',
);
const NamedPort = Type.String({ pattern: '^[^/]+/[^/]+$', description: 'SWITCH/PORT' });
const Rule = strict(
  {
    ...Type.Omit(Acl, ['port', 'switch']).properties,
    switch: Type.Optional(Name),
    port: Type.Optional(NamedPort),
  },
  'An ACL on a switch or on a port',
);
const Binding = strict(
  {
    ...Type.Omit(AddressBinding, ['port', 'switch']).properties,
    switch: Name,
    port: Type.Optional(NamedPort),
  },
  'Static knowledge of an address',
);
const Networks = strict(
  {
    description: Description,
    switches: Type.Optional(named(Name, Switch)),
    routers: Type.Optional(named(Name, Router)),
    acls: Type.Optional(Type.Array(Rule)),
    bindings: Type.Optional(Type.Array(Binding)),
  },
  'All that a tenant has',
);

const Machine = strict(
  {
    host: ShortName,
    port: Type.String({
      pattern: '^[^/]+/[^/]+/[^/]+$',
      description: 'TENANT/SWITCH/PORT; the port is made if the tenant does not list it',
    }),
    vif: Type.Optional(LogicalPort.properties.vif),
    mac: Mac,
    addresses: Type.Array(Type.String(), {
      maxItems: 8,
      description: 'With prefix lengths, such as "10.0.1.11/24" and "fd00:1::11/64"',
    }),
    gateways: Type.Optional(
      Type.Array(Address, {
        maxItems: 2,
        description: 'One of each family at most; default: the router ports on its switch',
      }),
    ),
  },
  'A virtual machine: a namespace with one device, eth0',
);

const Probes = Type.Array(
  Type.String({
    pattern: '^(ping|all|(tcp|udp)/[0-9]{1,5})$',
    description: '"ping", "tcp/80", "udp/53", or "all"',
  }),
);
const Selector = Type.String({
  minLength: 1,
  description:
    'A machine by name, or by TENANT, TENANT/SWITCH or TENANT/SWITCH/PORT with a slash; "*" for any letters',
});
const Selectors = Type.Union([Selector, Type.Array(Selector, { minItems: 1 })]);
const Expect = strict(
  {
    from: Type.Optional(Selectors),
    to: Type.Optional(Selectors),
    within: Type.Optional(
      Type.Union([Type.Literal('tenant'), Type.Literal('switch')], {
        description: 'Only pairs that are of one tenant, or on one switch',
      }),
    ),
    can: Type.Optional(Probes),
    cannot: Type.Optional(Probes),
  },
  'What some machines can do with some others. Later ones override; what none of them says can not be done',
);

const Move = strict(
  {
    vm: ShortName,
    to: ShortName,
    peer: ShortName,
    tcp: Type.Integer({ minimum: 1, maximum: 65535, description: 'Where the peer is connected to' }),
  },
  'A live migration: vm goes to another host, while peer pings it every millisecond and holds a TCP connection to it',
);

export const LabFile = strict(
  {
    name: Type.Optional(ShortName),
    description: Description,
    hosts: named(ShortName, Host, { minProperties: 1, maxProperties: 64 }),
    tenants: Type.Optional(named(Name, Networks)),
    vms: Type.Optional(named(ShortName, Machine, { maxProperties: 250 })),
    expect: Type.Optional(Type.Array(Expect)),
    moves: Type.Optional(Type.Array(Move)),
  },
  'A lab',
);
export type LabFile = Static<typeof LabFile>;
export type LabHost = Static<typeof Host>;
export type LabMachine = Static<typeof Machine>;
export type LabNetworks = Static<typeof Networks>;
export type LabExpect = Static<typeof Expect>;
