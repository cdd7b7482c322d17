/**
 * Attaching programs to devices. Three ways, one interface:
 *
 * - tcx (Linux 6.6): a link, which ends with its descriptor unless pinned, and swaps programs atomically.
 * - cls_bpf, where tcx is missing: a filter of the clsact discipline. It cannot be pinned and stays until removed;
 *   a new process takes it over by setting the same filter.
 * - XDP: a link too, in the device's driver where it can, else in the kernel's generic code.
 *
 * A device is named by its number in the network namespace that the calling thread is in.
 */
import { constants } from 'node:os';
import { WeftError } from '../base/errors.ts';
import { ATTACH, createLink, detachLink, linkInfo, openPinned, pin, updateLink } from '../sys/bpf.ts';
import { close, SystemError } from '../sys/libc.ts';
import { NetlinkSocket } from '../sys/netlink/socket.ts';
import { addClsact, type BpfFilter, removeBpfFilter, removeClsact, setBpfFilter } from '../sys/netlink/tc.ts';
import type { Program } from './program.ts';

export type Direction = 'ingress' | 'egress';
/** `native`: the driver runs it; `generic`: the kernel, after it made an skb; `any`: the driver if it can. */
export type XdpMode = 'any' | 'native' | 'generic';
const XDP_FLAGS: Readonly<Record<XdpMode, number>> = { any: 0, generic: 1 << 1, native: 1 << 2 };
const TCX: Readonly<Record<Direction, number>> = { ingress: ATTACH.tcxIngress, egress: ATTACH.tcxEgress };

/** A program at a device. */
export interface Attachment {
  readonly kind: 'tcx' | 'cls-bpf' | 'xdp';
  readonly ifindex: number;
  /** Has it run another program: no packet passes without one of the two. */
  replace(program: Program): void;
  /** Ends it. A link that is pinned goes on. */
  close(): void;
  /** Ends it, pinned or not. */
  detach(): void;
}

/** A link of the kernel: tcx or XDP. */
export class BpfLink implements Attachment {
  readonly kind: 'tcx' | 'xdp';
  readonly fd: number;
  readonly ifindex: number;
  private open = true;

  private constructor(kind: 'tcx' | 'xdp', fd: number, ifindex: number) {
    this.kind = kind;
    this.fd = fd;
    this.ifindex = ifindex;
  }

  static tcx(program: Program, ifindex: number, direction: Direction): BpfLink {
    return new BpfLink('tcx', createLink(program.fd, ifindex, TCX[direction]), ifindex);
  }

  static xdp(program: Program, ifindex: number, mode: XdpMode = 'any'): BpfLink {
    return new BpfLink('xdp', createLink(program.fd, ifindex, ATTACH.xdp, XDP_FLAGS[mode]), ifindex);
  }

  /** Opens a pinned link. Its device may be gone: then `ifindex` is 0. */
  static open(path: string): BpfLink {
    const fd = openPinned(path);
    try {
      const { type, ifindex } = linkInfo(fd);
      const kind = LINK_KINDS.get(type);
      if (kind !== undefined) return new BpfLink(kind, fd, ifindex);
      throw new WeftError('bad-link', `pinned link ${path} is of type ${type}, neither tcx nor XDP`);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** The number of the program that it runs. */
  get programId(): number {
    return linkInfo(this.fd).programId;
  }

  /** Whether the device is still there, and nobody detached the link. */
  get attached(): boolean {
    return linkInfo(this.fd).ifindex !== 0;
  }

  /** With `old` only if it runs that program: else throws EPERM. */
  replace(program: Program, old?: Program): void {
    updateLink(this.fd, program.fd, old?.fd);
  }

  pin(path: string): void {
    pin(this.fd, path);
  }

  detach(): void {
    detachLink(this.fd);
    this.close();
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** enum bpf_link_type. */
const LINK_KINDS: ReadonlyMap<number, 'tcx' | 'xdp'> = new Map([
  [6, 'xdp'],
  [11, 'tcx'],
]);

/** Which of the device's filters is ours; the same numbers for every process, so that a later one takes over. */
const FILTER_PRIORITY = 0xc0de;
const FILTER_HANDLE = 1;

/** A filter of the clsact discipline. `netlink` belongs to the device's namespace, and stays the caller's. */
export class ClassifierFilter implements Attachment {
  readonly kind = 'cls-bpf';
  readonly ifindex: number;
  private readonly netlink: NetlinkSocket;
  private readonly filter: BpfFilter;

  constructor(netlink: NetlinkSocket, program: Program, ifindex: number, direction: Direction) {
    this.netlink = netlink;
    this.ifindex = ifindex;
    this.filter = { ifindex, direction, priority: FILTER_PRIORITY, handle: FILTER_HANDLE };
    const added = addClsact(netlink, ifindex);
    try {
      this.replace(program);
    } catch (error) {
      if (added) removeClsact(netlink, ifindex);
      throw error;
    }
  }

  replace(program: Program): void {
    setBpfFilter(this.netlink, this.filter, program.fd, program.name);
  }

  /** Removes the filter. The clsact discipline stays: others may use it, and it costs nothing. */
  detach(): void {
    removeBpfFilter(this.netlink, this.filter);
  }

  close(): void {
    this.detach();
  }
}

/**
 * Attaches a classifier by tcx, or by cls_bpf where the kernel has no tcx. `netlink` is needed only for the latter:
 * it is called then, and what it gives must outlive the attachment.
 */
export function attachClassifier(
  program: Program,
  ifindex: number,
  direction: Direction,
  netlink: () => NetlinkSocket = () => new NetlinkSocket(),
): Attachment {
  try {
    return BpfLink.tcx(program, ifindex, direction);
  } catch (error) {
    const { EINVAL, EOPNOTSUPP } = constants.errno;
    if (!(error instanceof SystemError) || (error.errno !== EINVAL && error.errno !== EOPNOTSUPP))
      throw error;
    return new ClassifierFilter(netlink(), program, ifindex, direction);
  }
}
