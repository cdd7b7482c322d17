import { type ActionCodec, nxForm } from './codec.ts';
import type { ActionOf } from './types.ts';

const NXAST_CLONE = 42;

/** `clone(...)`: actions whose changes to the packet end with them. */
export const clone: ActionCodec<ActionOf<'clone'>> = {
  type: 'clone',
  name: 'clone',
  words: { clone: (arg, context) => ({ type: 'clone', actions: context.nested(arg, 'clone') }) },
  format: ({ actions }, context) => `clone(${context.list(actions)})`,
  encode({ actions }, out, context) {
    const start = out.nx(NXAST_CLONE);
    out.zeros(6);
    context.list(actions);
    out.end(start);
  },
  wire: [
    nxForm(
      NXAST_CLONE,
      16,
      (b, context) => ({ type: 'clone', actions: context.nested(b.data.subarray(16), 'clone') }),
      { variable: true },
    ),
  ],
  check: (action, state) => ({ ...action, actions: state.nested(action.actions, true) }),
};
