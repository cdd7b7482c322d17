import type { Action, ActionOf, ActionType } from '../../../openflow/actions/types.ts';
import type { XlateContext } from '../context.ts';

/** What an action may know of the list that it stands in. */
export interface ActionPlace {
  readonly actions: readonly Action[];
  readonly index: number;
  /** The packet is not needed after this action. */
  readonly last: boolean;
  /** The list is a group bucket's. */
  readonly bucket: boolean;
}

/**
 * What the rest of the list does: `next` goes on; `stop` leaves it; `skip` says that this action is done
 * with and must not stand among the frozen ones if translation froze in it.
 */
export type Outcome = 'next' | 'stop' | 'skip';

/** How one type of action changes a translation. */
export type Translator<T extends ActionType> = (
  ctx: XlateContext,
  action: ActionOf<T>,
  place: ActionPlace,
) => Outcome;
