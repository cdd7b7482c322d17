import {
  type Flow,
  W_CT_MARK,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_ETH,
  W_IN_PORT,
  W_METADATA,
  W_NW_SRC,
  W_PKT_MARK,
  W_SKB_PRIORITY,
  W_TP,
  W_TUN_ID,
  W_TUN_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import type { MiniMatch } from '../../flow/minimatch.ts';
import type { Rule } from './rule.ts';

/*
 * What a translation depends on beside the packet: named by tags, so that a change of one thing touches
 * those megaflows alone that came from it.
 *
 * A tag is a hash. Two things may share one: then a change of either touches the megaflows of both,
 * which costs a translation and is never wrong. What a translation reads of the switch's state it must
 * note here, and what changes that state must say so with the same tag. Whatever has no tag of its own
 * belongs to its bridge's, which every translation notes that passes the bridge.
 */

/** Tags are below 2 to the power of this. */
export const TAG_BITS = 22;

/** Something that translations depend on has changed. */
export interface Change {
  readonly tag: number;
  /** Of a flow table: only packets that this rule could match are dealt with otherwise than before. */
  readonly rule?: Rule;
}

const KIND_BRIDGE = 1;
const KIND_TABLE = 2;
const KIND_METADATA = 3;
const KIND_MAC = 4;
const KIND_PORT = 5;
const KIND_PORT_LIST = 6;
const KIND_GROUP = 7;
const KIND_RECIRC = 8;
const KIND_DATAPATH_PORT = 9;
const KIND_TUNNEL = 10;

function mix(hash: number, value: number): number {
  const h = Math.imul(hash ^ value, 0x9e3779b1);
  return h ^ (h >>> 15);
}

function finish(hash: number): number {
  const h = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> (32 - TAG_BITS);
}

function hashText(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = mix(hash, text.charCodeAt(i));
  return hash;
}

/** A number for a bridge, to make its tags of. */
export const tagSeed = (uuid: string): number => hashText(uuid);

/** All of a bridge that has no tag of its own: configuration, queues, table settings, controllers. */
export const bridgeTag = (seed: number): number => finish(mix(seed, KIND_BRIDGE));

/** The rules of a table. */
export const tableTag = (seed: number, table: number): number => finish(mix(mix(seed, KIND_TABLE), table));

/** Those rules of a table that match exactly this metadata: what tells logical datapaths apart. */
const metadataTag = (seed: number, table: number, high: number, low: number): number =>
  finish(mix(mix(mix(mix(seed, KIND_METADATA), table), high), low));

/** Where a station is (48 bits as a number). */
export const macTag = (seed: number, mac: number, vlan: number): number =>
  finish(mix(mix(mix(mix(seed, KIND_MAC), Math.floor(mac / 2 ** 24)), mac % 2 ** 24), vlan));

/** One port's configuration, state, peer and bundle. */
export const portTag = (seed: number, ofPort: number): number => finish(mix(mix(seed, KIND_PORT), ofPort));

/** Which ports and bundles there are. */
export const portListTag = (seed: number): number => finish(mix(seed, KIND_PORT_LIST));

export const groupTag = (seed: number, group: number): number => finish(mix(mix(seed, KIND_GROUP), group));

/** That a recirculation id stands for a frozen translation. */
export const recircTag = (id: number): number => finish(mix(KIND_RECIRC, id));

/** Which port of a bridge a datapath port is, or which tunnels share it. */
export const datapathPortTag = (port: number): number => finish(mix(KIND_DATAPATH_PORT, port));

/** Whose packets are that come by a tunnel from `remote`. */
export const tunnelTag = (dpPort: number, remote: string): number =>
  finish(mix(mix(hashText(remote), KIND_TUNNEL), dpPort));

/** A rule has come, gone, or got other actions. */
export function ruleChange(seed: number, rule: Rule): Change {
  const { mask, values } = rule.miniMatch;
  const at = mask.words.indexOf(W_METADATA);
  const exact =
    at >= 0 &&
    mask.words[at + 1] === W_METADATA + 1 &&
    mask.masks[at] === 0xffffffff &&
    mask.masks[at + 1] === 0xffffffff;
  const { table } = rule;
  const tag = exact ? metadataTag(seed, table, values[at], values[at + 1]) : tableTag(seed, table);
  return { tag, rule };
}

/**
 * Words by which a rule and a megaflow can be told apart: those that stand in the packet's key as they do in
 * the pipeline, unless actions rewrote them. Not the pipeline's own (metadata, registers, ...), nor those
 * whose bits actions move to other words: inner tags, labels, and, where there is an inner tag, the outer.
 */
const COMPARED: readonly number[] = [
  ...range(W_TUN_ID, W_TUN_TP + 1),
  W_SKB_PRIORITY,
  W_PKT_MARK,
  W_IN_PORT,
  W_CT_STATE,
  W_CT_MARK,
  ...range(W_ETH, W_VLAN + 1),
  ...range(W_NW_SRC, W_CT_NW_SRC),
  W_TP,
];
const IS_COMPARED: readonly boolean[] = Array.from({ length: 256 }, (_, word) => COMPARED.includes(word));

function range(from: number, end: number): number[] {
  return Array.from({ length: end - from }, (_, i) => from + i);
}

/** What a translation depended on, as it is kept. */
export interface Noted {
  /** Tags other than tables'. */
  readonly tags: readonly number[];
  readonly tables: readonly number[];
  /** Words that some table saw otherwise than they are in the packet's key. */
  readonly rewritten: readonly number[];
}

/** What one translation depends on, while it runs. */
export class Dependencies implements Noted {
  readonly tags: number[] = [];
  readonly tables: number[] = [];
  readonly rewritten: number[] = [];

  note(tag: number): void {
    if (!this.tags.includes(tag)) this.tags.push(tag);
  }

  /** A table was asked for `flow`; the packet came with `input`. */
  noteLookup(seed: number, table: number, flow: Flow, input: Flow): void {
    this.#noteTable(tableTag(seed, table));
    this.#noteTable(metadataTag(seed, table, flow[W_METADATA], flow[W_METADATA + 1]));
    for (let i = 0; i < COMPARED.length; i++) {
      const word = COMPARED[i];
      if (flow[word] !== input[word]) this.noteRewritten(word);
    }
  }

  /** Values that stand in `word` at a lookup are not those that the packet has there. */
  noteRewritten(word: number): void {
    if (!this.rewritten.includes(word)) this.rewritten.push(word);
  }

  #noteTable(tag: number): void {
    if (!this.tables.includes(tag)) this.tables.push(tag);
  }
}

/** Packets that agree with a key on the bits of a mask. */
export interface Region {
  readonly mask: Flow;
  /** A word of the key, as the pipeline got it. */
  word(word: number): number;
}

/** Whether a rule could match, in some table that was asked, a packet of a region. True where that can't be told. */
export function mayMatch(match: MiniMatch, region: Region, rewritten: readonly number[]): boolean {
  const { words, masks } = match.mask;
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const bits = masks[i] & region.mask[word];
    if (bits === 0 || ((match.values[i] ^ region.word(word)) & bits) === 0) continue;
    if (!IS_COMPARED[word] || rewritten.includes(word)) continue;
    if (word === W_VLAN && region.word(W_VLAN + 1) !== 0) continue;
    return false;
  }
  return true;
}
