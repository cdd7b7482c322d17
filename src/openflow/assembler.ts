import { OfError } from './errors.ts';
import {
  checkLength,
  headersLength,
  isMultipart,
  MULTIPART_FLAGS_OFFSET,
  type RawMessage,
  rawOf,
} from './raw.ts';
import { OF13 } from './version.ts';

/** Bytes of one request, all of its parts together. */
const MAX_REQUEST = 4 * 1024 * 1024;
/** Requests whose parts are being collected at one time. */
const MAX_PARTIAL = 64;
const TIMEOUT_MS = 1000;
const OFPSF_MORE = 1;

interface Partial {
  readonly raw: RawMessage;
  readonly first: Uint8Array;
  readonly parts: Uint8Array[];
  /** Bytes of all parts, with their headers. */
  size: number;
  deadline: number;
}

/** A request that the assembler gave up: send `error`, with `request` as the offending bytes. */
export interface DroppedRequest {
  readonly error: OfError;
  readonly request: Uint8Array;
}

/**
 * Collects the parts of one connection's multipart requests (OpenFlow 1.3 and later). Everything else
 * passes through as it is. Bounded in bytes, requests and time.
 */
export class RequestAssembler {
  readonly #partials = new Map<number, Partial>();

  /** Requests of which parts are missing. */
  get pending(): number {
    return this.#partials.size;
  }

  /**
   * Takes one whole message. Returns the messages to decode as one request: usually the one given; none
   * while parts are missing; all parts, in order, once the last is there.
   * @param now milliseconds of a clock that only goes forward
   * @throws OfError the request is no good, and forgotten
   */
  push(message: Uint8Array, now: number): Uint8Array[] {
    const raw = requestRaw(message);
    if (raw === null) return [message];
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const xid = view.getUint32(4);
    const more = (view.getUint16(MULTIPART_FLAGS_OFFSET) & OFPSF_MORE) !== 0;
    const partial = this.#partials.get(xid);
    if (partial === undefined) {
      if (!more) return [message];
      if (this.#partials.size >= MAX_PARTIAL) {
        throw new OfError('OFPBRC_MULTIPART_BUFFER_OVERFLOW', `${MAX_PARTIAL} requests are incomplete`);
      }
    } else if (partial.raw !== raw) {
      this.#partials.delete(xid);
      throw new OfError('OFPBRC_BAD_STAT', `a part of ${partial.raw.name} is a ${raw.name}`);
    }
    const entry = partial ?? { raw, first: message.slice(), parts: [], size: 0, deadline: 0 };
    entry.size += message.length;
    if (entry.size > MAX_REQUEST) {
      this.#partials.delete(xid);
      throw new OfError('OFPBRC_MULTIPART_BUFFER_OVERFLOW', `request exceeds ${MAX_REQUEST} bytes`);
    }
    // Parts with nothing in them say nothing, and would only take room.
    // A copy: the memory around a part is not to be kept with it.
    if (message.length > headersLength(raw, message[0])) entry.parts.push(message.slice());
    entry.deadline = now + TIMEOUT_MS;
    if (more) {
      this.#partials.set(xid, entry);
      return [];
    }
    this.#partials.delete(xid);
    if (entry.parts.length > 0) return entry.parts;
    // Nothing came in any part: as if it had been one message.
    checkLength(raw, message[0], message.length);
    return [message];
  }

  /** Forgets the requests whose parts are late. */
  expire(now: number): DroppedRequest[] {
    const dropped: DroppedRequest[] = [];
    for (const [xid, { deadline, first, raw }] of this.#partials) {
      if (now < deadline) continue;
      this.#partials.delete(xid);
      const error = new OfError('OFPBRC_MULTIPART_REQUEST_TIMEOUT', `parts of ${raw.name} did not come`);
      dropped.push({ error, request: first });
    }
    return dropped;
  }

  /** When {@link expire} next has something to do; null: no time. */
  get nextDeadline(): number | null {
    let next: number | null = null;
    for (const { deadline } of this.#partials.values()) {
      if (next === null || deadline < next) next = deadline;
    }
    return next;
  }
}

/** The format of a message that can be a part of a request; null for all others. */
function requestRaw(message: Uint8Array): RawMessage | null {
  // Cheaply for most: multipart requests of these versions are of type 18, or of a vendor's.
  if (message[0] < OF13 || (message[1] !== 18 && message[1] !== 4)) return null;
  try {
    const raw = rawOf(message);
    return isMultipart(raw) && raw.kind.endsWith('_request') ? raw : null;
  } catch (error) {
    // Whoever decodes it will say what is wrong.
    if (error instanceof OfError) return null;
    throw error;
  }
}
