import { F } from '../../flow/fields.ts';
import { matchPrerequisitesMet } from '../../flow/prerequisites.ts';
import { OFPP_IN_PORT } from '../constants.ts';
import { NX_VENDOR, OF10, OF15 } from '../version.ts';
import { type ActionCodec, numberForm, nxForm, type ParseContext, putNumber } from './codec.ts';
import { formatPort, formatTable, parsePort, parseTable, portFrom16, portTo16, syntaxError } from './text.ts';
import type { ResubmitAction } from './types.ts';
import { type ActionBytes, type ActionWriter, refuse } from './wire.ts';

const NXAST_RESUBMIT = 1;
const NXAST_RESUBMIT_TABLE = 14;
const NXAST_RESUBMIT_TABLE_CT = 44;
/** The table that the flow is in. */
const CURRENT_TABLE = 255;

/** Also what OpenFlow 1.0 has for goto_table. */
export function putResubmitTable(out: ActionWriter, inPort: number, table: number, withCt = false): void {
  const start = out.nx(withCt ? NXAST_RESUBMIT_TABLE_CT : NXAST_RESUBMIT_TABLE);
  out.u16(portTo16(inPort));
  out.u8(table);
  out.end(start, 16);
}

function parse(arg: string, { ports, tables }: ParseContext): ResubmitAction {
  const [portText, tableText = '', ctText = ''] = arg.split(',');
  const inPort = portText === '' ? OFPP_IN_PORT : parsePort(portText, ports);
  if (inPort === null) syntaxError(`${portText}: resubmit to unknown port`);
  const table = tableText === '' ? CURRENT_TABLE : parseTable(tableText, tables);
  if (table === null) syntaxError(`${tableText}: resubmit to unknown table`);
  if (ctText !== '' && ctText !== 'ct') syntaxError(`${ctText}: unknown parameter`);
  if (inPort === OFPP_IN_PORT && table === CURRENT_TABLE) {
    syntaxError('at least one "in_port" or "table" must be specified on resubmit');
  }
  return { type: 'resubmit', inPort, table, withCt: ctText === 'ct' };
}

function decodeTable(b: ActionBytes, withCt: boolean): ResubmitAction {
  b.expectZero(13, 16, 'OFPBAC_BAD_ARGUMENT');
  return { type: 'resubmit', inPort: portFrom16(b.u16(10)), table: b.u8(12), withCt };
}

/** `resubmit:PORT`, `resubmit(PORT,TABLE)`, `resubmit(,TABLE)`, `resubmit(,TABLE,ct)`. */
export const resubmit: ActionCodec<ResubmitAction> = {
  type: 'resubmit',
  name: 'resubmit',
  words: { resubmit: parse },
  format({ inPort, table, withCt }, { ports, tables }) {
    const port = inPort === OFPP_IN_PORT ? '' : formatPort(inPort, ports);
    if (port !== '' && table === CURRENT_TABLE) return `resubmit:${port}`;
    const tableName = table === CURRENT_TABLE ? '' : formatTable(table, tables);
    return `resubmit(${port},${tableName}${withCt ? ',ct' : ''})`;
  },
  encode(action, out) {
    const { inPort, table, withCt } = action;
    if (action.wire === 1 && table === CURRENT_TABLE) {
      putNumber(out, NX_VENDOR, NXAST_RESUBMIT, 2, portTo16(inPort));
    } else {
      putResubmitTable(out, inPort, table, withCt);
    }
  },
  wire: [
    numberForm(NX_VENDOR, NXAST_RESUBMIT, [OF10, OF15], 2, (port) => ({
      type: 'resubmit',
      inPort: portFrom16(port),
      table: CURRENT_TABLE,
      withCt: false,
      wire: 1,
    })),
    nxForm(NXAST_RESUBMIT_TABLE, 16, (b) => decodeTable(b, false)),
    nxForm(NXAST_RESUBMIT_TABLE_CT, 16, (b) => decodeTable(b, true)),
  ],
  check(action, { flow, mask }) {
    // Fields of the original direction's tuple have the prerequisite that is meant.
    if (action.withCt && !matchPrerequisitesMet(F.ctNwProto, flow, mask)) {
      refuse(
        'OFPBAC_MATCH_INCONSISTENT',
        "resubmit with ct: the flow's match does not say that packets are tracked",
      );
    }
    return action;
  },
};
