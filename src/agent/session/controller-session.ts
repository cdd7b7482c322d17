/** The agent's connection to its controller: dials, says who it is, takes updates, answers questions. */
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { AgentRequests, AgentToController, Hello, Update } from '../../logical/protocol.ts';
import { PROTOCOL_VERSION } from '../../logical/protocol.ts';
import type { Connector, Json, RpcChannel, RpcMessage } from '../../ovsdb/index.ts';
import { Probe } from '../../ovsdb/rpc/probe.ts';
import { Reconnector } from '../../ovsdb/rpc/reconnect.ts';
import { parseUpdate } from './rows.ts';

export interface ControllerSessionOptions {
  readonly connector: Connector;
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly maxBackoff?: number;
  /** What to say first; undefined: not ready, try later. */
  readonly hello: () => Omit<Hello, 'version'> | undefined;
  /** The controller knows us; its epoch. */
  readonly onWelcome: (epoch: string) => void;
  readonly onUpdate: (update: Update) => void;
  readonly onClose: () => void;
  /** @throws WeftError */
  readonly onRequest: <M extends keyof AgentRequests>(
    method: M,
    params: AgentRequests[M]['params'],
  ) => Promise<AgentRequests[M]['result']>;
}

const PROBE_MS = 5000;
/** Questions that may be under way. */
const MAX_REQUESTS = 64;
const METHODS: ReadonlySet<string> = new Set<keyof AgentRequests>(['trace', 'flows']);

export class ControllerSession {
  readonly #options: ControllerSessionOptions;
  readonly #reconnector: Reconnector;
  #channel: RpcChannel | undefined;
  #probe: Probe | undefined;
  #welcome = false;
  #requests = 0;

  constructor(options: ControllerSessionOptions) {
    this.#options = options;
    this.#reconnector = new Reconnector({
      clock: options.clock,
      log: options.log,
      connector: options.connector,
      maxBackoff: options.maxBackoff ?? 8000,
      onChannel: (channel) => this.#open(channel),
    });
  }

  start(): void {
    this.#reconnector.start();
  }

  close(): void {
    this.#reconnector.stop();
    this.#channel?.close();
  }

  /** Connects anew: hello and its answer tell both sides where they are. */
  renew(): void {
    this.#channel?.close();
  }

  /** Whether the controller has welcomed us on this connection. */
  get established(): boolean {
    return this.#welcome;
  }

  notify<M extends keyof AgentToController>(method: M, params: AgentToController[M]): void {
    this.#channel?.send({ method, params: [params as unknown as Json], id: null });
  }

  #open(channel: RpcChannel): void {
    const { clock, log, connector } = this.#options;
    this.#channel = channel;
    const probe = new Probe(
      clock,
      connector.needsProbes ? PROBE_MS : 0,
      () => channel.send({ method: 'echo', params: [], id: 'echo' }),
      (seconds) => {
        log.warn(`${connector.name}: no sign of life for ${seconds} seconds, disconnecting`);
        channel.close();
      },
    );
    this.#probe = probe;
    channel.receive({
      onMessage: (message) => this.#onMessage(channel, message),
      onDrain: () => {},
      onClose: (reason) => this.#onClose(reason),
      onActivity: () => probe.alive(),
    });
    const hello = this.#options.hello();
    if (hello === undefined) {
      channel.close();
      return;
    }
    this.notify('hello', { version: PROTOCOL_VERSION, ...hello });
  }

  #onClose(reason: string): void {
    this.#channel = undefined;
    this.#welcome = false;
    this.#probe?.stop();
    this.#options.onClose();
    this.#reconnector.lost(reason);
  }

  #onMessage(channel: RpcChannel, message: RpcMessage): void {
    if (!('method' in message)) return;
    try {
      if (message.id === null) this.#onNotification(message.method, message.params[0]);
      else if (message.method === 'echo')
        channel.send({ result: message.params, error: null, id: message.id });
      else this.#onRequest(channel, message.method, message.params[0], message.id);
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      this.#options.log.err(`${this.#options.connector.name}: ${error.message}; disconnecting`);
      channel.close();
    }
  }

  #onNotification(method: string, params: Json | undefined): void {
    const { log, connector, onWelcome, onUpdate } = this.#options;
    const fields = typeof params === 'object' && params !== null && !Array.isArray(params) ? params : {};
    const member = (name: string): Json | undefined =>
      Object.hasOwn(fields, name) ? (fields as { readonly [name: string]: Json })[name] : undefined;
    switch (method) {
      case 'welcome': {
        const epoch = member('epoch');
        if (typeof epoch !== 'string')
          throw new WeftError('bad-controller-message', 'welcome.epoch: is no text');
        if (member('version') !== PROTOCOL_VERSION)
          throw new WeftError(
            'bad-controller-message',
            `welcome.version: the controller speaks version ${String(member('version'))}, this agent ${PROTOCOL_VERSION}`,
          );
        this.#welcome = true;
        onWelcome(epoch);
        return;
      }
      case 'refused':
        log.warn(
          `${connector.name}: the controller refuses this agent: ${String(member('message'))} (${String(member('code'))})`,
        );
        return;
      case 'update':
        if (!this.#welcome) throw new WeftError('bad-controller-message', 'update: comes before the welcome');
        onUpdate(parseUpdate(params));
        return;
      default:
        log.dbg(`${connector.name}: notification "${method}" is not known`);
    }
  }

  #onRequest(channel: RpcChannel, method: string, params: Json | undefined, id: Json): void {
    const refuse = (error: string): void => channel.send({ result: null, error, id });
    if (!METHODS.has(method)) {
      refuse(`unknown method "${method}"`);
      return;
    }
    if (this.#requests >= MAX_REQUESTS) {
      refuse(`${MAX_REQUESTS} questions wait already; ask again later`);
      return;
    }
    if (typeof params !== 'object' || params === null || Array.isArray(params)) {
      refuse(`${method}: the parameter is no object`);
      return;
    }
    this.#requests++;
    const name = method as keyof AgentRequests;
    // What the parameter says is checked by whoever answers.
    this.#options
      .onRequest(name, params as AgentRequests[typeof name]['params'])
      .then(
        (result) => channel.send({ result: result as unknown as Json, error: null, id }),
        (error) => refuse(error instanceof Error ? error.message : String(error)),
      )
      .finally(() => {
        this.#requests--;
      });
  }
}
