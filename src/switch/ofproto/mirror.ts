import type { Bundle } from './port.ts';

/** Mirrors that a bridge may have: a bit of a mask each. */
export const MAX_MIRRORS = 32;

/** What is copied, and where to. */
export interface MirrorSettings {
  /** Tells a mirror from others. */
  readonly uuid: string;
  readonly name: string;
  /** Bundles of which all that comes in, and all that goes out, is copied. */
  readonly sources: ReadonlySet<Bundle>;
  readonly destinations: ReadonlySet<Bundle>;
  /** VLANs of which it is, one bit each; null: all. */
  readonly vlans: Uint8Array | null;
  /** Bundle that the copies leave by, and that is there for nothing else; null: a VLAN that they are flooded to. */
  readonly output: Bundle | null;
  readonly outputVlan: number;
  /** Bytes of a copy at the most; 0: all. */
  readonly snaplen: number;
}

/** A mirror as it runs. */
export class Mirror {
  settings: MirrorSettings;
  packets = 0;
  bytes = 0;
  /** Mirrors whose copies go to the same place, itself among them. */
  alike = 0;

  constructor(settings: MirrorSettings) {
    this.settings = settings;
  }

  takesVlan(vid: number): boolean {
    const { vlans } = this.settings;
    return vlans === null || ((vlans[vid >> 3] ?? 0) & (1 << (vid & 7))) !== 0;
  }

  credit(packets: number, bytes: number): void {
    this.packets += packets;
    this.bytes += bytes;
  }
}

/** The mirrors of one bridge. Which concern a bundle stands in masks at the bundle: bit n is mirror n. */
export class Mirrors {
  #mirrors: (Mirror | null)[] = [];

  get isEmpty(): boolean {
    return this.#mirrors.every((mirror) => mirror === null);
  }

  get(n: number): Mirror | null {
    return this.#mirrors[n] ?? null;
  }

  list(): Mirror[] {
    return this.#mirrors.filter((mirror) => mirror !== null);
  }

  /** Brings the mirrors to what is wanted, at most MAX_MIRRORS; says whether anything is other than before. */
  configure(wanted: readonly MirrorSettings[], bundles: Iterable<Bundle>): boolean {
    const before = this.#mirrors;
    const kept = before.map((mirror) => {
      const settings = wanted.find(({ uuid }) => uuid === mirror?.settings.uuid);
      return settings === undefined ? null : mirror;
    });
    let changed = kept.some((mirror, n) => mirror !== before[n]);
    for (const settings of wanted.slice(0, MAX_MIRRORS)) {
      const mirror = kept.find((each) => each?.settings.uuid === settings.uuid);
      if (mirror === undefined || mirror === null) {
        const free = kept.indexOf(null);
        kept[free < 0 ? kept.length : free] = new Mirror(settings);
        changed = true;
      } else if (!sameSettings(mirror.settings, settings)) {
        mirror.settings = settings;
        changed = true;
      }
    }
    this.#mirrors = kept;
    this.#mark(bundles);
    return changed;
  }

  #mark(bundles: Iterable<Bundle>): void {
    const maskOf = (holds: (settings: MirrorSettings) => boolean): number =>
      this.#mirrors.reduce(
        (mask, mirror, n) => (mirror !== null && holds(mirror.settings) ? mask | (1 << n) : mask),
        0,
      );
    for (const bundle of bundles) {
      bundle.mirrorsIn = maskOf(({ sources }) => sources.has(bundle));
      bundle.mirrorsOut = maskOf(({ destinations }) => destinations.has(bundle));
      bundle.isMirrorOutput = maskOf(({ output }) => output === bundle) !== 0;
    }
    for (const mirror of this.#mirrors) {
      if (mirror === null) continue;
      const { output, outputVlan } = mirror.settings;
      mirror.alike = maskOf((other) => other.output === output && other.outputVlan === outputVlan);
    }
  }
}

function sameSettings(a: MirrorSettings, b: MirrorSettings): boolean {
  return (
    a.output === b.output &&
    a.outputVlan === b.outputVlan &&
    a.snaplen === b.snaplen &&
    sameSet(a.sources, b.sources) &&
    sameSet(a.destinations, b.destinations) &&
    (a.vlans === null || b.vlans === null ? a.vlans === b.vlans : Buffer.compare(a.vlans, b.vlans) === 0)
  );
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}
