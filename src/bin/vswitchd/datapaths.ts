import { WeftError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { createKernelDatapath, type KernelDatapath } from '../../datapath/kernel/kernel-datapath.ts';
import type { DummyPort } from '../../datapath/ports/dummy.ts';
import type { Datapath } from '../../datapath/types.ts';
import { createInProcessDatapath, type InProcessDatapath } from '../../datapath/userspace/in-process.ts';
import { RestartingDatapath } from '../../datapath/userspace/restarting.ts';
import { createWorkerDatapath } from '../../datapath/userspace/worker-datapath.ts';
import type { DatapathProvider } from '../../switch/bridge/backer.ts';
import type { StreamProvider } from '../../switch/conn/stream.ts';
import type { DeviceProvider } from '../../switch/device/device.ts';
import { type DummyDevice, DummyDevices } from '../../switch/device/dummy.ts';
import { SystemDevices } from '../../switch/device/system.ts';
import { TUNNEL_TYPES } from '../../switch/tunnel/config.ts';
import { type HostChange, HostMonitor } from '../../sys/netlink/monitor.ts';
import type { DaemonClock } from '../daemon/clock.ts';
import { DummyLink } from './dummy-link.ts';
import { type Forwarding, forwardingText } from './forwarding.ts';

export interface DatapathsOptions {
  readonly clock: DaemonClock;
  readonly log: Logger;
  /** What dummy devices are wired together by. */
  readonly streams: StreamProvider;
  /** --enable-dummy: types "dummy"; "override" makes every type one. */
  readonly dummy: 'no' | 'yes' | 'override';
  /** Not --disable-system. */
  readonly system: boolean;
  /** Where in a bpf file system the kernel datapath pins what outlives the process. */
  readonly pinRoot: string;
}

export interface Dummies {
  readonly datapath: InProcessDatapath;
  readonly devices: DummyDevices;
  readonly link: (device: DummyDevice) => DummyLink;
}

const SYSTEM_TYPES = ['netdev', 'system'];
const INTERFACE_TYPES = ['internal', 'patch', 'system', 'tap', ...TUNNEL_TYPES];

/** The datapaths of this machine: in process over dummy ports, or in a thread of its own over devices. */
export class Datapaths implements DatapathProvider {
  readonly #options: DatapathsOptions;
  /** Open in-process datapaths with their devices, for the netdev-dummy commands. */
  readonly dummies = new Map<string, Dummies>();
  /** Who hears of changes of the host's devices. */
  readonly #listeners = new Set<(change: HostChange) => void>();
  /** Of the last datapath of type "system". */
  #kernel: Forwarding;
  #monitor: HostMonitor | null = null;

  constructor(options: DatapathsOptions) {
    this.#options = options;
  }

  get types(): readonly string[] {
    const types = [...SYSTEM_TYPES];
    if (this.#options.dummy !== 'no') types.push('dummy');
    return types;
  }

  get interfaceTypes(): readonly string[] {
    return this.#options.dummy === 'no'
      ? INTERFACE_TYPES
      : [...INTERFACE_TYPES, 'dummy', 'dummy-internal', 'dummy-pmd'];
  }

  open(type: string): { datapath: Datapath; devices: DeviceProvider } {
    const { clock, log, dummy, system } = this.#options;
    const random = Math.random;
    if (dummy === 'override' || (type === 'dummy' && dummy === 'yes')) {
      const datapath = createInProcessDatapath({
        clock,
        random,
        log,
        type: `${type}@ovs-${type}`,
        name: `ovs-${type}`,
      });
      const links = new Map<DummyDevice, DummyLink>();
      const link = (device: DummyDevice): DummyLink => {
        let known = links.get(device);
        if (known === undefined) {
          known = new DummyLink({
            name: device.name,
            port: () => dummyPort(datapath, device.name),
            streams: this.#options.streams,
            clock,
            log: log.module('netdev_dummy'),
          });
          links.set(device, known);
        }
        return known;
      };
      const devices = new DummyDevices({
        configure: (device, options) => link(device).configure(options),
        close: (device) => {
          links.get(device)?.close();
          links.delete(device);
        },
      });
      this.dummies.set(type, { datapath, devices, link });
      return { datapath, devices };
    }
    if (!SYSTEM_TYPES.includes(type)) {
      throw new WeftError('unknown-datapath-type', `datapath type ${type} is not known`, {
        remedy: `use one of ${this.types.join(', ')}`,
      });
    }
    if (!system && type === 'system') {
      throw new WeftError('datapath-disabled', 'datapath type system is switched off by --disable-system');
    }
    const kernel = type === 'system' ? this.#openKernel() : null;
    const listener = (change: HostChange): void => {
      if (change.topic === 'link') kernel?.deviceChanged(change.link.ifindex);
      else if (change.topic === 'lost') kernel?.deviceChanged(null);
      devices.refresh();
    };
    const devices: SystemDevices = new SystemDevices(() => this.#listeners.delete(listener));
    this.#watch(listener);
    return { datapath: kernel ?? this.#openWorker(type), devices };
  }

  /** The datapath in the kernel; null, with the reason in the log, where it can't run. */
  #openKernel(): KernelDatapath | null {
    const { clock, log, pinRoot } = this.#options;
    let kernel: KernelDatapath | null = null;
    try {
      kernel = createKernelDatapath({ clock, random: Math.random, log, pinRoot });
      this.#kernel = kernel;
    } catch (error) {
      this.#kernel = error instanceof Error ? error.message : String(error);
    }
    log.module('dpif_kernel').info(`ovs-system: forwarding ${forwardingText(this.#kernel)}`);
    return kernel;
  }

  /** What forwards for an open datapath of some type. */
  forwarding(type: string): Forwarding {
    return type === 'system' ? this.#kernel : undefined;
  }

  #openWorker(type: string): Datapath {
    const { clock, log } = this.#options;
    return new RestartingDatapath({
      clock,
      log: log.module('dpif_netdev'),
      make: (onFailure) =>
        createWorkerDatapath({
          clock,
          random: Math.random,
          log,
          type: `${type}@ovs-${type}`,
          name: `ovs-${type}`,
          onFailure,
        }),
    });
  }

  #watch(listener: (change: HostChange) => void): void {
    this.#listeners.add(listener);
    this.#monitor ??= new HostMonitor(['link'], (change) => {
      for (const each of this.#listeners) each(change);
    });
  }

  /** A datapath that no bridge owns, for `dpctl`; null: there can be none of that type. */
  createAlone(type: string, name: string): Datapath | null {
    const { clock, log, dummy } = this.#options;
    if (dummy === 'no' || (dummy === 'yes' && type !== 'dummy')) return null;
    return createInProcessDatapath({ clock, random: Math.random, log, type: `${type}@${name}`, name });
  }

  async close(): Promise<void> {
    await this.#monitor?.close();
  }
}

function dummyPort(datapath: InProcessDatapath, name: string): DummyPort | null {
  return datapath.ports().some((port) => port.name === name) ? datapath.dummyPort(name) : null;
}
