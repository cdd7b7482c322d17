import { OFPP_CONTROLLER } from '../constants.ts';
import { formatActions } from './list.ts';
import type { Action } from './types.ts';

/** Every action of a list and of the lists inside it. */
export function* flattenActions(actions: readonly Action[]): Generator<Action> {
  for (const action of actions) {
    yield action;
    if ('actions' in action) yield* flattenActions(action.actions);
  }
}

/** Whether packets may be sent to `port`, as far as the actions name it. */
export function actionsOutputToPort(actions: readonly Action[], port: number): boolean {
  for (const action of flattenActions(actions)) {
    if ((action.type === 'output' || action.type === 'enqueue') && action.port === port) return true;
    if (action.type === 'controller' && port === OFPP_CONTROLLER) return true;
  }
  return false;
}

export function actionsOutputToGroup(actions: readonly Action[], group: number): boolean {
  for (const action of flattenActions(actions)) {
    if (action.type === 'group' && action.group === group) return true;
  }
  return false;
}

/** The meter that packets pass first, if any. */
export function meterOf(actions: readonly Action[]): number | null {
  for (const action of actions) if (action.type === 'meter') return action.meter;
  return null;
}

/** Whether two lists are the same actions in the same form: they read the same. */
export function actionsEqual(a: readonly Action[], b: readonly Action[]): boolean {
  return a === b || (a.length === b.length && formatActions(a) === formatActions(b));
}
