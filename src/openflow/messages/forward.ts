import type { Header } from '../header.ts';
import type { GroupMod } from './group.ts';
import type { MeterMod } from './meter.ts';

/** Tells other controllers of a group mod or meter mod that one of them sent. */
export interface RequestForward extends Header {
  readonly kind: 'requestforward';
  readonly request: GroupMod | MeterMod;
}
