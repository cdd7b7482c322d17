import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import {
  OFPP_ALL,
  OFPP_CONTROLLER,
  OFPP_FLOOD,
  OFPP_IN_PORT,
  OFPP_LOCAL,
  OFPP_MAX,
  OFPP_NONE,
  OFPP_NORMAL,
  OFPP_TABLE,
} from '../constants.ts';
import { OF10, OF11, OF15 } from '../version.ts';
import { checkSubfield } from './check-field.ts';
import { type ActionCodec, nxForm, type ParseContext, standardForm } from './codec.ts';
import {
  checkedSource,
  fieldOfShortHeader,
  hasShortHeader,
  packOfsBits,
  pullHeader,
  putHeader,
  shortHeader,
  unpackBits,
  unpackOfs,
} from './oxm.ts';
import {
  formatPort,
  isPortNumber,
  keyValues,
  parsePort,
  parseU32,
  portFrom16,
  portTo16,
  syntaxError,
} from './text.ts';
import type { Action, ActionOf } from './types.ts';
import { refuse } from './wire.ts';

const ANY_LENGTH = 0xffff;
/** Truncating below an Ethernet header makes no sense. */
const MIN_TRUNCATED = 14;

const SPECIAL_OUTPUTS: ReadonlySet<number> = new Set([
  ...[OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER, OFPP_LOCAL],
]);

/** Refuses a port that packets cannot be sent to, in a switch whose ports are all below `maxPorts`. */
export function checkOutputPort(port: number, maxPorts: number): void {
  if (SPECIAL_OUTPUTS.has(port)) return;
  if (port === OFPP_NONE || portTo16(port) >= portTo16(maxPorts)) {
    refuse('OFPBAC_BAD_OUT_PORT', `there is no port ${port} to send packets to`);
  }
}

/** A 32-bit port number off the wire. */
export function wirePort(port: number): number {
  if (!isPortNumber(port)) refuse('OFPBAC_BAD_OUT_PORT', `${port} is no port number`);
  return port;
}

/** `output:PORT`, `output:FIELD[..]`, `output(port=PORT,max_len=N)`. */
function parseOutput(arg: string, context: ParseContext): Action {
  if (arg.includes('port') && arg.includes('max_len')) return parseTruncated(arg, context);
  const port = parsePort(arg, context.ports);
  if (port !== null) return { type: 'output', port, maxLen: port === OFPP_CONTROLLER ? ANY_LENGTH : 0 };
  try {
    return { type: 'output_reg', src: parseSubfield(arg), maxLen: ANY_LENGTH };
  } catch {
    return syntaxError(`${arg}: output to unknown port`);
  }
}

function parseTruncated(arg: string, context: ParseContext): Action {
  let port = 0;
  let maxLen = 0;
  for (const { key, value } of keyValues(arg)) {
    if (key === 'port') {
      const parsed = parsePort(value, context.ports);
      if (parsed === null) syntaxError(`output to unknown truncate port: ${value}`);
      port = parsed;
      if (port > OFPP_MAX && port !== OFPP_LOCAL && port !== OFPP_IN_PORT) {
        syntaxError(`output to unsupported truncate port: ${value}`);
      }
    } else if (key === 'max_len') {
      maxLen = parseU32(value);
      if (maxLen < MIN_TRUNCATED) {
        syntaxError(`max_len ${maxLen} is less than the minimum value ${MIN_TRUNCATED}`);
      }
    } else {
      syntaxError(`invalid key '${key}' in output_trunc argument`);
    }
  }
  return { type: 'output_trunc', port, maxLen };
}

const OFPAT_OUTPUT = 0;

export const output: ActionCodec<ActionOf<'output'>> = {
  type: 'output',
  name: 'output',
  words: { output: parseOutput },
  format({ port, maxLen }, { ports }) {
    const name = formatPort(port, ports);
    if (port === OFPP_CONTROLLER) return `${name}:${maxLen}`;
    return port < OFPP_MAX ? `output:${name}` : name;
  },
  encode({ port, maxLen }, out, { version }) {
    if (version === OF10) {
      const start = out.standard(OFPAT_OUTPUT);
      out.u16(portTo16(port));
      out.u16(maxLen);
      out.end(start);
    } else {
      const start = out.standard(OFPAT_OUTPUT);
      out.u32(port);
      out.u16(maxLen);
      out.end(start, 16);
    }
  },
  wire: [
    standardForm(OFPAT_OUTPUT, [OF10, OF10], 8, (b) => {
      const port = portFrom16(b.u16(4));
      checkOutputPort(port, OFPP_MAX);
      return { type: 'output', port, maxLen: b.u16(6) };
    }),
    standardForm(OFPAT_OUTPUT, [OF11, OF15], 16, (b) => {
      const port = wirePort(b.u32(4));
      checkOutputPort(port, OFPP_MAX);
      return { type: 'output', port, maxLen: b.u16(8) };
    }),
  ],
  check(action, { maxPorts }) {
    checkOutputPort(action.port, maxPorts);
    return action;
  },
};

const NXAST_OUTPUT_REG = 15;
const NXAST_OUTPUT_REG2 = 32;

/** `output:FIELD[..]`: to the port whose number the field holds. */
export const outputReg: ActionCodec<ActionOf<'output_reg'>> = {
  type: 'output_reg',
  name: 'output_reg',
  words: { output_reg: parseOutput },
  format: ({ src }) => `output:${formatSubfield(src)}`,
  encode(action, out) {
    const { src, maxLen } = action;
    if (action.wire === 2 || !hasShortHeader(src.field)) {
      const start = out.nx(NXAST_OUTPUT_REG2);
      out.u16(packOfsBits(src));
      out.u16(maxLen);
      putHeader(out, src.field, 0);
      out.end(start, 24);
    } else {
      const start = out.nx(NXAST_OUTPUT_REG);
      out.u16(packOfsBits(src));
      out.u32(shortHeader(src.field));
      out.u16(maxLen);
      out.end(start, 24);
    }
  },
  wire: [
    nxForm(NXAST_OUTPUT_REG, 24, (b, context) => {
      b.expectZero(18, 24, 'OFPBAC_BAD_ARGUMENT');
      const field = fieldOfShortHeader(b.u32(12), context);
      const src = checkedSource(field, unpackOfs(b.u16(10)), unpackBits(b.u16(10)));
      return { type: 'output_reg', src, maxLen: b.u16(16) };
    }),
    nxForm(NXAST_OUTPUT_REG2, 24, (b, context) => {
      const { field, next } = pullHeader(b, 14, context);
      b.expectZero(next, 24, 'NXBRC_MUST_BE_ZERO');
      const src = checkedSource(field, unpackOfs(b.u16(10)), unpackBits(b.u16(10)));
      return { type: 'output_reg', src, maxLen: b.u16(12), wire: 2 };
    }),
  ],
  check(action, state) {
    checkSubfield(action.src, state);
    return action;
  },
};

const NXAST_OUTPUT_TRUNC = 39;

/** `output(port=PORT,max_len=N)`. */
export const outputTrunc: ActionCodec<ActionOf<'output_trunc'>> = {
  type: 'output_trunc',
  name: 'output_trunc',
  words: { output_trunc: (arg) => syntaxError(`unknown action ${arg}`) },
  format: ({ port, maxLen }, { ports }) => `output(port=${formatPort(port, ports)},max_len=${maxLen})`,
  encode({ port, maxLen }, out) {
    const start = out.nx(NXAST_OUTPUT_TRUNC);
    out.u16(portTo16(port));
    out.u32(maxLen);
    out.end(start);
  },
  wire: [
    nxForm(NXAST_OUTPUT_TRUNC, 16, (b) => {
      const maxLen = b.u32(12);
      if (maxLen < MIN_TRUNCATED) refuse('OFPBAC_BAD_ARGUMENT', `cannot truncate packets to ${maxLen} bytes`);
      return { type: 'output_trunc', port: portFrom16(b.u16(10)), maxLen };
    }),
  ],
  check(action, { maxPorts }) {
    checkOutputPort(action.port, maxPorts);
    return action;
  },
};
