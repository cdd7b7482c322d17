/**
 * Which way the host sends packets to an address (RTM_GETROUTE), asked once and asked again when routes,
 * addresses or devices change.
 */
import { constants } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import { parseRoute, RTM_NEWROUTE } from './ip.ts';
import { PayloadBuilder } from './message.ts';
import { HostMonitor } from './monitor.ts';
import { NetlinkError, type NetlinkSocket } from './socket.ts';

const RTM_GETROUTE = 26;
const RTMSG_SIZE = 12;
const AF_INET = 2;
const AF_INET6 = 10;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_MARK = 16;

/** The way to one address. Addresses are bytes, 4 or 16. */
export interface Path {
  /** Device by which packets leave. */
  readonly ifindex: number;
  /** The source address that packets get which have none. */
  readonly source: Uint8Array | undefined;
  /** Next hop; undefined: the destination itself is on the link. */
  readonly gateway: Uint8Array | undefined;
  /** The destination is the host itself. */
  readonly local: boolean;
}

export interface PathQuery {
  /** Mark of the packets, for policy routing; default 0. */
  readonly mark?: number;
  /** Source address that the packets will have. */
  readonly source?: Uint8Array;
}

/** Asks the kernel of the namespace in which `netlink` was opened. */
export class RouteLookup {
  readonly #netlink: NetlinkSocket;

  constructor(netlink: NetlinkSocket) {
    this.#netlink = netlink;
  }

  /** The way to `destination`; undefined: there is none. */
  lookup(destination: Uint8Array, query: PathQuery = {}): Path | undefined {
    const { mark = 0, source } = query;
    const head = new Uint8Array(RTMSG_SIZE);
    if (destination.length !== 4 && destination.length !== 16) {
      throw new WeftError('bad-address', `IP address of ${destination.length} bytes: 4 or 16 needed`);
    }
    head[0] = destination.length === 4 ? AF_INET : AF_INET6;
    head[1] = destination.length * 8;
    if (source !== undefined) head[2] = source.length * 8;
    const payload = new PayloadBuilder().raw(head).attribute(RTA_DST, destination);
    if (source !== undefined) payload.attribute(RTA_SRC, source);
    if (mark !== 0) payload.u32(RTA_MARK, mark);
    try {
      const answers = this.#netlink.request(RTM_GETROUTE, 0, payload.finish(), 'look up a route');
      const answer = answers.find((message) => message.type === RTM_NEWROUTE);
      const route = answer === undefined ? undefined : parseRoute(answer);
      if (route === undefined || route.ifindex === 0) return undefined;
      const { ifindex, gateway, local } = route;
      return { ifindex, source: route.source, gateway, local };
    } catch (error) {
      // No route, one that forbids it, or a source address that the host does not have.
      if (error instanceof NetlinkError && UNREACHABLE.has(error.errno)) return undefined;
      throw error;
    }
  }
}

const { ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ENETDOWN } = constants.errno;
const UNREACHABLE: ReadonlySet<number> = new Set([ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ENETDOWN]);

/** Ways kept at a time; what is over is asked for each time. */
const MAX_KEPT = 65536;

/** Ways to addresses, kept as long as the host's configuration stays as it is. */
export class RouteFollower {
  readonly #lookup: RouteLookup;
  readonly #monitor: HostMonitor;
  readonly #kept = new Map<string, Path | null>();

  /** Follows the namespace in which it is made. `onChange`: ways may have changed, ask again. */
  constructor(netlink: NetlinkSocket, onChange: () => void) {
    this.#lookup = new RouteLookup(netlink);
    this.#monitor = new HostMonitor(['link', 'address', 'route'], () => {
      this.#kept.clear();
      onChange();
    });
  }

  /** The way to `destination` for packets with `mark`; null: there is none. */
  path(destination: Uint8Array, mark = 0): Path | null {
    const key = `${destination.join('.')} ${mark}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const path = this.#lookup.lookup(destination, { mark }) ?? null;
    if (this.#kept.size < MAX_KEPT) this.#kept.set(key, path);
    return path;
  }

  async close(): Promise<void> {
    await this.#monitor.close();
  }
}
