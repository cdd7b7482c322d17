import {
  FLOW_WORDS,
  N_VLANS,
  newFlow,
  W_ARP_HA,
  W_ETH,
  W_IGMP_GROUP,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_MPLS,
  W_ND_TARGET,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PKT_MARK,
  W_SKB_PRIORITY,
  W_TP,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
  W_TUN_TP,
} from '../../flow/layout.ts';
import type { DpAction, SetGroup, SetWord, UserspaceCookie } from '../types.ts';
import * as O from './action-ops.ts';
import { ProgramWriter, Refusal } from './program-writer.ts';

export interface EncodeOptions {
  /** Number under which JavaScript finds what a `userspace` action carries. */
  cookie(cookie: UserspaceCookie): number;
  /** Whether packets out of this port go into a tunnel. */
  isTunnel(port: number): boolean;
  /** Whether copies of packets can do something of their own: `branchProgram` (branches.ts) is in place. */
  readonly branches?: boolean;
}

/** What the kernel does with a megaflow's packets. */
export type EncodedActions =
  | { readonly kind: 'drop'; readonly explicit: boolean }
  | { readonly kind: 'output'; readonly port: number }
  /** Goes into a slot: see action-ops.ts. */
  | { readonly kind: 'program'; readonly bytes: Uint8Array }
  /** eBPF cannot do it: JavaScript runs the whole list. */
  | { readonly kind: 'up'; readonly why: string };

/** Shortest packets that `trunc` makes here: above all headers up to L4's checksum. */
const LEAST_LENGTH = 128;
/** How deep clone, sample and check_pkt_len may stand in each other. */
const MAX_DEPTH = 16;

/**
 * Encodes a list of actions as the program that action-program.ts runs. What a program cannot do as the userspace
 * datapath does it, to the byte, is refused as a whole: then nothing of the list has happened when JavaScript
 * gets the packet.
 *
 * A program runs on the packet itself. So a branch (clone, sample, check_pkt_len) is just part of the program where it
 * changes nothing, or where nothing follows that could tell; otherwise it runs on a copy, which costs more (branches.ts).
 */
export function encodeActions(actions: readonly DpAction[], options: EncodeOptions): EncodedActions {
  if (actions.length === 0) return { kind: 'drop', explicit: false };
  const first = actions[0];
  if (first.type === 'drop') return { kind: 'drop', explicit: true };
  if (first.type === 'output' && actions.length === 1) return { kind: 'output', port: first.port };
  try {
    const encoder = new Encoder(options);
    encoder.list(actions, true, 0);
    return { kind: 'program', bytes: encoder.writer.finish() };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'up', why: error.message };
    throw error;
  }
}

/** Whether the actions leave packet and key as they are. */
function pure(actions: readonly DpAction[]): boolean {
  return actions.every(
    (action) =>
      action.type === 'output' ||
      action.type === 'userspace' ||
      action.type === 'drop' ||
      action.type === 'ct_clear' ||
      ((action.type === 'sample' || action.type === 'clone') && pure(action.actions)) ||
      (action.type === 'check_pkt_len' && pure(action.greater) && pure(action.lessEqual)),
  );
}

/**
 * The same list with an output into a tunnel behind the plain outputs that follow it: plain ports take copies at less
 * cost, and where nothing changes between outputs their order is nobody's business.
 */
function tunnelLast(actions: readonly DpAction[], isTunnel: (port: number) => boolean): readonly DpAction[] {
  const at = actions.findIndex((action) => action.type === 'output' && isTunnel(action.port));
  if (at < 0 || actions[at - 1]?.type === 'trunc') return actions;
  const behind = actions.slice(at + 1);
  if (!behind.every((action) => action.type === 'output' && !isTunnel(action.port))) return actions;
  return [...actions.slice(0, at), ...behind, actions[at]];
}

/** Groups that stand in the key only. */
const METADATA: ReadonlySet<SetGroup> = new Set<SetGroup>(['tunnel', 'skb_priority', 'skb_mark', 'ct_mark']);

class Encoder {
  readonly writer = new ProgramWriter();
  readonly #options: EncodeOptions;
  /** Of the packet at hand: tags or labels came or went; tags were pushed; and then the slow path got it. */
  #state = { moved: false, pushedTags: 0, reparsed: false };

  constructor(options: EncodeOptions) {
    this.#options = options;
  }

  /** Writes a list. `last`: nothing is done with the packet afterwards. */
  list(actions: readonly DpAction[], last: boolean, depth: number): void {
    if (depth > MAX_DEPTH) throw new Refusal('actions nested too deep');
    const ordered = last ? tunnelLast(actions, (port) => this.#options.isTunnel(port)) : actions;
    const end = this.writer.label();
    for (let i = 0; i < ordered.length; i++) {
      const action = ordered[i];
      if (action.type === 'drop') {
        this.writer.op(O.OP_COUNT_DROP);
        if (last) this.writer.op(O.OP_END);
        else if (i < ordered.length - 1) this.writer.skip(O.OP_SKIP, end);
        break;
      }
      // What is to be cut is the next output; that it be another one, far away, no translation asks for.
      if (action.type === 'trunc' && ordered[i + 1]?.type !== 'output')
        throw new Refusal('trunc of no output');
      this.#action(action, last && i === ordered.length - 1, depth);
    }
    this.writer.place(end);
  }

  #action(action: DpAction, last: boolean, depth: number): void {
    const { writer } = this;
    switch (action.type) {
      case 'output':
        if (last) writer.op(O.OP_FINAL, { a: action.port });
        else {
          if (this.#options.isTunnel(action.port))
            this.#needBranches('output to a tunnel that is not the last');
          writer.output(action.port);
        }
        return;
      case 'userspace':
        this.#state.reparsed = this.#state.moved;
        writer.op(O.OP_USERSPACE, { a: this.#options.cookie(action.cookie) });
        return;
      case 'set':
        this.#set(action.group, action.words);
        return;
      case 'push_vlan':
        if (action.tpid !== 0x8100 && action.tpid !== 0x88a8) throw new Refusal('TPID that the kernel lacks');
        this.#move();
        this.#state.pushedTags++;
        writer.op(O.OP_PUSH_VLAN, { a: swap16(action.tpid), b: action.tci & 0xefff });
        return;
      case 'pop_vlan':
        this.#move();
        writer.op(O.OP_POP_VLAN);
        return;
      case 'push_mpls':
        if (action.ethertype !== 0x8847 && action.ethertype !== 0x8848) return;
        this.#mpls(O.OP_PUSH_MPLS, action.ethertype, action.lse);
        return;
      case 'pop_mpls':
        if (action.ethertype === 0x8100 || action.ethertype === 0x88a8)
          throw new Refusal('pop_mpls that uncovers a tag');
        this.#mpls(O.OP_POP_MPLS, action.ethertype, 0);
        return;
      case 'recirc':
        if (last) writer.op(O.OP_RECIRC, { a: action.id });
        else this.#onCopy('recirculation that is not last', () => writer.op(O.OP_RECIRC, { a: action.id }));
        return;
      case 'hash':
        if (this.#state.moved) throw new Refusal('hash of a packet whose headers moved');
        if (action.algorithm !== 0 && action.algorithm !== 1) throw new Refusal('unknown hash algorithm');
        writer.op(O.OP_HASH, { a: action.algorithm, b: action.basis });
        return;
      case 'clone':
        this.#branch(action.actions, last, depth);
        return;
      case 'sample': {
        const behind = writer.label();
        writer.skip(O.OP_SAMPLE, behind, { a: action.probability });
        this.#branch(action.actions, last, depth);
        writer.place(behind);
        return;
      }
      case 'check_pkt_len': {
        const otherwise = writer.label();
        const behind = writer.label();
        writer.skip(O.OP_CHECK_LENGTH, otherwise, { a: action.length });
        const before = { ...this.#state };
        this.#branch(action.greater, last, depth);
        if (action.lessEqual.length > 0) writer.skip(O.OP_SKIP, behind);
        writer.place(otherwise);
        const after = this.#state;
        this.#state = before;
        this.#branch(action.lessEqual, last, depth);
        this.#state = {
          moved: this.#state.moved || after.moved,
          pushedTags: Math.max(this.#state.pushedTags, after.pushedTags),
          reparsed: this.#state.reparsed || after.reparsed,
        };
        writer.place(behind);
        return;
      }
      case 'ct_clear':
        // No packet here has been tracked.
        return;
      case 'trunc':
        this.#needBranches('action trunc');
        // Less could be too little for what the kernel holds to be the headers.
        if (action.maxLen < LEAST_LENGTH) throw new Refusal(`trunc to less than ${LEAST_LENGTH} bytes`);
        writer.op(O.OP_TRUNC, { a: action.maxLen });
        return;
      case 'push_eth':
      case 'pop_eth':
      case 'meter':
      case 'ct':
        throw new Refusal(`action ${action.type}`);
      case 'drop':
        return;
    }
  }

  #branch(actions: readonly DpAction[], last: boolean, depth: number): void {
    if (last || pure(actions)) {
      this.list(actions, last, depth + 1);
      return;
    }
    const { moved, pushedTags, reparsed } = this.#state;
    this.#onCopy('changes that have to be undone', () => this.list(actions, true, depth + 1));
    this.#state = { moved, pushedTags, reparsed };
  }

  /** Writes what a copy of the packet does. */
  #onCopy(why: string, write: () => void): void {
    this.#needBranches(why);
    const behind = this.writer.label();
    this.writer.skip(O.OP_BRANCH, behind);
    write();
    this.writer.op(O.OP_END);
    this.writer.place(behind);
  }

  #needBranches(why: string): void {
    if (this.#options.branches !== true) throw new Refusal(why);
  }

  /** A header comes or goes. */
  #move(): void {
    this.#state.moved = true;
  }

  /**
   * An operation needs to know where headers are. The userspace datapath looks for them anew whenever the slow path gets
   * a packet, and may then find others than were there before the push or pop. No translation depends on that.
   */
  #needLayers(): void {
    if (this.#state.reparsed) throw new Refusal('change of headers that moved, after the slow path saw them');
  }

  #mpls(code: number, ethertype: number, lse: number): void {
    this.#needLayers();
    if (this.#state.pushedTags > O.MAX_TAGS - N_VLANS)
      throw new Refusal('a label behind more than four tags');
    this.#move();
    this.writer.require(O.REQUIRE_WHOLE | O.REQUIRE_ETHERNET_II);
    this.writer.op(code, { a: swap16(ethertype), b: swap32(lse) });
  }

  #set(group: SetGroup, words: readonly SetWord[]): void {
    if (!METADATA.has(group) && group !== 'eth') this.#needLayers();
    switch (group) {
      case 'eth':
        this.#setEth(words);
        return;
      case 'ipv4':
        for (const w of words) this.#setIpv4(w);
        return;
      case 'ipv6':
        for (const w of words) this.#setIpv6(w);
        return;
      case 'tcp':
        this.#setPorts(words, 16);
        return;
      case 'udp':
        this.#setPorts(words, 6);
        return;
      case 'icmp':
      case 'icmpv6':
        for (const { word, value, mask } of words) {
          // Type and code stand in the low byte of each half of the word, and in the first two bytes of the header.
          const toHeader = (w: number): number => ((w << 8) & 0xff000000) | ((w << 16) & 0xff0000);
          if (word === W_TP) this.#write(O.OP_SET_ICMP, toHeader(value), toHeader(mask), 0);
        }
        return;
      case 'nd':
        for (const { word, value, mask } of words) {
          if (word >= W_ND_TARGET && word < W_ND_TARGET + 4)
            this.#write(O.OP_SET_ND, value, mask, 8 + 4 * (word - W_ND_TARGET));
          else if (word === W_IGMP_GROUP) this.#write(O.OP_SET_ND, value, mask, 4);
          else if (mask !== 0) throw new Refusal('set of neighbor discovery options');
        }
        return;
      case 'arp':
        for (const w of words) this.#setArp(w);
        return;
      case 'mpls':
        for (const { word, value, mask } of words)
          if (word === W_MPLS) this.#write(O.OP_SET_MPLS, value, mask, 0);
        return;
      case 'tunnel':
        this.#setTunnel(words);
        return;
      case 'skb_priority':
      case 'skb_mark':
      case 'ct_mark':
        this.#setKey(words);
        return;
      default:
        throw new Refusal(`set of ${group}`);
    }
  }

  /** A write of `value` under `mask`, as numbers in the packet's order of bits. */
  #write(code: number, value: number, mask: number, offset: number): void {
    if (mask === 0) return;
    this.writer.op(code, { a: swap32(value & mask), b: swap32(mask), c: offset });
  }

  #setEth(words: readonly SetWord[]): void {
    const values = [0, 0, 0];
    const masks = [0, 0, 0];
    for (const { word, value, mask } of words) {
      const i = word - W_ETH;
      if (i < 0 || i > 2) continue;
      values[i] = (values[i] & ~mask) | (value & mask);
      masks[i] |= mask;
    }
    if (masks.some((m) => m !== 0)) this.writer.setEth(values.map(swap32), masks.map(swap32));
  }

  #setIpv4({ word, value, mask }: SetWord): void {
    if (word === W_NW_SRC) this.#write(O.OP_SET_IPV4, value, mask, 12);
    else if (word === W_NW_DST) this.#write(O.OP_SET_IPV4, value, mask, 16);
    else if (word === W_NW) {
      // The key has tos and ttl in its middle bytes, which is where the operation wants them.
      this.#write(O.OP_SET_IPV4_NW, value, mask & 0x00ffff00, 0);
    }
  }

  #setIpv6({ word, value, mask }: SetWord): void {
    if (word >= W_IPV6_SRC && word < W_IPV6_DST + 4) {
      this.writer.require(O.REQUIRE_PLAIN_IPV6);
      this.#write(O.OP_SET_IPV6, value, mask, 8 + 4 * (word - W_IPV6_SRC));
    } else if (word === W_IPV6_LABEL) {
      this.#write(O.OP_SET_IPV6_PLAIN, value, mask & 0xfffff, 0);
    } else if (word === W_NW) {
      const tclass = (w: number): number => ((w >>> 16) & 0xff) << 20;
      this.#write(O.OP_SET_IPV6_PLAIN, tclass(value), tclass(mask), 0);
      this.#write(O.OP_SET_IPV6_PLAIN, (value >>> 8) & 0xff, (mask >>> 8) & 0xff, 4);
    }
  }

  #setPorts(words: readonly SetWord[], field: number): void {
    for (const { word, value, mask } of words)
      if (word === W_TP) this.#write(O.OP_SET_PORTS, value, mask, field);
  }

  #setArp({ word, value, mask }: SetWord): void {
    if (word === W_NW) {
      const wide = (mask & 0xff) === 0xff ? 0xffff : mask & 0xff;
      this.#write(O.OP_SET_ARP, value & 0xff, wide, 4);
    } else if (word === W_NW_SRC) this.#write(O.OP_SET_ARP, value, mask, 14);
    else if (word === W_NW_DST) this.#write(O.OP_SET_ARP, value, mask, 24);
    else if (word === W_ARP_HA) this.#write(O.OP_SET_ARP, value, mask, 8);
    else if (word === W_ARP_HA + 1) {
      // The end of the sender's address, and the beginning of the target's behind the sender's IP address.
      this.#write(O.OP_SET_ARP, value & 0xffff0000, mask & 0xffff0000, 12);
      this.#write(O.OP_SET_ARP, value & 0xffff, mask & 0xffff, 16);
    } else if (word === W_ARP_HA + 2) this.#write(O.OP_SET_ARP, value, mask, 20);
  }

  /** A tunnel is set as a whole, three words at a time. */
  #setTunnel(words: readonly SetWord[]): void {
    const key = newFlow();
    for (const { word, value, mask } of words) key[word] = (key[word] & ~mask) | (value & mask);
    let flags = O.FLAG_NEW_TUNNEL;
    const put = (from: number, to: number): void => {
      for (let w = from; w <= to; w++) {
        if (key[w] === 0) continue;
        const at = Math.min(w, to - 2);
        this.writer.op(O.OP_PUT_TUNNEL, { flags, target: at, a: key[at], b: key[at + 1], c: key[at + 2] });
        flags = 0;
        w = at + 2;
      }
    };
    put(W_TUN_ID, W_TUN_TP);
    put(W_TUN_METADATA_PRESENT, FLOW_WORDS - 1);
    if (flags !== 0) this.writer.op(O.OP_PUT_TUNNEL, { flags, target: W_TUN_ID });
  }

  #setKey(words: readonly SetWord[]): void {
    for (const { word, value, mask } of words)
      this.writer.op(O.OP_SET_KEY, { a: value & mask, b: mask, c: word });
    if (words.some(({ word }) => word === W_PKT_MARK)) this.writer.op(O.OP_SET_MARK);
    if (words.some(({ word }) => word === W_SKB_PRIORITY)) this.writer.op(O.OP_SET_PRIORITY);
  }
}

const swap16 = (n: number): number => ((n & 0xff) << 8) | ((n >>> 8) & 0xff);
const swap32 = (n: number): number =>
  ((n << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)) >>> 0;
