import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { damp } from '../../examples/nlog/damping-host.ts';
import { assignTunnelPorts, functions, types } from '../../examples/nlog/tunnels-host.ts';
import type { Clock, Timer } from '../../src/base/clock.ts';
import { check, Engine, explain, formatDerivation, formatWhyNot, whyNot } from '../../src/nlog/index.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../examples/nlog');
const read = (name: string): { name: string; text: string } => ({
  name,
  text: readFileSync(join(folder, name), 'utf8'),
});

function tunnels(): Engine {
  const engine = new Engine(check(read('tunnels.nlog')), { types, functions });
  assignTunnelPorts(engine);
  engine.transaction((tx) => {
    for (const [hv, ip] of [
      ['hv1', '10.0.0.1'],
      ['hv2', '10.0.0.2'],
      ['hv3', '10.0.0.3'],
    ])
      tx.insert('hypervisor_locator', [hv, ip]);
    tx.insert('log_datapath_encap', ['web', 'stt']);
    for (const [port, hv, stage] of [
      ['vm1', 'hv1', 11],
      ['vm2', 'hv2', 12],
    ] as const) {
      tx.insert('log_port', [port, 'web']);
      tx.insert('log_port_presence', [port, hv]);
      tx.insert('lport_stage_id', [port, stage]);
    }
  });
  return engine;
}

test('figure 6 connects two VMs on two hypervisors with a tunnel each way', () => {
  const engine = tunnels();
  assert.deepEqual(engine.rows('ovfdb_tunnel'), [
    ['hv1', 'stt', '10.0.0.2'],
    ['hv2', 'stt', '10.0.0.1'],
  ]);
  assert.deepEqual(engine.rows('ovs_flow'), [
    ['hv1', { reg1: 12 }, { output: 1 }],
    ['hv2', { reg1: 11 }, { output: 1 }],
  ]);
});

test('figure 6: when vm2 migrates from hv2 to hv3, tunnels and flows follow, and nothing else changes', () => {
  const engine = tunnels();
  const seen: unknown[] = [];
  engine.subscribe((changes) => {
    for (const { table, inserted, deleted } of changes) seen.push([table, deleted, inserted]);
  });
  engine.transaction((tx) => tx.put('log_port_presence', ['vm2', 'hv3']));
  // First the tunnels move; the flows through the old ones go with them.
  assert.deepEqual(seen[0], [
    'ovfdb_tunnel',
    [
      ['hv1', 'stt', '10.0.0.2'],
      ['hv2', 'stt', '10.0.0.1'],
    ],
    [
      ['hv1', 'stt', '10.0.0.3'],
      ['hv3', 'stt', '10.0.0.1'],
    ],
  ]);
  assert.deepEqual(seen[1], [
    'ovs_flow',
    [
      ['hv1', { reg1: 12 }, { output: 1 }],
      ['hv2', { reg1: 11 }, { output: 1 }],
    ],
    [],
  ]);
  // Then the switches have assigned ports, and the flows come.
  assert.deepEqual(seen[2], [
    'ovs_flow',
    [],
    [
      ['hv1', { reg1: 12 }, { output: 1 }],
      ['hv3', { reg1: 11 }, { output: 1 }],
    ],
  ]);
  assert.equal(seen.length, 3);
});

test('a flow of figure 6 is explained down to the inputs', () => {
  const engine = tunnels();
  assert.equal(
    formatDerivation(explain(engine, 'ovs_flow', ['hv1', { reg1: 12 }, { output: 1 }])),
    `ovs_flow("hv1", reg1=12, output:1)  [rule tunnels.nlog:51:1]
  tunnel("vm2", "hv1", "stt", "10.0.0.2")  [rule tunnels.nlog:29:1]
    log_port("vm1", "web")  [input]
    log_port("vm2", "web")  [input]
    log_datapath_encap("web", "stt")  [input]
    log_port_presence("vm1", "hv1")  [input]
    log_port_presence("vm2", "hv2")  [input]
    hypervisor_locator("hv2", "10.0.0.2")  [input]
    not_equal("hv1", "hv2")
  lport_stage_id("vm2", 12)  [input]
  flow_expr_match_reg1(12, reg1=12)
  ovfdb_tport("hv1", "stt", "10.0.0.2", 1)  [input]
  flow_output_action(1, output:1)`,
  );
});

test('why there is no tunnel of figure 6 names the first atom that found nothing', () => {
  const engine = tunnels();
  engine.transaction((tx) => tx.delete('log_port_presence', ['vm2', 'hv2']));
  assert.equal(
    formatWhyNot(whyNot(engine, 'ovfdb_tunnel', ['hv1', 'stt', undefined])),
    `ovfdb_tunnel("hv1", "stt", _) is not there
  rule tunnels.nlog:45:1 finds no tunnel(_, "hv1", "stt", dst_ip)
    with src_hv_id = "hv1", encap = "stt"
    tunnel(_, "hv1", "stt", _) is not there
      rule tunnels.nlog:29:1 finds no log_port_presence("vm2", dst_hv_id)
        with src_lport_id = "vm1", log_datapath_id = "web", dst_lport_id = "vm2", encap = "stt", src_hv_id = "hv1"`,
  );
});

/** A clock that moves when told to. */
function warped(): { clock: Clock; advance(ms: number): void } {
  let now = 0;
  let timers: { at: number; fn: () => void }[] = [];
  return {
    clock: {
      now: () => now,
      wall: () => now,
      after: (ms, fn): Timer => {
        const timer = { at: now + ms, fn };
        timers.push(timer);
        return {
          cancel: () => {
            timers = timers.filter((t) => t !== timer);
          },
        };
      },
    },
    advance: (ms) => {
      now += ms;
      const due = timers.filter((t) => t.at <= now);
      timers = timers.filter((t) => t.at > now);
      for (const t of due) t.fn();
    },
  };
}

test('hysteresis: a flapping port is not usable until it has been quiet', () => {
  const engine = new Engine(check(read('damping.nlog')));
  const { clock, advance } = warped();
  damp(engine, clock, 1000);
  const usable = (): unknown => engine.rows('usable');
  engine.transaction((tx) => tx.put('link', ['p1', true]));
  assert.deepEqual(usable(), []);
  advance(999);
  assert.deepEqual(usable(), []);
  advance(1);
  assert.deepEqual(usable(), [['p1']]);
  engine.transaction((tx) => tx.put('link', ['p1', false]));
  engine.transaction((tx) => tx.put('link', ['p1', true]));
  assert.deepEqual(usable(), []);
  advance(1000);
  assert.deepEqual(usable(), [['p1']]);
});
