import type { Header } from '../header.ts';

export type BundleControlType =
  | 'open_request'
  | 'open_reply'
  | 'close_request'
  | 'close_reply'
  | 'commit_request'
  | 'commit_reply'
  | 'discard_request'
  | 'discard_reply';

export interface BundleControl extends Header {
  readonly kind: 'bundle_control';
  readonly bundle: number;
  readonly type: BundleControlType;
  /** OFPBF_* */
  readonly flags: number;
}

export interface BundleAdd extends Header {
  readonly kind: 'bundle_add';
  readonly bundle: number;
  /** OFPBF_* */
  readonly flags: number;
  /** The whole message that is added; its xid is this one's. To be decoded like any other. */
  readonly message: Uint8Array;
}
