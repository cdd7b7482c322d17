/**
 * Random changes of the model and of locations, agents that come, go, forget, refuse and lag: what an agent has
 * gathered from its updates always equals a computation from scratch.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KindName, Stored } from '../../api-schema/kinds.ts';
import type { Placement, PortRate, TunnelTo, UniversalFlow } from '../../logical/universal.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { compileAclMatch } from '../acl-match.ts';
import { networkRules } from '../functions.ts';
import { inputRows } from './input-rows.ts';
import { Objects } from './objects.ts';
import { RuleEngine, type RuleProgram } from './rule-engine.ts';
import { type FakeAgent, type TableTexts, tableTexts } from './testing/fake-agent.ts';
import { testRules } from './testing/rules.ts';
import { makeWorld, type World } from './testing/world.ts';

/** What a node must have, by a fresh engine over the model's objects. */
function expected(
  { model, labels, network }: World,
  nodes: readonly string[],
  program: RuleProgram,
): Map<string, TableTexts> {
  const objects = new Objects();
  objects.apply([...model.objects()].map((after) => ({ after })));
  const rules = new RuleEngine(program);
  rules.apply({
    inserted: [
      ...[...objects.values()].flatMap((o) =>
        inputRows(o, {
          label: (id, side) => labels.of(id, side),
          enabled: (id) => objects.enabled(id),
          aclMatches: compileAclMatch,
        }),
      ),
      ...network.locations.rows(),
    ],
    deleted: [],
  });
  const rows = (table: string): readonly (readonly unknown[])[] => rules.engine.rows(table);
  return new Map(
    nodes.map((node) => {
      const needs = new Set(rows('needs').flatMap(([n, d]) => (n === node ? [d] : [])));
      return [
        node,
        tableTexts({
          flow: rows('flow')
            .filter(([d]) => needs.has(d))
            .map(
              ([datapath, stage, priority, match, actions, origin]) =>
                ({ datapath, stage, priority, match, actions, origin }) as UniversalFlow,
            ),
          placement: rows('placement')
            .filter(([, d]) => needs.has(d))
            .map(([port, datapath, vif, at]) => ({ port, datapath, vif, node: at }) as Placement),
          tunnel: rows('tunnel')
            .filter(([n]) => n === node)
            .map(([, peer, encapsulation, address]) => ({ node: peer, encapsulation, address }) as TunnelTo),
          rate: rows('rate')
            .filter(([, , , n]) => n === node)
            .map(([port, rate, burst]) => ({ port, rate, burst }) as PortRate),
        }),
      ];
    }),
  );
}

/** Everything below an object, itself last. */
function withReferrers({ model }: World, id: string): string[] {
  const found: string[] = [];
  for (const object of model.objects())
    if (object.id !== id && Object.values(object.spec as object).includes(id))
      for (const below of withReferrers({ model } as World, object.id))
        if (!found.includes(below)) found.push(below);
  return [...found, id];
}

const VIFS = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'];

/** One random change of the model, steered by three numbers. */
function change(world: World, kind: number, x: number, y: number): void {
  const { model } = world;
  const all = (k: KindName): Stored[] => [...model.objects()].filter((o) => o.kind === k);
  const pick = <T>(list: readonly T[], n: number): T | undefined =>
    list.length === 0 ? undefined : list[n % list.length];
  const tenant = pick(all('tenant'), 0)?.id ?? model.create('tenant', { name: 'tenant' });
  const aSwitch = pick(all('logical-switch'), x)?.id;
  const port = pick(all('logical-port'), y) as Stored<'logical-port'> | undefined;
  const router = pick(all('logical-router'), y)?.id;
  const used = new Set(all('logical-port').map((o) => (o as Stored<'logical-port'>).spec.vif));
  const vif = VIFS.find((v, i) => i >= x % VIFS.length && !used.has(v));
  switch (kind) {
    case 0:
      model.create('logical-switch', { name: `s${model.revision}`, tenant, enabled: y % 3 > 0 });
      break;
    case 1:
    case 2:
      if (aSwitch !== undefined)
        model.create('logical-port', {
          name: `p${model.revision}`,
          switch: aSwitch,
          addresses: [{ mac: `02:00:00:00:00:${(y % 90) + 10}`, ips: ['10.0.0.1'] }],
          ...(vif === undefined ? {} : { vif }),
          ...(y % 2 === 0 ? { qos: { rate: 100 + (x % 3) } } : {}),
        });
      break;
    case 3:
      if (aSwitch !== undefined)
        model.create('acl', {
          ...(port === undefined || y % 2 === 0 ? { switch: aSwitch } : { port: port.id }),
          direction: 'to-port',
          priority: x % 4,
          match: { protocol: 'icmp', icmpType: y % 3 },
          action: 'drop',
          enabled: x % 5 > 0,
        });
      break;
    case 4:
      model.create('logical-router', { name: `r${model.revision}`, tenant });
      break;
    case 5:
      if (aSwitch !== undefined && router !== undefined)
        model.create('router-port', {
          name: `rp${model.revision}`,
          router,
          switch: aSwitch,
          mac: '02:00:00:00:01:01',
          networks: ['10.0.0.254/24'],
        });
      break;
    case 6:
      if (router !== undefined) model.create('static-route', { router, prefix: `10.${y % 4}.0.0/16` });
      break;
    case 7: {
      // Switches something on or off, or gives a port another VIF.
      const object = pick(
        [...model.objects()].filter((o) => 'enabled' in o.spec || o.kind === 'logical-port'),
        x,
      );
      if (object === undefined) break;
      const spec = object.spec as { enabled?: boolean; vif?: string };
      const next = { ...spec, enabled: spec.enabled === false };
      if (object.kind === 'logical-port' && y % 2 === 0) {
        next.enabled = true;
        if (vif === undefined) delete next.vif;
        else next.vif = vif;
      }
      model.update(object.kind, object.id, next as never);
      break;
    }
    default: {
      const object = pick(
        [...model.objects()].filter((o) => o.kind !== 'transport-node' && o.kind !== 'tenant'),
        x + y,
      );
      if (object !== undefined) model.delete(object.kind, ...withReferrers(world, object.id));
    }
  }
}

function disturb(world: World, agent: FakeAgent, kind: number, x: number): void {
  switch (kind) {
    case 0:
      agent.disconnect();
      break;
    case 1:
      if (x % 4 === 0) agent.forget();
      agent.connect(world.network);
      break;
    case 2:
      agent.answer = () =>
        (['applied', 'nothing', { code: 'refused', message: 'no room' }] as const)[x % 3] as 'applied';
      break;
    default:
      if (!agent.closed)
        agent.locate(
          ...VIFS.filter((_, i) => (x >> i) & 1).map((vif) => ({
            vif,
            name: vif,
            active: (x >> 6) % 4 > 0,
          })),
        );
  }
}

/** Something to begin with: a router between two switches, and VIFs on hosts. */
function furnish(world: World, agents: readonly FakeAgent[]): void {
  for (const kind of [0, 0, 1, 1, 1, 1, 1, 4, 5, 5, 6, 3, 3, 3])
    change(world, kind, world.model.revision, world.model.revision + 1);
  agents.forEach((agent, i) => void agent.locate(VIFS[i], VIFS[i + 2]));
}

const step = fc.record({
  agent: fc.nat(4),
  kind: fc.nat(9),
  x: fc.nat(1000),
  y: fc.nat(1000),
  settle: fc.boolean(),
});

const PROGRAMS: readonly [string, () => RuleProgram, number][] = [
  ['a small program', testRules, 40],
  ['the rules of logical networks', networkRules, 8],
];
for (const [name, load, numRuns] of PROGRAMS)
  test(`what agents gather equals a computation from scratch, whatever happens: ${name}`, async () => {
    const rules = load();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), fc.nat(8), async (steps, maxSteps) => {
        const world = makeWorld({
          rules,
          aclMatches: compileAclMatch,
          publication: { maxSteps, maxRows: 60 },
        });
        const agents = [1, 2, 3].map((n) => world.host(`host${n}`, `192.0.2.${n}`));
        for (const agent of agents) agent.connect(world.network);
        furnish(world, agents);
        await settled();
        for (const { agent, kind, x, y, settle } of steps) {
          if (agent < agents.length && kind < 5) disturb(world, agents[agent], kind, x);
          else change(world, kind, x, y);
          // Without it, several changes meet one turn of the event loop.
          if (settle) await settled();
        }
        await settled();
        for (const agent of agents) {
          agent.answer = () => 'applied';
          // What it never answered before is answered by a new connection.
          agent.connect(world.network);
        }
        await settled();
        const truth = expected(
          world,
          agents.map((a) => a.node),
          rules,
        );
        for (const agent of agents) {
          assert.equal(agent.refused, undefined);
          assert.deepEqual(agent.complaints, []);
          assert.deepEqual(agent.texts(), truth.get(agent.node));
          const delivery = world.network.delivery(agent.node)!;
          assert.ok(delivery.has(world.network.publication.state), `${agent.node} has not confirmed all`);
        }
        assert.equal(world.network.audit(), 0);
        assert.ok(world.network.allHave(world.network.publication.state));
      }),
      { numRuns },
    );
  });
