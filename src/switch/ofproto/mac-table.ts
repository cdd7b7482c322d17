import type { Clock } from '../../base/clock.ts';
import type { Counters } from '../../base/coverage.ts';
import type { Bundle } from './port.ts';
import { UsageHeap } from './usage-heap.ts';

/** Time that a station's gratuitous ARP keeps a bond's reflections from moving it (ms). */
const GRATUITOUS_ARP_LOCK_MS = 5_000;

export interface MacEntry {
  /** 48 bits as a number. */
  readonly mac: number;
  readonly vlan: number;
  bundle: Bundle;
  /** Clock.now() at which it goes; Infinity: static. */
  expires: number;
  arpLockedUntil: number;
}

export interface MacTableStats {
  learned: number;
  expired: number;
  evicted: number;
  moved: number;
}

/**
 * Which station was last seen on which bundle, by MAC and VLAN (IEEE 802.1D, filtering database).
 *
 * Entries age. When the table is full, the bundle that holds the most entries gives up its oldest, so
 * that one port which floods new addresses can't push out its neighbours' stations. Entries stand in
 * `Map`s in order of last use, oldest first.
 *
 * `generation` grows with every change that makes an earlier forwarding decision wrong.
 */
export class MacTable {
  readonly #clock: Clock;
  /** Of all bridges together. */
  readonly #counters: Counters | null;
  readonly #onChange: (mac: number, vlan: number) => void;
  readonly #entries = new Map<string, MacEntry>();
  /** Ageing, ms. */
  #ageing = 300_000;
  #limit = 8192;
  readonly #perBundle = new Map<Bundle, Map<string, MacEntry>>();
  /** How many learned stations each bundle has. */
  readonly #usage = new UsageHeap<Bundle>();
  /** VLANs in which all is flooded and nothing learned. */
  #floodVlans = new Set<number>();
  #staticCount = 0;
  generation = 0;
  readonly stats: MacTableStats = { learned: 0, expired: 0, evicted: 0, moved: 0 };

  /** @param onChange is told of each station that is somewhere else than before */
  constructor(clock: Clock, counters?: Counters, onChange: (mac: number, vlan: number) => void = () => {}) {
    this.#clock = clock;
    this.#counters = counters ?? null;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#entries.size;
  }

  get staticCount(): number {
    return this.#staticCount;
  }

  get limit(): number {
    return this.#limit;
  }

  configure(settings: { ageingMs?: number; limit?: number; floodVlans?: Iterable<number> }): void {
    if (settings.ageingMs !== undefined && settings.ageingMs !== this.#ageing) {
      const delta = settings.ageingMs - this.#ageing;
      for (const entry of this.#entries.values()) entry.expires += delta;
      this.#ageing = settings.ageingMs;
    }
    if (settings.limit !== undefined) {
      this.#limit = Math.min(Math.max(settings.limit, 10), 1_000_000);
      while (this.#entries.size - this.#staticCount > this.#limit && this.#evict());
    }
    if (settings.floodVlans !== undefined) {
      const next = new Set(settings.floodVlans);
      if (next.size !== this.#floodVlans.size || [...next].some((vlan) => !this.#floodVlans.has(vlan))) {
        this.#floodVlans = next;
        this.flush();
        for (const { mac, vlan } of this.#entries.values()) this.#changed(mac, vlan);
      }
    }
  }

  mayLearn(mac: number, vlan: number): boolean {
    return !this.#floodVlans.has(vlan) && !isMulticast(mac);
  }

  /** The bundle behind which the station is, or null. */
  lookup(mac: number, vlan: number): MacEntry | null {
    if (isMulticast(mac) || this.#floodVlans.has(vlan)) return null;
    return this.#entries.get(keyOf(mac, vlan)) ?? null;
  }

  /**
   * Notes that a packet from `mac` came in by `bundle`. Returns whether forwarding changes by that
   * (a new station, or one that has moved).
   */
  learn(mac: number, vlan: number, bundle: Bundle, gratuitousArp: boolean, isBond: boolean): boolean {
    if (!this.mayLearn(mac, vlan)) return false;
    const now = this.#clock.now();
    const key = keyOf(mac, vlan);
    let entry = this.#entries.get(key);
    if (entry !== undefined && entry.expires === Infinity) {
      if (entry.bundle !== bundle) this.#count('static_none_move');
      return false;
    }
    if (entry === undefined) {
      while (this.#entries.size - this.#staticCount >= this.#limit && this.#evict());
      entry = { mac, vlan, bundle, expires: now + this.#ageing, arpLockedUntil: 0 };
      this.#entries.set(key, entry);
      this.#of(bundle).set(key, entry);
      this.#usage.add(bundle, 1);
      this.stats.learned++;
      this.#count('learned');
      this.#changed(mac, vlan);
      this.#lockFor(entry, gratuitousArp, isBond, now);
      return true;
    }
    if (gratuitousArp) {
      if (!isBond) entry.arpLockedUntil = now + GRATUITOUS_ARP_LOCK_MS;
      else if (now < entry.arpLockedUntil) return false;
    }
    // Last used last: both maps are in order of use.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.expires = now + this.#ageing;
    const moved = entry.bundle !== bundle;
    this.#perBundle.get(entry.bundle)?.delete(key);
    this.#of(bundle).set(key, entry);
    if (moved) {
      this.#usage.add(entry.bundle, -1);
      this.#usage.add(bundle, 1);
      entry.bundle = bundle;
      this.stats.moved++;
      this.#count('moved');
      this.#changed(mac, vlan);
    }
    return moved;
  }

  /** Adds or moves an entry that neither ages nor follows the station. */
  addStatic(mac: number, vlan: number, bundle: Bundle): boolean {
    const key = keyOf(mac, vlan);
    const old = this.#entries.get(key);
    if (old !== undefined) {
      if (old.expires === Infinity && old.bundle === bundle) return false;
      this.#remove(old);
    }
    const entry: MacEntry = { mac, vlan, bundle, expires: Infinity, arpLockedUntil: 0 };
    this.#entries.set(key, entry);
    this.#of(bundle).set(key, entry);
    this.#staticCount++;
    this.#changed(mac, vlan);
    return true;
  }

  /** Removes one entry; false if there is none. */
  remove(mac: number, vlan: number): boolean {
    const entry = this.#entries.get(keyOf(mac, vlan));
    if (entry === undefined) return false;
    this.#remove(entry);
    return true;
  }

  removeStatic(mac: number, vlan: number): boolean {
    const entry = this.#entries.get(keyOf(mac, vlan));
    if (entry === undefined || entry.expires !== Infinity) return false;
    this.#remove(entry);
    return true;
  }

  /** Forgets what was learned; static entries stay. */
  flush(): void {
    for (const entry of [...this.#entries.values()]) if (entry.expires !== Infinity) this.#remove(entry);
  }

  /** Forgets all stations behind a bundle that goes away or changes VLAN; they are returned. */
  flushBundle(bundle: Bundle): MacEntry[] {
    const gone = [...(this.#perBundle.get(bundle)?.values() ?? [])];
    for (const entry of gone) this.#remove(entry);
    this.#perBundle.delete(bundle);
    return gone;
  }

  /** Removes what is past its time. */
  expire(): void {
    const now = this.#clock.now();
    for (const entry of this.#entries.values()) {
      if (entry.expires === Infinity) continue;
      if (entry.expires > now) break;
      this.#remove(entry);
      this.stats.expired++;
      this.#count('expired');
    }
  }

  /** Most recently used last. */
  entries(): IterableIterator<MacEntry> {
    return this.#entries.values();
  }

  /** Seconds since the entry was last refreshed; 0 for static ones. */
  age(entry: MacEntry): number {
    if (entry.expires === Infinity) return 0;
    return Math.max(0, Math.floor((this.#ageing - (entry.expires - this.#clock.now())) / 1000));
  }

  #count(event: string): void {
    this.#counters?.counter(`mac_learning_${event}`).add();
  }

  #lockFor(entry: MacEntry, gratuitousArp: boolean, isBond: boolean, now: number): void {
    if (gratuitousArp && !isBond) entry.arpLockedUntil = now + GRATUITOUS_ARP_LOCK_MS;
  }

  #of(bundle: Bundle): Map<string, MacEntry> {
    let map = this.#perBundle.get(bundle);
    if (map === undefined) {
      map = new Map();
      this.#perBundle.set(bundle, map);
    }
    return map;
  }

  #evict(): boolean {
    const fullest = this.#usage.top;
    if (fullest === undefined) return false;
    for (const entry of this.#perBundle.get(fullest)?.values() ?? []) {
      if (entry.expires === Infinity) continue;
      this.#remove(entry);
      this.stats.evicted++;
      this.#count('evicted');
      return true;
    }
    return false;
  }

  #remove(entry: MacEntry): void {
    const key = keyOf(entry.mac, entry.vlan);
    this.#entries.delete(key);
    this.#perBundle.get(entry.bundle)?.delete(key);
    if (entry.expires === Infinity) this.#staticCount--;
    else this.#usage.add(entry.bundle, -1);
    this.#changed(entry.mac, entry.vlan);
  }

  #changed(mac: number, vlan: number): void {
    this.generation++;
    this.#onChange(mac, vlan);
  }
}

/** 48 + 12 bits are more than a number holds exactly, and identity must be exact: hence a string. */
function keyOf(mac: number, vlan: number): string {
  return `${vlan}/${mac}`;
}

function isMulticast(mac: number): boolean {
  return (Math.floor(mac / 2 ** 40) & 1) !== 0;
}
