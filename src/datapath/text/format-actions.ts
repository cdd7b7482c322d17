import { newFlow, W_MPLS, W_VLAN } from '../../flow/layout.ts';
import { formatIpv4, formatIpv6, formatMac } from '../../wire/address.ts';
import type { DpAction, DpCtAction, SetWord, UserspaceCookie } from '../types.ts';
import { getBits, SCALAR_ATTRS, STRUCT_ATTRS } from './attributes.ts';
import {
  type FormatOptions,
  formatFields,
  formatLse,
  formatMpls,
  formatNdExtensions,
  formatNsh,
  formatScalar,
  formatTci,
} from './format-key.ts';
import { hexOf } from './scanner.ts';
import { formatTunnel, shortHex } from './tunnel.ts';
import { bytesOf } from './values.ts';

/** Datapath actions as text, as `dpctl dump-flows` and `ofproto/trace` print them. */
export function formatActions(actions: readonly DpAction[], options: FormatOptions = {}): string {
  if (actions.length === 0) return 'drop';
  return actions.map((action) => formatAction(action, options)).join();
}

function formatAction(action: DpAction, options: FormatOptions): string {
  const port = (number: number): string => options.portName?.(number) ?? `${number}`;
  switch (action.type) {
    case 'output':
      return port(action.port);
    case 'drop':
      return 'drop';
    case 'userspace': {
      const { pid, cookie, includeActions, tunnelOutPort } = action;
      const tunnel = tunnelOutPort === undefined ? '' : `,tunnel_out_port=${port(tunnelOutPort)}`;
      return `userspace(pid=${pid},${formatCookie(cookie, port)}${includeActions ? ',actions' : ''}${tunnel})`;
    }
    case 'set':
      return `set(${action.group}(${formatSet(action.group, action.words, options)}))`;
    case 'push_vlan': {
      const tpid = action.tpid === 0x8100 ? '' : `tpid=0x${action.tpid.toString(16).padStart(4, '0')},`;
      // The vid and priority of a tag are said even where they are 0.
      return `push_vlan(${tpid}${formatTci(action.tci, 0xffff, false)})`;
    }
    case 'pop_vlan':
      return 'pop_vlan';
    case 'push_mpls':
      return `push_mpls(${formatLse(action.lse)},eth_type=0x${action.ethertype.toString(16)})`;
    case 'pop_mpls':
      return `pop_mpls(eth_type=0x${action.ethertype.toString(16)})`;
    case 'push_eth':
      return `push_eth(src=${formatMac(bytesOf(action.src, 6))},dst=${formatMac(bytesOf(action.dst, 6))})`;
    case 'pop_eth':
      return 'pop_eth';
    case 'recirc':
      return `recirc(${hexOf(action.id)})`;
    case 'hash':
      return formatHash(action.algorithm, action.basis);
    case 'trunc':
      return `trunc(${action.maxLen})`;
    case 'sample': {
      const percentage = ((100 * action.probability) / 0xffffffff).toFixed(1);
      return `sample(sample=${percentage}%,actions(${formatActions(action.actions, options)}))`;
    }
    case 'clone':
      return `clone(${formatActions(action.actions, options)})`;
    case 'meter':
      return `meter(${action.meter})`;
    case 'check_pkt_len': {
      const greater = formatActions(action.greater, options);
      return `check_pkt_len(size=${action.length},gt(${greater}),le(${formatActions(action.lessEqual, options)}))`;
    }
    case 'ct_clear':
      return 'ct_clear';
    case 'ct':
      return formatCt(action);
  }
}

function formatHash(algorithm: number, basis: number): string {
  if (algorithm === 0) return `hash(l4(${basis}))`;
  return algorithm === 1 ? `hash(sym_l4(${basis}))` : `hash(Unknown hash algorithm(${algorithm}))`;
}

/** What an upcall carries. */
function formatCookie(cookie: UserspaceCookie, port: (number: number) => string): string {
  switch (cookie.type) {
    case 'slow_path':
      return `slow_path(${cookie.reason === 'none' ? '0' : cookie.reason})`;
    case 'controller':
      return (
        `controller(reason=${cookie.reason},dont_send=${cookie.dontSend ? 1 : 0}` +
        `,continuation=${cookie.continuation ? 1 : 0},recirc_id=${cookie.recircId}` +
        `,rule_cookie=${hexOf(cookie.ruleCookie)},controller_id=${cookie.controllerId}` +
        `,max_len=${cookie.maxLen})`
      );
    case 'sflow': {
      const tci = cookie.vlanTci ?? 0;
      return `sFlow(vid=${tci & 0xfff},pcp=${tci >> 13},output=${cookie.outputPort})`;
    }
    case 'flow_sample': {
      const direction = cookie.direction ?? 'default';
      return (
        `flow_sample(probability=${cookie.probability ?? 0},collector_set_id=${cookie.collectorSet}` +
        `,obs_domain_id=${cookie.obsDomain},obs_point_id=${cookie.obsPoint}` +
        `,output_port=${port(cookie.outputPort)}${direction === 'default' ? '' : `,${direction}`})`
      );
    }
    case 'ipfix':
      return `ipfix(output_port=${port(cookie.outputPort)})`;
  }
}

/** The fields that a set writes, with masks where it writes some of their bits. */
function formatSet(group: string, words: readonly SetWord[], options: FormatOptions): string {
  const key = newFlow();
  const mask = newFlow();
  for (const { word, value, mask: bits } of words) {
    key[word] |= value;
    mask[word] |= bits;
  }
  switch (group) {
    case 'tunnel':
      return formatTunnel(key, null, true);
    case 'mpls':
      return formatMpls([key[W_MPLS]], [mask[W_MPLS]]);
    case 'vlan':
      return formatTci(key[W_VLAN] & 0xffff, mask[W_VLAN] & 0xffff, false);
    case 'nsh':
      return formatNsh(key, mask);
    case 'nd_ext':
      return formatNdExtensions(key, mask, false);
  }
  const struct = STRUCT_ATTRS.get(group);
  if (struct !== undefined) return formatFields(struct.fields, key, mask, false);
  const scalar = SCALAR_ATTRS.get(group)!;
  const { bit, bits } = scalar;
  return formatScalar(group, getBits(key, bit, bits), getBits(mask, bit, bits), false, options);
}

function formatCt(ct: DpCtAction): string {
  const parts: string[] = [];
  // The forced form implies the plain one, and replaces it.
  if (ct.force) parts.push('force_commit');
  else if (ct.commit) parts.push('commit');
  if (ct.zone !== 0) parts.push(`zone=${ct.zone}`);
  if (ct.mark !== null) parts.push(`mark=${hexOf(ct.mark.value)}/${hexOf(ct.mark.mask)}`);
  if (ct.label !== null) {
    const { value, mask } = ct.label;
    const exact = mask === (1n << 128n) - 1n;
    parts.push(`label=${shortHex(bytesOf(value, 16))}${exact ? '' : `/${shortHex(bytesOf(mask, 16))}`}`);
  }
  if (ct.helper !== '') parts.push(`helper=${ct.helper}`);
  if (ct.timeout) parts.push(`timeout=${ct.timeout}`);
  if (ct.nat !== null) parts.push(formatNat(ct.nat));
  return parts.length === 0 ? 'ct' : `ct(${parts.join()})`;
}

function formatNat(nat: NonNullable<DpCtAction['nat']>): string {
  if (nat.direction === 'none') return 'nat';
  let text: string = nat.direction;
  if (nat.addressMin.length > 0) {
    const address = (bytes: Uint8Array): string => {
      if (bytes.length === 4) return formatIpv4(bytes);
      return nat.portMin !== 0 ? `[${formatIpv6(bytes)}]` : formatIpv6(bytes);
    };
    text += `=${address(nat.addressMin)}`;
    const max = nat.addressMax;
    const range = max.length > 0 && max.some((b) => b !== 0) && max.some((b, i) => b !== nat.addressMin[i]);
    if (range) text += `-${address(max)}`;
  }
  if (nat.portMin !== 0) {
    text += `:${nat.portMin}`;
    if (nat.portMax !== 0 && nat.portMax !== nat.portMin) text += `-${nat.portMax}`;
  }
  for (const flag of ['persistent', 'hash', 'random'] as const) if (nat[flag]) text += `,${flag}`;
  return `nat(${text})`;
}
