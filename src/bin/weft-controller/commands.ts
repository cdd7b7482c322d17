/** The controller's management commands, for `ovs-appctl -t weft-controller`. */
import type { Auditor } from '../../controller/network/auditor.ts';
import type { Network } from '../../controller/network/network.ts';
import type { Commands } from '../daemon/unixctl.ts';

function showNodes(network: Network): string {
  const lines = [`state ${network.publication.state}, revision ${network.revisions.latest}`];
  for (const node of [...network.nodes()].sort()) {
    const delivery = network.delivery(node);
    const at = delivery?.session === undefined ? 'not connected' : `connected from ${delivery.session.name}`;
    const confirmed =
      delivery?.confirmed === undefined ? 'nothing confirmed' : `confirmed ${delivery.confirmed}`;
    lines.push(`${node}: ${at}, ${confirmed}, ${network.publication.needsOf(node).size} datapaths`);
    if (delivery?.failure !== undefined)
      lines.push(`    refused ${delivery.failure.revision}: ${delivery.failure.message}`);
    for (const { vif, name, active } of network.vifs(node)) {
      const port = network.portOfVif(vif);
      lines.push(`    ${name}: VIF ${vif}${active ? '' : ', inactive'}, ${port ?? 'attached to no port'}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

export function registerNetworkCommands(commands: Commands, network: Network, auditor: Auditor): void {
  commands.register('network/show', '', 0, 0, () => showNodes(network));
  commands.register('network/audit', '', 0, 0, () => {
    const different = network.audit();
    return different === 0
      ? `${network.rules.engine.totalRows} rows are what a computation from scratch gives\n`
      : `${different} rows differed from a computation from scratch, and are mended\n`;
  });
  commands.register('network/audits', '', 0, 0, () => {
    const { completed, disturbed, rowsMended } = auditor.counts;
    return `${completed} completed, ${disturbed} given up since the network changed meanwhile, ${rowsMended} rows mended\n`;
  });
  commands.register('network/labels', '', 0, 0, () => {
    const { used, quarantined } = network.labels.counts;
    return `${used} in use, ${quarantined} held back\n`;
  });
}
