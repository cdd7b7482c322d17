import { WeftError } from '../../base/errors.ts';
import { formatFlow, formatUfid } from '../../datapath/text/index.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import { OFPP_LOCAL } from '../../openflow/constants.ts';
import type { Backer } from '../bridge/backer.ts';
import type { Bridge } from '../bridge/bridge.ts';
import type { Switch } from '../bridge/manager.ts';
import type { OfPort } from '../ofproto/port.ts';
import { tunnelOptions } from '../tunnel/config.ts';
import { described, type Megaflow, ufidOf } from '../upcall/megaflow.ts';
import type { Dpctl } from './dpctl.ts';

/** What an interface is called in dpif/show: dummies tell that they are. */
function typeText(backer: Backer, type: string): string {
  const dummy = backer.datapath.type.startsWith('dummy@');
  return dummy && type === 'internal' ? 'dummy-internal' : dummy && type === 'system' ? 'dummy' : type;
}

/** `dpif/show`: datapaths, bridges and ports with their numbers. */
export function dpifShow(vswitch: Switch): string {
  let text = '';
  for (const backer of [...vswitch.backers()].sort(byType)) {
    const stats = backer.datapath.stats();
    text += `${backer.datapath.type}: hit:${stats.hits} missed:${stats.missed}\n`;
    for (const bridge of bridgesOf(vswitch, backer)) {
      text += `  ${bridge.name}:\n`;
      const ports = [...bridge.ofproto.ports()].sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const port of ports) {
        const number = port.ofPort === OFPP_LOCAL ? 65534 : port.ofPort;
        const dp = port.dpPort === null ? 'none' : String(port.dpPort);
        const options = optionsText(bridge, port);
        text += `    ${port.name} ${number}/${dp}: (${typeText(backer, port.type)}${options})\n`;
      }
    }
  }
  return text;
}

/** Options of tunnels and the like; of devices polled by a thread of their own, their queues. */
function optionsText(bridge: Bridge, { name, type, tunnel }: OfPort): string {
  const options = bridge.interface(name)?.config.options ?? new Map<string, string>();
  const shown = new Map<string, string>();
  if (type === 'dummy-pmd') {
    for (const queue of ['rx', 'tx']) {
      const n = options.get(`n_${queue}q`) ?? '1';
      shown.set(`configured_${queue}_queues`, n);
      shown.set(`requested_${queue}_queues`, n);
    }
  } else if (tunnel !== null) {
    for (const [key, value] of tunnelOptions(tunnel)) shown.set(key, value);
  } else if (type !== 'dummy' && type !== 'system' && type !== 'internal') {
    for (const [key, value] of options) shown.set(key, value);
  }
  if (shown.size === 0) return '';
  return `: ${[...shown]
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(', ')}`;
}

function byType(a: Backer, b: Backer): number {
  return a.type < b.type ? -1 : 1;
}

function bridgesOf(vswitch: Switch, backer: Backer): Bridge[] {
  return [...vswitch.bridges()].filter((b) => b.backer === backer).sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface DumpOptions {
  readonly verbose: boolean;
  readonly names: boolean;
}

/** `dpif/dump-flows [-m] [--names | --no-names] BRIDGE`: megaflows of packets that enter one bridge. */
export function dpifDumpFlows(vswitch: Switch, now: number, args: readonly string[]): string {
  const { options, words } = readOptions(args);
  const bridge = vswitch.bridge(words[0] ?? '');
  if (bridge === undefined) throw new WeftError('no-such-bridge', 'no such bridge');
  return dump(
    bridge.backer,
    now,
    options,
    (megaflow) => megaflow.ofproto === bridge.ofproto,
    undefined,
    options.verbose ? (megaflow) => `${formatUfid(ufidOf(megaflow))} ` : undefined,
  );
}

/** `dpctl/dump-flows [-m] [--names] [DP] [filter=FLOW] [type=TYPE]`. */
export function dpctlDumpFlows(vswitch: Switch, dpctl: Dpctl, now: number, args: readonly string[]): string {
  const { options, words } = readOptions(args);
  const filter = words.find((word) => word.startsWith('filter='))?.slice('filter='.length);
  const name = words.find((word) => !/^(type|filter|pmd)=/.test(word));
  const own = name === undefined ? null : dpctl.ownFlows(name);
  const extra = (ufid: Uint8Array) => ({ ufid, layer: 'ovs' });
  let text: string;
  if (own !== null) {
    text = own.flows
      .map((flow) =>
        formatFlow({ ...flow, stats: own.datapath.flowStats(flow.id), ...extra(flow.ufid) }, now, options),
      )
      .map((line) => `${line}\n`)
      .join('');
  } else {
    const backer = backerNamed(vswitch, name);
    const wanted = filter === undefined ? () => true : filterOf(backer, filter);
    text = dump(backer, now, options, wanted, (megaflow) => extra(ufidOf(megaflow)));
  }
  return text === '' ? '' : `flow-dump from the main thread:\n${text}`;
}

/** Megaflows of packets that a match in the language of OpenFlow takes; ports are the datapath's. */
function filterOf(backer: Backer, text: string): (megaflow: Megaflow) => boolean {
  const ports = backer.datapath.ports();
  const { flow, mask } = parseMatch(text, {
    ports: {
      nameOf: (number) => ports.find((port) => port.port === number)?.name ?? null,
      numberOf: (name) => ports.find((port) => port.name === name)?.port ?? null,
    },
  });
  return ({ packetKey }) => mask.every((bits, i) => ((packetKey[i] ^ flow[i]) & bits) === 0);
}

/** The datapath of that name ("ovs-dummy", "dummy@ovs-dummy"), or the only one there is. */
export function backerNamed(vswitch: Switch, name: string | undefined): Backer {
  const all = [...vswitch.backers()];
  if (name === undefined) {
    if (all.length === 1) return all[0];
    throw new WeftError(
      'which-datapath',
      all.length === 0 ? 'no datapaths exist' : 'multiple datapaths, specify one',
    );
  }
  const backer = all.find((b) => b.datapath.type === name || b.datapath.name === name);
  if (backer === undefined)
    throw new WeftError('no-such-datapath', 'ovs-vswitchd: opening datapath (No such device)');
  return backer;
}

function readOptions(args: readonly string[]): { options: DumpOptions; words: string[] } {
  let verbose = false;
  let names: boolean | null = null;
  const words: string[] = [];
  for (const arg of args) {
    if (arg === '-m' || arg === '--more') verbose = true;
    else if (arg === '--names') names = true;
    else if (arg === '--no-names') names = false;
    else words.push(arg);
  }
  return { options: { verbose, names: names ?? verbose }, words };
}

function dump(
  backer: Backer,
  now: number,
  options: DumpOptions,
  wanted: (megaflow: Megaflow) => boolean,
  extra: (megaflow: Megaflow) => { ufid?: Uint8Array; layer?: string } = () => ({}),
  lead: (megaflow: Megaflow) => string = () => '',
): string {
  const { datapath, slowPath } = backer;
  const portNames = new Map(datapath.ports().map((port) => [port.port, port.name]));
  const portName = options.names ? (port: number) => portNames.get(port) : undefined;
  const lines: string[] = [];
  for (const megaflow of slowPath.megaflows()) {
    if (!wanted(megaflow)) continue;
    const stats = datapath.flowStats(megaflow.id);
    lines.push(
      lead(megaflow) +
        formatFlow({ ...described(megaflow), stats, ...extra(megaflow) }, now, {
          verbose: options.verbose,
          portName,
        }),
    );
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** `upcall/show`. */
export function upcallShow(vswitch: Switch): string {
  let text = '';
  for (const { datapath, slowPath } of vswitch.backers()) {
    const { counts } = slowPath;
    text += `${datapath.type}:\n`;
    text += `  flows         : (current ${slowPath.count}) (avg ${slowPath.count}) (max ${counts.most}) (limit ${slowPath.flowLimit})\n`;
    text += `  dump duration : ${slowPath.dumpDuration.toFixed(0)}ms\n`;
    text += '  ufid enabled  : true\n\n';
    text += `  upcalls       : (handled ${counts.upcalls}) (installed ${counts.installed}) (refused ${counts.refused})\n`;
    text += `  revalidator   : (passes ${counts.passes}) (translated ${counts.translated}) (changed ${counts.changed}) (deleted ${counts.deleted})\n`;
  }
  return text;
}
