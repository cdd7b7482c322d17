/**
 * `npm run bench -- actions [--json]`: what operations of an action program cost in the kernel datapath, by test-run on a
 * 64-byte UDP packet, in nanoseconds each: a program of ten of them less one of none, by ten. Each changes what the one before
 * wrote. `ours` is a router's work on a packet (addresses and TTL), `theirs` a program that only sends it. Needs root.
 */
import { parseArgs } from 'node:util';
import { actionProgram } from '../src/datapath/kernel/action-program.ts';
import { loadFrame } from '../src/datapath/kernel/code.ts';
import { encodeActions } from '../src/datapath/kernel/encode-actions.ts';
import * as L from '../src/datapath/kernel/layout.ts';
import { closeMaps, createMaps } from '../src/datapath/kernel/maps.ts';
import { upcallFunction } from '../src/datapath/kernel/upcall.ts';
import { parseActions } from '../src/datapath/text/index.ts';
import { exit, mov, R0, R1, R6, R9, st, W } from '../src/ebpf/asm.ts';
import { tailCall } from '../src/ebpf/build.ts';
import { TC_ACT } from '../src/ebpf/context.ts';
import { Program } from '../src/ebpf/program.ts';
import { W_ETH_TYPE, W_NW } from '../src/flow/layout.ts';
import { eth, ipv4, udp } from '../src/wire/make.ts';
import { buildPacket } from '../src/wire/packet.ts';

const REPEAT = 10_000;
const ROUNDS = 60;
const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: { json: { type: 'boolean' } },
});

const packet = buildPacket(
  [eth('02:00:00:00:00:01', '02:00:00:00:00:02'), ipv4('10.0.0.1', '10.0.0.2'), udp(1, 2)],
  new Uint8Array(22),
);
const maps = createMaps({ maxFlows: 16, rings: 1, ringBytes: 4096 });
using act = Program.load({
  kind: 'classifier',
  name: 'weft_act',
  describe: true,
  code: actionProgram({ maps, upcall: upcallFunction(maps) }),
});
maps.programs.set(L.PROGRAM_ACT, act.fd);
using entry = Program.load({
  kind: 'classifier',
  name: 'weft_entry',
  code: [
    mov(R6, R1),
    loadFrame(maps),
    st(W, R9, L.F_PC, 0),
    tailCall(maps.programs, L.PROGRAM_ACT),
    mov(R0, TC_ACT.shot),
    exit(),
  ],
});
const port = new Uint8Array(L.PORT_SIZE);
new DataView(port.buffer).setUint32(L.P_FLAGS, L.PORT_THERE, true);
new DataView(port.buffer).setUint32(L.P_IFINDEX, 1, true);
maps.ports.set(1, port);
const frame = new Uint8Array(L.FRAME_SIZE);
for (const [at, value] of [
  [L.frameWord(W_ETH_TYPE), 0x08000000],
  [L.frameWord(W_NW), (64 << 8) | 17],
  [L.F_L25, L.LAYER_ABSENT],
  [L.F_L3, 14],
  [L.F_L4, 34],
]) {
  new DataView(frame.buffer).setUint32(at, value, true);
}
maps.frame.set(
  0,
  maps.frame.get(0)!.map(() => frame),
);

/** The fastest of many short rounds, in nanoseconds a packet: others use the machine too. */
function time(text: string): number {
  const encoded = encodeActions(parseActions(text), {
    cookie: () => 0,
    isTunnel: () => false,
    branches: true,
  });
  if (encoded.kind !== 'program') throw new Error(`${text}: ${encoded.kind}`);
  const slot = new Uint8Array(L.ACTION_SLOT_SIZE);
  slot.set(encoded.bytes);
  maps.actions.set(0, slot);
  return Math.min(...Array.from({ length: ROUNDS }, () => entry.run({ packet, repeat: REPEAT }).nanoseconds));
}

const NONE = 'clone(1)';
const none = time(NONE);
/** Two texts in turn, ten in all. */
const cost = (a: string, b: string): number =>
  Math.round((time([...Array.from({ length: 5 }, () => `${a},${b}`), NONE].join(',')) - none) / 10);
const rows: Record<string, number> = {
  'send (whole program)': none,
  'set skb_priority': cost('set(skb_priority(1))', 'set(skb_priority(2))'),
  'set eth': cost(
    'set(eth(src=02:00:00:00:00:03,dst=02:00:00:00:00:04))',
    'set(eth(src=02:00:00:00:00:05,dst=02:00:00:00:00:06))',
  ),
  'set ttl': cost('set(ipv4(ttl=3))', 'set(ipv4(ttl=4))'),
  'set nw_dst': cost('set(ipv4(dst=10.0.0.7))', 'set(ipv4(dst=10.0.0.8))'),
  'set udp ports': cost('set(udp(src=3,dst=4))', 'set(udp(src=5,dst=6))'),
  'push_vlan or pop_vlan': cost('push_vlan(vid=5,pcp=0)', 'pop_vlan'),
  hash: cost('hash(l4(0))', 'hash(l4(1))'),
};
const router = time(`set(eth(src=02:00:00:00:00:03,dst=02:00:00:00:00:04)),set(ipv4(ttl=3)),1`);
for (const [name, ns] of Object.entries(rows)) console.log(`${name.padEnd(24)} ${ns} ns`);
console.log(`${'eth, ttl, send'.padEnd(24)} ${router} ns`);
if (options.json === true)
  console.log(JSON.stringify({ bench: 'actions', ours: router, theirs: none, ratio: router / none, rows }));
closeMaps(maps);
