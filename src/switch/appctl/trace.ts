import { WeftError } from '../../base/errors.ts';
import { composePacket } from '../../datapath/packet/compose.ts';
import { extractFlow } from '../../datapath/packet/extract.ts';
import { Packet } from '../../datapath/packet/packet.ts';
import { formatActions as formatDpActions, parseKey } from '../../datapath/text/index.ts';
import type { DpAction } from '../../datapath/types.ts';
import { formatFlow, formatMegaflow } from '../../flow/flow-text.ts';
import {
  CS_NEW,
  CS_TRACKED,
  FLOW_WORDS,
  type Flow,
  newFlow,
  W_ACTSET_OUTPUT,
  W_CT_IPV6_DST,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
  W_ETH,
  W_IN_PORT,
  W_RECIRC_ID,
  W_TCP_FLAGS,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
  W_VLAN,
} from '../../flow/layout.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import type { PortNames } from '../../flow/port-text.ts';
import { parseActions } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { OFPP_NONE, OFPP_UNSET } from '../../openflow/constants.ts';
import type { Backer } from '../bridge/backer.ts';
import type { Switch } from '../bridge/manager.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import { optionsToFields } from '../tunnel/options.ts';
import { hasTunnelDestination } from '../tunnel/ports.ts';
import { toDatapathKey } from '../upcall/packet-out.ts';
import { ETH_TYPE_VLAN } from '../xlate/bits.ts';
import type { FrozenState } from '../xlate/frozen.ts';
import { ERROR_TEXT, renderTrace, TraceSink } from '../xlate/report.ts';
import { translate } from '../xlate/translate.ts';
import type { Fork, XlateOutput } from '../xlate/types.ts';
import { addressesText, applyNat, ctStateText, parseCtState } from './conntrack-words.ts';
import { actionPortNames, portNamesOf } from './names.ts';

interface Subject {
  readonly backer: Backer;
  readonly ofproto: Ofproto;
  /** OpenFlow ports. */
  readonly flow: Flow;
  readonly packet: Uint8Array | null;
  readonly names: boolean;
  /** What conntrack shall say of the packet, each time that it comes back (`--ct-next`). */
  readonly ctStates: readonly number[];
}

const fail = (text: string): never => {
  throw new WeftError('bad-trace-argument', text);
};

/**
 * `ofproto/trace [OPTIONS] [DP] ODP_FLOW [PACKET]`, `ofproto/trace [OPTIONS] BRIDGE BR_FLOW [PACKET]`: what
 * the pipeline would do to a packet, table by table, and why. A real packet (PACKET or `-generate`) has
 * all effects that it would have if it came in, but that it isn't sent anywhere.
 */
export function trace(vswitch: Switch, args: readonly string[]): string {
  return explain(parseSubject(vswitch, args), undefined);
}

/** `ofproto/trace-packet-out`: the same for actions that a controller would send with the packet. */
export function tracePacketOut(vswitch: Switch, args: readonly string[]): string {
  const actionsText = args.at(-1);
  if (actionsText === undefined || args.length < 2) return fail('missing actions');
  // Whether the actions are consistent with the flow is checked always.
  const rest = args.slice(0, -1).filter((arg) => arg !== '-consistent' && arg !== '--consistent');
  const subject = parseSubject(vswitch, rest);
  let actions: readonly Action[];
  try {
    actions = parseActions(actionsText, { ports: actionPortNames(subject.ofproto) });
  } catch (error) {
    return fail(`Bad actions: ${error instanceof Error ? error.message : String(error)}`);
  }
  return explain(subject, actions);
}

/** Packets that conntrack forks while they are traced: so many are followed, should they fork for ever. */
const MAX_FORKS = 64;

function explain(subject: Subject, actions: readonly Action[] | undefined): string {
  const { ofproto } = subject;
  const forks: Fork[] = [];
  let text = explainOne(subject, subject.flow, actions, frozenOf(subject, subject.flow), forks);
  for (let i = 0; i < forks.length && i < MAX_FORKS; i++) {
    const fork = forks[i];
    const { heading, flow } = resume(fork, subject.ctStates.at(i));
    text += heading + explainOne(subject, flow, undefined, frozenOf(subject, flow), forks);
  }
  for (const fork of forks) ofproto.recircIds.release(fork.recircId);
  return text.endsWith('\n') ? text : `${text}\n`;
}

/** The translation that a recirculated packet goes on with. */
function frozenOf({ backer }: Subject, flow: Flow): FrozenState | undefined {
  const id = flow[W_RECIRC_ID];
  return id === 0 ? undefined : backer.slowPath.recircIds.get(id);
}

/** One way through the pipeline. The caller releases the recirculation ids of `forks`. */
function explainOne(
  subject: Subject,
  flow: Flow,
  actions: readonly Action[] | undefined,
  frozen: FrozenState | undefined,
  forks: Fork[],
): string {
  const { ofproto, packet, names, backer } = subject;
  const ports = names ? portNamesOf(ofproto) : undefined;
  const initial = flow.slice();
  initial[W_ACTSET_OUTPUT] = OFPP_UNSET;
  optionsToFields(ofproto.services.tunnelOptions, initial);
  const sink = new TraceSink();
  const out = translate({
    ofproto,
    flow,
    packet,
    tcpFlags: flow[W_TCP_FLAGS] >>> 16,
    actions,
    frozen,
    effects: packet !== null,
    trace: sink,
    forks,
  });
  const unchanged = out.finalFlow.every((word, i) => word === initial[i]);
  const { tunnelOptions } = ofproto.services;
  let text = `Flow: ${formatFlow(initial, { ports }, tunnelOptions)}\n`;
  text += renderTrace(sink.roots);
  const final = unchanged ? 'unchanged' : formatFlow(out.finalFlow, { ports }, tunnelOptions);
  text += `\nFinal flow: ${final}\n`;
  text += `Megaflow: ${formatMegaflow(initial, out.wc, { ports }, tunnelOptions)}\n`;
  const portName = names ? (port: number) => dpPortName(ofproto, port) : undefined;
  text += `Datapath actions: ${formatDpActions(out.actions, { portName })}`;
  if (out.error !== 'ok') text += `\nTranslation failed (${ERROR_TEXT[out.error]}), packet is dropped.\n`;
  else if (out.slow.size > 0) text += slowText(out);
  if (packet !== null && out.error === 'ok') {
    const dpKey = toDatapathKey(ofproto, initial);
    const staying = withoutSending(out.actions);
    if (staying.length > 0) backer.datapath.execute({ packet, flow: dpKey, actions: staying });
  }
  const kept = new Set(forks.map((fork) => fork.recircId));
  for (const id of out.recircs) {
    // A fork's own reference lives until it has been followed.
    if (!kept.delete(id)) ofproto.recircIds.release(id);
  }
  return text;
}

/** What a trace carries out: not what would leave the switch or come back. */
function withoutSending(actions: readonly DpAction[]): DpAction[] {
  return actions.flatMap((action): DpAction[] => {
    if (action.type === 'output' || action.type === 'recirc') return [];
    if (action.type === 'clone') return [{ ...action, actions: withoutSending(action.actions) }];
    return [action];
  });
}

const RULER = '='.repeat(79);

/** The forked packet as it comes back, with the verdict that is assumed. */
function resume(fork: Fork, ctState: number | undefined): { heading: string; flow: Flow } {
  const flow = fork.flow.slice();
  flow[W_RECIRC_ID] = fork.recircId;
  const state = ctState ?? CS_TRACKED | CS_NEW;
  flow[W_CT_STATE] = ((state << 24) | (flow[W_CT_STATE] & 0xff0000) | fork.zone) >>> 0;
  let heading = `\n\n${RULER}\nrecirc(0x${fork.recircId.toString(16)})`;
  heading +=
    ctState === undefined
      ? ' - resume conntrack with default ct_state=trk|new (use --ct-next to customize)\n'
      : ` - resume conntrack with ct_state=${ctStateText(ctState)}\n`;
  if (fork.nat !== null) {
    heading += `Replacing src/dst IP/ports to simulate NAT:\n Initial flow: ${addressesText(flow, fork.nat)}\n`;
    applyNat(flow, fork.nat);
    heading += ` Modified flow: ${addressesText(flow, fork.nat)}\n`;
  }
  return { heading: `${heading}${RULER}\n\n`, flow };
}

function dpPortName(ofproto: Ofproto, dpPort: number): string | undefined {
  return ofproto.ports().find((port) => port.dpPort === dpPort)?.name;
}

const SLOW_TEXT: Readonly<Record<string, string>> = {
  cfm: 'Consists of CFM packets.',
  bfd: 'Consists of BFD packets.',
  lacp: 'Consists of LACP packets.',
  stp: 'Consists of STP packets.',
  lldp: 'Consists of LLDP packets.',
  controller: 'Sends "packet-in" messages to the OpenFlow controller.',
  action: 'Uses action(s) not supported by datapath.',
  match: 'Match condition(s) not supported by datapath.',
};

function slowText(out: XlateOutput): string {
  const reasons = [...out.slow].map((reason) => `\n  - ${SLOW_TEXT[reason]}`).join('');
  return `\nThis flow is handled by the userspace slow path because it:${reasons}`;
}

// --- Arguments ----------------------------------------------------------------------------------------

function parseSubject(vswitch: Switch, args: readonly string[]): Subject {
  let generate = false;
  let names = false;
  let payload: Uint8Array | number = 64;
  const ctStates: number[] = [];
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    const next = (): string => args[++i] ?? fail(`Missing argument for option ${arg}`);
    if (arg === '-generate' || arg === '--generate') generate = true;
    else if (arg === '-names' || arg === '--names') names = true;
    else if (arg === '--l7') payload = parseHex(next()) ?? fail('Trailing garbage in packet data');
    else if (arg === '--l7-len') {
      payload = Number.parseInt(next(), 10) || 0;
      if (payload > 64000) fail(`${args[i]}: too much L7 data`);
    } else if (arg === '--ct-next') ctStates.push(parseCtState(next()));
    else if (arg.startsWith('-')) fail(`${arg}: unknown option`);
    else if (words.length >= 3) fail('too many arguments');
    else words.push(arg);
  }
  let packet: Uint8Array | null = null;
  if (!generate && words.length > 1) {
    packet = parseHex(words.at(-1) ?? '');
    if (packet !== null) words.pop();
    else if (words.length > 2) fail('Trailing garbage in packet data');
  }
  if (words.length !== 1 && words.length !== 2) fail('Syntax error');
  const flowText = words.at(-1) ?? '';
  const subject = parseDatapathFlow(vswitch, words, flowText) ?? parseBridgeFlow(vswitch, words, flowText);
  const { ofproto, backer } = subject;
  let { flow } = subject;
  if (packet !== null) {
    const extracted = newFlow();
    extractFlow(new Packet(packet), extracted);
    extracted[W_IN_PORT] = flow[W_IN_PORT];
    flow = withMetadata(extracted, flow);
  } else if (generate) {
    packet = composePacket(flow, { payload });
  }
  flow = backer.slowPath.limitVlans(flow);
  return { ofproto, backer, flow, packet, names, ctStates };
}

/** Words of a key that don't come from the packet's bytes. */
const METADATA_WORDS: readonly (readonly [first: number, end: number])[] = [
  [W_TUN_ID, W_ETH],
  [W_CT_NW_SRC, W_CT_IPV6_DST + 4],
  [W_CT_TP, W_CT_TP + 1],
  [W_TUN_METADATA_PRESENT, FLOW_WORDS],
];

/** Headers of the packet, metadata as given. */
function withMetadata(headers: Flow, given: Flow): Flow {
  const flow = headers.slice();
  for (const [first, end] of METADATA_WORDS) flow.set(given.subarray(first, end), first);
  return flow;
}

function parseDatapathFlow(
  vswitch: Switch,
  words: readonly string[],
  text: string,
): { ofproto: Ofproto; backer: Backer; flow: Flow } | null {
  let backer: Backer | undefined;
  if (words.length === 2) {
    backer = vswitch.backer(words[0].replace(/^ovs-/, ''));
  } else {
    const all = [...vswitch.backers()];
    if (all.length === 1) backer = all[0];
  }
  let key: Flow;
  try {
    const portNumber = (name: string): number | undefined =>
      backer?.datapath.ports().find((port) => port.name === name)?.port;
    ({ key } = parseKey(text, { portNumber }));
  } catch (error) {
    if (words.length !== 2) {
      return fail(
        `${error instanceof Error ? error.message : String(error)} (or the bridge name was omitted)`,
      );
    }
    return null;
  }
  if (backer === undefined) return fail('Cannot find the datapath');
  const recircId = key[W_RECIRC_ID];
  if (recircId !== 0 && backer.slowPath.recircIds.get(recircId) === undefined) {
    return fail(`no recirculation data for recirc_id 0x${recircId.toString(16)}`);
  }
  const port = backer.slowPath.receiver(key);
  if (port === null) {
    return hasTunnelDestination(key)
      ? fail('no OpenFlow tunnel port for this packet')
      : fail(`no OpenFlow port for datapath port ${key[W_IN_PORT]}`);
  }
  const flow = key.slice();
  flow[W_IN_PORT] = port.ofPort;
  return { ofproto: port.ofproto, backer, flow };
}

function parseBridgeFlow(
  vswitch: Switch,
  words: readonly string[],
  text: string,
): { ofproto: Ofproto; backer: Backer; flow: Flow } {
  const bridge = vswitch.bridge(words[0]);
  if (bridge === undefined) return fail(`${words[0]}: unknown bridge`);
  const ports: PortNames = portNamesOf(bridge.ofproto);
  try {
    const match = parseMatch(text, { ports, tun: bridge.ofproto.services.tunnelOptions });
    const flow = match.flow.slice();
    if (match.mask[W_IN_PORT] === 0) flow[W_IN_PORT] = OFPP_NONE;
    // The text gives a tag without its type; in a packet it has one.
    if ((flow[W_VLAN] & 0xffff) !== 0) flow[W_VLAN] = ((ETH_TYPE_VLAN << 16) | (flow[W_VLAN] & 0xffff)) >>> 0;
    return { ofproto: bridge.ofproto, backer: bridge.backer, flow };
  } catch (error) {
    return fail(`Bad openflow flow syntax: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function parseHex(text: string): Uint8Array | null {
  const digits = text.replace(/\s+/g, '');
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
