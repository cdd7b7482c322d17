import type { Header } from '../header.ts';

export type Role = 'nochange' | 'equal' | 'primary' | 'secondary';

export interface RoleMessage extends Header {
  readonly kind: 'role_request' | 'role_reply';
  readonly role: Role;
  /** Guards against requests that come late; null: none (NX form, and where a request needs none). */
  readonly generationId: bigint | null;
}

export interface RoleStatus extends Header {
  readonly kind: 'role_status';
  readonly role: Role;
  /** OFPCRR_* */
  readonly reason: number;
  /** UINT64_MAX: none. */
  readonly generationId: bigint;
}
