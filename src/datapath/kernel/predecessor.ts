import { join } from 'node:path';
import { bytes, type Codec, u32 } from '../../ebpf/codec.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { FLOW_WORDS, type Flow, newFlow } from '../../flow/layout.ts';
import { mapInfo, openPinned } from '../../sys/bpf.ts';
import { close } from '../../sys/libc.ts';
import type { MemoryMap } from '../../sys/memory-map.ts';
import type { FlowStats, PortStats } from '../types.ts';
import { Counters } from '../userspace/counters.ts';
import { KernelCounters } from './kernel-counters.ts';
import * as L from './layout.ts';
import { keySize, maskWords } from './lookup-program.ts';
import { type InheritedPort, inheritedPorts, MASK_CODEC } from './pins.ts';

/** A megaflow that an earlier process installed, with that process's numbers. */
export interface InheritedFlow {
  readonly slot: number;
  readonly key: Flow;
  readonly mask: Flow;
}

/** What an earlier process left: flows and ports, and their counters, which its programs go on counting. */
export class Predecessor {
  readonly flows: readonly InheritedFlow[];
  readonly ports: readonly InheritedPort[];
  readonly #kernelCounters: KernelCounters;
  readonly #counters: Counters;
  readonly #memory: MemoryMap;
  readonly #maps: readonly { close(): void }[];

  /** @param directory of one generation (pins.ts) */
  constructor(directory: string) {
    const open = (name: string, size: number): BpfMap<number, Uint8Array> =>
      openAny(join(directory, name), 'array', u32, bytes(size));
    const ports = open('ports', L.PORT_SIZE);
    const flowStats = open('flows', L.FLOW_STATS_SIZE);
    const portStats = open('port-stats', L.PORT_STATS_SIZE);
    const counters = open('counters', L.COUNTER_PIECE);
    this.#maps = [ports, flowStats, portStats, counters];
    this.ports = inheritedPorts(ports);
    this.flows = readFlows(directory);
    const shards = portStats.maxEntries / L.MAX_KERNEL_PORTS;
    this.#kernelCounters = new KernelCounters({ flowStats, portStats, totals: null, shards });
    this.#memory = counters.mmap();
    this.#counters = new Counters(flowStats.maxEntries / shards, this.#memory.buffer);
  }

  /** What its programs and it counted of a flow. `used` is in milliseconds of the monotonic clock. */
  flowStats(slot: number): FlowStats {
    const stats = this.#kernelCounters.flowStats(slot);
    const { packets, bytes, tcpFlags } = this.#counters.flowStats(slot);
    stats.packets += packets;
    stats.bytes += bytes;
    stats.tcpFlags |= tcpFlags;
    return stats;
  }

  portStats({ number, stats: index }: InheritedPort): PortStats {
    const stats = this.#counters.portStats(number);
    this.#kernelCounters.addPortStats(index, stats);
    return stats;
  }

  close(): void {
    this.#kernelCounters.close();
    this.#memory.unmap();
    for (const map of this.#maps) map.close();
  }
}

function readFlows(directory: string): InheritedFlow[] {
  const flows: InheritedFlow[] = [];
  using masks = openAny(join(directory, 'masks'), 'hash', u32, MASK_CODEC);
  for (const [number, maskBytes] of masks.entries()) {
    const mask = new Uint32Array(maskBytes.buffer, maskBytes.byteOffset, FLOW_WORDS).slice();
    const words = maskWords(mask);
    using hash = openAny(
      join(directory, `mask-${number}`),
      'hash',
      bytes(keySize(words)),
      bytes(L.ENTRY_SIZE),
    );
    hash.forEachRaw((keys, keyAt, values, valueAt) => {
      const key = newFlow();
      words.forEach(({ word }, i) => {
        key[word] = keys.getUint32(keyAt + 4 * i, true);
      });
      flows.push({ slot: values.getUint32(valueAt + L.E_FLOW, true), key, mask });
    });
  }
  return flows;
}

/** Opens a pinned map of any number of entries. */
function openAny<K, V>(path: string, kind: 'array' | 'hash', key: Codec<K>, value: Codec<V>): BpfMap<K, V> {
  const fd = openPinned(path);
  const { maxEntries } = mapInfo(fd);
  close(fd);
  return BpfMap.open(path, { kind, name: '', key, value, maxEntries });
}
