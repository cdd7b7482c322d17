/** The objects of the API that a lab file describes, in an order in which each comes after those that it refers to. */
import type { KindName } from '../../api-schema/kinds.ts';
import type { Finding } from './load.ts';
import type { HostPlan, MachinePlan, ObjectPlan } from './plan.ts';
import type { LabFile, LabNetworks } from './schema.ts';

type Path = (string | number)[];
type Spec = Record<string, unknown>;

/** A member of an object without those that only lab files have. */
function without(object: Spec, ...members: readonly string[]): Spec {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !members.includes(name)));
}

export class ObjectBuilder {
  readonly #file: LabFile;
  readonly #machines: readonly MachinePlan[];
  readonly #uuid: () => string;
  readonly #findings: Finding[];
  readonly #objects: ObjectPlan[] = [];
  /** UUIDs by kind and path of names. */
  readonly #ids = new Map<string, string>();

  constructor(file: LabFile, machines: readonly MachinePlan[], uuid: () => string, findings: Finding[]) {
    this.#file = file;
    this.#machines = machines;
    this.#uuid = uuid;
    this.#findings = findings;
  }

  build(hosts: readonly HostPlan[]): ObjectPlan[] {
    for (const { name, encapsulations, underlay } of hosts) {
      const tunnels = encapsulations.map((encapsulation) => ({ encapsulation, address: underlay.address }));
      this.#add('transport-node', name, { name, systemId: name, tunnels });
    }
    for (const [name, networks] of Object.entries(this.#file.tenants ?? {})) {
      const description = networks.description === undefined ? {} : { description: networks.description };
      const tenant = this.#add('tenant', name, { name, ...description });
      this.#switches(name, tenant, networks);
      this.#routers(name, tenant, networks);
      this.#rules(name, networks);
    }
    return this.#objects;
  }

  #add(kind: KindName, path: string, spec: Spec): string {
    const id = this.#uuid();
    this.#objects.push({ kind, id, path, spec });
    this.#ids.set(`${kind} ${path}`, id);
    return id;
  }

  #find(kind: KindName, path: string, at: Path, what: string): string {
    const id = this.#ids.get(`${kind} ${path}`);
    if (id === undefined) this.#findings.push({ path: at, text: `there is no ${what} ${path}` });
    return id ?? '';
  }

  #switches(tenant: string, id: string, { switches = {} }: LabNetworks): void {
    for (const [name, given] of Object.entries(switches)) {
      const path = `${tenant}/${name}`;
      const on = this.#add('logical-switch', path, { name, tenant: id, ...without(given, 'ports') });
      const machines = this.#machines.filter((m) => m.tenant === tenant && m.switch === name);
      const names = new Set([...Object.keys(given.ports ?? {}), ...machines.map(({ port }) => port)]);
      for (const port of names) {
        const machine = machines.find((m) => m.port === port);
        const attached =
          machine === undefined
            ? {}
            : {
                vif: machine.vif,
                addresses: [{ mac: machine.mac, ips: machine.addresses.map(({ address }) => address) }],
              };
        const spec = { name: port, switch: on, ...attached, ...given.ports?.[port] };
        this.#add('logical-port', `${path}/${port}`, spec);
      }
    }
  }

  #routers(tenant: string, id: string, { routers = {} }: LabNetworks): void {
    for (const [name, given] of Object.entries(routers)) {
      const path = `${tenant}/${name}`;
      const spec = { name, tenant: id, ...without(given, 'ports', 'routes') };
      const router = this.#add('logical-router', path, spec);
      for (const [port, { switch: on = port, ...rest }] of Object.entries(given.ports ?? {})) {
        const at = ['tenants', tenant, 'routers', name, 'ports', port];
        const onSwitch = this.#find('logical-switch', `${tenant}/${on}`, at, 'switch');
        this.#add('router-port', `${path}/${port}`, { name: port, router, switch: onSwitch, ...rest });
      }
      (given.routes ?? []).forEach((route) => {
        this.#add('static-route', `${path} to ${route.prefix}`, { router, ...route });
      });
    }
  }

  /** Of an ACL or a binding: the switch and port that it names, as the API wants them. */
  #place(tenant: string, given: { switch?: string; port?: string }, at: Path): Spec {
    const onSwitch =
      given.switch === undefined
        ? {}
        : { switch: this.#find('logical-switch', `${tenant}/${given.switch}`, [...at, 'switch'], 'switch') };
    const onPort =
      given.port === undefined
        ? {}
        : { port: this.#find('logical-port', `${tenant}/${given.port}`, [...at, 'port'], 'port') };
    return { ...onSwitch, ...onPort };
  }

  #rules(tenant: string, { acls = [], bindings = [] }: LabNetworks): void {
    acls.forEach((rule, i) => {
      const at = ['tenants', tenant, 'acls', i];
      if ((rule.port === undefined) === (rule.switch === undefined))
        this.#findings.push({ path: at, text: 'an ACL is on a switch or on a port: give one of both' });
      const place = rule.port ?? rule.switch ?? '';
      const title = rule.name ?? `${rule.direction} ${rule.priority} ${rule.action}`;
      const spec = { ...without(rule, 'port', 'switch'), ...this.#place(tenant, rule, at) };
      this.#add('acl', `${tenant}/${place}: ${title}`, spec);
    });
    bindings.forEach((binding, i) => {
      const at = ['tenants', tenant, 'bindings', i];
      const spec = { ...without(binding, 'port', 'switch'), ...this.#place(tenant, binding, at) };
      this.#add('address-binding', `${tenant}/${binding.switch}: ${binding.mac}`, spec);
    });
  }
}
