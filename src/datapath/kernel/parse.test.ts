import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TC_ACT } from '../../ebpf/context.ts';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import * as F from '../../flow/layout.ts';
import { hex } from '../conformance/frames.ts';
import { Random } from '../conformance/random.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import * as L from './layout.ts';
import type { MaskWord } from './lookup-program.ts';
import { anyFrame } from './testing/any-frame.ts';
import { LAB_PORT, LookupLab, type OffloadedTag } from './testing/lookup-lab.ts';

const skip = needsRoot;
const PACKETS = Number(process.env.WEFT_PARSE_PACKETS ?? 30_000);
const OUT = 9;

/** All words that the parser fills. */
const PACKET_WORDS = Array.from({ length: F.FLOW_BASE_WORDS - F.W_ETH }, (_, i) => F.W_ETH + i).filter(
  (w) => w < F.W_NSH || w >= F.W_TP,
);
const METADATA_WORDS = [
  F.W_SKB_PRIORITY,
  F.W_PKT_MARK,
  F.W_DP_HASH,
  F.W_IN_PORT,
  F.W_RECIRC_ID,
  F.W_CT_STATE,
];

/** The packet without its outer tag, as the kernel hands it to programs, and that tag. */
function untagged(bytes: Uint8Array): { packet: Uint8Array; tag: OffloadedTag | undefined } {
  const tpid = (bytes[12]! << 8) | bytes[13]!;
  // The kernel drops what ends within the tag or behind it.
  if ((tpid !== 0x8100 && tpid !== 0x88a8) || bytes.length < 18) return { packet: bytes, tag: undefined };
  const packet = new Uint8Array(bytes.length - 4);
  packet.set(bytes.subarray(0, 12));
  packet.set(bytes.subarray(16), 12);
  return { packet, tag: { tpid, tci: (bytes[14]! << 8) | bytes[15]! } };
}

function randomMask(random: Random): MaskWord[] {
  const count = 1 + random.below(random.chance(30) ? 30 : 6);
  const words = new Set<number>();
  for (let i = 0; i < count; i++) words.add(random.pick(random.chance(85) ? PACKET_WORDS : METADATA_WORDS));
  return [...words]
    .sort((a, b) => a - b)
    .map((word) => ({ word, mask: random.chance(60) ? 0xffffffff : 1 + random.below(0xffffffff) }));
}

const full = (words: readonly number[]): MaskWord[] =>
  [...words].sort((a, b) => a - b).map((word) => ({ word, mask: 0xffffffff }));

test('any packet has the key that extractFlow gives it, by any masks', { skip }, () => {
  const seed = Number(process.env.WEFT_PARSE_SEED ?? 1 + (Date.now() % 1_000_000));
  const random = new Random(seed);
  using lab = new LookupLab();
  lab.putPort(OUT, 1, 1);
  const batches = 24;
  const seen = { hits: 0, unparsed: 0, offloaded: 0 };
  for (let batch = 0; batch < batches; batch++) {
    // First everything, then masks that leave words out.
    const masks =
      batch < 4
        ? [full([...PACKET_WORDS, ...METADATA_WORDS])]
        : Array.from({ length: 1 + random.below(6) }, () => randomMask(random));
    lab.setMasks(masks);
    for (let i = 0; i < PACKETS / batches; i++) checkPacket(lab, random, seed, seen);
  }
  assert.ok(seen.hits > PACKETS * 0.8 && seen.offloaded > PACKETS * 0.1, JSON.stringify(seen));
  assert.ok(seen.unparsed > 0 && seen.unparsed < PACKETS * 0.1, JSON.stringify(seen));
});

function checkPacket(
  lab: LookupLab,
  random: Random,
  seed: number,
  seen: { hits: number; unparsed: number; offloaded: number },
): void {
  const { bytes, repeats } = anyFrame(random);
  const { packet, tag } = random.chance(50) ? untagged(bytes) : { packet: bytes, tag: undefined };
  if (tag !== undefined) seen.offloaded++;
  const whole = new Packet(bytes);
  const flow = F.newFlow();
  const priority = random.below(3);
  flow[F.W_SKB_PRIORITY] = priority;
  flow[F.W_PKT_MARK] = lab.lastMark + 1;
  flow[F.W_IN_PORT] = LAB_PORT;
  extractFlow(whole, flow);
  const table = random.below(lab.tables.length);
  const { words, map } = lab.tables[table]!;
  // Now and then the table has a neighbour of the key, which must not be taken for it.
  const wrong = random.chance(15);
  if (wrong) {
    const { word, mask } = random.pick(words);
    const bits = Array.from({ length: 32 }, (_, i) => 1 << i).filter((bit) => (mask & bit) !== 0);
    flow[word] = flow[word]! ^ random.pick(bits);
  }
  lab.put(table, flow, 1, L.ENTRY_OUTPUT, OUT);
  const verdict = lab.send(packet, tag, priority);
  map.delete(lab.key(table, flow));
  const tell = (): string => `seed ${seed}, ${tag === undefined ? '' : 'offloaded tag, '}frame ${hex(bytes)}`;
  if (verdict !== TC_ACT.redirect && lab.total(L.T_UNPARSED) > seen.unparsed) {
    seen.unparsed++;
    assert.ok(repeats === undefined || repeats > 8, `left to JavaScript: ${tell()}`);
    return;
  }
  if (wrong) {
    assert.equal(verdict, TC_ACT.shot, `another key hit: ${tell()}`);
    return;
  }
  seen.hits++;
  if (verdict === TC_ACT.redirect && random.chance(70)) return;
  const frame = lab.frame();
  if (verdict !== TC_ACT.redirect) {
    const different = words.filter(({ word, mask }) => ((frame[word]! ^ flow[word]!) & mask) !== 0);
    const text = different.map(
      ({ word }) => `${word}: ${frame[word]!.toString(16)}, not ${flow[word]!.toString(16)}`,
    );
    assert.fail(`missed, verdict ${verdict}: words ${text.join('; ')}; ${tell()}`);
  }
  const shift = tag === undefined ? 0 : 4;
  const place = (offset: number): number => (offset < 0 ? L.LAYER_ABSENT : offset - shift);
  assert.deepEqual(
    [L.F_L25, L.F_L3, L.F_L4, L.F_L2_PAD].map((at) => frame[at / 4]),
    [place(whole.l25), place(whole.l3), place(whole.l4), whole.l2Pad],
    `layers: ${tell()}`,
  );
  assert.deepEqual([frame[F.W_ETH_TYPE], frame[F.W_NW]], [flow[F.W_ETH_TYPE], flow[F.W_NW]], tell());
  assert.equal(frame[F.W_TCP_FLAGS], flow[F.W_TCP_FLAGS], tell());
}
