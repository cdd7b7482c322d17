/** Operations that ask what the packet is. R6 = context, R9 = frame, R8 = the operation's unit. */
import {
  add,
  and,
  B,
  block,
  call,
  ja,
  jeq,
  jeq32,
  jle,
  jne,
  jset,
  label,
  ldx,
  lsh,
  mov,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R8,
  R9,
  R10,
  rsh,
  sub,
  W,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { W_ETH_TYPE, W_NW } from '../../flow/layout.ts';
import * as O from './action-ops.ts';
import { wireLength } from './code.ts';
import * as L from './layout.ts';

const BYTE_AT = -24;
const UDP = 17;
/** Ethertypes as they stand in memory. */
export const VLAN = 0x0081;
export const QINQ = 0xa888;

/** R10 + BYTE_AT = the packet's byte at R2; goes to `otherwise` if it is not there. */
const loadByte = (otherwise: string): Code => [
  mov(R1, R6),
  mov(R3, R10),
  add(R3, BYTE_AT),
  mov(R4, 1),
  call(helper.skbLoadBytes),
  jne(R0, 0, otherwise),
];

/**
 * Goes to `otherwise` where the longest frame that a wire would see of the packet has no more than A bytes. A packet that
 * is still to be segmented becomes frames of its headers and `gso_size` bytes each.
 */
export const checkLength = (otherwise: string): Code =>
  block(
    'check_pkt_len',
    wireLength(R7),
    ldx(W, R1, R6, skb.gsoSize),
    jeq(R1, 0, 'compare'),
    ldx(W, R2, R9, L.F_L4),
    jeq32(R2, L.LAYER_ABSENT, 'compare'),
    ldx(W, R1, R9, L.frameWord(W_NW)),
    and(R1, 0xff),
    mov(R5, 8),
    jeq(R1, UDP, 'headers'),
    add(R2, 12),
    loadByte('compare'),
    ldx(B, R5, R10, BYTE_AT),
    rsh(R5, 4),
    lsh(R5, 2),
    label('headers'),
    ldx(W, R1, R6, skb.gsoSize),
    add(R5, R1),
    ldx(W, R1, R9, L.F_L4),
    add(R5, R1),
    ldx(W, R1, R6, skb.vlanPresent),
    jeq(R1, 0, 'untagged'),
    add(R5, 4),
    label('untagged'),
    jle(R7, R5, 'compare'),
    mov(R7, R5),
    label('compare'),
    ldx(W, R1, R8, O.O_A),
    jle(R7, R1, otherwise),
  );

/** Goes to `unmet` unless the packet is all that the flags say. */
export const requirement = (unmet: string): Code =>
  block(
    'requirement',
    ldx(B, R7, R8, O.O_FLAGS),
    jset(R7, O.REQUIRE_WHOLE, 'whole'),
    ja('not whole'),
    label('whole'),
    ldx(W, R1, R6, skb.gsoSize),
    jne(R1, 0, unmet),
    label('not whole'),
    jset(R7, O.REQUIRE_ETHERNET_II, 'ethernet'),
    ja('not ethernet'),
    label('ethernet'),
    ethernetII(unmet),
    label('not ethernet'),
    jset(R7, O.REQUIRE_PLAIN_IPV6, 'ipv6'),
    ja('done'),
    label('ipv6'),
    plainIpv6(unmet, 'done'),
    label('done'),
  );

/** What follows the MAC addresses is at most two tags, and L2.5 or L3 right behind. */
const ethernetII = (unmet: string): Code =>
  block(
    'Ethernet II',
    ldx(W, R1, R9, L.frameWord(W_ETH_TYPE)),
    rsh(R1, 16),
    jeq(R1, 0x8100, unmet),
    jeq(R1, 0x88a8, unmet),
    // With the outer tag beside the packet, the kernel's protocol is what stands at offset 12: the inner tag, if there is one.
    mov(R2, 14),
    ldx(W, R1, R6, skb.protocol),
    jeq(R1, VLAN, 'inner tag'),
    jne(R1, QINQ, 'no inner tag'),
    label('inner tag'),
    add(R2, 4),
    label('no inner tag'),
    ldx(W, R1, R9, L.F_L25),
    jeq32(R1, L.LAYER_ABSENT, 'no label'),
    jne(R1, R2, unmet),
    ja('right'),
    label('no label'),
    ldx(W, R1, R9, L.F_L3),
    jne(R1, R2, unmet),
    label('right'),
  );

/** Between an IPv6 header and L4 stands nothing, or a fragment header alone. Other packets go on at `met`. */
const plainIpv6 = (unmet: string, met: string): Code =>
  block(
    'plain IPv6',
    ldx(W, R1, R9, L.frameWord(W_ETH_TYPE)),
    rsh(R1, 16),
    jne(R1, 0x86dd, met),
    ldx(W, R2, R9, L.F_L4),
    jeq32(R2, L.LAYER_ABSENT, met),
    ldx(W, R1, R9, L.F_L3),
    sub(R2, R1),
    jeq(R2, 40, met),
    jne(R2, 48, unmet),
    mov(R2, R1),
    add(R2, 6),
    loadByte(unmet),
    ldx(B, R1, R10, BYTE_AT),
    jne(R1, 44, unmet),
  );
