/**
 * The parser that stands in front of the masks' lookups: from the packet's bytes to the words of its flow key, as
 * `extractFlow` (packet/extract.ts) does it, for the words that some mask in use asks for. What every packet
 * gets in any case: the layer offsets, the bytes behind the IP packet, W_ETH_TYPE, W_NW and the TCP flags.
 *
 * The two must agree on any bytes: a packet that looked different here than in JavaScript would meet another's megaflow.
 * So this follows extractFlow header by header, with the same idea of what is too short: all sizes are compared with the
 * packet's length (`skb->len`), and only then with what can be read where it lies. If that is less, the packet's first
 * bytes are pulled together and the program starts over, once; by a tail call, for a loop would have the verifier follow
 * all of it twice. What then is still out of reach, and headers that repeat more often than `MAX_REPEATED`, go to
 * `unparsed`, where the packet is left to JavaScript.
 *
 * The outermost VLAN tag is not in the bytes where the device or the kernel took it off; then it is in the skb, and counts
 * as the first of the two that a key has room for.
 *
 * For the verifier's sake the place of a layer is stored in the frame and made into a pointer anew: it follows the code
 * behind once then, not once for each combination of the headers in front.
 */
import {
  add,
  and,
  block,
  call,
  DW,
  H,
  ja,
  jeq,
  jgt,
  jle,
  jlt,
  jne,
  jset,
  label,
  ldx,
  lsh,
  mov,
  note,
  or,
  or32,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R9,
  R10,
  st,
  stx,
  sub,
  toBe,
  W,
} from '../../ebpf/asm.ts';
import { packetPointers, tailCall } from '../../ebpf/build.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, MapReference } from '../../ebpf/instruction.ts';
import {
  N_MPLS,
  VLAN_CFI,
  W_ARP_HA,
  W_ETH,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_MPLS,
  W_ND_OPTIONS,
  W_ND_TARGET,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { DL_TYPE_NONE } from '../packet/extract.ts';
import { F_L2_PAD, F_L3, F_L4, F_L25, F_PULLED, frameWord } from './layout.ts';
import { copyWord, copyWords, MAX_REPEATED, readable, setWord, type WantedWords } from './parse-code.ts';
import { ipv4, ipv6 } from './parse-ip.ts';
import { transport } from './parse-l4.ts';

/** Bytes that are pulled together where fewer can be read. Not more: the rest of a 64 kB packet shall stay where it is. */
const PULLED = 256;
/** The link layer is no longer than this: two tags, SNAP. */
const MAX_L3 = 64;
/** Stack place of what F_PULLED was. */
const PULLED_AT = -16;

/** Words that only some packets have. */
const OPTIONAL = [
  ...range(W_VLAN, 2),
  ...range(W_MPLS, N_MPLS),
  W_NW_SRC,
  W_NW_DST,
  ...range(W_IPV6_SRC, 8),
  W_IPV6_LABEL,
  ...range(W_ND_TARGET, 4),
  ...range(W_ARP_HA, 3),
  W_TP,
  W_IGMP_GROUP,
  W_ND_OPTIONS,
];

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/**
 * Fills the frame from the packet. Stands at the start of the program `self` of the table `programs`. Goes to the label `unparsed` of the code around it with what it cannot parse.
 * Destroys all registers but R6 and R9; metadata words stay as they are.
 */
export const parse = (wanted: WantedWords, programs: MapReference, self: number): Code =>
  block(
    'parse',
    ldx(W, R1, R9, F_PULLED),
    stx(DW, R10, PULLED_AT, R1),
    st(W, R9, F_PULLED, 0),
    packetPointers(),
    note('clear', clear(wanted)),
    note('Ethernet', ethernet(wanted)),
    note('IPv4', label('ipv4'), ipv4(wanted)),
    note('transport', label('transport'), transport(wanted)),
    note('IPv6', label('ipv6'), ipv6(wanted)),
    note('ARP', label('arp'), arp(wanted)),
    note('MPLS', label('mpls'), mpls(wanted)),
    note('pull', label('pull'), pull(programs, self)),
    label('done'),
  );

function clear(wanted: WantedWords): Code {
  const words = [W_NW, W_TCP_FLAGS, ...OPTIONAL.filter((w) => wanted.has(w))].sort((a, b) => a - b);
  const code: Code[] = [];
  for (let i = 0; i < words.length; i++) {
    const pair = words[i + 1] === words[i]! + 1;
    code.push(st(pair ? DW : W, R9, frameWord(words[i]!), 0));
    if (pair) i++;
  }
  // L25 and L3, L4: LAYER_ABSENT.
  return [code, st(DW, R9, F_L25, -1), st(W, R9, F_L4, -1), st(W, R9, F_L2_PAD, 0)];
}

/** Leads to the code of the network layer with R7 at its header, R3 = its offset, R4 = bytes from there. */
const ethernet = (wanted: WantedWords): Code =>
  block(
    'link layer',
    readable(14),
    copyWords(wanted, W_ETH, 0, 3),
    ldx(W, R4, R6, skb.len),
    sub(R4, 12),
    ldx(H, R2, R7, 12),
    toBe(16, R2),
    add(R7, 12),
    ldx(W, R1, R6, skb.vlanPresent),
    jne(R1, 0, 'offloaded'),
    jeq(R2, 0x8100, 'outer'),
    jeq(R2, 0x88a8, 'outer'),
    label('untagged'),
    add(R7, 2),
    sub(R4, 2),
    jlt(R2, 0x0600, 'length'),
    label('typed'),
    mov(R1, R2),
    lsh(R1, 16),
    stx(W, R9, frameWord(W_ETH_TYPE), R1),
    ldx(W, R3, R6, skb.len),
    sub(R3, R4),
    stx(W, R9, F_L3, R3),
    jgt(R3, MAX_L3, 'unparsed'),
    ldx(W, R7, R6, skb.data),
    add(R7, R3),
    jeq(R2, 0x0800, 'ipv4'),
    jeq(R2, 0x86dd, 'ipv6'),
    jeq(R2, 0x0806, 'arp'),
    jeq(R2, 0x8035, 'arp'),
    jeq(R2, 0x8847, 'mpls'),
    jeq(R2, 0x8848, 'mpls'),
    ja('done'),

    label('offloaded'),
    ldx(W, R1, R6, skb.vlanProto),
    toBe(16, R1),
    lsh(R1, 16),
    ldx(W, R3, R6, skb.vlanTci),
    and(R3, 0xffff),
    or(R1, R3),
    or32(R1, VLAN_CFI),
    setWord(wanted, W_VLAN, R1),
    jeq(R2, 0x8100, 'inner'),
    jeq(R2, 0x88a8, 'inner'),
    ja('untagged'),
    label('outer'),
    tag(wanted, W_VLAN),
    jeq(R2, 0x8100, 'inner'),
    jeq(R2, 0x88a8, 'inner'),
    ja('untagged'),
    label('inner'),
    tag(wanted, W_VLAN + 1),
    ja('untagged'),

    label('length'),
    jlt(R4, 8, 'none'),
    readable(8),
    ldx(W, R1, R7, 0),
    jne(R1, 0x0003aaaa, 'none'),
    ldx(H, R1, R7, 4),
    jne(R1, 0, 'none'),
    ldx(H, R2, R7, 6),
    toBe(16, R2),
    add(R7, 8),
    sub(R4, 8),
    jlt(R2, 0x0600, 'none'),
    ja('typed'),
    label('none'),
    mov(R2, DL_TYPE_NONE),
    ja('typed'),
  );

/** The tag whose TPID, in R2, stands at R7: goes on to the next type, if the tag and that are there at all. */
const tag = (wanted: WantedWords, word: number): Code => [
  jlt(R4, 6, 'untagged'),
  readable(6),
  ldx(H, R1, R7, 2),
  toBe(16, R1),
  lsh(R2, 16),
  or(R1, R2),
  or32(R1, VLAN_CFI),
  setWord(wanted, word, R1),
  ldx(H, R2, R7, 4),
  toBe(16, R2),
  add(R7, 4),
  sub(R4, 4),
];

/** ARP and RARP, for Ethernet and IPv4. */
const arp = (wanted: WantedWords): Code =>
  block(
    'arp',
    jlt(R4, 28, 'done'),
    readable(28),
    // Hardware type 1 and protocol 0x0800 as they stand in the packet, then the addresses' lengths.
    ldx(W, R1, R7, 0),
    jne(R1, 0x00080100, 'done'),
    ldx(H, R1, R7, 4),
    jne(R1, 0x0406, 'done'),
    ldx(H, R1, R7, 6),
    toBe(16, R1),
    // The key has eight bits for the opcode.
    jgt(R1, 0xff, 'other'),
    stx(W, R9, frameWord(W_NW), R1),
    label('other'),
    copyWord(wanted, W_NW_SRC, 14),
    copyWord(wanted, W_NW_DST, 24),
    copyWord(wanted, W_ARP_HA, 8),
    wanted.has(W_ARP_HA + 1)
      ? [
          ldx(H, R1, R7, 12),
          toBe(16, R1),
          lsh(R1, 16),
          ldx(H, R2, R7, 18),
          toBe(16, R2),
          or(R1, R2),
          stx(W, R9, frameWord(W_ARP_HA + 1), R1),
        ]
      : [],
    copyWord(wanted, W_ARP_HA + 2, 20),
    ja('done'),
  );

/** A label stack, of which the key has the outermost three entries. */
const mpls = (wanted: WantedWords): Code =>
  block(
    'label stack',
    stx(W, R9, F_L25, R3),
    mov(R5, 0),
    Array.from({ length: MAX_REPEATED }, (_, i) => [
      jlt(R4, 4, 'end'),
      readable(4),
      ldx(W, R2, R7, 0),
      toBe(32, R2),
      i < N_MPLS ? setWord(wanted, W_MPLS + i, R2) : [],
      add(R7, 4),
      sub(R4, 4),
      jset(R2, 0x100, 'end'),
    ]),
    jle(R4, 3, 'end'),
    ja('unparsed'),
    label('end'),
    ldx(W, R3, R6, skb.len),
    sub(R3, R4),
    stx(W, R9, F_L3, R3),
    ja('done'),
  );

const pull = (programs: MapReference, self: number): Code =>
  block(
    'pull together',
    ldx(DW, R1, R10, PULLED_AT),
    jne(R1, 0, 'unparsed'),
    ldx(W, R2, R6, skb.len),
    jle(R2, PULLED, 'all'),
    mov(R2, PULLED),
    label('all'),
    mov(R1, R6),
    call(helper.skbPullData),
    jne(R0, 0, 'unparsed'),
    st(W, R9, F_PULLED, 1),
    tailCall(programs, self),
    st(W, R9, F_PULLED, 0),
    ja('unparsed'),
  );
