/** Lookup programs on the tests' bench: maps, tables and an entry program, run on packets without any device. */
import { call, jeq, label, ldx, mov, R1, R2, R3, R6, toBe, W } from '../../../ebpf/asm.ts';
import { returning, tailCall } from '../../../ebpf/build.ts';
import { bytes } from '../../../ebpf/codec.ts';
import { skb, TC_ACT } from '../../../ebpf/context.ts';
import { helper } from '../../../ebpf/helpers.ts';
import { BpfMap } from '../../../ebpf/map.ts';
import { Program } from '../../../ebpf/program.ts';
import { type Flow, W_PKT_MARK } from '../../../flow/layout.ts';
import { PreparedRun } from '../../../sys/bpf-run.ts';
import { entryProgram } from '../entry-program.ts';
import * as L from '../layout.ts';
import { keySize, lookupProgram, type MaskWord, packKey } from '../lookup-program.ts';
import { closeMaps, createMaps, type KernelMaps } from '../maps.ts';
import { upcallFunction } from '../upcall.ts';

export const LAB_PORT = 7;
export const LAB_PORT_STATS = 5;
export const LAB_RING = 1;
/** A free slot of the program table. */
const ENTRY = 7;
/** Shortest packet that the kernel runs programs on whatever its type is. */
const MIN_RUN = 54;

/** A tag that the kernel took off before the program sees the packet. */
export interface OffloadedTag {
  readonly tpid: number;
  readonly tci: number;
}

export interface LabTable {
  readonly words: readonly MaskWord[];
  readonly map: BpfMap<Uint8Array, Uint8Array>;
}

export interface LabOptions {
  readonly shards?: number;
  readonly ringBytes?: number;
}

/** One datapath's maps and programs; `setMasks` loads the lookup program. */
export class LookupLab {
  readonly maps: KernelMaps;
  readonly entry: Program;
  tables: LabTable[] = [];
  lookup: Program | undefined;
  readonly #untag: Program;
  readonly #run: PreparedRun;
  #marks = 0;

  constructor(options: LabOptions = {}) {
    const { shards, ringBytes = 1 << 18 } = options;
    this.maps = createMaps({
      maxFlows: 4096,
      rings: 2,
      ringBytes,
      ...(shards === undefined ? {} : { shards }),
    });
    this.entry = Program.load({
      kind: 'classifier',
      name: 'weft_entry',
      code: entryProgram({ maps: this.maps, port: LAB_PORT, portStats: LAB_PORT_STATS, ring: LAB_RING }),
    });
    this.maps.programs.set(ENTRY, this.entry.fd);
    this.#untag = Program.load({ kind: 'classifier', name: 'weft_untag', code: this.#untagged() });
    this.#run = new PreparedRun(this.#untag.fd, 3400, skb.size);
  }

  /**
   * Cuts the packet to a length and gives it the tag whose TPID and TCI stand in the context's scratch words too, and
   * lets it enter. (The kernel refuses to run programs on IP packets without a whole IP header.)
   */
  #untagged() {
    return [
      mov(R6, R1),
      ldx(W, R2, R6, skb.cb + 8),
      jeq(R2, 0, 'whole'),
      mov(R3, 0),
      call(helper.skbChangeTail),
      label('whole'),
      ldx(W, R2, R6, skb.cb),
      jeq(R2, 0, 'untagged'),
      toBe(16, R2),
      ldx(W, R3, R6, skb.cb + 4),
      mov(R1, R6),
      call(helper.skbVlanPush),
      label('untagged'),
      tailCall(this.maps.programs, ENTRY),
      returning(TC_ACT.unspec),
    ];
  }

  /** Loads a lookup program for masks with these words, and makes their tables. `hot`: the program's number. */
  setMasks(masks: readonly (readonly MaskWord[])[], entries = 4096, hot?: number): Program {
    const tables = masks.map((words) => ({
      words,
      map: BpfMap.create({
        kind: 'hash',
        name: 'weft_mask',
        key: bytes(keySize(words)),
        value: bytes(L.ENTRY_SIZE),
        maxEntries: entries,
        preallocate: false,
      }),
    }));
    const { maps } = this;
    const upcall = upcallFunction(maps);
    const copies = hot === undefined ? {} : { hot: { slots: maps.hot, epoch: maps.epoch, program: hot } };
    const code = lookupProgram({ maps, tables, upcall, ...copies });
    const program = Program.load({ kind: 'classifier', name: 'weft_lookup', code });
    maps.programs.set(L.PROGRAM_LOOKUP, program.fd);
    this.lookup?.close();
    for (const { map } of this.tables) map.close();
    this.lookup = program;
    this.tables = tables;
    return program;
  }

  /** The key of a flow in a table. */
  key(table: number, flow: Flow): Uint8Array {
    const { words } = this.tables[table]!;
    const key = new Uint8Array(keySize(words));
    packKey(words, flow, key);
    return key;
  }

  put(table: number, flow: Flow, index: number, kind: number, argument = 0): void {
    const entry = new Uint8Array(L.ENTRY_SIZE);
    new Uint32Array(entry.buffer).set([index, kind, argument]);
    this.tables[table]!.map.set(this.key(table, flow), entry);
  }

  /** Says that packets for a port go to a device. */
  putPort(port: number, ifindex: number, portStats: number, flags = L.PORT_THERE): void {
    const entry = new Uint8Array(L.PORT_SIZE);
    new Uint32Array(entry.buffer).set([ifindex, flags, portStats]);
    this.maps.ports.set(port, entry);
  }

  /** Lets a packet enter; returns the verdict. Its mark is a number of its own, `lastMark`. */
  send(packet: Uint8Array, tag?: OffloadedTag, priority = 0): number {
    const run = this.#run;
    run.packet.set(packet);
    this.#marks++;
    run.context.setUint32(skb.mark, this.#marks, true);
    run.context.setUint32(skb.priority, priority, true);
    run.context.setUint32(skb.cb, tag?.tpid ?? 0, true);
    run.context.setUint32(skb.cb + 4, tag?.tci ?? 0, true);
    run.context.setUint32(skb.cb + 8, packet.length < MIN_RUN ? packet.length : 0, true);
    return run.run(Math.max(packet.length, MIN_RUN));
  }

  get lastMark(): number {
    return this.#marks;
  }

  /** An entry program of another port with the same ring. */
  anotherPort(port: number, portStats: number): Program {
    const code = entryProgram({ maps: this.maps, port, portStats, ring: LAB_RING });
    return Program.load({ kind: 'classifier', name: 'weft_entry', code });
  }

  /** Has packets enter by that program from now on. */
  enterBy(entry: Program): void {
    this.maps.programs.set(ENTRY, entry.fd);
  }

  /** The words of the frame of the CPU that ran the last packet. */
  frame(): Uint32Array {
    for (const bytes of this.maps.frame.get(0)!) {
      const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      if (words[W_PKT_MARK] === this.#marks) return words;
    }
    throw new Error(`no frame of a packet with mark ${this.#marks}`);
  }

  /** A counter of an array with shards, summed up. */
  counter(map: BpfMap<number, Uint8Array>, index: number, offset: number): bigint {
    let sum = 0n;
    for (let shard = 0; shard < this.maps.shards; shard++) {
      const value = map.get(index * this.maps.shards + shard)!;
      sum += new DataView(value.buffer).getBigUint64(offset, true);
    }
    return sum;
  }

  /** A total of all CPUs. */
  total(offset: number): number {
    let sum = 0n;
    for (const value of this.maps.totals.get(0)!)
      sum += new DataView(value.buffer, value.byteOffset).getBigUint64(offset, true);
    return Number(sum);
  }

  [Symbol.dispose](): void {
    this.lookup?.close();
    for (const { map } of this.tables) map.close();
    this.entry.close();
    this.#untag.close();
    closeMaps(this.maps);
  }
}
