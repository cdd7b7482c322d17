/**
 * Compact matches: only the words that a mask has bits in. Rules share few masks, so a mask is an
 * object of its own ({@link MiniMask}) that many matches point to.
 */
import type { Flow } from './layout.ts';
import { FLOW_WORDS } from './layout.ts';
import { Match } from './match.ts';
import type { TunnelMetadataMap } from './tun-metadata.ts';

export class MiniMask {
  /** Indices of the words, ascending. */
  readonly words: Uint8Array;
  /** Their bits, none of them 0. */
  readonly masks: Uint32Array;

  constructor(words: Uint8Array, masks: Uint32Array) {
    this.words = words;
    this.masks = masks;
  }

  static of(mask: Flow): MiniMask {
    let n = 0;
    for (let i = 0; i < FLOW_WORDS; i++) if (mask[i] !== 0) n++;
    const words = new Uint8Array(n);
    const masks = new Uint32Array(n);
    n = 0;
    for (let i = 0; i < FLOW_WORDS; i++) {
      if (mask[i] === 0) continue;
      words[n] = i;
      masks[n++] = mask[i];
    }
    return new MiniMask(words, masks);
  }

  get length(): number {
    return this.words.length;
  }

  /** Whether `mask`, a full one, is the same. */
  equalsFlow(mask: Flow): boolean {
    let n = 0;
    for (let i = 0; i < FLOW_WORDS; i++) {
      if (mask[i] === 0) continue;
      if (this.words[n] !== i || this.masks[n] !== mask[i]) return false;
      n++;
    }
    return n === this.words.length;
  }

  /** Whether every bit of `mask`, a full one, is here too. */
  includes(mask: Flow): boolean {
    let n = 0;
    for (let i = 0; i < FLOW_WORDS; i++) {
      const m = mask[i];
      if (m === 0) continue;
      while (n < this.words.length && this.words[n] < i) n++;
      if (n === this.words.length || this.words[n] !== i || (m & ~this.masks[n]) !== 0) return false;
    }
    return true;
  }

  /** ORs the bits into `mask`, a full one. */
  addTo(mask: Flow): void {
    for (let i = 0; i < this.words.length; i++) mask[this.words[i]] |= this.masks[i];
  }
}

/** A 32-bit hash of a full mask, for tables of {@link MiniMask}. */
export function hashMask(mask: Flow): number {
  let h = 0;
  for (let i = 0; i < FLOW_WORDS; i++) {
    if (mask[i] === 0) continue;
    h = Math.imul(h ^ mask[i], 0x9e3779b1) + i;
    h ^= h >>> 15;
  }
  return h >>> 0;
}

/** A match in little room: values for the words of a mask. */
export class MiniMatch {
  readonly mask: MiniMask;
  readonly values: Uint32Array;

  constructor(mask: MiniMask, values: Uint32Array) {
    this.mask = mask;
    this.values = values;
  }

  static of(match: Match, mask: MiniMask = MiniMask.of(match.mask)): MiniMatch {
    const values = new Uint32Array(mask.length);
    for (let i = 0; i < values.length; i++) values[i] = match.flow[mask.words[i]];
    return new MiniMatch(mask, values);
  }

  expand(tun: TunnelMetadataMap | null = null): Match {
    const match = new Match(tun);
    for (let i = 0; i < this.values.length; i++) {
      match.mask[this.mask.words[i]] = this.mask.masks[i];
      match.flow[this.mask.words[i]] = this.values[i];
    }
    return match;
  }

  /** {@link expand} to a match that has been something else. */
  expandTo(match: Match): void {
    match.flow.fill(0);
    match.mask.fill(0);
    const { words, masks } = this.mask;
    for (let i = 0; i < words.length; i++) {
      match.mask[words[i]] = masks[i];
      match.flow[words[i]] = this.values[i];
    }
  }

  matches(packet: Flow): boolean {
    const { words, masks } = this.mask;
    for (let i = 0; i < words.length; i++) {
      if (((packet[words[i]] ^ this.values[i]) & masks[i]) !== 0) return false;
    }
    return true;
  }
}
