import type { DpAction, SlowPathReason } from '../../datapath/types.ts';
import type { FlowArena } from '../../flow/flow-arena.ts';
import {
  FLOW_WORDS,
  type Flow,
  N_MPLS,
  N_VLANS,
  newFlow,
  PT_ETH,
  VLAN_CFI,
  W_ACTSET_OUTPUT,
  W_CONJ_ID,
  W_CT_IPV6_DST,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
  W_ETH,
  W_ETH_TYPE,
  W_IN_PORT,
  W_METADATA,
  W_MPLS,
  W_NW,
  W_PACKET_TYPE,
  W_RECIRC_ID,
  W_REG,
  W_SKB_PRIORITY,
  W_TP,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
  W_TUN_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import type { Action, ActionOf, ControllerAction } from '../../openflow/actions/types.ts';
import { OFPP_UNSET } from '../../openflow/constants.ts';
import {
  bridgeTag,
  type Dependencies,
  groupTag,
  macTag,
  portListTag,
  portTag,
} from '../ofproto/dependencies.ts';
import type { Group } from '../ofproto/group.ts';
import type { MacEntry } from '../ofproto/mac-table.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { Bundle, OfPort } from '../ofproto/port.ts';
import type { Rule } from '../ofproto/rule.ts';
import { type OptionsError, optionsToFields } from '../tunnel/options.ts';
import { hasTunnelDestination } from '../tunnel/ports.ts';
import * as b from './bits.ts';
import { commitActions } from './commit.ts';
import type { StackValue } from './frozen.ts';
import type { TraceKind, TraceNode } from './report.ts';
import { seeTunnel } from './tunnel.ts';
import type { CacheEntry, TrafficStats, XlateError, XlateInput } from './types.ts';

export const NO_COOKIE = 0xffffffffffffffffn;

/**
 * Translates `actions` one after the other. `last`: nothing of the packet is needed afterwards;
 * `bucket`: they are those of a group's bucket.
 */
export type RunActions = (
  ctx: XlateContext,
  actions: readonly Action[],
  last: boolean,
  bucket: boolean,
) => void;

/**
 * One translation under way: the read-only input, the working state that actions change, and the output
 * that grows. Actions get it as their only argument beside themselves (xlate/actions/).
 *
 * - `flow` is the packet as the OpenFlow pipeline sees it now, `base` as the datapath has it so far;
 *   `commit()` appends the datapath actions that make up the difference.
 * - `wc` collects every bit of the *input* key that a decision depended on. Whoever reads a header
 *   field of `flow` must note it there first.
 */
export class XlateContext {
  readonly input: XlateInput;
  /** Where the packet is now: changes at patch ports. */
  ofproto: Ofproto;
  version: number;
  flow: Flow;
  base: Flow;
  readonly wc: Flow;
  actions: DpAction[] = [];
  readonly recircs: number[] = [];
  slow = false;
  readonly slowReasons = new Set<SlowPathReason>();
  error: XlateError = 'ok';

  rule: Rule | null;
  ruleCookie = NO_COOKIE;
  table = 0;
  depth: number;
  resubmits: number;
  exit = false;
  stack: StackValue[] = [];
  stackBytes = 0;

  actionSet: Action[] = [];
  inActionSet = false;
  inGroup = 0;

  freezing = false;
  frozenActions: Action[] = [];
  pause: ControllerAction | null = null;
  dpHash: { algorithm: number; basis: number } | null = null;
  wasMpls = false;
  /** Mirrors that have had their copies of the packet, a bit each. */
  mirrored = 0;
  /** Bytes at the most of the copy that is being sent to a mirror; 0: no bound, or none is. */
  mirrorSnaplen = 0;
  conntracked = false;
  ctNat: ActionOf<'nat'> | null = null;

  readonly origSkbPriority: number;
  /** What is wrong with the tunnel options that the packet came with. */
  readonly badOptions: OptionsError | null;
  readonly dependencies: Dependencies | null;
  readonly #arena: FlowArena | null;
  outputs = 0;
  /** Runs a list of actions; set by the pipeline, so that actions need not import it. */
  readonly run: RunActions;
  /** Copies what leaves by a bundle to its mirrors; likewise. */
  readonly mirrorEgress: (ctx: XlateContext, bundle: Bundle) => void;

  constructor(input: XlateInput, pipeline: Pick<XlateContext, 'run' | 'mirrorEgress'>) {
    this.input = input;
    this.run = pipeline.run;
    this.mirrorEgress = pipeline.mirrorEgress;
    this.ofproto = input.ofproto;
    this.version = input.version ?? input.ofproto.version;
    this.#arena = input.arena ?? null;
    this.flow = this.copy(input.flow);
    // A frozen translation brings its own.
    const error = optionsToFields(input.ofproto.services.tunnelOptions, this.flow);
    this.badOptions = input.frozen === undefined ? error : null;
    this.base = this.copy(input.flow);
    this.wc = this.#arena?.take() ?? newFlow();
    this.rule = input.rule ?? null;
    this.depth = input.depth ?? 0;
    this.resubmits = input.resubmits ?? 0;
    this.dependencies = input.dependencies ?? null;
    this.origSkbPriority = input.flow[W_SKB_PRIORITY];
    this.flow[W_ACTSET_OUTPUT] = OFPP_UNSET;
    // The datapath forgets the tunnel that a packet came by: it must be set anew for output.
    this.base.fill(0, W_TUN_ID, W_TUN_TP + 1);
    this.base.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  }

  /** A key as it is now, for as long as the translation runs. */
  copy(flow: Flow): Flow {
    return this.#arena?.copy(flow) ?? flow.slice();
  }

  // --- Reporting ------------------------------------------------------------------------------------

  get tracing(): boolean {
    return this.input.trace !== undefined;
  }

  report(kind: TraceKind, text: string | (() => string)): TraceNode[] | null {
    const sink = this.input.trace;
    if (sink === undefined) return null;
    return sink.add(kind, typeof text === 'string' ? text : text());
  }

  /** An error in the flow tables that a person should mend: traced, and logged where a packet met it. */
  reportError(text: string): void {
    if (this.input.trace !== undefined) this.input.trace.add('error', text);
    else if (this.input.packet !== null) this.ofproto.reportXlateError(text, this.input.flow);
  }

  /** Runs `body` with its reports below `list`. */
  below(list: TraceNode[] | null, body: () => void): void {
    const sink = this.input.trace;
    if (sink === undefined || list === null) {
      body();
      return;
    }
    const old = sink.enter(list);
    body();
    sink.enter(old);
  }

  // --- Statistics -----------------------------------------------------------------------------------

  get stats(): TrafficStats | undefined {
    return this.input.stats;
  }

  remember(entry: CacheEntry): void {
    this.input.cache?.push(entry);
  }

  // --- Ports ----------------------------------------------------------------------------------------

  get inPort(): number {
    return this.flow[W_IN_PORT];
  }

  port(ofPort: number): OfPort | undefined {
    this.dependencies?.note(portTag(this.ofproto.seed, ofPort));
    return this.ofproto.port(ofPort);
  }

  /** All ports. */
  ports(): readonly OfPort[] {
    this.dependencies?.note(portListTag(this.ofproto.seed));
    return this.ofproto.ports();
  }

  bundles(): Iterable<Bundle> {
    this.dependencies?.note(portListTag(this.ofproto.seed));
    return this.ofproto.bundles();
  }

  /** The port by which packets for a bundle leave. */
  member(bundle: Bundle): OfPort | undefined {
    const port = bundle.ports[0];
    this.dependencies?.note(
      port === undefined ? portListTag(this.ofproto.seed) : portTag(this.ofproto.seed, port.ofPort),
    );
    return port;
  }

  // --- Other state of the bridge ----------------------------------------------------------------------

  /** The packet is in `ofproto` from here on. */
  enterBridge(): void {
    this.dependencies?.note(bridgeTag(this.ofproto.seed));
  }

  /** Where a station was learned to be. */
  station(mac: number, vlan: number): MacEntry | null {
    this.dependencies?.note(macTag(this.ofproto.seed, mac, vlan));
    return this.ofproto.macs.lookup(mac, vlan);
  }

  group(id: number): Group | undefined {
    this.dependencies?.note(groupTag(this.ofproto.seed, id));
    return this.ofproto.group(id);
  }

  // --- Actions --------------------------------------------------------------------------------------

  /** Appends what makes the packet look like `flow`. */
  commit(): void {
    const { flow, base, wc, actions, wasMpls } = this;
    if (commitActions(flow, base, wc, actions, wasMpls) === 'slow') this.needSlow('action');
  }

  /**
   * Before a tag is put on: where the packet came with one that was taken off since, it depends on all bits of
   * that one whether anything is left to do.
   */
  seeTakenTag(): void {
    if (!b.hasTag(this.flow, 0) && b.hasTag(this.input.flow, 0)) this.wc[W_VLAN] = 0xffffffff;
  }

  needSlow(reason: SlowPathReason): void {
    this.slow = true;
    this.slowReasons.add(reason);
  }

  /** Forgets what conntrack said. */
  clearConntrack(): void {
    this.conntracked = false;
    clearConntrackFields(this.flow);
  }

  triggerFreeze(): void {
    this.exit = true;
    this.freezing = true;
  }

  triggerRecirculateWithHash(algorithm: number, basis: number): void {
    this.exit = true;
    this.freezing = true;
    this.dpHash = { algorithm, basis };
  }

  cancelFreeze(): void {
    if (!this.freezing) return;
    this.freezing = false;
    this.dpHash = null;
    this.frozenActions = [];
    this.pause = null;
    // Once frozen, a translation has nothing left to do that `exit` would have to stop.
    this.exit = false;
  }

  get firstFrozenAction(): boolean {
    return this.freezing && this.frozenActions.length === 0;
  }
}

export function clearConntrackFields(flow: Flow): void {
  flow[W_CT_STATE] = 0;
  flow[W_CT_MARK] = 0;
  flow.fill(0, W_CT_LABEL, W_CT_LABEL + 4);
  flow.fill(0, W_CT_NW_SRC, W_CT_IPV6_DST + 4);
  flow[W_CT_TP] = 0;
}

/** Bits that every decision depends on. */
export function startWildcards(ctx: XlateContext): void {
  const { wc, flow } = ctx;
  wc[W_PACKET_TYPE] = 0xffffffff;
  wc[W_IN_PORT] = 0xffffffff;
  wc[W_ETH_TYPE] |= 0xffff0000;
  if (b.isIpAny(flow)) b.seeFrag(wc);
  wc[W_RECIRC_ID] = 0xffffffff;
  seeTunnel(wc, ctx.input.flow);
}

/**
 * Brings the mask into a form that a datapath can match: bits of the pipeline's own fields and of
 * headers that the packet didn't have when it came in go away.
 */
export function finishWildcards(ctx: XlateContext): void {
  const { wc } = ctx;
  const upcall = ctx.input.flow;
  wc.fill(0, W_METADATA, W_REG + 16);
  wc[W_ACTSET_OUTPUT] = 0;
  wc[W_CONJ_ID] = 0;
  if (upcall[W_PACKET_TYPE] !== PT_ETH) wc.fill(0, W_ETH, W_ETH + 3);

  const proto = b.nwProto(upcall);
  if ((b.isIpv4(upcall) && proto === b.IPPROTO_ICMP) || (b.isIpv6(upcall) && proto === b.IPPROTO_ICMPV6)) {
    wc[W_TP] &= 0x00ff00ff;
  }
  // A later fragment has no ports: a match on them found zeros, which the fragment bits stand for.
  if (b.isLaterFragment(upcall)) {
    wc[W_NW] |= 0x02000000;
    wc[W_TP] = 0;
  }
  for (let i = 0; i < N_VLANS; i++) {
    if (!b.isVlanType(b.vlanTpid(upcall, i))) wc[W_VLAN + i] = 0;
    else if ((wc[W_VLAN + i] & 0xffff) !== 0) wc[W_VLAN + i] |= VLAN_CFI;
  }
  if (!b.isMplsType(b.ethType(upcall))) wc.fill(0, W_MPLS, W_MPLS + N_MPLS);
  if (!hasTunnelDestination(upcall)) {
    wc.fill(0, W_TUN_ID, W_TUN_TP + 1);
    wc.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  }
}
