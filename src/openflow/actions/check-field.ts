import type { Subfield } from '../../flow/field.ts';
import { matchPrerequisitesMet } from '../../flow/prerequisites.ts';
import type { CheckState } from './codec.ts';
import { checkedSource } from './oxm.ts';
import { P_OF10_ANY } from './protocols.ts';
import { refuse } from './wire.ts';

/** Refuses to read a subfield that packets of the flow may lack. */
export function checkSubfield({ field, ofs, bits }: Subfield, state: CheckState): void {
  checkedSource(field, ofs, bits);
  if (!matchPrerequisitesMet(field, state.flow, state.mask)) {
    refuse('OFPBAC_MATCH_INCONSISTENT', `the flow's match lacks what ${field.name} requires`);
  }
}

/** Refuses to write a subfield that packets of the flow may lack, or that cannot be written. */
export function checkTarget(sf: Subfield, state: CheckState): void {
  checkSubfield(sf, state);
  if (!sf.field.writable) refuse('OFPBAC_BAD_SET_ARGUMENT', `${sf.field.name} cannot be written`);
}

/** The action does not suit the match: only OpenFlow 1.0, where it then does nothing, allows that. */
export function inconsistent(state: CheckState): void {
  state.protocols &= P_OF10_ANY;
}
