import { readFileSync } from 'node:fs';
import type { CommandRegistry } from '../../base/command.ts';
import { dpctlDumpFlows } from '../../switch/appctl/datapath.ts';
import { Dpctl } from '../../switch/appctl/dpctl.ts';
import { DpctlConntrack } from '../../switch/appctl/dpctl-conntrack.ts';
import type { CommandTarget } from './commands.ts';

/** `dpctl/...`: what `ovs-dpctl` does, within the daemon. */
export function registerDpctlCommands(commands: CommandRegistry, target: CommandTarget): void {
  const { vswitch, clock, datapaths } = target;
  const dpctl = new Dpctl({
    vswitch,
    create: (type, name) => datapaths.createAlone(type, name),
    readFile: (path) => readFileSync(path, 'utf8'),
    now: () => clock.now(),
    log: target.log.module('dpif_netdev'),
  });
  const add = commands.register.bind(commands);
  const done = (work: () => void): undefined => {
    work();
    return undefined;
  };
  add('dpctl/add-dp', 'dp [iface...]', 1, Infinity, ([name, ...interfaces]) =>
    done(() => dpctl.addDatapath(name, interfaces)),
  );
  add('dpctl/del-dp', 'dp', 1, 1, ([name]) => done(() => dpctl.deleteDatapath(name)));
  add('dpctl/add-if', 'dp iface...', 2, Infinity, (args) => done(() => dpctl.addInterfaces(args)));
  add('dpctl/del-if', 'dp iface...', 2, Infinity, (args) => done(() => dpctl.deleteInterfaces(args)));
  add('dpctl/set-if', 'dp iface...', 2, Infinity, (args) => done(() => dpctl.setInterfaces(args)));
  add('dpctl/dump-dps', '', 0, 0, () =>
    dpctl
      .names()
      .map((name) => `${name}\n`)
      .join(''),
  );
  add('dpctl/show', '[-s] [dp...]', 0, Infinity, (args) => dpctl.show(args));
  add('dpctl/dump-flows', '[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]', 0, 6, (args) =>
    dpctlDumpFlows(vswitch, dpctl, clock.now(), args),
  );
  add('dpctl/add-flow', '[dp] flow actions', 2, 3, (args) => dpctl.changeFlow('add', args));
  add('dpctl/mod-flow', '[dp] flow actions', 2, 3, (args) => dpctl.changeFlow('modify', args));
  add('dpctl/del-flow', '[dp] flow', 1, 2, (args) => dpctl.changeFlow('delete', args));
  add('dpctl/get-flow', '[dp] ufid', 1, 2, (args) => dpctl.getFlow(args));
  add('dpctl/add-flows', '[dp] file', 1, 2, (args) => dpctl.changeFlows('add', args));
  add('dpctl/mod-flows', '[dp] file', 1, 2, (args) => dpctl.changeFlows('modify', args));
  add('dpctl/del-flows', '[dp] [file]', 0, 2, (args) => {
    // One word is a datapath's name, or a file.
    if (args.length === 2 || (args.length === 1 && !dpctl.isName(args[0]))) {
      return dpctl.changeFlows('delete', args);
    }
    dpctl.deleteFlows(args[0]);
    return undefined;
  });
  const conntrack = new DpctlConntrack(dpctl, target.log.module('ct_dpif'));
  add('dpctl/dump-conntrack', '[-m] [-s] [dp] [zone=N]', 0, 4, (args) => conntrack.dump(args));
  add('dpctl/flush-conntrack', '[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]', 0, 4, (args) =>
    done(() => conntrack.flush(args)),
  );
  add('dpctl/ct-stats-show', '[dp] [zone=N]', 0, 3, (args) => conntrack.stats(args));
  add('dpctl/ct-set-maxconns', '[dp] maxconns', 1, 2, (args) => conntrack.setMaxConnections(args));
  add('dpctl/ct-get-maxconns', '[dp]', 0, 1, (args) => conntrack.maxConnections(args));
  add('dpctl/ct-get-nconns', '[dp]', 0, 1, (args) => conntrack.count(args));
  add('dpctl/ct-enable-tcp-seq-chk', '[dp]', 0, 1, (args) => conntrack.setTcpSequenceCheck(args, true));
  add('dpctl/ct-disable-tcp-seq-chk', '[dp]', 0, 1, (args) => conntrack.setTcpSequenceCheck(args, false));
  add('dpctl/ct-get-tcp-seq-chk', '[dp]', 0, 1, (args) => conntrack.tcpSequenceCheck(args));
  add('dpctl/ct-set-limits', '[dp] [default=L] [zone=N,limit=L]...', 1, Infinity, (args) =>
    done(() => conntrack.setLimits(args)),
  );
  add('dpctl/ct-del-limits', '[dp] zone=N1[,N2]...', 1, 2, (args) =>
    done(() => conntrack.deleteLimits(args)),
  );
  add('dpctl/ct-get-limits', '[dp] [zone=N1[,N2]...]', 0, 2, (args) => conntrack.limits(args));
}
