import type { Header, Multipart } from '../header.ts';
import type { PortDesc } from './port.ts';

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
  /** OpenFlow 1.1 and 1.2 only; null elsewhere. */
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
