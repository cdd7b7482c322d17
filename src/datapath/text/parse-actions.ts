import { WeftError } from '../../base/errors.ts';
import { VLAN_CFI, W_ETH_TYPE, W_VLAN } from '../../flow/layout.ts';
import { parseIpv4Address, parseIpv6Address, parseMacAddress } from '../../wire/address.ts';
import { getBig } from '../../wire/bytes.ts';
import type { DpAction, DpCtAction, SetGroup, SetWord, SlowPathReason, UserspaceCookie } from '../types.ts';
import { type ParseOptions, scanAttr } from './parse-key.ts';
import { Scanner } from './scanner.ts';
import { scanBytes } from './tunnel.ts';

const MAX_NESTED = 32;

/**
 * Datapath actions of a text as `formatActions` writes it; port names count as outputs.
 * @throws WeftError `bad-actions-text`: from where on the text is not understood
 */
export function parseActions(text: string, options: ParseOptions = {}): DpAction[] {
  if (text.trim().toLowerCase() === 'drop') return [{ type: 'drop', reason: 'explicit' }];
  const parser = new ActionParser(text, options);
  return parser.all();
}

class ActionParser {
  private readonly s: Scanner;
  private readonly options: ParseOptions;
  private depth = 0;

  constructor(text: string, options: ParseOptions) {
    this.s = new Scanner(text);
    this.options = options;
  }

  all(): DpAction[] {
    const { s } = this;
    const actions: DpAction[] = [];
    for (;;) {
      s.skipDelimiters();
      if (s.end) return actions;
      const start = s.at;
      const action = this.action();
      if (action === null || !(s.end || ', \t\r\n'.includes(s.peek()))) {
        throw new WeftError(
          'bad-actions-text',
          `syntax error in datapath actions at ${s.text.slice(start)}`,
          {
            remedy: 'write them as dpctl dump-flows prints them: set(eth(src=...)),push_vlan(vid=5,pcp=0),2',
          },
        );
      }
      actions.push(action);
    }
  }

  /** Actions up to a closing parenthesis, which stays. */
  private list(): DpAction[] | null {
    const { s } = this;
    if (s.match(/drop(?=\))/iy) !== null) return [];
    const actions: DpAction[] = [];
    for (;;) {
      s.skipDelimiters();
      if (s.end) return null;
      if (s.peek() === ')') return actions;
      const action = this.action();
      if (action === null) return null;
      actions.push(action);
    }
  }

  private action(): DpAction | null {
    if (this.depth >= MAX_NESTED) return null;
    this.depth++;
    const action = this.one();
    this.depth--;
    return action;
  }

  private one(): DpAction | null {
    const { s } = this;
    const number = s.integer();
    if (number !== null) return { type: 'output', port: number };
    const start = s.at;
    const word = s.match(/[^, \t\r\n]+/y);
    const port = word === null ? undefined : this.options.portNumber?.(word[0]);
    if (port !== undefined) return { type: 'output', port };
    s.at = start;
    const name = s.match(/[a-z_]+/y)?.[0];
    switch (name) {
      case 'drop':
        return { type: 'drop', reason: 'explicit' };
      case 'pop_vlan':
      case 'pop_eth':
      case 'ct_clear':
        return { type: name };
      case 'ct':
        return this.ct();
    }
    if (name === undefined || !s.literal('(')) return null;
    const action = this.withArguments(name);
    return action !== null && s.literal(')') ? action : null;
  }

  private withArguments(name: string): DpAction | null {
    const { s } = this;
    switch (name) {
      case 'trunc': {
        const maxLen = s.integer();
        return maxLen === null ? null : { type: 'trunc', maxLen };
      }
      case 'recirc': {
        const id = s.integer();
        return id === null ? null : { type: 'recirc', id };
      }
      case 'meter': {
        const meter = s.integer();
        return meter === null ? null : { type: 'meter', meter };
      }
      case 'hash':
        return this.hash();
      case 'set':
        return this.set();
      case 'userspace':
        return this.userspace();
      case 'push_vlan':
        return this.pushVlan();
      case 'push_mpls':
        return this.pushMpls();
      case 'pop_mpls': {
        const ethertype = s.literal('eth_type=') ? s.integer(16) : null;
        return ethertype === null ? null : { type: 'pop_mpls', ethertype };
      }
      case 'push_eth':
        return this.pushEth();
      case 'sample':
        return this.sample();
      case 'clone': {
        const actions = this.list();
        return actions === null ? null : { type: 'clone', actions };
      }
      case 'check_pkt_len':
        return this.checkPacketLength();
      default:
        return null;
    }
  }

  private hash(): DpAction | null {
    const { s } = this;
    const algorithm = s.literal('l4(') ? 0 : s.literal('sym_l4(') ? 1 : -1;
    const basis = algorithm < 0 ? null : s.integer();
    return basis !== null && s.literal(')') ? { type: 'hash', algorithm, basis } : null;
  }

  private set(): DpAction | null {
    const attr = scanAttr(this.s, this.options, true);
    if (attr === null || !SET_GROUPS.has(attr.name)) return null;
    const words: SetWord[] = [];
    if (attr.name === 'vlan' || attr.name === 'eth_type') {
      const shift = attr.name === 'vlan' ? 0 : 16;
      words.push({
        word: attr.name === 'vlan' ? W_VLAN : W_ETH_TYPE,
        value: (attr.value << shift) >>> 0,
        mask: (attr.valueMask << shift) >>> 0,
      });
    } else {
      attr.mask.forEach((mask, word) => {
        if (mask !== 0) words.push({ word, value: attr.key[word], mask });
      });
    }
    return { type: 'set', group: attr.name as SetGroup, words };
  }

  private pushVlan(): DpAction | null {
    const { s } = this;
    let tpid: number | null = 0x8100;
    if (s.literal('tpid=')) {
      tpid = s.integer(16);
      if (!s.literal(',')) return null;
    }
    const vid = s.literal('vid=') ? s.integer() : null;
    const pcp = s.literal(',pcp=') ? s.integer() : null;
    const cfi = s.literal(',cfi=') ? s.integer() : 1;
    if (tpid === null || vid === null || pcp === null || cfi === null || vid > 0xfff || pcp > 7) return null;
    return { type: 'push_vlan', tpid, tci: (pcp << 13) | (cfi !== 0 ? VLAN_CFI : 0) | vid };
  }

  private pushMpls(): DpAction | null {
    const { s } = this;
    const values: number[] = [];
    for (const [name, max] of MPLS_ARGUMENTS) {
      if (values.length > 0 && !s.literal(',')) return null;
      const value = s.literal(`${name}=`) ? s.integer() : null;
      if (value === null || value > max) return null;
      values.push(value);
    }
    const [label, tc, ttl, bos, ethertype] = values;
    return { type: 'push_mpls', ethertype, lse: ((label << 12) | (tc << 9) | (bos << 8) | ttl) >>> 0 };
  }

  private pushEth(): DpAction | null {
    const found = this.s.match(/src=([0-9a-fA-F:]+),dst=([0-9a-fA-F:]+)/y);
    if (found === null) return null;
    const src = parseMacAddress(found[1]);
    const dst = parseMacAddress(found[2]);
    return src === null || dst === null
      ? null
      : { type: 'push_eth', dst: getBig(dst, 0, 6), src: getBig(src, 0, 6) };
  }

  private sample(): DpAction | null {
    const { s } = this;
    const found = s.match(/sample=([0-9.]+)%,actions\(/y);
    const percentage = found === null ? Number.NaN : Number(found[1]);
    if (!(percentage >= 0 && percentage <= 100)) return null;
    const actions = this.list();
    if (actions === null || !s.literal(')')) return null;
    const probability = Math.min(0xffffffff, Math.floor(0xffffffff * (percentage / 100) + 0.5));
    return { type: 'sample', probability, actions };
  }

  private checkPacketLength(): DpAction | null {
    const { s } = this;
    const length = s.literal('size=') ? s.integer(16) : null;
    if (length === null || !s.literal(',gt(')) return null;
    const greater = this.list();
    if (greater === null || !s.literal('),le(')) return null;
    const lessEqual = this.list();
    if (lessEqual === null || !s.literal(')')) return null;
    return { type: 'check_pkt_len', length, greater, lessEqual };
  }

  private userspace(): DpAction | null {
    const { s } = this;
    const pid = s.literal('pid=') ? s.integer() : null;
    if (pid === null || !s.literal(',')) return null;
    const cookie = this.cookie();
    if (cookie === null) return null;
    const includeActions = s.match(/,actions(?=[,)])/y) !== null;
    let tunnelOutPort: number | undefined;
    if (s.literal(',tunnel_out_port=')) {
      const port = this.port();
      if (port === null) return null;
      tunnelOutPort = port;
    }
    return { type: 'userspace', pid, cookie, includeActions, tunnelOutPort };
  }

  /** A port by number or name. */
  private port(): number | null {
    const number = this.s.integer();
    if (number !== null) return number;
    const word = this.s.match(/[^,)]+/y);
    return (word !== null ? this.options.portNumber?.(word[0]) : undefined) ?? null;
  }

  private cookie(): UserspaceCookie | null {
    const { s } = this;
    if (s.literal('slow_path(')) {
      const reason = s.match(/0|[a-z]+/y)?.[0] ?? '';
      const known = reason === '0' ? 'none' : SLOW_PATH_REASONS.find((r) => r === reason);
      return known !== undefined && s.literal(')') ? { type: 'slow_path', reason: known } : null;
    }
    if (s.literal('sFlow(')) {
      const [vid, pcp, outputPort] = this.numbers(['vid', 'pcp', 'output']) ?? [];
      if (outputPort === undefined || !s.literal(')')) return null;
      const tci = vid | (pcp << 13);
      return { type: 'sflow', ...NO_SAMPLE, outputPort, vlanTci: tci === 0 ? 0 : tci | VLAN_CFI };
    }
    if (s.literal('ipfix(output_port=')) {
      const outputPort = this.port();
      return outputPort !== null && s.literal(')') ? { type: 'ipfix', ...NO_SAMPLE, outputPort } : null;
    }
    if (s.literal('flow_sample(')) {
      const head = this.numbers(['probability', 'collector_set_id', 'obs_domain_id', 'obs_point_id']);
      const outputPort = head !== null && s.literal(',output_port=') ? this.port() : null;
      if (head === null || outputPort === null) return null;
      const direction = s.literal(',ingress') ? 'ingress' : s.literal(',egress') ? 'egress' : 'default';
      const [probability, collectorSet, obsDomain, obsPoint] = head;
      return s.literal(')')
        ? { type: 'flow_sample', probability, collectorSet, obsDomain, obsPoint, outputPort, direction }
        : null;
    }
    return s.literal('controller(') ? this.controllerCookie() : null;
  }

  private controllerCookie(): UserspaceCookie | null {
    const { s } = this;
    const head = this.numbers(['reason', 'dont_send', 'continuation', 'recirc_id']);
    const ruleCookie = head !== null && s.literal(',rule_cookie=') ? s.hex(64) : null;
    if (head === null || ruleCookie === null || !s.literal(',')) return null;
    const tail = this.numbers(['controller_id', 'max_len']);
    if (tail === null || !s.literal(')')) return null;
    const [reason, dontSend, continuation, recircId] = head;
    const [controllerId, maxLen] = tail;
    return {
      type: 'controller',
      reason,
      dontSend: dontSend !== 0,
      continuation: continuation !== 0,
      recircId,
      ruleCookie,
      controllerId,
      maxLen,
    };
  }

  /** `a=1,b=2,...` in this order. */
  private numbers(names: readonly string[]): number[] | null {
    const values: number[] = [];
    for (const name of names) {
      if (values.length > 0 && !this.s.literal(',')) return null;
      const value = this.s.literal(`${name}=`) ? this.s.integer() : null;
      if (value === null) return null;
      values.push(value);
    }
    return values;
  }

  private ct(): DpAction | null {
    const { s } = this;
    const ct = { ...PLAIN_CT };
    if (!s.literal('(')) return ct;
    for (;;) {
      s.skipDelimiters();
      if (s.literal(')')) return ct;
      if (!this.ctArgument(ct)) return null;
    }
  }

  private ctArgument(ct: CtDraft): boolean {
    const { s } = this;
    if (s.literal('commit')) {
      ct.commit = true;
      return !ct.force;
    }
    if (s.literal('force_commit')) {
      if (ct.commit && !ct.force) return false;
      ct.commit = true;
      ct.force = true;
      return true;
    }
    if (s.literal('zone=')) {
      const zone = s.decimal(16);
      ct.zone = zone ?? 0;
      return zone !== null;
    }
    if (s.literal('mark=')) {
      const value = s.hex();
      const mask = s.literal('/') ? s.hex() : 0xffffffffn;
      if (value === null || mask === null) return false;
      ct.mark = mask === 0n ? null : { value: Number(value), mask: Number(mask) };
      return true;
    }
    if (s.literal('label=')) {
      const value = scanBytes(s, 16);
      const mask = s.literal('/') ? scanBytes(s, 16) : new Uint8Array(16).fill(0xff);
      if (value === null || mask === null) return false;
      const bits = getBig(mask, 0, 16);
      ct.label = bits === 0n ? null : { value: getBig(value, 0, 16), mask: bits };
      return true;
    }
    if (s.literal('helper=')) {
      ct.helper = s.match(/[^, \t\r\n)]{1,15}/y)?.[0] ?? '';
      return ct.helper !== '';
    }
    if (s.literal('timeout=')) {
      ct.timeout = s.match(/[^, \t\r\n)]{1,31}/y)?.[0];
      return ct.timeout !== undefined;
    }
    if (s.literal('nat')) {
      ct.nat = this.nat();
      return ct.nat !== null;
    }
    return false;
  }

  private nat(): DpCtAction['nat'] {
    const { s } = this;
    const nat = { ...PLAIN_NAT };
    if (!s.literal('(')) return nat;
    for (;;) {
      s.skipDelimiters();
      if (s.literal(')')) {
        if (nat.hash && nat.random) return null;
        if (nat.portMax !== 0 && nat.portMax < nat.portMin) return null;
        // Addresses and options mean nothing without a direction.
        return nat.direction === 'none' ? { ...PLAIN_NAT } : nat;
      }
      const direction = s.literal('src') ? 'src' : s.literal('dst') ? 'dst' : null;
      if (direction !== null) {
        if (nat.direction !== 'none' && nat.direction !== direction) return null;
        nat.direction = direction;
        if (s.literal('=') && !this.natRange(nat)) return null;
      } else if (s.literal('persistent')) nat.persistent = true;
      else if (s.literal('hash')) nat.hash = true;
      else if (s.literal('random')) nat.random = true;
      else return null;
    }
  }

  private natRange(nat: NatDraft): boolean {
    const { s } = this;
    const min = this.address();
    if (min === null) return false;
    nat.addressMin = min;
    if (s.literal('-')) {
      const max = this.address();
      if (
        max === null ||
        max.length !== min.length ||
        getBig(max, 0, max.length) < getBig(min, 0, min.length)
      )
        return false;
      nat.addressMax = max;
    }
    if (s.literal(':')) {
      const port = s.decimal(16);
      if (port === null) return false;
      nat.portMin = port;
      if (s.literal('-')) {
        const last = s.decimal(16);
        if (last === null) return false;
        nat.portMax = last;
      }
    }
    return true;
  }

  private address(): Uint8Array | null {
    const { s } = this;
    const v4 = s.match(/\d{1,3}(?:\.\d{1,3}){3}/y);
    if (v4 !== null) return parseIpv4Address(v4[0]);
    const v6 = s.match(/\[([0-9a-fA-F:.]+)\]|([0-9a-fA-F:.]+)/y);
    return v6 === null ? null : parseIpv6Address(v6[1] ?? v6[2]);
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type NatDraft = Mutable<NonNullable<DpCtAction['nat']>>;
type CtDraft = Mutable<DpCtAction>;

const PLAIN_NAT: NatDraft = {
  direction: 'none',
  addressMin: new Uint8Array(0),
  addressMax: new Uint8Array(0),
  portMin: 0,
  portMax: 0,
  persistent: false,
  hash: false,
  random: false,
};
const PLAIN_CT: CtDraft = {
  type: 'ct',
  commit: false,
  force: false,
  zone: 0,
  mark: null,
  label: null,
  helper: '',
  nat: null,
};
const NO_SAMPLE = { collectorSet: 0, obsDomain: 0, obsPoint: 0 } as const;
const SLOW_PATH_REASONS: readonly SlowPathReason[] = [
  'cfm',
  'bfd',
  'lacp',
  'stp',
  'lldp',
  'controller',
  'action',
  'match',
];
const MPLS_ARGUMENTS: readonly (readonly [name: string, max: number])[] = [
  ['label', 0xfffff],
  ['tc', 7],
  ['ttl', 0xff],
  ['bos', 1],
  ['eth_type', 0xffff],
];
const SET_GROUPS: ReadonlySet<string> = new Set<SetGroup>([
  'eth',
  'ipv4',
  'ipv6',
  'tcp',
  'udp',
  'sctp',
  'icmp',
  'icmpv6',
  'nd',
  'nd_ext',
  'arp',
  'mpls',
  'tunnel',
  'skb_priority',
  'skb_mark',
  'ct_mark',
  'nsh',
  'in_port',
  'recirc_id',
  'dp_hash',
  'eth_type',
  'vlan',
  'tcp_flags',
]);
