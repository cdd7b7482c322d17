import type { XlateContext } from './context.ts';

/**
 * Whether the packet is for what watches the port by which it came, and not for the bridge. It goes to the
 * slow path each time: a megaflow for such packets has no other actions.
 */
export function takenByMonitor(ctx: XlateContext): boolean {
  const monitor = ctx.port(ctx.inPort)?.monitor ?? null;
  if (monitor === null || !monitor.takes(ctx.flow, ctx.wc)) return false;
  const { packet } = ctx.input;
  if (packet !== null) monitor.receive(packet, ctx.flow);
  ctx.needSlow(monitor.reason);
  return true;
}
