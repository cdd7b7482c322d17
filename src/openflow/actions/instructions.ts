import { OFPM_MAX, OFPP_IN_PORT } from '../constants.ts';
import { OF10, OF13, OF14, OF15 } from '../version.ts';
import { type ActionCodec, numberForm, nxForm, putNumber } from './codec.ts';
import { P_NXM_OF11_UP, P_OF13_UP } from './protocols.ts';
import { putResubmitTable } from './resubmit.ts';
import { formatTable, hex, parseTable, parseU32, parseU64, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

/** Numbers of instructions since OpenFlow 1.1. */
export const OFPIT_GOTO_TABLE = 1;
export const OFPIT_WRITE_METADATA = 2;
export const OFPIT_WRITE_ACTIONS = 3;
export const OFPIT_APPLY_ACTIONS = 4;
export const OFPIT_CLEAR_ACTIONS = 5;
export const OFPIT13_METER = 6;
export const OFPIT_EXPERIMENTER = 0xffff;

const OFPAT15_METER = 29;
const NXAST_WRITE_METADATA = 22;
const UINT64_MAX = 0xffffffffffffffffn;

/** `meter:N`: an instruction of OpenFlow 1.3 and 1.4, an action of 1.5. */
export const meter: ActionCodec<ActionOf<'meter'>> = {
  type: 'meter',
  name: 'meter',
  words: {
    meter(arg, context) {
      context.restrict(P_OF13_UP);
      return { type: 'meter', meter: parseU32(arg) };
    },
  },
  format: (action) => `meter:${action.meter}`,
  encode(action, out, { version }) {
    if (version >= OF15) {
      putNumber(out, 0, OFPAT15_METER, 4, action.meter);
    } else if (version === OF13 || version === OF14) {
      const start = out.standard(OFPIT13_METER);
      out.u32(action.meter);
      out.end(start);
    }
  },
  wire: [numberForm(0, OFPAT15_METER, [OF15, OF15], 4, (id) => ({ type: 'meter', meter: id }))],
  check(action) {
    if (action.meter === 0 || action.meter > OFPM_MAX) {
      refuse('OFPMMFC_INVALID_METER', `there can be no meter ${action.meter}`);
    }
    return action;
  },
};

const CLEAR: ActionOf<'clear_actions'> = { type: 'clear_actions' };

/** `clear_actions`: empties the action set. */
export const clearActions: ActionCodec<ActionOf<'clear_actions'>> = {
  type: 'clear_actions',
  name: 'clear_actions',
  words: { clear_actions: () => CLEAR },
  format: () => 'clear_actions',
  encode(_action, out, { version }) {
    if (version > OF10) out.end(out.standard(OFPIT_CLEAR_ACTIONS), 8);
  },
  wire: [],
};

/** `write_actions(...)`: into the action set. */
export const writeActions: ActionCodec<ActionOf<'write_actions'>> = {
  type: 'write_actions',
  name: 'write_actions',
  words: {
    write_actions: (arg, context) => ({
      type: 'write_actions',
      actions: context.nested(arg, 'write_actions'),
    }),
  },
  format: ({ actions }, context) => `write_actions(${context.list(actions)})`,
  encode({ actions }, out, context) {
    if (context.version === OF10) return;
    const start = out.standard(OFPIT_WRITE_ACTIONS);
    out.zeros(4);
    const empty = out.length;
    context.list(actions);
    // An instruction that writes nothing is left out.
    if (out.length === empty) out.truncate(start);
    else out.end(start);
  },
  wire: [],
  check: (action, state) => ({ ...action, actions: state.nested(action.actions, false) }),
};

/** `write_metadata:VALUE[/MASK]`. */
export const writeMetadata: ActionCodec<ActionOf<'write_metadata'>> = {
  type: 'write_metadata',
  name: 'write_metadata',
  words: {
    write_metadata(arg, context) {
      context.restrict(P_NXM_OF11_UP);
      const slash = arg.indexOf('/');
      const mask = slash < 0 ? UINT64_MAX : parseU64(arg.slice(slash + 1));
      return { type: 'write_metadata', metadata: parseU64(slash < 0 ? arg : arg.slice(0, slash)), mask };
    },
  },
  format: ({ metadata, mask }) =>
    `write_metadata:${hex(metadata)}${mask === UINT64_MAX ? '' : `/${hex(mask)}`}`,
  encode({ metadata, mask }, out, { version }) {
    const start = version === OF10 ? out.nx(NXAST_WRITE_METADATA) : out.standard(OFPIT_WRITE_METADATA);
    out.zeros(version === OF10 ? 6 : 4);
    out.u64(metadata);
    out.u64(mask);
    out.end(start);
  },
  wire: [
    nxForm(NXAST_WRITE_METADATA, 32, (b) => {
      b.expectZero(10, 16, 'NXBRC_MUST_BE_ZERO');
      return { type: 'write_metadata', metadata: b.u64(16), mask: b.u64(24) };
    }),
  ],
};

/** `goto_table:TABLE`. */
export const gotoTable: ActionCodec<ActionOf<'goto_table'>> = {
  type: 'goto_table',
  name: 'goto_table',
  words: {
    goto_table(arg, { tables }) {
      const table = parseTable(arg, tables);
      return table === null ? syntaxError(`unknown table "${arg}"`) : { type: 'goto_table', table };
    },
  },
  format: ({ table }, { tables }) => `goto_table:${formatTable(table, tables)}`,
  encode({ table }, out, { version }) {
    if (version === OF10) {
      putResubmitTable(out, OFPP_IN_PORT, table);
      return;
    }
    const start = out.standard(OFPIT_GOTO_TABLE);
    out.u8(table);
    out.end(start, 8);
  },
  wire: [],
  check(action, { table, tables }) {
    const { table: to } = action;
    if ((table !== 255 && to <= table) || (tables !== 255 && to >= tables)) {
      refuse('OFPBIC_BAD_TABLE_ID', `goto_table:${to} from table ${table} of ${tables}`);
    }
    return action;
  },
};
