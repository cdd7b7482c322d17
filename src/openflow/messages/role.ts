import { UINT64_MAX } from '../constants.ts';
import { type Codec, codec, head, indexIn, kindOf, reject } from '../family.ts';
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

const ROLES: readonly Role[] = ['nochange', 'equal', 'primary', 'secondary'];
const KINDS = ['role_request', 'role_reply'] as const;

function roleOf(number: number): Role {
  if (!(number in ROLES)) reject('OFPRRFC_BAD_ROLE', `role ${number}, at most ${ROLES.length - 1}`);
  return ROLES[number];
}

/** Nicira's roles are the standard's without `nochange`. */
function nxRoleOf(number: number): Role {
  if (number > 2) reject('OFPRRFC_BAD_ROLE', `role ${number}, at most 2`);
  return ROLES[number + 1];
}

const roleMessage = codec(
  KINDS,
  (r, c) => {
    const kind = kindOf(c, KINDS);
    if (c.variant === 'nx') return { ...head(c, kind), role: nxRoleOf(r.u32()), generationId: null };
    const role = roleOf(r.u32());
    r.skip(4);
    const generationId = r.u64();
    const none = kind === 'role_request' ? role === 'nochange' : generationId === UINT64_MAX;
    return { ...head(c, kind), role, generationId: none ? null : generationId };
  },
  (m, { w, variant }) => {
    const role = indexIn(ROLES, m.role);
    if (variant === 'nx') {
      w.u32(role === 0 ? reject('OFPRRFC_BAD_ROLE', 'the Nicira form has no role nochange') : role - 1);
      return;
    }
    w.u32(role);
    w.u32(0);
    w.u64(m.generationId ?? (m.kind === 'role_request' ? 0n : UINT64_MAX));
  },
);

const roleStatus = codec(
  ['role_status'],
  (r, c) => {
    const role = roleOf(r.u32());
    const reason = r.u8();
    r.skip(3);
    return { ...head(c, 'role_status'), role, reason, generationId: r.u64() };
  },
  (m, { w }) => {
    w.u32(indexIn(ROLES, m.role));
    w.u8(m.reason);
    w.zeros(3);
    w.u64(m.generationId);
  },
);

export const roleCodecs: readonly Codec[] = [roleMessage, roleStatus];
