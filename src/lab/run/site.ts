/**
 * The physical side of a planned lab: hosts on a network of their own, a switch in each, and machines with a wire to their
 * host. What connects the machines to each other is not made here.
 *
 *     host1 cable --- host1 (underlay: a Linux bridge) host2 --- cable host2
 *     host1 DEVICE ------------------- eth0 (machine)
 */
import { INTEGRATION_BRIDGE } from '../../logical/layout.ts';
import { setOffload } from '../../sys/ethtool.ts';
import type { HostPlan, LabPlan, MachinePlan } from '../file/plan.ts';
import { Guest } from '../guest.ts';
import type { Lab } from '../lab.ts';
import { type LabServices, SwitchProcess } from '../switch-process.ts';

const UNDERLAY = 'underlay';
const UNDERLAY_BRIDGE = 'lan';
/** The device of each host that leads to the others. */
export const CABLE = 'cable';
/** Open vSwitch's bridge that the cable is in: its userspace datapath sends tunnels only over such. */
const STOCK_CABLE_BRIDGE = 'phy';
/** Machines send 1500 bytes, and tunnels put up to 70 in front. */
const UNDERLAY_MTU = 1600;
const DEVICE = 'eth0';
/** What a machine's device is called on the host that it goes to, until it is there. */
const NEXT_DEVICE = 'eth1';

/** What each host's switch is started with beside its directory. */
export type SwitchOptions = (host: HostPlan) => readonly string[];

export class Site {
  readonly plan: LabPlan;
  readonly #lab: Lab;
  readonly #services: LabServices;
  readonly #switches = new Map<string, SwitchProcess>();
  readonly #guests = new Map<string, Guest>();
  /** The host that each machine is on now. */
  readonly #places = new Map<string, string>();

  constructor(lab: Lab, services: LabServices, plan: LabPlan) {
    this.#lab = lab;
    this.#services = services;
    this.plan = plan;
  }

  /** Makes hosts, their network and their switches. */
  async build(options: SwitchOptions = () => []): Promise<void> {
    const lab = this.#lab;
    lab.namespace(UNDERLAY);
    lab.bridge(UNDERLAY, UNDERLAY_BRIDGE, UNDERLAY_MTU);
    for (const { name, kind, underlay } of this.plan.hosts) {
      lab.namespace(name);
      const address = `${underlay.address}/${underlay.prefix}`;
      lab.wire(
        { at: name, device: CABLE, mtu: UNDERLAY_MTU, ...(kind === 'stock' ? {} : { address }) },
        { at: UNDERLAY, device: name, mtu: UNDERLAY_MTU },
      );
      lab.enslave(UNDERLAY, name, UNDERLAY_BRIDGE);
      // Its userspace datapath takes packets as they are on a wire: checksums done, and no larger than one.
      if (kind === 'stock') lab.inside(UNDERLAY, () => setOffload(name, 'txChecksum', false));
    }
    for (const machine of this.plan.machines) this.#wire(machine);
    const guests = this.plan.machines.map(async ({ name }) => {
      this.#guests.set(name, await Guest.start(lab, name));
    });
    const switches = this.plan.hosts.map((host) => this.#start(host, options(host)));
    await Promise.all([...switches, ...guests]);
  }

  #wire({ name, host, mac, addresses, gateways }: MachinePlan): void {
    const lab = this.#lab;
    lab.namespace(name);
    lab.wire({ at: host, device: name }, { at: name, device: DEVICE, mac });
    lab.configure(name, DEVICE, { addresses, gateways });
    this.#places.set(name, host);
  }

  async #start(host: HostPlan, options: readonly string[]): Promise<void> {
    const { name, kind, underlay } = host;
    const started =
      kind === 'stock'
        ? await SwitchProcess.startStock(this.#lab, name, this.#services)
        : await SwitchProcess.start(this.#lab, name, this.#services, options);
    this.#switches.set(name, started);
    const { database } = started;
    const datapathType = kind === 'kernel' ? 'system' : 'netdev';
    if (kind === 'stock') {
      await database.addBridge({ name: STOCK_CABLE_BRIDGE, datapathType, ports: [{ name: CABLE }] });
      this.#lab.change(name, STOCK_CABLE_BRIDGE, { up: true, mtu: UNDERLAY_MTU });
      this.#lab.configure(name, STOCK_CABLE_BRIDGE, { addresses: [underlay] });
    }
  }

  host(name: string): HostPlan {
    const host = this.plan.hosts.find((h) => h.name === name);
    if (host === undefined) throw new RangeError(`no host ${name}`);
    return host;
  }

  switchOf(host: string): SwitchProcess {
    const found = this.#switches.get(host);
    if (found === undefined) throw new RangeError(`no switch in ${host}`);
    return found;
  }

  guest(machine: string): Guest {
    const found = this.#guests.get(machine);
    if (found === undefined) throw new RangeError(`no guest ${machine}`);
    return found;
  }

  /** The host that a machine is on now. */
  placeOf(machine: string): string {
    const place = this.#places.get(machine);
    if (place === undefined) throw new RangeError(`no machine ${machine}`);
    return place;
  }

  /** Plugs every machine into its host's integration bridge, once the host's agent has made that. */
  async plugAll(): Promise<void> {
    for (const each of this.#switches.values()) await each.database.hasBridge(INTEGRATION_BRIDGE);
    await Promise.all(
      this.plan.machines.map((machine) => this.#plug(machine, this.placeOf(machine.name), DEVICE, false)),
    );
  }

  async #plug(
    { name, vif, mac }: MachinePlan,
    host: string,
    device: string,
    inactive: boolean,
  ): Promise<void> {
    const stock = this.host(host).kind === 'stock';
    this.#lab.inside(name, () => setOffload(device, 'txChecksum', !stock));
    const { database } = this.switchOf(host);
    await database.plug(INTEGRATION_BRIDGE, { device: name, vif, mac, inactive });
  }

  /**
   * Takes a running machine to another host as a hypervisor does: it gets a second device there, plugged in but not
   * active; then all at once goes on with that one, which the new host is told; then the first goes away.
   */
  async move(machine: MachinePlan, to: string): Promise<void> {
    const { name, mac, addresses, gateways } = machine;
    const from = this.placeOf(name);
    if (from === to) return;
    const lab = this.#lab;
    lab.wire({ at: to, device: name }, { at: name, device: NEXT_DEVICE, mac });
    await this.#plug(machine, to, NEXT_DEVICE, true);
    // Its routes are there but second best, so that there is one at every moment.
    lab.configure(name, NEXT_DEVICE, { addresses, gateways, metric: 1 });
    // To the machine it is the same device: it goes on with what it knows.
    lab.copyNeighbours(name, DEVICE, NEXT_DEVICE);
    const told = this.switchOf(to).database.activate(name);
    lab.change(name, DEVICE, { up: false });
    this.#places.set(name, to);
    await told;
    await this.switchOf(from).database.unplug(INTEGRATION_BRIDGE, name);
    lab.remove(name, DEVICE);
    lab.change(name, NEXT_DEVICE, { name: DEVICE });
    lab.configure(name, DEVICE, { addresses: [], gateways });
  }

  /** How a host forwards: "in the kernel, by eBPF". */
  async forwarding({ name, kind }: HostPlan): Promise<string> {
    if (kind === 'stock') return 'by Open vSwitch in user space';
    const text = await this.switchOf(name).appctl('weft/forwarding');
    // "TYPE@NAME: in the kernel, by eBPF", and how much came up.
    const [first] = text.split('\n');
    return first.slice(first.indexOf(' ') + 1);
  }

  close(): void {
    for (const each of this.#switches.values()) each.close();
  }
}
