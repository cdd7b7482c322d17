import type { Datapath, Upcall } from '../types.ts';

/** What the factory is told. */
export interface HarnessOptions {
  readonly maxFlows?: number;
  readonly maxMasks?: number;
}

/**
 * A datapath with wires on its ports, for a test to put frames on and take frames from. Ports are named
 * "w1", "w2", ... and have numbers as `addPort` returns them.
 */
export interface Harness {
  readonly datapath: Datapath;
  /** Adds a port with a wire. */
  addPort(wanted?: number): number;
  /** Removes it. */
  deletePort(port: number): void;
  /** Puts a frame (14 to 1514 bytes) on the wire of a port. */
  send(port: number, frame: Uint8Array): void;
  /** Frames that came out of a port since the last call, oldest first. */
  take(port: number): Uint8Array[];
  /** Resolves when what was sent, and what came of it, is done and counted. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export type HarnessFactory = (options?: HarnessOptions) => Promise<Harness> | Harness;

/** An upcall as copies. */
export interface SeenUpcall extends Upcall {}

/** Collects a datapath's upcalls. */
export function collectUpcalls(datapath: Datapath): SeenUpcall[] {
  const seen: SeenUpcall[] = [];
  datapath.setUpcallHandler((upcall) => {
    seen.push({ ...upcall, packet: upcall.packet.slice(), flow: upcall.flow.slice() });
  });
  return seen;
}
