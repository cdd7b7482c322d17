/** Hosts, guests and wires on one machine: network namespaces, veth pairs, and the processes in them. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeftError } from '../base/errors.ts';
import { IpConfiguration, NUD_REACHABLE } from '../sys/netlink/ip.ts';
import { type LinkChanges, Links } from '../sys/netlink/link.ts';
import { NetlinkSocket } from '../sys/netlink/socket.ts';
import { createNetns, inNetns, netnsPath } from '../sys/netns.ts';
import { make } from '../wire/index.ts';
import {
  directoryOf,
  identify,
  killAll,
  LAB_DIRECTORY,
  type LabRecord,
  type ProcessId,
  removeLab,
  writeRecord,
} from './record.ts';

/** One end of a wire. */
export interface WireEnd {
  /** A namespace of this lab, as `namespace` was given it. */
  readonly at: string;
  readonly device: string;
  /** As "02:00:00:00:00:01"; the kernel chooses one otherwise. */
  readonly mac?: string;
  /** As "10.0.0.1/24". */
  readonly address?: string;
  /** Default: 1500. */
  readonly mtu?: number;
}

/** How a machine's device is set up. */
export interface DeviceSetup {
  readonly addresses: readonly { readonly address: string; readonly prefix: number }[];
  /** Next hops of default routes. */
  readonly gateways?: readonly string[];
  /** Of the default routes; the lowest counts. Default: 0. */
  readonly metric?: number;
}

/** Time that a process gets to end by itself. */
const GRACE_MS = 3000;

/** What a lab needs to be known of a process that has ended. */
function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/**
 * One lab. Everything it makes has names that start with `id`, and `close` removes all of it; where that
 * does not come to pass, the next lab's `cleanUp` does (record.ts).
 */
export class Lab {
  readonly id: string;
  /** A directory for sockets, logs and databases, removed with the lab. */
  readonly dir: string;
  readonly #labs: string;
  readonly #record: LabRecord;
  /** With the signal that ends each. */
  readonly #children: [ChildProcess, NodeJS.Signals][] = [];
  #closed = false;

  constructor(labs = LAB_DIRECTORY) {
    this.id = `weft${randomBytes(3).toString('hex')}`;
    this.dir = directoryOf(this.id, labs);
    this.#labs = labs;
    const owner = identify(process.pid);
    if (owner === undefined)
      throw new WeftError('no-proc', 'this process is not in /proc', { remedy: 'mount /proc' });
    this.#record = { id: this.id, owner, namespaces: [], processes: [] };
    this.#save();
  }

  #save(): void {
    writeRecord(this.#record, this.#labs);
  }

  #checkOpen(): void {
    if (this.#closed) throw new WeftError('lab-closed', 'the lab has been taken down');
  }

  /** The name under which `ip netns` knows a namespace of this lab. */
  fullName(name: string): string {
    return `${this.id}-${name}`;
  }

  /** Makes a namespace with its loopback up and without the kernel's own IPv6 chatter. */
  namespace(name: string): void {
    this.#checkOpen();
    const full = this.fullName(name);
    this.#record.namespaces.push(full);
    this.#save();
    createNetns(full);
    inNetns(full, () => {
      for (const scope of ['all', 'default']) {
        const file = `/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`;
        if (existsSync(file)) writeFileSync(file, '1');
      }
      this.#withLinks((links) => links.set(links.get('lo')!.ifindex, { up: true }));
    });
  }

  /** Lays a wire: a veth pair, both ends up. */
  wire(a: WireEnd, b: WireEnd): void {
    this.#checkOpen();
    const mac = (end: WireEnd): Uint8Array | undefined =>
      end.mac === undefined ? undefined : make.mac(end.mac);
    const netnsFd = openSync(netnsPath(this.fullName(b.at)), 'r');
    try {
      this.inside(a.at, () =>
        this.#withLinks((links) =>
          links.createVeth(a.device, b.device, { mac: mac(a) }, { mac: mac(b), netnsFd }),
        ),
      );
    } finally {
      closeSync(netnsFd);
    }
    for (const end of [a, b]) {
      this.inside(end.at, () =>
        this.#withLinks((links, ip) => {
          const { ifindex } = links.get(end.device)!;
          links.set(ifindex, { up: true, mtu: end.mtu });
          if (end.address === undefined) return;
          const [address, prefix] = end.address.split('/');
          ip.addAddress(ifindex, make.ip(address), Number(prefix));
        }),
      );
    }
  }

  /** Gives a device its addresses and default routes; IPv6 is switched on for it if it gets such an address. */
  configure(name: string, device: string, { addresses, gateways = [], metric = 0 }: DeviceSetup): void {
    this.inside(name, () => {
      const settings = `/proc/sys/net/ipv6/conf/${device}`;
      if (addresses.some(({ address }) => address.includes(':')) && existsSync(settings)) {
        // The address must be good at once; and nobody but the lab file tells of routers.
        for (const file of ['accept_dad', 'accept_ra']) writeFileSync(join(settings, file), '0');
        writeFileSync(join(settings, 'disable_ipv6'), '0');
      }
      this.#withLinks((links, ip) => {
        const { ifindex } = links.get(device)!;
        for (const { address, prefix } of addresses) ip.addAddress(ifindex, make.ip(address), prefix);
        for (const gateway of gateways) {
          const bytes = make.ip(gateway);
          ip.addRoute(new Uint8Array(bytes.length), 0, { ifindex, gateway: bytes, metric });
        }
      });
    });
  }

  /** Makes a Linux bridge. */
  bridge(name: string, device: string, mtu: number): void {
    this.inside(name, () => this.#withLinks((links) => links.create('bridge', device, { up: true, mtu })));
  }

  /** Plugs a device into a Linux bridge of its namespace. */
  enslave(name: string, device: string, bridge: string): void {
    this.inside(name, () =>
      this.#withLinks((links) =>
        links.set(links.get(device)!.ifindex, { master: links.get(bridge)!.ifindex }),
      ),
    );
  }

  /** Has a device know the neighbours that another one knows. */
  copyNeighbours(name: string, from: string, to: string): void {
    this.inside(name, () =>
      this.#withLinks((links, ip) => {
        const { ifindex } = links.get(from)!;
        const target = links.get(to)!.ifindex;
        for (const known of ip.neighbours())
          if (known.ifindex === ifindex && known.mac !== undefined)
            ip.addNeighbour(target, known.address, known.mac, NUD_REACHABLE);
      }),
    );
  }

  /** Changes a device. */
  change(name: string, device: string, changes: LinkChanges): void {
    this.inside(name, () => this.#withLinks((links) => links.set(links.get(device)!.ifindex, changes)));
  }

  /** Removes a device; with a wire its other end goes too. */
  remove(name: string, device: string): void {
    this.inside(name, () => this.#withLinks((links) => links.remove(links.get(device)!.ifindex)));
  }

  #withLinks(work: (links: Links, ip: IpConfiguration) => void): void {
    const netlink = new NetlinkSocket();
    try {
      work(new Links(netlink), new IpConfiguration(netlink));
    } finally {
      netlink.close();
    }
  }

  /** Runs synchronous work inside a namespace of this lab. */
  inside<T>(name: string, work: () => T): T {
    return inNetns(this.fullName(name), work);
  }

  /** Where what runs in a namespace keeps its files; nothing makes it. */
  directoryOf(name: string): string {
    return join(this.dir, name);
  }

  /**
   * Starts a process in a namespace, as the leader of its own group: Ctrl-C reaches the lab alone, which
   * then ends what it started, in order, by `stopSignal`.
   */
  start(
    name: string,
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
    stopSignal: NodeJS.Signals = 'SIGTERM',
  ): ChildProcess {
    // The child inherits the namespace of the thread that makes it.
    return this.inside(name, () => this.startOutside(command, args, options, stopSignal));
  }

  /** The same in the machine's own namespace. */
  startOutside(
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
    stopSignal: NodeJS.Signals = 'SIGTERM',
  ): ChildProcess {
    this.#checkOpen();
    const child = spawn(command, args, { ...options, detached: true });
    // A child that could not be started tells so by an event, which whoever waits for it sees.
    child.on('error', () => {});
    const id = child.pid === undefined ? undefined : identify(child.pid);
    if (id !== undefined) {
      this.#children.push([child, stopSignal]);
      this.#record.processes.push(id);
      this.#save();
    }
    return child;
  }

  /** Ends a process: with `signal`, and after three seconds by force. */
  async stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (child.pid === undefined) return;
    const over = ended(child);
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    await over;
    clearTimeout(timer);
  }

  /** Takes everything down. Safe to call more than once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await Promise.all(this.#children.map(([child, signal]) => this.stop(child, signal)));
    } finally {
      removeLab(this.#record, this.#labs);
    }
  }

  /** The same at once, for the end of the process. */
  closeNow(): void {
    if (this.#closed) return;
    this.#closed = true;
    const children = this.#record.processes as readonly ProcessId[];
    killAll(children);
    removeLab(this.#record, this.#labs);
  }
}
