/**
 * A whole cloud in one process: the controller's network with the real rules, and hosts that each have a switch with a
 * userspace datapath, flows from the agent's core, and tunnels whose underlay is a function call. Nothing waits, so the same
 * changes and packets always give the same.
 */

import { answerTo } from '../../src/agent/answers/answer.ts';
import { Physical, type TunnelPort } from '../../src/agent/physical.ts';
import type { PhysicalFlow } from '../../src/agent/physical-flows.ts';
import { loadPhysicalProgram } from '../../src/agent/physical-program.ts';
import type { KindName, SpecOf, Stored } from '../../src/api-schema/kinds.ts';
import { compileAclMatch } from '../../src/controller/acl-match.ts';
import { networkRules } from '../../src/controller/functions.ts';
import type { FakeAgent } from '../../src/controller/network/testing/fake-agent.ts';
import { makeWorld } from '../../src/controller/network/testing/world.ts';
import { extractFlow } from '../../src/datapath/packet/extract.ts';
import { Packet } from '../../src/datapath/packet/packet.ts';
import { type Flow, newFlow, W_REG, W_TUN_DST, W_TUN_ID, W_TUN_SRC } from '../../src/flow/layout.ts';
import { COMMON_FLOWS } from '../../src/logical/common-flows.ts';
import { type CompiledFlow, compileCommonFlow } from '../../src/logical/compile.ts';
import { answerKind } from '../../src/logical/flow-words.ts';
import {
  AGENT_TABLES,
  type AgentRows,
  type AgentTableName,
  type AgentTables,
} from '../../src/logical/universal.ts';
import { type Bucket, OFPG_ANY, OFPP_ANY, parseActions } from '../../src/openflow/index.ts';
import { settled } from '../../src/ovsdb/testing/clock.ts';
import type { OfPort } from '../../src/switch/ofproto/port.ts';
import type { Rule } from '../../src/switch/ofproto/rule.ts';
import { type TestBridge, World } from '../../src/switch/testing/world.ts';
import { PreparedPacketOut } from '../../src/switch/upcall/packet-out.ts';
import { restoreMetadata } from '../../src/switch/xlate/frozen.ts';
import { formatIpv4Word } from '../../src/wire/address.ts';

/** A packet at a machine's device. */
export interface Arrival {
  readonly host: string;
  readonly vif: string;
  readonly packet: Uint8Array;
}

type TextFlow = Pick<PhysicalFlow, 'table' | 'priority' | 'match' | 'actions'>;

const keyOf = ({ table, priority, match }: TextFlow): string => `${table} ${priority} ${match}`;

export class Host {
  readonly name: string;
  readonly address: string;
  readonly agent: FakeAgent;
  readonly world = new World();
  readonly bridge: TestBridge;
  readonly vifs = new Map<string, OfPort>();
  readonly #cloud: Cloud;
  readonly #physical: Physical;
  readonly #rules = new Map<string, { readonly flow: TextFlow; readonly rule: Rule }[]>();
  readonly #tunnels = new Map<string, { readonly port: OfPort; readonly tunnel: TunnelPort }>();
  #tables = new Map<AgentTableName, Map<string, object>>();
  #nextPort = 1;

  constructor(cloud: Cloud, name: string, address: string, agent: FakeAgent) {
    this.#cloud = cloud;
    this.name = name;
    this.address = address;
    this.agent = agent;
    this.bridge = this.world.bridge(`br-${name}`);
    this.#physical = new Physical({ program: cloud.physicalProgram });
    for (const table of AGENT_TABLES) this.#tables.set(table, new Map());
    for (const flow of COMMON_FLOWS) this.#add(compileCommonFlow(flow));
  }

  /** Answers what flows have asked the agent to answer since, as its responder does. False: nothing. */
  answer(): boolean {
    const asked = this.world.packetIns.splice(0);
    for (const { recircId, packet, ofproto } of asked) {
      const state = this.world.recircIds.get(recircId);
      const kind = state === undefined ? undefined : answerKind(state.userdata);
      if (state === undefined || kind === undefined) throw new Error(`${this.name}: a packet for nobody`);
      const flow = newFlow();
      restoreMetadata(state.metadata, flow);
      const registers = new DataView(new ArrayBuffer(16));
      for (let i = 0; i < 4; i++) registers.setUint32(4 * i, flow[W_REG + 4 + i]);
      const bytes = new Uint8Array(registers.buffer);
      const answer = answerTo(kind, packet, { ipv4: bytes.subarray(0, 4), ipv6: bytes });
      if (answer === undefined) continue;
      const resumed = newFlow();
      extractFlow(new Packet(answer.slice()), resumed);
      restoreMetadata(state.metadata, resumed);
      const { version } = ofproto;
      new PreparedPacketOut(this.world.slowPath, {
        ofproto,
        packet: answer,
        flow: resumed,
        frozen: state,
        version,
      }).send();
    }
    return asked.length > 0;
  }

  plug(vif: string): void {
    const port = this.bridge.addPort(this.#nextPort++);
    this.vifs.set(vif, port);
    this.world.datapath
      .dummyPort(port.name)
      .onTransmit((packet) => this.#cloud.arrivals.push({ host: this.name, vif, packet }));
    this.#locate();
  }

  unplug(vif: string): void {
    const port = this.vifs.get(vif);
    if (port === undefined) return;
    this.vifs.delete(vif);
    this.bridge.removePort(port);
    this.#locate();
  }

  /** Takes over what the controller has told since. */
  sync(): void {
    const next = new Map<AgentTableName, Map<string, object>>();
    const insert: { -readonly [T in AgentTableName]?: AgentTables[T][] } = {};
    const gone: { -readonly [T in AgentTableName]?: AgentTables[T][] } = {};
    for (const table of AGENT_TABLES) {
      const before = this.#tables.get(table) ?? new Map<string, object>();
      const after = new Map<string, object>();
      for (const text of this.agent.tables.get(table) ?? []) {
        after.set(text, before.get(text) ?? (JSON.parse(text) as object));
      }
      const rows = <T extends AgentTableName>(_: T, of: Iterable<object>): AgentTables[T][] =>
        [...of] as AgentTables[T][];
      const added = [...after].filter(([text]) => !before.has(text)).map(([, row]) => row);
      const removed = [...before].filter(([text]) => !after.has(text)).map(([, row]) => row);
      Object.assign(insert, { [table]: rows(table, added) });
      Object.assign(gone, { [table]: rows(table, removed) });
      next.set(table, after);
    }
    this.#tables = next;
    this.#apply(insert, gone);
  }

  #locate(): void {
    this.agent.locate(...[...this.vifs.keys()]);
  }

  #apply(insert: AgentRows, gone: AgentRows): void {
    const vifs = new Map([...this.vifs].map(([vif, port]) => [vif, port.ofPort]));
    const change = this.#physical.update(this.name, { insert, delete: gone, vifs });
    for (const { id } of change.groups.deleted) this.bridge.setGroup(id, null);
    for (const { id, buckets } of change.groups.inserted) this.bridge.setGroup(id, buckets.map(bucket));
    this.#changeFlows(change.flows);
    if (change.refused.inserted.length > 0) throw change.refused.inserted[0].error;
    for (const tunnel of change.tunnels.deleted) {
      const key = JSON.stringify(tunnel);
      const old = this.#tunnels.get(key);
      if (old === undefined) continue;
      this.#tunnels.delete(key);
      this.bridge.removePort(old.port);
    }
    for (const tunnel of change.tunnels.inserted) {
      const ofport = 1000 + this.#nextPort++;
      const port = this.bridge.addTunnel(ofport, tunnel.encapsulation, {
        remote_ip: tunnel.address,
        key: 'flow',
      });
      this.#tunnels.set(JSON.stringify(tunnel), { port, tunnel: { ...tunnel, ofport } });
      for (const shared of this.world.datapath.ports()) {
        if (shared.type !== tunnel.encapsulation) continue;
        this.world.datapath
          .dummyPort(shared.name)
          .onTransmit((packet, key) => this.#cloud.underlay(this, shared.type, packet, key));
      }
    }
    const tunnels = [...this.#tunnels.values()].map(({ tunnel }) => tunnel);
    const late = this.#physical.update(this.name, { tunnels });
    for (const { id } of late.groups.deleted) this.bridge.setGroup(id, null);
    for (const { id, buckets } of late.groups.inserted) this.bridge.setGroup(id, buckets.map(bucket));
    this.#changeFlows(late.flows);
    this.world.settle();
  }

  #changeFlows({
    inserted,
    deleted,
  }: {
    readonly inserted: readonly TextFlow[];
    readonly deleted: readonly TextFlow[];
  }): void {
    for (const flow of deleted) {
      const rules = this.#rules.get(keyOf(flow)) ?? [];
      const at = rules.findIndex((r) => r.flow.actions === flow.actions);
      if (at < 0) throw new Error(`${this.name}: no such flow ${JSON.stringify(flow)}`);
      const [old] = rules.splice(at, 1);
      this.bridge.remove(old.rule);
    }
    for (const flow of inserted) this.#add(flow);
  }

  #add(flow: TextFlow | CompiledFlow): void {
    const { table, priority, match, actions } = flow;
    const key = keyOf(flow);
    const rules = this.#rules.get(key) ?? [];
    this.#rules.set(key, rules);
    if (rules.length > 0)
      throw new Error(`${this.name}: two flows ${key}: ${rules[0].flow.actions}; ${actions}`);
    const rule = this.bridge.addFlow(
      `table=${table},priority=${priority}${match === '' ? '' : `,${match}`},actions=${actions}`,
    );
    rules.push({ flow, rule });
  }

  /** What a packet from the underlay is to this host. */
  fromUnderlay(type: string, packet: Uint8Array, key: Flow): void {
    for (const shared of this.world.datapath.ports()) {
      if (shared.type === type) this.world.datapath.dummyPort(shared.name).receive(packet, key);
    }
  }
}

export class Cloud {
  readonly physicalProgram = loadPhysicalProgram();
  readonly controller = makeWorld({ rules: networkRules(), aclMatches: compileAclMatch });
  readonly hosts = new Map<string, Host>();
  arrivals: Arrival[] = [];
  #objects: { readonly revision: number; readonly map: ReadonlyMap<string, Stored> } = {
    revision: -1,
    map: new Map(),
  };

  /** All objects by id, as they are now. */
  get objects(): ReadonlyMap<string, Stored> {
    const { model } = this.controller;
    if (this.#objects.revision !== model.revision) {
      this.#objects = { revision: model.revision, map: new Map([...model.objects()].map((o) => [o.id, o])) };
    }
    return this.#objects.map;
  }

  async addHost(name: string, address: string): Promise<Host> {
    const agent = this.controller.host(name, address);
    agent.connect(this.controller.network);
    const host = new Host(this, name, address, agent);
    this.hosts.set(name, host);
    await this.settle();
    return host;
  }

  create<K extends KindName>(kind: K, spec: SpecOf<K>): string {
    return this.controller.model.create(kind, spec);
  }

  /** All that was asked for has reached the switches. */
  async settle(): Promise<void> {
    await settled();
    for (const host of this.hosts.values()) {
      if (host.agent.complaints.length > 0) throw new Error(host.agent.complaints.join('; '));
      host.sync();
    }
    await settled();
  }

  hostOf(vif: string): Host | undefined {
    for (const host of this.hosts.values()) if (host.vifs.has(vif)) return host;
    return undefined;
  }

  /** Sends a packet from a machine, and gives what arrived at machines because of it. */
  send(vif: string, packet: Uint8Array): Arrival[] {
    const host = this.hostOf(vif);
    const port = host?.vifs.get(vif);
    if (host === undefined || port === undefined) return [];
    this.arrivals = [];
    host.world.send(port, packet);
    const hosts = [...this.hosts.values()];
    for (let turn = 0; hosts.map((h) => h.answer()).includes(true); turn++) {
      if (turn > 100) throw new Error('answers to answers without end');
    }
    for (const { world } of hosts) world.settle();
    return this.arrivals;
  }

  /** A tunnel packet on its way between two hosts. */
  underlay(from: Host, type: string, packet: Uint8Array, key: Flow): void {
    const to = [...this.hosts.values()].find((host) => host.address === formatIpv4Word(key[W_TUN_DST]));
    to?.fromUnderlay(type, packet, receivedKey(from.address, to.address, key));
  }
}

function bucket(actions: string, id: number): Bucket {
  return { id, weight: 0, watchPort: OFPP_ANY, watchGroup: OFPG_ANY, actions: parseActions(actions) };
}

/** What the receiver sees of a tunnel. */
export function receivedKey(from: string, to: string, sent: Flow): Flow {
  const key = newFlow();
  key.set(sent.subarray(0, 18));
  const word = (text: string): number =>
    text.split('.').reduce((n, part) => (n << 8) | Number(part), 0) >>> 0;
  key[W_TUN_SRC] = word(from);
  key[W_TUN_DST] = word(to);
  key[W_TUN_ID] = sent[W_TUN_ID];
  return key;
}
