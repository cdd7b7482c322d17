import { serialize } from 'node:v8';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import type { Packet } from '../packet/packet.ts';
import type { UserspaceCookie } from '../types.ts';
import { putUpcall, upcallLength } from './messages.ts';
import type { Ring } from './ring.ts';

/**
 * Puts upcalls into the ring so that a port which floods leaves room for the others: a port may hold as
 * much of the ring as what it holds is less than what is free.
 */
export class UpcallWriter {
  readonly #ring: Ring;
  /** Port and end of each record that the reader has not passed, oldest first. */
  #outstanding: { port: number; end: number; length: number }[] = [];
  #oldest = 0;
  readonly #held = new Map<number, number>();
  readonly #cookies = new WeakMap<UserspaceCookie, Uint8Array>();
  #news = false;

  constructor(ring: Ring) {
    this.#ring = ring;
  }

  /** Whether something was put since the last call. */
  takeNews(): boolean {
    const news = this.#news;
    this.#news = false;
    return news;
  }

  put(packet: Packet, key: Flow, cookie: UserspaceCookie | null): boolean {
    const ring = this.#ring;
    const port = key[W_IN_PORT];
    const length = packet.length - packet.cutLength;
    const cookieBytes = cookie === null ? NOTHING : this.#serialized(cookie);
    const size = upcallLength(length, cookieBytes.length);
    this.#reclaim();
    const held = this.#held.get(port) ?? 0;
    const free = ring.size - ((ring.head - ring.tail) >>> 0);
    if (held + size > free || !putUpcall(ring, port, packet, length, key, cookieBytes)) return false;
    this.#held.set(port, held + size);
    this.#outstanding.push({ port, end: ring.head, length: size });
    this.#news = true;
    return true;
  }

  #serialized(cookie: UserspaceCookie): Uint8Array {
    let bytes = this.#cookies.get(cookie);
    if (bytes === undefined) {
      bytes = serialize(cookie);
      this.#cookies.set(cookie, bytes);
    }
    return bytes;
  }

  /** Forgets records that the reader has passed. */
  #reclaim(): void {
    const { tail } = this.#ring;
    while (this.#oldest < this.#outstanding.length) {
      const { port, end, length } = this.#outstanding[this.#oldest];
      if (((end - tail) | 0) > 0) break;
      const held = (this.#held.get(port) ?? 0) - length;
      if (held > 0) this.#held.set(port, held);
      else this.#held.delete(port);
      this.#oldest++;
    }
    if (this.#oldest > 1024 || this.#oldest === this.#outstanding.length) {
      this.#outstanding = this.#outstanding.slice(this.#oldest);
      this.#oldest = 0;
    }
  }
}

const NOTHING = new Uint8Array(0);
