import type { AgentRows } from '../../logical/universal.ts';

/** What the controller has said, as of one revision. */
export interface AgentState {
  readonly systemId: string;
  readonly epoch: string;
  readonly revision: number;
  readonly rows: AgentRows;
}

/** Keeps the newest state over a restart of the agent. */
export interface StateStore {
  /** undefined: there is none, or none that can be read. */
  load(): Promise<AgentState | undefined>;
  /** Saves soon, not at once; `state` is asked for what to save when it comes to that. */
  save(state: () => AgentState): void;
}
