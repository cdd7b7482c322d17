import type { Datapath } from '../../datapath/types.ts';
import type { DeviceProvider } from '../device/device.ts';
import type { SlowPath } from '../upcall/slow-path.ts';

/** One datapath and what feeds it: shared by all bridges of one datapath type. */
export interface Backer {
  readonly type: string;
  readonly datapath: Datapath;
  readonly slowPath: SlowPath;
  readonly devices: DeviceProvider;
}

/** Makes the datapaths that this machine can run. */
export interface DatapathProvider {
  /** Types that a Bridge row may name ("system", "netdev", "dummy"). */
  readonly types: readonly string[];
  /** Interface types that work on them. */
  readonly interfaceTypes: readonly string[];
  /** @throws WeftError where the type is unknown or can't run here, with the reason. */
  open(type: string): { datapath: Datapath; devices: DeviceProvider };
}
