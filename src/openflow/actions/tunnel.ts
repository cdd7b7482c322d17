import { F, fieldByName, fieldByOxmName } from '../../flow/fields.ts';
import { NX_VENDOR, OF10, OF12, OF15 } from '../version.ts';
import { type ActionCodec, numberForm, nxForm, putNumber } from './codec.ts';
import { pullHeader, putHeader } from './oxm.ts';
import { putSetField } from './put-field.ts';
import { hex, parseU64, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

const NXAST_SET_TUNNEL = 2;
const NXAST_SET_TUNNEL64 = 9;
const NXAST_DELETE_FIELD = 50;
const UINT32_MAX = 0xffffffffn;

function make(id: bigint, ext64: boolean): ActionOf<'set_tunnel'> {
  return { type: 'set_tunnel', id, ext64 };
}

/** `set_tunnel:ID`, `set_tunnel64:ID`. */
export const setTunnel: ActionCodec<ActionOf<'set_tunnel'>> = {
  type: 'set_tunnel',
  name: 'set_tunnel',
  words: {
    set_tunnel: (arg) => make(parseU64(arg), false),
    set_tunnel64: (arg) => make(parseU64(arg), true),
  },
  format: ({ id, ext64 }) => `set_tunnel${ext64 || id > UINT32_MAX ? '64' : ''}:${hex(id)}`,
  encode({ id, ext64 }, out, { version }) {
    if (version >= OF12) {
      putSetField(out, F.tunId, version, id);
    } else if (ext64 || id > UINT32_MAX) {
      const start = out.nx(NXAST_SET_TUNNEL64);
      out.zeros(6);
      out.u64(id);
      out.end(start);
    } else {
      putNumber(out, NX_VENDOR, NXAST_SET_TUNNEL, 4, Number(id));
    }
  },
  wire: [
    numberForm(NX_VENDOR, NXAST_SET_TUNNEL, [OF10, OF15], 4, (id) => make(BigInt(id), false)),
    nxForm(NXAST_SET_TUNNEL64, 24, (b) => make(b.u64(16), true)),
  ],
};

/** `delete_field:tun_metadataN`: takes a Geneve option off the packet. */
export const deleteField: ActionCodec<ActionOf<'delete_field'>> = {
  type: 'delete_field',
  name: 'delete_field',
  words: {
    delete_field(arg) {
      const field = fieldByOxmName(arg) ?? fieldByName(arg);
      return field === null ? syntaxError(`unknown field \`${arg}'`) : { type: 'delete_field', field };
    },
  },
  format: ({ field }) => `delete_field:${field.name}`,
  encode({ field }, out) {
    const start = out.nx(NXAST_DELETE_FIELD);
    putHeader(out, field, 0);
    out.end(start, 24);
  },
  wire: [
    nxForm(NXAST_DELETE_FIELD, 24, (b, context) => ({
      type: 'delete_field',
      field: pullHeader(b, 10, context).field,
    })),
  ],
  check(action) {
    if (!action.field.variableLength) {
      refuse('OFPBAC_BAD_ARGUMENT', `${action.field.name} is no tunnel option and cannot be deleted`);
    }
    return action;
  },
};
