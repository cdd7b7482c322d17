/**
 * Traffic control (rtnetlink(7), RTM_*QDISC and RTM_*TFILTER), as far as BPF programs need it: the clsact queueing
 * discipline, and the filter that runs a program on all that comes in or goes out.
 */
import { constants } from 'node:os';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, PayloadBuilder } from './message.ts';
import { NetlinkError, type NetlinkSocket } from './socket.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;

const TCMSG_SIZE = 20;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
/** The program's verdict is the filter's action. */
const DIRECT_ACTION = 1;
const CLSACT_HANDLE = 0xffff_0000;
const CLSACT_PARENT = 0xffff_fff1;
/** ETH_P_ALL, in network order as tcm_info wants it. */
const ALL_PROTOCOLS = 0x0300;

export type TcDirection = 'ingress' | 'egress';
const PARENTS: Readonly<Record<TcDirection, number>> = { ingress: 0xffff_fff2, egress: 0xffff_fff3 };

function tcmsg(ifindex: number, handle: number, parent: number, information = 0): Uint8Array {
  const bytes = new Uint8Array(TCMSG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, ifindex, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, information, true);
  return bytes;
}

/** Gives a device the clsact discipline, where filters can be; true: it had none before. */
export function addClsact(netlink: NetlinkSocket, ifindex: number): boolean {
  const payload = new PayloadBuilder()
    .raw(tcmsg(ifindex, CLSACT_HANDLE, CLSACT_PARENT))
    .text(TCA_KIND, 'clsact')
    .finish();
  try {
    netlink.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, payload, `add clsact to device ${ifindex}`);
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === constants.errno.EEXIST) return false;
    throw error;
  }
}

/** Takes clsact off a device, with all its filters. */
export function removeClsact(netlink: NetlinkSocket, ifindex: number): void {
  const payload = tcmsg(ifindex, CLSACT_HANDLE, CLSACT_PARENT);
  netlink.request(RTM_DELQDISC, 0, payload, `remove clsact from device ${ifindex}`);
}

/** Which filter of a device: there may be several, run by rising priority. */
export interface BpfFilter {
  readonly ifindex: number;
  readonly direction: TcDirection;
  /** 1 to 65535. */
  readonly priority: number;
  readonly handle: number;
}

const filterHead = (f: BpfFilter): Uint8Array =>
  tcmsg(f.ifindex, f.handle, PARENTS[f.direction], (f.priority * 0x1_0000 + ALL_PROTOCOLS) >>> 0);

/**
 * Has a program run on a device that has clsact. If the filter is there already, its program is replaced, from one
 * packet to the next. The filter stays until it is removed: it does not end with the process.
 */
export function setBpfFilter(netlink: NetlinkSocket, filter: BpfFilter, program: number, name: string): void {
  const payload = new PayloadBuilder()
    .raw(filterHead(filter))
    .text(TCA_KIND, 'bpf')
    .nested(TCA_OPTIONS, (options) => {
      options.u32(TCA_BPF_FD, program).text(TCA_BPF_NAME, name).u32(TCA_BPF_FLAGS, DIRECT_ACTION);
    })
    .finish();
  const what = `set ${filter.direction} filter of device ${filter.ifindex}`;
  netlink.request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, payload, what);
}

/** Takes the filter away; false: it was not there. */
export function removeBpfFilter(netlink: NetlinkSocket, filter: BpfFilter): boolean {
  const payload = new PayloadBuilder().raw(filterHead(filter)).text(TCA_KIND, 'bpf').finish();
  try {
    const what = `remove ${filter.direction} filter of device ${filter.ifindex}`;
    netlink.request(RTM_DELTFILTER, 0, payload, what);
    return true;
  } catch (error) {
    const { ENOENT, EINVAL, ENODEV } = constants.errno;
    if (error instanceof NetlinkError && [ENOENT, EINVAL, ENODEV].includes(error.errno)) return false;
    throw error;
  }
}
