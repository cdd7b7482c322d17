import { WeftError } from '../../base/errors.ts';
import type { DatapathPort, PortSpec } from '../types.ts';
import { MAX_PORTS } from './counters.ts';

/** Number of the datapath's own local port. */
export const LOCAL_PORT = 0;

/** Which ports a datapath has, by number and by name. */
export class PortNumbers<T extends DatapathPort> {
  readonly #byNumber = new Map<number, T>();
  readonly #byName = new Map<string, T>();
  readonly #fromNames: boolean;

  /**
   * @param fromNames a port gets the number in its name if that is free ("p3": 3), "br" in front of it
   *   adding 100, as Open vSwitch's dummy datapath does to make tests easier to read
   */
  constructor(fromNames: boolean) {
    this.#fromNames = fromNames;
  }

  /**
   * The number that a new port gets.
   * @throws WeftError `port-exists`, `no-port-number-left`
   */
  choose(spec: PortSpec, wanted: number | undefined): number {
    if (this.#byName.has(spec.name)) {
      throw new WeftError('port-exists', `port "${spec.name}" is in the datapath already (File exists)`);
    }
    const free = (n: number): boolean =>
      Number.isInteger(n) && n >= 0 && n < MAX_PORTS && !this.#byNumber.has(n);
    if (wanted !== undefined && free(wanted)) return wanted;
    if (this.#fromNames) {
      const digits = /\d+/.exec(spec.name);
      const start = spec.name.startsWith('br') ? 100 : 0;
      if (digits !== null) {
        const n = start + Number(digits[0]);
        if (n > 0 && free(n)) return n;
      }
    }
    for (let n = 1; n < MAX_PORTS; n++) if (free(n)) return n;
    throw new WeftError('no-port-number-left', `the datapath has ${MAX_PORTS - 1} ports already`, {
      remedy: 'Remove ports that are no longer used.',
    });
  }

  add(port: T): void {
    this.#byNumber.set(port.port, port);
    this.#byName.set(port.name, port);
  }
  delete(number: number): T {
    const port = this.get(number);
    this.#byNumber.delete(number);
    this.#byName.delete(port.name);
    return port;
  }
  /** @throws WeftError `no-such-port` */
  get(number: number): T {
    const port = this.#byNumber.get(number);
    if (port === undefined) throw new WeftError('no-such-port', `the datapath has no port ${number}`);
    return port;
  }
  byName(name: string): T | undefined {
    return this.#byName.get(name);
  }
  /** Ascending by number. */
  list(): T[] {
    return [...this.#byNumber.values()].sort((a, b) => a.port - b.port);
  }
}
