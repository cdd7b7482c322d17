/**
 * The networks at work: follows the model, has the rules compute what every host must do, tells the agents, and
 * knows how far they are.
 *
 *     objects ── input rows ──> rules (nlog) ── output rows ──> publication ── deltas ──> agents
 *     agents  ── locations ──────^
 *
 * Everything happens within the event that causes it: a revision of the model, or a report of an agent, is one
 * transaction of the rules and at most one update for each agent.
 */
import type { SpecOf } from '../../api-schema/kinds.ts';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import {
  type Applied,
  type Failed,
  type Hello,
  type Locations,
  PROTOCOL_VERSION,
  type Statistics,
  type VifReport,
} from '../../logical/protocol.ts';
import type { RpcChannel } from '../../ovsdb/rpc/channel.ts';
import type { ChangeEvent, ObjectChange, ObjectSource } from './change.ts';
import { Delivery } from './delivery.ts';
import { type InputRow, inputRows, isKind, type RowContext } from './input-rows.ts';
import type { Labels } from './labels.ts';
import { type Claim, type ClaimRecords, LocationBook, type LocationChange } from './locations.ts';
import { Objects } from './objects.ts';
import { Publication, type PublicationOptions, type Step } from './publication.ts';
import { Revisions } from './revisions.ts';
import {
  type OutputChanges,
  type Recomputed,
  type RowsChange,
  RuleEngine,
  type RuleProgram,
} from './rule-engine.ts';
import { AgentSession, type NodeAuthority, type SessionOwner } from './session.ts';
import { TrafficCounters } from './traffic.ts';

export interface NetworkOptions {
  readonly source: ObjectSource;
  readonly labels: Labels;
  readonly rules: RuleProgram;
  readonly aclMatches: (match: SpecOf<'acl'>['match']) => readonly string[];
  readonly authority: NodeAuthority;
  readonly clock: Clock;
  readonly log: Logger;
  /** A name that no earlier run of the controller had. */
  readonly epoch: string;
  /** Where VIFs were when the controller last ran, and who keeps this. */
  readonly claims?: Iterable<Claim>;
  readonly claimRecords?: ClaimRecords;
  readonly publication?: PublicationOptions;
  /** Most memory that the rules may take. */
  readonly maxBytes?: number;
}

/** So many connections may be without a hello at once. */
const MAX_STRANGERS = 1024;

function unknownNode(systemId: string): WeftError {
  return new WeftError('unknown-node', `"${systemId.slice(0, 128)}" is no transport node with this token`, {
    remedy: 'make the transport node, and give the agent the token that was made for it',
  });
}

export class Network implements SessionOwner {
  readonly epoch: string;
  readonly objects = new Objects();
  readonly labels: Labels;
  readonly rules: RuleEngine;
  readonly publication: Publication;
  readonly locations: LocationBook;
  readonly revisions = new Revisions();
  readonly traffic = new TrafficCounters();
  readonly #options: NetworkOptions;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #context: RowContext;
  readonly #deliveries = new Map<string, Delivery>();
  readonly #strangers = new Set<AgentSession>();
  readonly #listeners = new Set<() => void>();
  /** The transport node objects by systemId. */
  readonly #nodes = new Map<string, string>();
  /** The logical ports by VIF. */
  readonly #ports = new Map<string, string>();
  #fault: { readonly revision: number; readonly error: WeftError } | undefined;
  #stop: (() => void) | undefined;
  /** Counts what the rules were told. */
  #changes = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.epoch = options.epoch;
    this.labels = options.labels;
    this.#clock = options.clock;
    this.#log = options.log.module('network');
    this.rules = new RuleEngine(options.rules, options.maxBytes);
    this.publication = new Publication(options.publication);
    this.locations = new LocationBook(options.claimRecords);
    this.#context = {
      label: (id, side) => this.labels.of(id, side),
      enabled: (id) => this.objects.enabled(id),
      aclMatches: options.aclMatches,
    };
  }

  /** Computes everything, once, and follows the model from then on. */
  start(): void {
    const { source, claims = [] } = this.#options;
    const changes = [...source.objects()].map((after) => ({ after }));
    this.objects.apply(changes);
    this.#index(changes);
    const known = this.locations.load(claims);
    const inserted = [...changes.flatMap(({ after }) => inputRows(after, this.#context)), ...known.inserted];
    const step = this.#publish(this.rules.apply({ inserted, deleted: [] }));
    this.revisions.record(
      source.revision,
      this.publication.state,
      step?.nodes ?? new Set(),
      this.#clock.now(),
    );
    this.#stop = source.subscribe((event) => this.#onEvent(event));
  }

  stop(): void {
    this.#stop?.();
    for (const session of this.#strangers) session.close();
    for (const { session } of this.#deliveries.values()) session?.close();
  }

  /** Takes an agent's connection. */
  accept(channel: RpcChannel, options: { readonly name: string; readonly probes?: boolean }): void {
    const session = new AgentSession(channel, {
      ...options,
      clock: this.#clock,
      log: this.#log,
      owner: this,
    });
    this.#strangers.add(session);
    if (this.#strangers.size > MAX_STRANGERS)
      session.refuse(
        new WeftError('too-many-strangers', `${MAX_STRANGERS} connections have not said who they are`, {
          remedy: 'the agent tries again by itself',
        }),
      );
  }

  /** Lets agents go whose tokens are no longer good. */
  recheckTokens(): void {
    for (const { session } of this.#deliveries.values())
      if (session?.allowed(this.#options.authority) === false)
        session.refuse(unknownNode(session.systemId ?? ''));
  }

  /** Calls `listener` whenever what hosts have confirmed may have changed. */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** How far a node is; undefined for a name that was never heard of. */
  delivery(node: string): Delivery | undefined {
    return this.#deliveries.get(node);
  }

  deliveries(): Iterable<Delivery> {
    return this.#deliveries.values();
  }

  /** systemIds of all transport nodes. */
  nodes(): Iterable<string> {
    return this.#nodes.keys();
  }

  /** Agents that are connected. */
  get connected(): number {
    let n = 0;
    for (const { session } of this.#deliveries.values()) if (session !== undefined) n++;
    return n;
  }

  /** The transport node with the systemId. */
  nodeObject(systemId: string): string | undefined {
    return this.#nodes.get(systemId);
  }

  /** The port that the VIF is attached to. */
  portOfVif(vif: string): string | undefined {
    return this.#ports.get(vif);
  }

  /** The last revision that there is, also of what does not concern the network. */
  get revision(): number {
    return Math.max(this.revisions.latest, this.#options.source.revision);
  }

  /** Why the rules could not take the configuration over, if so. */
  get fault(): { readonly revision: number; readonly error: WeftError } | undefined {
    return this.#fault;
  }

  /** Whether every transport node is known to hold a published state or a later one. */
  allHave(state: number): boolean {
    for (const node of this.#nodes.keys()) if (this.#deliveries.get(node)?.has(state) !== true) return false;
    return true;
  }

  /** Input rows of everything that is there. */
  *inputs(): Iterable<InputRow> {
    for (const object of this.objects.values()) yield* inputRows(object, this.#context);
    yield* this.locations.rows();
  }

  /**
   * Computes everything from scratch and compares. Where something differs, which is an error in the incremental
   * computation, the fresh result takes its place.
   *
   * @returns how many rows differed
   */
  audit(): number {
    return this.#mend(this.rules.recompute(this.inputs()));
  }

  /**
   * The same in pieces, while the network goes on. Undefined as its result: something has changed meanwhile, so there is
   * nothing to compare.
   *
   * @param rows of the rules, about, in each piece
   */
  *auditInPieces(rows: number): Generator<void, number | undefined, void> {
    const changes = this.#changes;
    const pieces = this.rules.recomputeInPieces(this.inputs(), rows);
    for (;;) {
      if (this.#changes !== changes) return undefined;
      const { done, value } = pieces.next();
      if (done === true) return this.#mend(value);
      yield;
    }
  }

  #mend(fresh: Recomputed): number {
    if (fresh.different === 0) return 0;
    this.#log.err(
      `${fresh.different} rows were not what a computation from scratch gives; they are mended now. This is a bug`,
    );
    fresh.adopt();
    this.#changes++;
    this.#publish(fresh.changes);
    this.#progress();
    return fresh.different;
  }

  // What the model says.

  #onEvent({ revision, changes }: ChangeEvent): void {
    const ids = this.objects.affected(changes);
    const gone: string[] = [];
    const step = this.#transact(revision, () => {
      const deleted: InputRow[] = [];
      // With a fault everything is read anew, and what the rows were does not matter.
      try {
        if (this.#fault === undefined) deleted.push(...this.#rowsOf(ids));
      } finally {
        this.objects.apply(changes);
        this.#index(changes);
        gone.push(...this.#goneNodes(changes));
        for (const node of gone) deleted.push(...this.locations.forget(node).deleted);
      }
      return { inserted: this.#fault === undefined ? this.#rowsOf(ids) : [], deleted };
    });
    const { state } = this.publication;
    this.revisions.record(revision, state, step?.nodes ?? new Set(), this.#clock.now());
    this.labels.release(changes, state);
    for (const node of gone) this.#forget(node);
    for (const { before, after } of changes)
      if (before !== undefined && after === undefined) this.traffic.forget(before.id);
    this.#progress();
  }

  #rowsOf(ids: Iterable<string>): InputRow[] {
    const rows: InputRow[] = [];
    for (const id of ids) {
      const object = this.objects.get(id);
      if (object !== undefined) rows.push(...inputRows(object, this.#context));
    }
    return rows;
  }

  /**
   * Has the rules take a change over. If they cannot, whatever the reason, they stay as they were, and with the next change
   * they start again from all that is there.
   */
  #transact(revision: number, change: () => RowsChange): Step | undefined {
    this.#changes++;
    try {
      const rows = change();
      if (this.#fault === undefined) return this.#publish(this.rules.apply(rows));
      const fresh = this.rules.recompute(this.inputs());
      fresh.adopt();
      this.#fault = undefined;
      this.#log.info(`revision ${revision}: the rules have caught up`);
      return this.#publish(fresh.changes);
    } catch (error) {
      const fault =
        error instanceof WeftError ? error : new WeftError('rules-failed', String(error), { cause: error });
      this.#fault = { revision: this.#fault?.revision ?? revision, error: fault };
      this.#log.err(`revision ${revision}: the rules cannot take it over: ${fault.message} (${fault.code})`);
      return undefined;
    }
  }

  #publish(changes: OutputChanges): Step | undefined {
    const step = this.publication.apply(changes);
    if (step !== undefined) for (const node of step.nodes) this.#delivery(node).publish(step);
    return step;
  }

  #index(changes: readonly ObjectChange[]): void {
    for (const { before } of changes) {
      if (before === undefined) continue;
      if (isKind(before, 'transport-node')) this.#nodes.delete(before.spec.systemId);
      else if (isKind(before, 'logical-port') && before.spec.vif !== undefined)
        this.#ports.delete(before.spec.vif);
    }
    for (const { after } of changes) {
      if (after === undefined) continue;
      if (isKind(after, 'transport-node')) this.#nodes.set(after.spec.systemId, after.id);
      else if (isKind(after, 'logical-port') && after.spec.vif !== undefined)
        this.#ports.set(after.spec.vif, after.id);
    }
  }

  #goneNodes(changes: readonly ObjectChange[]): string[] {
    return changes.flatMap(({ before }) =>
      before !== undefined &&
      isKind(before, 'transport-node') &&
      this.#nodes.get(before.spec.systemId) === undefined
        ? [before.spec.systemId]
        : [],
    );
  }

  #forget(node: string): void {
    const delivery = this.#deliveries.get(node);
    this.#deliveries.delete(node);
    this.revisions.forget(node, this.#clock.now());
    this.traffic.forgetNode(node);
    delivery?.session?.refuse(
      new WeftError('unknown-node', `there is no transport node "${node}" any more`, {
        remedy: 'make it again, and give the agent its token',
      }),
    );
  }

  #delivery(node: string): Delivery {
    let delivery = this.#deliveries.get(node);
    if (delivery === undefined) {
      delivery = new Delivery(node, this.publication);
      this.#deliveries.set(node, delivery);
    }
    return delivery;
  }

  #progress(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  // What agents say.

  onHello(session: AgentSession, hello: Hello): void {
    const { systemId, version, token, holds } = hello;
    if (version !== PROTOCOL_VERSION)
      throw new WeftError(
        'protocol-version',
        `the agent speaks version ${version} of the protocol, the controller version ${PROTOCOL_VERSION}`,
        { remedy: 'bring both to the same version of Weft' },
      );
    // One answer for both, so that nobody finds out which nodes there are.
    if (!this.#options.authority.verify(systemId, token) || !this.#nodes.has(systemId))
      throw new WeftError(
        'unknown-node',
        `"${systemId.slice(0, 128)}" is no transport node with this token`,
        {
          remedy: 'make the transport node, and give the agent the token that was made for it',
        },
      );
    this.#strangers.delete(session);
    const delivery = this.#delivery(systemId);
    delivery.session?.refuse(
      new WeftError('taken-over', `another agent has connected as "${systemId}"`, {
        remedy: 'two hosts must not have the same system-id',
      }),
    );
    this.#log.info(`${session.name}: the agent of ${systemId}`);
    session.notify('welcome', { version: PROTOCOL_VERSION, epoch: this.epoch });
    delivery.connect(session, holds?.epoch === this.epoch ? holds.revision : undefined);
    this.#progress();
  }

  onApplied(session: AgentSession, { revision }: Applied): void {
    const delivery = this.#current(session);
    if (delivery?.applied(revision) !== true) return;
    this.revisions.confirmed(delivery.node, (state) => delivery.has(state), this.#clock.now());
    this.#progress();
  }

  onFailed(session: AgentSession, failed: Failed): void {
    const delivery = this.#current(session);
    if (delivery?.failed(failed) !== true) return;
    this.#log.warn(
      `${delivery.node}: the switch refused state ${failed.revision}: ${failed.message} (${failed.code})`,
    );
    this.#progress();
  }

  onLocations(session: AgentSession, { vifs }: Locations): void {
    const delivery = this.#current(session);
    if (delivery === undefined) return;
    this.#relocate(this.locations.report(delivery.node, vifs));
  }

  onStatistics(session: AgentSession, statistics: Statistics): void {
    const delivery = this.#current(session);
    if (delivery === undefined) return;
    this.traffic.report(
      delivery.node,
      statistics,
      (label) => this.labels.owner(label),
      (id) => this.objects.get(id) !== undefined,
    );
  }

  onDrain(session: AgentSession): void {
    this.#current(session)?.resume();
  }

  onClose(session: AgentSession, reason: string): void {
    this.#strangers.delete(session);
    const delivery = this.#current(session);
    if (delivery === undefined) return;
    this.#log.info(`${session.name}: the agent of ${delivery.node} has gone: ${reason}`);
    delivery.disconnect();
    this.#progress();
  }

  /** The VIFs that a node shows, whether anything is attached to them or not. */
  vifs(node: string): readonly VifReport[] {
    return this.locations.reported(node);
  }

  #relocate({ inserted, deleted }: LocationChange): void {
    if (inserted.length === 0 && deleted.length === 0) return;
    this.#transact(this.revisions.latest, () => ({ inserted, deleted }));
    this.#progress();
  }

  /** The delivery that the session is the present one of. */
  #current(session: AgentSession): Delivery | undefined {
    const delivery = session.systemId === undefined ? undefined : this.#deliveries.get(session.systemId);
    return delivery?.session === session ? delivery : undefined;
  }
}
