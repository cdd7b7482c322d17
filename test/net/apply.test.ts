/** `weft net apply`: the plan, what it does, and that doing it again does nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeNet } from './world.ts';

const FILE = `
tenants:
  - name: red
    tags: { env: test }
  - name: blue
transport-nodes:
  - { name: h1, systemId: h1, tunnels: [{ encapsulation: geneve, address: 192.0.2.1 }] }
logical-switches:
  - { name: web, tenant: red }
  - { name: web, tenant: blue }
logical-ports:
  - name: vm1
    switch: red/web
    vif: vif1
    addresses:
      - { mac: 02:00:00:00:00:0A, ips: [10.0.0.5, FD00::5] }
  - { name: vm1, switch: web, tenant: blue, addresses: [{ mac: 02:00:00:00:00:0a, ips: [10.0.0.5] }] }
logical-routers:
  - { name: r, tenant: red }
router-ports:
  - { name: a, router: red/r, switch: red/web, mac: 02:00:00:00:00:fe, networks: [10.0.0.1/24] }
static-routes:
  - { router: red/r, prefix: 10.9.0.0/16, nextHop: 10.0.0.9 }
acls:
  - { name: no-telnet, switch: red/web, direction: to-port, priority: 10, match: { protocol: tcp, destinationPorts: 23 }, action: drop }
  - { port: red/web/vm1, direction: to-port, priority: 20, match: { protocol: tcp, destinationPorts: ['80', '443-443'] }, action: allow }
  - { port: red/web/vm1, direction: to-port, priority: 20, match: { protocol: udp }, action: allow }
address-bindings:
  - { switch: red/web, port: red/web/vm1, mac: 02:00:00:00:00:0B, ips: [10.0.0.77] }
`;

let world: Awaited<ReturnType<typeof makeNet>>;
before(async () => {
  world = await makeNet();
  world.files.set('net.yaml', FILE);
});
after(() => world.server.close());

test('a plan is shown first, and nothing is done without a yes', async () => {
  const { net, model, asked, setAnswer } = world;
  const dry = await net('apply -f net.yaml --dry-run');
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /^\+ tenant red\n {4}tags: env=test\n\+ tenant blue\n/);
  assert.match(
    dry.out,
    /\+ logical port red\/web\/vm1\n {4}vif: vif1\n {4}addresses: 02:00:00:00:00:0a,10\.0\.0\.5 fd00::5\n/,
  );
  assert.match(dry.out, /\+ router port red\/r\/a\n {4}switch: red\/web\n {4}mac: /);
  assert.match(dry.out, /\n14 to make, 0 to change, 0 to delete\n$/);
  assert.match((await net('apply -f net.yaml')).err, /nobody to ask.*\nsay --yes/);
  setAnswer(false);
  const no = await net('apply -f net.yaml');
  assert.deepEqual([no.code, no.out.split('\n').at(-2)], [1, 'nothing was changed']);
  assert.deepEqual(asked, ['Do this?', 'Do this?']);
  assert.equal(model.size, 0);
  setAnswer(undefined);
});

test('it is done as one revision, and done again changes nothing', async () => {
  const { net, model } = world;
  const done = await net('apply -f net.yaml --yes --wait');
  assert.deepEqual([done.code, done.err], [0, '']);
  assert.match(done.out, /done, in revision 1\nlive on all hosts\n$/);
  assert.equal(model.size, 14);
  const again = await net('apply -f net.yaml --yes --prune');
  assert.deepEqual([again.code, again.out], [0, 'nothing to change\n'], again.err);
  assert.equal(model.revision, 1);
});

test('what changed in the file is changed, and told member by member', async () => {
  const { net, files } = world;
  files.set(
    'net.yaml',
    FILE.replace('env: test', 'env: live').replace('vif: vif1', 'vif: vif2').replace('23 }', '[22, 23] }'),
  );
  const { out, code } = await net('apply -f net.yaml --yes');
  assert.equal(code, 0);
  assert.equal(
    out,
    [
      '~ tenant red',
      '    tags: env=test -> env=live',
      '~ logical port red/web/vm1',
      '    vif: vif1 -> vif2',
      '~ ACL red/web/no-telnet',
      '    match: protocol=tcp,destinationPorts=23 -> protocol=tcp,destinationPorts=22 23',
      '0 to make, 3 to change, 0 to delete',
      'done, in revision 2',
      '',
    ].join('\n'),
  );
});

test('with --prune, what the file no longer has is deleted, of its tenants and of the kinds that it speaks of', async () => {
  const { net, files, model, create } = world;
  const green = await create('tenant', { name: 'green' });
  await create('logical-switch', { name: 'kept', tenant: green });
  files.set(
    'less.yaml',
    FILE.replace(/static-routes:[\s\S]*$/, 'static-routes: []\n').replace(/.*tenant: blue, addr.*\n/, ''),
  );
  const before = model.size;
  const { out, err } = await net('apply -f less.yaml --yes --prune');
  assert.match(out, /- static route red\/r\/10\.9\.0\.0\/16\n/, err);
  assert.match(out, /- logical port blue\/web\/vm1\n/);
  assert.match(out, /\n0 to make, 2 to change, 2 to delete\n/);
  assert.equal(model.size, before - 2);
  files.set('acls.yaml', 'acls: []\n');
  const acls = await net('apply -f acls.yaml --tenant red --yes --prune');
  assert.match(acls.out, /0 to make, 0 to change, 3 to delete/);
});

test('the plan is JSON on request', async () => {
  const { net } = world;
  const { out } = await net('apply -f net.yaml --dry-run --json');
  const { changes, applied } = JSON.parse(out) as {
    changes: { op: string; path: string }[];
    applied: boolean;
  };
  assert.equal(applied, false);
  assert.ok(changes.some((change) => change.op === 'create' && change.path === 'red/web/no-telnet'));
});

test('what is changed meanwhile is not overwritten', async () => {
  const { net, model } = world;
  const [id] = model.ids('tenant', { role: 'operator' });
  const { name } = model.get('tenant', id, { role: 'operator' }).spec;
  world.files.set('one.yaml', `tenants:\n  - { name: ${name}, description: mine }\n`);
  const { err, code } = await net('apply -f one.yaml', {
    confirm: async () => {
      await model.write([{ op: 'patch', kind: 'tenant', id, patch: { description: 'theirs' } }], {
        role: 'operator',
      });
      return true;
    },
  });
  assert.equal(code, 1);
  assert.match(err, /was last changed in revision/);
  assert.equal(model.get('tenant', id, { role: 'operator' }).spec.description, 'theirs');
});

test('a file that is wrong is told with the place', async () => {
  const { net, files } = world;
  const cases: [string, RegExp][] = [
    ['tenants: [', /^x\.yaml: /],
    ['tenant', /is no table of kinds/],
    ['logical-swiches: []', /no kind "logical-swiches"\ndid you mean "logical-switches"\?/],
    ['tenants: {}', /"tenants" is no list/],
    ['tenants: [red]', /tenants\[0\] is no object/],
    [
      'logical-switches: [{ name: x, tenant: rde }]',
      /logical-switches\[0\]: there is no tenant "rde", in the file or on the server\ndid you mean "red"\?/,
    ],
    [
      'logical-ports: [{ name: x, switch: web }]',
      /"web" is the name of 2 logical switches\nsay which: (red|blue)\/web, /,
    ],
    [
      'logical-switches: [{ name: a, tenant: red }, { name: x, tenant: red, unknwn: flood }]',
      /logical-switches\[1\]: \/unknwn: is not a member of this\ndid you mean "unknown"\?/,
    ],
    ['tenants: [{ name: a }, { name: a }]', /belongs to tenant "a" already/],
    ['tenants: [{ name: red }, { name: red }]', /tenants\[1\]: the same object stands in the file twice/],
    [`tenants: &a [*a]`, /x\.yaml/],
  ];
  for (const [text, expected] of cases) {
    files.set('x.yaml', text);
    const said = await net('apply -f x.yaml --yes');
    assert.notEqual(said.code, 0, text);
    assert.match(said.err, expected, text);
  }
  assert.equal((await net('apply')).code, 2);
  assert.match((await net('apply -f /nowhere.yaml')).err, /cannot read "\/nowhere.yaml"/);
});
