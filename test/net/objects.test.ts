/** `weft net` for single objects, against the real API server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeNet, type Said } from './world.ts';

let world: Awaited<ReturnType<typeof makeNet>>;
before(async () => {
  world = await makeNet();
});
after(() => world.server.close());

async function ok(line: string): Promise<string> {
  const said = await world.net(line);
  assert.deepEqual([said.code, said.err], [0, ''], `weft net ${line}`);
  return said.out;
}
const json = async (line: string): Promise<Record<string, unknown>> => JSON.parse(await ok(`${line} --json`));

test('objects of every kind are made by names, with options from the schema', async () => {
  assert.match(
    await ok('create tenant red --tag env=test --tag owner=me'),
    /^created tenant "red", [0-9a-f-]{36}, in revision 1\n$/,
  );
  await ok(
    'create transport-node h1 --system-id h1 --tunnel geneve,192.0.2.1 --tunnel encapsulation=gre,address=192.0.2.1',
  );
  await ok('create logical-switch web --tenant red --unknown flood');
  await ok('create switch db --tenant red');
  await ok(
    'create logical-port vm1 --switch web --tenant red --vif vif1 --address 02:00:00:00:00:01,10.0.0.5,fd00::5 --qos dscp=10,rate=1000',
  );
  await ok('create port vm2 --switch red/web --address 02:00:00:00:00:02 --no-port-security');
  await ok('create router r --tenant red');
  await ok(
    'create router-port a --router r --switch web --mac 02:00:00:00:00:fe --network 10.0.0.1/24 --network fd00::1/64',
  );
  await ok('create static-route --router red/r --prefix 10.9.0.0/16 --next-hop 10.0.0.9');
  await ok(
    'create acl --port red/web/vm1 --direction to-port --priority 100 --action drop --match protocol=tcp,destinationPorts=80,destinationPorts=443',
  );
  await ok('create binding --switch web --port vm1 --mac 02:00:00:00:00:09 --ip 10.0.0.77');
  const port = await json('show port vm1');
  assert.deepEqual(port.addresses, [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5', 'fd00::5'] }]);
  assert.deepEqual(port.qos, { dscp: 10, rate: 1000 });
  assert.equal((await json('show port red/web/vm2')).portSecurity, false);
  const [acl] = (await json('list acl')) as unknown as { match: object; port: string }[];
  assert.deepEqual(acl.match, { protocol: 'tcp', destinationPorts: [80, 443] });
  assert.equal(acl.port, port.id);
  const node = await json('show node h1');
  assert.deepEqual(node.tunnels, [
    { encapsulation: 'geneve', address: '192.0.2.1' },
    { encapsulation: 'gre', address: '192.0.2.1' },
  ]);
  assert.deepEqual((await json('show tenant red')).tags, { env: 'test', owner: 'me' });
});

test('lists are tables with names, or JSON', async () => {
  const text = await ok('list logical-ports --tenant red');
  assert.match(text, /^NAME +SWITCH +VIF +ADDRESSES +QOS +REALIZED\n/);
  assert.match(text, /\nvm1 +web +vif1 +02:00:00:00:00:01,10\.0\.0\.5 fd00::5 +dscp=10,rate=1000 +yes\n/);
  const ids = (await json('list port --switch web --vif vif1')) as unknown as { name: string }[];
  assert.deepEqual(
    ids.map((item) => item.name),
    ['vm1'],
  );
  assert.equal(await ok('list port --filter addresses.mac=02:00:00:00:00:99'), 'no logical ports\n');
  assert.equal(((await json('list tenant --tag env=test')) as unknown as object[]).length, 1);
});

test('show tells members, names of what is referred to, and whether it is live', async () => {
  const text = await ok('show port vm1');
  for (const line of [
    /^name +vm1$/m,
    /^switch +web \([0-9a-f-]{36}\)$/m,
    /^tenant +red \(/m,
    /^qos\.rate +1000$/m,
    /^realized +yes$/m,
    /^host +h1: applied$/m,
    /^status\.node +h1$/m,
  ])
    assert.match(text, line);
  world.network.realized = false;
  assert.match(await ok('show port vm1'), /^realized +no: h1 is away$/m);
  world.network.realized = true;
});

test('members are set and unset', async () => {
  await ok('set port vm1 --qos rate=2000 --description first --no-enabled');
  const port = await json('set port vm1 --unset qos.dscp --unset description --enabled');
  assert.deepEqual([port.qos, port.description, port.enabled], [{ rate: 2000 }, undefined, true]);
  assert.deepEqual((await json('set port vm1 --unset qos')).qos, undefined);
  assert.match((await world.net('set port vm1')).err, /nothing to set/);
  assert.match((await world.net('set port vm1 --unset colour')).err, /has no "colour"\nit has name, switch/);
});

test('a write waits for the hosts with --wait, and fails if they have not confirmed', async () => {
  await ok('set port vm1 --description x --wait');
  world.network.realized = false;
  const said = await world.net('set port vm1 --description y --wait --timeout 1');
  assert.equal(said.code, 1);
  assert.match(said.err, /logical port "vm1" is stored, but not live everywhere yet: h1: disconnected/);
  world.network.realized = true;
});

test('what goes wrong is told with what to do', async () => {
  const cases: [line: string, code: number, text: RegExp][] = [
    ['create logical-port x --switch wbe', 1, /no logical switch "wbe"\ndid you mean "web"\?/],
    ['create logical-prot x', 2, /no kind "logical-prot"\ndid you mean "logical-port"\?/],
    ['create', 2, /kind of object is missing/],
    ['creat tenant', 2, /no command "creat"\ndid you mean "create"\?/],
    ['create port x --swich web', 2, /no option --swich for a logical port\ndid you mean --switch\?/],
    ['create port x --switch web --address mca=1', 2, /there is no "mca" in it; did you mean "mac"\?/],
    [
      'create port x --switch web --address 02:00:00:00:00:01',
      1,
      /MAC address "02:00:00:00:00:01" belongs to logical port "vm1"/,
    ],
    ['create port x --switch web --address 03:00:00:00:00:01', 1, /multicast/],
    ['create port x --switch web --switch db', 2, /--switch is given twice/],
    ['create port x --switch', 2, /--switch needs a value/],
    ['create port x y --switch web', 2, /"y" is one word too many/],
    [
      'create acl x --port vm1 --direction to-port --priority high --action drop --match {}',
      1,
      /\/priority: "high" must be integer/,
    ],
    ['create static-route --router r --prefix 10.0.0.1/24 --discard', 1, /bits set beyond/],
    ['show port', 2, /which logical port is missing/],
    ['show port a/b/vm1', 1, /no logical port "a\/b\/vm1"/],
    ['show static-route 10.9.0.0/16', 1, /has no name/],
    ['delete tenant red', 1, /is in use by logical router "r"/],
    ['list port --limit 3', 2, /no option --limit/],
    ['list port --filter nme=x', 1, /no member "nme"\ndid you mean "name"\?/],
    ['list port --timeout 0', 2, /not from 0 to 300/],
    ['list port --token @/nowhere/x', 1, /cannot read "\/nowhere\/x"/],
    ['list port --token bad', 1, /token is not known/],
    ['list port --api http://127.0.0.1:3', 1, /cannot be reached: .*ECONNREFUSED.*\nstart "weft controller"/],
    ['list port --api ftp://x', 1, /no address of an API/],
  ];
  for (const [line, code, text] of cases) {
    const said = await world.net(line);
    assert.equal(said.code, code, `weft net ${line}: ${said.err}`);
    assert.match(said.err, text, `weft net ${line}`);
  }
});

test('two objects of one name are told apart by their paths', async () => {
  await ok('create port vm1 --switch db');
  const said = await world.net('show port vm1');
  assert.match(
    said.err,
    /is the name of 2 logical ports\nsay which: red\/(db|web)\/vm1, red\/(db|web)\/vm1, or its id/,
  );
  await ok('delete port db/vm1');
  await ok('show port vm1');
});

test('with --json errors are JSON too', async () => {
  const said: Said = await world.net('show tenant nobody --json');
  assert.equal(said.code, 1);
  assert.equal(JSON.parse(said.err).code, 'no-such-object');
  const refused = JSON.parse((await world.net('create tenant red --json')).err);
  assert.deepEqual([refused.code, refused.member], ['object-conflict', '/name']);
});

test('an API that does not answer is given up', async () => {
  const silent = ((_: unknown, init: RequestInit) =>
    new Promise((_resolve, reject) =>
      init.signal!.addEventListener('abort', () => reject(init.signal!.reason)),
    )) as typeof fetch;
  const said = await world.net('list tenant --timeout 0.05', { fetch: silent });
  assert.match(said.err, /did not answer within 0\.05 s\n/);
  const babble = (() => Promise.resolve(new Response('<html>', { status: 200 }))) as typeof fetch;
  assert.match((await world.net('list tenant', { fetch: babble })).err, /with what is no JSON/);
});

test('Ctrl-C ends a command that waits', async () => {
  const ended = new AbortController();
  const silent = ((_: unknown, init: RequestInit) =>
    new Promise((_resolve, reject) => {
      init.signal!.addEventListener('abort', () => reject(init.signal!.reason));
      queueMicrotask(() => ended.abort());
    })) as typeof fetch;
  const said = await world.net('list tenant', { fetch: silent, ended: ended.signal });
  assert.deepEqual(said, { code: 130, out: '', err: '' });
});

test('names cannot write over the terminal', async () => {
  await world.create('tenant', { name: 'a\u001b[2Jb' });
  assert.ok(!(await ok('list tenant')).includes('\u001b'));
  assert.match(await ok('list tenant'), /a\\u001b\[2Jb/);
});

test('the file, the environment and options say where the API is, in this order', async () => {
  const env = { HOME: '/home-of-nobody' };
  const path = '/home-of-nobody/.config/weft/config.yaml';
  world.files.set(path, `api: ${world.base}\ntoken: "@secret"\n`);
  world.files.set('secret', 'the-operator-of-the-tests\n');
  assert.equal((await world.net('list tenant', { env })).code, 0);
  assert.match(
    (await world.net('list tenant', { env: { ...env, WEFT_TOKEN: 'x' } })).err,
    /token is not known/,
  );
  assert.equal(
    (await world.net(`list tenant --token @secret`, { env: { ...env, WEFT_TOKEN: 'x' } })).code,
    0,
  );
  world.files.set(path, 'api: 7');
  assert.match((await world.net('list tenant', { env })).err, /"api: 7" is not taken/);
  assert.match(
    (await world.net('list tenant', { env: { WEFT_API: world.base } })).err,
    /wants a token, and there is none\nset WEFT_TOKEN/,
  );
});

test('help lists commands, kinds, and the members of a kind', async () => {
  assert.match(await ok('--help'), /Kinds: tenant, transport-node/);
  assert.match(await ok('create --help'), /usage: weft net create KIND/);
  const help = await ok('create logical-port --help');
  for (const line of [
    /--switch NAME +logical switch/,
    /--address mac=\.\.\.,ips=\.\.\./,
    /--\[no-\]port-security/,
    /--tag NAME=VALUE/,
  ])
    assert.match(help, line);
  assert.equal((await world.net('')).code, 2);
});

test('deletes cascade on request', async () => {
  assert.match(await ok('delete tenant red --cascade'), /deleted tenant "red"/);
  assert.deepEqual(await json('list logical-port'), []);
});
