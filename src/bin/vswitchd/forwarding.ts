import type { KernelDatapath } from '../../datapath/kernel/kernel-datapath.ts';
import type { Switch } from '../../switch/bridge/manager.ts';

/** The datapath in the kernel, or why another serves a type that may be the kernel's; undefined for all other types. */
export type Forwarding = KernelDatapath | string | undefined;

/** `weft/forwarding`: whether the kernel or the process forwards, and what comes up from the one to the other. */
export function showForwarding(vswitch: Switch, of: (type: string) => Forwarding): string {
  let text = '';
  for (const { type, datapath } of vswitch.backers()) {
    const forwarding = of(type);
    text += `${datapath.type}: ${forwardingText(forwarding)}\n`;
    if (typeof forwarding === 'object') text += statisticsText(forwarding);
  }
  return text === '' ? 'no bridge, no datapath\n' : text;
}

/** "in the kernel, by eBPF"; "in user space". */
export function forwardingText(forwarding: Forwarding): string {
  if (forwarding === undefined) return 'in user space';
  if (typeof forwarding === 'object') return 'in the kernel, by eBPF';
  return `in user space, as the kernel datapath can't run: ${forwarding}`;
}

function statisticsText(kernel: KernelDatapath): string {
  const { kernelMasks, otherMasks, upFlows, missed, up, unparsed } = kernel.statistics();
  return `  masks: ${kernelMasks} in the program, ${otherMasks} only in the process
  megaflows that only the process can carry out: ${upFlows}
  packets that came up: ${missed} without a megaflow in the program, ${up} of megaflows for the process, ${unparsed} that programs can't read
`;
}
