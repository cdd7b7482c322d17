/**
 * What one node has been sent, and what of it the switch there has confirmed.
 *
 * Updates go out one by one and are confirmed in order. An agent that is slow gets no more than a few at once; what
 * happens meanwhile is then sent as one.
 */
import type { Failed } from '../../logical/protocol.ts';
import type { AgentChange, Publication, Step } from './publication.ts';
import type { AgentSession } from './session.ts';

/** So many updates may be under way to one agent. */
const MAX_UNDER_WAY = 32;

interface UnderWay {
  /** The first state in it that is not confirmed. */
  readonly from: number;
  readonly state: number;
}

export class Delivery {
  readonly node: string;
  readonly #publication: Publication;
  session: AgentSession | undefined;
  /** The last state that its switch has confirmed; undefined before the first in this epoch. */
  confirmed: number | undefined;
  /** The last refusal, unless something newer was confirmed. */
  failure: (Failed & { readonly from: number }) | undefined;
  /** The state that the agent's tables have or will have from what was sent. */
  #sent = 0;
  #underWay: UnderWay[] = [];
  /** The first state that concerns the node and was not sent. */
  #unsent: number | undefined = 0;

  constructor(node: string, publication: Publication) {
    this.node = node;
    this.#publication = publication;
  }

  /** Whether the switch has confirmed everything up to a state that concerns the node. */
  has(state: number): boolean {
    return this.confirmed !== undefined && this.#firstMissing() > state;
  }

  /** Sent, but not confirmed. */
  get waiting(): number {
    return this.#underWay.length;
  }

  /** Something was published that concerns the node. */
  publish(step: Step): void {
    if (this.session === undefined || this.#unsent !== undefined || !this.#ready) {
      this.#unsent ??= step.state;
      return;
    }
    this.#send(step.state, step.state, this.#publication.of(step, this.node), false);
  }

  /** A new session, of an agent that holds `state` of this epoch, or nothing that is known. */
  connect(session: AgentSession, state: number | undefined): void {
    this.session = session;
    this.#fold();
    const from = this.#unsent ?? (this.confirmed ?? -1) + 1;
    const change = state === undefined ? undefined : this.#publication.since(this.node, state);
    this.#unsent = undefined;
    // Sent even where nothing has changed: its confirmation tells that the switch has it.
    this.#send(
      from,
      this.#publication.state,
      change ?? { insert: this.#publication.all(this.node), delete: {} },
      change === undefined,
    );
  }

  disconnect(): void {
    this.session = undefined;
    this.#fold();
  }

  /** Sends what had to wait. */
  resume(): void {
    if (this.session === undefined || this.#unsent === undefined || !this.#ready) return;
    const from = this.#unsent;
    const { state } = this.#publication;
    const change = this.#publication.since(this.node, this.#sent);
    this.#unsent = undefined;
    if (change !== undefined) this.#send(from, state, change, false);
    else this.#send(from, state, { insert: this.#publication.all(this.node), delete: {} }, true);
  }

  /** @returns whether it is news */
  applied(state: number): boolean {
    if (!this.#underWay.some((u) => u.state === state)) return false;
    this.#underWay = this.#underWay.filter((u) => u.state > state);
    this.confirmed = Math.max(this.confirmed ?? 0, state);
    if (this.failure !== undefined && this.failure.revision <= state) this.failure = undefined;
    this.resume();
    return true;
  }

  /** @returns whether it is news */
  failed(failed: Failed): boolean {
    const entry = this.#underWay.find((u) => u.state === failed.revision);
    if (entry === undefined) return false;
    const from = Math.min(this.failure?.from ?? entry.from, entry.from);
    this.failure = { ...failed, from };
    this.#underWay = this.#underWay.filter((u) => u.state !== failed.revision);
    this.resume();
    return true;
  }

  get #ready(): boolean {
    return this.#underWay.length < MAX_UNDER_WAY && this.session?.writable === true;
  }

  #firstMissing(): number {
    return Math.min(
      this.failure?.from ?? Number.POSITIVE_INFINITY,
      this.#underWay.at(0)?.from ?? Number.POSITIVE_INFINITY,
      this.#unsent ?? Number.POSITIVE_INFINITY,
    );
  }

  /** What was under way is as good as not sent. */
  #fold(): void {
    const first = this.#underWay.at(0)?.from;
    if (first !== undefined) this.#unsent = Math.min(first, this.#unsent ?? first);
    this.#underWay = [];
  }

  #send(from: number, state: number, change: AgentChange, reset: boolean): void {
    this.#sent = state;
    this.#underWay.push({ from, state });
    this.session?.notify('update', { revision: state, reset, insert: change.insert, delete: change.delete });
  }
}
