import type { Match } from '../../flow/match.ts';
import { MiniMask, MiniMatch } from '../../flow/minimatch.ts';
import { OfError, type OfErrorName } from '../../openflow/errors.ts';
import type { OfMessageOf } from '../../openflow/message.ts';
import { ByteStore, type StoredBytes } from './byte-store.ts';

/** A message that may stand in a bundle, decoded. Flow mods come by the hundred thousand: their matches are compact. */
export type BundledMessage =
  | OfMessageOf<'group_mod' | 'port_mod' | 'packet_out'>
  | (Omit<OfMessageOf<'flow_mod'>, 'match'> & { readonly match: MiniMatch });

export interface BundleEntry {
  readonly message: BundledMessage;
  /** The whole bundle_add that brought it, for errors. */
  readonly request: StoredBytes;
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
  readonly #requests = new ByteStore();
  /** Of the last match that was made compact: the next often has the same. */
  #mask = new MiniMask(new Uint8Array(), new Uint32Array());
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

  /** A match in little room. */
  compact(match: Match): MiniMatch {
    if (!this.#mask.equalsFlow(match.mask)) this.#mask = MiniMask.of(match.mask);
    return MiniMatch.of(match, this.#mask);
  }

  /** Adds a message, to a new bundle if need be; `request`, which brought it, is copied. */
  add(id: number, flags: number, message: BundledMessage, request: Uint8Array, now: number): void {
    const bundle = this.#bundles.get(id) ?? this.#create(id, flags, request.slice(), now);
    if (bundle.closed) this.#end(id, 'OFPBFC_BUNDLE_CLOSED', `bundle 0x${id.toString(16)} is closed`);
    if (bundle.flags !== flags) this.#wrongFlags(bundle, flags);
    if (this.#bytes + request.length > MAX_BYTES || this.#entries >= MAX_ENTRIES) {
      this.#end(id, 'OFPBFC_MSG_TOO_MANY', `the connection's bundles hold ${this.#entries} messages`);
    }
    bundle.used = now;
    this.#bytes += request.length;
    this.#entries++;
    bundle.entries.push({ message, request: this.#requests.keep(request) });
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
    for (const entry of bundle.entries) this.#bytes -= entry.request.end - entry.request.start;
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
