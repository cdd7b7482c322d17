import type { DatapathConnections } from '../../datapath/conntrack/connections.ts';

/** Seconds, by the names of `CT_Timeout_Policy`. */
export type Timeouts = ReadonlyMap<string, number>;

interface Policy {
  readonly name: string;
  zones: number;
}

/**
 * How long connections of each zone live, as the database says. Zones with equal timeouts share a policy of the datapath;
 * its name is a number, which new connections get by `ct(commit,timeout=NAME)`.
 */
export class ZoneTimeouts {
  readonly #connections: DatapathConnections;
  /** By their timeouts, as text. */
  readonly #policies = new Map<string, Policy>();
  readonly #zones = new Map<number, string>();
  #lastName = 0;

  constructor(connections: DatapathConnections) {
    this.#connections = connections;
  }

  /** Name of the zone's policy; undefined: the default timeouts are right for it. */
  policy(zone: number): string | undefined {
    const key = this.#zones.get(zone);
    return key === undefined ? undefined : this.#policies.get(key)?.name;
  }

  /** Sets the zones that have timeouts of their own. True: translations may be other than before. */
  configure(wanted: ReadonlyMap<number, Timeouts>): boolean {
    let changed = false;
    for (const zone of [...this.#zones.keys()]) {
      if (!wanted.has(zone)) changed = this.#put(zone, undefined) || changed;
    }
    for (const [zone, timeouts] of wanted) changed = this.#put(zone, timeouts) || changed;
    return changed;
  }

  #put(zone: number, timeouts: Timeouts | undefined): boolean {
    const before = this.#zones.get(zone);
    const key = timeouts === undefined ? undefined : JSON.stringify([...timeouts].sort());
    if (key === before) return false;
    if (timeouts !== undefined && key !== undefined) {
      let policy = this.#policies.get(key);
      if (policy === undefined) {
        policy = { name: String(++this.#lastName), zones: 0 };
        this.#policies.set(key, policy);
        this.#connections.setTimeouts(policy.name, Object.fromEntries(timeouts));
      }
      policy.zones++;
      this.#zones.set(zone, key);
    } else {
      this.#zones.delete(zone);
    }
    if (before !== undefined) this.#release(before);
    return true;
  }

  #release(key: string): void {
    const policy = this.#policies.get(key);
    if (policy === undefined || --policy.zones > 0) return;
    this.#policies.delete(key);
    this.#connections.deleteTimeouts(policy.name);
  }
}
