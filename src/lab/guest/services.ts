/** What a guest serves, and how others ask for it: every answer begins with the name of who gives it. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MARK_LENGTH } from './marks.ts';
import { familyOf, KernelLink, ping } from './pinger.ts';
import type { ProbeOutcome, ProbeTarget } from './protocol.ts';

/** Between two tries of what was refused or got lost. */
const RETRY_MS = 250;
const MAX_NAME = 64;

/** Answers each TCP connection with the name and a line break, then sends back what it gets. */
export function serveTcp(name: string, port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    socket.write(`${name}\n`);
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '::', () => resolve());
  });
}

/** Answers each datagram with the name. */
export function serveUdp(name: string, port: number): Promise<void> {
  const socket = createSocket('udp6');
  socket.on('message', (_, { address, port: to }) => socket.send(name, to, address, () => {}));
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, '::', () => {
      socket.on('error', () => {});
      resolve();
    });
  });
}

/** One attempt: who answered, or undefined. */
function askTcp(address: string, port: number, ms: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let heard = '';
    const done = (name?: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(name);
    };
    const timer = setTimeout(done, ms);
    socket.on('data', (data) => {
      heard += data.toString('latin1');
      const end = heard.indexOf('\n');
      if (end >= 0) done(heard.slice(0, end));
      else if (heard.length > MAX_NAME) done();
    });
    socket.on('error', () => done());
    socket.on('close', () => done());
  });
}

function askUdp(address: string, port: number, mark: Uint8Array, ms: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket: UdpSocket = createSocket(familyOf(address) === 4 ? 'udp4' : 'udp6');
    let repeat: NodeJS.Timeout | undefined;
    let over = false;
    const done = (name?: string): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      clearInterval(repeat);
      socket.close();
      resolve(name);
    };
    const timer = setTimeout(done, ms);
    socket.on('message', (message) => done(message.toString('latin1', 0, MAX_NAME)));
    // Refused by an ICMP error, perhaps for now.
    socket.on('error', () => {});
    socket.connect(port, address, (error?: Error) => {
      if (error !== undefined || over) return;
      const send = (): void => socket.send(mark, () => {});
      send();
      repeat = setInterval(send, RETRY_MS);
    });
  });
}

type Attempt = (ms: number) => Promise<string | undefined>;

/** Tries until somebody answers: up to `limitMs` where that is expected, else `minimumMs`. */
async function attempt(
  ask: Attempt,
  expected: boolean,
  minimumMs: number,
  limitMs: number,
): Promise<ProbeOutcome> {
  const started = performance.now();
  const until = started + (expected ? limitMs : minimumMs);
  for (;;) {
    const now = performance.now();
    if (now >= until) return {};
    const by = await ask(until - now);
    if (by !== undefined) return { by, ms: performance.now() - now };
    await sleep(Math.max(0, Math.min(RETRY_MS, until - performance.now())));
  }
}

/** Probes all targets at once; outcomes in their order. */
export async function probe(
  targets: readonly ProbeTarget[],
  mark: Uint8Array,
  minimumMs: number,
  limitMs: number,
): Promise<ProbeOutcome[]> {
  const outcomes: ProbeOutcome[] = targets.map(() => ({}));
  const pings = ([4, 6] as const).map(async (family) => {
    const indices = targets.flatMap(({ probe: { kind }, address }, i) =>
      kind === 'ping' && familyOf(address) === family ? [i] : [],
    );
    if (indices.length === 0) return;
    const link = new KernelLink(family);
    try {
      const wanted = indices.map((i) => targets[i]);
      const seen = await ping(link, wanted, minimumMs, limitMs, mark);
      indices.forEach((i, n) => {
        const { rttMs } = seen[n];
        outcomes[i] = rttMs === undefined ? {} : { ms: rttMs };
      });
    } finally {
      link.close();
    }
  });
  const others = targets.map(async ({ probe: what, address, expected }, i) => {
    if (what.kind === 'ping') return;
    const ask: Attempt =
      what.kind === 'tcp'
        ? (ms) => askTcp(address, what.port, ms)
        : (ms) => askUdp(address, what.port, mark.subarray(0, MARK_LENGTH), ms);
    outcomes[i] = await attempt(ask, expected, minimumMs, limitMs);
  });
  await Promise.all([...pings, ...others]);
  return outcomes;
}
