import {
  CS_DST_NAT,
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_RELATED,
  CS_REPLY_DIR,
  CS_SRC_NAT,
  CS_TRACKED,
  type Flow,
  FRAG_LATER,
  newFlow,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_STATE,
  W_CT_TP,
  W_NW,
} from '../../flow/layout.ts';
import { extractFlow } from '../packet/extract.ts';
import { ABSENT, type Packet, RECALLED } from '../packet/packet.ts';
import type { CtOp } from './action.ts';
import type { Expectation } from './expectations.ts';
import { type Fragment, Fragments, takeApart } from './fragments.ts';
import { Helpers } from './helpers.ts';
import { ZoneLimits } from './limits.ts';
import { NatChooser } from './nat.ts';
import { NO_TUPLE, RELATED_TUPLE, readTuple } from './packet-tuple.ts';
import { translate } from './rewrite.ts';
import { ProtocolStates } from './states.ts';
import * as C from './table.ts';
import { INVALID, REOPENS, STILL_NEW, VALID } from './tcp.ts';
import { TimeoutPolicies } from './timeouts.ts';
import * as T from './tuple.ts';
import { clearLabel, copyVerdict, readOriginal, writeUntracked, writeVerdict } from './verdict.ts';

/** As Open vSwitch's; some 0.6 GB if it is ever reached. */
export const DEFAULT_MAX_CONNECTIONS = 3_000_000;

export interface TrackerOptions {
  /** Number in [0, 1): seeds hashes, chooses ports. */
  readonly random: () => number;
  /** Default 3,000,000. */
  readonly maxConnections?: number;
}

const NATTED = CS_SRC_NAT | CS_DST_NAT;

/*
 * Connection tracking: the `ct` action.
 *
 * A packet's tuple finds its connection (table.ts); the protocol says what the packet means to it (states.ts, tcp.ts); the
 * verdict goes to the ct_* words of the packet's key, and a recirculation later flows match on it. Without `commit` nothing
 * is ever added: a packet that could begin a connection is `+new` and forgotten. With it, a connection begins, gets its
 * translation (nat.ts), and counts for the limits.
 *
 * Bounds. At most `maxConnections` connections, and in a zone as many as its limit says. Nothing is thrown out to make room:
 * at the limit, packets of connections that are there go on as ever, and new ones stay `+new` without being added, so that
 * who floods a zone keeps nobody out who is in. What half-open connections take is given back within their short timeout
 * (30 s for a SYN). Work for a packet is bounded too: chains are short whatever tuples are sent (the hash has a secret
 * key), the search for a port ends, and at most eight dead connections are buried along with it.
 *
 * A packet that goes through `ct` of the same zone twice is the same packet: the first time it moves its connection on, the
 * second time it is only told again (`#again`). It carries slot and serial number of its connection with it for that.
 */
export class ConnectionTracker<Rest = unknown> {
  readonly table: C.ConnectionTable;
  readonly limits = new ZoneLimits();
  readonly timeouts = new TimeoutPolicies();
  readonly states = new ProtocolStates();
  readonly fragments = new Fragments<Rest>();
  maxConnections: number;
  readonly #nat: NatChooser;
  readonly #helpers: Helpers;
  /** Packet's tuple; another for what has to be derived from it. */
  readonly #tuple = T.newTuple();
  readonly #other = T.newTuple();
  /** Connections that were expected by another's helper: that one's tuple. */
  readonly #parents = new Map<number, T.Tuple>();
  readonly #wholeKey = newFlow();
  /** ct_state of the packet at hand. */
  #state = 0;
  /** It begins a connection that is expected. */
  #expected: Expectation | undefined;
  /** It stands for fragments, which can't become longer. */
  #inFragments = false;

  constructor(options: TrackerOptions) {
    const { random, maxConnections = DEFAULT_MAX_CONNECTIONS } = options;
    this.maxConnections = maxConnections;
    this.table = new C.ConnectionTable(Math.floor(random() * 2 ** 32));
    this.table.onRemove = (slot) => this.#forget(slot);
    this.#helpers = new Helpers(this.table);
    this.#nat = new NatChooser(this.table, Math.floor(random() * 2 ** 32), random);
  }

  /**
   * Tracks a packet whose key and layer offsets are as extracted: writes the ct_* words of the key, and rewrites the packet
   * where its connection is translated. Returns false if the packet is to be dropped.
   *
   * @param now milliseconds, never less than before
   */
  track(packet: Packet, key: Flow, op: CtOp, now: number): boolean {
    this.table.sweep(now);
    if (!this.#again(packet, key, op, now)) this.#first(packet, key, op, now);
    return true;
  }

  /**
   * Tracks a fragment, when its packet is whole: then that is tracked, and all its fragments are returned in their order, with
   * bytes and keys as they are now. 'kept': it waits for others; 'tracked': its key is written as by `track`.
   *
   * @param site where in its processing the packet is: copies of a packet meet the fragments of the same copy
   * @param rest what the caller needs to go on with the fragment
   */
  trackFragment(
    packet: Packet,
    key: Flow,
    op: CtOp,
    now: number,
    site: number,
    rest: Rest,
  ): readonly Fragment<Rest>[] | 'kept' | 'tracked' {
    if (packet.connection === RECALLED) this.fragments.recall(packet, op.zone);
    if (this.#again(packet, key, op, now)) return 'tracked';
    const gathered = this.fragments.take(packet, key, `${op.zone} ${site}`, now, rest);
    if (gathered === 'kept') return gathered;
    if (gathered === 'unfit') {
      this.track(packet, key, op, now);
      return 'tracked';
    }
    const { whole, fragments } = gathered;
    const verdict = this.#wholeKey;
    verdict.set(fragments[0].key);
    extractFlow(whole, verdict);
    this.#inFragments = true;
    this.track(whole, verdict, op, now);
    this.#inFragments = false;
    takeApart(gathered);
    for (const each of fragments) {
      each.packet.copyConnection(whole);
      if (whole.connection >= 0) this.fragments.remember(each.packet, op.zone, whole);
      copyVerdict(verdict, each.key);
      // As with its own ports, which only the first fragment has.
      if (((each.key[W_NW] >>> 24) & FRAG_LATER) !== 0) each.key[W_CT_TP] = 0;
    }
    return fragments;
  }

  /** A packet that this zone has tracked before. False: it hasn't. */
  #again(packet: Packet, key: Flow, op: CtOp, now: number): boolean {
    const { table } = this;
    const slot = packet.connection;
    if (slot < 0 || op.force || !table.lives(slot, packet.connectionSerial, now)) return false;
    table.at(slot);
    const { words, base } = table;
    if (words[base + C.C_KEY + T.T_REST] >>> 16 !== op.zone) return false;
    if (this.#isControl(packet, key, op)) return false;
    const before = key[W_CT_STATE];
    this.#state = before >>> 24;
    if (op.nat !== null) {
      this.#translate(packet, before & 0xffff, op.zone, packet.connectionReply, packet.connectionRelated);
      packet.connection = ABSENT;
    }
    key[W_CT_STATE] = (this.#state << 24) | (before & 0xff0000) | op.zone;
    this.#readMarks(key);
    this.#setMarks(key, op);
    return true;
  }

  #first(packet: Packet, key: Flow, op: CtOp, now: number): void {
    const { table } = this;
    const t = this.#tuple;
    const { zone } = op;
    const oldZone = key[W_CT_STATE] & 0xffff;
    const kind = readTuple(packet, key, zone, t);
    const recalled = packet.connection === RECALLED && key[W_CT_STATE] !== 0 && oldZone === zone;
    packet.connection = ABSENT;
    if (kind === NO_TUPLE) {
      writeUntracked(key, CS_INVALID | CS_TRACKED, zone);
      return;
    }
    // What another zone said is of no interest here.
    this.#state = oldZone === zone ? key[W_CT_STATE] >>> 24 : 0;
    const related = kind === RELATED_TUPLE;
    let found = this.#lookUp(t, (this.#state & NATTED) !== 0, now);
    if (op.force && found >= 0 && (found & 1) === 1) {
      table.remove(found >> 1);
      found = -1;
    }
    if (found < 0) found = this.#original(key, op, now);
    else if (recalled && !op.force && !this.#isControl(packet, key, op)) {
      this.#remember(packet, found, related);
      this.#again(packet, key, op, now);
      return;
    }
    let begins = false;
    this.#expected = undefined;
    // What was translated already has the numbers that it should have.
    const fresh = (this.#state & NATTED) === 0;
    if (found >= 0) {
      begins = this.#shiftAndUpdate(packet, op, found, related, fresh, now);
      if (op.nat !== null && !begins) this.#translate(packet, oldZone, zone, (found & 1) === 1, related);
    } else if (related) {
      this.#state = CS_INVALID;
    } else {
      begins = true;
    }
    if (begins) found = this.#begin(packet, op, related, now);
    this.#write(packet, key, op, found, related);
    if (found < 0 || related || !this.#helpers.controls()) return;
    const rightful = this.#helpers.control(packet, found >> 1, {
      helper: op.helper,
      reply: (found & 1) === 1,
      answers: (this.#state & CS_REPLY_DIR) !== 0,
      translates: op.nat !== null && fresh,
      fixed: this.#inFragments,
    });
    if (!rightful) key[W_CT_STATE] |= CS_INVALID << 24;
  }

  /** Whether a helper wants to see the packet each time. */
  #isControl(packet: Packet, key: Flow, op: CtOp): boolean {
    return key[W_NW] >>> 24 === 0 && this.#helpers.sees(packet, key[W_NW] & 0xff, op.helper);
  }

  /** As `#update`, for which the packet has the numbers that its connection was begun with. */
  #shiftAndUpdate(
    packet: Packet,
    op: CtOp,
    found: number,
    related: boolean,
    fresh: boolean,
    now: number,
  ): boolean {
    const reply = (found & 1) === 1;
    const helpers = this.#helpers;
    if (related || !fresh || op.nat === null || !helpers.shifts(packet))
      return this.#update(packet, found, related, now);
    const before = helpers.acknowledges(reply);
    if (before) helpers.shift(packet, reply);
    const begins = this.#update(packet, found, related, now);
    if (!before && !begins) helpers.shift(packet, reply);
    return begins;
  }

  /**
   * Finds the packet's connection as `find` does. Of a packet that was translated already, in this zone, the connection is
   * that of which it now looks like the answer; `t` becomes what the packet was.
   */
  #lookUp(t: T.Tuple, natted: boolean, now: number): number {
    const { table } = this;
    if (!natted) return table.find(t, now);
    T.reverse(t);
    const found = table.find(t, now);
    if (found < 0) {
      T.reverse(t);
      return -1;
    }
    const turned = found ^ 1;
    const { words, base } = table;
    const at = base + ((turned & 1) === 1 ? C.C_REV : C.C_KEY);
    for (let i = 0; i < T.TUPLE_WORDS; i++) t[i] = words[at + i];
    return turned;
  }

  /** The connection of a translated packet by the original tuple that its key tells of. */
  #original(key: Flow, op: CtOp, now: number): number {
    if ((this.#state & NATTED) === 0 || op.nat !== null) return -1;
    if (!readOriginal(key, this.#tuple, this.#other)) return -1;
    const found = this.table.find(this.#other, now);
    return found < 0 ? -1 : found & ~1;
  }

  /** Moves the connection on. True: it is over, and the packet may begin another. */
  #update(packet: Packet, found: number, related: boolean, now: number): boolean {
    const { table, states } = this;
    const slot = found >> 1;
    const reply = (found & 1) === 1;
    const { words, base } = table;
    if (related) {
      this.#state |= reply ? CS_RELATED | CS_REPLY_DIR : CS_RELATED;
      return false;
    }
    if ((words[base + C.C_FLAGS] & C.F_RELATED) !== 0) this.#state |= CS_RELATED;
    const protocol = words[base + T.T_REST] & 0xff;
    const verdict = states.update(packet, protocol, words, base + C.C_PEERS, reply);
    switch (verdict) {
      case VALID:
        this.#state = (this.#state | CS_ESTABLISHED | (reply ? CS_REPLY_DIR : 0)) & ~CS_NEW;
        break;
      case INVALID:
        this.#state = CS_INVALID;
        return false;
      case REOPENS:
        table.remove(slot);
        return true;
      case STILL_NEW:
        this.#state |= CS_NEW;
        break;
    }
    if (states.timeout !== null) {
      const policy = words[base + C.C_POLICY];
      table.setDeadline(slot, now + this.timeouts.timeout(policy, states.timeout));
    }
    return false;
  }

  /** A packet without a connection: begins one, if that is asked for and there is room. Returns `slot * 2`, or -1. */
  #begin(packet: Packet, op: CtOp, related: boolean, now: number): number {
    const { table, states, limits } = this;
    const key = this.#tuple;
    const protocol = T.protocolOf(key);
    const expected = this.#helpers.expectations.find(key);
    this.#expected = expected;
    if (!states.mayBegin(packet, protocol)) {
      this.#state = CS_INVALID;
      return -1;
    }
    this.#state = expected === undefined ? CS_NEW : CS_NEW | CS_RELATED;
    if (!op.commit || table.count >= this.maxConnections) return -1;
    // Of a translated packet it was another tuple that had no connection.
    if (table.find(key, now) >= 0) return -1;
    const limit = limits.admit(op.zone);
    if (limit < 0) return -1;
    const rev = this.#other;
    T.reverseInto(key, rev);
    let translation = op.nat?.flags ?? 0;
    if (op.nat !== null && expected !== undefined) {
      // As its parent is, whatever the action says.
      translation = expected.source ? C.F_SNAT : C.F_DNAT;
      rev.set(expected.address, expected.source ? T.T_DST : T.T_SRC);
      if (table.find(rev, now) >= 0) return -1;
    } else if (op.nat !== null && !this.#nat.choose(op.nat, key, rev, now)) return -1;
    const slot = table.add(key, rev, now);
    const { words, base } = table;
    const policy = this.timeouts.number(op.timeout);
    const timeout = states.begin(packet, protocol, words, base + C.C_PEERS);
    table.setDeadline(slot, now + this.timeouts.timeout(policy, timeout));
    words[base + C.C_POLICY] = policy;
    words[base + C.C_LIMIT] = limit;
    limits.enter(limit);
    words[base + C.C_FLAGS] |= this.#helpers.flagOf(op.helper, key) | translation;
    if (expected !== undefined) {
      words[base + C.C_FLAGS] |= C.F_RELATED;
      words[base + C.C_MARK] = expected.mark;
      words.set(expected.label, base + C.C_LABEL);
      this.#parents.set(slot, expected.parent);
    }
    if (op.nat !== null) this.#translate(packet, op.zone, op.zone, false, related);
    return slot * 2;
  }

  /**
   * Rewrites a packet of the connection at hand, unless this zone has done so before.
   *
   * @param oldZone that of which the packet's state tells
   */
  #translate(packet: Packet, oldZone: number, zone: number, reply: boolean, related: boolean): void {
    const { words, base } = this.table;
    const flags = words[base + C.C_FLAGS] & (C.F_SNAT | C.F_DNAT);
    if (flags === 0) return;
    if ((this.#state & NATTED) !== 0) {
      if (oldZone === zone) return;
      this.#state &= ~NATTED;
    }
    // An answer gets back what was taken: the other side changes.
    const source = (flags === C.F_SNAT) !== reply;
    this.#state |= source ? CS_SRC_NAT : CS_DST_NAT;
    translate(packet, words, base + (reply ? C.C_KEY : C.C_REV), source, related);
  }

  #write(packet: Packet, key: Flow, op: CtOp, found: number, related: boolean): void {
    const { table } = this;
    const { zone } = op;
    const state = this.#state | CS_TRACKED;
    if (found < 0) {
      const expected = this.#expected;
      writeVerdict(key, state, zone, expected?.mark ?? 0, expected?.parent ?? this.#tuple, 0);
      if (expected === undefined) clearLabel(key);
      else key.set(expected.label, W_CT_LABEL);
      return;
    }
    const slot = found >> 1;
    const { words, base } = table;
    const parent = (words[base + C.C_FLAGS] & C.F_RELATED) === 0 ? undefined : this.#parents.get(slot);
    if (parent === undefined) writeVerdict(key, state, zone, 0, words, base + C.C_KEY);
    else writeVerdict(key, state, zone, 0, parent, 0);
    this.#readMarks(key);
    this.#setMarks(key, op);
    if (op.nat === null) this.#remember(packet, found, related);
  }

  #remember(packet: Packet, found: number, related: boolean): void {
    const { words, base } = this.table;
    packet.connection = found >> 1;
    packet.connectionSerial = words[base + C.C_SERIAL];
    packet.connectionReply = (found & 1) === 1;
    packet.connectionRelated = related;
  }

  #readMarks(key: Flow): void {
    const { words, base } = this.table;
    key[W_CT_MARK] = words[base + C.C_MARK];
    for (let i = 0; i < 4; i++) key[W_CT_LABEL + i] = words[base + C.C_LABEL + i];
  }

  /** Marks the connection, and so the packet. One that was expected has its parent's for ever. */
  #setMarks(key: Flow, op: CtOp): void {
    const { words, base } = this.table;
    const { mark, label } = op;
    if ((words[base + C.C_FLAGS] & C.F_RELATED) !== 0) return;
    if (mark !== null) {
      key[W_CT_MARK] = (key[W_CT_MARK] & ~mark.mask) | mark.value;
      words[base + C.C_MARK] = key[W_CT_MARK];
    }
    if (label === null) return;
    for (let i = 0; i < 4; i++) {
      const word = (key[W_CT_LABEL + i] & ~label.mask[i]) | label.value[i];
      key[W_CT_LABEL + i] = word;
      words[base + C.C_LABEL + i] = word;
    }
  }

  /** Tuple of the connection whose helper expected the one in a slot. */
  parentOf(slot: number): T.Tuple | undefined {
    return this.#parents.get(slot);
  }

  /** The connection at hand ends. */
  #forget(slot: number): void {
    const { words, base } = this.table;
    this.limits.leave(words[base + C.C_LIMIT]);
    if ((words[base + C.C_FLAGS] & C.F_RELATED) !== 0) this.#parents.delete(slot);
    this.#helpers.expectations.forget(slot);
  }
}
