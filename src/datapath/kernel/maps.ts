import { bytes, u32 } from '../../ebpf/codec.ts';
import { BpfMap, possibleCpus, programArray } from '../../ebpf/map.ts';
import { RingBuffer } from '../../ebpf/ring-buffer.ts';
import { Counters } from '../userspace/counters.ts';
import * as L from './layout.ts';

export interface MapSizes {
  readonly maxFlows: number;
  /** Rings that ports share, and bytes of each: a power of two. */
  readonly rings: number;
  readonly ringBytes: number;
  /** Default: a shard for each CPU, at most 8; a power of two. */
  readonly shards?: number;
}

/** The maps of one kernel datapath, but for the masks' tables. All die with it unless pinned. */
export interface KernelMaps {
  readonly frame: BpfMap<number, readonly Uint8Array[]>;
  readonly totals: BpfMap<number, readonly Uint8Array[]>;
  /** Hot entries, and their epoch: see layout.ts. */
  readonly hot: BpfMap<number, readonly Uint8Array[]>;
  readonly epoch: BpfMap<number, Uint8Array>;
  readonly programs: BpfMap<number, number>;
  /** By port number. */
  readonly ports: BpfMap<number, Uint8Array>;
  readonly actions: BpfMap<number, Uint8Array>;
  readonly saves: BpfMap<number, readonly Uint8Array[]>;
  /** Entry `index * shards + shard`. */
  readonly flowStats: BpfMap<number, Uint8Array>;
  readonly portStats: BpfMap<number, Uint8Array>;
  readonly ringTable: BpfMap<number, number>;
  readonly rings: readonly RingBuffer[];
  readonly ringBytes: number;
  /** What waits in the rings of each port. */
  readonly queues: BpfMap<number, Uint8Array>;
  /** Tunnels: see layout.ts. */
  readonly routes: BpfMap<Uint8Array, Uint8Array>;
  readonly receivers: BpfMap<number, Uint8Array>;
  readonly locals: BpfMap<Uint8Array, number>;
  /** Memory of JavaScript's own counters. */
  readonly counters: BpfMap<number, Uint8Array>;
  readonly shards: number;
  /** Whether no two CPUs share a shard. */
  readonly exclusive: boolean;
}

const MAX_SHARDS = 8;

export function createMaps(sizes: MapSizes): KernelMaps {
  const cpus = possibleCpus();
  const shards = sizes.shards ?? Math.min(MAX_SHARDS, 2 ** Math.ceil(Math.log2(cpus)));
  const rings = Array.from({ length: sizes.rings }, (_, i) =>
    RingBuffer.create(`weft_up${i}`, sizes.ringBytes),
  );
  const array = (name: string, size: number, maxEntries: number, mmapable = false) =>
    BpfMap.create({ kind: 'array', name, key: u32, value: bytes(size), maxEntries, mmapable });
  const perCpu = (name: string, size: number, maxEntries = 1) =>
    BpfMap.createPerCpu({ kind: 'percpu-array', name, key: u32, value: bytes(size), maxEntries });
  const ringTable = BpfMap.create({
    kind: 'array-of-maps',
    name: 'weft_rings',
    key: u32,
    value: u32,
    maxEntries: sizes.rings,
    inner: rings[0],
  });
  rings.forEach((ring, i) => void ringTable.set(i, ring.fd));
  return {
    frame: perCpu('weft_frame', L.FRAME_SIZE),
    totals: perCpu('weft_totals', L.TOTALS_SIZE),
    hot: perCpu('weft_hot', L.HOT_SIZE, L.HOT_SLOTS),
    epoch: array('weft_epoch', L.EPOCH_SIZE, 1, true),
    programs: programArray('weft_programs', L.PROGRAM_SLOTS),
    ports: array('weft_ports', L.PORT_SIZE, L.PORT_LIMIT),
    saves: perCpu('weft_saves', L.SAVE_SIZE, L.MAX_LEVELS),
    actions: array('weft_actions', L.ACTION_SLOT_SIZE, L.ACTION_SLOTS),
    flowStats: array('weft_flows', L.FLOW_STATS_SIZE, sizes.maxFlows * shards, true),
    portStats: array('weft_portstats', L.PORT_STATS_SIZE, L.MAX_KERNEL_PORTS * shards, true),
    ringTable,
    rings,
    ringBytes: sizes.ringBytes,
    queues: array('weft_queues', L.QUEUE_SIZE, L.MAX_KERNEL_PORTS, true),
    routes: BpfMap.create({
      kind: 'hash',
      name: 'weft_routes',
      key: bytes(L.ROUTE_KEY_SIZE),
      value: bytes(L.ROUTE_SIZE),
      maxEntries: L.MAX_ROUTES,
      preallocate: false,
    }),
    receivers: BpfMap.create({
      kind: 'hash',
      name: 'weft_receivers',
      key: u32,
      value: bytes(L.RECEIVER_SIZE),
      maxEntries: L.MAX_RECEIVERS,
    }),
    locals: BpfMap.create({
      kind: 'hash',
      name: 'weft_locals',
      key: bytes(L.LOCAL_KEY_SIZE),
      value: u32,
      maxEntries: L.MAX_LOCALS,
    }),
    counters: array(
      'weft_counters',
      L.COUNTER_PIECE,
      Math.ceil(Counters.bytesFor(sizes.maxFlows) / L.COUNTER_PIECE),
      true,
    ),
    shards,
    exclusive: shards >= cpus,
  };
}

export function closeMaps(maps: KernelMaps): void {
  const { frame, totals, programs, ports, actions, flowStats, portStats, ringTable, queues } = maps;
  const { hot, epoch, saves, routes, receivers, locals, counters } = maps;
  for (const map of [frame, totals, programs, ports, actions, flowStats, portStats, ringTable]) map.close();
  for (const map of [hot, epoch, saves, queues, routes, receivers, locals, counters]) map.close();
  for (const ring of maps.rings) ring.close();
}
