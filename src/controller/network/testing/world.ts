/** A network with a model, manual time and agents in memory. */
import type { SpecOf } from '../../../api-schema/kinds.ts';
import { nullLogger } from '../../../base/log.ts';
import { ManualClock } from '../../../ovsdb/testing/clock.ts';
import { Labels } from '../labels.ts';
import { Network, type NetworkOptions } from '../network.ts';
import { FakeAgent } from './fake-agent.ts';
import { FakeModel } from './fake-model.ts';
import { testRules } from './rules.ts';

export interface World {
  readonly model: FakeModel;
  readonly labels: Labels;
  readonly network: Network;
  readonly clock: ManualClock;
  /** Makes the transport node and an agent for it. */
  host(systemId: string, address: string): FakeAgent;
}

export function makeWorld(options: Partial<NetworkOptions> & { quarantine?: number } = {}): World {
  const clock = new ManualClock();
  const labels = new Labels({
    clock,
    passed: (state) => network.allHave(state),
    quarantine: options.quarantine ?? 1000,
  });
  const model = new FakeModel(labels);
  const network: Network = new Network({
    source: model,
    labels,
    rules: testRules(),
    aclMatches: (match) => [JSON.stringify(match)],
    authority: { verify: (node, token) => token === `token of ${node}` },
    clock,
    log: nullLogger,
    epoch: 'epoch 1',
    ...options,
  });
  network.start();
  return {
    model,
    labels,
    network,
    clock,
    host(systemId, address) {
      const spec: SpecOf<'transport-node'> = {
        name: systemId,
        systemId,
        tunnels: [{ encapsulation: 'geneve', address }],
      };
      model.create('transport-node', spec);
      return new FakeAgent(systemId);
    },
  };
}
