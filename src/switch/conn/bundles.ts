import { OfError, type OfErrorName } from '../../openflow/errors.ts';
import type { OfMessageOf } from '../../openflow/message.ts';

/** A message that may stand in a bundle, decoded, with the bundle_add that brought it. */
export interface BundleEntry {
  readonly message: OfMessageOf<'flow_mod' | 'group_mod' | 'port_mod' | 'packet_out'>;
  /** The whole bundle_add, for errors. */
  readonly request: Uint8Array;
}

/** Messages that a controller has gathered, to be carried out together. */
export interface Bundle {
  readonly id: number;
  /** OFPBF_* */
  readonly flags: number;
  closed: boolean;
  /** Clock.now() ms of the last message about it. */
  used: number;
  /** Message that opened it, for the error when its time is up. */
  readonly opener: Uint8Array;
  readonly entries: BundleEntry[];
}

const MAX_BUNDLES = 256;
/** What one connection may gather, in all its bundles. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_ENTRIES = 4_000_000;

/**
 * The bundles of one connection (OpenFlow 1.5, 6.8 and 7.3.9). A mistake about a bundle ends it, as the
 * controller and the switch don't agree on it any more.
 */
export class Bundles {
  readonly #bundles = new Map<number, Bundle>();
  #bytes = 0;
  #entries = 0;

  open(id: number, flags: number, opener: Uint8Array, now: number): void {
    if (this.#bundles.has(id)) {
      this.#end(id, 'OFPBFC_BAD_ID', `bundle 0x${id.toString(16)} is open already`);
    }
    this.#create(id, flags, opener, now);
  }

  close(id: number, flags: number, now: number): void {
    const bundle = this.#find(id);
    if (bundle.closed) this.#end(id, 'OFPBFC_BUNDLE_CLOSED', `bundle 0x${id.toString(16)} is closed already`);
    if (bundle.flags !== flags) this.#wrongFlags(bundle, flags);
    bundle.used = now;
    bundle.closed = true;
  }

  discard(id: number): void {
    this.#remove(this.#find(id));
  }

  /** Adds a message, to a new bundle if need be. */
  add(id: number, flags: number, entry: BundleEntry, now: number): void {
    const bundle = this.#bundles.get(id) ?? this.#create(id, flags, entry.request, now);
    if (bundle.closed) this.#end(id, 'OFPBFC_BUNDLE_CLOSED', `bundle 0x${id.toString(16)} is closed`);
    if (bundle.flags !== flags) this.#wrongFlags(bundle, flags);
    if (this.#bytes + entry.request.length > MAX_BYTES || this.#entries >= MAX_ENTRIES) {
      this.#end(id, 'OFPBFC_MSG_TOO_MANY', `the connection's bundles hold ${this.#entries} messages`);
    }
    bundle.used = now;
    this.#bytes += entry.request.length;
    this.#entries++;
    bundle.entries.push(entry);
  }

  /** The bundle to carry out; it is no more here, whatever becomes of it. */
  take(id: number, flags: number): Bundle {
    const bundle = this.#find(id);
    if (bundle.flags !== flags) this.#wrongFlags(bundle, flags);
    this.#remove(bundle);
    return bundle;
  }

  /** Ends the bundles that nobody spoke of since `before` (Clock.now() ms), and gives them. */
  expire(before: number): Bundle[] {
    const idle = [...this.#bundles.values()].filter((bundle) => bundle.used <= before);
    for (const bundle of idle) this.#remove(bundle);
    return idle;
  }

  #create(id: number, flags: number, opener: Uint8Array, now: number): Bundle {
    if (this.#bundles.size >= MAX_BUNDLES) {
      throw new OfError('OFPBFC_OUT_OF_BUNDLES', `the connection has ${MAX_BUNDLES} bundles`);
    }
    const bundle: Bundle = { id, flags, closed: false, used: now, opener, entries: [] };
    this.#bundles.set(id, bundle);
    return bundle;
  }

  #find(id: number): Bundle {
    const bundle = this.#bundles.get(id);
    if (bundle === undefined) throw new OfError('OFPBFC_BAD_ID', `there is no bundle 0x${id.toString(16)}`);
    return bundle;
  }

  #remove(bundle: Bundle): void {
    this.#bundles.delete(bundle.id);
    for (const entry of bundle.entries) this.#bytes -= entry.request.length;
    this.#entries -= bundle.entries.length;
  }

  #wrongFlags(bundle: Bundle, flags: number): never {
    return this.#end(
      bundle.id,
      'OFPBFC_BAD_FLAGS',
      `bundle 0x${bundle.id.toString(16)} has flags ${bundle.flags}, not ${flags}`,
    );
  }

  #end(id: number, error: OfErrorName, text: string): never {
    const bundle = this.#bundles.get(id);
    if (bundle !== undefined) this.#remove(bundle);
    throw new OfError(error, text);
  }
}
