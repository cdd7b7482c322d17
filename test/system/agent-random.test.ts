/**
 * Whatever happens in whatever order, in the end the switch has exactly the flows and groups that follow from what the
 * controller said last and from the VIFs that are there. Against our switch and Open vSwitch's.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { Agent } from '../../src/agent/agent.ts';
import { KEEPER_TABLES } from '../../src/agent/host/bridge-keeper.ts';
import { Physical } from '../../src/agent/physical.ts';
import { loadPhysicalProgram } from '../../src/agent/physical-program.ts';
import type { AgentState, StateStore } from '../../src/agent/session/state.ts';
import { groupText, tableFlow } from '../../src/agent/switch/flow-key.ts';
import { WantedFlows } from '../../src/agent/switch/wanted-flows.ts';
import { nullLogger } from '../../src/base/log.ts';
import { DaemonClock } from '../../src/bin/daemon/clock.ts';
import { SocketTransports } from '../../src/bin/ovsdb/socket.ts';
import { TlsEndpoint } from '../../src/bin/tls/endpoint.ts';
import { NO_TLS } from '../../src/bin/tls/files.ts';
import { SocketStreams } from '../../src/bin/vswitchd/streams.ts';
import { COMMON_FLOWS } from '../../src/logical/common-flows.ts';
import { compileCommonFlow } from '../../src/logical/compile.ts';
import type { AgentRows } from '../../src/logical/universal.ts';
import { OvsdbClient, openVSwitchSchema } from '../../src/ovsdb/index.ts';
import { Network } from '../network.ts';
import { FakeController, plainSwitch } from './agent-lab.ts';
import { SwitchHost, systemMissing, until } from './host.ts';

const ID = 'host-1';
const program = loadPhysicalProgram();

/** What may happen. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('update' as const), seed: fc.nat(63), reset: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('vif' as const), n: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart-agent' as const), keep: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart-switch' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete-flows' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('bend-tunnel' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('controller-away' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One of 64 states of the networks: which ports are where. */
function rowsOf(seed: number): Required<AgentRows> {
  const ports = [1, 2, 3, 4].map((n) => ({ port: 10 + n, mac: `02:00:00:00:00:0${n}` }));
  const there = ports.filter((_, i) => (seed & (1 << i)) !== 0);
  const datapath = (seed & 16) === 0 ? 7 : 8;
  return {
    flow: plainSwitch(datapath, there, (seed & 32) === 0 ? 'a' : 'b'),
    placement: there.map(({ port }, i) => ({
      port,
      datapath,
      vif: `vif-${port - 10}`,
      node: (seed & 32) !== 0 && i % 2 === 1 ? 'host-2' : ID,
    })),
    tunnel: (seed & 32) === 0 ? [] : [{ node: 'host-2', encapsulation: 'geneve', address: '192.0.2.2' }],
    rate: there.slice(0, 1).map(({ port }) => ({ port, rate: 1000 + seed, burst: 100 })),
  };
}

function difference(from: Required<AgentRows>, to: Required<AgentRows>): AgentRows {
  const minus = <T>(a: readonly T[], b: readonly T[]): T[] => {
    const known = new Set(b.map((r) => JSON.stringify(r)));
    return a.filter((r) => !known.has(JSON.stringify(r)));
  };
  return {
    flow: minus(to.flow, from.flow),
    placement: minus(to.placement, from.placement),
    tunnel: minus(to.tunnel, from.tunnel),
    rate: minus(to.rate, from.rate),
  };
}

class MemoryState implements StateStore {
  state: AgentState | undefined;
  async load(): Promise<AgentState | undefined> {
    return this.state;
  }
  save(state: () => AgentState): void {
    this.state = state();
  }
}

class Scene {
  readonly host: SwitchHost;
  readonly controller: FakeController;
  readonly memory = new MemoryState();
  #agent: Agent | undefined;
  #rows = rowsOf(0);
  #revision = 0;
  readonly #vifs = new Set<number>();

  constructor(host: SwitchHost, controller: FakeController) {
    this.host = host;
    this.controller = controller;
  }

  async startAgent(): Promise<void> {
    const { host, controller } = this;
    const clock = new DaemonClock();
    const log = nullLogger;
    const transports = new SocketTransports(host.dir, log.module('x'));
    const streams = new SocketStreams(host.dir, new TlsEndpoint(() => NO_TLS, log.module('x')));
    const connector = transports.connector(`unix:${host.path('db.sock')}`);
    this.#agent = new Agent({
      clock,
      log,
      program,
      database: new OvsdbClient({ schema: openVSwitchSchema, connector, clock, log, tables: KEEPER_TABLES }),
      connectSwitch: () => streams.connect(`unix:${join(host.dir, 'br-int.mgmt')}`),
      controller: transports.connector(`unix:${controller.path}`),
      token: 't',
      datapathType: 'dummy',
      newSystemId: () => ID,
      appctl: async () => '',
      pause: () => new Promise((resolve) => setImmediate(resolve)),
      state: this.memory,
    });
    await this.#agent.start();
  }

  async close(): Promise<void> {
    await this.#agent?.close();
  }

  async #connected(): Promise<void> {
    const peer = this.controller.peer(ID);
    await until('the agent says hello', () => peer.channel !== undefined && peer.locations !== undefined);
    // What it holds is what it was told; only a fresh one has to be told all.
    if (peer.hellos.at(-1)?.holds?.revision !== this.#revision || this.#revision === 0)
      await this.#tell(true);
  }

  async #tell(reset: boolean, next = this.#rows): Promise<void> {
    const before = this.#rows;
    this.#rows = next;
    await this.controller
      .peer(ID)
      .apply(
        ++this.#revision,
        reset ? next : difference(before, next),
        reset ? {} : difference(next, before),
        reset,
      );
  }

  async begin(): Promise<void> {
    await this.startAgent();
    await this.#connected();
  }

  async take(s: Step): Promise<void> {
    const { host, controller } = this;
    const peer = controller.peer(ID);
    switch (s.kind) {
      case 'update':
        return this.#tell(s.reset, rowsOf(s.seed));
      case 'vif': {
        const name = `v${s.n}`;
        if (this.#vifs.delete(s.n)) await host.vsctl('del-port', 'br-int', name);
        else {
          this.#vifs.add(s.n);
          const port = ['add-port', 'br-int', name, '--', 'set', 'interface', name, 'type=dummy'];
          await host.vsctl(...port, `external_ids:iface-id=vif-${s.n}`);
        }
        return;
      }
      case 'restart-agent':
        await this.close();
        peer.channel = undefined;
        peer.locations = undefined;
        if (!s.keep) this.memory.state = undefined;
        await this.startAgent();
        return this.#connected();
      case 'restart-switch':
        await host.kill('ovs-vswitchd');
        return host.startSwitch();
      case 'delete-flows':
        // Ours come back; what somebody else has put there is nobody's business.
        await host.ofctl('-OOpenFlow15', 'del-flows', 'br-int', 'table=65');
        await host.ofctl('-OOpenFlow15', 'add-flow', 'br-int', 'table=200,cookie=5,actions=drop');
        return;
      case 'bend-tunnel': {
        const names = (await host.vsctl('list-ports', 'br-int'))
          .split('\n')
          .filter((n) => n.startsWith('weft-t'));
        for (const name of names) await host.vsctl('set', 'interface', name, 'options:remote_ip=192.0.2.77');
        return;
      }
      case 'controller-away': {
        controller.stop();
        peer.locations = undefined;
        await controller.start();
        return this.#connected();
      }
    }
  }

  /** The flows and groups of the bridge, and what they should be. */
  async compare(): Promise<{ readonly is: string[]; readonly should: string[] }> {
    const { host } = this;
    const dump = await host.ofctl('--no-stats', '--no-names', '-OOpenFlow15', 'dump-flows', 'br-int');
    const is: string[] = [];
    const physical = new Physical({ program });
    for (const line of dump.split('\n')) {
      const match =
        /cookie=0x77656674[0-9a-f]{8}, (?:table=(\d+), )?(?:priority=(\d+))?(.*) actions=(.*)$/.exec(line);
      if (match === null) continue;
      const [, table = '0', priority = '32768', rest, actions] = match;
      const flow = tableFlow({
        table: Number(table),
        priority: Number(priority),
        match: rest.replace(/^,/, ''),
        actions,
        origin: undefined,
      });
      is.push(`${flow.key} ${flow.actions}`);
      const zone = /set_field:(0x[0-9a-f]+|\d+)->reg13/.exec(flow.actions);
      const port = /^table=65,priority=100,reg15=(0x[0-9a-f]+|\d+)$/.exec(flow.key);
      if (zone !== null && port !== null) physical.adoptZone(ID, Number(port[1]), Number(zone[1]));
    }
    const vifs = new Map<string, number>();
    for (const n of this.#vifs) vifs.set(`vif-${n}`, Number(await host.get('interface', `v${n}`, 'ofport')));
    const tunnels = [];
    for (const tunnel of this.#rows.tunnel) {
      const found = await host.vsctl(
        '--bare',
        '--columns=ofport',
        'find',
        'interface',
        `external_ids:weft-node=${tunnel.node}`,
      );
      tunnels.push({ ...tunnel, ofport: Number(found.trim()) });
    }
    const { flows, groups } = physical.update(ID, { insert: this.#rows, vifs, tunnels });
    const wanted = new WantedFlows();
    for (const flow of flows.inserted) wanted.insert(flow);
    for (const flow of COMMON_FLOWS) wanted.insert({ ...compileCommonFlow(flow), origin: undefined });
    const should = [...wanted.keys()].map((key) => `${key} ${wanted.get(key)?.actions}`);
    for (const group of groups.inserted) should.push(`group ${group.id}: ${groupText(group)}`);
    for (const line of (await host.ofctl('-OOpenFlow15', 'dump-groups', 'br-int')).split('\n')) {
      const match = /group_id=(\d+),type=all,(.*)$/.exec(line);
      if (match === null) continue;
      const buckets = match[2].split(/,?bucket=bucket_id:\d+,actions=/).slice(1);
      is.push(`group ${match[1]}: ${groupText({ id: 0, buckets })}`);
    }
    const meters = await host.ofctl('-OOpenFlow15', 'dump-meters', 'br-int');
    for (const [, meter, rate] of meters.matchAll(/meter=(\d+) kbps[^\n]*\n?[^\n]*?rate=(\d+)/g))
      is.push(`meter ${meter}: ${rate}`);
    const local = new Set(flows.inserted.flatMap((f) => /meter:(\d+)/.exec(f.actions)?.[1] ?? []));
    for (const { port, rate } of this.#rows.rate)
      if (local.has(String(port))) should.push(`meter ${port}: ${rate}`);
    const bent = await host.vsctl('--bare', '--columns=options', 'list', 'interface');
    if (bent.includes('192.0.2.77')) is.push('a tunnel to the wrong address');
    // What both have is not worth showing.
    const common = new Set(should.filter((text) => is.includes(text)));
    const rest = (texts: readonly string[]): string[] => texts.filter((text) => !common.has(text)).sort();
    return { is: rest(is), should: rest(should) };
  }
}

for (const stock of [false, true]) {
  test(`${stock ? 'Open vSwitch' : 'ours'}: after any events the switch has the flows that follow from the last state`, {
    skip: systemMissing('ovs-vswitchd'),
  }, async () => {
    const network = new Network();
    const controller = new FakeController();
    const host = new SwitchHost(network, ['--enable-dummy', '--disable-system'], { stock });
    const scene = new Scene(host, controller);
    try {
      await controller.start();
      await host.start();
      await scene.begin();
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 10 }), async (steps) => {
          for (const s of steps) await scene.take(s);
          let last = { is: [] as string[], should: ['?'] };
          await until('the switch has what it should', async () => {
            last = await scene.compare();
            return JSON.stringify(last.is) === JSON.stringify(last.should);
          }).catch(() => assert.deepEqual(last.is, last.should));
        }),
        { numRuns: 6, endOnFailure: true },
      );
    } finally {
      await scene.close();
      host.close();
      controller.close();
      network.close();
    }
  });
}
