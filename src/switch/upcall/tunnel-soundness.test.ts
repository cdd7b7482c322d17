import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { composePacket } from '../../datapath/packet/compose.ts';
import { extractFlow } from '../../datapath/packet/extract.ts';
import { Packet } from '../../datapath/packet/packet.ts';
import { formatActions, formatKey, parseKey } from '../../datapath/text/index.ts';
import {
  FLOW_WORDS,
  type Flow,
  newFlow,
  W_IN_PORT,
  W_METADATA,
  W_PKT_MARK,
  W_TCP_FLAGS,
  W_TUN_METADATA_PRESENT,
} from '../../flow/layout.ts';
import { type TestBridge, World } from '../testing/world.ts';
import type { TunnelType } from '../tunnel/config.ts';
import { translate } from '../xlate/translate.ts';
import type { Megaflow } from './megaflow.ts';

/*
 * The promise of soundness.test.ts for packets from tunnels: whatever packet a megaflow covers belongs to the
 * same tunnel port, and the pipeline would do the same to it. Random tunnels, tables of options, flows and
 * outer headers.
 */

const pick = <T>(...items: T[]): fc.Arbitrary<T> => fc.constantFrom(...items);

const end = pick('1.1.1.1', '1.1.1.2', 'flow');
const key = pick<Record<string, string>>(
  {},
  { key: '1' },
  { key: '2' },
  { key: 'flow' },
  { in_key: '1', out_key: 'flow' },
);
const tunnel = fc
  .tuple(
    pick<TunnelType>('vxlan', 'geneve', 'geneve', 'gre'),
    end,
    pick('', '', '9.9.9.9', 'flow'),
    key,
    pick('', 'inherit', '32'),
    pick('', 'inherit'),
  )
  .map(([type, remote, local, keys, tos, ttl]) => {
    const options: Record<string, string> = { remote_ip: remote, ...keys };
    if (local !== '' && (local !== 'flow' || remote === 'flow')) options.local_ip = local;
    if (tos !== '') options.tos = tos;
    if (ttl !== '') options.ttl = ttl;
    return { type, options };
  });

const words = pick(
  '',
  'tun_id=1',
  'tun_id=0/1',
  'tun_src=1.1.1.0/24',
  'tun_dst=9.9.9.9',
  'tun_flags=oam',
  'tun_metadata0=1',
  'tun_metadata0=0/0x2',
  'tun_metadata0',
  'tun_metadata1=0x10000/0xffff0000',
  'in_port=1',
  'ip,nw_ecn=1',
  'ip,nw_ttl=1',
);
const match = fc
  .uniqueArray(words, { maxLength: 3, selector: (word) => word.split(/[=,]/)[0] })
  .map((parts) => parts.filter((part) => part !== '').join(','));
const action = pick(
  'output:1',
  'output:2',
  'output:3',
  'IN_PORT',
  'NORMAL',
  'resubmit(,1)',
  'set_field:1.1.1.2->tun_dst',
  'set_field:5->tun_id',
  'set_field:6->tun_metadata0',
  'delete_field:tun_metadata0',
  'set_field:3/3->reg0',
  'output:NXM_NX_REG0[0..3]',
  'move:NXM_NX_TUN_ID[0..7]->NXM_NX_REG0[0..7]',
  'clone(set_field:7->tun_id,output:1)',
);
const rule = fc
  .tuple(pick(0, 0, 1), pick(1, 5, 9), match, fc.array(action, { minLength: 1, maxLength: 3 }))
  .map(
    ([table, priority, text, actions]) =>
      `table=${table},priority=${priority}${text === '' ? '' : `,${text}`},actions=${actions.join()}`,
  );

const option = pick(
  '',
  'geneve({class=0x1,type=0,len=4,0x1})',
  'geneve({class=0x1,type=0,len=4,0x3})',
  'geneve({class=0x1,type=0x1,len=8,0x1000000000005}{class=0x1,type=0,len=4,0x2})',
  'geneve({class=0x7,type=0,len=4,0x9}{class=0x1,type=0,len=4,0x1})',
  'geneve({class=0x7,type=0x80,len=0})',
  'geneve({class=0x1,type=0,len=8,0x1})',
);
const inner = pick(
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0,ttl=1,frag=no),tcp(src=1,dst=2)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=1,ttl=64,frag=no),tcp(src=1,dst=2)',
  'eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=35,ttl=64,frag=no),udp(src=1,dst=2)',
  'eth_type(0x86dd),ipv6(src=fd00::1,dst=fd00::2,label=0,proto=17,tclass=2,hlimit=9,frag=no),udp(src=1,dst=2)',
  'eth_type(0x1234)',
);
/** A received packet's key, but for its port. */
const packet = fc
  .record({
    id: pick(0, 1, 2, 3),
    src: pick('1.1.1.1', '1.1.1.2', '1.1.1.3'),
    dst: pick('9.9.9.9', '9.9.9.8'),
    tos: pick(0, 3, 2, 32),
    ttl: pick(1, 64),
    flags: pick('', 'key', 'oam|key', 'csum|key'),
    option,
    inner,
    mac: pick(1, 2),
  })
  .map(({ id, src, dst, tos, ttl, flags, option: o, inner: i, mac }) => {
    const outer = `tun_id=0x${id.toString(16)},src=${src},dst=${dst},tos=0x${tos.toString(16)},ttl=${ttl},${o === '' ? '' : `${o},`}flags(${flags})`;
    return `tunnel(${outer}),in_port(1),eth(src=02:00:00:00:00:0${mac},dst=ff:ff:ff:ff:ff:ff),${i}`;
  });

interface Case {
  readonly tunnels: readonly { readonly type: TunnelType; readonly options: Record<string, string> }[];
  readonly rules: readonly string[];
  readonly first: string;
  readonly others: readonly string[];
}

const cases: fc.Arbitrary<Case> = fc.record({
  tunnels: fc.array(tunnel, { minLength: 1, maxLength: 4 }),
  rules: fc.array(rule, { minLength: 1, maxLength: 8 }),
  first: packet,
  others: fc.array(packet, { minLength: 1, maxLength: 8 }),
});

function build(c: Case): { world: World; bridge: TestBridge } {
  const world = new World();
  const bridge = world.bridge('br0');
  bridge.tunnelOptions.add({ optionClass: 1, optionType: 0, length: 4, index: 0 });
  bridge.tunnelOptions.add({ optionClass: 1, optionType: 1, length: 8, index: 1 });
  c.tunnels.forEach(({ type, options }, i) => {
    try {
      bridge.addTunnel(i + 1, type, options);
    } catch {
      // Two that would take the same packets.
    }
  });
  bridge.addPort(9);
  for (const line of c.rules) {
    try {
      bridge.addFlow(line);
    } catch {
      // Not a flow.
    }
  }
  world.settle();
  return { world, bridge };
}

const METADATA: readonly (readonly [first: number, end: number])[] = [
  [0, W_METADATA],
  [W_PKT_MARK, W_PKT_MARK + 1],
  [W_IN_PORT, W_IN_PORT + 1],
  [W_TUN_METADATA_PRESENT, FLOW_WORDS],
];

/** The key of a packet that agrees with the megaflow, and is like `other` elsewhere; null: there is none. */
function covered(megaflow: Megaflow, other: Flow): Flow | null {
  const { packetKey, mask } = megaflow;
  const mixed = newFlow();
  for (let i = 0; i < mixed.length; i++) mixed[i] = (packetKey[i] & mask[i]) | (other[i] & ~mask[i]);
  const bytes = composePacket(mixed);
  if (bytes === null) return null;
  const key = newFlow();
  for (const [first, last] of METADATA) key.set(mixed.subarray(first, last), first);
  extractFlow(new Packet(bytes), key);
  return key.every((word, i) => ((word ^ packetKey[i]) & mask[i]) === 0) ? key : null;
}

test('every packet from a tunnel that a megaflow covers is dealt with as the whole pipeline would', () => {
  let checked = 0;
  fc.assert(
    fc.property(cases, (c) => {
      const { world } = build(c);
      const dpPorts = [...world.slowPath.tunnels.shared()].map((shared) => shared.dpPort);
      for (const dpPort of dpPorts) {
        const key = parseKey(c.first).key;
        key[W_IN_PORT] = dpPort;
        const bytes = composePacket(key);
        const name = world.datapath.ports().find((port) => port.port === dpPort)?.name ?? '';
        if (bytes !== null) world.datapath.dummyPort(name).receive(bytes, key);
      }
      world.settle();
      for (const megaflow of [...world.slowPath.megaflows()]) {
        for (const text of c.others) {
          const key = covered(megaflow, parseKey(text).key);
          if (key === null) continue;
          const what = `megaflow ${formatKey(megaflow.packetKey, megaflow.mask)}\npacket ${formatKey(key, null)}`;
          const port = world.slowPath.receiver(key);
          assert.equal(port?.ofPort, megaflow.flow[W_IN_PORT], what);
          const flow = world.slowPath.limitVlans(key);
          flow[W_IN_PORT] = port?.ofPort ?? 0;
          const out = translate({
            ofproto: megaflow.ofproto,
            flow,
            packet: null,
            tcpFlags: flow[W_TCP_FLAGS] >>> 16,
            effects: false,
            cache: [],
          });
          checked++;
          assert.equal(formatActions(out.actions), formatActions(megaflow.translated), what);
        }
      }
    }),
    { numRuns: Number(process.env.SOUNDNESS_RUNS ?? 150) },
  );
  assert.ok(checked > 100, `only ${checked} packets were held against a megaflow`);
});
