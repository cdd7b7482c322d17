/**
 * nlog: an incremental Datalog. A program (`check`) and an `Engine` that keeps everything that follows
 * from its input tables up to date. No I/O, no clock, no randomness. See `docs/nlog.md`.
 */
export { Changes, type TableChange, type Work } from './changes.ts';
export { check, checkAll, type Loader } from './check.ts';
export { parseChanges, parsePattern, type TextChange } from './data.ts';
export { type Diagnostic, formatDiagnostic, NlogProgramError, Report, type Source } from './diagnostics.ts';
export {
  Engine,
  type EngineOptions,
  type Listener,
  type SlicedTransaction,
  type Transaction,
} from './engine.ts';
export { type Derivation, explain, formatDerivation, type Reason } from './explain.ts';
export { formatProfile, type Profile, profile } from './profile.ts';
export type { Program } from './program.ts';
export { loadSnapshot, type OpaqueJson, saveSnapshot } from './snapshot.ts';
export type { HostFunction, OpaqueType, Row, TypeName, Value } from './types.ts';
export { formatWhyNot, type RuleRefusal, type WhyNot, whyNot } from './why-not.ts';
