/**
 * The tunnel example in a public incremental library, for comparison: the same rules over the same
 * inputs, joined in the order that our planner chooses.
 */
import { pathToFileURL } from 'node:url';
import { address, type Network, network, tunnelPort } from './nlog-workloads.ts';

/** What we use of @tanstack/db-ivm. */
interface Library {
  readonly D2: new () => Graph;
  readonly MultiSet: new (rows: [unknown, number][]) => unknown;
  map(fn: (row: never) => unknown): unknown;
  filter(fn: (row: never) => boolean): unknown;
  join(other: unknown, type: 'inner'): unknown;
  distinct(by?: (row: never) => unknown): unknown;
  output(fn: (message: { getInner(): [unknown, number][] }) => void): unknown;
}
interface Stream {
  pipe(...operators: unknown[]): Stream;
}
interface Input extends Stream {
  sendData(rows: unknown): void;
}
interface Graph {
  newInput(): Input;
  finalize(): void;
  run(): void;
}

export interface PeerMeasured {
  readonly scale: number;
  readonly derivedRows: number;
  readonly seconds: number;
  readonly rowsPerSecond: number;
  readonly peakMB: number;
  readonly addMs: number;
}

interface Built {
  readonly graph: Graph;
  send(what: 'port' | 'presence' | 'encap' | 'locator' | 'stage' | 'tport', rows: [unknown, number][]): void;
  rows(): number;
}

function build(lib: Library): Built {
  const graph = new lib.D2();
  const inputs = {
    port: graph.newInput(),
    presence: graph.newInput(),
    encap: graph.newInput(),
    locator: graph.newInput(),
    stage: graph.newInput(),
    tport: graph.newInput(),
  };
  let rows = 0;
  const count = lib.output((message) => {
    for (const [, n] of message.getInner()) rows += n;
  });
  // [port, datapath] with [port, hypervisor]: [datapath, [port, hypervisor]]
  const placed = inputs.port.pipe(
    lib.join(inputs.presence, 'inner'),
    lib.map(([port, [datapath, hv]]: [number, [number, number]]) => [datapath, [port, hv]]),
  );
  const tunnel = placed.pipe(
    lib.join(inputs.encap, 'inner'),
    lib.map(([datapath, [[, hv], encap]]: [number, [[number, number], string]]) => [datapath, [hv, encap]]),
    lib.join(placed, 'inner'),
    lib.filter(([, [[src], [, dst]]]: [number, [[number, string], [number, number]]]) => src !== dst),
    lib.map(([, [[src, encap], [port, dst]]]: [number, [[number, string], [number, number]]]) => [
      dst,
      [port, src, encap],
    ]),
    lib.join(inputs.locator, 'inner'),
    // distinct() works on pairs, and gives [hash, second].
    lib.map(([, [[port, src, encap], ip]]: [number, [[number, number, string], string]]) => [
      0,
      `${port}|${src}|${encap}|${ip}`,
    ]),
    lib.distinct(),
  );
  tunnel.pipe(count);
  tunnel.pipe(
    lib.map(([, t]: [number, string]) => [0, t.slice(t.indexOf('|') + 1)]),
    lib.distinct(),
    count,
  );
  tunnel.pipe(
    lib.map(([, t]: [number, string]) => [Number(t.slice(0, t.indexOf('|'))), t.slice(t.indexOf('|') + 1)]),
    lib.join(inputs.stage, 'inner'),
    lib.map(([, [tunnelKey, stage]]: [number, [string, number]]) => [tunnelKey, stage]),
    lib.join(inputs.tport, 'inner'),
    lib.map(([key, [stage, port]]: [string, [number, number]]) => [
      0,
      `${key.slice(0, key.indexOf('|'))}|${stage}|${port}`,
    ]),
    lib.distinct(),
    count,
  );
  graph.finalize();
  return {
    graph,
    send: (what, list) => inputs[what].sendData(new lib.MultiSet(list)),
    rows: () => rows,
  };
}

function* tunnelPorts(n: Network): Iterable<[unknown, number]> {
  const seen = new Set<number>();
  for (const set of n.members)
    for (const a of set)
      for (const b of set) {
        const pair = a * n.hypervisors + b;
        if (a === b || seen.has(pair)) continue;
        seen.add(pair);
        yield [[`${a}|stt|${address(b)}`, tunnelPort(a, b)], 1];
      }
}

/** Everything that `send` gets, made before the clock starts. */
function batches(n: Network): [Parameters<Built['send']>[0], [unknown, number][]][] {
  return [
    ['locator', Array.from({ length: n.hypervisors }, (_, h): [unknown, number] => [[h, address(h)], 1])],
    ['encap', n.sizes.map((_, d): [unknown, number] => [[d, 'stt'], 1])],
    ['port', n.ports.map((p): [unknown, number] => [[p.id, p.datapath], 1])],
    ['presence', n.ports.map((p): [unknown, number] => [[p.id, p.hypervisor], 1])],
    ['stage', n.ports.map((p): [unknown, number] => [[p.id, p.id + 1], 1])],
    ['tport', [...tunnelPorts(n)]],
  ];
}

function fill(built: Built, inputs: ReturnType<typeof batches>): void {
  for (const [what, list] of inputs) built.send(what, list);
  built.graph.run();
}

/** `module` is the file of the library's entry point. */
export async function measurePeer(module: string, scale: number): Promise<PeerMeasured> {
  const lib = (await import(pathToFileURL(module).href)) as Library;
  fill(build(lib), batches(network(0.02)));
  const n = network(scale);
  const inputs = batches(n);
  const built = build(lib);
  let started = performance.now();
  fill(built, inputs);
  const seconds = (performance.now() - started) / 1000;
  const derivedRows = built.rows();
  started = performance.now();
  const trials = 20;
  for (let i = 0; i < trials * 10; i++) {
    const [id, datapath, hv] = [10_000_000 + i, i % n.sizes.length, i % n.hypervisors];
    built.send('port', [[[id, datapath], 1]]);
    built.send('presence', [[[id, hv], 1]]);
    built.send('stage', [[[id, id + 1], 1]]);
    if (i % 10 === 9) built.graph.run();
  }
  const addMs = (performance.now() - started) / trials;
  return {
    scale,
    derivedRows,
    seconds,
    rowsPerSecond: derivedRows / seconds,
    peakMB: process.resourceUsage().maxRSS / 1024,
    addMs,
  };
}
