/** An agent that only keeps what it is told, and is strict about it: exact differences, or it complains. */
import type {
  ControllerToAgent,
  Failed,
  Hello,
  Statistics,
  Update,
  VifReport,
} from '../../../logical/protocol.ts';
import { PROTOCOL_VERSION } from '../../../logical/protocol.ts';
import { AGENT_TABLES, type AgentRows } from '../../../logical/universal.ts';
import type { Json } from '../../../ovsdb/json.ts';
import type { RpcChannel, RpcMessage } from '../../../ovsdb/rpc/channel.ts';
import { directPair } from '../../../ovsdb/rpc/direct.ts';
import type { Network } from '../network.ts';

/** Rows as sorted texts, by table. */
export type TableTexts = Record<string, string[]>;

export function tableTexts(rows: AgentRows): TableTexts {
  return Object.fromEntries(
    AGENT_TABLES.map((t) => [t, ((rows[t] ?? []) as readonly object[]).map((r) => JSON.stringify(r)).sort()]),
  );
}

export class FakeAgent {
  readonly node: string;
  readonly token: string;
  readonly tables = new Map<string, Set<string>>();
  readonly updates: Update[] = [];
  /** What was wrong with what it was told. */
  readonly complaints: string[] = [];
  refused: ControllerToAgent['refused'] | undefined;
  closed = true;
  holds: Hello['holds'];
  /** What it answers to an update; by default that it was applied. */
  answer: (update: Update) => 'applied' | 'nothing' | Omit<Failed, 'revision'> = () => 'applied';
  /** What it answers to requests. */
  onRequest: (method: string, params: Json) => { result: Json } | { error: Json } | undefined = () =>
    undefined;
  #channel: RpcChannel | undefined;
  #epoch = '';

  constructor(node: string, token = `token of ${node}`) {
    this.node = node;
    this.token = token;
    for (const t of AGENT_TABLES) this.tables.set(t, new Set());
  }

  connect(network: Network, token = this.token): void {
    const [ours, theirs] = directPair();
    this.#channel = ours;
    this.closed = false;
    this.refused = undefined;
    ours.receive({
      onMessage: (message) => {
        if (this.#channel === ours) this.#onMessage(message);
      },
      onDrain() {},
      onActivity() {},
      onClose: () => {
        if (this.#channel === ours) this.closed = true;
      },
    });
    network.accept(theirs, { name: `agent ${this.node}` });
    this.say('hello', {
      version: PROTOCOL_VERSION,
      systemId: this.node,
      token,
      ...(this.holds === undefined ? {} : { holds: this.holds }),
    });
  }

  /** The connection breaks; what was under way is lost. */
  disconnect(): void {
    const channel = this.#channel;
    this.#channel = undefined;
    this.closed = true;
    channel?.close();
  }

  /** As after a restart of the host. */
  forget(): void {
    this.holds = undefined;
    for (const set of this.tables.values()) set.clear();
  }

  locate(...vifs: (string | VifReport)[]): void {
    this.say('locations', {
      vifs: vifs.map((v) => (typeof v === 'string' ? { vif: v, name: `tap-${v}`, active: true } : v)),
    });
  }

  statistics(statistics: Statistics): void {
    this.say('statistics', statistics);
  }

  say(method: string, params: object): void {
    this.#channel?.send({ method, params: [params as Json], id: null });
  }

  texts(): TableTexts {
    return Object.fromEntries([...this.tables].map(([t, set]) => [t, [...set].sort()]));
  }

  #onMessage(message: RpcMessage): void {
    if (!('method' in message)) return;
    const { method, id } = message;
    const [params] = message.params;
    if (id !== null) {
      const reply = method === 'echo' ? { result: message.params } : this.onRequest(method, params);
      if (reply === undefined) return;
      this.#channel?.send({ result: null, error: null, ...reply, id });
      return;
    }
    if (method === 'welcome') this.#epoch = (params as unknown as ControllerToAgent['welcome']).epoch;
    else if (method === 'refused') this.refused = params as unknown as ControllerToAgent['refused'];
    else if (method === 'update') this.#onUpdate(params as unknown as Update);
    else this.#complain(`unknown notification ${method}`);
  }

  #onUpdate(update: Update): void {
    this.updates.push(update);
    if (update.reset) {
      if (Object.keys(update.delete).length > 0) this.#complain('a reset deletes');
      for (const set of this.tables.values()) set.clear();
    }
    for (const t of AGENT_TABLES) {
      const set = this.tables.get(t)!;
      for (const row of update.delete[t] ?? [])
        if (!set.delete(JSON.stringify(row))) this.#complain(`${t} was not there: ${JSON.stringify(row)}`);
      for (const row of update.insert[t] ?? []) {
        const text = JSON.stringify(row);
        if (set.has(text)) this.#complain(`${t} came twice: ${text}`);
        set.add(text);
      }
    }
    const last = this.holds?.epoch === this.#epoch ? this.holds.revision : -1;
    if (update.revision < last) this.#complain(`revision ${update.revision} after ${last}`);
    this.holds = { epoch: this.#epoch, revision: update.revision };
    const answer = this.answer(update);
    if (answer === 'applied') this.say('applied', { revision: update.revision, elapsed: 1 });
    else if (answer !== 'nothing') this.say('failed', { revision: update.revision, ...answer });
  }

  #complain(what: string): void {
    this.complaints.push(`${this.node}: ${what}`);
  }
}
