import type { ModuleLog } from '../../base/log.ts';
import { type Attachment, attachClassifier, BpfLink } from '../../ebpf/link.ts';
import { type LoadOptions, Program } from '../../ebpf/program.ts';
import { actionProgram } from './action-program.ts';
import { branchProgram, outProgram } from './branches.ts';
import * as L from './layout.ts';
import type { KernelMaps } from './maps.ts';
import type { Pins } from './pins.ts';
import { encapProgram } from './tunnel-encap.ts';
import { upcallFunction } from './upcall.ts';

export interface FixedProgramsOptions {
  readonly maps: KernelMaps;
  readonly pins: Pins | null;
  readonly log: ModuleLog;
  /** Runs in the network namespace of the datapath. */
  readonly there: <T>(work: () => T) => T;
}

/** The programs that stay the same whatever megaflows there are; all but the lookup and those of ports. */
export class FixedPrograms {
  readonly #branches: Attachment | null;

  constructor({ maps, pins, log, there }: FixedProgramsOptions) {
    const put = (slot: number, options: Omit<LoadOptions, 'kind'>): void => {
      using program = Program.load({ kind: 'classifier', ...options });
      maps.programs.set(slot, program.fd);
    };
    const upcall = upcallFunction(maps);
    put(L.PROGRAM_ACT, { name: 'weft_act', describe: true, code: actionProgram({ maps, upcall }) });
    put(L.PROGRAM_ENCAP, { name: 'weft_encap', code: encapProgram({ maps, upcall }) });
    put(L.PROGRAM_OUT, { name: 'weft_out', code: outProgram(maps) });
    this.#branches = there(() => attachBranches(maps, pins, log));
  }

  /** Whether copies of packets can do something of their own. */
  get branches(): boolean {
    return this.#branches !== null;
  }

  close(): void {
    this.#branches?.detach();
  }

  /** Closes what is open; what is pinned goes on. */
  leave(): void {
    this.#branches?.close();
  }
}

/** Those of several processes stand beside each other: each takes its own copies only. */
function attachBranches(maps: KernelMaps, pins: Pins | null, log: ModuleLog): Attachment | null {
  try {
    using program = Program.load({ kind: 'classifier', name: 'weft_branch', code: branchProgram(maps) });
    const attachment = attachClassifier(program, L.LOOPBACK_IFINDEX, 'egress');
    // A filter of traffic control would be the next process's own at once, in place of ours.
    if (!(attachment instanceof BpfLink)) {
      attachment.detach();
      return null;
    }
    pins?.pinBranches(attachment);
    return attachment;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.info(`actions that want a copy of the packet are left to this process: ${why}`);
    return null;
  }
}
