/**
 * How logical state lies in OpenFlow: which registers hold what, which tables a pipeline uses. Controller and
 * agents share it; whoever looks at `ovs-ofctl dump-flows br-int` reads flows by it.
 *
 * A packet is in one logical datapath (a switch or a router) at a time. `metadata` holds that datapath's
 * label, and every universal flow matches on it: no flow of one datapath ever sees a packet of another.
 * Labels of datapaths and ports come from one space of 24 bits, 1 to 2^24-1, so that a label fits into the key
 * of any tunnel: what arrives by a tunnel with key L goes to port L, or, if L is a switch, to all of
 * its ports on this host.
 */

/** Labels: of logical datapaths and ports, unique over both in the whole installation. */
export const MAX_LABEL = 0xff_ffff;

/** Registers with a fixed meaning. The others (reg0 to reg9) are scratch within one pass of a pipeline. */
export const REGISTERS = {
  /** Label of the logical datapath that the packet is in (64 bits, the upper ones zero). */
  datapath: 'metadata',
  /** Label of the logical port that the packet came in by. */
  inPort: 'reg14',
  /** Label of the logical port it is to leave by; the label of the switch itself: all of its ports. */
  outPort: 'reg15',
  /** Conntrack zone of the port whose stateful rules are being asked; the agent gives zones. */
  zone: 'reg13',
  /** Flags, one bit each: see {@link FLAGS}. */
  flags: 'reg10',
} as const;

/** Bits of the flags register. */
export const FLAGS = {
  /** May leave by the port it came in by (an answer that the pipeline made of a question). */
  loopback: 0,
} as const;

/**
 * The stages of the logical pipelines, in order. A stage is one OpenFlow table; a packet goes on to the next
 * stage with `next`. A stage that has no flow for a packet drops it. What is the same in all datapaths, such as to go on
 * where a stage has nothing to say, is in COMMON_FLOWS (`common-flows.ts`), which every agent has from the start.
 */
export const SWITCH_INGRESS = [
  'ls-in-security',
  'ls-in-discovery',
  'ls-in-conntrack',
  'ls-in-acl',
  'ls-in-commit',
  'ls-in-qos',
  'ls-in-answer',
  'ls-in-destination',
] as const;
export const ROUTER_INGRESS = [
  'lr-in-admit',
  'lr-in-local',
  'lr-in-ttl',
  'lr-in-route',
  'lr-in-neighbor',
  'lr-in-out',
] as const;
/** Runs where the port is, on what leaves by one port. */
export const SWITCH_EGRESS = [
  'ls-out-unknown',
  'ls-out-conntrack',
  'ls-out-acl',
  'ls-out-commit',
  'ls-out-security',
] as const;
export const STAGES = [...SWITCH_INGRESS, ...ROUTER_INGRESS, ...SWITCH_EGRESS] as const;
export type Stage = (typeof STAGES)[number];

const TABLE_OF = new Map<Stage, number>();
for (const [base, stages] of [
  [8, SWITCH_INGRESS],
  [24, ROUTER_INGRESS],
  [40, SWITCH_EGRESS],
] as const) {
  stages.forEach((stage, i) => void TABLE_OF.set(stage, base + i));
}

/** The OpenFlow table of a stage. */
export function stageTable(stage: Stage): number {
  const table = TABLE_OF.get(stage);
  if (table === undefined) throw new RangeError(`no such stage: ${stage}`);
  return table;
}

/** Tables that agents fill from locations: where logical meets physical. */
export const TABLES = {
  /** From a device or a tunnel to a logical port. */
  physicalToLogical: 0,
  /** Out port -> its egress pipeline if it is here, the tunnel to its host if not, every port for a switch's label. */
  output: 64,
  /** As `output`, for what came by a tunnel: only to ports that are here, never into a tunnel again. */
  localOutput: 65,
  /** After the egress pipeline: to the device. */
  deliver: 66,
} as const;

/** The bridge that agents use unless told otherwise. */
export const INTEGRATION_BRIDGE = 'br-int';
