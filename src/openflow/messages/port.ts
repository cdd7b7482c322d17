import type { Reader, Writer } from '../bytes.ts';
import {
  OFPP_ANY,
  PC_NO_FWD,
  PC_NO_PACKET_IN,
  PC_NO_RECV,
  PC_PORT_DOWN,
  PF_1GB_FD,
  PF_1GB_HD,
  PF_1TB_FD,
  PF_10GB_FD,
  PF_10MB_FD,
  PF_10MB_HD,
  PF_40GB_FD,
  PF_100GB_FD,
  PF_100MB_FD,
  PF_100MB_HD,
  PS_BLOCKED,
  PS_LINK_DOWN,
  PS_LIVE,
  PS_STP_MASK,
} from '../constants.ts';
import { type Codec, codec, head, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { propertyU32, readProperties, unknownProperty, writeProperty } from '../properties.ts';
import { OF10, OF14, OF15 } from '../version.ts';

export interface PortDesc {
  readonly port: number;
  /** 6 bytes. */
  readonly hwAddr: Uint8Array;
  /** Up to 15 bytes (OpenFlow's limit; longer ones are cut when encoded). */
  readonly name: string;
  /** PC_* */
  readonly config: number;
  /** PS_* */
  readonly state: number;
  /** PF_*; as are the next three. */
  readonly curr: number;
  readonly advertised: number;
  readonly supported: number;
  readonly peer: number;
  /** kbps; OpenFlow 1.1 and later (in 1.0 they follow from the features). */
  readonly currSpeed: number;
  readonly maxSpeed: number;
}

export interface PortStatus extends Header {
  readonly kind: 'port_status';
  /** OFPPR_* */
  readonly reason: number;
  readonly desc: PortDesc;
}

export interface PortMod extends Header {
  readonly kind: 'port_mod';
  readonly port: number;
  /** 6 bytes; must be the port's own. */
  readonly hwAddr: Uint8Array;
  /** PC_* bits to set to, where `mask` has ones. */
  readonly config: number;
  readonly mask: number;
  /** PF_* to advertise; 0: leave as it is. */
  readonly advertise: number;
}

export interface PortDescRequest extends Header {
  readonly kind: 'port_desc_request';
  /** OFPP_ANY: all. Before OpenFlow 1.5 always so. */
  readonly port: number;
}

export interface PortDescReply extends Header, Multipart {
  readonly kind: 'port_desc_reply';
  readonly ports: readonly PortDesc[];
}

const NAME_LENGTH = 16;
const PC10_ALL = 0x7f;
const PC11_ALL = PC_PORT_DOWN | PC_NO_RECV | PC_NO_FWD | PC_NO_PACKET_IN;
const PS10_ALL = PS_LINK_DOWN | PS_STP_MASK;
const PS11_ALL = PS_LINK_DOWN | PS_BLOCKED | PS_LIVE;
const PROP_ETHERNET = 0;
const OF14_PORT_LENGTH = 40;
const OF14_ETHERNET_LENGTH = 32;

/** OpenFlow 1.0 has no speeds above 10 Gb/s, so its bits for the medium and so on are 4 lower. */
function featuresFromOf10(wire: number): number {
  return (wire & 0x7f) | ((wire & 0xf80) << 4);
}

function featuresToOf10(features: number): number {
  return (features & 0x7f) | ((features & 0xf800) >>> 4);
}

/** The fastest of the speeds in a set of PF_*, in kbps; 0 if it has none. */
export function featuresSpeed(features: number): number {
  const has = (bits: number): boolean => (features & bits) !== 0;
  if (has(PF_1TB_FD)) return 1_000_000_000;
  if (has(PF_100GB_FD)) return 100_000_000;
  if (has(PF_40GB_FD)) return 40_000_000;
  if (has(PF_10GB_FD)) return 10_000_000;
  if (has(PF_1GB_HD | PF_1GB_FD)) return 1_000_000;
  if (has(PF_100MB_HD | PF_100MB_FD)) return 100_000;
  return has(PF_10MB_HD | PF_10MB_FD) ? 10_000 : 0;
}

/** Reads a port's description. Throws OfError where its port number cannot be, or it is cut short. */
export function readPort(r: Reader, version: number): PortDesc {
  if (version === OF10) return readOf10Port(r);
  const port = r.u32();
  const length = r.u16();
  r.skip(2);
  const hwAddr = r.read(6);
  r.skip(2);
  const name = r.text(NAME_LENGTH);
  const config = r.u32() & PC11_ALL;
  const state = r.u32() & PS11_ALL;
  const base = { port: portFromWire32(port), hwAddr, name, config, state };
  if (version < OF14) return { ...base, ...readSpeeds(r) };
  if (length < OF14_PORT_LENGTH || length - OF14_PORT_LENGTH > r.left) {
    reject('OFPBRC_BAD_LEN', `port description of length ${length}, ${r.left + OF14_PORT_LENGTH} are there`);
  }
  let speeds: Speeds = { curr: 0, advertised: 0, supported: 0, peer: 0, currSpeed: 0, maxSpeed: 0 };
  for (const property of readProperties(r.sub(length - OF14_PORT_LENGTH))) {
    if (property.experimenter !== 0 || property.type !== PROP_ETHERNET) continue;
    if (property.payload.left !== OF14_ETHERNET_LENGTH - 4) {
      reject('OFPBPC_BAD_LEN', `Ethernet property of a port: ${property.payload.left + 4} bytes, must be 32`);
    }
    property.payload.skip(4);
    speeds = readSpeeds(property.payload);
  }
  return { ...base, ...speeds };
}

type Speeds = Pick<PortDesc, 'curr' | 'advertised' | 'supported' | 'peer' | 'currSpeed' | 'maxSpeed'>;

function readSpeeds(r: Reader): Speeds {
  return {
    curr: r.u32() & 0xffff,
    advertised: r.u32() & 0xffff,
    supported: r.u32() & 0xffff,
    peer: r.u32() & 0xffff,
    currSpeed: r.u32(),
    maxSpeed: r.u32(),
  };
}

function readOf10Port(r: Reader): PortDesc {
  const port = portFromWire16(r.u16());
  const hwAddr = r.read(6);
  const name = r.text(NAME_LENGTH);
  const config = r.u32() & PC10_ALL;
  const state = r.u32() & PS10_ALL;
  const curr = featuresFromOf10(r.u32());
  const advertised = featuresFromOf10(r.u32());
  const supported = featuresFromOf10(r.u32());
  const peer = featuresFromOf10(r.u32());
  const currSpeed = featuresSpeed(curr);
  const maxSpeed = featuresSpeed(supported);
  return { port, hwAddr, name, config, state, curr, advertised, supported, peer, currSpeed, maxSpeed };
}

/** Writes a port's description. */
export function writePort(w: Writer, p: PortDesc, version: number): void {
  if (version === OF10) {
    w.u16(portToWire16(p.port));
    w.put(p.hwAddr);
    w.text(p.name, NAME_LENGTH);
    w.u32(p.config & PC10_ALL);
    w.u32(p.state & PS10_ALL);
    for (const features of [p.curr, p.advertised, p.supported, p.peer]) w.u32(featuresToOf10(features));
    return;
  }
  const start = w.length;
  w.u32(p.port);
  w.u32(0);
  w.put(p.hwAddr);
  w.u16(0);
  w.text(p.name, NAME_LENGTH);
  w.u32(p.config & PC11_ALL);
  w.u32(p.state & PS11_ALL);
  if (version < OF14) {
    writeSpeeds(w, p);
  } else {
    writeProperty(w, PROP_ETHERNET, () => writeSpeeds(w, p), true);
    w.setU16(start + 4, w.length - start);
  }
}

function writeSpeeds(w: Writer, p: PortDesc): void {
  for (const features of [p.curr, p.advertised, p.supported, p.peer]) w.u32(features & 0xffff);
  w.u32(p.currSpeed);
  w.u32(p.maxSpeed);
}

const portStatus = codec(
  ['port_status'],
  (r, c) => {
    const reason = r.u8();
    r.skip(7);
    if (reason > 2) reject('NXBRC_BAD_REASON', `port status of reason ${reason}, at most 2`);
    return { ...head(c, 'port_status'), reason, desc: readPort(r, c.version) };
  },
  ({ reason, desc }, { w, version }) => {
    w.u8(reason);
    w.zeros(7);
    writePort(w, desc, version);
  },
);

const portMod = codec(
  ['port_mod'],
  (r, c) => {
    const of10 = c.version === OF10;
    const port = of10 ? portFromWire16(r.u16()) : portFromWire32(r.u32());
    if (!of10) r.skip(4);
    const hwAddr = r.read(6);
    if (!of10) r.skip(2);
    const all = of10 ? PC10_ALL : PC11_ALL;
    const config = r.u32() & all;
    const mask = r.u32() & all;
    let advertise = 0;
    if (of10) {
      advertise = featuresFromOf10(r.u32());
    } else if (c.version < OF14) {
      advertise = r.u32() & 0xffff;
    } else {
      for (const property of readProperties(r)) {
        if (property.experimenter !== 0 || property.type !== PROP_ETHERNET)
          throw unknownProperty(property, 'port mod');
        advertise = propertyU32(property) & 0xffff;
      }
    }
    return { ...head(c, 'port_mod'), port, hwAddr, config: config & mask, mask, advertise };
  },
  (m, { w, version }) => {
    const of10 = version === OF10;
    const all = of10 ? PC10_ALL : PC11_ALL;
    if (of10) {
      w.u16(portToWire16(m.port));
    } else {
      w.u32(m.port);
      w.u32(0);
    }
    w.put(m.hwAddr);
    if (!of10) w.u16(0);
    w.u32(m.config & all);
    w.u32(m.mask & all);
    if (version >= OF14) {
      if (m.advertise !== 0) writeProperty(w, PROP_ETHERNET, () => w.u32(m.advertise & 0xffff));
      return;
    }
    w.u32(of10 ? featuresToOf10(m.advertise) : m.advertise & 0xffff);
    w.u32(0);
  },
);

const portDescRequest = codec(
  ['port_desc_request'],
  (r, c) => ({
    ...head(c, 'port_desc_request'),
    port: c.version < OF15 ? OFPP_ANY : portFromWire32(r.u32()),
  }),
  ({ port }, { w, version }) => {
    if (version < OF15) return;
    w.u32(port);
    w.u32(0);
  },
);

const portDescReply = codec(
  ['port_desc_reply'],
  (r, c) => {
    const ports: PortDesc[] = [];
    while (r.left > 0) ports.push(readPort(r, c.version));
    return { ...multipartHead(c, 'port_desc_reply'), ports };
  },
  ({ ports }, out) => {
    for (const port of ports) out.entry((w) => writePort(w, port, out.version));
  },
);

export const portCodecs: readonly Codec[] = [portStatus, portMod, portDescRequest, portDescReply];
