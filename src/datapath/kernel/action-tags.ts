/**
 * Tags and labels: edit.ts's pushes and pops, done by helpers. The outermost VLAN tag is never among the packet's bytes here
 * but beside them (offloaded), where Linux puts it at reception. So what the userspace datapath has at offset 12 is missing in
 * the skb, and the frame's layer offsets, which are the skb's, stay behind by 4.
 */
import {
  add,
  and,
  B,
  block,
  call,
  H,
  ja,
  jeq,
  jeq32,
  jlt,
  jne,
  jslt,
  label,
  ldx,
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
  st,
  stx,
  sub,
  toBe,
  W,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { QINQ, VLAN } from './action-checks.ts';
import * as O from './action-ops.ts';
import * as L from './layout.ts';

const BYTES_AT = -24;
/** The tags that stand in front of a label: TPID, TCI, four bytes each. */
export const TAGS_AT = -64;

const RECOMPUTE = 1;
const LAYERS = [L.F_L25, L.F_L3, L.F_L4];

const vlanPop = (): Code => [mov(R1, R6), call(helper.skbVlanPop)];
/** TPID in R2, TCI in R3. */
const vlanPush = (): Code => [mov(R1, R6), call(helper.skbVlanPush)];

/** Adds `by` to each layer offset that the packet has. Destroys R1. */
const shiftLayers = (fields: readonly number[], by: number): Code =>
  fields.map((field) =>
    block(
      'shift layer',
      ldx(W, R1, R9, field),
      jeq32(R1, L.LAYER_ABSENT, 'absent'),
      add(R1, by),
      stx(W, R9, field, R1),
      label('absent'),
    ),
  );

/**
 * Takes a tag that is among the packet's bytes out of them. Needs no more than the context and the frame. Packets from a
 * device never have one there; those of test runs do. If the kernel refuses, the packet has no whole tag.
 */
export const tagOutOfBand = (): Code =>
  block(
    'tag out of band',
    ldx(W, R1, R6, skb.vlanPresent),
    jne(R1, 0, 'done'),
    ldx(W, R1, R6, skb.protocol),
    jeq(R1, VLAN, 'tagged'),
    jne(R1, QINQ, 'done'),
    label('tagged'),
    ldx(W, R1, R6, skb.len),
    jlt(R1, 18, 'done'),
    mov(R1, R6),
    mov(R2, 12),
    mov(R3, R10),
    add(R3, BYTES_AT),
    mov(R4, 4),
    call(helper.skbLoadBytes),
    jne(R0, 0, 'done'),
    vlanPop(),
    jne(R0, 0, 'done'),
    ldx(H, R2, R10, BYTES_AT),
    ldx(H, R3, R10, BYTES_AT + 2),
    toBe(16, R3),
    vlanPush(),
    shiftLayers(LAYERS, -4),
    label('done'),
  );

export const pushVlan = (failed: string): Code =>
  block(
    'push_vlan',
    ldx(W, R7, R6, skb.vlanPresent),
    ldx(W, R2, R8, O.O_A),
    ldx(W, R3, R8, O.O_B),
    vlanPush(),
    jne(R0, 0, failed),
    // The tag that was beside the packet went into it.
    jeq(R7, 0, 'next'),
    shiftLayers(LAYERS, 4),
  );

export const popVlan = (): Code =>
  block(
    'pop_vlan',
    ldx(W, R1, R6, skb.vlanPresent),
    jeq(R1, 0, 'next'),
    vlanPop(),
    // The next tag, if there is one, has left the bytes.
    ldx(W, R7, R6, skb.vlanPresent),
    LAYERS.map((field) =>
      block(
        'layer behind a tag',
        ldx(W, R1, R9, field),
        jeq32(R1, L.LAYER_ABSENT, 'absent'),
        // As on the wire: with the tag that went. One that pointed into it stays.
        add(R1, 4),
        jlt(R1, 16, 'stays'),
        sub(R1, 4),
        label('stays'),
        jeq(R7, 0, 'no other'),
        sub(R1, 4),
        label('no other'),
        stx(W, R9, field, R1),
        label('absent'),
      ),
    ),
  );

/**
 * Takes all tags off the packet, which leaves the label stack or L3 at offset 14, and notes them at TAGS_AT. What stands
 * in front of L2.5 or L3 (the layer at `field`) must be tags only: goes to `failed` if not, or if there are too many.
 */
export const liftTags = (failed: string): Code => [
  Array.from({ length: O.MAX_TAGS }, (_, i) =>
    block(
      `lift tag ${i}`,
      st(W, R10, TAGS_AT + 4 * i, 0),
      ldx(W, R1, R6, skb.vlanPresent),
      jeq(R1, 0, 'none'),
      ldx(W, R1, R6, skb.vlanProto),
      ldx(W, R2, R6, skb.vlanTci),
      stx(H, R10, TAGS_AT + 4 * i, R1),
      stx(H, R10, TAGS_AT + 4 * i + 2, R2),
      // It may say that what follows is half a tag; that stays where it is.
      vlanPop(),
      label('none'),
    ),
  ),
  ldx(W, R1, R6, skb.vlanPresent),
  jne(R1, 0, failed),
];

/** Puts back what `liftTags` took. */
const returnTags = (failed: string): Code =>
  Array.from({ length: O.MAX_TAGS }, (_, n) => {
    const at = TAGS_AT + 4 * (O.MAX_TAGS - 1 - n);
    return block(
      'return tag',
      ldx(H, R2, R10, at),
      jeq(R2, 0, 'none'),
      ldx(H, R3, R10, at + 2),
      vlanPush(),
      jne(R0, 0, failed),
      label('none'),
    );
  });

/** Pushes tags of no meaning, whose bytes get overwritten. */
export const pushBlanks = (count: number, failed: string): Code =>
  Array.from({ length: count }, () => [mov(R2, VLAN), mov(R3, 0), vlanPush(), jne(R0, 0, failed)]);

export const popBlanks = (count: number, failed: string): Code =>
  Array.from({ length: count }, () => [vlanPop(), jne(R0, 0, failed)]);

/** Writes six bytes at R10 + BYTES_AT to offset 16. */
const overwrite = (failed: string): Code => [
  mov(R1, R6),
  mov(R2, 16),
  mov(R3, R10),
  add(R3, BYTES_AT),
  mov(R4, 6),
  mov(R5, RECOMPUTE),
  call(helper.skbStoreBytes),
  jne(R0, 0, failed),
];

/** R7 = where the label stack begins, or else L3. */
const behindLink = (): Code =>
  block(
    'behind the link layer',
    ldx(W, R7, R9, L.F_L25),
    jeq32(R7, L.LAYER_ABSENT, 'no label'),
    ja('found'),
    label('no label'),
    ldx(W, R7, R9, L.F_L3),
    jeq32(R7, L.LAYER_ABSENT, 'next'),
    label('found'),
  );

/**
 * No helper inserts four bytes into just any packet and tells the kernel the new protocol, but pushing tags does both: of
 * three blank tags one stays beside the packet and two are in its bytes. The inner one's place is taken by the label, and its
 * EtherType by that of MPLS. Popping the others makes it the packet's protocol.
 */
export const pushMpls = (failed: string): Code =>
  block(
    'push_mpls',
    behindLink(),
    liftTags(failed),
    pushBlanks(3, failed),
    ldx(H, R1, R8, O.O_A),
    stx(H, R10, BYTES_AT, R1),
    ldx(H, R1, R8, O.O_B),
    stx(H, R10, BYTES_AT + 2, R1),
    ldx(H, R1, R8, O.O_B + 2),
    stx(H, R10, BYTES_AT + 4, R1),
    overwrite(failed),
    popBlanks(2, failed),
    returnTags(failed),
    shiftLayers([L.F_L3, L.F_L4], 4),
    stx(W, R9, L.F_L25, R7),
  );

/** The reverse: the label is made a tag with the EtherType that comes behind it, and popped. */
export const popMpls = (failed: string): Code =>
  block(
    'pop_mpls',
    ldx(W, R7, R9, L.F_L25),
    jeq32(R7, L.LAYER_ABSENT, 'next'),
    ldx(W, R1, R6, skb.len),
    sub(R1, R7),
    jslt(R1, 4, 'next'),
    mov(R1, R6),
    mov(R2, R7),
    mov(R3, R10),
    add(R3, BYTES_AT),
    mov(R4, 4),
    call(helper.skbLoadBytes),
    jne(R0, 0, failed),
    ldx(B, R7, R10, BYTES_AT + 2),
    and(R7, 1),
    liftTags(failed),
    pushBlanks(2, failed),
    st(H, R10, BYTES_AT, VLAN),
    st(H, R10, BYTES_AT + 2, 0),
    ldx(H, R1, R8, O.O_A),
    stx(H, R10, BYTES_AT + 4, R1),
    overwrite(failed),
    popBlanks(3, failed),
    returnTags(failed),
    shiftLayers([L.F_L3, L.F_L4], -4),
    jeq(R7, 0, 'next'),
    st(W, R9, L.F_L25, L.LAYER_ABSENT),
  );
