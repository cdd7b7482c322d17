/** What the operator makes: tenants and transport nodes. */
import Type, { type Static } from 'typebox';
import { Address, Description, Name, strict, Tags } from './common.ts';

export const Tenant = strict(
  { name: Name, description: Description, tags: Tags },
  'Somebody who has networks of their own; sees nothing of other tenants',
);

export const TunnelEndpoint = strict(
  {
    encapsulation: Type.Union([Type.Literal('geneve'), Type.Literal('vxlan'), Type.Literal('gre')]),
    address: Address,
  },
  'Where the node takes tunnels, and of which kind',
);

export const TransportNode = strict(
  {
    name: Name,
    description: Description,
    tags: Tags,
    systemId: Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'What the host calls itself: external_ids:system-id of its Open_vSwitch row',
    }),
    tunnels: Type.Array(TunnelEndpoint, {
      minItems: 1,
      maxItems: 8,
      description: 'In order of preference; two nodes use the first kind and address family that both have',
    }),
  },
  'A host that carries logical ports',
);

export type Tenant = Static<typeof Tenant>;
export type TransportNode = Static<typeof TransportNode>;
export type TunnelEndpoint = Static<typeof TunnelEndpoint>;
