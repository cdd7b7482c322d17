import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import { datumToJson } from '../data/datum.ts';
import { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import type { Json } from '../json.ts';
import type { RpcChannel } from '../rpc/channel.ts';
import { directPair } from '../rpc/direct.ts';
import { openVSwitchSchema } from '../schema/open_vswitch.ts';
import { parseSchema } from '../schema/schema.ts';
import { ManualClock, settled } from '../testing/clock.ts';
import type { Transports } from './remote.ts';
import { Remotes } from './remotes.ts';
import { Server } from './server.ts';

function setUp() {
  const clock = new ManualClock();
  const server = new Server({ clock, log: nullLogger, newUuid: randomUUID });
  const db = new Database(parseSchema(openVSwitchSchema), { newUuid: randomUUID });
  server.addDatabase(db);
  const listening = new Map<string, (channel: RpcChannel, peer: string) => void>();
  const dialed: string[] = [];
  const transports: Transports = {
    kind: (target) => (target.startsWith('p') ? 'passive' : target.startsWith('bad') ? 'unknown' : 'active'),
    needsProbes: (target) => !target.includes('unix'),
    listen: async (target, _dscp, onChannel) => {
      if (target.includes('busy')) throw new Error('Address already in use');
      listening.set(target, onChannel);
      return { port: 7, close: () => listening.delete(target) };
    },
    connector: (target) => ({
      name: target,
      needsProbes: false,
      connect: async () => {
        dialed.push(target);
        if (target.includes('down')) throw new Error('Connection refused');
        return directPair()[0];
      },
    }),
  };
  const remotes = new Remotes(server, transports, clock, nullLogger);
  const run = (...operations: Json[]): void => {
    const outcome = execute(db, ['Open_vSwitch', ...operations], {
      readOnly: false,
      ownsLock: () => false,
      elapsed: 0,
    });
    if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome));
    server.commit(outcome.transaction);
  };
  const managers = (): Json[] =>
    [...db.table('Manager').rows.values()].map(({ fields }) => {
      const column = (name: string) => db.table('Manager').schema.columns.get(name)!;
      const json = (name: string) => datumToJson(fields[column(name).index], column(name).type);
      return [json('target'), json('is_connected'), json('status')];
    });
  return { clock, server, remotes, run, listening, dialed, managers };
}

const addManager = (target: string): Json[] => [
  { op: 'insert', table: 'Manager', 'uuid-name': 'm', row: { target } },
  {
    op: 'mutate',
    table: 'Open_vSwitch',
    where: [],
    mutations: [['manager_options', 'insert', ['named-uuid', 'm']]],
  },
];

test('remotes follow the rows that name them, and tell their state there', async () => {
  const { clock, remotes, run, listening, dialed, managers } = setUp();
  run({ op: 'insert', table: 'Open_vSwitch', row: {} });
  remotes.add('punix:db.sock');
  remotes.add('db:Open_vSwitch,Open_vSwitch,manager_options');
  assert.deepEqual(await remotes.refresh(), []);
  assert.deepEqual([...listening.keys()], ['punix:db.sock']);
  run(...addManager('ptcp:0'));
  run(...addManager('tcp:up'));
  run(...addManager('tcp:down'));
  await remotes.refresh();
  await settled();
  assert.deepEqual(dialed.sort(), ['tcp:down', 'tcp:up']);
  const [first, second] = [directPair()[0], directPair()[0]];
  listening.get('ptcp:0')!(first, 'a');
  listening.get('ptcp:0')!(second, 'b');
  clock.advance(3500);
  await settled();
  remotes.writeStatus();
  const status = new Map(managers().map((m) => [(m as readonly Json[])[0], m]));
  assert.deepEqual(status.get('ptcp:0'), [
    'ptcp:0',
    true,
    [
      'map',
      [
        ['bound_port', '7'],
        ['n_connections', '2'],
      ],
    ],
  ]);
  assert.deepEqual(status.get('tcp:up'), [
    'tcp:up',
    true,
    [
      'map',
      [
        ['sec_since_connect', '3'],
        ['state', 'ACTIVE'],
      ],
    ],
  ]);
  const [, connected, details] = status.get('tcp:down') as [string, boolean, [string, [string, string][]]];
  assert.equal(connected, false);
  assert.equal(new Map(details[1]).get('last_error'), 'Connection refused');
  assert.equal(new Map(details[1]).get('state'), 'BACKOFF');
  assert.ok(dialed.length > 2, 'a lost cause is tried again');
  run({ op: 'update', table: 'Open_vSwitch', where: [], row: { manager_options: ['set', []] } });
  await remotes.refresh();
  assert.deepEqual([...listening.keys()], ['punix:db.sock']);
  remotes.close();
  assert.equal(listening.size, 0);
});

test('what cannot be opened is tried again when told, and what makes no sense is reported', async () => {
  const { remotes, listening } = setUp();
  remotes.addUnchecked('ptcp:busy');
  remotes.addUnchecked('bad:method');
  remotes.addUnchecked('db:nowhere,T,c');
  assert.deepEqual(await remotes.refresh(), ['"db:nowhere,T,c": no database named nowhere']);
  assert.equal(listening.size, 0);
  for (const [name, message] of [
    ['db:Open_vSwitch', /invalid syntax/],
    ['db:Open_vSwitch,None,c', /no table named None/],
    ['db:Open_vSwitch,Bridge,none', /table "Bridge" has no column "none"/],
  ] as const) {
    assert.throws(() => remotes.add(name), message);
  }
  assert.equal(remotes.remove('ptcp:busy'), true);
  assert.equal(remotes.remove('ptcp:busy'), false);
  assert.deepEqual(remotes.names, ['bad:method', 'db:nowhere,T,c']);
});
