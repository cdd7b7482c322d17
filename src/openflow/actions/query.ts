import { OFPP_CONTROLLER } from '../constants.ts';
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

/** Members that say how an action came, or what is known of its flow, not what it does. */
const NOTES: ReadonlySet<string> = new Set(['wire', 'flowHasVlan', 'flowProto']);

/** Whether two lists are the same actions in the same order. Notes on them (see {@link Action}) don't count. */
export function actionsEqual(a: readonly Action[], b: readonly Action[]): boolean {
  return same(a, b);
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || a instanceof Uint8Array) return sameItems(a, b);
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  // A field is told by its number: there may be one of the catalogue and one with a place of its own.
  if ('prerequisite' in x) return x.id === y.id && x.bits === y.bits;
  const keys = Object.keys(x).filter((key) => !NOTES.has(key));
  const others = Object.keys(y).filter((key) => !NOTES.has(key));
  return keys.length === others.length && keys.every((key) => same(x[key], y[key]));
}

function sameItems(a: ArrayLike<unknown>, b: object): boolean {
  if (!Array.isArray(b) && !(b instanceof Uint8Array)) return false;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!same(a[i], b[i])) return false;
  return true;
}
