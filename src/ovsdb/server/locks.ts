/** Whoever may hold a lock. */
export interface LockHolder {
  notifyLock(method: 'locked' | 'stolen', name: string): void;
}

interface Waiter {
  readonly holder: LockHolder;
  readonly stole: boolean;
}

/**
 * The named locks of a server (RFC 7047 section 4.1.8). Each has a queue; the first in it is the owner.
 * Who loses a lock to a thief waits for it again, unless he was a thief himself: then he is in no queue
 * any more, but still has to unlock it.
 */
export class Locks {
  readonly #queues = new Map<string, Waiter[]>();

  owner(name: string): LockHolder | undefined {
    return this.#queues.get(name)?.[0]?.holder;
  }

  /** Queues `holder`, or puts it first and tells the one that was. True if it now is the owner. */
  lock(name: string, holder: LockHolder, steal: boolean): boolean {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = [];
      this.#queues.set(name, queue);
    }
    if (!steal) {
      queue.push({ holder, stole: false });
      return queue.length === 1;
    }
    const [victim] = queue;
    if (victim?.stole) queue.shift();
    queue.unshift({ holder, stole: true });
    victim?.holder.notifyLock('stolen', name);
    return true;
  }

  /** Takes `holder` out of the queue and tells whom the lock passes to. */
  unlock(name: string, holder: LockHolder): void {
    const queue = this.#queues.get(name);
    const at = queue?.findIndex((w) => w.holder === holder) ?? -1;
    if (queue === undefined || at < 0) return;
    queue.splice(at, 1);
    if (queue.length === 0) this.#queues.delete(name);
    else if (at === 0) queue[0].holder.notifyLock('locked', name);
  }

  /** Whether `holder` owns, waits for, or has lost the lock. */
  stateOf(name: string, holder: LockHolder): 'owner' | 'waiting' | 'lost' {
    const at = this.#queues.get(name)?.findIndex((w) => w.holder === holder) ?? -1;
    return at === 0 ? 'owner' : at > 0 ? 'waiting' : 'lost';
  }
}
