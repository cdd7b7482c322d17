/**
 * One measurement of nlog in a process of its own, so that memory and compiled code are its own:
 *
 *     node bench/nlog-child.ts tunnels|deep|peer SCALE [MODULE]
 *
 * Prints one JSON object.
 */
import { check, Engine, type Row, type Value } from '../src/nlog/index.ts';
import { measurePeer } from './nlog-peer.ts';
import {
  deep,
  functions,
  generator,
  type Network,
  network,
  type Port,
  tunnels,
  types,
  type Workload,
} from './nlog-workloads.ts';

const TRIALS = 60;
const PORTS = 10;

export interface Measured {
  readonly workload: string;
  readonly scale: number;
  readonly phases: readonly Phase[];
  readonly inputRows: number;
  readonly derivedRows: number;
  readonly outputRows: number;
  readonly seconds: number;
  /** Processor time of all threads: what the rate would be held against on a busy machine. */
  readonly cpuSeconds: number;
  readonly rowsPerSecond: number;
  /** Input rows counted too, as the paper counts tuples of all tables. */
  readonly allRowsPerSecond: number;
  readonly bytesPerRow: number;
  readonly engineMB: number;
  readonly peakMB: number;
  readonly add: Delta;
  readonly remove: Delta;
  /** Nanoseconds of a random read: says how fast the machine was just then. */
  readonly readNs: number;
}

/** One transaction: the network, or what the switches answer. */
export interface Phase {
  readonly inputRows: number;
  readonly derivedRows: number;
  readonly seconds: number;
  /** Processor time of all threads: what the rate would be held against on a busy machine. */
  readonly cpuSeconds: number;
  readonly rowsPerSecond: number;
}

export interface Delta {
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly rowsTouched: number;
}

/** Rows of one table, their values one after the other. */
interface Packed {
  readonly table: string;
  readonly width: number;
  readonly values: Value[];
}

/**
 * Made before the clock starts: the rate is the engine's, not the generator's. Kept without an object for each
 * row, as a server has them that reads from a socket: a million small arrays would make every collection of
 * garbage slow, and it would count for the engine.
 */
function pack(rows: Iterable<[string, Row]>): Packed[] {
  const packed = new Map<string, Packed>();
  for (const [table, row] of rows) {
    let p = packed.get(table);
    if (p === undefined) {
      p = { table, width: row.length, values: [] };
      packed.set(table, p);
    }
    for (const v of row) p.values.push(v);
  }
  return [...packed.values()];
}

function load(engine: Engine, inputs: readonly Packed[]): Phase {
  const before = engine.totalRows;
  const inputRows = inputs.reduce((sum, p) => sum + p.values.length / p.width, 0);
  const started = performance.now();
  const cpu = process.cpuUsage();
  engine.transaction((tx) => {
    for (const { table, width, values } of inputs)
      for (let i = 0; i < values.length; i += width) tx.insert(table, values.slice(i, i + width));
  });
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - started) / 1000;
  const derivedRows = engine.totalRows - before - inputRows;
  return {
    inputRows,
    derivedRows,
    seconds,
    cpuSeconds: (used.user + used.system) / 1e6,
    rowsPerSecond: derivedRows / seconds,
  };
}

/** Nanoseconds that a read takes that waits for the one before, anywhere in 32 MB: what joins are made of. */
function readNanoseconds(): number {
  const random = generator(3);
  const next = Int32Array.from({ length: 1 << 23 }, (_, i) => i);
  // A single circle through all places.
  for (let i = next.length - 1; i > 0; i--) {
    const j = Math.floor(random() * i);
    [next[i], next[j]] = [next[j], next[i]];
  }
  let at = 0;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const started = performance.now();
    for (let i = 0; i < 500_000; i++) at = next[at];
    best = Math.min(best, performance.now() - started);
  }
  return at < 0 ? 0 : (best * 1e6) / 500_000;
}

function measureDeltas(engine: Engine, workload: Workload, n: Network): { add: Delta; remove: Delta } {
  const random = generator(11);
  const added: number[] = [];
  const removed: number[] = [];
  let came = 0;
  let went = 0;
  for (let trial = 0; trial < TRIALS; trial++) {
    const rows: [string, Row][] = [];
    for (let i = 0; i < PORTS; i++) {
      const p: Port = {
        id: 10_000_000 + trial * PORTS + i,
        datapath: Math.floor(random() * n.sizes.length),
        hypervisor: Math.floor(random() * n.hypervisors),
      };
      rows.push(...workload.port(p, n).filter(([t, r]) => !engine.has(t, r)));
    }
    let started = performance.now();
    const insertion = engine.transaction((tx) => {
      for (const [t, r] of rows) tx.insert(t, r);
    });
    added.push(performance.now() - started);
    started = performance.now();
    const deletion = engine.transaction((tx) => {
      for (const [t, r] of rows) tx.delete(t, r);
    });
    removed.push(performance.now() - started);
    came += insertion.work.rowsChanged;
    went += deletion.work.rowsChanged;
  }
  const delta = (times: number[], touched: number): Delta => {
    // The first third warms the compiled code up.
    const sorted = times.slice(TRIALS / 3).sort((a, b) => a - b);
    return {
      medianMs: sorted[sorted.length >> 1],
      p99Ms: sorted[Math.floor(sorted.length * 0.99)],
      rowsTouched: Math.round(touched / TRIALS),
    };
  };
  return { add: delta(added, came), remove: delta(removed, went) };
}

function measure(name: string, scale: number): Measured {
  const workload = name === 'deep' ? deep : tunnels;
  const program = check({ name: `${name}.nlog`, text: workload.program });
  const fill = (engine: Engine, n: Network): Phase[] => [
    load(engine, pack(workload.load(n))),
    ...(workload.answer === undefined ? [] : [load(engine, pack(workload.answer(n)))]),
  ];
  // Warm up on a small network, so that the rate is the engine's and not the compiler's.
  fill(new Engine(program, { types, functions }), network(0.02));
  const engine = new Engine(program, { types, functions, maxBytes: 6e9 });
  const n = network(scale);
  const phases = fill(engine, n);
  const total = (of: (p: Phase) => number): number => phases.reduce((sum, p) => sum + of(p), 0);
  let outputRows = 0;
  for (const t of program.tables) if (t.kind === 'output') outputRows += engine.size(t.name);
  const derivedRows = total((p) => p.derivedRows);
  const seconds = total((p) => p.seconds);
  const engineBytes = engine.bytes;
  const allRows = engine.totalRows;
  const deltas = measureDeltas(engine, workload, n);
  return {
    workload: name,
    scale,
    inputRows: total((p) => p.inputRows),
    derivedRows,
    outputRows,
    seconds,
    cpuSeconds: total((p) => p.cpuSeconds),
    phases,
    rowsPerSecond: derivedRows / seconds,
    allRowsPerSecond: allRows / seconds,
    bytesPerRow: engineBytes / allRows,
    engineMB: engineBytes / 2 ** 20,
    peakMB: process.resourceUsage().maxRSS / 1024,
    ...deltas,
    readNs: readNanoseconds(),
  };
}

const [what = 'tunnels', scale = '0.1', module = ''] = process.argv.slice(2);
console.log(
  JSON.stringify(what === 'peer' ? await measurePeer(module, Number(scale)) : measure(what, Number(scale))),
);
