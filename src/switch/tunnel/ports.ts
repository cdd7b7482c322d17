import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import type { Datapath } from '../../datapath/types.ts';
import { formatFlow } from '../../flow/flow-text.ts';
import {
  type Flow,
  W_IN_PORT,
  W_TUN_DST,
  W_TUN_ID,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_SRC,
} from '../../flow/layout.ts';
import { get32 } from '../../wire/bytes.ts';
import { type Change, datapathPortTag, tunnelTag } from '../ofproto/dependencies.ts';
import type { OfPort } from '../ofproto/port.ts';
import { datapathPortName, endText, type TunnelConfig, type TunnelEnd } from './config.ts';

/** A datapath port that tunnels share: one a type and UDP port. */
export interface SharedPort {
  readonly dpPort: number;
  readonly name: string;
  readonly gbp: boolean;
  /** Ports of bridges on it. */
  users: number;
}

/**
 * How a tunnel port takes packets, in order of precedence: its key is given or for the flow table to
 * match, its remote end likewise, its local end is given, any, or for the flow table to match.
 */
const KINDS = 12;
const LOCAL_GIVEN = 0;
const LOCAL_ANY = 1;
const LOCAL_FLOW = 2;

const kindOf = (keyFlow: boolean, remoteFlow: boolean, local: number): number =>
  (keyFlow ? 6 : 0) + (remoteFlow ? 3 : 0) + local;

function kindOfConfig({ inKey, remote, local }: TunnelConfig): number {
  const localKind = local === 'flow' ? LOCAL_FLOW : local === null ? LOCAL_ANY : LOCAL_GIVEN;
  return kindOf(inKey === 'flow', remote === 'flow', localKind);
}

/** The tunnel ports of one datapath's bridges: finds whose a received packet is. */
export class TunnelPorts {
  readonly #datapath: Datapath;
  readonly #log: ModuleLog;
  readonly #onChange: (change: Change) => void;
  readonly #shared = new Map<string, SharedPort>();
  readonly #kinds: Map<string, OfPort>[] = Array.from({ length: KINDS }, () => new Map());

  /** @param onChange is told whenever packets may belong to other ports than before */
  constructor(datapath: Datapath, log: Logger, onChange: (change: Change) => void) {
    this.#datapath = datapath;
    this.#onChange = onChange;
    this.#log = log.module('tunnel').limited(5, 5);
  }

  /**
   * The datapath port for tunnels like this one, made if it is the first. To be given back by `release`.
   * @throws WeftError what the datapath says, or `tunnel-extension-conflict`
   */
  acquire(config: TunnelConfig): number {
    const name = datapathPortName(config);
    let shared = this.#shared.get(name);
    if (shared === undefined) {
      const options = new Map<string, string>();
      if (config.dstPort !== 0) options.set('dst_port', String(config.dstPort));
      if (config.gbp) options.set('exts', 'gbp');
      const dpPort = this.#datapath.portAdd({ name, type: config.type, options });
      shared = { dpPort, name, gbp: config.gbp, users: 0 };
      this.#shared.set(name, shared);
    } else if (shared.gbp !== config.gbp) {
      throw new WeftError(
        'tunnel-extension-conflict',
        "VXLAN-GBP, and non-VXLAN-GBP tunnels can't be configured on the same dst_port",
        { remedy: 'give one of them another dst_port' },
      );
    }
    shared.users++;
    return shared.dpPort;
  }

  release(dpPort: number): void {
    for (const [name, shared] of this.#shared) {
      if (shared.dpPort !== dpPort || --shared.users > 0) continue;
      this.#shared.delete(name);
      this.#datapath.portDelete(dpPort);
    }
  }

  /** Whether the datapath port is one of tunnels. */
  has(dpPort: number): boolean {
    for (const shared of this.#shared.values()) if (shared.dpPort === dpPort) return true;
    return false;
  }

  /**
   * Begins to take packets for `port`, whose `tunnel` and `dpPort` are set.
   * @throws WeftError `tunnel-exists` where another port would take the same packets
   */
  add(port: OfPort): void {
    const { kind, key, config } = placeOf(port);
    const other = this.#kinds[kind].get(key);
    if (other !== undefined) {
      const text = `${port.name}: attempting to add tunnel port with same config as port '${other.name}' (${describe(config, port.dpPort)})`;
      this.#log.warn(text);
      throw new WeftError('tunnel-exists', 'File exists', {
        remedy: `give ${port.name} another remote_ip, local_ip, key or dst_port than ${other.name} has`,
      });
    }
    this.#kinds[kind].set(key, port);
    this.#changed(port);
  }

  remove(port: OfPort): void {
    const { kind, key } = placeOf(port);
    if (this.#kinds[kind].get(key) !== port) return;
    this.#kinds[kind].delete(key);
    this.#changed(port);
  }

  #changed({ dpPort, tunnel }: OfPort): void {
    if (dpPort === null) return;
    const remote = endKey(tunnel?.remote ?? null);
    this.#onChange({ tag: remote === '' ? datapathPortTag(dpPort) : tunnelTag(dpPort, remote) });
  }

  /** Whose a packet is that came by a tunnel, by the datapath's key; null: nobody's. */
  receive(key: Flow): OfPort | null {
    const id = (BigInt(key[W_TUN_ID]) << 32n) | BigInt(key[W_TUN_ID + 1]);
    const remote = remoteOf(key);
    const local = addressKey(key, W_TUN_DST, W_TUN_IPV6_DST);
    const dpPort = key[W_IN_PORT];
    for (let kind = 0; kind < KINDS; kind++) {
      const ports = this.#kinds[kind];
      if (ports.size === 0) continue;
      const found = ports.get(
        placeKey(
          dpPort,
          kind >= 6 ? null : id,
          kind % 6 >= 3 ? '' : remote,
          kind % 3 === LOCAL_GIVEN ? local : '',
        ),
      );
      if (found !== undefined) return found;
    }
    return null;
  }

  /** Says that nobody takes a packet which came. */
  complain(key: Flow): void {
    this.#log.warn(() => `receive tunnel port not found (${formatFlow(key)})`);
  }

  shared(): IterableIterator<SharedPort> {
    return this.#shared.values();
  }

  /** Those on one datapath port. */
  on(dpPort: number): OfPort[] {
    return this.list().filter((port) => port.dpPort === dpPort);
  }

  /** In order of precedence. */
  list(): OfPort[] {
    return this.#kinds.flatMap((ports) => [...ports.values()]);
  }
}

/** Whether a datapath's key is that of a packet which came by a tunnel. */
export function hasTunnelDestination(key: Flow): boolean {
  return (
    key[W_TUN_DST] !== 0 ||
    (key[W_TUN_IPV6_DST] | key[W_TUN_IPV6_DST + 1] | key[W_TUN_IPV6_DST + 2] | key[W_TUN_IPV6_DST + 3]) !== 0
  );
}

function placeOf(port: OfPort): { kind: number; key: string; config: TunnelConfig } {
  const config = port.tunnel;
  if (config === null || port.dpPort === null) throw new Error(`${port.name} is no tunnel port`);
  const { inKey, remote, local } = config;
  const key = placeKey(port.dpPort, inKey === 'flow' ? null : (inKey ?? 0n), endKey(remote), endKey(local));
  return { kind: kindOfConfig(config), key, config };
}

const placeKey = (dpPort: number, id: bigint | null, remote: string, local: string): string =>
  `${dpPort} ${id} ${remote} ${local}`;

function endKey(end: TunnelEnd): string {
  if (end === null || end === 'flow') return '';
  const words: number[] = [];
  for (let at = 0; at < end.length; at += 4) words.push(get32(end, at));
  return words.join('.');
}

/** Whence a packet came by a tunnel, as a name for it. */
export const remoteOf = (key: Flow): string => addressKey(key, W_TUN_SRC, W_TUN_IPV6_SRC);

function addressKey(key: Flow, ipv4: number, ipv6: number): string {
  return key[ipv4] !== 0 ? String(key[ipv4]) : key.subarray(ipv6, ipv6 + 4).join('.');
}

/** As `ofproto/list-tunnels` tells what a port takes. */
export function describe(config: TunnelConfig, dpPort: number | null): string {
  const { inKey, remote, local } = config;
  const key = inKey === 'flow' ? 'flow' : hex(inKey ?? 0n);
  return `${endText(local)}->${endText(remote)}, key=${key}, legacy_l2, dp port=${dpPort}`;
}

/** As C's `%#x` has it: zero without a prefix. */
export const hex = (value: bigint): string => (value === 0n ? '0' : `0x${value.toString(16)}`);

/** A line of `ofproto/list-tunnels`. */
export function tunnelLine(port: OfPort): string {
  const config = port.tunnel;
  if (config === null) return '';
  const { inKey, outKey, ttl, tos } = config;
  let text = `port ${port.dpPort}: ${port.name} (${config.type}: ${describe(config, port.dpPort)}`;
  if (outKey !== inKey) {
    text += `, out_key=${outKey === null ? 'none' : outKey === 'flow' ? 'flow' : hex(outKey)}`;
  }
  text += `, ttl=${ttl}`;
  if (tos !== 0) text += `, tos=${tos === 'inherit' ? tos : `0x${tos.toString(16)}`}`;
  if (!config.dontFragment) text += ', df=false';
  if (config.checksum) text += ', csum=true';
  return `${text})\n`;
}
