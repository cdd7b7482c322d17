/**
 * The first lab: two hosts, four virtual machines and a trunk, two tenant networks that reach over both hosts by
 * tunnels. Three proofs: echo requests between all pairs, a TCP stream at default offloads through a tunnel, and a
 * watch at every port for frames that have no business there.
 */
import { WeftError } from '../base/errors.ts';
import type { PingTarget } from './guest/protocol.ts';
import { Watcher } from './guest/watcher.ts';
import { Guest } from './guest.ts';
import type { Lab } from './lab.ts';
import { type Cell, type Expectation, formatMatrix, held, isPair, mayTalk } from './matrix.ts';
import {
  BRIDGE,
  CABLE,
  CABLE_MTU,
  GUESTS,
  HOSTS,
  type HostPlan,
  NETWORKS,
  PICTURE,
  portsOf,
  STATIONS,
} from './plan.ts';
import { type BridgePlan, bridgeCommands, type DatapathType } from './switch-database.ts';
import { type LabServices, SwitchProcess } from './switch-process.ts';

const TCP_PORT = 5001;
const STREAM_MS = 1500;
/** How long an answer that must not come is waited for. */
const SILENCE_MS = 1200;
/** How long one that must come is. */
const ANSWER_MS = 8000;

/** Where the report goes. */
export interface Report {
  write(text: string): void;
}

const title = (report: Report, text: string): void => report.write(`\n== ${text}\n`);

const rate = (bytes: number, seconds: number): string => {
  const gbps = (bytes * 8) / seconds / 1e9;
  return gbps >= 1 ? `${gbps.toFixed(2)} Gbit/s` : `${(gbps * 1000).toFixed(0)} Mbit/s`;
};

class Demo {
  readonly #lab: Lab;
  readonly #services: LabServices;
  readonly #report: Report;
  readonly #datapathType: DatapathType;
  readonly #guests = new Map<string, Guest>();
  readonly #switches = new Map<string, SwitchProcess>();
  readonly expectations: Expectation[] = [];

  constructor({ lab, services, report, datapathType }: DemoOptions) {
    this.#lab = lab;
    this.#services = services;
    this.#report = report;
    this.#datapathType = datapathType;
  }

  #guest(name: string): Guest {
    const guest = this.#guests.get(name);
    if (guest === undefined) throw new WeftError('guest-gone', `no guest ${name}`);
    return guest;
  }

  #switch({ name }: HostPlan): SwitchProcess {
    const found = this.#switches.get(name);
    if (found === undefined) throw new WeftError('switch-failed', `no switch in ${name}`);
    return found;
  }

  #expect(text: string, isSo: boolean): void {
    this.expectations.push({ text, held: isSo });
  }

  async build(): Promise<void> {
    const lab = this.#lab;
    title(
      this.#report,
      `Lab ${lab.id}: two hosts, four virtual machines and a trunk, two networks over both`,
    );
    this.#report.write(PICTURE);
    for (const { name } of HOSTS) lab.namespace(name);
    const [here, there] = HOSTS.map(({ name, underlay }) => ({
      at: name,
      device: CABLE,
      address: `${underlay}/24`,
      mtu: CABLE_MTU,
    }));
    lab.wire(here, there);
    const starting = HOSTS.map(async ({ name }) => {
      this.#switches.set(name, await SwitchProcess.start(lab, name, this.#services));
    });
    for (const { name, host, mac, presences, port } of GUESTS) {
      lab.namespace(name);
      // At the trunk port the guest's own stack has the addresses: the kernel's would answer untagged.
      const address = port.tag === undefined ? undefined : `${presences[0].address}/24`;
      lab.wire({ at: host, device: name }, { at: name, device: 'eth0', mac, address });
    }
    const guests = GUESTS.map(async ({ name, mac, presences, port }) => {
      const config = port.trunks === undefined ? {} : { tagged: { mac, presences } };
      this.#guests.set(name, await Guest.start(lab, name, config));
    });
    await Promise.all([...starting, ...guests]);
  }

  async configure(): Promise<void> {
    title(this.#report, 'Configure the switches, by OVSDB; these commands do the same');
    const plans = HOSTS.map((host): [HostPlan, BridgePlan] => [
      host,
      { name: BRIDGE, datapathType: this.#datapathType, ports: portsOf(host) },
    ]);
    for (const [host, plan] of plans) {
      this.#report.write(`  on ${host.name}:\n`);
      for (const command of bridgeCommands(plan)) this.#report.write(`    ${command}\n`);
    }
    await Promise.all(plans.map(([host, plan]) => this.#switch(host).addBridge(plan)));
    for (const host of HOSTS) {
      const forwarding = await this.#switch(host).appctl('weft/forwarding');
      // "TYPE@NAME: in the kernel, by eBPF", and how much came up.
      const [first] = forwarding.split('\n');
      this.#report.write(`  ${host.name} forwards ${first.slice(first.indexOf(' ') + 1)}\n`);
    }
  }

  async pings(): Promise<void> {
    title(this.#report, 'Who may talk to whom: fastest round trip of ICMP echoes, "-" for no answer');
    const guests = [...this.#guests.values()];
    await Promise.all(guests.map((guest) => guest.ask('watch', null)));
    const cables = HOSTS.map(({ name }) => this.#lab.inside(name, () => new Watcher(CABLE)));
    const byGuest = await Promise.all(GUESTS.map(({ name }) => this.#pingFrom(name)));
    const cells = byGuest.flat();
    this.#report.write(formatMatrix(STATIONS, cells));
    const wrong = cells.filter((cell) => !held(cell));
    const allowed = cells.filter((cell) => cell.expected);
    const refused = cells.filter((cell) => !cell.expected);
    const tunnelled = allowed.filter(({ from, to }) => from.host !== to.host);
    this.#expect(
      `${allowed.length} pairs in one network reach each other, ${tunnelled.length} of them through a tunnel`,
      allowed.every((cell) => held(cell)),
    );
    this.#expect(
      `${refused.length} pairs in different networks do not`,
      refused.every((cell) => held(cell)),
    );
    for (const { from, to } of wrong) this.#report.write(`  wrong: ${from.label} -> ${to.label}\n`);
    await this.#strangers();
    this.#naked(cables.map((cable) => cable.finish()));
  }

  async #pingFrom(guest: string): Promise<Cell[]> {
    const pairs = STATIONS.filter((from) => from.guest === guest).flatMap((from) =>
      STATIONS.filter((to) => isPair(from, to)).map((to) => ({ from, to, expected: mayTalk(from, to) })),
    );
    const targets = pairs.map(({ from, to, expected }): PingTarget => {
      return { address: to.address, expected, ...(from.tagged ? { vlan: from.vlan } : {}) };
    });
    const args = { targets, minimumMs: SILENCE_MS, limitMs: ANSWER_MS };
    const outcomes = await this.#guest(guest).ask('ping', args);
    return pairs.map((pair, i) => ({ ...pair, outcome: outcomes[i] }));
  }

  /** No frame came where none of its VLAN belongs. */
  async #strangers(): Promise<void> {
    let seen = 0;
    const found: string[] = [];
    for (const to of GUESTS) {
      const counts = await this.#guest(to.name).ask('watched', null);
      for (const from of GUESTS) {
        const frames = counts[from.mac] ?? 0;
        seen += frames;
        const apart =
          from.port.tag !== undefined && to.port.tag !== undefined && from.port.tag !== to.port.tag;
        if (apart && frames > 0) found.push(`${frames} frames of ${from.name} at ${to.name}`);
      }
    }
    for (const text of found) this.#report.write(`  wrong: ${text}\n`);
    this.#expect(
      `of ${seen} frames seen at the ports, none came from another network`,
      seen > 0 && found.length === 0,
    );
  }

  /** No frame of a guest was between the hosts but in a tunnel. */
  #naked(cables: readonly Record<string, number>[]): void {
    const all = cables.flatMap((counts) => Object.entries(counts));
    const guests = new Set(GUESTS.map(({ mac }) => mac));
    const frames = all.reduce((sum, [, count]) => sum + count, 0);
    const leaked = all.filter(([mac]) => guests.has(mac));
    for (const [mac, count] of leaked)
      this.#report.write(`  wrong: ${count} frames of ${mac} on the cable\n`);
    this.#expect(
      `of ${frames} frames seen on the cable, none was a guest's outside a tunnel`,
      frames > 0 && leaked.length === 0,
    );
  }

  async streams(): Promise<void> {
    title(this.#report, 'A TCP stream from host to host, at default offloads');
    const connect = { port: TCP_PORT, ms: STREAM_MS, connectMs: ANSWER_MS };
    await Promise.all(['vm3', 'vm4'].map((name) => this.#guest(name).ask('listen', { port: TCP_PORT })));
    const vm1 = this.#guest('vm1');
    const [passing, stopped] = await Promise.all([
      vm1.ask('stream', { ...connect, address: '10.0.0.3' }),
      vm1.ask('stream', { ...connect, address: '10.0.0.4', connectMs: SILENCE_MS }),
    ]);
    const { bytes, seconds, reason } = passing;
    const passed = passing.connected && bytes > 0;
    this.#report.write(
      passed
        ? `  vm1 -> vm3: ${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(2)} s: ${rate(bytes, seconds)}\n`
        : `  vm1 -> vm3: ${reason}\n`,
    );
    this.#expect('TCP passes from vm1 on host1 to vm3 on host2', passed);
    await this.megaflows();
    this.#expect('TCP does not connect from vm1 to vm4', !stopped.connected);
  }

  /** Those that carried the stream put it into the tunnel of its network on one host, and take it out on the other. */
  async megaflows(): Promise<void> {
    title(this.#report, `The megaflows that carried it (ovs-appctl dpif/dump-flows ${BRIDGE})`);
    const [here, there] = HOSTS;
    const key = `tun_id=0x${NETWORKS[0].key.toString(16)},`;
    const into = await this.#carriers(here);
    const outOf = await this.#carriers(there);
    this.#expect(
      `on ${here.name} a megaflow put the stream into the tunnel of ${NETWORKS[0].name}`,
      into.some((line) => line.includes(`set(tunnel(${key}`)),
    );
    this.#expect(
      `on ${there.name} a megaflow took it out`,
      outOf.some((line) => line.startsWith(`tunnel(${key}`)),
    );
  }

  /** The megaflows of a host that packets of the stream have hit; says which they are. */
  async #carriers(host: HostPlan): Promise<string[]> {
    const text = await this.#switch(host).appctl('dpif/dump-flows', BRIDGE);
    const flows = text.split('\n').filter((line) => line.trim() !== '');
    const tcp = flows.filter(
      (line) =>
        line.includes('eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:03)') &&
        line.includes('eth_type(0x0800)') &&
        /packets:[1-9]/.test(line),
    );
    this.#report.write(`  on ${host.name}, of ${flows.length}:\n`);
    for (const line of tcp.length > 0 ? tcp : flows) this.#report.write(`    ${line}\n`);
    // Of the kernel datapath alone: what it could not do by itself.
    const forwarding = await this.#switch(host).appctl('weft/forwarding');
    const up = forwarding.split('\n').find((line) => line.startsWith('  packets that came up'));
    if (up !== undefined) this.#report.write(`    ${up.trim()}\n`);
    return tcp;
  }

  verdict(seconds: number): boolean {
    title(this.#report, 'Expectations');
    for (const { text, held } of this.expectations)
      this.#report.write(`  ${held ? 'ok   ' : 'WRONG'}  ${text}\n`);
    const wrong = this.expectations.filter((e) => !e.held).length;
    const all = this.expectations.length;
    this.#report.write(
      `\n${wrong === 0 ? `All ${all} expectations held` : `${wrong} of ${all} expectations did not hold`}, after ${seconds.toFixed(1)} s.\n`,
    );
    return wrong === 0;
  }

  whereToGo(): void {
    const { id, dir } = this.#lab;
    title(this.#report, 'The lab is up until Ctrl-C. In another terminal:');
    this.#report.write(`
  bin/weft lab exec vm1 ping 10.0.0.3            a command in a virtual machine (vm1 ... vm4, trunk)
  bin/weft lab exec host1 ovs-vsctl show         or in a host (host1, host2), where the stock tools find its switch
  bin/weft lab exec host1 ovs-appctl fdb/show br0
  bin/weft lab exec host1 ovs-appctl ofproto/list-tunnels
  bin/weft lab exec host1 ovs-appctl weft/forwarding        kernel or user space, and how much came up to the process
  bin/weft lab exec host1 tcpdump -nni cable                what is on the wire between the hosts
  bin/weft lab exec host2 ovs-vsctl set port vm4 tag=10     lets vm4 join red: vm1 and vm3
  bin/weft lab exec host1 ovs-ofctl add-flow br0 priority=9,icmp,actions=drop
  bin/weft lab exec host1 ovs-appctl ofproto/trace br0 in_port=vm1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:03

  namespaces ${id}-host1, ${id}-vm1, ...; databases, logs and sockets in ${dir}/host1 and host2
  docs/switch.md and docs/tunnels.md go on from here; docs/lab.md tells how this lab works.
`);
  }

  close(): void {
    for (const each of this.#switches.values()) each.close();
  }
}

export interface DemoOptions {
  readonly lab: Lab;
  readonly services: LabServices;
  readonly report: Report;
  readonly datapathType: DatapathType;
  /** Called when all is shown and the lab is to stay up: resolves when it shall end. Left out: ends at once. */
  readonly stay?: () => Promise<void>;
}

/** Runs the demonstration; true if every expectation held. The caller takes the lab down. */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const started = performance.now();
  const demo = new Demo(options);
  try {
    await demo.build();
    await demo.configure();
    await demo.pings();
    await demo.streams();
    const ok = demo.verdict((performance.now() - started) / 1000);
    if (options.stay !== undefined) {
      demo.whereToGo();
      await options.stay();
    }
    return ok;
  } finally {
    demo.close();
  }
}
