/** Random tenants with the same addresses, and random changes to what they have. */
import type { KindName, SpecOf, Stored } from '../../src/api-schema/kinds.ts';
import type { AclMatch } from '../../src/api-schema/network.ts';
import type { Chance } from './chance.ts';
import type { Cloud } from './cloud.ts';

export interface Subnet {
  readonly v4: string;
  readonly v6: string;
}

/** Every tenant numbers its switches like this. */
const SUBNETS: readonly Subnet[] = [1, 2, 3].map((n) => ({ v4: `10.0.${n}`, v6: `fd00:0:0:${n}:` }));
const HOSTS_PER_SUBNET = 5;
const MACS = Array.from({ length: 8 }, (_, i) => `02:00:00:00:00:${(i + 1).toString(16).padStart(2, '0')}`);
export const ROUTER_MACS = ['02:00:00:00:0f:01', '02:00:00:00:0f:02', '02:00:00:00:0f:03'];

export interface Tenant {
  readonly id: string;
  readonly switches: readonly string[];
  readonly routers: readonly string[];
}

export interface TenantsOptions {
  /** Whether there may be stateful rules. */
  readonly stateful: boolean;
}

export class Tenants {
  readonly list: readonly Tenant[];
  readonly #cloud: Cloud;
  readonly #chance: Chance;
  readonly #options: TenantsOptions;
  /** Told of ports whose place or being changes: their connections go. */
  readonly onMoved: (port: string) => void;
  #names = 0;

  constructor(cloud: Cloud, chance: Chance, options: TenantsOptions, onMoved: (port: string) => void) {
    this.#cloud = cloud;
    this.#chance = chance;
    this.#options = options;
    this.onMoved = onMoved;
    this.list = ['red', 'blue'].map((name) => {
      const id = cloud.create('tenant', { name });
      const switches = SUBNETS.map((_, n) =>
        cloud.create('logical-switch', {
          name: `s${n}`,
          tenant: id,
          unknown: chance.once(3) ? 'flood' : 'drop',
        }),
      );
      const routers = ['r0', 'r1'].map((router) =>
        cloud.create('logical-router', { name: router, tenant: id }),
      );
      return { id, switches, routers };
    });
  }

  /** Something to begin with: routers that join all switches, and machines. */
  populate(machines: number): string[] {
    const done: (string | undefined)[] = [];
    for (const tenant of this.list) {
      for (const [router, on] of [
        [0, 0],
        [0, 1],
        [1, 1],
        [1, 2],
      ]) {
        done.push(this.#join(tenant, router, tenant.switches[on]));
      }
      const [r0, r1] = tenant.routers;
      done.push(
        this.#create('static-route', { router: r0, prefix: '10.0.3.0/24', nextHop: '10.0.2.253' }),
        this.#create('static-route', { router: r1, prefix: '0.0.0.0/0', nextHop: '10.0.2.254' }),
        this.#create('static-route', { router: r0, prefix: 'fd00:0:0:3::/64', nextHop: 'fd00:0:0:2::fd' }),
        this.#create('static-route', { router: r1, prefix: '::/0', nextHop: 'fd00:0:0:2::fe' }),
      );
    }
    for (let i = 0; i < machines; i++) done.push(this.#addPort());
    return done.filter((line) => line !== undefined);
  }

  of<K extends KindName>(kind: K): Stored<K>[] {
    return [...this.#cloud.objects.values()].filter((o) => o.kind === kind) as Stored<K>[];
  }

  /** The tenant that a port belongs to. */
  ownerOf(port: Stored<'logical-port'>): string {
    return this.list.find((tenant) => tenant.switches.includes(port.spec.switch))?.id ?? '';
  }

  subnetOf(on: string): Subnet {
    const n = this.list.map((tenant) => tenant.switches.indexOf(on)).find((i) => i >= 0) ?? 0;
    return SUBNETS[n];
  }

  /** Addresses that machines on a switch may have. */
  addressesOf(on: string): string[] {
    const { v4, v6 } = this.subnetOf(on);
    return Array.from({ length: HOSTS_PER_SUBNET }, (_, i) => [`${v4}.${i + 1}`, `${v6}:${i + 1}`]).flat();
  }

  anyMac(): string {
    return this.#chance.pick([...MACS, ...ROUTER_MACS]);
  }

  /** One random change; what it was, for who reads a failure. */
  change(): string {
    const changes: readonly [number, () => string | undefined][] = [
      [6, () => this.#addPort()],
      [1, () => this.#deletePort()],
      [2, () => this.#movePort()],
      [2, () => this.#readdress()],
      [3, () => this.#addRouterPort()],
      [2, () => this.#addRoute()],
      [5, () => this.#addAcl()],
      [1, () => this.#addBinding()],
      [1, () => this.#delete('acl')],
      [1, () => this.#delete('static-route')],
      [1, () => this.#delete('router-port')],
      [1, () => this.#delete('address-binding')],
      [2, () => this.#toggle()],
      [1, () => this.#unknown()],
    ];
    const lots = changes.flatMap(([weight, run]) => Array.from({ length: weight }, () => run));
    for (;;) {
      const done = this.#chance.pick(lots)();
      if (done !== undefined) return done;
    }
  }

  #create<K extends KindName>(kind: K, spec: SpecOf<K>): string {
    const id = this.#cloud.create(kind, spec);
    return `create ${kind} ${id} ${JSON.stringify(spec)}`;
  }

  #update<K extends KindName>(object: Stored<K>, spec: SpecOf<K>): string {
    this.#cloud.controller.model.update(object.kind, object.id, spec);
    return `update ${object.kind} ${object.id} ${JSON.stringify(spec)}`;
  }

  #remove(object: Stored): string {
    const gone = [...this.#cloud.objects.values()].filter((o) =>
      Object.values(o.spec as Record<string, unknown>).includes(object.id),
    );
    this.#cloud.controller.model.delete(object.kind, ...gone.map((o) => o.id), object.id);
    return `delete ${object.kind} ${object.id}`;
  }

  #switch(): string {
    return this.#chance.pick(this.#chance.pick(this.list).switches);
  }

  #addresses(on: string): SpecOf<'logical-port'>['addresses'] {
    const chance = this.#chance;
    if (chance.once(5)) return [];
    const taken = this.of('logical-port')
      .filter((port) => port.spec.switch === on)
      .flatMap((port) => port.spec.addresses ?? [])
      .flatMap(({ mac, ips }) => [mac, ...(ips ?? [])]);
    // Mostly addresses of their own; now and then two machines claim the same.
    const free = <T extends string>(list: readonly T[]): T[] =>
      chance.once(8) ? [...list] : list.filter((address) => !taken.includes(address));
    const macs = free(MACS);
    const ips = free(this.addressesOf(on));
    const mac = chance.some(macs) ?? chance.pick(MACS);
    const first = {
      mac,
      ips: chance.once(6)
        ? []
        : [...new Set([chance.pick(ips.length > 0 ? ips : this.addressesOf(on)), ...chance.subset(ips, 5)])],
    };
    const other = chance.some(macs.filter((m) => m !== mac));
    return other !== undefined && chance.once(5)
      ? [first, { mac: other, ips: chance.subset(ips, 6) }]
      : [first];
  }

  #addPort(): string | undefined {
    if (this.of('logical-port').length >= 14) return undefined;
    const on = this.#switch();
    const chance = this.#chance;
    const name = `p${this.#names++}`;
    const vif = `vif-${name}`;
    const done = this.#create('logical-port', {
      name,
      switch: on,
      vif,
      addresses: this.#addresses(on),
      portSecurity: !chance.once(3),
      ...(chance.once(6) ? { qos: { dscp: chance.below(64) } } : {}),
    });
    if (!chance.once(8)) this.#plug(vif);
    return done;
  }

  #plug(vif: string): void {
    this.#chance.pick([...this.#cloud.hosts.values()]).plug(vif);
  }

  #deletePort(): string | undefined {
    const port = this.#chance.some(this.of('logical-port'));
    if (port === undefined) return undefined;
    this.onMoved(port.id);
    const vif = port.spec.vif ?? '';
    this.#cloud.hostOf(vif)?.unplug(vif);
    return this.#remove(port);
  }

  #movePort(): string | undefined {
    const port = this.#chance.some(this.of('logical-port'));
    if (port === undefined) return undefined;
    const vif = port.spec.vif ?? '';
    this.onMoved(port.id);
    this.#cloud.hostOf(vif)?.unplug(vif);
    if (!this.#chance.once(5)) this.#plug(vif);
    return `move ${port.id} to ${this.#cloud.hostOf(vif)?.name ?? 'nowhere'}`;
  }

  #readdress(): string | undefined {
    const port = this.#chance.some(this.of('logical-port'));
    if (port === undefined) return undefined;
    return this.#update(port, {
      ...port.spec,
      addresses: this.#addresses(port.spec.switch),
      portSecurity: !this.#chance.once(3),
    });
  }

  #addRouterPort(): string | undefined {
    const tenant = this.#chance.pick(this.list);
    return this.#join(tenant, this.#chance.below(2), this.#chance.pick(tenant.switches));
  }

  #join(tenant: Tenant, n: number, on: string): string | undefined {
    const chance = this.#chance;
    const router = tenant.routers[n];
    const there = this.of('router-port').filter((rp) => rp.spec.router === router);
    if (there.some((rp) => rp.spec.switch === on)) return undefined;
    const { v4, v6 } = this.subnetOf(on);
    const networks = [`${v4}.${254 - n}/24`, `${v6}:${(254 - n).toString(16)}/64`];
    if (chance.once(3)) networks.push(`fe80::${n + 1}/64`);
    return this.#create('router-port', {
      name: `rp${this.#names++}`,
      router,
      switch: on,
      mac: chance.once(4) ? ROUTER_MACS[2] : ROUTER_MACS[n],
      networks: chance.once(5) ? networks.slice(0, 1) : networks,
    });
  }

  #addRoute(): string | undefined {
    const chance = this.#chance;
    const tenant = chance.pick(this.list);
    const router = chance.pick(tenant.routers);
    const [on] = this.of('router-port')
      .filter((rp) => rp.spec.router === router)
      .map((rp) => rp.spec.switch);
    if (on === undefined || this.of('static-route').length > 8) return undefined;
    const six = chance.once(2);
    const prefix = six
      ? chance.pick(['::/0', 'fd00:0:0:2::/64', 'fd00::/32', 'fd00:9::/64'])
      : chance.pick([
          '0.0.0.0/0',
          '10.0.2.0/24',
          '10.0.3.2/32',
          '10.0.0.0/8',
          '10.9.0.0/16',
          '10.0.1.128/25',
        ]);
    if (chance.once(4)) return this.#create('static-route', { router, prefix, discard: true });
    const { v4, v6 } = this.subnetOf(on);
    const n = chance.pick([1, 2, 253, 254]);
    const nextHop = six ? `${v6}:${n.toString(16)}` : `${v4}.${n}`;
    return this.#create('static-route', { router, prefix, nextHop });
  }

  #match(on: string): AclMatch {
    const chance = this.#chance;
    const addresses = this.list.flatMap((t) => t.switches).includes(on) ? this.addressesOf(on) : [];
    const v4 = addresses.filter((ip) => !ip.includes(':'));
    const prefix = (): string =>
      chance.once(2) ? `${chance.pick(v4)}/32` : chance.pick(['10.0.0.0/8', '10.0.2.0/24', '0.0.0.0/0']);
    return chance.pick<() => AclMatch>([
      () => ({}),
      () => ({ etherType: chance.pick(['ipv4', 'ipv6', 'arp'] as const) }),
      () => ({ source: prefix() }),
      () => ({ destination: [prefix(), prefix()] }),
      () => ({ source: prefix(), destination: prefix(), protocol: chance.pick(['udp', 'tcp'] as const) }),
      () => ({ protocol: 'udp', destinationPorts: ['1000-1003', 1005] }),
      () => ({ protocol: 'tcp', destinationPorts: '1001-65535' }),
      () => ({ protocol: 'icmp', icmpType: 8 }),
      () => ({ protocol: 'icmpv6' }),
      () => ({ sourceMac: chance.pick(MACS) }),
      () => ({ etherType: 'ipv6', destination: 'fd00:0:0:2::/64' }),
      () => ({ destinationMac: chance.pick(MACS), etherType: 'ipv4' }),
    ])();
  }

  #addAcl(): string | undefined {
    if (this.of('acl').length >= 12) return undefined;
    const chance = this.#chance;
    const port = chance.some(this.of('logical-port'));
    const on = port === undefined || chance.once(2) ? this.#switch() : undefined;
    const actions = [
      'allow',
      'drop',
      'reject',
      ...(this.#options.stateful ? (['allow-stateful', 'allow-stateful'] as const) : []),
    ] as const;
    const where = on === undefined ? { port: port?.id ?? '' } : { switch: on };
    if (this.#options.stateful && chance.once(2)) return this.#addFirewall(where);
    return this.#create('acl', {
      ...where,
      direction: chance.pick(['from-port', 'to-port'] as const),
      priority: chance.below(4),
      match: this.#match(on ?? port?.spec.switch ?? ''),
      action: chance.pick(actions),
      ...(chance.once(8) ? { enabled: false } : {}),
    });
  }

  /** What people mostly want: what is asked from one side is answered from the other, and nothing else comes. */
  #addFirewall(where: { readonly port: string } | { readonly switch: string }): string {
    const chance = this.#chance;
    const [open, closed] = chance.once(2)
      ? (['from-port', 'to-port'] as const)
      : (['to-port', 'from-port'] as const);
    const match = chance.pick<AclMatch>([
      {},
      {},
      { protocol: 'udp' },
      { protocol: 'tcp' },
      { source: '10.0.0.0/8' },
    ]);
    const etherType = chance.pick(['ipv4', 'ipv4', 'ipv6'] as const);
    return [
      this.#create('acl', { ...where, direction: open, priority: 3, match, action: 'allow-stateful' }),
      this.#create('acl', { ...where, direction: closed, priority: 0, match: { etherType }, action: 'drop' }),
    ].join('\n  ');
  }

  #addBinding(): string | undefined {
    const chance = this.#chance;
    const port = chance.some(this.of('logical-port'));
    if (port === undefined || this.of('address-binding').length > 4) return undefined;
    const on = port.spec.switch;
    return this.#create('address-binding', {
      switch: on,
      ...(chance.once(3) ? {} : { port: port.id }),
      mac: chance.pick(MACS),
      ips: chance.subset(this.addressesOf(on), 5),
    });
  }

  #delete(kind: KindName): string | undefined {
    const object = this.#chance.some(this.of(kind));
    return object === undefined ? undefined : this.#remove(object);
  }

  #toggle(): string | undefined {
    const kinds = ['logical-switch', 'logical-port', 'logical-router', 'router-port', 'acl'] as const;
    const object = this.#chance.some(this.of(this.#chance.pick(kinds)));
    if (object === undefined) return undefined;
    const spec = object.spec as SpecOf<KindName> & { enabled?: boolean };
    // What is switched off forgets; what lives in it does too.
    for (const port of this.of('logical-port')) {
      if (port.id === object.id || port.spec.switch === object.id) this.onMoved(port.id);
    }
    return this.#update(object as Stored, { ...spec, enabled: spec.enabled === false } as SpecOf<KindName>);
  }

  #unknown(): string | undefined {
    const on = this.of('logical-switch').find((s) => s.id === this.#switch());
    if (on === undefined) return undefined;
    return this.#update(on, { ...on.spec, unknown: on.spec.unknown === 'flood' ? 'drop' : 'flood' });
  }
}
