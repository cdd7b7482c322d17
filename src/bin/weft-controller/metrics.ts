/** What the API's `/metrics` tells of the network at work. */
import type { Metrics } from '../../api/metrics.ts';
import type { Auditor } from '../../controller/network/auditor.ts';
import type { Network } from '../../controller/network/network.ts';

export function registerNetworkMetrics(metrics: Metrics, network: Network, auditor: Auditor): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, () => [[{}, read()]]);
  gauge(
    'weft_network_state',
    'Number of the last state that was published to agents',
    () => network.publication.state,
  );
  gauge('weft_network_fault', '1 while the rules cannot take the configuration over', () =>
    network.fault === undefined ? 0 : 1,
  );
  gauge('weft_network_rows', 'Rows of all tables of the rules', () => network.rules.engine.totalRows);
  gauge('weft_network_rules_bytes', 'Memory of the rules', () => network.rules.engine.bytes);
  metrics.gauge('weft_network_labels', 'Labels by what they do', () => {
    const { used, quarantined } = network.labels.counts;
    return [
      [{ state: 'used' }, used],
      [{ state: 'held back' }, quarantined],
    ];
  });
  gauge(
    'weft_audit_completed',
    'Computations from scratch that were compared',
    () => auditor.counts.completed,
  );
  gauge(
    'weft_audit_rows_mended',
    'Rows that differed from a computation from scratch',
    () => auditor.counts.rowsMended,
  );
  gauge('weft_agents_behind', 'Agents that have not confirmed everything', () => {
    let behind = 0;
    for (const delivery of network.deliveries()) if (!delivery.has(network.publication.state)) behind++;
    return behind;
  });
}
