/**
 * Ours, for northd.ts: logical switches of 9 ports, two ACLs for each port; one host has all ports, so that every universal
 * flow goes out as JSON text, as northd's go to its database. Prints one line of JSON.
 */
import type { Stored } from '../src/api-schema/kinds.ts';
import { nullLogger } from '../src/base/log.ts';
import { compileAclMatch } from '../src/controller/acl-match.ts';
import { networkRules } from '../src/controller/functions.ts';
import { Labels } from '../src/controller/network/labels.ts';
import type { Claim } from '../src/controller/network/locations.ts';
import { Network } from '../src/controller/network/network.ts';
import { PROTOCOL_VERSION, type Update } from '../src/logical/protocol.ts';
import { type Json, stringify } from '../src/ovsdb/json.ts';
import { directPair } from '../src/ovsdb/rpc/direct.ts';
import { ipOf, MemoryModel, macOf } from './logical-networks.ts';

export interface OursMeasured {
  readonly fullMs: number;
  readonly plusMs: number;
  readonly flows: number;
  readonly rssMb: number;
}

const SWITCHES = Number(process.argv[2] ?? 200);
const PORTS = 9;
const ROUNDS = 21;

const clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms: number, fn: () => void) => {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
const labels = new Labels({ clock, passed: () => false });
const model = new MemoryModel(labels);
const tenant = model.add('tenant', { name: 'tenant' });
model.add('transport-node', {
  name: 'hv',
  systemId: 'hv',
  tunnels: [{ encapsulation: 'geneve', address: '192.0.2.1' }],
});
const claims: Claim[] = [];
let serial = 0;
/** A port with its two ACLs. */
function portWithAcls(of: string, i: number): Stored[] {
  const n = serial++;
  claims.push({ vif: `vif${n}`, node: 'hv', sequence: n + 1, name: `vif${n}` });
  const port = model.make('logical-port', {
    name: `lp${n}`,
    switch: of,
    vif: `vif${n}`,
    addresses: [{ mac: macOf(n), ips: [ipOf(i)] }],
  });
  const acl = (
    direction: 'to-port' | 'from-port',
    protocol: 'tcp' | 'udp',
    destinationPorts: number,
  ): Stored =>
    model.make('acl', {
      port: port.id,
      direction,
      priority: 100,
      match: { protocol, destinationPorts },
      action: 'drop',
    });
  return [port, acl('to-port', 'tcp', 22), acl('from-port', 'udp', 53)];
}
const switches = Array.from({ length: SWITCHES }, (_, n) => {
  const { id } = model.add('logical-switch', { name: `ls${n}`, tenant: tenant.id });
  for (let i = 0; i < PORTS; i++) for (const after of portWithAcls(id, i)) model.write([{ after }]);
  return id;
});
const later = Array.from({ length: ROUNDS }, (_, n) => portWithAcls(switches[n % SWITCHES], PORTS + n));

const rules = networkRules();
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1];
let flows = 0;
let bytes = 0;
const started = performance.now();
const network = new Network({
  source: model,
  labels,
  rules,
  aclMatches: compileAclMatch,
  authority: { verify: () => true },
  clock,
  log: nullLogger,
  epoch: 'bench',
  claims,
});
network.start();
const [ours, theirs] = directPair();
network.accept(theirs, { name: 'hv' });
ours.receive({
  onMessage: (message) => {
    if (!('method' in message) || message.method !== 'update') return;
    const [update] = message.params as unknown as [Update];
    // What a socket would be given.
    bytes += stringify(message as unknown as Json).length;
    flows += (update.insert.flow?.length ?? 0) - (update.delete.flow?.length ?? 0);
    ours.send({ method: 'applied', params: [{ revision: update.revision, elapsed: 0 }], id: null });
  },
  onDrain() {},
  onActivity() {},
  onClose() {},
});
ours.send({
  method: 'hello',
  params: [{ version: PROTOCOL_VERSION, systemId: 'hv', token: 'token' }],
  id: null,
});
const quiet = async (): Promise<void> => {
  do await new Promise((resolve) => setImmediate(resolve));
  while (network.delivery('hv')?.has(network.publication.state) !== true);
};
await quiet();
const fullMs = performance.now() - started;
if (flows !== network.rules.engine.size('flow') || bytes === 0)
  throw new Error('not all flows have gone out');
const all = flows;
const steps: number[] = [];
for (const [port] of later) {
  const at = performance.now();
  model.write([{ after: port }]);
  await quiet();
  steps.push(performance.now() - at);
}
const result: OursMeasured = {
  fullMs,
  plusMs: median(steps),
  flows: all,
  rssMb: process.resourceUsage().maxRSS / 1024,
};
console.log(JSON.stringify(result));
