/** Makes a plan of a lab file: finds what names mean, fills in what was left out, and says what does not fit. */

import { addressOf, inNetwork, isIpv6, parseNetwork } from './address.ts';
import type { LoadedFile } from './load.ts';
import { badLabFile, type Finding } from './load.ts';
import { ObjectBuilder } from './objects.ts';
import type { HostPlan, LabPlan, MachinePlan, MovePlan, Network } from './plan.ts';
import type { LabFile, LabMachine, SwitchKind } from './schema.ts';
import { idleSelectors, pairsOf, parseProbe, probesOf } from './select.ts';

/** Names of namespaces that every lab has. */
const RESERVED = ['underlay'];
const UNDERLAY_PREFIX = 24;

/** What the command line says over the file. */
export interface PlanOptions {
  /** Makes a new UUID. */
  readonly uuid: () => string;
  /** Every host gets this switch. */
  readonly kind?: SwitchKind;
  /** Hosts whose switch is ours get this one. */
  readonly ours?: 'kernel' | 'userspace';
}

const underlayOf = (n: number): string => `172.31.0.${n}`;

function kindOf(given: SwitchKind | undefined, { kind, ours }: PlanOptions): SwitchKind {
  const wanted = kind ?? given ?? 'kernel';
  return wanted === 'stock' ? wanted : (ours ?? wanted);
}

function hostPlans(file: LabFile, options: PlanOptions, findings: Finding[]): HostPlan[] {
  const taken = new Map<string, string>();
  return Object.entries(file.hosts).map(([name, host], i) => {
    const address = host.address ?? underlayOf(i + 1);
    const path = ['hosts', name, 'address'];
    if (
      !inNetwork(address, { address: underlayOf(0), prefix: UNDERLAY_PREFIX }) ||
      /\.(0|255)$/.test(address)
    )
      findings.push({
        path,
        text: `${address} is no address of a host in ${underlayOf(0)}/${UNDERLAY_PREFIX}`,
      });
    const other = taken.get(address);
    if (other !== undefined) findings.push({ path, text: `${address} is already ${other}'s` });
    taken.set(address, name);
    return {
      name,
      kind: kindOf(host.switch, options),
      encapsulations: host.encapsulations ?? ['geneve'],
      underlay: { address, prefix: UNDERLAY_PREFIX },
    };
  });
}

/** The addresses of the routers on a switch. */
function routerNetworks(file: LabFile, tenant: string, on: string): Network[] {
  const routers = Object.values(file.tenants?.[tenant]?.routers ?? {});
  const ports = routers.flatMap((router) => Object.entries(router.ports ?? {}));
  return ports
    .filter(([name, port]) => (port.switch ?? name) === on)
    .flatMap(([, port]) => port.networks.flatMap((text) => parseNetwork(text) ?? []));
}

class Machines {
  readonly #file: LabFile;
  readonly #options: PlanOptions;
  readonly #findings: Finding[];

  constructor(file: LabFile, options: PlanOptions, findings: Finding[]) {
    this.#file = file;
    this.#options = options;
    this.#findings = findings;
  }

  plans(): MachinePlan[] {
    const places = new Map<string, string>();
    return Object.entries(this.#file.vms ?? {}).flatMap(([name, machine]) => {
      const say = (member: string, text: string): void =>
        void this.#findings.push({ path: ['vms', name, member], text });
      if (this.#file.hosts[name] !== undefined || RESERVED.includes(name))
        this.#findings.push({ path: ['vms', name], text: 'the name is that of a host or of the underlay' });
      if (this.#file.hosts[machine.host] === undefined) say('host', `there is no host ${machine.host}`);
      const [tenant, on, port] = machine.port.split('/');
      if (this.#file.tenants?.[tenant]?.switches?.[on] === undefined) {
        say('port', `there is no switch ${tenant}/${on}`);
        return [];
      }
      const other = places.get(machine.port);
      if (other !== undefined) say('port', `${other} is there already`);
      places.set(machine.port, name);
      const addresses = this.#addresses(machine, say);
      const routers = routerNetworks(this.#file, tenant, on);
      return [
        {
          name,
          host: machine.host,
          tenant,
          switch: on,
          port,
          vif: machine.vif ?? this.#options.uuid(),
          mac: machine.mac.toLowerCase(),
          addresses,
          gateways: this.#gateways(machine, addresses, routers, say),
        },
      ];
    });
  }

  #addresses(machine: LabMachine, say: (member: string, text: string) => void): Network[] {
    return machine.addresses.flatMap((text) => {
      const network = parseNetwork(text);
      if (network === undefined)
        say('addresses', `"${text}" is no address with its prefix length (10.0.0.1/24)`);
      return network ?? [];
    });
  }

  #gateways(
    machine: LabMachine,
    addresses: readonly Network[],
    routers: readonly Network[],
    say: (member: string, text: string) => void,
  ): string[] {
    if (machine.gateways !== undefined) {
      for (const text of machine.gateways) {
        if (addressOf(text) === null) say('gateways', `"${text}" is no IP address`);
        else if (!addresses.some((own) => inNetwork(text, own)))
          say('gateways', `${text} is in no network of the machine`);
      }
      return [...machine.gateways];
    }
    return [false, true].flatMap((v6) => {
      const mine = addresses.filter(({ address }) => isIpv6(address) === v6);
      const found = routers.find(({ address }) => mine.some((own) => inNetwork(address, own)));
      return found === undefined ? [] : [found.address];
    });
  }
}

function movePlans(file: LabFile, machines: readonly MachinePlan[], findings: Finding[]): MovePlan[] {
  return (file.moves ?? []).flatMap((move, i) => {
    const find = (member: 'vm' | 'peer'): MachinePlan | undefined => {
      const found = machines.find(({ name }) => name === move[member]);
      if (found === undefined && file.vms?.[move[member]] === undefined)
        findings.push({ path: ['moves', i, member], text: `there is no machine ${move[member]}` });
      return found;
    };
    if (file.hosts[move.to] === undefined)
      findings.push({ path: ['moves', i, 'to'], text: `there is no host ${move.to}` });
    const vm = find('vm');
    const peer = find('peer');
    return vm === undefined || peer === undefined ? [] : [{ vm, peer, to: move.to, tcp: move.tcp }];
  });
}

/** @throws WeftError `bad-lab-file` */
export function planLab(loaded: LoadedFile, options: PlanOptions): LabPlan {
  const { value: file, at } = loaded;
  const findings: Finding[] = [];
  const hosts = hostPlans(file, options, findings);
  for (const name of RESERVED)
    if (file.hosts[name] !== undefined)
      findings.push({ path: ['hosts', name], text: 'the name is reserved' });
  const machines = new Machines(file, options, findings).plans();
  const objects = new ObjectBuilder(file, machines, options.uuid, findings).build(hosts);
  const expect = file.expect ?? [];
  expect.forEach(({ can = [], cannot = [] }, i) => {
    for (const text of [...can, ...cannot])
      if (text !== 'all' && parseProbe(text) === undefined)
        findings.push({ path: ['expect', i], text: `${text}: ports are 1 to 65535` });
  });
  findings.push(...idleSelectors(expect, machines));
  const moves = movePlans(file, machines, findings);
  if (findings.length > 0) throw badLabFile(at, findings);
  const probes = probesOf(expect);
  const pairs = pairsOf(machines, expect, probes);
  return { name: file.name ?? 'lab', hosts, machines, objects, probes, pairs, moves };
}
