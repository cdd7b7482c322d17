/** What a lab needs of the controller and its agents. */
import type { HostPlan, LabPlan } from '../file/plan.ts';

/** Whether everything that was asked for is live, and if not, what is missing. */
export interface Settled {
  readonly realized: boolean;
  readonly reason: string;
}

export interface ControlPlane {
  /** Starts the controller, and makes the hosts' objects and whatever else agents need to connect to it. */
  start(plan: LabPlan): Promise<void>;
  /** Further words for a host's `weft switch`: its agent is in the same process. */
  switchOptions(host: HostPlan): readonly string[];
  /** Starts the agents that run beside switches which have none. */
  startAgents(hosts: readonly HostPlan[]): Promise<void>;
  /** Makes all other objects of the plan in one transaction. */
  apply(plan: LabPlan): Promise<void>;
  /** Waits until every host has confirmed everything; after `ms` says what is missing. */
  settled(ms: number): Promise<Settled>;
  /** Kills the controller without a word. */
  kill(): Promise<void>;
  /** Starts it again over what it has on disk. */
  restart(): Promise<void>;
  /** Objects that the API lists, by kind and name. */
  count(): Promise<number>;
  /** Where the API is. */
  readonly url: string;
  /** The file by which `weft net` finds it, as WEFT_CONFIG names it. */
  readonly configFile: string;
}
