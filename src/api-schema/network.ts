/** What tenants make: logical switches, ports, routers, and the rules that hold on them. */
import Type, { type Static } from 'typebox';
import { Address, Description, Mac, Name, Prefix, reference, strict, Tags } from './common.ts';

export const LogicalSwitch = strict(
  {
    name: Name,
    tenant: reference('tenant'),
    description: Description,
    tags: Tags,
    unknown: Type.Optional(
      Type.Union([Type.Literal('drop'), Type.Literal('flood')], {
        default: 'drop',
        description:
          'Unicast frames to a MAC address that no port lists: dropped, or sent to every port that lists no addresses',
      }),
    ),
    enabled: Type.Optional(Type.Boolean({ default: true })),
  },
  'A broadcast domain of its own, over any number of hosts',
);

export const PortAddress = strict(
  {
    mac: Mac,
    ips: Type.Optional(
      Type.Array(Address, {
        maxItems: 64,
        uniqueItems: true,
        default: [],
        description: 'Addresses behind this MAC',
      }),
    ),
  },
  'A MAC address of the attached machine, and the IP addresses it uses',
);

export const PortQos = strict(
  {
    dscp: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 63,
        description: 'Differentiated services code point set on what the port sends (RFC 2474)',
      }),
    ),
    rate: Type.Optional(
      Type.Integer({
        minimum: 8,
        maximum: 4294967295,
        description: 'What the port may send, in kbit/s; more is dropped',
      }),
    ),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 4294967295,
        description: 'Burst above the rate, in kbit; default: what the rate sends in 0.1 s',
      }),
    ),
  },
  'Marking and rate of what a port sends',
);

export const LogicalPort = strict(
  {
    name: Name,
    switch: reference('logical switch'),
    description: Description,
    tags: Tags,
    vif: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          'The interface that is attached, as the host names it in external_ids:iface-id (commonly a UUID). One VIF has at most one port',
      }),
    ),
    addresses: Type.Optional(
      Type.Array(PortAddress, {
        maxItems: 64,
        default: [],
        description: 'None: any address, and never a known destination',
      }),
    ),
    portSecurity: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Frames with other source addresses than those listed are dropped, forged ARP and ND too. Without addresses it has nothing to hold to',
      }),
    ),
    qos: Type.Optional(PortQos),
    enabled: Type.Optional(Type.Boolean({ default: true })),
  },
  'Where a machine is plugged into a logical switch',
);

export const LogicalRouter = strict(
  {
    name: Name,
    tenant: reference('tenant'),
    description: Description,
    tags: Tags,
    enabled: Type.Optional(Type.Boolean({ default: true })),
  },
  'Routes between the logical switches that its ports are on, on every host at once',
);

export const RouterPort = strict(
  {
    name: Name,
    router: reference('logical router'),
    switch: reference('logical switch'),
    description: Description,
    tags: Tags,
    mac: Mac,
    networks: Type.Array(Prefix, {
      minItems: 1,
      maxItems: 16,
      uniqueItems: true,
      description: 'Addresses of the router on this switch with their prefix lengths, such as "10.0.0.1/24"',
    }),
    enabled: Type.Optional(Type.Boolean({ default: true })),
  },
  'Joins a router to a switch',
);

export const StaticRoute = strict(
  {
    router: reference('logical router'),
    description: Description,
    tags: Tags,
    prefix: Prefix,
    nextHop: Type.Optional(
      Type.String({
        minLength: 2,
        maxLength: 45,
        description: 'Address on one of the networks of the router',
      }),
    ),
    discard: Type.Optional(
      Type.Boolean({ default: false, description: 'What matches is dropped; instead of nextHop' }),
    ),
  },
  'A route beside those to the networks of the router ports; the longest prefix wins',
);

/** A port number or a range of them, "80" or "8000-8080". */
export const L4Ports = Type.Union(
  [
    Type.Integer({ minimum: 0, maximum: 65535 }),
    Type.String({
      pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$',
      description: '"80", or a range such as "8000-8080"',
    }),
  ],
  { description: 'A port, or a range of ports' },
);

export const AclMatch = strict(
  {
    etherType: Type.Optional(
      Type.Union(
        [
          Type.Literal('ipv4'),
          Type.Literal('ipv6'),
          Type.Literal('arp'),
          Type.Integer({ minimum: 1536, maximum: 65535 }),
        ],
        {
          description: 'Default: what the other members imply, else any',
        },
      ),
    ),
    sourceMac: Type.Optional(Mac),
    destinationMac: Type.Optional(Mac),
    source: Type.Optional(
      Type.Union([Prefix, Type.Array(Prefix, { minItems: 1, maxItems: 256 })], {
        description: 'Address, network, or a list of them',
      }),
    ),
    destination: Type.Optional(
      Type.Union([Prefix, Type.Array(Prefix, { minItems: 1, maxItems: 256 })], {
        description: 'Address, network, or a list of them',
      }),
    ),
    protocol: Type.Optional(
      Type.Union([
        Type.Literal('tcp'),
        Type.Literal('udp'),
        Type.Literal('sctp'),
        Type.Literal('icmp'),
        Type.Literal('icmpv6'),
        Type.Integer({ minimum: 0, maximum: 255 }),
      ]),
    ),
    sourcePorts: Type.Optional(Type.Union([L4Ports, Type.Array(L4Ports, { minItems: 1, maxItems: 64 })])),
    destinationPorts: Type.Optional(
      Type.Union([L4Ports, Type.Array(L4Ports, { minItems: 1, maxItems: 64 })]),
    ),
    icmpType: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
    icmpCode: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
  },
  'Packets that agree in every member; {} is all of them',
);

export const Acl = strict(
  {
    name: Type.Optional(Name),
    port: Type.Optional(reference('logical port')),
    switch: Type.Optional(reference('logical switch')),
    description: Description,
    tags: Tags,
    direction: Type.Union([Type.Literal('from-port'), Type.Literal('to-port')], {
      description: 'What the machine at the port sends, or what it gets',
    }),
    priority: Type.Integer({
      minimum: 0,
      maximum: 1000,
      description:
        'The highest that matches decides. Among equals a rule of the port comes before one of the switch, then drop, reject, allow, allow-stateful',
    }),
    match: AclMatch,
    action: Type.Union(
      [Type.Literal('allow'), Type.Literal('allow-stateful'), Type.Literal('drop'), Type.Literal('reject')],
      {
        description:
          'allow: this packet; allow-stateful: also what answers it; drop; reject: with a TCP reset or an ICMP error',
      },
    ),
    enabled: Type.Optional(Type.Boolean({ default: true })),
  },
  'A rule on one port (port) or on every machine port of a switch (switch). What no rule matches is allowed',
);

export const AddressBinding = strict(
  {
    switch: reference('logical switch'),
    port: Type.Optional(reference('logical port')),
    description: Description,
    tags: Tags,
    mac: Mac,
    ips: Type.Optional(Type.Array(Address, { maxItems: 64, uniqueItems: true, default: [] })),
  },
  'A MAC address that is reached through a port which does not list it, and IP addresses behind it: static MAC and ARP knowledge',
);

export type LogicalSwitch = Static<typeof LogicalSwitch>;
export type LogicalPort = Static<typeof LogicalPort>;
export type PortQos = Static<typeof PortQos>;
export type LogicalRouter = Static<typeof LogicalRouter>;
export type RouterPort = Static<typeof RouterPort>;
export type StaticRoute = Static<typeof StaticRoute>;
export type AclMatch = Static<typeof AclMatch>;
export type Acl = Static<typeof Acl>;
export type AddressBinding = Static<typeof AddressBinding>;
