/** How values of a field are written in flow texts (ovs-fields(7)). */
export type FieldFormat =
  | 'decimal'
  | 'hexadecimal'
  | 'ethernet'
  | 'ipv4'
  | 'ipv6'
  | 'of10-port'
  | 'of11-port'
  | 'frag'
  | 'tunnel-flags'
  | 'tcp-flags'
  | 'ct-state'
  | 'packet-type';

/** What a packet must be for a field to exist in it. */
export type Prerequisite =
  | 'none'
  | 'ethernet'
  | 'arp'
  | 'vlan-vid'
  | 'ipv4'
  | 'ipv6'
  | 'ip'
  | 'nsh'
  | 'mpls'
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'icmpv4'
  | 'icmpv6'
  | 'nd'
  | 'nd-solicit'
  | 'nd-advert'
  | 'ct';

/** An OXM/NXM header without its length: 16-bit class, 7-bit field, experimenter id where class is 0xffff. */
export interface OxmNumber {
  readonly oxmClass: number;
  readonly field: number;
  /** 0 unless `oxmClass` is 0xffff. */
  readonly experimenter: number;
  /** First OpenFlow version that has it (1 = 1.0 ... 6 = 1.5). NXM numbers: 1. */
  readonly since: number;
  /** Name as used in `NXM_OF_IN_PORT[]` texts. */
  readonly name: string;
}

/** One row of the catalogue: everything that texts, codecs, masks and printing need to know of a field. */
export interface Field {
  /** Dense number, the field's place in the catalogue. */
  readonly id: number;
  readonly name: string;
  /** Second name, or ''. */
  readonly alias: string;
  /** Significant bits. */
  readonly bits: number;
  /** Bytes of the value in OXM (e.g. 2 for the 12-bit vlan_vid). */
  readonly bytes: number;
  /**
   * Bit offset in the flow key of the value's most significant bit; the value takes `bits` bits from
   * there. Fields that are views with logic of their own (vlan_vid, in_port, mpls bits are plain;
   * dl_vlan, in_port of OpenFlow 1.0 are not) say so by `special`.
   */
  readonly offset: number;
  readonly special: boolean;
  readonly maskable: boolean;
  readonly format: FieldFormat;
  readonly prerequisite: Prerequisite;
  readonly writable: boolean;
  /** Its number in class 0 or 1, if any. */
  readonly nxm: OxmNumber | null;
  /** Its first number in any other class, if any. */
  readonly oxm: OxmNumber | null;
  /** All its numbers, those that older versions prefer first. */
  readonly numbers: readonly OxmNumber[];
  /**
   * tun_metadata0..63: the value's length is whatever a Geneve option gives it, up to `bytes`. Such a
   * field has no place (`offset` is -1) until a table of Geneve options gives it one.
   */
  readonly variableLength: boolean;
}

/** Some of a field's bits: `field[ofs..ofs+bits-1]`, bit 0 the least significant. */
export interface Subfield {
  readonly field: Field;
  readonly ofs: number;
  readonly bits: number;
}
