/**
 * The first lab: one host, four virtual machines, two VLANs, one trunk. All guests are in one IP subnet, so
 * that nothing but the switch decides who reaches whom. Three proofs: echo requests between all pairs, a
 * TCP stream at default offloads, and a watch at every port for frames that have no business there.
 */
import { WeftError } from '../base/errors.ts';
import type { PingTarget, Presence } from './guest/protocol.ts';
import { Guest } from './guest.ts';
import type { Lab } from './lab.ts';
import { type Cell, type Expectation, formatMatrix, held, isPair, mayTalk, type Station } from './matrix.ts';
import { bridgeCommands, type LabServices, type PortPlan, SwitchProcess } from './switch-process.ts';

const BRIDGE = 'br0';
const HOST = 'host';
const TCP_PORT = 5001;
const STREAM_MS = 1500;
/** How long an answer that must not come is waited for. */
const SILENCE_MS = 1200;
/** How long one that must come is. */
const ANSWER_MS = 8000;

/** A guest of the plan, and its place at the switch. */
interface GuestPlan {
  readonly name: string;
  readonly mac: string;
  /** One, in the VLAN of its access port; or one in each VLAN of its trunk. */
  readonly presences: readonly Presence[];
  readonly port: PortPlan;
}

const access = (n: number, tag: number): GuestPlan => ({
  name: `vm${n}`,
  mac: `02:00:00:00:00:0${n}`,
  presences: [{ vlan: tag, address: `10.0.0.${n}` }],
  port: { name: `vm${n}`, tag },
});
const VLANS = [10, 20] as const;
const GUESTS: readonly GuestPlan[] = [
  access(1, VLANS[0]),
  access(2, VLANS[0]),
  access(3, VLANS[1]),
  access(4, VLANS[1]),
  {
    name: 'trunk',
    mac: '02:00:00:00:00:05',
    presences: VLANS.map((vlan) => ({ vlan, address: `10.0.0.${vlan}` })),
    port: { name: 'trunk', trunks: VLANS },
  },
];

const PICTURE = `
  vm1  10.0.0.1 --- access 10 ---+-------+--- access 20 --- vm3  10.0.0.3
                                 |  br0  |
  vm2  10.0.0.2 --- access 10 ---+---+---+--- access 20 --- vm4  10.0.0.4
                                     |
                                trunk 10,20 --- trunk  10.0.0.10 in VLAN 10, 10.0.0.20 in VLAN 20
`;

const STATIONS = GUESTS.flatMap(({ name, presences, port }) =>
  presences.map(({ vlan, address }): Station => {
    const tagged = port.tag === undefined;
    return { label: tagged ? `${name}.${vlan}` : name, guest: name, address, vlan, tagged };
  }),
);

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
  readonly #guests = new Map<string, Guest>();
  readonly expectations: Expectation[] = [];
  #switch: SwitchProcess | undefined;

  constructor(lab: Lab, services: LabServices, report: Report) {
    this.#lab = lab;
    this.#services = services;
    this.#report = report;
  }

  #guest(name: string): Guest {
    const guest = this.#guests.get(name);
    if (guest === undefined) throw new WeftError('guest-gone', `no guest ${name}`);
    return guest;
  }

  #expect(text: string, isSo: boolean): void {
    this.expectations.push({ text, held: isSo });
  }

  async build(): Promise<void> {
    const lab = this.#lab;
    title(this.#report, `Lab ${lab.id}: one host, four virtual machines, two VLANs, one trunk`);
    this.#report.write(PICTURE);
    lab.namespace(HOST);
    for (const { name, mac, presences, port } of GUESTS) {
      lab.namespace(name);
      // At the trunk port the guest's own stack has the addresses: the kernel's would answer untagged.
      const address = port.tag === undefined ? undefined : `${presences[0].address}/24`;
      lab.wire({ at: HOST, device: name }, { at: name, device: 'eth0', mac, address });
    }
    const starting = SwitchProcess.start(lab, HOST, this.#services);
    const guests = GUESTS.map(async ({ name, mac, presences, port }) => {
      const config = port.trunks === undefined ? {} : { tagged: { mac, presences } };
      this.#guests.set(name, await Guest.start(lab, name, config));
    });
    const [started] = await Promise.all([starting, ...guests]);
    this.#switch = started;
  }

  async configure(): Promise<void> {
    const ports = GUESTS.map(({ port }) => port);
    title(this.#report, 'Configure the switch, by OVSDB; these commands do the same');
    for (const command of bridgeCommands(BRIDGE, ports)) this.#report.write(`  ${command}\n`);
    await this.#switch!.addBridge(BRIDGE, ports);
  }

  async pings(): Promise<void> {
    title(this.#report, 'Who may talk to whom: fastest round trip of ICMP echoes, "-" for no answer');
    const guests = [...this.#guests.values()];
    await Promise.all(guests.map((guest) => guest.ask('watch', null)));
    const byGuest = await Promise.all(GUESTS.map(({ name }) => this.#pingFrom(name)));
    const cells = byGuest.flat();
    this.#report.write(formatMatrix(STATIONS, cells));
    const wrong = cells.filter((cell) => !held(cell));
    const allowed = cells.filter((cell) => cell.expected);
    const refused = cells.filter((cell) => !cell.expected);
    this.#expect(
      `${allowed.length} pairs in one VLAN reach each other`,
      allowed.every((cell) => held(cell)),
    );
    this.#expect(
      `${refused.length} pairs in different VLANs do not`,
      refused.every((cell) => held(cell)),
    );
    for (const { from, to } of wrong) this.#report.write(`  wrong: ${from.label} -> ${to.label}\n`);
    await this.#strangers();
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
      `of ${seen} frames seen at the ports, none came from another VLAN`,
      seen > 0 && found.length === 0,
    );
  }

  async streams(): Promise<void> {
    title(this.#report, 'A TCP stream, at default offloads');
    const connect = { port: TCP_PORT, ms: STREAM_MS, connectMs: ANSWER_MS };
    await Promise.all(['vm2', 'vm4'].map((name) => this.#guest(name).ask('listen', { port: TCP_PORT })));
    const passing = await this.#guest('vm1').ask('stream', { ...connect, address: '10.0.0.2' });
    const { bytes, seconds, reason } = passing;
    const passed = passing.connected && bytes > 0;
    this.#report.write(
      passed
        ? `  vm1 -> vm2: ${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(2)} s: ${rate(bytes, seconds)}\n`
        : `  vm1 -> vm2: ${reason}\n`,
    );
    this.#expect('TCP passes from vm1 to vm2', passed);
    await this.megaflows();
    const stopped = await this.#guest('vm1').ask('stream', {
      ...connect,
      address: '10.0.0.4',
      connectMs: SILENCE_MS,
    });
    this.#expect('TCP does not connect from vm1 to vm4', !stopped.connected);
  }

  async megaflows(): Promise<void> {
    title(this.#report, 'The megaflows that carried it (ovs-appctl dpif/dump-flows br0)');
    const text = await this.#switch!.appctl('dpif/dump-flows', BRIDGE);
    const flows = text.split('\n').filter((line) => line.trim() !== '');
    const tcp = flows.filter((line) => line.includes('eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)'));
    for (const line of tcp.length > 0 ? tcp : flows) this.#report.write(`  ${line}\n`);
    this.#report.write(`  (${flows.length} in all)\n`);
    this.#expect(
      'a megaflow carried the stream',
      tcp.some((line) => /packets:[1-9]/.test(line)),
    );
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
  bin/weft lab exec vm1 ping 10.0.0.2            a command in a virtual machine (vm1 ... vm4, trunk)
  bin/weft lab exec host ovs-vsctl show          or in the host, where the stock tools find the switch
  bin/weft lab exec host ovs-appctl fdb/show br0
  bin/weft lab exec host ovs-vsctl set port vm3 tag=10      lets vm3 join vm1 and vm2
  bin/weft lab exec host ovs-ofctl add-flow br0 priority=9,icmp,actions=drop
  bin/weft lab exec host ovs-appctl ofproto/trace br0 in_port=vm1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02

  namespaces ${id}-host, ${id}-vm1, ...; database, log and sockets in ${dir}
  docs/switch.md goes on from here; docs/lab.md tells how this lab works.
`);
  }

  close(): void {
    this.#switch?.close();
  }
}

export interface DemoOptions {
  readonly lab: Lab;
  readonly services: LabServices;
  readonly report: Report;
  /** Called when all is shown and the lab is to stay up: resolves when it shall end. Left out: ends at once. */
  readonly stay?: () => Promise<void>;
}

/** Runs the demonstration; true if every expectation held. The caller takes the lab down. */
export async function runDemo({ lab, services, report, stay }: DemoOptions): Promise<boolean> {
  const started = performance.now();
  const demo = new Demo(lab, services, report);
  try {
    await demo.build();
    await demo.configure();
    await demo.pings();
    await demo.streams();
    const ok = demo.verdict((performance.now() - started) / 1000);
    if (stay !== undefined) {
      demo.whereToGo();
      await stay();
    }
    return ok;
  } finally {
    demo.close();
  }
}
