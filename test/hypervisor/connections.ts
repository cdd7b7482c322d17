/** What a stateful firewall at each port remembers, for the reference model. */
import type { Frame } from './frame.ts';

interface Entry {
  readonly forward: string;
  readonly backward: string;
  blocked: boolean;
  /** When it was made, in packets. */
  readonly born: number;
}

/** How a packet belongs to a connection. */
export interface Belonging {
  /** It goes against the direction that the connection was opened in. */
  readonly reply: boolean;
  readonly blocked: boolean;
  block(): void;
}

/** The two names of a packet's conversation, one for each direction; undefined for what has none. */
function keysOf(body: Frame['body']): { forward: string; backward: string; opens: boolean } | undefined {
  if (body.kind !== 'ip') return undefined;
  const { family, src, dst, l4 } = body;
  if (l4.proto === 'udp' || l4.proto === 'tcp') {
    const name = (a: string, ap: number, b: string, bp: number): string =>
      `${l4.proto} ${a} ${ap} ${b} ${bp}`;
    return {
      forward: name(src, l4.sport, dst, l4.dport),
      backward: name(dst, l4.dport, src, l4.sport),
      // A TCP connection begins with a SYN; what comes without one is let through by stateless rules only.
      opens: l4.proto === 'udp' || (l4.flags & 0x3f) === 2,
    };
  }
  if (l4.proto !== 'icmp' || l4.code !== 0) return undefined;
  const [request, reply] = family === 4 ? [8, 0] : [128, 129];
  if (l4.type !== request && l4.type !== reply) return undefined;
  const id = l4.rest >>> 16;
  const [other] = l4.type === request ? [reply] : [request];
  return {
    forward: `icmp ${src} ${dst} ${l4.type} ${id}`,
    backward: `icmp ${dst} ${src} ${other} ${id}`,
    opens: l4.type === request,
  };
}

export class ConnectionTables {
  readonly #byPort = new Map<string, Entry[]>();

  #packets = 0;

  /** Another packet is on its way. */
  packet(): void {
    this.#packets++;
  }

  /** A port that moves, or goes, leaves its connections behind. */
  forget(port: string): void {
    this.#byPort.delete(port);
  }

  find(port: string, frame: Frame): Belonging | undefined {
    const keys = keysOf(frame.body);
    const entry = this.#byPort
      .get(port)
      ?.find((e) => e.forward === keys?.forward || e.backward === keys?.forward);
    if (entry === undefined) return undefined;
    return {
      reply: entry.forward !== keys?.forward,
      blocked: entry.blocked,
      block: () => {
        // The packet that opens a connection is new wherever it comes by, also back at its own port.
        if (entry.born < this.#packets) entry.blocked = true;
      },
    };
  }

  /** Whether an ICMP error is about a connection that is allowed. */
  related(port: string, { body }: Frame): boolean {
    if (body.kind !== 'ip' || body.l4.proto !== 'error') return false;
    const keys = keysOf(body.l4.about);
    const entry = this.#byPort
      .get(port)
      ?.find((e) => e.forward === keys?.forward || e.backward === keys?.forward);
    return entry !== undefined && !entry.blocked;
  }

  /** A rule lets the packet pass, and what answers it. */
  allow(port: string, frame: Frame): void {
    const keys = keysOf(frame.body);
    if (keys === undefined) return;
    const entries = this.#byPort.get(port) ?? [];
    this.#byPort.set(port, entries);
    const known = entries.find((e) => e.forward === keys.forward || e.backward === keys.forward);
    if (known === undefined) {
      if (keys.opens)
        entries.push({ forward: keys.forward, backward: keys.backward, blocked: false, born: this.#packets });
    } else if (known.forward === keys.forward) known.blocked = false;
  }
}
