/**
 * One run of the NVP paper's scenario in this process: the controller with all its objects, and an agent's pure part
 * for every host, all physical flows computed. Prints one line of JSON. See nvp.ts.
 */

import { Physical, type TunnelPort } from '../src/agent/physical.ts';
import { loadPhysicalProgram } from '../src/agent/physical-program.ts';
import type { Stored } from '../src/api-schema/kinds.ts';
import { nullLogger } from '../src/base/log.ts';
import { compileAclMatch } from '../src/controller/acl-match.ts';
import { networkRules } from '../src/controller/functions.ts';
import { Labels } from '../src/controller/network/labels.ts';
import type { Claim } from '../src/controller/network/locations.ts';
import { Network } from '../src/controller/network/network.ts';
import { type CompiledFlow, compileFlow } from '../src/logical/compile.ts';
import { PROTOCOL_VERSION, type Update } from '../src/logical/protocol.ts';
import type { TunnelTo, UniversalFlow } from '../src/logical/universal.ts';
import { formatProfile, profile } from '../src/nlog/index.ts';
import type { Json } from '../src/ovsdb/json.ts';
import type { RpcMessage } from '../src/ovsdb/rpc/channel.ts';
import { directPair } from '../src/ovsdb/rpc/direct.ts';
import { Random } from './classifier-workload.ts';
import { ipOf, MemoryModel, macOf, switchSizes } from './logical-networks.ts';

export interface NvpMeasured {
  readonly hosts: number;
  readonly ports: number;
  readonly switches: number;
  readonly portAcls: number;
  readonly switchAcls: number;
  /** Seconds until the rules have computed everything, until all hosts have all physical flows. */
  readonly rulesSeconds: number;
  readonly allSeconds: number;
  /** Of the processor, all threads, until all hosts have all: what a machine that does other things too does not blur. */
  readonly cpuSeconds: number;
  readonly universalFlows: number;
  readonly physicalFlows: number;
  /** Rows of all tables of the controller's rules and of all agents'. */
  readonly tuples: number;
  readonly rssMb: number;
  /** Medians over the rounds, of +10 and of -10 ports. */
  readonly plus: Step;
  readonly minus: Step;
}

export interface Step {
  /** Until the rules have it, and until the flows of the last host are out. */
  readonly rulesMs: number;
  readonly ms: number;
  readonly worstMs: number;
  /** Of the processor, until the flows of the last host are out. */
  readonly cpuMs: number;
  /** Rows that rules were given and changed, flows that hosts got, and hosts. */
  readonly rowsIn: number;
  readonly flows: number;
  readonly hosts: number;
}

const scale = Number(process.argv[2] ?? 1);
const ROUNDS = Number(process.env.ROUNDS ?? 15);
const HOSTS = Math.round(3000 * scale);
const PORTS = 21 * HOSTS;
const SWITCHES = Math.round(7000 * scale);
const PORT_ACLS = Math.round(49_188 * scale);
const SWITCH_ACLS = Math.round(1553 * scale);

const clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms: number, fn: () => void) => {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
const random = new Random();
const labels = new Labels({ clock, passed: () => false });
const model = new MemoryModel(labels);
const tenant = model.add('tenant', { name: 'tenant' });
const nodes = Array.from({ length: HOSTS }, (_, i) => `hv${i}`);
for (const [i, systemId] of nodes.entries())
  model.add('transport-node', {
    name: systemId,
    systemId,
    tunnels: [{ encapsulation: 'geneve', address: `172.${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` }],
  });
const switches = switchSizes(SWITCHES, PORTS, random).map((size, n) => {
  const made = model.add('logical-switch', { name: `ls${n}`, tenant: tenant.id });
  return { made, size };
});

let serial = 0;
function port(of: Stored<'logical-switch'>, i: number): Stored<'logical-port'> {
  const n = serial++;
  return model.make('logical-port', {
    name: `lp${n}`,
    switch: of.id,
    vif: `vif${n}`,
    addresses: [{ mac: macOf(n), ips: [ipOf(i)] }],
    portSecurity: true,
  });
}
/** Slots of the hosts, shuffled: each host has 21. */
const slots = Array.from({ length: PORTS }, (_, i) => i % HOSTS);
for (let i = slots.length - 1; i > 0; i--) {
  const j = random.below(i + 1);
  [slots[i], slots[j]] = [slots[j], slots[i]];
}
const claims: Claim[] = [];
const ports: Stored<'logical-port'>[] = [];
for (const { made, size } of switches)
  for (let i = 0; i < size; i++) {
    const after = port(made, i);
    model.write([{ after }]);
    claims.push({
      vif: after.spec.vif!,
      node: nodes[slots[ports.length]],
      sequence: ports.length + 1,
      name: after.spec.vif!,
    });
    ports.push(after);
  }
for (const { id } of ports.slice(0, PORT_ACLS))
  model.add('acl', {
    port: id,
    direction: 'to-port',
    priority: 100,
    match: { protocol: 'tcp', destinationPorts: 22 },
    action: 'drop',
  });
for (const { made } of switches.slice(0, SWITCH_ACLS))
  model.add('acl', {
    switch: made.id,
    direction: 'from-port',
    priority: 50,
    match: { protocol: 'udp', destinationPorts: '8000-8080' },
    action: 'drop',
  });

const programs = { rules: networkRules(), physical: loadPhysicalProgram() };
/** Hosts share universal flows; here, where all are in one process, each is compiled once. */
const compiled = new WeakMap<UniversalFlow, CompiledFlow>();
const physical = new Physical({
  program: programs.physical,
  compile: (flow) => {
    let done = compiled.get(flow);
    if (done === undefined) {
      done = compileFlow(flow);
      compiled.set(flow, done);
    }
    return done;
  },
  maxBytes: 6 * 2 ** 30,
});
let physicalFlows = 0;
const moved = { flows: 0, hosts: 0 };

/** The pure part of an agent behind the controller's own protocol. */
class Agent {
  readonly #vifs = new Map<string, number>();
  readonly #wanted = new Map<string, TunnelPort>();
  readonly #node: string;
  #ofport = 1;

  constructor(node: string, vifs: readonly string[]) {
    this.#node = node;
    for (const vif of vifs) this.#vifs.set(vif, this.#ofport++);
  }

  connect(network: Network): void {
    const [ours, theirs] = directPair();
    network.accept(theirs, { name: this.#node });
    ours.receive({
      onMessage: (message: RpcMessage) => {
        if (!('method' in message) || message.method !== 'update') return;
        const update = message.params[0] as unknown as Update;
        this.#update(update);
        ours.send({
          method: 'applied',
          params: [{ revision: update.revision, elapsed: 0 } as Json],
          id: null,
        });
      },
      onDrain() {},
      onActivity() {},
      onClose: (reason) => {
        throw new Error(`${this.#node}: ${reason}`);
      },
    });
    ours.send({
      method: 'hello',
      params: [{ version: PROTOCOL_VERSION, systemId: this.#node, token: 'token' }],
      id: null,
    });
  }

  #update({ insert, delete: gone }: Update): void {
    const key = (t: TunnelTo): string => `${t.node} ${t.encapsulation} ${t.address}`;
    for (const t of gone.tunnel ?? []) this.#wanted.delete(key(t));
    for (const t of insert.tunnel ?? []) this.#wanted.set(key(t), { ...t, ofport: this.#ofport++ });
    const tunnels =
      (gone.tunnel ?? insert.tunnel) === undefined ? {} : { tunnels: [...this.#wanted.values()] };
    const first = this.#first ? { vifs: this.#vifs } : {};
    this.#first = false;
    const { flows } = physical.update(this.#node, { insert, delete: gone, ...first, ...tunnels });
    physicalFlows += flows.inserted.length - flows.deleted.length;
    moved.flows += flows.inserted.length + flows.deleted.length;
    moved.hosts++;
  }
  #first = true;
}

/** The VIFs of the ports that come later stand on their hosts already. */
const later = Array.from({ length: ROUNDS }, () =>
  Array.from({ length: 10 }, () => {
    const { made, size } = switches[random.below(SWITCHES)];
    const after = port(made, size);
    const node = nodes[random.below(HOSTS)];
    claims.push({ vif: after.spec.vif!, node, sequence: claims.length + 1, name: after.spec.vif! });
    return after;
  }),
);
const vifsOf = new Map<string, string[]>();
for (const { node, vif } of claims) {
  const list = vifsOf.get(node);
  if (list === undefined) vifsOf.set(node, [vif]);
  else list.push(vif);
}
const agents = nodes.map((node) => new Agent(node, vifsOf.get(node) ?? []));

/** Milliseconds of the processor that this process has had. */
const cpu = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const cpuStarted = cpu();
const started = performance.now();
const network = new Network({
  source: model,
  labels,
  rules: programs.rules,
  aclMatches: compileAclMatch,
  authority: { verify: () => true },
  clock,
  log: nullLogger,
  epoch: 'bench',
  claims,
  maxBytes: 6 * 2 ** 30,
});
network.start();
const rulesSeconds = (performance.now() - started) / 1000;
/** Until nothing is under way between the controller and its agents. */
const quiet = async (): Promise<void> => {
  do await new Promise((resolve) => setImmediate(resolve));
  while ([...network.deliveries()].some((d) => d.waiting > 0));
};
for (let i = 0; i < agents.length; i += 50) {
  for (const agent of agents.slice(i, i + 50)) agent.connect(network);
  await quiet();
}
const allSeconds = (performance.now() - started) / 1000;
const cpuSeconds = (cpu() - cpuStarted) / 1000;
if (![...network.deliveries()].every((d) => d.has(network.publication.state)))
  throw new Error('some host has not confirmed everything');
const universalFlows = network.rules.engine.size('flow');
if (process.argv.includes('--profile')) console.error(formatProfile(profile(network.rules.engine)));

let rowsIn = 0;
network.rules.engine.subscribe((changes) => {
  rowsIn += changes.work.rowsIn;
});
async function measure(change: () => void): Promise<Step> {
  moved.flows = 0;
  moved.hosts = 0;
  rowsIn = 0;
  const at = performance.now();
  const cpuAt = cpu();
  change();
  const rulesMs = performance.now() - at;
  await quiet();
  const ms = performance.now() - at;
  return { rulesMs, ms, worstMs: ms, cpuMs: cpu() - cpuAt, rowsIn, flows: moved.flows, hosts: moved.hosts };
}
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1];
const summary = (steps: readonly Step[]): Step => ({
  rulesMs: median(steps.map((s) => s.rulesMs)),
  ms: median(steps.map((s) => s.ms)),
  cpuMs: median(steps.map((s) => s.cpuMs)),
  worstMs: Math.max(...steps.map((s) => s.ms)),
  rowsIn: median(steps.map((s) => s.rowsIn)),
  flows: median(steps.map((s) => s.flows)),
  hosts: median(steps.map((s) => s.hosts)),
});
const pluses: Step[] = [];
const minuses: Step[] = [];
for (const ten of later) {
  pluses.push(await measure(() => model.write(ten.map((after) => ({ after })))));
  minuses.push(await measure(() => model.write(ten.map((before) => ({ before })))));
}
const result: NvpMeasured = {
  hosts: HOSTS,
  ports: PORTS,
  switches: SWITCHES,
  portAcls: PORT_ACLS,
  switchAcls: SWITCH_ACLS,
  rulesSeconds,
  allSeconds,
  cpuSeconds,
  universalFlows,
  physicalFlows,
  tuples: network.rules.engine.totalRows + physical.engine.totalRows,
  rssMb: process.resourceUsage().maxRSS / 1024,
  plus: summary(pluses),
  minus: summary(minuses),
};
console.log(JSON.stringify(result));
