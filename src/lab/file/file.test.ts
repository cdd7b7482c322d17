import assert from 'node:assert/strict';
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import { inNetwork, parseNetwork } from './address.ts';
import { loadLabFile, parseLabYaml } from './load.ts';
import type { LabPlan } from './plan.ts';
import { planLab } from './resolve.ts';
import { glob, selects } from './select.ts';

const EXAMPLES = join(import.meta.dirname, '../../../examples/labs');

function numbered(): () => string {
  let n = 0;
  return () => `00000000-0000-4000-8000-${String(n++).padStart(12, '0')}`;
}

const plan = (text: string, more: { kind?: 'stock'; ours?: 'userspace' } = {}): LabPlan =>
  planLab(parseLabYaml('lab.yaml', text), { uuid: numbered(), ...more });

function complaint(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof WeftError && error.code === 'bad-lab-file', String(error));
    return error.message;
  }
  return assert.fail('nothing was found wrong');
}

const TWO = `
hosts: { host1: {}, host2: { switch: stock } }
tenants:
  red: &all
    switches: { web: {}, db: { unknown: flood } }
    routers: { gw: { ports: { web: { mac: 02:00:00:00:01:01, networks: [10.0.1.1/24, "fd00:1::1/64"] } } } }
    acls: [{ port: web/vm1, direction: to-port, priority: 1, match: { protocol: tcp }, action: drop }]
  blue: *all
vms:
  vm1: { host: host1, port: red/web/vm1, mac: 02:00:00:00:00:0A, addresses: [10.0.1.11/24, "fd00:1::11/64"] }
  vm2: { host: host2, port: red/db/vm2, mac: 02:00:00:00:00:02, addresses: [10.0.2.12/24], gateways: [10.0.2.9] }
  vm3: { host: host2, port: blue/web/vm1, mac: 02:00:00:00:00:0A, addresses: [10.0.1.11/24] }
expect:
  - { within: tenant, can: [udp/53, ping, tcp/80] }
  - { from: vm2, cannot: [all] }
  - { from: red/db, can: [ping] }
`;

test('a plan has every name found and every default filled in', () => {
  const { hosts, machines, objects, pairs, probes } = plan(TWO);
  assert.deepEqual(
    hosts.map(({ name, kind, underlay }) => [name, kind, underlay.address]),
    [
      ['host1', 'kernel', '172.31.0.1'],
      ['host2', 'stock', '172.31.0.2'],
    ],
  );
  assert.deepEqual(
    machines.map(({ mac, gateways }) => [mac, gateways]),
    [
      ['02:00:00:00:00:0a', ['10.0.1.1', 'fd00:1::1']],
      ['02:00:00:00:00:02', ['10.0.2.9']],
      ['02:00:00:00:00:0a', ['10.0.1.1']],
    ],
  );
  assert.deepEqual(probes, [{ kind: 'ping' }, { kind: 'tcp', port: 80 }, { kind: 'udp', port: 53 }]);
  assert.deepEqual(
    pairs.map(({ from, to, can }) => [from.name, to.name, [...can]]),
    [
      ['vm1', 'vm2', ['udp/53', 'ping', 'tcp/80']],
      ['vm1', 'vm3', []],
      ['vm2', 'vm1', ['ping']],
      ['vm2', 'vm3', ['ping']],
      ['vm3', 'vm1', []],
      ['vm3', 'vm2', []],
    ],
  );
  const ids = new Set(objects.map(({ id }) => id));
  assert.equal(ids.size, objects.length);
  // Whatever an object refers to comes before it.
  const seen = new Set<string>();
  for (const { id, spec } of objects) {
    for (const value of Object.values(spec)) {
      if (typeof value === 'string' && ids.has(value)) assert.ok(seen.has(value), JSON.stringify(spec));
    }
    seen.add(id);
  }
  const port = objects.find(({ path }) => path === 'blue/web/vm1')!;
  assert.deepEqual(port.spec.addresses, [{ mac: '02:00:00:00:00:0a', ips: ['10.0.1.11'] }]);
  assert.equal(port.spec.vif, machines[2].vif);
});

test('the command line chooses other switches than the file', () => {
  assert.deepEqual(
    plan(TWO, { kind: 'stock' }).hosts.map(({ kind }) => kind),
    ['stock', 'stock'],
  );
  assert.deepEqual(
    plan(TWO, { ours: 'userspace' }).hosts.map(({ kind }) => kind),
    ['userspace', 'stock'],
  );
});

test('what is wrong is told with its line and column', () => {
  const rows: [string, string, RegExp][] = [
    [
      'switch: stock',
      'switch: mine',
      /^lab\.yaml:2:38: hosts\.host2\.switch: must be one of "kernel", "userspace", "stock"$/m,
    ],
    [
      'unknown: flood',
      'unknwon: flood',
      /^lab\.yaml:5:\d+: tenants\.(red|blue)\.switches\.db\.unknwon: there is no such member/,
    ],
    ['host: host1', 'host: host7', /^lab\.yaml:10:16: vms\.vm1\.host: there is no host host7$/m],
    ['red/db/vm2', 'red/dc/vm2', /^lab\.yaml:11:\d+: vms\.vm2\.port: there is no switch red\/dc$/m],
    ['blue/web/vm1', 'red/web/vm1', /vms\.vm3\.port: vm1 is there already/],
    ['10.0.2.12/24', '10.0.2.12', /"10\.0\.2\.12" is no address with its prefix length/],
    ['[10.0.2.9]', '[10.0.3.9]', /10\.0\.3\.9 is in no network of the machine/],
    [
      'port: web/vm1, dir',
      'port: web/vm9, dir',
      /tenants\.red\.acls\[0\]\.port: there is no port red\/web\/vm9/,
    ],
    ['port: web/vm1, dir', 'dir', /tenants\.red\.acls\[0\]: an ACL is on a switch or on a port/],
    ['from: vm2', 'from: vmm', /expect\[1\]\.from: "vmm" is no machine of this lab/],
    ['tcp/80', 'tcp/80000', /tcp\/80000: ports are 1 to 65535/],
    ['direction: to-port, ', '', /lacks direction/],
    ['vms:', 'vms: [', /^lab\.yaml:\d+:\d+: /],
    ['host1: {}', 'underlay: {}', /the name is reserved/],
  ];
  for (const [from, to, message] of rows) {
    assert.ok(TWO.includes(from), from);
    assert.match(
      complaint(() => plan(TWO.replace(from, to))),
      message,
    );
  }
});

test('a TypeScript module says the same as YAML', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-lab-file-'));
  try {
    const file = join(dir, 'lab.ts');
    writeFileSync(file, 'export default { hosts: { a: {} } };\n');
    const loaded = await loadLabFile(file);
    assert.equal(planLab(loaded, { uuid: numbered() }).hosts[0].name, 'a');
    const bad = join(dir, 'bad.ts');
    writeFileSync(bad, 'export default { hosts: { A: {} } };\n');
    await assert.rejects(loadLabFile(bad), { code: 'bad-lab-file', message: /bad\.ts: hosts\.A: / });
    await assert.rejects(loadLabFile(join(dir, 'none.yaml')), {
      code: 'bad-lab-file',
      message: /cannot be read/,
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('every example can be planned, and says who reaches whom', async () => {
  const files = globSync('*.{yaml,ts}', { cwd: EXAMPLES });
  assert.ok(files.length > 1);
  for (const file of files) {
    const { pairs, machines } = planLab(await loadLabFile(join(EXAMPLES, file)), { uuid: numbered() });
    assert.equal(pairs.length, machines.length * (machines.length - 1));
    assert.ok(
      pairs.some(({ can }) => can.size > 0),
      file,
    );
  }
});

test('any value is a lab file or is refused with an error that has a code', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        plan(JSON.stringify(value));
      } catch (error) {
        assert.ok(error instanceof WeftError && error.code === 'bad-lab-file', String(error));
      }
    }),
  );
});

test('a star stands for any letters, and every pattern agrees with a regular expression', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
  fc.assert(
    fc.property(text, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 }), (pattern, subject) => {
      assert.equal(glob(pattern, subject), new RegExp(`^${pattern.replace(/\*/g, '.*')}$`).test(subject));
    }),
  );
});

test('a selector with a slash means a place or what is in it', () => {
  const [vm1, , vm3] = plan(TWO).machines;
  const rows: [string, boolean, boolean][] = [
    ['red/', true, false],
    ['*/web', true, true],
    ['*/*/vm1', true, true],
    ['*/db', false, false],
    ['vm*', true, true],
    ['red', false, false],
    ['red/web/vm1/x', false, false],
  ];
  for (const [selector, one, three] of rows) {
    assert.deepEqual([selects(selector, vm1), selects(selector, vm3)], [one, three], selector);
  }
});

test('networks and what is in them', () => {
  assert.deepEqual(parseNetwork('10.0.1.1/24'), { address: '10.0.1.1', prefix: 24 });
  for (const bad of ['10.0.1.1', '10.0.1/24', '10.0.1.1/33', 'fd00::1/129', '/24', '10.0.1.1/x'])
    assert.equal(parseNetwork(bad), undefined, bad);
  assert.ok(inNetwork('10.0.1.130', { address: '10.0.1.129', prefix: 25 }));
  assert.ok(!inNetwork('10.0.1.130', { address: '10.0.1.1', prefix: 25 }));
  assert.ok(inNetwork('fd00:1::9', { address: 'fd00:1:0:0:8::', prefix: 64 }));
  assert.ok(!inNetwork('10.0.1.1', { address: 'fd00::', prefix: 0 }));
});
