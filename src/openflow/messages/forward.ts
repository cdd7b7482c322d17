import { type Codec, codec, head, reject } from '../family.ts';
import type { Header } from '../header.ts';
import { HEADER_LENGTH } from '../raw.ts';
import type { GroupMod } from './group.ts';
import type { MeterMod } from './meter.ts';

/** Tells other controllers of a group mod or meter mod that one of them sent. */
export interface RequestForward extends Header {
  readonly kind: 'requestforward';
  readonly request: GroupMod | MeterMod;
}

const KINDS = ['group_mod', 'meter_mod'] as const;

const requestForward = codec(
  ['requestforward'],
  (r, c) => {
    const inner = r.rest();
    if (inner.length < HEADER_LENGTH)
      reject('OFPBFC_MSG_BAD_LEN', `forwarded request of ${inner.length} bytes`);
    const length = inner[2] * 256 + inner[3];
    if (length < HEADER_LENGTH || length > inner.length) {
      reject('OFPBFC_MSG_BAD_LEN', `forwarded request of length ${length}, ${inner.length} are there`);
    }
    if (inner[0] !== c.header.version) {
      reject(
        'OFPBRC_BAD_VERSION',
        `request of version ${inner[0]} in a message of version ${c.header.version}`,
      );
    }
    return { ...head(c, 'requestforward'), request: c.nested(inner.subarray(0, length), KINDS) };
  },
  ({ request }, out) => out.w.put(out.nested(request)),
);

export const forwardCodecs: readonly Codec[] = [requestForward];
