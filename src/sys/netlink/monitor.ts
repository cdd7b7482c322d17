/**
 * Notifications of what changes on the host: devices, addresses, routes, neighbours. A worker thread waits for
 * them, since Node cannot wait for a netlink socket itself; here they are parsed and handed on.
 */
import { Worker } from 'node:worker_threads';
import { EventFd } from '../event-fd.ts';
import { close } from '../libc.ts';
import { siblingModule } from '../worker-url.ts';
import {
  type Address,
  type Neighbour,
  parseAddress,
  parseNeighbour,
  parseRoute,
  type Route,
  RTM_DELADDR,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
} from './ip.ts';
import { type Link, parseLink, RTM_DELLINK, RTM_NEWLINK } from './link.ts';
import { type NetlinkMessage, parseMessages } from './message.ts';
import { NETLINK_ROUTE, openNetlink } from './socket.ts';

/** What can be watched. */
export type Topic = 'link' | 'address' | 'route' | 'neighbour';

/** Bits of the multicast groups (RTNLGRP_*), less one. */
const GROUPS: Readonly<Record<Topic, readonly number[]>> = {
  link: [1],
  address: [5, 9],
  route: [7, 11],
  neighbour: [3],
};

/** One change; `present` is false when the thing went away. */
export type HostChange =
  | { readonly topic: 'link'; readonly present: boolean; readonly link: Link }
  | { readonly topic: 'address'; readonly present: boolean; readonly address: Address }
  | { readonly topic: 'route'; readonly present: boolean; readonly route: Route }
  | { readonly topic: 'neighbour'; readonly present: boolean; readonly neighbour: Neighbour }
  /** More happened than the socket could hold: list everything anew. */
  | { readonly topic: 'lost' };

/** What the worker sends: a datagram, or that some were lost. */
export type MonitorMessage = { readonly datagram: Uint8Array } | { readonly lost: true };

/** Reads one notification; undefined for one that nobody asked for. */
export function parseChange(message: NetlinkMessage): HostChange | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      // A bridge's own view of a port that leaves it (family AF_BRIDGE) is no device that goes away.
      if (message.payload[0] !== 0) return undefined;
      return { topic: 'link', present: message.type === RTM_NEWLINK, link: parseLink(message) };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = parseAddress(message);
      return address && { topic: 'address', present: message.type === RTM_NEWADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = parseRoute(message);
      return route && { topic: 'route', present: message.type === RTM_NEWROUTE, route };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbour = parseNeighbour(message);
      return neighbour && { topic: 'neighbour', present: message.type === RTM_NEWNEIGH, neighbour };
    }
    default:
      return undefined;
  }
}

/** Watches the namespace in which it was made. */
export class HostMonitor {
  private readonly fd: number;
  private readonly stop: EventFd;
  private readonly worker: Worker;

  /** Calls `onChange` for each change of `topics` from now on. Does not keep the process alive. */
  constructor(topics: readonly Topic[], onChange: (change: HostChange) => void) {
    const groups = topics.flatMap((t) => GROUPS[t]).reduce((mask, group) => mask | (1 << (group - 1)), 0);
    this.fd = openNetlink(NETLINK_ROUTE, groups);
    this.stop = EventFd.create();
    this.worker = new Worker(siblingModule(import.meta.url, 'monitor-worker'), {
      workerData: { fd: this.fd, stop: this.stop.fd },
    });
    this.worker.unref();
    this.worker.on('message', (message: MonitorMessage) => {
      if ('lost' in message) return onChange({ topic: 'lost' });
      for (const part of parseMessages(message.datagram)) {
        const change = parseChange(part);
        if (change !== undefined) onChange(change);
      }
    });
  }

  /** Ends the watch; no change is told afterwards. */
  async close(): Promise<void> {
    this.worker.removeAllListeners('message');
    // Else a process with nothing else to do would end before this is done.
    this.worker.ref();
    const ended = new Promise((resolve) => this.worker.once('exit', resolve));
    this.stop.signal();
    await ended;
    this.stop.close();
    close(this.fd);
  }
}
