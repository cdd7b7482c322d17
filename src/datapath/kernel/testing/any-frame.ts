/** Ethernet frames of all kinds that the parser tells apart, well-formed and not. */
import type { Random } from '../../conformance/random.ts';

export interface AnyFrame {
  readonly bytes: Uint8Array;
  /** The most often that a header repeats which may repeat any number of times; undefined: who knows, bytes were damaged. */
  readonly repeats: number | undefined;
}

class Builder {
  readonly random: Random;
  repeats = 0;
  constructor(random: Random) {
    this.random = random;
  }
  byte(): number {
    return this.random.below(256);
  }
  bytes(count: number): number[] {
    return Array.from({ length: count }, () => (this.random.chance(40) ? this.random.below(3) : this.byte()));
  }
  repeated(count: number): number {
    this.repeats = Math.max(this.repeats, count);
    return count;
  }
}

const half = (n: number): number[] => [(n >> 8) & 255, n & 255];

/** A random frame of 14 bytes at least. */
export function anyFrame(random: Random): AnyFrame {
  const builder = new Builder(random);
  const bytes = [...builder.bytes(12), ...tags(builder), ...network(builder)];
  if (random.chance(15)) bytes.push(...builder.bytes(random.below(40)));
  if (random.chance(65)) return { bytes: Uint8Array.from(bytes), repeats: builder.repeats };
  return { bytes: damaged(random, bytes), repeats: undefined };
}

function damaged(random: Random, bytes: readonly number[]): Uint8Array {
  const out = Uint8Array.from(bytes);
  if (random.chance(50)) {
    const within = random.chance(70) ? Math.min(out.length, 80) : out.length;
    for (let n = random.below(3); n >= 0; n--) {
      const at = random.below(within);
      out[at] = random.chance(50) ? random.below(256) : out[at]! ^ (1 << random.below(8));
    }
    if (random.chance(70)) return out;
  }
  return out.slice(0, 14 + random.below(Math.max(1, out.length - 14)));
}

function tags({ random }: Builder): number[] {
  const count = random.pick([0, 0, 0, 0, 1, 1, 2, 2, 3]);
  return Array.from({ length: count }, () => [
    ...half(random.pick([0x8100, 0x8100, 0x88a8, 0x9100])),
    random.below(256),
    random.below(256),
  ]).flat();
}

/** EtherType and what is behind it. */
function network(b: Builder): number[] {
  const { random } = b;
  const [type, body] = random.pick([ipv4, ipv4, ipv4, ipv6, ipv6, ipv6, arp, mpls, other])(b);
  switch (random.below(12)) {
    case 0: {
      // SNAP, for Ethernet and now and then for others, or with a length where the type should be.
      const organization = random.chance(10) ? [0, 0, 1] : [0, 0, 0];
      const snap = [0xaa, 0xaa, 3, ...organization, ...half(random.chance(10) ? random.below(0x600) : type)];
      return [...half(body.length + 8), ...snap, ...body];
    }
    case 1:
      return random.chance(70) ? [...half(type), ...body] : [...half(random.below(0x700)), ...body];
    default:
      return [...half(type), ...body];
  }
}

type Header = readonly [type: number, bytes: readonly number[]];

function ipv4(b: Builder): Header {
  const { random } = b;
  const options = random.chance(20) ? random.below(11) * 4 : 0;
  const protocol = random.pick([6, 6, 6, 17, 17, 132, 1, 2, 58, 47]);
  const payload = transport(b, protocol);
  const header = 20 + options;
  const total = header + payload.length + (random.chance(5) ? random.below(41) - 20 : 0);
  const fragment = random.chance(20) ? random.pick([0x2000, 0x2001, 0x0010, 0x4000, 0x8000]) : 0;
  return [
    0x0800,
    [
      (random.chance(3) ? 0x50 : 0x40) | (random.chance(3) ? random.below(16) : header / 4),
      b.byte(),
      ...half(total & 0xffff),
      ...b.bytes(2),
      ...half(fragment),
      b.byte(),
      protocol,
      ...b.bytes(10),
      ...b.bytes(options),
      ...payload,
    ],
  ];
}

function ipv6(b: Builder): Header {
  const { random } = b;
  const protocol = random.pick([6, 6, 17, 58, 58, 58, 132, 1, 2, 59, 47]);
  const count = random.chance(60) ? 0 : b.repeated(random.below(10));
  const chain = Array.from({ length: count }, () => random.pick([0, 43, 60, 51, 44, 60]));
  let rest = transport(b, protocol);
  for (let i = chain.length - 1; i >= 0; i--)
    rest = [...extension(b, chain[i]!, chain[i + 1] ?? protocol), ...rest];
  const length = rest.length + (random.chance(5) ? random.below(41) - 20 : 0);
  const header = [
    0x60 | random.below(16),
    b.byte(),
    b.byte(),
    b.byte(),
    ...half(length & 0xffff),
    chain[0] ?? protocol,
  ];
  return [0x86dd, [...header, ...b.bytes(33), ...rest]];
}

function extension(b: Builder, type: number, next: number): number[] {
  const { random } = b;
  if (type === 44) return [next, b.byte(), ...half(random.pick([0, 0, 1, 6, 0x10, 0xfff8])), ...b.bytes(4)];
  const units = random.chance(5) ? random.below(30) : random.below(4);
  const length = type === 51 ? (units + 2) * 4 : (units + 1) * 8;
  // An authentication header of 8 bytes has no room for its fields, and is one all the same.
  return [next, units, ...b.bytes(length - 2)];
}

function transport(b: Builder, protocol: number): number[] {
  const { random } = b;
  const payload = (): number[] => b.bytes(random.below(30));
  switch (protocol) {
    case 6: {
      const options = random.chance(40) ? random.below(11) * 4 : 0;
      const offset = random.chance(5) ? random.below(16) : 5 + options / 4;
      return [
        ...b.bytes(12),
        (offset << 4) | random.below(16),
        b.byte(),
        ...b.bytes(6 + options),
        ...payload(),
      ];
    }
    case 58:
      return random.chance(60) ? neighbor(b) : b.bytes(random.below(30));
    case 1:
    case 2:
      return b.bytes(random.below(20));
    default:
      return [...b.bytes(random.pick([4, 8, 12, 12])), ...payload()];
  }
}

function neighbor(b: Builder): number[] {
  const { random } = b;
  const count = random.chance(20) ? b.repeated(random.below(11)) : b.repeated(random.below(3));
  const option = (): number[] => {
    const type = random.pick([1, 1, 2, 2, 3, 5]);
    const units = random.chance(80) ? 1 : random.below(4);
    // An address of zeros is as good as none; one of few bytes is one.
    const body = random.chance(50) ? b.bytes(6) : Array.from({ length: 6 }, () => +random.chance(15));
    return [type, units, ...body, ...b.bytes(Math.max(0, units - 1) * 8)];
  };
  return [
    random.pick([135, 136]),
    random.chance(10) ? 1 : 0,
    ...b.bytes(22),
    ...Array.from({ length: count }, option).flat(),
  ];
}

function arp(b: Builder): Header {
  const { random } = b;
  const fixed = [0, 1, 8, 0, 6, 4];
  if (random.chance(15)) fixed[random.below(6)] = b.byte();
  const opcode = random.chance(20) ? b.bytes(2) : [0, 1 + random.below(4)];
  return [random.pick([0x0806, 0x0806, 0x8035]), [...fixed, ...opcode, ...b.bytes(20)]];
}

function mpls(b: Builder): Header {
  const { random } = b;
  const count = b.repeated(random.chance(70) ? random.below(4) : random.below(11));
  const entries = Array.from({ length: count }, (_, i) => [
    b.byte(),
    b.byte(),
    (b.byte() & 0xfe) | (i === count - 1 && random.chance(90) ? 1 : 0),
    b.byte(),
  ]).flat();
  // Without a bottom of the stack, what follows is taken for entries too.
  if (entries.length === 0 || (entries[entries.length - 2]! & 1) === 0) b.repeated(1000);
  return [random.pick([0x8847, 0x8848]), [...entries, ...b.bytes(random.below(40))]];
}

function other(b: Builder): Header {
  return [b.random.pick([0x1234, 0x894f, 0x88cc, 0x05ff, 0x0600]), b.bytes(b.random.below(60))];
}
