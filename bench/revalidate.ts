/**
 * `npm run bench -- revalidate [--json] [--flows=N]`: how long the slow path takes to look at all megaflows,
 * 200,000 unless told otherwise, over the in-process datapath: only their counters, or with something changed.
 * Beside it stock Open vSwitch (a daemon of its own over its dummy datapath, two revalidator threads) with as many
 * megaflows: what `upcall/show` says its passes take, at rest and after a flow was added.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { composePacket } from '../src/datapath/packet/compose.ts';
import { parseMatch } from '../src/flow/match-parse.ts';
import { type TestBridge, World } from '../src/switch/testing/world.ts';
import { StockRevalidator } from './stock-revalidator.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const option = process.argv.find((word) => word.startsWith('--flows='));
const FLOWS = option === undefined ? 200_000 : Number(option.slice('--flows='.length));
const STATIONS = Math.ceil(Math.sqrt(FLOWS));
const ROUNDS = 5;

const mac = (n: number): string =>
  `02:00:00:${[n >> 16, n >> 8, n].map((byte) => (byte & 0xff).toString(16).padStart(2, '0')).join(':')}`;

function frame(src: number, dst: number): Uint8Array {
  const text = `dl_src=${mac(src)},dl_dst=${mac(dst)},udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=9,tp_dst=53`;
  const packet = composePacket(parseMatch(text).flow.slice());
  if (packet === null) throw new Error('a frame that cannot be made');
  return packet;
}

/** A learning bridge behind three tables, with a megaflow for each pair of stations. */
function build(): { world: World; bridge: TestBridge; bytes: number } {
  const world = new World();
  const bridge = world.bridge('br0');
  const ports = Array.from({ length: 16 }, (_, i) => bridge.addPort(i + 1));
  bridge.addFlow('table=0,priority=1,actions=set_field:7->metadata,resubmit(,1)');
  bridge.addFlow('table=1,priority=5,arp,actions=NORMAL');
  bridge.addFlow('table=1,priority=1,ip,actions=resubmit(,2)');
  bridge.addFlow('table=2,priority=1,actions=NORMAL');
  const { macs } = bridge.ofproto;
  macs.configure({ limit: 100_000 });
  for (let n = 0; n < STATIONS; n++) {
    const { bundle } = ports[n % ports.length];
    if (bundle !== null) macs.learn(0x020000000000 + n, 0, bundle, false, false);
  }
  world.settle();
  collectGarbage();
  const before = process.memoryUsage();
  for (let n = 0; n < FLOWS; n++) {
    const src = n % STATIONS;
    world.send(ports[src % ports.length], frame(src, Math.floor(n / STATIONS)));
  }
  world.settle();
  collectGarbage();
  const after = process.memoryUsage();
  const used = (m: NodeJS.MemoryUsage): number => m.heapUsed + m.external;
  if (world.slowPath.count < FLOWS * 0.95) throw new Error(`only ${world.slowPath.count} megaflows`);
  return { world, bridge, bytes: (used(after) - used(before)) / world.slowPath.count };
}

interface Figure {
  readonly what: string;
  /** Of all that is done, and of the longest piece of it, ms. */
  readonly ms: number;
  readonly longest: number;
  readonly translated: number;
}

function measure(world: World, what: string, change: (round: number) => void): Figure {
  const all: Figure[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = world.slowPath.counts.translated;
    change(round);
    let longest = 0;
    const start = performance.now();
    for (let from = start; world.step(); from = performance.now()) {
      longest = Math.max(longest, performance.now() - from);
    }
    const ms = performance.now() - start;
    all.push({ what, ms, longest, translated: world.slowPath.counts.translated - before });
  }
  return all.sort((a, b) => a.ms - b.ms)[ROUNDS >> 1];
}

const started = performance.now();
const { world, bridge, bytes } = build();
const seconds = (performance.now() - started) / 1000;
console.log(
  `${world.slowPath.count} megaflows, made in ${seconds.toFixed(1)} s, ${Math.round(bytes)} bytes each in both, slow path and datapath\n`,
);
const { ofproto } = bridge;
const stations = [...ofproto.bundles()];
const figures = [
  measure(world, 'counters, nothing changed', () => world.slowPath.hurry()),
  measure(world, 'a station moved', (round) => {
    ofproto.macs.learn(0x020000000005, 0, stations[round], false, false);
  }),
  measure(world, 'a flow that no megaflow meets', (round) => {
    bridge.addFlow(`table=2,priority=9,dl_src=00:00:00:00:00:0${round},actions=drop`);
  }),
  measure(world, 'a flow that the megaflows of one station may meet', (round) => {
    bridge.addFlow(`table=2,priority=9,dl_src=${mac(7 + round)},actions=NORMAL`);
  }),
  measure(world, 'a port changed', () => {
    const [port] = ofproto.ports();
    ofproto.portChanged(port);
  }),
  measure(world, 'all of the bridge changed', () => ofproto.portsChanged()),
];
console.log('                                                      ms   longest slice   translated');
for (const { what, ms, longest, translated } of figures) {
  console.log(
    `${what.padEnd(50)}${ms.toFixed(1).padStart(8)}${longest.toFixed(1).padStart(14)}${String(translated).padStart(13)}`,
  );
}
const stock = await StockRevalidator.open();
let theirs: { readonly rest: number; readonly changed: number; readonly flows: number } | null = null;
if (typeof stock === 'string') console.log(`\nstock: ${stock}`);
else {
  try {
    theirs = await stock.measure(FLOWS);
    console.log(
      `\nstock, ${theirs.flows} megaflows: ${theirs.rest} ms at rest, ${theirs.changed} ms after a flow was added`,
    );
  } finally {
    await stock.close();
  }
}
if (process.argv.includes('--json')) {
  // Megaflows a second that are known to be right after a flow was added that does not concern them.
  const rate = (flows: number, ms: number): number => Math.round((flows / Math.max(ms, 1)) * 1000);
  const ours = rate(world.slowPath.count, figures[2].ms);
  const other = theirs === null ? null : rate(theirs.flows, theirs.changed);
  console.log(
    JSON.stringify({
      bench: 'revalidate',
      ours,
      theirs: other,
      ratio: other === null ? null : Number((ours / other).toFixed(2)),
      flows: world.slowPath.count,
      bytesEach: Math.round(bytes),
      figures,
      stock: theirs,
    }),
  );
}
