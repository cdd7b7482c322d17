import type { Clock } from '../../src/base/clock.ts';
import type { Engine } from '../../src/nlog/index.ts';
/**
 * Hysteresis between an output and an input table: a port that changes is unsteady at once, and steady
 * again `holdMs` after its last change. State and time live here, outside of the rules.
 */
export declare function damp(engine: Engine, clock: Clock, holdMs: number): void;
