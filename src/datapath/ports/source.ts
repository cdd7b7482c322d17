import type { Flow } from '../../flow/layout.ts';
import type { Packet } from '../packet/packet.ts';
import type { OutputPort } from '../userspace/core.ts';

/** Nothing there; a packet; something that was no packet, and is gone. */
export const NOTHING = 0;
export const PACKET = 1;
export const SKIPPED = 2;
export type Next = typeof NOTHING | typeof PACKET | typeof SKIPPED;

/** A datapath port as the forwarding thread works it. */
export interface ForwardingPort extends OutputPort {
  readonly number: number;
  readonly name: string;
  /** Descriptors to wait for. */
  readonly fds: readonly number[];
  /** Asking costs a system call: ask only when poll says that something is there. */
  readonly askFirst: boolean;
  /** It may have something to read. */
  ready: boolean;
  /** It is gone: it is not asked any more. */
  failed: boolean;
  /** Metadata of the packet that `next` gave; undefined: none. */
  readonly metadata: Flow | undefined;
  /** Points `packet` at the next one that came in. It is the port's until `release`. */
  next(packet: Packet): Next;
  /** Gives the packet of the last `next` back. */
  release(): void;
  /** Sends what `transmit` has taken. */
  flush(): void;
  /** The error that poll reported, as an errno; 0: none. Throws if the port is gone for good. */
  takeError(): number;
  /** Packets lost since the last call: received ones that found no room, sent ones that were refused. */
  takeLosses(): { received: number; sent: number };
  close(): void;
}
