import { F } from '../../flow/fields.ts';
import type { OfErrorName } from '../errors.ts';
import { OF15, type OfVersion } from '../version.ts';
import type { Outer } from './codec.ts';
import { codecOf } from './registry.ts';
import type { Action } from './types.ts';

/**
 * Rules for lists of actions as a whole: the order of instructions, which actions may stand inside
 * which, and that conjunctions stand alone. Texts and messages are held to the same rules.
 */

/** Instructions in the order in which a flow's list has them. */
const ORDER = [
  'meter',
  'apply_actions',
  'clear_actions',
  'write_actions',
  'write_metadata',
  'goto_table',
] as const;
export type InstructionName = (typeof ORDER)[number];

/** The instruction that an action is, or is part of. */
export function instructionOf(action: Action, version: OfVersion): InstructionName {
  switch (action.type) {
    case 'meter':
      return version >= OF15 ? 'apply_actions' : 'meter';
    case 'clear_actions':
    case 'write_actions':
    case 'write_metadata':
    case 'goto_table':
      return action.type;
    default:
      return 'apply_actions';
  }
}

/** Instructions that may stand in a list. */
export type Allowed = ReadonlySet<InstructionName>;
export const ALL_INSTRUCTIONS: Allowed = new Set(ORDER);
export const APPLY_ONLY: Allowed = new Set<InstructionName>(['apply_actions']);
export const APPLY_AND_METER: Allowed = new Set<InstructionName>(['apply_actions', 'meter']);

export interface Violation {
  readonly ofperr: OfErrorName;
  readonly message: string;
}

/** The field that an action of a ct(...) may write. */
function writtenField(action: Action) {
  if (action.type === 'set_field') return action.field;
  return action.type === 'reg_move' ? action.dst.field : null;
}

function nestingViolation(action: Action, outer: Outer): Violation | null {
  const field = writtenField(action);
  const isCtField = field === F.ctMark || field === F.ctLabel;
  if (isCtField && outer !== 'ct') {
    return { ofperr: 'OFPBAC_BAD_SET_ARGUMENT', message: 'cannot set CT fields outside of ct action' };
  }
  if (action.type === 'nat') {
    if (outer === 'ct') return null;
    return { ofperr: 'OFPBAC_BAD_SET_ARGUMENT', message: 'Cannot have NAT action outside of "ct" action' };
  }
  if ((outer === 'ct' && field === null) || (outer !== 'none' && action.type === 'meter')) {
    const message = `${outer} action doesn't support nested action ${codecOf(action.type).name}`;
    return { ofperr: 'OFPBAC_BAD_ARGUMENT', message };
  }
  if (outer === 'ct' && field !== null && !isCtField) {
    const message = `ct action doesn't support nested modification of ${field.name}`;
    return { ofperr: 'OFPBAC_BAD_ARGUMENT', message };
  }
  return null;
}

/** The first rule that a list breaks, or null. `version` only changes which error it is. */
export function findViolation(
  actions: readonly Action[],
  version: OfVersion,
  allowed: Allowed,
  outer: Outer,
): Violation | null {
  let last: InstructionName | null = null;
  for (const action of actions) {
    if (action.type === 'conjunction') {
      const other = actions.find((a) => a.type !== 'conjunction' && a.type !== 'note');
      if (other === undefined) return null;
      const message =
        `"conjunction" actions may be used along with "note" but not any other kind of action ` +
        `(such as the "${codecOf(other.type).name}" action used here)`;
      return { ofperr: 'NXBAC_BAD_CONJUNCTION', message };
    }
    const violation = nestingViolation(action, outer);
    if (violation !== null) return violation;
    const next = instructionOf(action, version);
    if (
      last !== null &&
      !(next === 'apply_actions' && last === next) &&
      ORDER.indexOf(next) <= ORDER.indexOf(last)
    ) {
      const message =
        next === last
          ? `duplicate ${last} instruction not allowed, for OpenFlow 1.1+ compatibility`
          : `invalid instruction ordering: ${next} must appear before ${last}, for OpenFlow 1.1+ compatibility`;
      return { ofperr: 'OFPBAC_UNSUPPORTED_ORDER', message };
    }
    if (!allowed.has(next)) {
      return { ofperr: 'OFPBIC_UNSUP_INST', message: `${next} instruction not allowed here` };
    }
    last = next;
  }
  return null;
}
