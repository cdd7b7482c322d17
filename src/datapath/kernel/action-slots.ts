import type { UserspaceCookie } from '../types.ts';
import { ACTION_SLOT_SIZE } from './layout.ts';

/** Where action programs are put. */
export interface SlotMemory {
  set(slot: number, bytes: Uint8Array): void;
}

/** So long after it was given up no CPU can be in the middle of a slot any more. */
const QUARANTINE_MS = 1000;

interface Slot {
  readonly number: number;
  readonly content: string;
  readonly cookies: readonly number[];
  users: number;
}

/**
 * The array of action programs, shared: flows with the same actions have the same slot. A slot that nobody uses any more
 * rests for a while before it gets another content, since a CPU may be in the middle of it.
 */
export class ActionSlots {
  readonly #memory: SlotMemory;
  readonly #now: () => number;
  readonly #cookies: Cookies;
  readonly #byContent = new Map<string, Slot>();
  readonly #byNumber = new Map<number, Slot>();
  readonly #resting: { slot: Slot; since: number }[] = [];
  readonly #free: number[] = [];
  readonly #limit: number;
  #next = 0;

  /** @param now milliseconds */
  constructor(memory: SlotMemory, limit: number, cookies: Cookies, now: () => number) {
    this.#memory = memory;
    this.#limit = limit;
    this.#cookies = cookies;
    this.#now = now;
  }

  /** Slots with users. */
  get used(): number {
    return this.#byNumber.size;
  }

  /**
   * The slot that has this program, for one more user; -1 if there is no room.
   * @param cookies numbers in the program, which this call takes over: `Cookies.take` has counted them
   */
  take(program: Uint8Array, cookies: readonly number[]): number {
    const content = Buffer.from(program.buffer, program.byteOffset, program.length).toString('latin1');
    const there = this.#byContent.get(content);
    if (there !== undefined) {
      for (const cookie of cookies) this.#cookies.give(cookie);
      there.users++;
      return there.number;
    }
    const number = this.#freeNumber();
    if (number < 0) {
      for (const cookie of cookies) this.#cookies.give(cookie);
      return -1;
    }
    const bytes = new Uint8Array(ACTION_SLOT_SIZE);
    bytes.set(program);
    this.#memory.set(number, bytes);
    const slot: Slot = { number, content, cookies, users: 1 };
    this.#byContent.set(content, slot);
    this.#byNumber.set(number, slot);
    return number;
  }

  /** One user less. */
  give(number: number): void {
    const slot = this.#byNumber.get(number);
    if (slot === undefined || --slot.users > 0) return;
    this.#byNumber.delete(number);
    this.#byContent.delete(slot.content);
    this.#resting.push({ slot, since: this.#now() });
  }

  #freeNumber(): number {
    const until = this.#now() - QUARANTINE_MS;
    while (this.#resting.length > 0 && this.#resting[0].since <= until) {
      const rested = this.#resting.shift();
      if (rested === undefined) break;
      for (const cookie of rested.slot.cookies) this.#cookies.give(cookie);
      this.#free.push(rested.slot.number);
    }
    return this.#free.pop() ?? (this.#next < this.#limit ? this.#next++ : -1);
  }
}

/**
 * Numbers for what `userspace` actions carry, so that a program can say it in one word. None is used again until all 2^32
 * were: a packet that waits in a ring while its flow goes must not come up with what another flow's action carries.
 */
export class Cookies {
  readonly #numbers = new Map<string, number>();
  readonly #entries = new Map<number, { cookie: UserspaceCookie; text: string; users: number }>();
  #next = 0;

  /** The cookie's number, for one more user. */
  take(cookie: UserspaceCookie): number {
    const text = JSON.stringify(cookie, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
    const there = this.#numbers.get(text);
    const entry = there === undefined ? undefined : this.#entries.get(there);
    if (there !== undefined && entry !== undefined) {
      entry.users++;
      return there;
    }
    while (this.#entries.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const number = this.#next;
    this.#next = (number + 1) >>> 0;
    this.#entries.set(number, { cookie, text, users: 1 });
    this.#numbers.set(text, number);
    return number;
  }

  get(number: number): UserspaceCookie | undefined {
    return this.#entries.get(number)?.cookie;
  }

  give(number: number): void {
    const entry = this.#entries.get(number);
    if (entry === undefined || --entry.users > 0) return;
    this.#numbers.delete(entry.text);
    this.#entries.delete(number);
  }
}
