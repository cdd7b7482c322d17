import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { formatFlow, parseActions, parseKey, parseUfid } from '../../datapath/text/index.ts';
import type { Datapath, DpAction } from '../../datapath/types.ts';
import { type Flow, VLAN_CFI, W_IN_PORT, W_RECIRC_ID, W_VLAN } from '../../flow/layout.ts';
import type { Backer } from '../bridge/backer.ts';
import type { Switch } from '../bridge/manager.ts';
import { described, ufidOf } from '../upcall/megaflow.ts';

/** What `dpctl` shows of one flow. */
export interface DatapathFlow {
  readonly id: number;
  readonly ufid: Uint8Array;
  /** With values also where the mask has none. */
  readonly key: Flow;
  readonly mask: Flow;
  readonly actions: readonly DpAction[];
}

export interface DpctlOptions {
  readonly vswitch: Switch;
  /** A datapath of its own, of no bridge; null: that type can't have one. */
  readonly create: (type: string, name: string) => Datapath | null;
  /** @throws where the file can't be read */
  readonly readFile: (path: string) => string;
  readonly now: () => number;
  readonly log: ModuleLog;
}

/** A datapath that `dpctl` made, with the flows that it put there. */
class OwnDatapath {
  readonly datapath: Datapath;
  readonly flows = new Map<number, DatapathFlow>();

  constructor(datapath: Datapath) {
    this.datapath = datapath;
  }
}

type Target = { readonly own: OwnDatapath } | { readonly backer: Backer };
type Command = 'add' | 'modify' | 'delete';

/** Errors carry the name of the program that they arose in, as those of a command line tool do. */
function failure(text: string): WeftError {
  return new WeftError('dpctl-failed', `ovs-vswitchd: ${text}`);
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * The commands that reach below the bridges: datapaths, their ports and their flows. Flows of a bridge's
 * datapath are the slow path's: one that is put there lives until it is next revalidated.
 */
export class Dpctl {
  readonly #options: DpctlOptions;
  readonly #own = new Map<string, OwnDatapath>();

  constructor(options: DpctlOptions) {
    this.#options = options;
  }

  // --- Datapaths ------------------------------------------------------------------------------------

  /** Names of all datapaths, those of bridges first. */
  names(): string[] {
    return [...this.#options.vswitch.backers()].map((b) => b.datapath.type).concat(...this.#own.keys());
  }

  isName(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** The one of that name; none is given: the only one. */
  datapath(name: string | undefined): Datapath {
    return parts(this.#open(name)).datapath;
  }

  addDatapath(name: string, interfaces: readonly string[]): void {
    if (this.#find(name) !== undefined) throw failure('add_dp (File exists)');
    const [type, bare] = splitName(name);
    const datapath = this.#options.create(type, bare);
    if (datapath === null) throw failure('add_dp (Operation not supported)');
    this.#own.set(`${type}@${bare}`, new OwnDatapath(datapath));
    if (interfaces.length > 0) this.addInterfaces([name, ...interfaces]);
  }

  deleteDatapath(name: string): void {
    const target = this.#open(name);
    if (!('own' in target)) throw failure(`del_dp (Device or resource busy)`);
    this.#own.delete(target.own.datapath.type);
    target.own.datapath.close().catch(() => {});
  }

  #find(name: string): Target | undefined {
    const [type, bare] = splitName(name);
    const own = this.#own.get(`${type}@${bare}`);
    if (own !== undefined) return { own };
    for (const backer of this.#options.vswitch.backers()) {
      if (backer.datapath.type === name || backer.datapath.name === name) return { backer };
    }
    return undefined;
  }

  /** @throws WeftError where there is none of that name, or several and no name */
  #open(name: string | undefined): Target {
    if (name !== undefined) {
      const found = this.#find(name);
      if (found === undefined) throw failure('opening datapath (No such device)');
      return found;
    }
    const all = this.names();
    if (all.length === 1) return this.#open(all[0]);
    throw failure(
      all.length === 0 ? 'no datapaths exist' : 'multiple datapaths, specify one (Invalid argument)',
    );
  }

  /** `dpctl/show [DP...]`. */
  show(args: readonly string[]): string {
    const given = args.filter((arg) => !arg.startsWith('-'));
    return (given.length > 0 ? given : this.names())
      .map((name) => {
        const target = this.#open(name);
        const { datapath } = parts(target);
        const s = datapath.stats();
        let text = `${datapath.type}:\n  lookups: hit:${s.hits} missed:${s.missed} lost:${s.lost}\n`;
        text += `  flows: ${datapath.flowCount}\n`;
        for (const port of [...datapath.ports()].sort((a, b) => a.port - b.port)) {
          const type = port.type === 'system' || port.type === '' ? '' : ` (${port.type})`;
          text += `  port ${port.port}: ${port.name}${type}\n`;
        }
        return text;
      })
      .join('');
  }

  // --- Ports ----------------------------------------------------------------------------------------

  /** `dpctl/add-if DP IFACE[,OPTION=VALUE...]...`. */
  addInterfaces([dp, ...interfaces]: readonly string[]): void {
    const { datapath } = parts(this.#open(dp));
    for (const text of interfaces) {
      const { name, options } = parseInterface(text);
      const wanted = options.get('port_no');
      const spec = { name, type: options.get('type') ?? 'system', options };
      try {
        datapath.portAdd(spec, wanted === undefined ? undefined : Number(wanted));
      } catch (error) {
        throw failure(`adding ${name} to ${dp} failed (${reasonOf(error)})`);
      }
    }
  }

  /** `dpctl/set-if`: neither type nor number of a port can change. */
  setInterfaces([dp, ...interfaces]: readonly string[]): void {
    const { datapath } = parts(this.#open(dp));
    for (const text of interfaces) {
      const { name, options } = parseInterface(text);
      const port = datapath.ports().find((each) => each.name === name);
      if (port === undefined) throw failure(`${name}: failed to query port in ${dp} (No such device)`);
      const type = options.get('type');
      if (type !== undefined && type !== port.type) {
        throw failure(`${name}: can't change type from ${port.type} to ${type}`);
      }
      const number = options.get('port_no');
      if (number !== undefined && Number(number) !== port.port) {
        throw failure(`${name}: can't change port number from ${port.port} to ${number}`);
      }
    }
  }

  /** `dpctl/del-if DP IFACE...`. A bridge notices, and takes the port back when it is next configured. */
  deleteInterfaces([dp, ...interfaces]: readonly string[]): void {
    const target = this.#open(dp);
    const { datapath } = parts(target);
    for (const name of interfaces) {
      const port = datapath.ports().find((each) => each.name === name || String(each.port) === name);
      if (port === undefined) throw failure(`no port named ${name}`);
      if (port.port === 0) throw failure(`deleting port ${name} from ${dp} failed (Invalid argument)`);
      const ofPorts = 'backer' in target ? target.backer.slowPath.portsOn(port.port) : [];
      for (const ofPort of ofPorts) this.#options.vswitch.deletePort(ofPort);
      if (ofPorts.length === 0) datapath.portDelete(port.port);
    }
  }

  // --- Flows ----------------------------------------------------------------------------------------

  /** Flows of a datapath that a bridge doesn't own; null where one does. */
  ownFlows(name: string | undefined): { datapath: Datapath; flows: readonly DatapathFlow[] } | null {
    const target = this.#open(name);
    return 'own' in target ? { datapath: target.own.datapath, flows: [...target.own.flows.values()] } : null;
  }

  /** `dpctl/add-flow`, `mod-flow` [DP] FLOW ACTIONS; `del-flow` [DP] FLOW. */
  changeFlow(command: Command, args: readonly string[]): string {
    const words = command === 'delete' ? 1 : 2;
    const name = args.length > words ? args[0] : undefined;
    const [flow, actions] = args.slice(-words);
    this.#change(this.#open(name), command, flow, actions);
    return '';
  }

  /** `dpctl/add-flows`, `mod-flows`, `del-flows` [DP] FILE: lines of `[add|modify|delete] FLOW [ACTIONS]`. */
  changeFlows(command: Command, args: readonly string[]): string {
    const target = this.#open(args.length > 1 ? args[0] : undefined);
    const path = args.at(-1) ?? '';
    let text: string;
    try {
      text = this.#options.readFile(path);
    } catch (error) {
      throw failure(`Opening file "${path}" failed (${reasonOf(error)})`);
    }
    const errors: string[] = [];
    text.split('\n').forEach((raw, i) => {
      const line = raw.replace(/#.*/, '').trim();
      if (line === '') return;
      const words = line.split(/\s+/);
      const given = COMMANDS.find((each) => each === words[0]);
      if (given !== undefined) words.shift();
      const each = given ?? command;
      if (words.length !== (each === 'delete' ? 1 : 2)) {
        errors.push(`ovs-vswitchd: Failed parsing line number ${i + 1}, skipped!`);
        return;
      }
      try {
        this.#change(target, each, words[0], words[1]);
      } catch (error) {
        errors.push(reasonOf(error));
      }
    });
    if (errors.length > 0) throw new WeftError('dpctl-failed', errors.join('\n'));
    return '';
  }

  /** `dpctl/del-flows [DP]`: all of them. */
  deleteFlows(name: string | undefined): void {
    const target = this.#open(name);
    if ('backer' in target) {
      target.backer.slowPath.purge();
      return;
    }
    target.own.datapath.flowDeleteAll([...target.own.flows.keys()]);
    target.own.flows.clear();
  }

  /** `dpctl/get-flow [DP] ufid:...`. */
  getFlow(args: readonly string[]): string {
    const target = this.#open(args.length > 1 ? args[0] : undefined);
    const parsed = parseUfid(args.at(-1) ?? '');
    if (parsed === null) throw failure('parsing flow ufid (Invalid argument)');
    const { datapath, flows } = parts(target);
    const flow = flows().find((each) => each.ufid.every((byte, i) => byte === parsed.ufid[i]));
    if (flow === undefined) throw failure('getting flow (No such file or directory)');
    const { key, mask, actions } = flow;
    const stats = datapath.flowStats(flow.id);
    return `${formatFlow({ key, mask, actions, stats }, this.#options.now())}\n`;
  }

  #change(target: Target, command: Command, text: string, actionsText: string | undefined): void {
    const { datapath, flows } = parts(target);
    const portNumber = (name: string): number | undefined =>
      datapath.ports().find((port) => port.name === name)?.port;
    let spec: { key: Flow; mask: Flow; actions: readonly DpAction[] };
    try {
      const named = parseUfid(text);
      const { key, mask } = parseKey(named?.rest ?? text, { portNumber });
      spec = { key: key.slice(), mask: mask.slice(), actions: [] };
    } catch (error) {
      throw failure(`parsing flow key (${reasonOf(error)}) (Invalid argument)`);
    }
    try {
      if (actionsText !== undefined) {
        spec.actions = withoutDrop(parseActions(actionsText, { portNumber }));
      }
    } catch {
      throw failure('parsing actions (Invalid argument)');
    }
    const { key, mask } = spec;
    if (mask[W_IN_PORT] !== 0xffffffff) {
      this.#options.log.warn(`${datapath.type}: refused flow: in_port is not an exact match: ${text}`);
      throw failure('updating flow table (Invalid argument)');
    }
    // A packet that comes back from recirculation, or with a tag, is never meant by silence.
    mask[W_RECIRC_ID] = 0xffffffff;
    mask[W_VLAN] |= 0xffff0000 | VLAN_CFI | ((mask[W_VLAN] & 0xffff) === 0 ? 0x0fff : 0);
    mask[W_VLAN + 1] |= 0xffff0000 | VLAN_CFI;
    const known = flows().find((each) => sameFlow(each, spec));
    if (command === 'delete') {
      if (known === undefined) throw failure('deleting flow (No such file or directory)');
      if ('backer' in target) target.backer.slowPath.forget(known.id);
      else {
        datapath.flowDelete(known.id);
        target.own.flows.delete(known.id);
      }
      return;
    }
    if (command === 'add' && known !== undefined) throw failure('updating flow table (File exists)');
    if (command === 'modify' && known === undefined) {
      throw failure('updating flow table (No such file or directory)');
    }
    if ('backer' in target) {
      if (!target.backer.slowPath.adopt(key, mask, spec.actions)) {
        throw failure('updating flow table (Invalid argument)');
      }
      return;
    }
    const masked = key.map((word, i) => word & mask[i]);
    const id = datapath.flowPut({ key: masked, mask, actions: spec.actions });
    const ufid = new Uint8Array(16);
    new DataView(ufid.buffer).setUint32(12, id);
    target.own.flows.set(id, { id, ufid, key, mask, actions: spec.actions });
  }
}

const COMMANDS: readonly Command[] = ['add', 'modify', 'delete'];

function parts(target: Target): { datapath: Datapath; flows: () => DatapathFlow[] } {
  if ('own' in target) {
    return { datapath: target.own.datapath, flows: () => [...target.own.flows.values()] };
  }
  const { datapath, slowPath } = target.backer;
  const flows = (): DatapathFlow[] =>
    [...slowPath.megaflows()].map((each) => ({ id: each.id, ufid: ufidOf(each), ...described(each) }));
  return { datapath, flows };
}

/** "TYPE@NAME"; without a type: that of the host. */
function splitName(name: string): [type: string, name: string] {
  const at = name.indexOf('@');
  return at < 0 ? ['system', name] : [name.slice(0, at), name.slice(at + 1)];
}

function parseInterface(text: string): { name: string; options: Map<string, string> } {
  const [name, ...rest] = text.split(',');
  if (name === '') throw failure(`${text} is not a valid network device name`);
  const options = new Map<string, string>();
  for (const pair of rest) {
    const at = pair.indexOf('=');
    const key = at < 0 ? pair : pair.slice(0, at);
    if (options.has(key)) throw failure(`duplicate "${key}" option`);
    options.set(key, at < 0 ? '' : pair.slice(at + 1));
  }
  return { name, options };
}

/** Whether both match the same packets. */
function sameFlow(a: { key: Flow; mask: Flow }, b: { key: Flow; mask: Flow }): boolean {
  return a.mask.every((mask, i) => mask === b.mask[i] && ((a.key[i] ^ b.key[i]) & mask) === 0);
}

/** "drop" in a text stands for no action. */
function withoutDrop(actions: readonly DpAction[]): readonly DpAction[] {
  return actions.filter((action) => action.type !== 'drop');
}
