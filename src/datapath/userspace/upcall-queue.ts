/** What the queue needs to know of an entry. */
export interface Queued {
  readonly port: number;
  readonly bytes: number;
}

/**
 * A bounded queue of upcalls that no port can take from the others.
 *
 * Each port has its own line, and lines are served in turn, so a port that floods misses only makes
 * itself wait. A port may queue as long as what it has queued is less than what is still free
 * (a dynamic threshold): alone it gets half of the room, two of them a third each, and a port that
 * comes late always finds some. Packets of one port keep their order.
 */
export class UpcallQueue<T extends Queued> {
  readonly #capacity: number;
  readonly #maxCount: number;
  readonly #lines = new Map<number, Line<T>>();
  /** From `#next` on: the lines that wait, in the order in which they are served. */
  #turn: Line<T>[] = [];
  #next = 0;
  #bytes = 0;
  #count = 0;

  /** @param capacity bytes; @param maxCount entries */
  constructor(capacity: number, maxCount: number) {
    this.#capacity = capacity;
    this.#maxCount = maxCount;
  }

  get length(): number {
    return this.#count;
  }

  /** Whether there is room for one more of `port`; asked before the packet is copied. */
  admits(port: number, bytes: number): boolean {
    const line = this.#lines.get(port);
    const queuedBytes = line?.bytes ?? 0;
    const queuedCount = line === undefined ? 0 : line.entries.length - line.head;
    return queuedBytes + bytes <= this.#capacity - this.#bytes && queuedCount < this.#maxCount - this.#count;
  }

  /** Adds an entry; false if there is no room for it. */
  push(entry: T): boolean {
    if (!this.admits(entry.port, entry.bytes)) return false;
    let line = this.#lines.get(entry.port);
    if (line === undefined) {
      line = { port: entry.port, entries: [], head: 0, bytes: 0, waiting: false };
      this.#lines.set(entry.port, line);
    }
    line.entries.push(entry);
    line.bytes += entry.bytes;
    if (!line.waiting) {
      line.waiting = true;
      this.#turn.push(line);
    }
    this.#bytes += entry.bytes;
    this.#count++;
    return true;
  }

  /** The next entry, port by port; undefined if there is none. */
  shift(): T | undefined {
    const line = this.#turn[this.#next];
    if (line === undefined) return undefined;
    this.#next++;
    if (this.#next === this.#turn.length || this.#next > 1024) {
      this.#turn = this.#turn.slice(this.#next);
      this.#next = 0;
    }
    const entry = line.entries[line.head++]!;
    line.bytes -= entry.bytes;
    this.#bytes -= entry.bytes;
    this.#count--;
    if (line.head === line.entries.length) {
      this.#lines.delete(line.port);
      return entry;
    }
    if (line.head > 1024) {
      line.entries = line.entries.slice(line.head);
      line.head = 0;
    }
    this.#turn.push(line);
    return entry;
  }

  /** Forgets what is queued for a port that is gone. Returns how many entries those were. */
  forget(port: number): number {
    const line = this.#lines.get(port);
    if (line === undefined) return 0;
    const dropped = line.entries.length - line.head;
    this.#count -= dropped;
    this.#bytes -= line.bytes;
    this.#lines.delete(port);
    this.#turn = this.#turn.slice(this.#next).filter((l) => l !== line);
    this.#next = 0;
    return dropped;
  }
}

interface Line<T> {
  readonly port: number;
  entries: T[];
  head: number;
  bytes: number;
  /** Whether it stands in `#turn`. */
  waiting: boolean;
}
