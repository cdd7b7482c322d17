import type { CommandRegistry } from '../../base/command.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { formatFlowStats } from '../../openflow/text/flow.ts';
import { bfdSetForwarding, bfdShow } from '../../switch/appctl/bfd.ts';
import { dpifDumpFlows, dpifShow, upcallShow } from '../../switch/appctl/datapath.ts';
import { fdbAdd, fdbDelete, fdbFlush, fdbShow, fdbStats, fdbStatsClear } from '../../switch/appctl/fdb.ts';
import { trace, tracePacketOut } from '../../switch/appctl/trace.ts';
import { listTunnels, setDatapathFeature, tunnelPortsShow } from '../../switch/appctl/tunnel.ts';
import type { Switch } from '../../switch/bridge/manager.ts';
import { flowStats } from '../../switch/conn/handlers/flows.ts';
import type { OpenFlowSwitch } from '../../switch/conn/openflow-switch.ts';
import type { DaemonClock } from '../daemon/clock.ts';
import type { Datapaths } from './datapaths.ts';
import { registerDpctlCommands } from './dpctl-commands.ts';
import { registerDummyCommands } from './dummy-commands.ts';
import { showForwarding } from './forwarding.ts';

/** What the management commands act on. */
export interface CommandTarget {
  readonly vswitch: Switch;
  readonly datapaths: Datapaths;
  readonly clock: DaemonClock;
  readonly log: Logger;
  readonly exit: (cleanup: boolean) => void;
}

/** Everything that `ovs-appctl` may ask of the switch. */
export function registerSwitchCommands(commands: CommandRegistry, target: CommandTarget): void {
  const { vswitch, clock } = target;
  const add = commands.register.bind(commands);
  const slowPaths = () => [...vswitch.backers()].map((backer) => backer.slowPath);

  add('exit', '[--cleanup]', 0, 1, (args) => {
    target.exit(args[0] === '--cleanup');
    return undefined;
  });
  add('ofproto/list', '', 0, 0, () =>
    [...vswitch.bridges()]
      .map((bridge) => `${bridge.name}\n`)
      .sort()
      .join(''),
  );
  add(
    'ofproto/trace',
    '{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]',
    1,
    Infinity,
    (args) => trace(vswitch, args),
  );
  add(
    'ofproto/trace-packet-out',
    '[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions',
    2,
    Infinity,
    (args) => tracePacketOut(vswitch, args),
  );
  add('dpif/show', '', 0, 0, () => dpifShow(vswitch));
  add('dpif/dump-dps', '', 0, 0, () =>
    [...vswitch.bridges()]
      .map((bridge) => `${bridge.backer.type}@${bridge.name}\n`)
      .sort()
      .join(''),
  );
  add('dpif/dump-flows', '[-m] [--names | --no-names] bridge', 1, 4, (args) =>
    dpifDumpFlows(vswitch, clock.now(), args),
  );
  add('weft/forwarding', '', 0, 0, () =>
    showForwarding(vswitch, (type) => target.datapaths.forwarding(type)),
  );
  registerDpctlCommands(commands, target);
  add('ofproto/list-tunnels', '', 0, 0, () => listTunnels(vswitch));
  add('tnl/ports/show', '-v', 0, 1, () => tunnelPortsShow(vswitch));
  add('dpif/set-dp-features', 'bridge feature value', 3, 3, (args) => setDatapathFeature(vswitch, args));

  add('fdb/show', 'bridge', 1, 1, ([name]) => fdbShow(vswitch, name));
  add('fdb/flush', '[bridge]', 0, 1, ([name]) => fdbFlush(vswitch, name));
  add('fdb/add', 'bridge port vlan mac', 4, 4, (args) => fdbAdd(vswitch, args));
  add('fdb/del', 'bridge vlan mac', 3, 3, (args) => fdbDelete(vswitch, args));
  add('fdb/stats-show', 'bridge', 1, 1, ([name]) => fdbStats(vswitch, name));
  add('fdb/stats-clear', '[bridge]', 0, 1, ([name]) => fdbStatsClear(vswitch, name));

  add('bfd/show', '[interface]', 0, 1, ([name]) => bfdShow(vswitch.monitors, name));
  add('bfd/set-forwarding', '[interface] normal|false|true', 1, 2, (args) =>
    bfdSetForwarding(vswitch.monitors, args),
  );

  add('upcall/show', '', 0, 0, () => upcallShow(vswitch));
  add('upcall/set-flow-limit', 'flow-limit-number', 1, 1, ([text]) => {
    if (!/^\d+$/.test(text)) throw new WeftError('bad-flow-limit', `${text}: a flow limit is a number`);
    for (const slowPath of slowPaths()) slowPath.flowLimit = Number(text);
    return `set flow_limit to ${Number(text)}\n`;
  });
  const exact = (on: boolean, text: string) => () => {
    for (const slowPath of slowPaths()) {
      slowPath.exactOnly = on;
      slowPath.purge();
    }
    return text;
  };
  add('upcall/disable-megaflows', '', 0, 0, exact(true, 'megaflows disabled\n'));
  add('upcall/enable-megaflows', '', 0, 0, exact(false, 'megaflows enabled\n'));
  add('upcall/disable-ufid', '', 0, 0, () => 'Datapath dumping tersely using UFID disabled\n');
  add('upcall/enable-ufid', '', 0, 0, () => 'Datapath dumping tersely using UFID enabled\n');
  const pause = (paused: boolean) => () => {
    for (const slowPath of slowPaths()) slowPath.paused = paused;
    return undefined;
  };
  add('revalidator/pause', '', 0, 0, pause(true));
  add('revalidator/resume', '', 0, 0, pause(false));
  add('revalidator/wait', '', 0, 0, async () => {
    for (const slowPath of slowPaths()) await slowPath.settled();
    return undefined;
  });
  add('revalidator/purge', '', 0, 0, async () => {
    for (const slowPath of slowPaths()) {
      await slowPath.pushAll();
      slowPath.purge();
    }
    return undefined;
  });

  add('bridge/dump-flows', '[--offload-stats] bridge', 1, 2, (args) => {
    const bridge = vswitch.bridge(args.at(-1) ?? '');
    if (bridge === undefined) throw new WeftError('no-such-bridge', 'Unknown bridge');
    const side = bridge.openflow as OpenFlowSwitch;
    const now = clock.now();
    return side.flows
      .tables()
      .flatMap((table) => [...table.rules(bridge.ofproto.version)])
      .map((rule) => `${formatFlowStats(flowStats(rule, now))}\n`)
      .join('');
  });
  registerDummyCommands(commands, target);
}
