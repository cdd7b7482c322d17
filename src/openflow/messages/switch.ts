import {
  C_ARP_MATCH_IP,
  C_BUNDLES,
  C_FLOW_MONITORING,
  C_FLOW_STATS,
  C_GROUP_STATS,
  C_IP_REASM,
  C_PORT_BLOCKED,
  C_PORT_STATS,
  C_QUEUE_STATS,
  C_STP,
  C_TABLE_STATS,
} from '../constants.ts';
import { type Codec, codec, head, indexIn, kindOf, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { MAX_MESSAGE } from '../raw.ts';
import { OF10, OF12, OF13, OF14 } from '../version.ts';
import { type PortDesc, readPort, writePort } from './port.ts';

export interface FeaturesReply extends Header {
  readonly kind: 'features_reply';
  readonly datapathId: bigint;
  readonly nBuffers: number;
  readonly nTables: number;
  /** OpenFlow 1.3 and later. */
  readonly auxiliaryId: number;
  /** C_* */
  readonly capabilities: number;
  /** OpenFlow 1.0 only: bit n set, action type n is supported. */
  readonly actions: number;
  /** Up to OpenFlow 1.2; later ones ask for a port_desc_request. null: the version has none here. */
  readonly ports: readonly PortDesc[] | null;
}

export interface SwitchConfig {
  readonly frag: FragHandling;
  /** Up to OpenFlow 1.2; null after it. */
  readonly invalidTtlToController: boolean | null;
  /** Bytes of a packet that matched no flow to send to the controller. */
  readonly missSendLen: number;
}

export type FragHandling = 'normal' | 'drop' | 'reassemble' | 'nx-match';

export interface ConfigMessage extends Header {
  readonly kind: 'get_config_reply' | 'set_config';
  readonly config: SwitchConfig;
}

/** Texts of up to 255 bytes; `serialNum` up to 31. */
export interface DescReply extends Header, Multipart {
  readonly kind: 'desc_reply';
  readonly mfrDesc: string;
  readonly hwDesc: string;
  readonly swDesc: string;
  readonly serialNum: string;
  readonly dpDesc: string;
}

/** Capabilities whose bit is the same on every wire. */
const C_COMMON = C_FLOW_STATS | C_TABLE_STATS | C_PORT_STATS | C_IP_REASM | C_QUEUE_STATS;
/** The one bit that means spanning tree in 1.0 and group statistics after it. */
const WIRE_STP_OR_GROUP_STATS = 1 << 3;

function capabilitiesOf(version: number): number {
  if (version < OF12) return C_COMMON | C_ARP_MATCH_IP;
  if (version < OF14) return C_COMMON | C_PORT_BLOCKED;
  return C_COMMON | C_PORT_BLOCKED | C_BUNDLES | C_FLOW_MONITORING;
}

const features = codec(
  ['features_reply'],
  (r, c) => {
    const datapathId = r.u64();
    const nBuffers = r.u32();
    const nTables = r.u8();
    const auxiliaryId = r.u8();
    r.skip(2);
    const wire = r.u32();
    const actions = r.u32();
    let capabilities = wire & capabilitiesOf(c.version);
    if ((wire & WIRE_STP_OR_GROUP_STATS) !== 0) capabilities |= c.version === OF10 ? C_STP : C_GROUP_STATS;
    const ports: PortDesc[] = [];
    while (r.left > 0) ports.push(readPort(r, c.version));
    return {
      ...head(c, 'features_reply'),
      datapathId,
      nBuffers,
      nTables,
      auxiliaryId: c.version >= OF13 ? auxiliaryId : 0,
      capabilities,
      actions: c.version === OF10 ? actions : 0,
      ports: c.version < OF13 ? ports : null,
    };
  },
  (m, { w, version }) => {
    const special = version === OF10 ? C_STP : C_GROUP_STATS;
    w.u64(m.datapathId);
    w.u32(m.nBuffers);
    w.u8(m.nTables);
    w.u8(version >= OF13 ? m.auxiliaryId : 0);
    w.u16(0);
    w.u32(
      (m.capabilities & capabilitiesOf(version)) |
        ((m.capabilities & special) !== 0 ? WIRE_STP_OR_GROUP_STATS : 0),
    );
    w.u32(version === OF10 ? m.actions : 0);
    if (version >= OF13) return;
    for (const port of m.ports ?? []) {
      const at = w.length;
      writePort(w, port, version);
      // What does not fit is left out: OpenFlow 1.3 moved ports out of here for this reason.
      if (w.length > MAX_MESSAGE) w.truncate(at);
    }
  },
);

export const FRAG_NAMES: readonly FragHandling[] = ['normal', 'drop', 'reassemble', 'nx-match'];
const FRAG_MASK = 3;
const INVALID_TTL_TO_CONTROLLER = 1 << 2;
const CONFIG_KINDS = ['get_config_reply', 'set_config'] as const;

const config = codec(
  CONFIG_KINDS,
  (r, c) => {
    const flags = r.u16();
    const missSendLen = r.u16();
    const hasTtl = c.version < OF13;
    const valid = FRAG_MASK | (hasTtl ? INVALID_TTL_TO_CONTROLLER : 0);
    const kind = kindOf(c, CONFIG_KINDS);
    if (kind === 'set_config' && (flags & ~valid) !== 0) {
      reject(
        'OFPSCFC_BAD_FLAGS',
        `set config flags 0x${flags.toString(16)}, known are 0x${valid.toString(16)}`,
      );
    }
    return {
      ...head(c, kind),
      config: {
        frag: FRAG_NAMES[flags & FRAG_MASK],
        invalidTtlToController: hasTtl ? (flags & INVALID_TTL_TO_CONTROLLER) !== 0 : null,
        missSendLen,
      },
    };
  },
  ({ config }, { w, version }) => {
    const ttl = config.invalidTtlToController === true && version < OF13 ? INVALID_TTL_TO_CONTROLLER : 0;
    w.u16(indexIn(FRAG_NAMES, config.frag) | ttl);
    w.u16(config.missSendLen);
  },
);

const DESC_LENGTH = 256;
const SERIAL_LENGTH = 32;

const desc = codec(
  ['desc_reply'],
  (r, c) => ({
    ...multipartHead(c, 'desc_reply'),
    mfrDesc: r.text(DESC_LENGTH),
    hwDesc: r.text(DESC_LENGTH),
    swDesc: r.text(DESC_LENGTH),
    serialNum: r.text(SERIAL_LENGTH),
    dpDesc: r.text(DESC_LENGTH),
  }),
  (m, { w }) => {
    w.text(m.mfrDesc, DESC_LENGTH);
    w.text(m.hwDesc, DESC_LENGTH);
    w.text(m.swDesc, DESC_LENGTH);
    w.text(m.serialNum, SERIAL_LENGTH);
    w.text(m.dpDesc, DESC_LENGTH);
  },
);

export const switchCodecs: readonly Codec[] = [features, config, desc];
