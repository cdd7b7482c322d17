import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatActions, formatKey } from '../../datapath/text/index.ts';
import { W_IN_PORT, W_TCP_FLAGS, W_VLAN } from '../../flow/layout.ts';
import type { BundleSettings } from '../ofproto/port.ts';
import { type TestBridge, World } from '../testing/world.ts';
import { translate } from '../xlate/translate.ts';
import {
  addIfValid,
  bfdColumn,
  covered,
  inPort,
  keyOf,
  packetText,
  pick,
  rule,
  send,
  settings,
  watch,
} from './arbitraries.ts';

/*
 * The promise that all forwarding stands on: whatever packet a megaflow covers, the whole pipeline would
 * do the same to it. Random pipelines, random packets; the second packet of each pair agrees with the
 * first on the megaflow's bits, and is random elsewhere.
 */

interface Case {
  readonly rules: readonly string[];
  readonly peerRules: readonly string[];
  readonly ports: readonly Partial<BundleSettings>[];
  readonly monitors: readonly (Readonly<Record<string, string>> | null)[];
  readonly vlanLimit: number;
  readonly warmUp: readonly (readonly [number, string])[];
  readonly first: readonly [number, string];
  readonly others: readonly string[];
}

const cases: fc.Arbitrary<Case> = fc.record({
  rules: fc.array(rule, { minLength: 1, maxLength: 12 }),
  peerRules: fc.array(rule, { maxLength: 4 }),
  ports: fc.array(settings, { minLength: 6, maxLength: 6 }),
  monitors: fc.array(bfdColumn, { minLength: 4, maxLength: 4 }),
  vlanLimit: pick(1, 2),
  warmUp: fc.array(fc.tuple(inPort, packetText), { maxLength: 3 }),
  first: fc.tuple(inPort, packetText),
  others: fc.array(packetText, { minLength: 1, maxLength: 6 }),
});

function build(c: Case): { world: World; bridge: TestBridge } {
  const world = new World();
  world.slowPath.settings = { ...world.slowPath.settings, vlanLimit: c.vlanLimit };
  const bridge = world.bridge('br0');
  const peer = world.bridge('br1');
  for (const n of [1, 2, 3]) bridge.addPort(n, c.ports[n - 1]);
  peer.addPort(1, c.ports[3]);
  const far = peer.addPatch(2, c.ports[5]);
  world.join(bridge.addPatch(9, c.ports[4]), far);
  [...bridge.ofproto.ports().slice(0, 3), far].forEach((port, i) => {
    watch(port, c.monitors[i]);
  });
  for (const line of c.rules) addIfValid(bridge, line);
  for (const line of c.peerRules) addIfValid(peer, line);
  peer.addFlow('table=0,priority=0,actions=NORMAL');
  world.settle();
  return { world, bridge };
}

test('every packet that a megaflow covers is dealt with as the whole pipeline would', () => {
  let checked = 0;
  let taken = 0;
  fc.assert(
    fc.property(cases, (c) => {
      const { world, bridge } = build(c);
      for (const packet of c.warmUp) send(world, bridge, packet);
      world.settle();
      send(world, bridge, c.first);
      world.settle();
      for (const megaflow of [...world.slowPath.megaflows()]) {
        for (const text of c.others) {
          const key = covered(megaflow, keyOf(text));
          if (key === null) continue;
          const flow = world.slowPath.limitVlans(key);
          flow[W_IN_PORT] = megaflow.flow[W_IN_PORT];
          const out = translate({
            ofproto: megaflow.ofproto,
            flow,
            packet: null,
            tcpFlags: flow[W_TCP_FLAGS] >>> 16,
            effects: false,
            cache: [],
          });
          checked++;
          if (out.slow.has('bfd')) taken++;
          const slow = formatActions(megaflow.actions).includes('slow_path');
          assert.equal(out.slow.size > 0, slow, 'who does it: the datapath, or the slow path');
          assert.equal(
            formatActions(out.actions),
            formatActions(megaflow.translated),
            `megaflow ${formatKey(megaflow.packetKey, megaflow.mask)}\npacket ${formatKey(key, null)}`,
          );
        }
      }
    }),
    { numRuns: Number(process.env.SOUNDNESS_RUNS ?? 400) },
  );
  assert.ok(checked > 200, `only ${checked} packets were held against a megaflow`);
  assert.ok(taken > 5, `only ${taken} packets were for a port's monitor`);
});

test('a tag that is taken off and put on as it was is part of the match, whole', () => {
  const world = new World();
  const bridge = world.bridge('br0');
  for (const n of [1, 2]) bridge.addPort(n);
  bridge.addFlow('actions=strip_vlan,mod_vlan_vid:20,output:2');
  send(world, bridge, [1, `dl_src=02:00:00:00:00:01,vlan_tci=0x1014,dl_type=0x1234`]);
  const [megaflow] = world.slowPath.megaflows();
  assert.equal(formatActions(megaflow.translated), `${bridge.ofproto.port(2)?.dpPort}`);
  // With another priority the tag put on differs, and there is something to do.
  assert.equal(megaflow.mask[W_VLAN], 0xffffffff);
});
