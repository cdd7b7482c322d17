import type { Header, Multipart } from '../header.ts';

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
