import { OFPP_CONTROLLER, OFPR_ACTION } from '../constants.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { hexBytes, keyValues, parseHexBytes, parseU16, parseU32, syntaxError } from './text.ts';
import type { Action, ControllerAction } from './types.ts';
import { type ActionBytes, type ActionWriter, refuse, roundUp8 } from './wire.ts';

/** Names by OFPR_* number. The two kinds of table miss are never asked for by name: theirs is empty. */
const REASONS: readonly string[] = [
  'no_match',
  'action',
  'invalid_ttl',
  'action_set',
  'group',
  'packet_out',
  '',
  '',
];
const WHOLE_PACKET = 0xffff;
/** No meter, in {@link ControllerAction}; 0 on the wire. */
export const NO_METER = 0xffffffff;
const NO_BYTES = new Uint8Array(0);

const NXAST_CONTROLLER = 20;
const NXAST_CONTROLLER2 = 37;
/** Properties of the newer form. */
const MAX_LEN = 0;
const CONTROLLER_ID = 1;
const REASON = 2;
const USERDATA = 3;
const PAUSE = 4;
const METER_ID = 5;
const FIRST_EXPERIMENTER = 0xffff;

function make(changes: Partial<ControllerAction>): ControllerAction {
  return {
    type: 'controller',
    maxLen: WHOLE_PACKET,
    controllerId: 0,
    reason: OFPR_ACTION,
    userdata: NO_BYTES,
    pause: false,
    meterId: NO_METER,
    ...changes,
  };
}

/** Whether `output:controller` says the same. */
function isPlain(a: ControllerAction): boolean {
  return (
    a.reason === OFPR_ACTION &&
    a.controllerId === 0 &&
    a.userdata.length === 0 &&
    !a.pause &&
    a.meterId === NO_METER
  );
}

/** `controller`, `controller:N`, `controller(reason=R,max_len=N,id=N,userdata=HEX,pause,meter_id=N)`. */
function parse(arg: string): Action {
  if (/^[0-9]*$/.test(arg)) {
    return {
      type: 'output',
      port: OFPP_CONTROLLER,
      maxLen: arg === '' ? WHOLE_PACKET : parseU16(arg, 'max_len'),
    };
  }
  let action = make({});
  let hasUserdata = false;
  for (const { key, value } of keyValues(arg)) {
    switch (key) {
      case 'reason': {
        const reason = REASONS.indexOf(value.toLowerCase());
        if (reason < 0) syntaxError(`unknown reason "${value}"`);
        action = { ...action, reason };
        break;
      }
      case 'max_len':
        action = { ...action, maxLen: parseU16(value, 'max_len') };
        break;
      case 'id':
        action = { ...action, controllerId: parseU16(value, 'id') };
        break;
      case 'userdata': {
        const userdata = parseHexBytes(value);
        if (userdata === null) syntaxError("bad hex digit in `controller' action `userdata'");
        action = { ...action, userdata };
        hasUserdata = true;
        break;
      }
      case 'pause':
        action = { ...action, pause: true };
        break;
      case 'meter_id': {
        const meterId = parseU32(value);
        action = { ...action, meterId: meterId === 0 ? NO_METER : meterId };
        break;
      }
      default:
        syntaxError(`unknown key "${key}" parsing controller action`);
    }
  }
  if (isPlain(action) && !hasUserdata)
    return { type: 'output', port: OFPP_CONTROLLER, maxLen: action.maxLen };
  return action;
}

function format(a: ControllerAction): string {
  if (isPlain(a)) return `CONTROLLER:${a.maxLen}`;
  const parts: string[] = [];
  if (a.reason !== OFPR_ACTION) parts.push(`reason=${REASONS[a.reason] ?? a.reason}`);
  if (a.maxLen !== WHOLE_PACKET) parts.push(`max_len=${a.maxLen}`);
  if (a.controllerId !== 0) parts.push(`id=${a.controllerId}`);
  if (a.userdata.length > 0) parts.push(`userdata=${hexBytes(a.userdata, '.')}`);
  if (a.pause) parts.push('pause');
  if (a.meterId !== NO_METER) parts.push(`meter_id=${a.meterId}`);
  return `controller(${parts.join(',')})`;
}

function putProperty(out: ActionWriter, type: number, length: number, put: () => void): void {
  out.u16(type);
  out.u16(4 + length);
  put();
  out.zeros(roundUp8(4 + length) - (4 + length));
}

function encode(a: ControllerAction, out: ActionWriter): void {
  if (a.wire !== 2 && a.userdata.length === 0 && !a.pause && a.meterId === NO_METER) {
    const start = out.nx(NXAST_CONTROLLER);
    out.u16(a.maxLen);
    out.u16(a.controllerId);
    out.u8(a.reason);
    out.end(start, 16);
    return;
  }
  const start = out.nx(NXAST_CONTROLLER2);
  out.zeros(6);
  // 16-bit properties are written with padding that counts, as OpenFlow's own are.
  if (a.maxLen !== WHOLE_PACKET) putProperty(out, MAX_LEN, 4, () => out.u32(a.maxLen * 0x10000));
  if (a.controllerId !== 0) putProperty(out, CONTROLLER_ID, 4, () => out.u32(a.controllerId * 0x10000));
  if (a.reason !== OFPR_ACTION) putProperty(out, REASON, 1, () => out.u8(a.reason));
  if (a.userdata.length > 0) putProperty(out, USERDATA, a.userdata.length, () => out.bytes(a.userdata));
  if (a.pause) putProperty(out, PAUSE, 0, () => {});
  if (a.meterId !== NO_METER) putProperty(out, METER_ID, 4, () => out.u32(a.meterId));
  out.end(start);
}

function decodeProperties(b: ActionBytes): ControllerAction {
  b.expectZero(10, 16, 'NXBRC_MUST_BE_ZERO');
  let action = make({ wire: 2 });
  let at = 16;
  while (at < b.length) {
    // Actions are multiples of 8 bytes, so that at least 8 follow.
    const type = b.u16(at);
    const length = b.u16(at + 2);
    if (length < 4 || at + roundUp8(length) > b.length) {
      refuse('OFPBPC_BAD_LEN', `property ${type} of a controller action claims ${length} bytes`);
    }
    const payload = length - 4;
    const expect = (bytes: number): void => {
      if (payload < bytes || (bytes === 4 && payload > bytes)) {
        refuse(
          'OFPBPC_BAD_LEN',
          `property ${type} of a controller action has ${payload} bytes, not ${bytes}`,
        );
      }
    };
    switch (type) {
      case MAX_LEN:
        expect(2);
        action = { ...action, maxLen: b.u16(at + 4) };
        break;
      case CONTROLLER_ID:
        expect(2);
        action = { ...action, controllerId: b.u16(at + 4) };
        break;
      case REASON:
        expect(1);
        action = { ...action, reason: b.u8(at + 4) };
        break;
      case USERDATA:
        action = { ...action, userdata: b.bytes(at + 4, at + length) };
        break;
      case PAUSE:
        action = { ...action, pause: true };
        break;
      case METER_ID: {
        expect(4);
        const meterId = b.u32(at + 4);
        action = { ...action, meterId: meterId === 0 ? NO_METER : meterId };
        break;
      }
      case FIRST_EXPERIMENTER:
        if (length < 12) refuse('OFPBPC_BAD_LEN', `an experimenter property of ${length} bytes is too short`);
        refuse(
          b.u32(at + 4) === 0 ? 'OFPBPC_BAD_EXPERIMENTER' : 'OFPBPC_BAD_EXP_TYPE',
          'a controller action has no experimenter properties',
        );
        break;
      default:
        refuse('OFPBPC_BAD_TYPE', `a controller action has no property ${type}`);
    }
    at += roundUp8(length);
  }
  return action;
}

/** Sends the packet to controllers, with more to say than `output:controller` can. */
export const controller: ActionCodec<ControllerAction> = {
  type: 'controller',
  name: 'controller',
  words: { controller: parse },
  format,
  encode,
  wire: [
    nxForm(NXAST_CONTROLLER, 16, (b) =>
      make({ maxLen: b.u16(10), controllerId: b.u16(12), reason: b.u8(14) }),
    ),
    nxForm(NXAST_CONTROLLER2, 16, decodeProperties, { variable: true }),
  ],
  size: (a) => a.userdata.length + 16,
};
