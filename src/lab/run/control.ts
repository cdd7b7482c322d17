/**
 * The controller of a lab and its agents. All of them talk through unix sockets in the lab's directory, which namespaces share;
 * only the API listens on the machine's loopback, for people.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WeftError } from '../../base/errors.ts';
import type { HostPlan, LabPlan } from '../file/plan.ts';
import type { Lab } from '../lab.ts';
import type { LabServices } from '../switch-process.ts';
import { Words } from '../words.ts';
import { ApiClient } from './api-client.ts';
import type { ControlPlane, Settled } from './control-plane.ts';

const NAME = 'controller';
const CONFIG = 'config.yaml';

/** Where the lab of a directory has the file that WEFT_CONFIG is to name. */
export const configFileOf = (dir: string): string => join(dir, NAME, CONFIG);
const POLL_MS = 50;

/** A port of the loopback that nobody listens at now. */
function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

export class WeftControl implements ControlPlane {
  readonly #lab: Lab;
  readonly #services: LabServices;
  readonly #dir: string;
  readonly #token = randomBytes(24).toString('hex');
  readonly #tokenFiles = new Map<string, string>();
  configFile = '';
  #api = new ApiClient('', '');
  #process: ChildProcess | undefined;
  #revision = 0;

  constructor(lab: Lab, services: LabServices) {
    this.#lab = lab;
    this.#services = services;
    this.#dir = lab.directoryOf(NAME);
  }

  get url(): string {
    return this.#api.url;
  }

  /** Where agents find the controller. */
  get #agents(): string {
    return join(this.#dir, 'agents.sock');
  }

  #secret(name: string, text: string): string {
    const file = join(this.#dir, name);
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
    return file;
  }

  async start(plan: LabPlan): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o755 });
    this.#secret('operator.token', this.#token);
    this.#api = new ApiClient(`http://127.0.0.1:${await freePort()}`, this.#token);
    await this.#launch();
    this.configFile = this.#secret(CONFIG, `api: ${this.#api.url}\ntoken: ${this.#token}`);
    // An agent is refused while its host is not known.
    this.#revision = await this.#api.create(plan.objects.filter(({ kind }) => kind === 'transport-node'));
    for (const { name } of plan.hosts)
      this.#tokenFiles.set(name, this.#secret(`${name}.token`, await this.#api.nodeToken(name)));
  }

  async #launch(): Promise<void> {
    const [command, ...words] = this.#services.weft;
    const { host } = new URL(this.#api.url);
    const args = [
      ...words,
      'controller',
      ...['--dir', this.#dir],
      ...['--api', host],
      ...['--agents', `punix:${this.#agents}`],
      ...['--token-file', join(this.#dir, 'operator.token')],
      '--log-file',
      '-vsyslog:off',
    ];
    const child = this.#lab.startOutside(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    const said = new Words(child);
    await said.wait('the controller', () => said.text.includes('|ready: '));
  }

  #agentOptions({ name, kind }: HostPlan): string[] {
    return [
      `--controller=unix:${this.#agents}`,
      `--token-file=${this.#tokenFiles.get(name) ?? ''}`,
      `--system-id=${name}`,
      `--bridge-datapath-type=${kind === 'kernel' ? 'system' : 'netdev'}`,
    ];
  }

  switchOptions(host: HostPlan): readonly string[] {
    return host.kind === 'stock' ? [] : this.#agentOptions(host);
  }

  async startAgents(hosts: readonly HostPlan[]): Promise<void> {
    const stock = hosts.filter(({ kind }) => kind === 'stock');
    await Promise.all(
      stock.map(async (host) => {
        const [command, ...words] = this.#services.weft;
        const dir = this.#lab.directoryOf(host.name);
        const env = { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
        const args = [...words, 'agent', ...this.#agentOptions(host), '--log-file', '-vsyslog:off'];
        const options: SpawnOptions = { env, stdio: ['ignore', 'ignore', 'pipe'] };
        const said = new Words(this.#lab.start(host.name, command, args, options));
        await said.wait(`the agent of ${host.name}`, () => said.text.includes('controller: connected'));
      }),
    );
  }

  async apply({ objects }: LabPlan): Promise<void> {
    const rest = objects.filter(({ kind }) => kind !== 'transport-node');
    this.#revision = await this.#api.create(rest);
  }

  async settled(ms: number): Promise<Settled> {
    const until = performance.now() + ms;
    const state = await this.#api.revision(this.#revision, ms);
    if (!state.realized) {
      const late = (state.hosts ?? []).filter((host) => host.state !== 'applied');
      const reason = late.map(
        (host) => `${host.node} is ${host.state}${host.reason === undefined ? '' : `: ${host.reason}`}`,
      );
      return { realized: false, reason: reason.join('; ') };
    }
    // What the networks are has arrived; where the machines are is told by other events.
    for (;;) {
      const missing = await this.#api.unrealized();
      if (missing === undefined) return { realized: true, reason: '' };
      if (performance.now() > until) {
        const { kind, name, id, reason } = missing;
        return { realized: false, reason: `${kind} ${name ?? id}: ${reason ?? ''}` };
      }
      await sleep(POLL_MS);
    }
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) throw new WeftError('api-failed', 'the controller does not run');
    await this.#lab.stop(child, 'SIGKILL');
    this.#process = undefined;
  }

  restart(): Promise<void> {
    return this.#launch();
  }

  count(): Promise<number> {
    return this.#api.count();
  }
}
