import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { type Flow, W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import type { MegaflowId } from '../types.ts';
import type { Counters } from '../userspace/counters.ts';
import type { KernelPorts } from './kernel-ports.ts';
import type { KernelMaps } from './maps.ts';
import { createHash, type EntryHash, type HashSpec } from './mask-tables.ts';
import { Pins } from './pins.ts';
import { Predecessor } from './predecessor.ts';

export interface SuccessionOptions {
  readonly name: string;
  readonly maps: KernelMaps;
  readonly log: ModuleLog;
  /** Directory of a bpf file system; none: nothing outlives the process, and nothing has. */
  readonly pinRoot: string | undefined;
  /** Runs in the network namespace of the datapath. */
  readonly there: <T>(work: () => T) => T;
}

export interface Heir {
  readonly ports: KernelPorts;
  readonly counters: Counters;
  /** What to add to the programs' monotonic time to get the switch's, ms. */
  readonly timeOffset: number;
  readonly adopt: (key: Flow, mask: Flow) => MegaflowId | null;
  /** Has the programs look up what was adopted. */
  readonly program: () => void;
}

/** How a datapath outlives its process (pins.ts), and takes over from the process before. */
export class Succession {
  readonly pins: Pins | null;
  /** Whether another process has the datapath of this name in this network namespace. */
  busy = false;
  readonly #options: SuccessionOptions;
  #predecessor: Predecessor | null;

  constructor(options: SuccessionOptions) {
    this.#options = options;
    this.pins = this.#openPins();
    this.#predecessor = this.#openPredecessor();
  }

  /** Makes a mask's hash, and keeps it for the next process. */
  makeHash(spec: HashSpec): EntryHash {
    const hash = createHash(spec);
    const { pins } = this;
    if (pins === null) return hash;
    try {
      pins.addMask(spec.number, spec.mask, hash);
    } catch (error) {
      hash.close();
      throw error;
    }
    return {
      fd: hash.fd,
      name: hash.name,
      set: (key, value) => void hash.set(key, value),
      setAll: (entries) => hash.setAll(entries),
      delete: (key) => hash.delete(key),
      close: () => {
        pins.removeMask(spec.number);
        hash.close();
      },
    };
  }

  /**
   * Ends what the process before left forwarding. Its megaflows are adopted first; then every link runs programs of
   * this process; only then are its counters final, and added to those of today.
   */
  takeOver({ ports, counters, timeOffset, adopt, program }: Heir): void {
    const { name, log } = this.#options;
    const before = this.#predecessor;
    this.#predecessor = null;
    const adopted: { id: MegaflowId; slot: number }[] = [];
    const numbers = new Map<number, number>();
    for (const inherited of before?.ports ?? []) {
      const port = ports.heir(inherited);
      if (port !== undefined) numbers.set(inherited.number, port.port);
    }
    for (const { slot, key, mask } of before?.flows ?? []) {
      const port = numbers.get(key[W_IN_PORT]);
      // Numbers of recirculations mean something else by now.
      if (port === undefined || key[W_RECIRC_ID] !== 0) continue;
      key[W_IN_PORT] = port;
      const id = adopt(key, mask);
      if (id !== null) adopted.push({ id, slot });
    }
    program();
    ports.takeOver();
    if (before !== null) {
      for (const { id, slot } of adopted) {
        const stats = before.flowStats(slot);
        if (stats.used > 0) stats.used += timeOffset;
        counters.flowAdd(id, stats);
      }
      for (const inherited of before.ports) {
        const port = ports.heir(inherited);
        if (port !== undefined) counters.portAdd(port.port, before.portStats(inherited));
      }
      before.close();
      log.info(`${name}: took over ${adopted.length} of ${before.flows.length} megaflows`);
    }
    this.pins?.forgetPredecessors();
  }

  /** @param leaving whether what is pinned stays */
  close(leaving: boolean): void {
    this.#predecessor?.close();
    if (leaving) this.pins?.close();
    else this.pins?.remove();
  }

  #openPins(): Pins | null {
    const { pinRoot, name, maps, log, there } = this.#options;
    if (pinRoot === undefined) return null;
    let pins: Pins | null = null;
    try {
      pins = there(() => Pins.open(pinRoot, name));
      pins.pinMaps(maps);
      return pins;
    } catch (error) {
      this.busy = error instanceof WeftError && error.code === 'pins-busy';
      const why = error instanceof Error ? error.message : String(error);
      log.info(`${name}: forwarding will end with this process, nothing can be pinned: ${why}`);
      pins?.close();
      return null;
    }
  }

  #openPredecessor(): Predecessor | null {
    const { name, log } = this.#options;
    const directory = this.pins?.predecessor() ?? null;
    if (directory === null) return null;
    try {
      return new Predecessor(directory);
    } catch (error) {
      // It died in the middle of something, or had other sizes: its ports go on until ours are in place.
      const why = error instanceof Error ? error.message : String(error);
      log.warn(`${name}: flows of the process before are not carried over: ${why}`);
      return null;
    }
  }
}
