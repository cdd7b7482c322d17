import { closeSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { bytes, u32 } from '../../ebpf/codec.ts';
import { BpfLink } from '../../ebpf/link.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { FLOW_WORDS, type Flow } from '../../flow/layout.ts';
import { isBpfFs, mountBpfFs } from '../../sys/bpf-fs.ts';
import * as L from './layout.ts';
import {
  directoryFor,
  LINKS,
  readNames,
  removeFile,
  removeFiles,
  removeLeftOvers,
  removeOtherLayouts,
  takeDirectory,
} from './pin-directory.ts';

/*
 * How a datapath goes on without its process, and how the next process takes over.
 *
 * The links of ports are pinned in a bpf file system: they, and through them programs and maps, live on when the process
 * ends, and forward what they know. The next process finds here what it needs to do the same with maps and programs of
 * its own, and then has each link run them: no packet in between meets neither.
 *
 *     DIRECTORY/links/IFINDEX     the link of the port on that device
 *     DIRECTORY/GENERATION/       maps of one process: ports, flows, port-stats, counters, programs,
 *                                 masks, mask-N; branches, the link at the loopback device;
 *                                 current, `masks` once more: this one has taken over
 *
 * A generation is removed when the next one has taken over.
 */

/** Masks that one generation can have pinned at a time: those of a program, and those that are just being replaced. */
const MAX_PINNED_MASKS = 1024;
const CURRENT = 'current';

export const MASK_CODEC = bytes(4 * FLOW_WORDS);

/** Maps of a generation. The next one reads them. */
export interface PinnedMaps {
  readonly ports: BpfMap<number, Uint8Array>;
  readonly flowStats: BpfMap<number, Uint8Array>;
  readonly portStats: BpfMap<number, Uint8Array>;
  readonly counters: BpfMap<number, Uint8Array>;
  /** Nobody reads it, but the kernel empties a table of programs that no process and no pin has. */
  readonly programs: { pin(path: string): void };
}

export class Pins {
  readonly directory: string;
  readonly generation: number;
  readonly #masks: BpfMap<number, Uint8Array>;
  /** Locks the directory. */
  readonly #lock: number;
  #removed = false;

  private constructor(directory: string, lock: number) {
    this.directory = directory;
    this.#lock = lock;
    this.generation = Math.max(0, ...generations(directory)) + 1;
    mkdirSync(join(directory, LINKS), { recursive: true, mode: 0o700 });
    mkdirSync(this.#own(), { mode: 0o700 });
    this.#masks = BpfMap.create({
      kind: 'hash',
      name: 'weft_masks',
      key: u32,
      value: MASK_CODEC,
      maxEntries: MAX_PINNED_MASKS,
      preallocate: false,
    });
    this.#masks.pin(this.#own('masks'));
  }

  /**
   * Opens the directory of the datapath `name` of the thread's network namespace, below `root`, a directory of a bpf file
   * system; one is mounted there if it is the usual place and has none. Removes what is left over from namespaces that
   * are gone.
   * @throws WeftError `pins-busy`; WeftError, SystemError where there can be no bpf file system
   */
  static open(root: string, name: string): Pins {
    if (!isBpfFs(root)) mountBpfFs(root);
    removeLeftOvers(root);
    const directory = directoryFor(root, name);
    const lock = takeDirectory(directory);
    try {
      return new Pins(directory, lock);
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  #own(name = ''): string {
    return join(this.directory, String(this.generation), name);
  }

  pinMaps(maps: PinnedMaps): void {
    maps.ports.pin(this.#own('ports'));
    maps.flowStats.pin(this.#own('flows'));
    maps.portStats.pin(this.#own('port-stats'));
    maps.counters.pin(this.#own('counters'));
    maps.programs.pin(this.#own('programs'));
  }

  /** Keeps the link by which copies of packets run, for as long as this generation forwards. */
  pinBranches(link: BpfLink): void {
    link.pin(this.#own('branches'));
  }

  /** Keeps a mask's hash under a number that no other has. */
  addMask(number: number, mask: Flow, hash: { pin(path: string): void }): void {
    hash.pin(this.#own(`mask-${number}`));
    this.#masks.set(number, new Uint8Array(mask.buffer.slice(0)));
  }

  removeMask(number: number): void {
    if (this.#removed) return;
    this.#masks.delete(number);
    removeFile(this.#own(`mask-${number}`));
  }

  linkPath(ifindex: number): string {
    return join(this.directory, LINKS, String(ifindex));
  }

  /** The link that an earlier process left on a device, if it is still there. */
  openLink(ifindex: number): BpfLink | null {
    const path = this.linkPath(ifindex);
    if (!readNames(join(this.directory, LINKS)).includes(String(ifindex))) return null;
    const link = BpfLink.open(path);
    if (link.attached && link.ifindex === ifindex) return link;
    link.close();
    removeFile(path);
    return null;
  }

  /** Devices with a link. */
  links(): number[] {
    return readNames(join(this.directory, LINKS)).map(Number);
  }

  /** Does nothing once all is removed: what stands there then is the next one's. */
  removeLink(ifindex: number): void {
    if (this.#removed) return;
    removeFile(this.linkPath(ifindex));
  }

  /**
   * The generation that forwards: the last that had taken over, for one that died before that has nothing to say. Of
   * those of versions that made no such note, the last. null: there is none.
   */
  predecessor(): string | null {
    const before = generations(this.directory).filter((n) => n < this.generation);
    const current = before.filter((n) => readNames(join(this.directory, String(n))).includes(CURRENT));
    const last = Math.max(...(current.length > 0 ? current : before));
    return before.length === 0 ? null : join(this.directory, String(last));
  }

  /** Notes that this generation forwards, and removes all others: earlier ones, and those of other versions. */
  forgetPredecessors(): void {
    if (!readNames(this.#own()).includes(CURRENT)) this.#masks.pin(this.#own(CURRENT));
    for (const n of generations(this.directory))
      if (n < this.generation) removeFiles(join(this.directory, String(n)));
    removeOtherLayouts(this.directory);
  }

  /** Closes what it has open; what is pinned stays. */
  close(): void {
    this.#masks.close();
    closeSync(this.#lock);
  }

  /** Closes, and removes all that is pinned: links end, unless somebody has them open. */
  remove(): void {
    this.#removed = true;
    for (const n of generations(this.directory)) removeFiles(join(this.directory, String(n)));
    removeFiles(join(this.directory, LINKS));
    rmdirSync(this.directory);
    this.close();
  }
}

function generations(directory: string): number[] {
  return readNames(directory)
    .map(Number)
    .filter((n) => Number.isInteger(n));
}

/** A port of an earlier process. */
export interface InheritedPort {
  readonly number: number;
  readonly ifindex: number;
  /** Index of its statistics. */
  readonly stats: number;
  /** TUNNEL_* and UDP port of a tunnel port, whose `ifindex` says nothing; else 0. */
  readonly tunnelKind: number;
  readonly udpPort: number;
}

/** Reads the ports' table of an earlier process. */
export function inheritedPorts(ports: BpfMap<number, Uint8Array>): InheritedPort[] {
  const found: InheritedPort[] = [];
  for (const [number, entry] of ports.entries()) {
    const view = new DataView(entry.buffer, entry.byteOffset, entry.length);
    if (view.getUint32(L.P_FLAGS, true) === 0) continue;
    found.push({
      number,
      ifindex: view.getUint32(L.P_IFINDEX, true),
      stats: view.getUint32(L.P_STATS, true),
      tunnelKind: view.getUint32(L.P_TUNNEL_KIND, true),
      udpPort: view.getUint32(L.P_TUNNEL_PORT, true),
    });
  }
  return found;
}
