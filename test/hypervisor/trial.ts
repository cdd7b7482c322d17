/** One random cloud beside its reference model: changes, frames, and the comparison of both. */
import assert from 'node:assert/strict';
import type { Stored } from '../../src/api-schema/kinds.ts';
import { Chance } from './chance.ts';
import { type Arrival, Cloud } from './cloud.ts';
import { build, type Frame, fingerprint, show } from './frame.ts';
import { Reference } from './reference.ts';
import { Tenants } from './tenants.ts';
import { Traffic } from './traffic.ts';

const FRAMES = 30;
const CONVERSATIONS = 12;

export class Trial {
  readonly cloud = new Cloud();
  readonly chance: Chance;
  readonly tenants: Tenants;
  readonly traffic: Traffic;
  readonly reference: Reference;
  readonly history: string[] = [];
  #conversations: { readonly port: string; readonly frame: Frame }[] = [];
  /** What has happened: a trial in which nothing arrives proves nothing. */
  readonly counts = { sent: 0, silent: 0, delivered: 0, answered: 0, routed: 0 };

  constructor(seed: number, stateful: boolean) {
    const { cloud } = this;
    this.chance = new Chance(seed);
    this.reference = new Reference({
      get objects() {
        return cloud.objects;
      },
      located: (port) => cloud.hostOf(port.spec.vif ?? '') !== undefined,
      order: (object) =>
        cloud.controller.labels.of(object.id, object.kind === 'router-port' ? 'switch' : undefined),
    });
    this.tenants = new Tenants(cloud, this.chance, { stateful }, (port) =>
      this.reference.connections.forget(port),
    );
    this.traffic = new Traffic(this.chance, this.tenants);
  }

  #converse(sender: Stored, frame: Frame, receiver: Stored, answer: Frame): void {
    if (frame.body.kind !== 'ip' || frame.body.l4.proto !== 'udp') return;
    this.#conversations.push({ port: sender.id, frame }, { port: receiver.id, frame: answer });
  }

  async start(): Promise<void> {
    for (const n of [1, 2, 3]) await this.cloud.addHost(`h${n}`, `192.0.2.${n}`);
    this.history.push(...this.tenants.populate(8));
    await this.cloud.settle();
    await this.cloud.settle();
  }

  async change(): Promise<void> {
    this.history.push(this.tenants.change());
    await this.cloud.settle();
    await this.cloud.settle();
  }

  /** Sends a frame and compares; gives who got what. */
  exchange(port: Stored<'logical-port'>, frame: Frame): { port: string; frame: Frame }[] {
    const expected = this.reference.send(port.id, frame);
    const got = this.cloud.send(port.spec.vif ?? '', build(frame));
    this.counts.sent++;
    if (expected.length === 0) this.counts.silent++;
    this.counts.delivered += expected.length;
    for (const { port: to, frame: arrived } of expected) {
      if (to === port.id) this.counts.answered++;
      else if (arrived.src !== frame.src) this.counts.routed++;
    }
    this.#compare(port, frame, expected, got);
    return expected;
  }

  #compare(
    port: Stored<'logical-port'>,
    frame: Frame,
    expected: readonly { port: string; frame: Frame }[],
    got: readonly Arrival[],
  ): void {
    const { objects } = this.cloud;
    const vifOf = (id: string): string => (objects.get(id) as Stored<'logical-port'>).spec.vif ?? '';
    const wanted = expected.map((e) => [vifOf(e.port), build(e.frame)] as const);
    const line = ([vif, bytes]: readonly [string, Uint8Array]): string => `${vif} ${fingerprint(bytes)}`;
    const a = wanted.map(line).sort();
    const b = got.map((arrival) => line([arrival.vif, arrival.packet])).sort();
    if (JSON.stringify(a) === JSON.stringify(b)) return;
    const list = (rows: readonly (readonly [string, Uint8Array])[]): string =>
      rows.map(([vif, bytes]) => `    ${vif}: ${show(bytes)}`).join('\n');
    assert.fail(
      `${this.history.map((h) => `  ${h}`).join('\n')}\n  ${port.spec.vif} sends ${JSON.stringify(frame)}\n` +
        `  expected\n${list(wanted)}\n  got\n${list(got.map((g) => [g.vif, g.packet]))}`,
    );
  }

  round(): void {
    // Conversations go on while rules come and go, from either side.
    this.#conversations = this.#conversations
      .filter(({ port }) => this.cloud.objects.has(port))
      .slice(-CONVERSATIONS);
    for (const { port, frame } of this.#conversations) {
      if (this.chance.once(2)) continue;
      const sender = this.cloud.objects.get(port) as Stored<'logical-port'>;
      this.exchange(sender, frame);
    }
    for (let i = 0; i < FRAMES; i++) {
      const port = this.chance.some(this.tenants.of('logical-port'));
      if (port === undefined) return;
      let pending = [{ port, frame: this.traffic.frame(port) }];
      // Up to the third packet of a conversation.
      for (let turn = 0; turn < 3 && pending.length > 0; turn++) {
        const next: typeof pending = [];
        for (const { port: sender, frame } of pending) {
          for (const delivery of this.exchange(sender, frame)) {
            const receiver = this.cloud.objects.get(delivery.port) as Stored<'logical-port'>;
            const answer = receiver.id === sender.id ? undefined : this.traffic.answer(delivery.frame);
            if (answer === undefined) continue;
            next.push({ port: receiver, frame: answer });
            this.#converse(sender, frame, receiver, answer);
          }
        }
        pending = next;
      }
    }
  }
}
