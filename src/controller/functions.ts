/** What the rules of the logical networks call (`rules/functions.nlog`): texts, addresses, priorities. */
import { readFileSync } from 'node:fs';
import { check, type HostFunction, type Value } from '../nlog/index.ts';
import { formatIpv6, parseMacAddress } from '../wire/address.ts';
import { contains, parseIp, parseNetwork } from './model/addresses.ts';
import type { RuleProgram } from './network/rule-engine.ts';

/** "%2" is the second argument. */
function fill(template: Value, ...args: readonly Value[]): string {
  const text = String(template);
  let filled = '';
  let from = 0;
  for (let at = text.indexOf('%'); at >= 0; at = text.indexOf('%', from)) {
    filled += text.slice(from, at) + String(args[text.charCodeAt(at + 1) - 49]);
    from = at + 2;
  }
  return filled + text.slice(from);
}

function text(letters: string): HostFunction {
  const types = { i: 'int', s: 'string' } as const;
  const inputs = [...letters].map((letter) => (letter === 'i' ? types.i : types.s));
  return { name: `text_${letters}`, inputs: ['string', ...inputs], outputs: ['string'], call: fill };
}

function family(ip: Value): Value | undefined {
  return parseIp(String(ip))?.family;
}

function register(ip: Value): Value | undefined {
  const bytes = parseIp(String(ip))?.bytes;
  return bytes === undefined ? undefined : `0x${Buffer.from(bytes).toString('hex')}`;
}

/** RFC 4291, appendix A: ff:fe in the middle, and the universal bit turned. */
function linkLocal(mac: Value): Value | undefined {
  const m = parseMacAddress(String(mac));
  if (m === null) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set([0xfe, 0x80]);
  bytes.set([m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]], 8);
  return formatIpv6(bytes);
}

function isLinkLocal(ip: Value): boolean {
  return /^fe[89ab]/.test(String(ip));
}

function inNetwork(ip: Value, network: Value, length: Value): boolean {
  const address = parseIp(String(ip));
  const net = parseNetwork(`${String(network)}/${String(length)}`);
  return address !== undefined && net !== undefined && contains(net, address);
}

function broadcast(network: Value, length: Value): Value | undefined {
  const net = parseNetwork(`${String(network)}/${String(length)}`);
  if (net === undefined || net.base.family !== 4 || net.length > 30) return undefined;
  return net.base.bytes
    .map((byte, i) => byte | (0xff >> Math.max(0, Math.min(8, net.length - 8 * i))))
    .join('.');
}

function andMatch(a: Value, b: Value): string {
  return a === '' || b === '' ? `${String(a)}${String(b)}` : `${String(a)},${String(b)}`;
}

/** Highest first among rules of one priority and place. */
const ACTION_ORDER = ['allow-stateful', 'allow', 'reject', 'drop'];
/** Above the flow for what no rule matches. */
const LOWEST_ACL = 1000;

function aclPriority(priority: Value, onPort: Value, action: Value): Value | undefined {
  const order = ACTION_ORDER.indexOf(String(action));
  if (order < 0) return undefined;
  return LOWEST_ACL + Number(priority) * 8 + (onPort === true ? 4 : 0) + order;
}

export const NETWORK_FUNCTIONS: readonly HostFunction[] = [
  ...['i', 's', 'ii', 'is', 'ss', 'iss', 'sii'].map(text),
  { name: 'family', inputs: ['string'], outputs: ['int'], call: family },
  { name: 'register', inputs: ['string'], outputs: ['string'], call: register },
  { name: 'link_local', inputs: ['string'], outputs: ['string'], call: linkLocal },
  { name: 'is_link_local', inputs: ['string'], outputs: [], call: isLinkLocal },
  { name: 'in_network', inputs: ['string', 'string', 'int'], outputs: [], call: inNetwork },
  { name: 'broadcast', inputs: ['string', 'int'], outputs: ['string'], call: broadcast },
  { name: 'and_match', inputs: ['string', 'string'], outputs: ['string'], call: andMatch },
  { name: 'acl_priority', inputs: ['int', 'bool', 'string'], outputs: ['int'], call: aclPriority },
];

/** The rules, checked. An installed package has them beside the sources only. */
export function networkRules(): RuleProgram {
  const read = (path: string): { name: string; text: string } => ({
    name: path,
    text: readFileSync(new URL(`../../src/controller/rules/${path}`, import.meta.url), 'utf8'),
  });
  return { program: check(read('main.nlog'), read), functions: NETWORK_FUNCTIONS };
}
