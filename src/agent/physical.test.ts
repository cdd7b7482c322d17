import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AgentRows, UniversalFlow } from '../logical/universal.ts';
import { parseFlow } from '../openflow/index.ts';
import { type HostChange, Physical, type PhysicalChange, type TunnelPort } from './physical.ts';
import { flood, type PhysicalFlow } from './physical-flows.ts';
import { loadPhysicalProgram } from './physical-program.ts';

const program = loadPhysicalProgram();
const flowText = (f: PhysicalFlow): string =>
  `table=${f.table},priority=${f.priority},${f.match},actions=${f.actions}`;

/** Adds up differences, and holds each against what is there. */
class Sum {
  readonly rows = new Map<string, number>();

  add({ flows, groups, meters, tunnels }: PhysicalChange): void {
    for (const [way, n] of [
      ['deleted', -1],
      ['inserted', 1],
    ] as const) {
      const texts = [
        ...flows[way].map((f) => `${flowText(f)} ${f.origin}`),
        ...[...meters[way], ...tunnels[way], ...groups[way]].map((row) => JSON.stringify(row)),
      ];
      for (const text of texts) {
        const left = (this.rows.get(text) ?? 0) + n;
        assert.ok(left >= 0, `deleted, and was not there: ${text}`);
        if (left === 0) this.rows.delete(text);
        else this.rows.set(text, left);
      }
    }
  }

  sorted(): string[] {
    return [...this.rows].map(([text, n]) => `${n} ${text}`).sort();
  }
}

const NODES = ['h1', 'h2', 'h3'];
const node = fc.constantFrom(...NODES);
const universal: fc.Arbitrary<UniversalFlow> = fc.record({
  datapath: fc.integer({ min: 100, max: 102 }),
  stage: fc.constantFrom('ls-in-security' as const, 'lr-in-route' as const),
  priority: fc.nat(3),
  match: fc.constantFrom('', 'ip', 'inport=5'),
  actions: fc.constantFrom('next', 'drop', 'nonsense'),
  origin: fc.constantFrom('a', 'b'),
});
const placement = fc.record({
  port: fc.integer({ min: 1, max: 6 }),
  datapath: fc.integer({ min: 100, max: 102 }),
  vif: fc.constantFrom('v1', 'v2', 'v3', 'v4'),
  node,
});
const tunnel = fc.record({
  node,
  encapsulation: fc.constantFrom('geneve' as const, 'gre' as const),
  address: fc.constantFrom('10.0.0.1', '10.0.0.2'),
});
const rate = fc.record({
  port: fc.integer({ min: 1, max: 6 }),
  rate: fc.constantFrom(100, 200),
  burst: fc.nat(1),
});
const state = fc.record({
  flow: fc.array(universal, { maxLength: 4 }),
  placement: fc.array(placement, { maxLength: 6 }),
  tunnel: fc.array(tunnel, { maxLength: 3 }),
  rate: fc.array(rate, { maxLength: 3 }),
  vifs: fc.dictionary(fc.constantFrom('v1', 'v2', 'v3', 'v4'), fc.integer({ min: -1, max: 9 })),
  ports: fc.uniqueArray(
    fc.tuple(tunnel, fc.integer({ min: -1, max: 99 })).map(([t, ofport]) => ({ ...t, ofport })),
    { maxLength: 3, selector: (t) => `${t.node} ${t.encapsulation} ${t.address}` },
  ),
});
type State = typeof state extends fc.Arbitrary<infer T> ? T : never;
type Rows = { [T in keyof Required<AgentRows>]: NonNullable<AgentRows[T]> };

const unique = <T>(rows: readonly T[]): T[] => [...new Map(rows.map((r) => [JSON.stringify(r), r])).values()];
const rowsOf = (s: State): Rows => ({
  flow: unique(s.flow),
  placement: unique(s.placement),
  tunnel: unique(s.tunnel),
  rate: unique(s.rate),
});

function without(rows: Rows, other: Rows): Rows {
  const minus = <T>(a: readonly T[], b: readonly T[]): T[] => {
    const there = new Set(b.map((r) => JSON.stringify(r)));
    return a.filter((r) => !there.has(JSON.stringify(r)));
  };
  return {
    flow: minus(rows.flow, other.flow),
    placement: minus(rows.placement, other.placement),
    tunnel: minus(rows.tunnel, other.tunnel),
    rate: minus(rows.rate, other.rate),
  };
}

const hostPart = (s: State): Pick<HostChange, 'vifs' | 'tunnels'> => ({
  vifs: new Map(Object.entries(s.vifs)),
  tunnels: s.ports as TunnelPort[],
});

test('differences add up to what is computed from scratch, whatever came before', () => {
  const empty: Rows = { flow: [], placement: [], tunnel: [], rate: [] };
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 5 }), (states) => {
      // Two hosts in one engine, so that one's rows never count for the other.
      const physical = new Physical({ program });
      const sums = new Map([
        ['h1', new Sum()],
        ['h2', new Sum()],
      ]);
      let before = empty;
      for (const s of states) {
        const rows = rowsOf(s);
        for (const [host, sum] of sums)
          sum.add(
            physical.update(host, {
              insert: without(rows, before),
              delete: without(before, rows),
              ...hostPart(s),
            }),
          );
        before = rows;
      }
      const last = states[states.length - 1];
      for (const [host, sum] of sums) {
        const fresh = new Physical({ program });
        for (let port = 1; port <= 6; port++) {
          const zone = physical.zoneOf(host, port);
          if (zone !== undefined) assert.ok(fresh.adoptZone(host, port, zone));
        }
        const scratch = new Sum();
        scratch.add(fresh.update(host, { insert: before, ...hostPart(last) }));
        assert.deepEqual(sum.sorted(), scratch.sorted());
      }
    }),
    { numRuns: 40 },
  );
});

test('every flow is one that a switch understands', () => {
  const physical = new Physical({ program });
  const { flows, refused } = physical.update('h1', {
    insert: {
      placement: [
        { port: 5, datapath: 1, vif: 'v5', node: 'h1' },
        { port: 6, datapath: 1, vif: 'v6', node: 'h2' },
      ],
      tunnel: [{ node: 'h2', encapsulation: 'geneve', address: '10.0.0.2' }],
      rate: [{ port: 5, rate: 100, burst: 10 }],
    },
    vifs: new Map([['v5', 3]]),
    tunnels: [{ node: 'h2', encapsulation: 'geneve', address: '10.0.0.2', ofport: 9 }],
  });
  assert.equal(refused.inserted.length, 0);
  const tables = new Set<number>();
  for (const flow of flows.inserted) tables.add(parseFlow(flowText(flow)).table);
  assert.deepEqual([...tables].sort(), [0, 64, 65, 66]);
});

test('a port without placement, or placed elsewhere, has no flow of its own here', () => {
  const physical = new Physical({ program });
  const vifs = new Map([
    ['v5', 3],
    ['v6', 4],
  ]);
  const { flows } = physical.update('h1', {
    insert: { placement: [{ port: 6, datapath: 1, vif: 'v6', node: 'h2' }] },
    vifs,
  });
  assert.deepEqual(flows.inserted, []);
});

test('a zone that was given back is taken again last, and every zone taken is to be flushed', () => {
  const physical = new Physical({ program });
  const place = (port: number) => ({ port, datapath: 1, vif: `v${port}`, node: 'h1' });
  const first = physical.update('h1', { insert: { placement: [place(1)] }, vifs: new Map([['v1', 1]]) });
  const [zone] = first.freshZones;
  assert.ok(zone > 0);
  assert.deepEqual(physical.update('h1', { vifs: new Map() }).freshZones, []);
  const again = physical.update('h1', { vifs: new Map([['v1', 1]]) });
  assert.equal(again.freshZones.length, 1);
  assert.notEqual(again.freshZones[0], zone);
});

test('copies beyond what one group can carry go on in another', () => {
  const ports = Array.from({ length: 1300 }, (_, i) => i + 1);
  const { flows, groups } = flood(5000, [...ports, -7]);
  const byId = new Map(groups.map((g) => [g.id, g]));
  assert.equal(byId.size, groups.length);
  const follow = (table: number): string[] => {
    const copies: string[] = [];
    let next = flows.find((f) => f.table === table)?.actions;
    while (next?.startsWith('group:')) {
      const { buckets }: { buckets: readonly string[] } =
        byId.get(Number(next.slice(6))) ?? assert.fail(next);
      next = undefined;
      for (const bucket of buckets) {
        parseFlow(`actions=${bucket}`);
        if (bucket.startsWith('group:')) next = bucket;
        else copies.push(bucket);
      }
    }
    return copies;
  };
  const here = ports.map((port) => `set_field:${port}->reg15,resubmit(,65)`);
  assert.deepEqual(follow(65), here);
  assert.deepEqual(follow(64), [...here, 'set_field:5000->tun_id,output:7']);
});
