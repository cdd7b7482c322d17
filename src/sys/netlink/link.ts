/** Network devices (rtnetlink(7), RTM_*LINK). */
import { constants } from 'node:os';
import { Attributes, type NetlinkMessage, NLM_F_CREATE, NLM_F_EXCL, PayloadBuilder } from './message.ts';
import { NetlinkError, type NetlinkSocket } from './socket.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFINFO_SIZE = 16;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;
const IFF_PROMISC = 0x100;
const IFF_LOWER_UP = 0x1_0000;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_QDISC = 6;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_STATS64 = 23;
const IFLA_NET_NS_FD = 28;
const IFLA_PROMISCUITY = 30;
const IFLA_CARRIER_CHANGES = 35;
const IFLA_LINK_NETNSID = 37;
const IFLA_TARGET_NETNSID = 46;
const IFLA_MIN_MTU = 50;
const IFLA_MAX_MTU = 51;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

/** Counters of a device, as `struct rtnl_link_stats64` starts. */
export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
  readonly multicast: bigint;
  readonly collisions: bigint;
  readonly rxLengthErrors: bigint;
  readonly rxOverErrors: bigint;
  readonly rxCrcErrors: bigint;
  readonly rxFrameErrors: bigint;
  readonly rxFifoErrors: bigint;
  readonly rxMissedErrors: bigint;
}

/** One network device. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** ARPHRD_*: 1 is Ethernet, 772 loopback. */
  readonly type: number;
  /** "veth", "tun", "vxlan", "bridge"...; empty for hardware. */
  readonly kind: string;
  /** Administratively up. */
  readonly up: boolean;
  /** Has carrier, and is up. */
  readonly running: boolean;
  readonly carrier: boolean;
  readonly loopback: boolean;
  readonly promiscuous: boolean;
  /** IF_OPER_*: 2 down, 5 dormant, 6 up, 0 unknown. */
  readonly operState: number;
  readonly mtu: number;
  readonly minMtu: number;
  /** 0: no limit known. */
  readonly maxMtu: number;
  /** Empty where the device has none. */
  readonly mac: Uint8Array;
  /** The device below, or the peer of a veth; 0: none, or it is in another namespace. */
  readonly lower: number;
  /** Whether `lower` is in another namespace. */
  readonly lowerElsewhere: boolean;
  /** Where that is, and its number there, for `Links.getElsewhere`; undefined: it isn't elsewhere. */
  readonly elsewhere: { readonly netnsId: number; readonly ifindex: number } | undefined;
  /** The queueing discipline at its root: "noqueue", "fq_codel", ... */
  readonly qdisc: string;
  /** The bridge or bond that the device belongs to; 0: none. */
  readonly master: number;
  /** How often the carrier came or went. */
  readonly carrierChanges: number;
  readonly statistics: LinkStatistics | undefined;
}

function statisticsOf(bytes: Uint8Array | undefined): LinkStatistics | undefined {
  if (bytes === undefined || bytes.length < 128) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const at = (i: number): bigint => view.getBigUint64(i * 8, true);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
    multicast: at(8),
    collisions: at(9),
    rxLengthErrors: at(10),
    rxOverErrors: at(11),
    rxCrcErrors: at(12),
    rxFrameErrors: at(13),
    rxFifoErrors: at(14),
    rxMissedErrors: at(15),
  };
}

/** Reads an RTM_NEWLINK or RTM_DELLINK message. */
export function parseLink(message: NetlinkMessage): Link {
  const { payload } = message;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const flags = view.getUint32(8, true);
  const a = new Attributes(payload, IFINFO_SIZE);
  return {
    ifindex: view.getInt32(4, true),
    name: a.text(IFLA_IFNAME) ?? '',
    type: view.getUint16(2, true),
    kind: a.nested(IFLA_LINKINFO)?.text(IFLA_INFO_KIND) ?? '',
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    promiscuous: (flags & IFF_PROMISC) !== 0 || (a.u32(IFLA_PROMISCUITY) ?? 0) > 0,
    operState: a.u8(IFLA_OPERSTATE) ?? 0,
    mtu: a.u32(IFLA_MTU) ?? 0,
    minMtu: a.u32(IFLA_MIN_MTU) ?? 0,
    maxMtu: a.u32(IFLA_MAX_MTU) ?? 0,
    mac: (a.bytes(IFLA_ADDRESS) ?? new Uint8Array(0)).slice(),
    lower: a.bytes(IFLA_LINK_NETNSID) === undefined ? (a.u32(IFLA_LINK) ?? 0) : 0,
    lowerElsewhere: a.bytes(IFLA_LINK_NETNSID) !== undefined,
    elsewhere: elsewhereOf(a),
    qdisc: a.text(IFLA_QDISC) ?? '',
    master: a.u32(IFLA_MASTER) ?? 0,
    carrierChanges: a.u32(IFLA_CARRIER_CHANGES) ?? 0,
    statistics: statisticsOf(a.bytes(IFLA_STATS64)),
  };
}

function elsewhereOf(a: Attributes): Link['elsewhere'] {
  const netnsId = a.u32(IFLA_LINK_NETNSID);
  const ifindex = a.u32(IFLA_LINK);
  return netnsId === undefined || ifindex === undefined ? undefined : { netnsId: netnsId | 0, ifindex };
}

function ifinfo(ifindex: number, flags = 0, change = 0): Uint8Array {
  const bytes = new Uint8Array(IFINFO_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, ifindex, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}

/** What can be changed of a device. */
export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Uint8Array;
  /** The device must be down. */
  readonly name?: string;
  /** Moves the device to the namespace of this open descriptor (of /run/netns/NAME). */
  readonly netnsFd?: number;
  /** Puts the device under a bridge (0: takes it out). */
  readonly master?: number;
}

function addChanges(payload: PayloadBuilder, changes: LinkChanges): PayloadBuilder {
  if (changes.name !== undefined) payload.text(IFLA_IFNAME, changes.name);
  if (changes.mtu !== undefined) payload.u32(IFLA_MTU, changes.mtu);
  if (changes.mac !== undefined) payload.attribute(IFLA_ADDRESS, changes.mac);
  if (changes.netnsFd !== undefined) payload.u32(IFLA_NET_NS_FD, changes.netnsFd);
  if (changes.master !== undefined) payload.u32(IFLA_MASTER, changes.master);
  return payload;
}

const upFlags = (up: boolean | undefined): [number, number] =>
  up === undefined ? [0, 0] : [up ? IFF_UP : 0, IFF_UP];

/** The network devices of the namespace in which the socket was opened. */
export class Links {
  private readonly netlink: NetlinkSocket;

  constructor(netlink: NetlinkSocket) {
    this.netlink = netlink;
  }

  list(): Link[] {
    return this.netlink.dump(RTM_GETLINK, ifinfo(0), 'list links').map(parseLink);
  }

  /** The device of that name or number; undefined if there is none. */
  get(device: string | number): Link | undefined {
    const payload = new PayloadBuilder().raw(ifinfo(typeof device === 'number' ? device : 0));
    if (typeof device === 'string') payload.text(IFLA_IFNAME, device);
    try {
      return this.netlink.request(RTM_GETLINK, 0, payload.finish(), `link ${device}`).map(parseLink)[0];
    } catch (error) {
      const { ENODEV, EINVAL, ERANGE } = constants.errno;
      if (error instanceof NetlinkError && [ENODEV, EINVAL, ERANGE].includes(error.errno)) return undefined;
      throw error;
    }
  }

  /** A device of another namespace, which the kernel knows here by a number; undefined if it can't be seen. */
  getElsewhere(netnsId: number, ifindex: number): Link | undefined {
    if (netnsId < 0) return undefined;
    const payload = new PayloadBuilder().raw(ifinfo(ifindex)).u32(IFLA_TARGET_NETNSID, netnsId);
    try {
      return this.netlink
        .request(RTM_GETLINK, 0, payload.finish(), `link ${ifindex} of namespace ${netnsId}`)
        .map(parseLink)[0];
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  /** Changes a device: everything at once, or, on an error, perhaps some of it. */
  set(ifindex: number, changes: LinkChanges): void {
    const payload = addChanges(new PayloadBuilder().raw(ifinfo(ifindex, ...upFlags(changes.up))), changes);
    this.netlink.request(RTM_NEWLINK, 0, payload.finish(), `set link ${ifindex}`);
  }

  /**
   * Makes a device of a kind ("dummy", "bridge", "vxlan"); `data` adds the attributes of its kind. Fails with
   * EEXIST if the name is taken, with EOPNOTSUPP if the kernel lacks the kind.
   */
  create(
    kind: string,
    name: string,
    changes: LinkChanges = {},
    data?: (inner: PayloadBuilder) => void,
  ): void {
    const payload = addChanges(new PayloadBuilder().raw(ifinfo(0, ...upFlags(changes.up))), {
      ...changes,
      name,
    });
    payload.nested(IFLA_LINKINFO, (info) => {
      info.text(IFLA_INFO_KIND, kind);
      if (data !== undefined) info.nested(IFLA_INFO_DATA, data);
    });
    this.netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload.finish(), `create ${kind} ${name}`);
  }

  /**
   * Makes a pair of veth devices; either end may be put into another namespace. An end cannot come up before
   * it has its peer, so `up` is obeyed afterwards, and only by an end that stays in this namespace.
   */
  createVeth(name: string, peer: string, changes: LinkChanges = {}, peerChanges: LinkChanges = {}): void {
    this.create('veth', name, { ...changes, up: undefined }, (data) => {
      data.nested(VETH_INFO_PEER, (inner) => {
        addChanges(inner.raw(ifinfo(0)), { ...peerChanges, name: peer });
      });
    });
    for (const [end, { up, netnsFd }] of [
      [name, changes],
      [peer, peerChanges],
    ] as const) {
      if (up === true && netnsFd === undefined) this.set(this.get(end)!.ifindex, { up });
    }
  }

  /** Removes a device; with a veth its peer goes too. */
  remove(ifindex: number): void {
    this.netlink.request(RTM_DELLINK, 0, ifinfo(ifindex), `remove link ${ifindex}`);
  }
}
