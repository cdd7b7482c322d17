/** The process of a guest: does in its namespace what the lab asks for, until the lab goes away. */
import { WeftError } from '../../base/errors.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import { sendRaw } from './forger.ts';
import { MarkWatcher, markBytes } from './marks.ts';
import { KernelLink, ping } from './pinger.ts';
import type { GuestConfig, GuestOperations, GuestReply, GuestRequest, Operation } from './protocol.ts';
import { PingSeries } from './series.ts';
import { probe, serveTcp, serveUdp } from './services.ts';
import { TaggedStack } from './tagged-stack.ts';
import { Talk } from './talk.ts';
import { listen, stream } from './tcp.ts';
import { Watcher } from './watcher.ts';

const DEVICE = 'eth0';
/** How long the tagged stack may keep a request of the lab waiting. */
const SERVE_MS = 20;

type Handlers = {
  [O in Operation]: (args: GuestOperations[O]['args']) => Promise<GuestOperations[O]['result']>;
};

class Guest implements Handlers {
  readonly #stack: TaggedStack | undefined;
  #watcher: Watcher | undefined;
  #marks: MarkWatcher | undefined;
  #series: PingSeries | undefined;
  #talk: Talk | undefined;
  #pinging = false;

  constructor(config: GuestConfig) {
    if (config.tagged === undefined) return;
    this.#stack = new TaggedStack({ device: DEVICE, ...config.tagged });
    const poll = new PollSet(1);
    poll.set(0, this.#stack.fd, POLLIN);
    const serve = (): void => {
      // While it pings, that loop serves.
      if (!this.#pinging && poll.wait(SERVE_MS) > 0) this.#stack!.serve();
      setImmediate(serve);
    };
    serve();
  }

  async ping({ targets, minimumMs, limitMs }: GuestOperations['ping']['args']) {
    if (this.#stack !== undefined) {
      this.#pinging = true;
      try {
        return await ping(this.#stack, targets, minimumMs, limitMs);
      } finally {
        this.#pinging = false;
      }
    }
    const link = new KernelLink();
    try {
      return await ping(link, targets, minimumMs, limitMs);
    } finally {
      link.close();
    }
  }

  async listen({ port }: GuestOperations['listen']['args']) {
    await listen(port);
    return null;
  }

  stream({ address, port, ms, connectMs }: GuestOperations['stream']['args']) {
    return stream(address, port, ms, connectMs);
  }

  async serve({ name, tcp, udp }: GuestOperations['serve']['args']) {
    await Promise.all([
      ...tcp.map((port) => serveTcp(name, port)),
      ...udp.map((port) => serveUdp(name, port)),
    ]);
    return null;
  }

  probe({ targets, mark, minimumMs, limitMs }: GuestOperations['probe']['args']) {
    return probe(targets, markBytes(mark), minimumMs, limitMs);
  }

  sendRaw({ frames }: GuestOperations['sendRaw']['args']) {
    return sendRaw(
      DEVICE,
      frames.map((frame) => Buffer.from(frame, 'hex')),
    );
  }

  async watchMarks({ nonce }: GuestOperations['watchMarks']['args']) {
    this.#marks?.finish();
    this.#marks = new MarkWatcher(DEVICE, nonce);
    return null;
  }

  async marks() {
    const seen = this.#marks?.finish() ?? {};
    this.#marks = undefined;
    return seen;
  }

  async startSeries({ address, intervalMs }: GuestOperations['startSeries']['args']) {
    await this.#series?.stop();
    this.#series = new PingSeries(address, intervalMs);
    return null;
  }

  stopSeries() {
    const series = this.#series;
    this.#series = undefined;
    if (series === undefined) throw new WeftError('guest-failed', 'there is no series of pings to stop');
    return series.stop();
  }

  async startTalk({ address, port, connectMs }: GuestOperations['startTalk']['args']) {
    await this.#talk?.stop();
    this.#talk = await Talk.open(address, port, connectMs);
    return null;
  }

  stopTalk() {
    const talk = this.#talk;
    this.#talk = undefined;
    if (talk === undefined) throw new WeftError('guest-failed', 'there is no conversation to stop');
    return talk.stop();
  }

  async watch() {
    this.#watcher = new Watcher(DEVICE);
    return null;
  }

  async watched() {
    const counts = this.#watcher?.finish() ?? {};
    this.#watcher = undefined;
    return counts;
  }
}

const config = JSON.parse(process.argv[2] ?? '{}') as GuestConfig;
const handlers: Handlers = new Guest(config);

async function answer<O extends Operation>({ id, op, args }: GuestRequest<O>): Promise<GuestReply> {
  try {
    return { id, result: await handlers[op](args) };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

process.on('message', (request: GuestRequest) => void answer(request).then((reply) => process.send!(reply)));
process.on('disconnect', () => process.exit(0));
process.send!({ id: 0, result: null } satisfies GuestReply);
