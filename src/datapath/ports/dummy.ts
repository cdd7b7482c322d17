import type { Flow } from '../../flow/layout.ts';
import { Packet } from '../packet/packet.ts';

/**
 * A port without a device: packets go in by `receive` and come out at the hook. For tests, simulators
 * and `datapath_type=dummy`.
 */
export interface DummyPort {
  readonly name: string;
  readonly port: number;
  /**
   * A packet comes in, with metadata (tunnel, marks) if given. When this returns, the packet and all
   * that came of it (upcalls too) have been dealt with, unless it was called from a hook or a handler
   * of the same datapath: then that happens right after.
   */
  receive(packet: Uint8Array, metadata?: Flow): void;
  /**
   * Sets who gets what the datapath sends here, as a copy, and the packet's key, of which the tunnel and
   * the marks say how it is sent. None: it is counted and dropped.
   */
  onTransmit(hook: ((packet: Uint8Array, metadata: Flow) => void) | null): void;
  /** A port that is down neither receives nor sends; packets count as dropped. Up at first. */
  setUp(up: boolean): void;
}

/** The bytes of a packet as they would be on a wire: checksum done, cut to `length`. */
export function wireBytes(packet: Packet, length: number): Uint8Array {
  const copy = new Packet(packet.buffer.slice(packet.start, packet.end));
  copy.csumStart = packet.csumStart;
  copy.csumOffset = packet.csumOffset;
  copy.finishChecksum();
  return copy.buffer.subarray(0, length);
}
