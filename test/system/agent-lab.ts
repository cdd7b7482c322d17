/** Hosts with agents, and a controller that says what a test has it say. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nullLogger } from '../../src/base/log.ts';
import { SocketTransports } from '../../src/bin/ovsdb/socket.ts';
import { NO_TLS } from '../../src/bin/tls/files.ts';
import type { Identity } from '../../src/bin/tls/testing/certificates.ts';
import type {
  AgentRequests,
  Applied,
  Failed,
  Hello,
  Locations,
  Statistics,
} from '../../src/logical/protocol.ts';
import type { AgentRows, UniversalFlow } from '../../src/logical/universal.ts';
import type { Json } from '../../src/ovsdb/json.ts';
import type { RpcChannel } from '../../src/ovsdb/rpc/channel.ts';
import { Network } from '../network.ts';
import { ROOT, SwitchHost, until } from './host.ts';

type Answer = { readonly applied: Applied } | { readonly failed: Failed };

/** What one agent has said, and the way to speak to it. */
export class AgentPeer {
  channel: RpcChannel | undefined;
  hellos: Hello[] = [];
  locations: Locations | undefined;
  statistics: Statistics | undefined;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  readonly #replies = new Map<number, { resolve: (v: Json) => void; reject: (e: Error) => void }>();
  #nextId = 1;

  answer(revision: number, answer: Answer): void {
    this.#answers.get(revision)?.(answer);
  }

  reply(id: Json, result: Json, error: Json): void {
    const waiting = this.#replies.get(Number(id));
    if (error === null) waiting?.resolve(result);
    else waiting?.reject(new Error(String(error)));
  }

  /** Sends an update, and waits for what the agent says of it. */
  update(revision: number, insert: AgentRows, gone: AgentRows = {}, reset = false): Promise<Answer> {
    const answered = new Promise<Answer>((resolve) => this.#answers.set(revision, resolve));
    const update = { revision, reset, insert, delete: gone } as unknown as Json;
    this.channel?.send({ method: 'update', params: [update], id: null });
    return answered;
  }

  /** As `update`, which must be applied. */
  async apply(revision: number, insert: AgentRows, gone: AgentRows = {}, reset = false): Promise<void> {
    const answer = await this.update(revision, insert, gone, reset);
    assert.ok('applied' in answer, `not applied: ${JSON.stringify(answer)}`);
  }

  ask<M extends keyof AgentRequests>(
    method: M,
    params: AgentRequests[M]['params'],
  ): Promise<AgentRequests[M]['result']> {
    const id = this.#nextId++;
    return new Promise<AgentRequests[M]['result']>((resolve, reject) => {
      this.#replies.set(id, { resolve: (v) => resolve(v as unknown as AgentRequests[M]['result']), reject });
      this.channel?.send({ method, params: [params as unknown as Json], id });
    });
  }
}

export class FakeController {
  readonly dir = mkdtempSync(join(tmpdir(), 'weft-controller-'));
  readonly path = join(this.dir, 'controller.sock');
  readonly peers = new Map<string, AgentPeer>();
  epoch = 'epoch-1';
  #listener: { readonly port: number | undefined; close(): void } | undefined;

  /** `tls`: over TLS, at a port of its own choice on 127.0.0.1. */
  async start(tls?: Identity): Promise<void> {
    const names = { ...NO_TLS, privateKey: tls?.key, certificate: tls?.cert, caCert: 'none' };
    const transports = new SocketTransports(this.dir, nullLogger.module('test'), () => names);
    const target = tls === undefined ? `punix:${this.path}` : 'pssl:0:127.0.0.1';
    this.#listener = await transports.listen(target, undefined, (channel) => this.#accept(channel));
  }

  /** The port that it listens on for TLS. */
  get port(): number {
    return this.#listener?.port ?? assert.fail('not over TCP');
  }

  /** Goes away, and cuts all connections. */
  stop(): void {
    this.#listener?.close();
    for (const peer of this.peers.values()) {
      peer.channel?.close();
      peer.channel = undefined;
    }
  }

  close(): void {
    this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  peer(systemId: string): AgentPeer {
    let peer = this.peers.get(systemId);
    if (peer === undefined) {
      peer = new AgentPeer();
      this.peers.set(systemId, peer);
    }
    return peer;
  }

  #accept(channel: RpcChannel): void {
    let peer: AgentPeer | undefined;
    channel.receive({
      onActivity() {},
      onDrain() {},
      onClose: () => {
        if (peer?.channel === channel) peer.channel = undefined;
      },
      onMessage: (message) => {
        if (!('method' in message)) {
          peer?.reply(message.id, message.result, message.error);
          return;
        }
        const [params] = message.params as unknown[];
        if (message.method === 'hello') {
          const hello = params as Hello;
          peer = this.peer(hello.systemId);
          peer.hellos.push(hello);
          peer.channel = channel;
          channel.send({ method: 'welcome', params: [{ version: 1, epoch: this.epoch }], id: null });
        } else if (message.method === 'applied') {
          peer?.answer((params as Applied).revision, { applied: params as Applied });
        } else if (message.method === 'failed') {
          peer?.answer((params as Failed).revision, { failed: params as Failed });
        } else if (message.method === 'locations' && peer !== undefined) {
          peer.locations = params as Locations;
        } else if (message.method === 'statistics' && peer !== undefined) {
          peer.statistics = params as Statistics;
        }
      },
    });
  }
}

export type Kind = 'netdev' | 'system' | 'stock';
export const KINDS: readonly { readonly kind: Kind; readonly title: string }[] = [
  { kind: 'netdev', title: 'user space' },
  { kind: 'system', title: 'kernel' },
  { kind: 'stock', title: 'Open vSwitch' },
];

/** A host with its switch and its agent: 172.31.0.N on the underlay. */
export class AgentHost {
  readonly id: string;
  readonly address: string;
  readonly host: SwitchHost;
  readonly kind: Kind;
  readonly #controller: FakeController;
  readonly network: Network;
  #agent: ChildProcess | undefined;
  agentLog = '';

  /** `host`: an existing switch, for one agent more. */
  constructor(network: Network, controller: FakeController, kind: Kind, n: number, host?: SwitchHost) {
    this.id = `host-${n}`;
    this.address = `172.31.0.${n}`;
    this.kind = kind;
    this.network = network;
    this.#controller = controller;
    this.host =
      host ??
      new SwitchHost(network, [], {
        name: `h${n}`,
        stock: kind === 'stock',
        datapathType: kind === 'system' ? 'system' : 'netdev',
      });
  }

  /** Starts the switch; `under` is its device on the underlay, undefined if there is none. */
  async start(under?: string): Promise<void> {
    const { host, kind, address } = this;
    await host.start();
    await host.vsctl('set', 'Open_vSwitch', '.', `external_ids:system-id=${this.id}`);
    if (under === undefined) return;
    let holder = under;
    if (kind === 'stock') {
      // Its userspace datapath sends tunnel packets through a bridge that has the host's address.
      await host.vsctl('add-br', 'phy', '--', 'set', 'bridge', 'phy', 'datapath_type=netdev');
      await host.vsctl('add-port', 'phy', under);
      holder = 'phy';
    }
    this.network.ip(host.ns, 'link', 'set', holder, 'mtu', '1600', 'up');
    this.network.ip(host.ns, 'addr', 'add', `${address}/24`, 'dev', holder);
  }

  startAgent(...more: readonly string[]): void {
    const { host } = this;
    this.#agent = this.network.start(
      host.ns,
      join(ROOT, 'bin/weft'),
      [
        'agent',
        `--controller=unix:${this.#controller.path}`,
        `--bridge-datapath-type=${host.datapathType}`,
        `--encap-ip=${this.address}`,
        ...more,
      ],
      host.env,
    );
    this.#agent.stderr?.on('data', (text: Buffer) => {
      this.agentLog += text.toString();
    });
  }

  /** Ends the agent; by SIGKILL it has no time to say good-bye. */
  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.#agent = undefined;
    const ended = once(agent, 'exit');
    agent.kill(signal);
    await ended;
  }

  get peer(): AgentPeer {
    return this.#controller.peer(this.id);
  }

  /** Waits until the agent has said hello on a connection that is up. */
  async connected(): Promise<AgentPeer> {
    const { peer } = this;
    await until(`${this.id} says hello`, () => peer.channel !== undefined && peer.locations !== undefined);
    return peer;
  }

  /** A machine with a VIF. */
  async addGuest(name: string, vif: string, mac: string, address: string): Promise<string> {
    const ns = this.network.namespace(name);
    const port = `v-${name}`;
    this.network.veth(ns, 'eth0', this.host.ns, port, mac, address);
    if (this.kind === 'stock')
      assert.equal((await this.network.run(ns, 'ethtool', ['-K', 'eth0', 'tx', 'off'])).status, 0);
    await this.plug(port, vif, mac);
    return ns;
  }

  async plug(port: string, vif: string, mac: string): Promise<void> {
    await this.host.vsctl(
      'add-port',
      'br-int',
      port,
      '--',
      'set',
      'interface',
      port,
      `external_ids:iface-id=${vif}`,
      `external_ids:attached-mac="${mac}"`,
    );
  }

  /** The flows of br-int, without counters, in order. */
  async flows(): Promise<string[]> {
    const text = await this.host.ofctl('--no-stats', '--no-names', '-OOpenFlow15', 'dump-flows', 'br-int');
    return text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.includes('actions='))
      .sort();
  }

  async close(): Promise<void> {
    await this.stopAgent('SIGKILL');
    this.host.close();
  }
}

/** One logical switch whose ports can all reach each other. */
export function plainSwitch(
  datapath: number,
  ports: readonly { readonly port: number; readonly mac: string }[],
  origin = '00000000-0000-4000-8000-000000000001',
): UniversalFlow[] {
  const flow = (
    stage: UniversalFlow['stage'],
    priority: number,
    match: string,
    actions: string,
  ): UniversalFlow => ({ datapath, stage, priority, match, actions, origin });
  return ports.flatMap(({ port, mac }) => [
    flow('ls-in-security', 90, `inport=${port}`, 'next(ls-in-conntrack)'),
    flow('ls-in-destination', 50, `dl_dst=${mac}`, `outport(${port}),output`),
    flow('ls-out-security', 90, `outport=${port}`, 'deliver'),
  ]);
}

/** `n` hosts on one underlay, each with agent. */
export async function onAgentHosts(
  kinds: readonly Kind[],
  body: (hosts: readonly AgentHost[], controller: FakeController, network: Network) => Promise<void>,
): Promise<void> {
  const network = new Network();
  const controller = new FakeController();
  const hosts: AgentHost[] = [];
  try {
    await controller.start();
    const wire = network.namespace('wire');
    network.ip(wire, 'link', 'add', 'br0', 'type', 'bridge');
    network.ip(wire, 'link', 'set', 'br0', 'mtu', '1600', 'up');
    for (const [i, kind] of kinds.entries()) {
      const host = new AgentHost(network, controller, kind, i + 1);
      hosts.push(host);
      network.veth(wire, `u${i}`, host.host.ns, 'under0', `02:00:00:00:ff:0${i + 1}`);
      network.ip(wire, 'link', 'set', `u${i}`, 'mtu', '1600', 'master', 'br0');
      network.ip(host.host.ns, 'link', 'set', 'under0', 'mtu', '1600');
      await host.start('under0');
      host.startAgent();
    }
    for (const host of hosts) await host.connected();
    await body(hosts, controller, network);
  } catch (error) {
    const words = hosts
      .map((h) => `\n--- agent of ${h.id}:\n${h.agentLog}\n--- ${h.host.lastWords()}`)
      .join('');
    if (error instanceof Error) error.message += words;
    throw error;
  } finally {
    for (const host of hosts) await host.close();
    controller.close();
    network.close();
  }
}
