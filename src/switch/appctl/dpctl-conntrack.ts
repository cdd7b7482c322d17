import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { DatapathConnections } from '../../datapath/conntrack/connections.ts';
import { formatConnection, tcpStateName } from '../../datapath/text/index.ts';
import { parseIpv4Address, parseIpv6Address } from '../../wire/address.ts';
import {
  anyConnection,
  type ConnectionMatch,
  flushConnections,
  type TupleMatch,
} from '../conntrack/match.ts';
import type { Dpctl } from './dpctl.ts';

const failure = (text: string): WeftError => new WeftError('dpctl-failed', `ovs-vswitchd: ${text}`);
const invalid = (text: string): WeftError => failure(`${text} (Invalid argument)`);

/** What stands before and behind a datapath's name, if one is given: options, and the rest. */
interface Words {
  readonly options: ReadonlySet<string>;
  readonly datapath: { readonly type: string; readonly connections: DatapathConnections };
  readonly connections: DatapathConnections;
  readonly rest: readonly string[];
}

/** Options with their long names. */
const OPTIONS: ReadonlyMap<string, string> = new Map([
  ['-m', 'm'],
  ['--more', 'm'],
  ['-s', 's'],
  ['--statistics', 's'],
  ['--names', ''],
  ['--no-names', ''],
]);

/** Finds datapaths by their names. */
export type DatapathFinder = Pick<Dpctl, 'isName' | 'datapath'>;

/** The commands of `dpctl` about connections. */
export class DpctlConntrack {
  readonly #dpctl: DatapathFinder;
  readonly #log: ModuleLog;

  /** `log` is told of what is flushed. */
  constructor(dpctl: DatapathFinder, log: ModuleLog) {
    this.#dpctl = dpctl;
    this.#log = log;
  }

  #read(args: readonly string[]): Words {
    const options = new Set<string>();
    let at = 0;
    for (; at < args.length && args[at].startsWith('-'); at++) {
      const option = OPTIONS.get(args[at]);
      if (option === undefined) throw new WeftError('dpctl-failed', `Unrecognized option ${args[at]}`);
      options.add(option);
    }
    const rest = args.slice(at);
    const name = rest.length > 0 && this.#dpctl.isName(rest[0]) ? rest.shift() : undefined;
    const datapath = this.#dpctl.datapath(name);
    return { options, datapath, connections: datapath.connections, rest };
  }

  /** `dpctl/dump-conntrack [-m] [-s] [DP] [zone=N]`. */
  dump(args: readonly string[]): string {
    const { options, connections, rest } = this.#read(args);
    const format = { more: options.has('m'), statistics: options.has('s') };
    let text = '';
    for (const each of connections.list(zoneOf(rest))) text += `${formatConnection(each, format)}\n`;
    return text;
  }

  /** `dpctl/flush-conntrack [DP] [zone=N] [ORIGINAL TUPLE] [REPLY TUPLE]`. */
  flush(args: readonly string[]): void {
    const { datapath, rest } = this.#read(args);
    const words = [...rest];
    let zone: number | null = null;
    if (words[0]?.startsWith('zone=')) {
      zone = numberOf(words.shift()?.slice(5) ?? '', 0xffff) ?? null;
      if (zone === null) throw invalid('failed to parse zone');
    }
    const match = anyConnection();
    if (words[0]) parseTuple(words[0], match.orig, match);
    if (words[1]) parseTuple(words[1], match.reply, match);
    if (words.length > 2) throw invalid('invalid arguments');
    if (!flushConnections({ datapath, log: this.#log }, zone, match)) {
      throw failure('failed to flush conntrack (No such file or directory)');
    }
  }

  /** `dpctl/ct-stats-show [-m] [DP] [zone=N] [verbose]`. */
  stats(args: readonly string[]): string {
    const { options, connections, rest } = this.#read(args);
    const verbose = options.has('m') || rest.includes('verbose');
    const protocols = new Map<string, number>();
    const states = new Map<string, number>();
    const count = (of: Map<string, number>, name: string): void => void of.set(name, (of.get(name) ?? 0) + 1);
    let total = 0;
    for (const each of connections.list(zoneOf(rest.filter((word) => word !== 'verbose')))) {
      total++;
      count(protocols, SHOWN.get(each.orig.protocol) ?? 'Other');
      if (each.tcp !== null) count(states, tcpStateName(each));
    }
    let text = `Connections Stats:\n    Total: ${total}\n`;
    for (const name of [...SHOWN.values(), 'Other']) {
      const n = protocols.get(name);
      if (n === undefined) continue;
      text += `  ${name}: ${n}\n`;
      if (name !== 'TCP' || !verbose) continue;
      text += '    Conn per TCP states:\n';
      for (const [state, m] of states) text += `\t  [${state}]=${m}\n`;
    }
    return text;
  }

  setMaxConnections(args: readonly string[]): string {
    const { connections, rest } = this.#read(args);
    const value = numberOf(rest.at(-1) ?? '', 0xffffffff);
    if (value === undefined) throw invalid('maxconns missing or malformed');
    connections.setMaxConnections(value);
    return 'setting maxconns successful';
  }
  maxConnections(args: readonly string[]): string {
    return `${this.#read(args).connections.state().maxConnections}\n`;
  }
  count(args: readonly string[]): string {
    return `${this.#read(args).connections.state().connections}\n`;
  }

  setTcpSequenceCheck(args: readonly string[], on: boolean): string {
    this.#read(args).connections.setTcpSequenceCheck(on);
    return `${on ? 'enabling' : 'disabling'} TCP sequence checking successful`;
  }
  tcpSequenceCheck(args: readonly string[]): string {
    const on = this.#read(args).connections.state().checksTcpSequence;
    return `TCP sequence checking: ${on ? 'enabled' : 'disabled'}\n`;
  }

  /** `dpctl/ct-set-limits [DP] [default=L] [zone=N,limit=L]...`. */
  setLimits(args: readonly string[]): void {
    const { connections, rest } = this.#read(args);
    const limits: [zone: number | null, limit: number][] = [];
    const words = [...rest];
    if (words[0]?.startsWith('default=')) {
      const limit = numberOf(words.shift()?.slice(8) ?? '', 0xffffffff);
      if (limit === undefined) throw invalid('invalid default limit');
      limits.push([null, limit]);
    }
    for (const word of words) limits.push(parseLimit(word));
    for (const [zone, limit] of limits) connections.setLimit(zone, limit);
  }
  /** `dpctl/ct-del-limits [DP] zone=N[,N]...`. */
  deleteLimits(args: readonly string[]): void {
    const { connections, rest } = this.#read(args);
    for (const zone of parseZones(rest[0] ?? '')) connections.deleteLimit(zone);
  }
  /** `dpctl/ct-get-limits [DP] [zone=N[,N]...]`. */
  limits(args: readonly string[]): string {
    const { connections, rest } = this.#read(args);
    const known = new Map(connections.limits().map((each) => [each.zone, each]));
    const zones =
      rest.length > 0
        ? parseZones(rest[0])
        : [...known.keys()].filter((zone) => zone !== null).sort((a, b) => a - b);
    let text = `default limit=${known.get(null)?.limit ?? 0}`;
    for (const zone of zones) {
      const { limit, count } = known.get(zone) ?? known.get(null) ?? { limit: 0, count: 0 };
      text += `\nzone=${zone},limit=${limit},count=${count}`;
    }
    return `${text}\n`;
  }
}

/** In the order in which they are shown. */
const SHOWN: ReadonlyMap<number, string> = new Map([
  [6, 'TCP'],
  [17, 'UDP'],
  [136, 'UDPLITE'],
  [132, 'SCTP'],
  [1, 'ICMP'],
  [58, 'ICMPv6'],
  [33, 'DCCP'],
  [2, 'IGMP'],
]);

function numberOf(text: string, most: number): number | undefined {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  return value <= most ? value : undefined;
}

function zoneOf(words: readonly string[]): number | null {
  if (words.length === 0) return null;
  const zone = words[0].startsWith('zone=') ? numberOf(words[0].slice(5), 0xffff) : undefined;
  if (zone === undefined) throw failure('opening datapath (No such device)');
  return zone;
}

function parseZones(text: string): number[] {
  if (!text.startsWith('zone=')) throw invalid(`invalid argument ${text}`);
  return text
    .slice(5)
    .split(',')
    .map((word) => {
      const zone = numberOf(word, 0xffff);
      if (zone === undefined) throw invalid('invalid zone');
      return zone;
    });
}

function fieldsOf(text: string): [key: string, value: string][] {
  return text
    .split(/[,\s]+/)
    .filter((word) => word !== '')
    .map((word) => {
      const [key, value = ''] = word.split(/=(.*)/s);
      if (value === '') throw invalid(`field ${key} missing value`);
      return [key, value];
    });
}

function parseLimit(text: string): [zone: number, limit: number] {
  let zone: number | undefined;
  let limit: number | undefined;
  for (const [key, value] of fieldsOf(text)) {
    const parsed = numberOf(value, key === 'zone' ? 0xffff : 0xffffffff);
    if (key !== 'zone' && key !== 'limit') throw invalid(`invalid zone limit field: ${key}`);
    if (parsed === undefined) throw invalid(`failed to parse field ${key}`);
    if (key === 'zone') zone = parsed;
    else limit = parsed;
  }
  if (zone === undefined || limit === undefined) throw invalid('failed to parse zone limit');
  return [zone, limit];
}

/** `ct_nw_src=10.1.1.1,ct_nw_dst=...,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2`, or some of it. */
function parseTuple(text: string, tuple: TupleMatch, match: ConnectionMatch): void {
  for (const [key, value] of fieldsOf(text)) {
    const address = /^ct_(nw|ipv6)_(src|dst)$/.exec(key);
    if (address !== null) {
      const version = address[1] === 'nw' ? 4 : 6;
      const side = address[2] === 'src' ? 'src' : 'dst';
      if (match.version !== null && match.version !== version) {
        throw invalid(`the L3 protocol does not match ${value}`);
      }
      if (tuple[side] !== null) throw invalid(`${key} is set multiple times`);
      const parsed = version === 4 ? parseIpv4Address(value) : parseIpv6Address(value);
      if (parsed === null) throw invalid(`failed to parse field ${key}`);
      match.version = version;
      tuple[side] = parsed.every((byte) => byte === 0) ? null : parsed;
      continue;
    }
    const field = NUMBERS.get(key);
    if (field === undefined && key !== 'ct_nw_proto') throw invalid(`invalid conntrack tuple field: ${key}`);
    if (field?.icmp === true && match.protocol !== 1 && match.protocol !== 58)
      throw invalid('invalid L4 fields');
    const parsed = numberOf(value, field?.most ?? 0xff);
    if (parsed === undefined) throw invalid(`failed to parse field ${key}`);
    if (field === undefined) match.protocol = parsed;
    else tuple[field.name] = parsed;
  }
  if (match.protocol === 0 && (tuple.srcPort !== 0 || tuple.dstPort !== 0)) {
    throw invalid('port is set without protocol');
  }
}

type NumberField = 'srcPort' | 'dstPort' | 'icmpId' | 'icmpType' | 'icmpCode';
const NUMBERS: ReadonlyMap<string, { name: NumberField; most: number; icmp: boolean }> = new Map([
  ['ct_tp_src', { name: 'srcPort', most: 0xffff, icmp: false }],
  ['ct_tp_dst', { name: 'dstPort', most: 0xffff, icmp: false }],
  ['icmp_id', { name: 'icmpId', most: 0xffff, icmp: true }],
  ['icmp_type', { name: 'icmpType', most: 0xff, icmp: true }],
  ['icmp_code', { name: 'icmpCode', most: 0xff, icmp: true }],
]);
