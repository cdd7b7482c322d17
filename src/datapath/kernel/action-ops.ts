import { ACTION_SLOT_SIZE } from './layout.ts';

/*
 * An action program: up to 32 units of 16 bytes, run from the first on. Most operations are one unit, a few
 * take a second one for data. An operation may skip forward, never back, so no program runs longer than it is.
 *
 * A unit: code (u8), flags (u8), target or key word (u16), then three u32 called A, B and C. What is compared with bytes
 * of a packet stands in network order, so that it is read as the packet is; all else in the machine's.
 */

export const UNIT_SIZE = 16;
export const UNITS = ACTION_SLOT_SIZE / UNIT_SIZE;
/** An operation stands no later than this: a second unit always lies within the slot. */
export const LAST_UNIT = UNITS - 2;

export const O_CODE = 0;
export const O_FLAGS = 1;
/** Unit to go on at; or a key word. */
export const O_TARGET = 2;
export const O_A = 4;
export const O_B = 8;
export const O_C = 12;

/** Nothing more to do: the packet ends here. All zero, so what follows a program stops. */
export const OP_END = 0;
/** Out of up to 7 ports, and on: their number in the flags, the ports from O_TARGET on, 16 bits each. */
export const OP_OUTPUT = 1;
export const PORTS_AN_OUTPUT = 7;
/** Out of port A, and no more. */
export const OP_FINAL = 2;
/** Counts a drop because of a `drop` action. */
export const OP_COUNT_DROP = 3;
/** To the slow path with cookie A. */
export const OP_USERSPACE = 4;
/** Looked up again with recirculation id A, and no more. */
export const OP_RECIRC = 5;
/** Goes on at the target. */
export const OP_SKIP = 6;
/** Goes on at the target, but with probability A / 2^32 (0xffffffff: 1) just behind. */
export const OP_SAMPLE = 7;
/** Goes on just behind where a wire's frame is longer than A bytes, else at the target. */
export const OP_CHECK_LENGTH = 8;
/** Hands the packet to JavaScript unless it is what the flags (REQUIRE_*) say; stands first. */
export const OP_REQUIRE = 9;
/** Word C of the key: the bits of mask B become A's. Machine's order. */
export const OP_SET_KEY = 10;
/** The device's mark or priority become what the key says. */
export const OP_SET_MARK = 11;
export const OP_SET_PRIORITY = 12;
/** dp_hash = the hash by algorithm A (0 or 1), basis B. */
export const OP_HASH = 13;
/** Tag with TPID A (network order, 16 bits), TCI B (machine's). */
export const OP_PUSH_VLAN = 14;
export const OP_POP_VLAN = 15;
/** Tags that may stand in front of a label when one is pushed or popped. */
export const MAX_TAGS = 4;
/** EtherType A (network order, 16 bits), label stack entry B (network order). */
export const OP_PUSH_MPLS = 16;
export const OP_POP_MPLS = 17;

/* Writes to the packet: A under mask B, network order. C is an offset in the header. */

/** Two units: three words of A from O_A on, three of B behind. */
export const OP_SET_ETH = 18;
/** Address at C. */
export const OP_SET_IPV4 = 19;
/** Bytes 0, TOS, TTL, 0. */
export const OP_SET_IPV4_NW = 20;
/** Part of an address, at C. */
export const OP_SET_IPV6 = 21;
/** Bytes at C that no checksum covers: class and label, hop limit. */
export const OP_SET_IPV6_PLAIN = 22;
/** Ports; C: offset of the checksum, 16 (TCP) or 6 (UDP). */
export const OP_SET_PORTS = 23;
/** Bytes type, code, 0, 0. */
export const OP_SET_ICMP = 24;
/** Bytes at C of a neighbor discovery message. */
export const OP_SET_ND = 25;
/** Bytes at C of ARP. */
export const OP_SET_ARP = 26;
/** The outermost label stack entry. */
export const OP_SET_MPLS = 27;
/** Three words of the key, from the target on, become A, B and C. Machine's order. */
export const OP_PUT_TUNNEL = 28;
/** What goes out next has no more than A bytes. */
export const OP_TRUNC = 29;
/** What follows is for a copy of the packet; the packet itself, as it is and with all that is known of it, goes on at the target. */
export const OP_BRANCH = 30;
export const OP_COUNT = 31;

/** OP_PUT_TUNNEL: the tunnel begins anew, all other words of it are 0. */
export const FLAG_NEW_TUNNEL = 1;

/** OP_REQUIRE: not a packet that the device has still to segment. */
export const REQUIRE_WHOLE = 1;
/** Ethernet II with at most two tags: no SNAP header, no third tag. */
export const REQUIRE_ETHERNET_II = 2;
/** If it is IPv6, its extension headers are none, or a fragment header alone. */
export const REQUIRE_PLAIN_IPV6 = 4;

/** Units that an operation takes. */
export const unitsOf = (code: number): number => (code === OP_SET_ETH ? 2 : 1);
