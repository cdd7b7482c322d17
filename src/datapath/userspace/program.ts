import { type CtOp, prepareCt } from '../conntrack/action.ts';
import type { DpAction } from '../types.ts';

/** What an {@link Op} does; numbers, so that the interpreter's switch is a jump. */
export const OP_OUTPUT = 0;
export const OP_USERSPACE = 1;
/** Changes the packet's bytes. */
export const OP_EDIT = 2;
/** Changes metadata in the key. */
export const OP_SET_METADATA = 3;
export const OP_RECIRC = 4;
export const OP_HASH = 5;
export const OP_TRUNC = 6;
export const OP_SAMPLE = 7;
export const OP_CLONE = 8;
export const OP_METER = 9;
export const OP_CHECK_LENGTH = 10;
export const OP_CT = 11;
export const OP_CT_CLEAR = 12;
export const OP_DROP = 13;

/** One action, resolved as far as it can be before any packet comes. */
export interface Op {
  readonly code: number;
  readonly action: DpAction;
  /** Port of an output, meter, length to check, recirculation id, probability. */
  readonly number: number;
  /** Actions of a sample or clone; of check_pkt_len those for packets that are longer. */
  readonly nested: Program | null;
  /** check_pkt_len: those for packets that are not. */
  readonly otherwise: Program | null;
  readonly ct: CtOp | null;
}

/** A list of actions, ready to run. */
export interface Program {
  readonly ops: readonly Op[];
  /** Whether it may change the packet or its metadata, so that a clone needs a copy. */
  readonly mutates: boolean;
}

/** Resolves a list of actions. */
export function compile(actions: readonly DpAction[]): Program {
  const ops = actions.map(resolve);
  const mutates = ops.some(
    (op) =>
      op.code !== OP_OUTPUT &&
      op.code !== OP_USERSPACE &&
      op.code !== OP_DROP &&
      !((op.code === OP_SAMPLE || op.code === OP_CLONE) && !op.nested?.mutates),
  );
  return { ops, mutates };
}

const METADATA_GROUPS: ReadonlySet<string> = new Set(['tunnel', 'skb_priority', 'skb_mark', 'ct_mark']);

function resolve(action: DpAction): Op {
  const op = (
    code: number,
    number = 0,
    nested: Program | null = null,
    otherwise: Program | null = null,
  ): Op => ({
    code,
    action,
    number,
    nested,
    otherwise,
    ct: action.type === 'ct' ? prepareCt(action) : null,
  });
  switch (action.type) {
    case 'output':
      return op(OP_OUTPUT, action.port);
    case 'userspace':
      return op(OP_USERSPACE);
    case 'set':
      return op(METADATA_GROUPS.has(action.group) ? OP_SET_METADATA : OP_EDIT);
    case 'push_vlan':
    case 'pop_vlan':
    case 'push_mpls':
    case 'pop_mpls':
    case 'push_eth':
    case 'pop_eth':
      return op(OP_EDIT);
    case 'recirc':
      return op(OP_RECIRC, action.id);
    case 'hash':
      return op(OP_HASH);
    case 'trunc':
      return op(OP_TRUNC, action.maxLen);
    case 'sample':
      return op(OP_SAMPLE, action.probability, compile(action.actions));
    case 'clone':
      return op(OP_CLONE, 0, compile(action.actions));
    case 'meter':
      return op(OP_METER, action.meter);
    case 'check_pkt_len':
      return op(OP_CHECK_LENGTH, action.length, compile(action.greater), compile(action.lessEqual));
    case 'ct':
      return op(OP_CT);
    case 'ct_clear':
      return op(OP_CT_CLEAR);
    case 'drop':
      return op(OP_DROP);
  }
}
