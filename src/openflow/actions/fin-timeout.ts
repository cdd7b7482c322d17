import { W_NW } from '../../flow/layout.ts';
import { IPPROTO_TCP } from '../../flow/prerequisites.ts';
import { inconsistent } from './check-field.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { keyValues, parseU16, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';

const NXAST_FIN_TIMEOUT = 19;

/** `fin_timeout(idle_timeout=N,hard_timeout=N)`: shortens the flow's timeouts once it sees FIN or RST. */
export const finTimeout: ActionCodec<ActionOf<'fin_timeout'>> = {
  type: 'fin_timeout',
  name: 'fin_timeout',
  words: {
    fin_timeout(arg) {
      let idle = 0;
      let hard = 0;
      for (const { key, value } of keyValues(arg)) {
        if (key === 'idle_timeout') idle = parseU16(value, key);
        else if (key === 'hard_timeout') hard = parseU16(value, key);
        else syntaxError(`invalid key '${key}' in 'fin_timeout' argument`);
      }
      return { type: 'fin_timeout', idle, hard };
    },
  },
  format({ idle, hard }) {
    const parts: string[] = [];
    if (idle !== 0) parts.push(`idle_timeout=${idle}`);
    if (hard !== 0) parts.push(`hard_timeout=${hard}`);
    return `fin_timeout(${parts.join(',')})`;
  },
  encode({ idle, hard }, out) {
    const start = out.nx(NXAST_FIN_TIMEOUT);
    out.u16(idle);
    out.u16(hard);
    out.end(start, 16);
  },
  wire: [nxForm(NXAST_FIN_TIMEOUT, 16, (b) => ({ type: 'fin_timeout', idle: b.u16(10), hard: b.u16(12) }))],
  check(action, state) {
    if ((state.flow[W_NW] & 0xff) !== IPPROTO_TCP) inconsistent(state);
    return action;
  },
};
