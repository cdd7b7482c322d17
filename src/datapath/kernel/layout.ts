import {
  FLOW_WORDS,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_STATE,
  W_DP_HASH,
  W_IN_PORT,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_SKB_PRIORITY,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
  W_TUN_TP,
} from '../../flow/layout.ts';

/*
 * What the programs of the kernel datapath and JavaScript must agree on: where things stand in maps.
 *
 * All numbers in maps are in the machine's own byte order (little-endian), flow keys included: word w of a key is the
 * same number as in a `Flow`, and what was a network-order field in the packet was swapped when it was read.
 *
 * Conventions of all programs: R6 holds the context, R9 the frame; R7 and R8 the packet's begin and end where a program
 * reads the packet itself.
 */

// --- The frame: what is known of the packet at hand, one for each CPU ------------------------------------
//
// A per-CPU array with one entry. It outlives tail calls, and nothing else can run on the CPU meanwhile: programs
// run with bottom halves off, and what they send is queued before the next program sees it.

/** The packet's flow key: word w of flow/layout.ts at `frameWord(w)`. */
export const frameWord = (word: number): number => 4 * word;
/** Bytes of all words. */
export const FRAME_KEY_SIZE = 4 * FLOW_WORDS;
/** Recirculations and decapsulations behind the packet; u32, like all that follow. */
export const F_DEPTH = FRAME_KEY_SIZE;
/** Ring that upcalls of the packet's port go to. */
export const F_RING = F_DEPTH + 4;
/** Layer offsets from the skb's first byte (an offloaded tag is not in there); `LAYER_ABSENT` if there is no such. */
export const F_L25 = F_RING + 4;
export const F_L3 = F_L25 + 4;
export const F_L4 = F_L3 + 4;
/** Bytes behind the IP packet. */
export const F_L2_PAD = F_L4 + 4;
/** The megaflow that the packet met: its index; `NO_FLOW`: none. */
export const F_FLOW = F_L2_PAD + 4;
/** Slot of its action program. */
export const F_PROGRAM = F_FLOW + 4;
/** Where the action program goes on. */
export const F_PC = F_PROGRAM + 4;
/** Bytes by which `trunc` wants the next output shorter. */
export const F_CUT = F_PC + 4;
/** Number that an upcall by action takes along. */
export const F_COOKIE = F_CUT + 4;
/** Other than 0: the key's tunnel words may be other than 0, and the next packet's entry has to clear them. */
export const F_TUNNEL = F_COOKIE + 4;
/** Index of the entry in the port statistics of the packet's port. */
export const F_PORT_STATS = F_TUNNEL + 4;
/** Between PROGRAM_LOOKUP and its second start: 1, the packet's first bytes were pulled together. */
export const F_PULLED = F_PORT_STATS + 4;
/** The last packet's time: in the kernel's ticks, and as the coarse monotonic clock told it; u64. */
export const F_TICK = F_PULLED + 4;
export const F_NOW = F_TICK + 8;
/** Program that the copy of the packet which goes out of the loopback device shall run, plus 1; 0: no copy is on its way. */
export const F_BRANCH = F_NOW + 8;
/** How many copies of copies the packet is; 0: it is the one that came in. */
export const F_LEVEL = F_BRANCH + 4;
/** Memory for whoever runs, kept by nobody. */
export const F_SCRATCH = 768;
export const SCRATCH_SIZE = 512;
/** Mask cache: a byte for each of `MASK_CACHE_SLOTS` hashes, the index of the table that a packet was found in. */
export const F_MASK_CACHE = F_SCRATCH + SCRATCH_SIZE;
/** A power of two. */
export const MASK_CACHE_SLOTS = 4096;
export const FRAME_SIZE = F_MASK_CACHE + MASK_CACHE_SLOTS;

export const LAYER_ABSENT = 0xffffffff;
export const NO_FLOW = 0xffffffff;

/** As in the userspace datapath. */
export const MAX_DEPTH = 6;

// --- Program table: who can be called ---------------------------------------------------------------------

/** Parses the packet and looks it up; metadata are in the frame. Generated anew when the masks change. */
export const PROGRAM_LOOKUP = 0;
/** Runs the action program `F_PROGRAM` from `F_PC`. */
export const PROGRAM_ACT = 1;
/** Sends the packet into the tunnel that the frame's tunnel words describe. */
export const PROGRAM_ENCAP = 2;
/** Sends the packet out of the port whose number stands at the start of the scratch memory. */
export const PROGRAM_OUT = 3;
export const PROGRAM_SLOTS = 8;

// --- Mask tables -------------------------------------------------------------------------------------------

/** Value of an entry of a mask's hash: flow index, kind, argument, 0; four u32. */
export const ENTRY_SIZE = 16;
export const E_FLOW = 0;
export const E_KIND = 4;
export const E_ARGUMENT = 8;

/** JavaScript does it: an upcall, not counted as a hit here. */
export const ENTRY_UP = 0;
/** Dropped; argument 1: because of a `drop` action, which is counted by reason. */
export const ENTRY_DROP = 1;
/** Goes out at the port `argument`, unchanged. */
export const ENTRY_OUTPUT = 2;
/** Runs the action program in slot `argument`. */
export const ENTRY_PROGRAM = 3;

// --- Hot entries -------------------------------------------------------------------------------------------
//
// A per-CPU array of copies of entries that packets met last, by the hash of the mask cache. One is good while its tag is
// that of the program that looks and of the present epoch: JavaScript counts epochs, one for each entry that it
// changed or deleted. So whoever reads an epoch before it looks an entry up may keep that entry under it.

/** A power of two, and not more than MASK_CACHE_SLOTS. */
export const HOT_SLOTS = 4096;
export const HOT_SIZE = 96;
/** Tag: epoch, and number of the program; then index of the table. u32 each. */
export const HOT_TAG = 0;
export const HOT_TABLE = 8;
/** The entry. */
export const HOT_ENTRY = 16;
export const HOT_KEY = 32;
/** Longest keys; others are never hot. A multiple of 8. */
export const HOT_KEY_SIZE = 64;
/** An array with one entry. */
export const EPOCH_SIZE = 8;

// --- Action programs ---------------------------------------------------------------------------------------

/** An array of slots. A slot that was given up is not used again before nobody can be reading it. */
export const ACTION_SLOT_SIZE = 512;
export const ACTION_SLOTS = 16384;

/** What an action program keeps of the frame while a copy of its packet runs: an array with an entry for each level, per CPU. */
export const SAVE_SIZE = 640;
/** How many copies of copies there can be at a time. */
export const MAX_LEVELS = 4;
/** Of every network namespace. Its egress is where copies of packets run (branches.ts). */
export const LOOPBACK_IFINDEX = 1;

// --- Ports ---------------------------------------------------------------------------------------------------

/** An array by port number. All zero: no such port. */
export const PORT_SIZE = 32;
export const PORT_LIMIT = 65536;
/** Device that packets go out at. */
export const P_IFINDEX = 0;
export const P_FLAGS = 4;
/** Index of the port's statistics. */
export const P_STATS = 8;
/** Tunnel ports: kind (TUNNEL_*), and UDP port. */
export const P_TUNNEL_KIND = 12;
export const P_TUNNEL_PORT = 16;
/** With PORT_PEER: the other end's Ethernet address, six bytes as in packets. */
export const P_PEER_MAC = 20;

export const PORT_THERE = 1;
/** The device is one end of a veth pair whose other end is up in another namespace: packets may go straight there. */
export const PORT_PEER = 2;
export const PORT_TUNNEL = 4;

/** VXLAN packets may carry a group policy. */
export const PORT_GBP = 8;

// --- Tunnels ---------------------------------------------------------------------------------------------------
//
// IP addresses have 16 bytes, as in packets; IPv4 addresses are mapped (::ffff:a.b.c.d).

export const TUNNEL_VXLAN = 1;
export const TUNNEL_GENEVE = 2;
/** NVGRE too: its key is (VSID << 8) | flow id. */
export const TUNNEL_GRE = 3;

/** A hash of ways to the other ends. Key: destination, source (zeros: any), mark. */
export const ROUTE_KEY_SIZE = 36;
export const RK_DESTINATION = 0;
export const RK_SOURCE = 16;
export const RK_MARK = 32;
/** Device; source address for packets that have none; next hop as `struct bpf_redir_neigh` has it: family, address. */
export const ROUTE_SIZE = 40;
export const R_IFINDEX = 0;
export const R_SOURCE = 4;
export const R_HOP_FAMILY = 20;
export const R_HOP = 24;
export const MAX_ROUTES = 16384;

/** A hash of what is received: key is (IP protocol << 16) | UDP port. */
export const RECEIVER_SIZE = 20;
/** The datapath's port, its statistics and ring. */
export const RV_PORT = 0;
export const RV_STATS = 4;
export const RV_RING = 8;
export const RV_KIND = 12;
/** PORT_*. */
export const RV_FLAGS = 16;
export const MAX_RECEIVERS = 256;

/** A hash of the host's own addresses; values say nothing. */
export const LOCAL_KEY_SIZE = 16;
export const MAX_LOCALS = 4096;

// --- Statistics ----------------------------------------------------------------------------------------------
//
// Arrays that JavaScript maps. Each counter exists once a shard; a CPU writes to shard (CPU number mod shards). With as
// many shards as CPUs no two CPUs write to one, and plain additions do.

/** packets, bytes, time of the last (ns of the coarse monotonic clock), TCP flags: four u64. */
export const FLOW_STATS_SIZE = 32;
export const FS_PACKETS = 0;
export const FS_BYTES = 8;
export const FS_USED = 16;
export const FS_TCP_FLAGS = 24;

/** u64 each. */
export const PORT_STATS_SIZE = 64;
export const PS_RX_PACKETS = 0;
export const PS_RX_BYTES = 8;
export const PS_TX_PACKETS = 16;
export const PS_TX_BYTES = 24;
export const PS_RX_DROPPED = 32;
export const PS_TX_DROPPED = 40;
export const PS_TX_ERRORS = 48;
/** Ports that the kernel datapath can have at a time. */
export const MAX_KERNEL_PORTS = 4096;

/** A per-CPU array with one entry of u64: the numbers below, then a place for each of DROP_REASONS. */
export const T_HITS = 0;
/** Packets handed to JavaScript for want of an entry. */
export const T_MISSED = 8;
/** Upcalls that found no room. */
export const T_LOST = 16;
/** Hits that the mask cache led to at the first try. */
export const T_CACHE_HITS = 24;
export const T_MASKS_SEARCHED = 32;
/** Packets that an entry handed to JavaScript. */
export const T_UP = 40;
/** Packets that the parser left to JavaScript. */
export const T_UNPARSED = 48;
/** Packets that came while there was no program to look them up. */
export const T_NO_PROGRAM = 56;
export const T_DROPS = 64;
export const TOTALS_SIZE = 256;

// --- Upcalls --------------------------------------------------------------------------------------------------

/** Kinds: the packet wants a megaflow (or JavaScript's own copy of it); an action sent it up. */
export const UPCALL_PACKET = 0;
export const UPCALL_ACTION = 1;
/** The megaflow (`U_FLOW`) has counted the packet; JavaScript runs its actions on it, for eBPF cannot on this packet. */
export const UPCALL_EXECUTE = 2;
/**
 * JavaScript sends the packet into the tunnel of its key, by port `U_COOKIE`: there is no route in the map yet, or eBPF
 * cannot encapsulate this packet.
 */
export const UPCALL_ROUTE = 3;

/** Header of a record, before the packet. u32 each, but the words. */
export const U_KIND = 0;
export const U_LENGTH = 4;
export const U_COOKIE = 8;
export const U_FLOW = 12;
export const U_GSO_SIZE = 16;
export const U_GSO_SEGS = 20;
/** Where the packet begins in the record: with its offloaded tag, if it had one. */
export const U_DATA = 24;
export const U_CUT = 28;
/** Recirculations behind it. */
export const U_DEPTH = 32;
/** Queue that the record's bytes count in: F_PORT_STATS. */
export const U_QUEUE = 36;
/** Key words that are not in the packet, back to back: `UPCALL_WORDS`. */
export const U_WORDS = 40;
export const UPCALL_WORDS: readonly number[] = [
  ...wordsFrom(W_TUN_ID, W_TUN_TP + 1 - W_TUN_ID),
  W_SKB_PRIORITY,
  W_PKT_MARK,
  W_DP_HASH,
  W_IN_PORT,
  W_RECIRC_ID,
  W_CT_STATE,
  W_CT_MARK,
  ...wordsFrom(W_CT_LABEL, 4),
];
/** Bytes of the header. */
export const U_HEADER_SIZE = U_WORDS + 4 * UPCALL_WORDS.length;
/** The same of packets with F_TUNNEL, which have the words of Geneve options behind it. */
export const U_TUNNEL_HEADER_SIZE = U_HEADER_SIZE + 4 * (FLOW_WORDS - W_TUN_METADATA_PRESENT);
/** Longest packets of the sizes of records; the last is above any GSO packet of 64 kB. */
export const UPCALL_ROOMS: readonly number[] = [228, 2020, 16356, 69636];

/** An array that JavaScript maps, by F_PORT_STATS: bytes of records that programs wrote and that JavaScript read. u32, which wrap. */
export const QUEUE_SIZE = 8;
export const QUEUE_WRITTEN = 0;
export const QUEUE_READ = 4;

function wordsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** JavaScript's own counters are in a map too, so that they outlive the process: memory in pieces of so many bytes. */
export const COUNTER_PIECE = 64;
