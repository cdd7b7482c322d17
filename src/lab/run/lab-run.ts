/** A planned lab from the first namespace to the last proof. */
import { randomBytes } from 'node:crypto';
import { WeftError } from '../../base/errors.ts';
import type { LabPlan, MachinePlan, MovePlan } from '../file/plan.ts';
import type { Lab } from '../lab.ts';
import type { Expectation } from '../matrix.ts';
import type { LabServices } from '../switch-process.ts';
import type { ControlPlane } from './control-plane.ts';
import { heldMove, moveUnderTraffic, underTraffic } from './move.ts';
import { matrixText, moveText, wrongText } from './report.ts';
import { heldRound, Round, type RoundResult, serveAll } from './round.ts';
import { Site } from './site.ts';

/** Where the report goes. */
export interface Report {
  write(text: string): void;
}

export interface LabRunOptions {
  readonly lab: Lab;
  readonly services: LabServices;
  readonly plan: LabPlan;
  readonly control: ControlPlane;
  readonly report: Report;
}

/** How long hosts may take to have what was asked for. */
const SETTLE_MS = 120_000;
/** A machine with much else to do loses pings by itself; one in so many is not the controller's doing. */
const FEW = 10;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

export class LabRun {
  readonly plan: LabPlan;
  readonly site: Site;
  readonly expectations: Expectation[] = [];
  readonly #control: ControlPlane;
  #report: Report;
  readonly #lab: Lab;
  /** One thing at a time: commands of several people queue. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor({ lab, services, plan, control, report }: LabRunOptions) {
    this.plan = plan;
    this.#lab = lab;
    this.#control = control;
    this.#report = report;
    this.site = new Site(lab, services, plan);
  }

  /** Begins a part of the report. */
  #title(text: string): void {
    this.#report.write(`\n== ${text}\n`);
  }

  #say(text: string): void {
    this.#report.write(`  ${text}\n`);
  }

  #expect(text: string, held: boolean): void {
    this.expectations.push({ text, held });
    this.#say(`${held ? 'ok   ' : 'WRONG'}  ${text}`);
  }

  /** Builds everything, and returns when every host has what the networks need. */
  async up(): Promise<void> {
    const { hosts, machines, objects } = this.plan;
    const started = performance.now();
    this.#title(
      `Lab ${this.#lab.id}, "${this.plan.name}": ${hosts.length} hosts, ${machines.length} machines, ${objects.length} objects`,
    );
    await this.#control.start(this.plan);
    await this.site.build((host) => this.#control.switchOptions(host));
    await this.#control.startAgents(hosts);
    for (const host of hosts) {
      const here = machines.filter((machine) => machine.host === host.name).map(({ name }) => name);
      const how = await this.site.forwarding(host);
      this.#say(`${host.name}  ${host.underlay.address}  forwards ${how}; ${here.join(', ')}`);
    }
    this.#say(`controller  ${this.#control.url}; built after ${seconds(performance.now() - started)}`);
    await this.#control.apply(this.plan);
    const asked = performance.now();
    await Promise.all([this.site.plugAll(), serveAll(this.site)]);
    this.#say(`all objects were made by one request, and the machines plugged in`);
    await this.#settle(asked);
  }

  /** Waits until all is live; `since`: when it was asked for. */
  async #settle(since: number): Promise<void> {
    const { realized, reason } = await this.#control.settled(SETTLE_MS);
    if (!realized)
      throw new WeftError('not-realized', `the networks are not live after ${seconds(SETTLE_MS)}: ${reason}`);
    const took = (performance.now() - since).toFixed(0);
    this.#say(`every host has confirmed the networks, ${took} ms after that`);
  }

  /** Has every machine try everything on every other. */
  async round(forging: boolean): Promise<RoundResult> {
    const nonce = randomBytes(2).readUInt16BE(0);
    return new Round(this.site, nonce).run(forging);
  }

  async prove(title: string): Promise<boolean> {
    this.#title(title);
    const result = await this.round(true);
    this.#report.write(matrixText(this.plan, result));
    this.#report.write(wrongText(result));
    const { findings, strays, frames, forged } = result;
    const [can, cannot] = [true, false].map((expected) => findings.filter((f) => f.expected === expected));
    this.#expect(
      `of ${can.length} attempts that must reach a machine, each did, and that machine answered`,
      can.every(({ reached }) => reached),
    );
    this.#expect(
      `of ${cannot.length} attempts that must not, none did`,
      cannot.every(({ reached }) => !reached),
    );
    this.#expect(
      `machines sent ${forged} forged frames; of the ${frames} marked ones that came to machines none was another tenant's`,
      strays.length === 0 && (frames > 0 || can.length === 0),
    );
    return heldRound(result);
  }

  /** Moves a machine under traffic. */
  async move(move: MovePlan): Promise<boolean> {
    const result = await moveUnderTraffic(this.site, move);
    this.#report.write(moveText(result));
    const held = heldMove(result);
    this.#expect(`${move.vm.name} goes on talking to ${move.peer.name} from ${move.to}`, held);
    return held;
  }

  /** Everything beyond who reaches whom; and that once more afterwards. */
  async story(): Promise<void> {
    if (this.plan.moves.length === 0) return;
    await this.#moves();
    await this.#outage();
    await this.prove('Who reaches whom after all that');
  }

  async #moves(): Promise<void> {
    this.#title('Live migration');
    for (const move of this.plan.moves) await this.move(move);
  }

  /** Kills the controller and starts it again, under traffic. */
  async #outage(): Promise<void> {
    const [move] = this.plan.moves;
    this.#title('The controller is killed, and started again');
    const before = await this.#control.count();
    const { series, talk } = await underTraffic(this.site, move.peer, move.vm, move.tcp, async () => {
      await this.#control.kill();
      const result = await this.round(false);
      this.#report.write(wrongText(result));
      this.#expect('without it everything is as before', heldRound(result));
      await this.#control.restart();
      await this.#settle(performance.now());
    });
    const after = await this.#control.count();
    this.#expect(`it has all ${before} objects again`, before === after);
    this.#expect(
      `of ${series.sent} pings meanwhile ${series.lost} were lost, and the connection held`,
      series.lost * FEW < series.sent && talk.reason === '',
    );
  }

  verdict(ms: number): boolean {
    const wrong = this.expectations.filter(({ held }) => !held);
    const all = this.expectations.length;
    this.#report.write(
      wrong.length === 0
        ? `\nAll ${all} expectations held, after ${seconds(ms)}.\n`
        : `\n${wrong.length} of ${all} expectations did not hold, after ${seconds(ms)}:\n${wrong.map(({ text }) => `  ${text}\n`).join('')}`,
    );
    return wrong.length === 0;
  }

  /** What somebody can do with the lab while it is up. */
  whereToGo(): void {
    const { machines, hosts } = this.plan;
    const [vm] = machines;
    const [host] = hosts;
    this.#title('The lab is up until Ctrl-C. In another terminal:');
    const lines: [string, string][] = [
      ['eval "$(bin/weft lab env)"', `has "weft net" find the API at ${this.#control.url}`],
      ['bin/weft net status', 'hosts, and what is not live; "weft net --help" says more'],
      ['bin/weft lab test', 'who reaches whom, once more'],
    ];
    if (vm !== undefined) {
      lines.push([`bin/weft lab shell ${vm.name}`, 'a shell in a machine']);
      const elsewhere = hosts.find(({ name }) => name !== this.site.placeOf(vm.name));
      if (elsewhere !== undefined)
        lines.push([`bin/weft lab move ${vm.name} ${elsewhere.name}`, 'take it to another host']);
    }
    lines.push([
      `bin/weft lab exec ${host.name} ovs-ofctl dump-flows br-int`,
      'the stock tools find the switch of a host',
    ]);
    const width = Math.max(...lines.map(([command]) => command.length));
    for (const [command, what] of lines) this.#say(`${command.padEnd(width)}  ${what}`.trimEnd());
    this.#say(`logs and databases are in ${this.#lab.dir}`);
  }

  /** Runs one command after the others that are under way; what it says goes to `report`. */
  exclusively<T>(report: Report, work: () => Promise<T>): Promise<T> {
    const alone = async (): Promise<T> => {
      const before = this.#report;
      this.#report = report;
      try {
        return await work();
      } finally {
        this.#report = before;
      }
    };
    const result = this.#busy.then(alone);
    this.#busy = result.catch(() => {});
    return result;
  }

  /** Proves all that can be proved without harm to who uses the lab. */
  async test(): Promise<boolean> {
    const started = performance.now();
    this.expectations.length = 0;
    await this.prove('Who reaches whom');
    return this.verdict(performance.now() - started);
  }

  /** Moves a machine to a host, while another machine of its tenant talks to it if the lab file names one. */
  async moveTo(name: string, to: string): Promise<boolean> {
    const machine = this.machine(name);
    if (!this.plan.hosts.some((host) => host.name === to))
      throw new WeftError('no-lab-host', `${to}: no host of this lab`, {
        remedy: `it has ${this.plan.hosts.map((host) => host.name).join(', ')}`,
      });
    if (this.site.placeOf(name) === to) {
      this.#say(`${name} is on ${to} already`);
      return true;
    }
    const known = this.plan.moves.find(({ vm }) => vm === machine);
    if (known !== undefined) return this.move({ ...known, to });
    await this.site.move(machine, to);
    this.#say(`${name} is on ${to} now`);
    return true;
  }

  machine(name: string): MachinePlan {
    const found = this.plan.machines.find((machine) => machine.name === name);
    if (found === undefined)
      throw new WeftError('no-lab-host', `${name}: no machine of this lab`, {
        remedy: `it has ${this.plan.machines.map((m) => m.name).join(', ')}`,
      });
    return found;
  }

  close(): void {
    this.site.close();
  }
}
