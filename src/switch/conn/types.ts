import type { PipelineServices } from '../ofproto/ofproto.ts';
import type { OfPort } from '../ofproto/port.ts';
import type { SlowPathPacketIn } from '../upcall/slow-path.ts';

/** One row of the Controller table, or a service that listens. */
export interface ControllerConfig {
  /** Row of the database that gets the status. */
  readonly uuid: string;
  /** "tcp:IP[:PORT]", "unix:FILE", "ptcp:[PORT][:IP]", "punix:FILE". */
  readonly target: string;
  readonly maxBackoffMs: number;
  readonly probeIntervalMs: number;
  readonly band: 'in-band' | 'out-of-band';
  readonly enableAsync: boolean;
  readonly rateLimit: number;
  readonly burstLimit: number;
  readonly maxQueued: number;
  readonly type: 'primary' | 'service';
}

/** How one bridge speaks OpenFlow; from the Bridge row. */
export interface OpenFlowConfig {
  readonly controllers: readonly ControllerConfig[];
  readonly failMode: 'standalone' | 'secure';
  /** Bit n set: wire version n (1 = OpenFlow 1.0, 6 = 1.5) is allowed. */
  readonly versions: number;
  /** 64 bits. */
  readonly datapathId: bigint;
  readonly maxIdleProbeMs: number;
  /** Bundles that nobody speaks of end after so long; default 10 s. */
  readonly bundleIdleTimeoutMs?: number;
  readonly description: {
    readonly mfr: string;
    readonly hw: string;
    readonly sw: string;
    readonly serial: string;
    readonly dp: string;
  };
  readonly tables: ReadonlyMap<number, TableSettings>;
}

/** One row of the Flow_Table table. */
export interface TableSettings {
  readonly name: string;
  /** Most flows; Infinity: no limit. */
  readonly flowLimit: number;
  readonly overflow: 'refuse' | 'evict';
  /** Subfields by which eviction is fair, as text. */
  readonly groups: readonly string[];
  /** Fields with prefix tracking. */
  readonly prefixes: readonly string[];
}

/** What goes back into a Controller row. */
export interface ControllerStatus {
  readonly uuid: string;
  readonly connected: boolean;
  readonly role: 'other' | 'master' | 'slave' | null;
  readonly status: ReadonlyMap<string, string>;
}

/** The OpenFlow side of one bridge: tables, groups, meters, and the connections that write them. */
export interface OpenFlowSide extends PipelineServices {
  configure(config: OpenFlowConfig): void;
  portAdded(port: OfPort): void;
  /** Its configuration, state or address changed. */
  portModified(port: OfPort): void;
  portRemoved(port: OfPort): void;
  packetIn(packetIn: SlowPathPacketIn): void;
  controllerStatus(): readonly ControllerStatus[];
  onStatus(listener: () => void): void;
  /** Runs periodic work: timeouts of flows. */
  expire(): void;
  close(): void;
}
